"""One page that says at a glance whether the result makes sense, for the screen and for the printer (A4).

Of up to three lesions (or the kidneys, where there is none) the largest axial slice without and with what was marked,
and the coronal and sagittal slices through the same place; a view from the front; measures; warnings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .labels import CYST_LABEL, KIDNEY_LABEL, TUMOR_LABEL
from .preview_3d import from_the_front
from .preview_slices import AXIAL, CORONAL, SAGITTAL, Scan, Tile, View, font, readable
from .report import Report
from .structure import PARTS, Line, Nephrometry, Structure

PAGE = (1240, 1754)  # A4 at 150 dots an inch
DPI = 150
MARGIN, GAP, CAPTION = 40, 10, 24
INNER = PAGE[0] - 2 * MARGIN
INK, FAINT, PAPER, ALERT = (16, 18, 22), (105, 110, 118), (255, 255, 255), (150, 60, 0)
HALF = (INNER - GAP) // 2
FOOT = PAGE[1] - MARGIN - 24  # where the line at the foot begins
BESIDE = 420  # the view from the front, where words stand beside it
LEAST = 250  # of the overview's height
MOST = 3  # lesions with pictures of their own
DOUBT = "?"  # stands before the name of a doubtful structure


def preview(hu: np.ndarray, labels: np.ndarray, affine: np.ndarray, report: Report) -> Image.Image:
    """The page.

    hu, labels (values of labels.BY_SIDE): (slice, row, column); affine: (4, 4), (slice, row, column, 1) -> RAS mm
    """
    page = Image.new("RGB", PAGE, PAPER)
    scan = Scan(hu, labels, affine, report.affine)
    y = _heading(page, report)
    shown = _shown(report.structures)
    if not shown:
        y = _grid(page, _nothing(scan, (HALF, 480)), y)
        page.paste(_words(report, INNER, FOOT - y), (MARGIN, y))
    elif len(shown) == 1:
        y = _grid(page, _four(scan, report.structures, shown[0], (HALF, HALF)), y)
        _in_space(page, scan, (MARGIN, y), (BESIDE, FOOT - y - CAPTION))
        beside = BESIDE + 2 * GAP
        page.paste(_words(report, INNER - beside, FOOT - y), (MARGIN + beside, y))
    else:
        for one in shown:
            y = _row(page, scan, report.structures, one, y, 400 if len(shown) == 2 else 265)
        words = _words(report, INNER, FOOT - y - LEAST)
        y = _overview(page, scan, report.structures, y, FOOT - y - words.height - CAPTION - GAP)
        page.paste(words, (MARGIN, y))
    _foot(page, scan, report)
    return page


def _shown(structures: Sequence[Structure]) -> list[Structure]:
    """What gets pictures: the largest tumors, then cysts; without any the kidneys."""
    lesions = [one for one in structures if one.kind != "kidney"]
    lesions.sort(key=lambda one: (one.kind != "tumor", -one.volume_ml))
    return lesions[:MOST] or [one for one in structures if one.kind == "kidney"]


# Pictures


def _views(one: Structure, structures: Sequence[Structure], size: tuple[int, int]) -> tuple[View, View, View]:
    """Axial through its largest slice, coronal and sagittal through its middle, for tiles of ``size``.

    The axial view is as wide as the structure needs; the others show the whole kidney, too.
    """
    kidney = next((other for other in structures if other.kind == "kidney" and other.side == one.side), one)
    ends = np.array([end for other in (one, kidney) for line in _lines(other) for end in line.ends_ras_mm])
    low, high = ends.min(0), ends.max(0)
    between, aspect = (low + high) / 2, size[0] / size[1]
    wide = float(np.clip(3.5 * one.size.mm, 110, 240)) if one.kind != "kidney" else 150.0
    tall = float(max(high[2] - low[2] + 50, (high - low)[:2].max() / aspect + 50, 120))
    axial = one.axial_diameter.ends_ras_mm if one.axial_diameter else (one.centre_ras_mm,)
    level = float(np.mean([end[2] for end in axial]))
    middle = np.array(one.craniocaudal.ends_ras_mm).mean(0) if one.craniocaudal else np.array(one.centre_ras_mm)
    x, y, _ = one.centre_ras_mm
    return (
        View(AXIAL, (x, y, level), (wide, wide / aspect)),
        View(CORONAL, (float(between[0]), float(middle[1]), float(between[2])), (tall * aspect, tall)),
        View(SAGITTAL, (float(middle[0]), float(between[1]), float(between[2])), (tall * aspect, tall)),
    )


def _lines(one: Structure) -> list[Line]:
    """What is drawn of it."""
    lines = (one.length, one.axial_diameter, one.axial_perpendicular, one.craniocaudal)
    return [line for line in lines if line]


def _grid(page: Image.Image, tiles: Sequence[tuple[Tile, str]], y: int) -> int:
    """Large tiles, two in a row."""
    down = tiles[0][0].size[1] + CAPTION + GAP
    for number, (tile, caption) in enumerate(tiles):
        _place(page, tile, caption, (MARGIN + (number % 2) * (HALF + GAP), y + (number // 2) * down))
    return y + (len(tiles) + 1) // 2 * down


def _row(page: Image.Image, scan: Scan, structures: Sequence[Structure], one: Structure, y: int, height: int) -> int:
    """Four tiles beside each other under the structure's name."""
    width = (INNER - 3 * GAP) // 4
    ImageDraw.Draw(page).text((MARGIN, y), _title(one), INK, font(19))
    for number, (tile, caption) in enumerate(_four(scan, structures, one, (width, height), named=False)):
        _place(page, tile, caption, (MARGIN + number * (width + GAP), y + 26), 14)
    return y + 26 + height + CAPTION + GAP


def _four(
    scan: Scan, structures: Sequence[Structure], one: Structure, size: tuple[int, int], *, named: bool = True
) -> list[tuple[Tile, str]]:
    """Tiles and their captions: axial without and with what was marked, coronal, sagittal."""
    axial, coronal, sagittal = _views(one, structures, size)
    plain, lines = Tile(scan, axial, size).with_letters(), _lines(one)
    rest = [Tile(scan, view, size).with_masks().with_lines(lines).with_letters() for view in (axial, coronal, sagittal)]
    captions = [scan.caption(view) for view in (axial, axial, coronal, sagittal)]
    if named:
        captions[0] = f"{_title(one)}   {captions[0]}"
        captions[1] = "the same slice, marked, lengths in mm"
    else:
        captions[1] = "the same, marked; mm"
    return list(zip((plain, *rest), captions, strict=True))


def _overview(page: Image.Image, scan: Scan, structures: Sequence[Structure], y: int, height: int) -> int:
    """Both kidneys in a coronal slice, with room for their lesions, and from the front."""
    width = (INNER - GAP) // 2
    kidneys = [one for one in structures if one.kind == "kidney"] or list(structures)
    ends = np.array([end for one in kidneys for end in one.size.ends_ras_mm])
    lesions = [(np.array(one.centre_ras_mm), one.size.mm / 2) for one in structures if one.kind != "kidney"]
    ends = np.array([*ends, *(middle + by for middle, half in lesions for by in (-half, half))])
    low, high = ends.min(0), ends.max(0)
    x, _, z = (float(v) for v in (low + high) / 2)
    middle = x, float(np.mean([one.centre_ras_mm[1] for one in kidneys])), z
    tall = max((high - low)[2] + 50, ((high - low)[0] + 110) * height / width)
    view = View(CORONAL, middle, (tall * width / height, tall))
    tile = Tile(scan, view, (width, height)).with_masks().with_lines([one.length for one in kidneys]).with_letters()
    _place(page, tile, f"both kidneys   {scan.caption(view)}", (MARGIN, y))
    _in_space(page, scan, (MARGIN + width + GAP, y), (width, height))
    return y + height + CAPTION + GAP


def _in_space(page: Image.Image, scan: Scan, at: tuple[int, int], size: tuple[int, int]) -> None:
    slices, rows, columns = (float(mm) for mm in scan.spacing)
    picture, scale = from_the_front(scan.labels, (slices, rows, columns), size)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=(205, 208, 212))
    for text, place, anchor in (
        ("R", (6, size[1] / 2), "lm"),
        ("L", (size[0] - 6, size[1] / 2), "rm"),
        ("H", (size[0] / 2, 6), "mt"),
        ("F", (size[0] / 2, size[1] - 6), "mb"),
    ):
        draw.text(place, text, INK, font(15), anchor=anchor)
    bar = 50 * scale
    if bar < size[0] / 2:
        draw.line((8, size[1] - 10, 8 + bar, size[1] - 10), INK, 2)
        draw.text((8, size[1] - 14), "5 cm", INK, font(13), anchor="lb")
    page.paste(picture, (at[0], at[1] + CAPTION))
    ImageDraw.Draw(page).text((at[0], at[1] + 2), "from the front, kidneys see-through", FAINT, font(15))


def _nothing(scan: Scan, size: tuple[int, int]) -> list[tuple[Tile, str]]:
    """Where nothing was found: five levels of the whole scan and a coronal slice."""
    shape, tiles = np.array(scan.hu.shape), []
    for axis, share in (*((AXIAL, share) for share in (0.2, 0.35, 0.5, 0.65, 0.8)), (CORONAL, 0.5)):
        at = shape * 0.5
        at[axis] = shape[axis] * share
        down, across = (float(mm) for mm in np.delete(shape * scan.spacing, axis))
        x, y, z = (float(v) for v in (scan.affine @ [*at, 1.0])[:3])
        view = View(axis, (x, y, z), (across, down))
        tiles.append((Tile(scan, view, size).with_letters(), f"nothing found   {scan.caption(view)}"))
    return tiles


def _place(page: Image.Image, tile: Tile, caption: str, at: tuple[int, int], size: int = 15) -> None:
    ImageDraw.Draw(page).text((at[0], at[1] + 2), _fitting(caption, tile.size[0], size), INK, font(size))
    page.paste(tile.picture, (at[0], at[1] + CAPTION))


# Words


def _title(one: Structure) -> str:
    doubt = f"{DOUBT} " if one.doubts else ""
    chance = "" if one.certainty is None else f", {one.certainty:.0%} certain"
    return f"{doubt}{one.name}{chance}"


def _heading(page: Image.Image, report: Report) -> int:
    """The case's name and the key of colours; gives where the pictures begin."""
    draw = ImageDraw.Draw(page)
    x = PAGE[0] - MARGIN
    kinds = {one.kind for one in report.structures}
    for label, how in ((CYST_LABEL, "dots"), (TUMOR_LABEL, "stripes"), (KIDNEY_LABEL, "plain")):
        if label.key not in kinds:
            continue
        text = f"{label.name} ({how})"
        x -= int(draw.textlength(text, font(16)))
        draw.text((x, MARGIN + 4), text, INK, font(16))
        draw.rectangle((x - 26, MARGIN + 5, x - 8, MARGIN + 21), label.colour)
        x -= 46
    made, room = _made(report), x - MARGIN - 20
    case = _fitting(report.case or "CT", room - int(draw.textlength(made, font(24))), 24)
    draw.text((MARGIN, MARGIN), case + made, INK, font(24))
    return MARGIN + 40


def _made(report: Report) -> str:
    """What is not the network's answer, to stand behind the case's name."""
    told = ["opened from a file"] if report.opened_from else []
    told += ["corrected by hand"] if report.corrected else []
    return f", {' and '.join(told)}" if told else ""


def _words(report: Report, width: int, height: int) -> Image.Image:
    """Measures, scores and warnings as a picture of this width and at most this height."""
    block = Image.new("RGB", (width, max(height, 60)), PAPER)
    draw = ImageDraw.Draw(block)
    scores = [one for one in report.structures if one.nephrometry]
    below = [(f"! {warning}", ALERT) for warning in report.warnings]
    below += [(f"{one.name}: {_score(one.nephrometry)}", INK) for one in scores if one.nephrometry]
    y = _table(draw, report.structures, width, block.height - 24 * min(4, len(below)) - 24) if report.structures else 0
    for text, ink in below:
        lines = _wrapped(text, width, 15)
        if y + 20 * (len(lines) + (text is not below[-1][0])) > block.height:
            draw.text((0, y), "More is in the report.", ink, font(15))
            y += 20
            break
        for line in lines:
            draw.text((0, y), line, ink, font(15))
            y += 20
    return block.crop((0, 0, width, min(y + 6, block.height)))


def _table(draw: ImageDraw.ImageDraw, structures: Sequence[Structure], width: int, most: int) -> int:
    """A row a structure, down to ``most``; gives where it ends."""
    y = 0
    for line in range(2):
        for heads, right in zip(HEADS, RIGHT_EDGES, strict=True):
            draw.text((width * right, y), heads[line], FAINT, font(13), anchor="ra")
        y += 16
    y += 3
    for number, one in enumerate(structures):
        if y > most:
            draw.text((0, y), f"and {len(structures) - number} more: see the report", FAINT, font(15))
            return y + 26
        name, *cells = _cells(one)
        draw.text((0, y), name, INK, font(16))
        for text, right in zip(cells, RIGHT_EDGES, strict=True):
            draw.text((width * right, y), text, INK, font(16), anchor="ra")
        y += 23
    if any(one.doubts for one in structures):
        draw.text((0, y), f"{DOUBT} doubtful: look at it", FAINT, font(15))
        y += 22
    return y + 8


HEADS = (
    *(("certain", ""), ("volume", "ml"), ("longest", "mm"), ("axial, or", "section mm"), ("head to", "feet mm")),
    *(("mean", "HU"), ("R.E.N.A.L.", "to be checked")),
)
RIGHT_EDGES = (0.33, 0.45, 0.55, 0.68, 0.78, 0.85, 1.0)  # of the width


def _cells(one: Structure) -> tuple[str, ...]:
    least = ">" if one.touches_border else ""
    first, second = (
        (one.width, one.thickness) if one.kind == "kidney" else (one.axial_diameter, one.axial_perpendicular)
    )
    return (
        f"{DOUBT} {one.name}" if one.doubts else one.name,
        "" if one.certainty is None else f"{one.certainty:.0%}",
        f"{least}{one.volume_ml:.1f}",
        f"{least}{one.size.mm:.0f}",
        f"{first.mm:.0f} x {second.mm:.0f}" if first and second else "",
        f"{one.craniocaudal.mm:.0f}" if one.craniocaudal else "",
        f"{round(one.mean_hu)}",
        one.nephrometry.text if one.nephrometry else "",
    )


def _score(score: Nephrometry) -> str:
    """Each letter of a score with the number behind it."""
    if score.total is None:
        return f"no R.E.N.A.L. score: {score.missing}"
    letters = zip("RENALh", (getattr(score, name) for name in PARTS), strict=True)
    told = []
    for letter, part in letters:
        if part and part.points != "":
            number = "" if part.value is None else f" ({round(part.value, 1) + 0.0} {part.unit})"  # never -0
            value = number.replace(" percent", "%")
            told.append((letter if part.points == letter else f"{letter} {part.points}") + value)
    return f"R.E.N.A.L. {score.text}, computed, to be checked: {', '.join(told)}"


def _foot(page: Image.Image, scan: Scan, report: Report) -> None:
    slices, rows, columns = scan.spacing
    made_by = f"Segments of {_fitting(report.opened_from, 250, 14)}" if report.opened_from else report.network
    told = (
        f"For research only, not a medical device. {made_by}, {report.started:%Y-%m-%d %H:%M}. "
        f"Voxels {columns:.2f} x {rows:.2f} x {slices:.2f} mm; i, j, k count from 0 along the file's own axes."
    )
    at = (MARGIN, PAGE[1] - MARGIN)
    ImageDraw.Draw(page).text(at, _fitting(told, INNER, 14), FAINT, font(14), anchor="ls")


def _fitting(text: str, width: int, size: int) -> str:
    """The text, shortened to a width in pixels."""
    text = readable(text)
    while text and font(size).getlength(text) > width:
        text = text[:-2].rstrip("…") + "…"
    return text


def _wrapped(text: str, width: int, size: int) -> list[str]:
    """The text in lines of a width in pixels."""
    lines = [""]
    for word in readable(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font(size).getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
