"""One picture that says at a glance whether the result makes sense: kidneys red, tumor green, cysts blue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from .labels import BY_SIDE, CYST_LABEL, KIDNEY_LABEL, TUMOR, TUMOR_LABEL
from .report import Report
from .structure import Structure

WINDOW_HU = (-160, 240)
TILE = 384  # pixels of a tile's longer side
TITLE, GAP = 44, 6
INK, PAPER, FAINT = (236, 238, 240), (16, 18, 22), (150, 156, 164)


def preview(hu: np.ndarray, labels: np.ndarray, affine: np.ndarray, report: Report) -> Image.Image:
    """A picture of the slices that matter, with the measurements below.

    hu, labels (with sides): (slice, row, column); affine: (4, 4), (slice, row, column, 1) -> RAS mm
    """
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    spacing = float(steps[0]), float(steps[1]), float(steps[2])
    box = _field(labels, spacing)
    tiles = [
        _tile(hu[k][box[1:]], labels[k][box[1:]], spacing[1:], f"axial {k + 1}: {names}", "R", "L")
        for k, names in _axial_slices(labels, report.structures, affine)
    ]
    row = _coronal_row(labels)
    coronal = _tile(hu[box[0], row, box[2]], labels[box[0], row, box[2]], (spacing[0], spacing[2]), "coronal", "R", "L")
    return _page([coronal, *tiles], report)


def _field(labels: np.ndarray, spacing: tuple[float, float, float]) -> tuple[slice, slice, slice]:
    """What to show: 60 mm around everything marked; the whole scan where nothing is."""
    if not labels.any():
        depth, rows, columns = labels.shape
        return slice(0, depth), slice(0, rows), slice(0, columns)
    sides = []
    for axis, step in enumerate(spacing):
        marked = np.flatnonzero(labels.any(axis=tuple(a for a in range(3) if a != axis)))
        margin = int(60 / step)
        sides.append(slice(max(0, int(marked[0]) - margin), int(marked[-1]) + 1 + margin))
    return sides[0], sides[1], sides[2]


def _axial_slices(
    labels: np.ndarray, structures: Sequence[Structure], affine: np.ndarray, most: int = 5
) -> list[tuple[int, str]]:
    """Slices through the widest place of the largest tumors and each kidney, from head to feet, with what is there."""
    if not structures:
        return [(len(labels) * k // 4, "nothing found") for k in (1, 2, 3)]
    wanted: dict[int, list[str]] = {}
    for one in sorted(structures, key=lambda one: (one.kind == "kidney", -one.volume_ml))[:most]:
        place = one.axial_diameter.ends_ras_mm[0] if one.axial_diameter else one.centre_ras_mm
        k = np.linalg.solve(affine, [*place, 1.0])[0]
        wanted.setdefault(int(np.clip(round(k), 0, len(labels) - 1)), []).append(one.name)
    return [(k, ", ".join(there)) for k, there in sorted(wanted.items())]


def _coronal_row(labels: np.ndarray) -> int:
    """The row with most tumor, or else with most kidney."""
    tumor = (labels == TUMOR).sum((0, 2))
    return int(np.argmax(tumor if tumor.any() else (labels > 0).sum((0, 2))))


def _tile(
    hu: np.ndarray, labels: np.ndarray, spacing: tuple[float, float], title: str, left: str, right: str
) -> Image.Image:
    """One slice in true proportions with outlines, a light fill, stripes on tumor, and a scale of 5 cm."""
    height, width = (n * mm for n, mm in zip(hu.shape, spacing, strict=True))
    scale = TILE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    low, high = WINDOW_HU
    grey = np.clip((hu.astype(np.float32) - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    picture = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC).convert("RGB"), np.float32)
    picture = picture.copy()
    for label in BY_SIDE:
        mask = Image.fromarray(((labels == label.value) * 255).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
        _paint(picture, np.asarray(mask) > 127, label.colour, striped=label.value == TUMOR)
    tile = Image.new("RGB", (TILE, TILE + 24), PAPER)
    tile.paste(Image.fromarray(picture.astype(np.uint8)), ((TILE - size[0]) // 2, 24 + (TILE - size[1]) // 2))
    draw = ImageDraw.Draw(tile)
    draw.text((4, 4), title, INK, _font(14))
    draw.text((6, 28 + TILE // 2), left, INK, _font(16))
    draw.text((TILE - 18, 28 + TILE // 2), right, INK, _font(16))
    bar = round(50 * scale)
    draw.line((8, TILE + 14, 8 + bar, TILE + 14), INK, 3)
    draw.text((12 + bar, TILE + 4), "5 cm", INK, _font(13))
    return tile


def _paint(picture: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int], *, striped: bool) -> None:
    """Colour the outline fully and the inside lightly; stripes tell tumor from kidney without colour."""
    if not mask.any():
        return
    ink = np.array(colour, np.float32)
    weight = np.where(mask, 0.22, 0.0)
    if striped:
        rows, columns = np.indices(mask.shape)
        weight = np.where(mask & ((rows + columns) % 9 < 2), 0.6, weight)
    weight = np.where(mask & ~ndimage.binary_erosion(mask, iterations=2), 1.0, weight)[..., None]
    picture[:] = picture * (1 - weight) + ink * weight


def _page(tiles: list[Image.Image], report: Report) -> Image.Image:
    columns = min(3, len(tiles))
    rows = -(-len(tiles) // columns)
    lines = _lines(report)
    width = columns * (TILE + GAP) + GAP
    below = 22 * len(lines) + 40
    page = Image.new("RGB", (width, TITLE + rows * (TILE + 24 + GAP) + below), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((GAP + 4, 10), _fitting(report.case, 40), INK, _font(20))
    cysts = any(one.kind == "cyst" for one in report.structures)
    legend = width - (440 if cysts else 300)
    shown = ((KIDNEY_LABEL, legend), (TUMOR_LABEL, legend + 110), *([(CYST_LABEL, legend + 310)] if cysts else []))
    for label, x in shown:
        draw.rectangle((x, 14, x + 18, 30), label.colour)
        draw.text((x + 26, 12), label.name + (" (striped)" if label is TUMOR_LABEL else ""), INK, _font(15))
    for number, tile in enumerate(tiles):
        at = GAP + (number % columns) * (TILE + GAP), TITLE + (number // columns) * (TILE + 24 + GAP)
        page.paste(tile, at)
    top = TITLE + rows * (TILE + 24 + GAP) + 8
    for number, (text, ink) in enumerate(lines):
        draw.text((GAP + 4, top + 22 * number), _fitting(text, width // 8), ink, _font(15))
    return page


def _lines(report: Report) -> list[tuple[str, tuple[int, int, int]]]:
    lines = [
        (
            f"{one.name}: {'more than ' if one.touches_border else ''}{one.volume_ml:.1f} ml, "
            f"{one.size.mm:.0f} mm long, {one.mean_hu:.0f} HU",
            INK,
        )
        for one in report.structures[:8]
    ]
    lines += [(f"! {warning}", (250, 204, 90)) for warning in report.warnings]
    lines.append((f"For research only, not a medical device.  {report.network}", FAINT))
    return lines


def _fitting(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
