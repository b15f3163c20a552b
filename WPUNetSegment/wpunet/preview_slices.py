"""Slices of a CT as tiles of a page: in true proportions, with what is marked, lines, letters and a scale."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from .labels import BY_SIDE, CYST, TUMOR
from .structure import Line, Point

WINDOW, LEVEL = 400, 40  # HU, the usual one for soft tissue
LIGHT, DARK = (255, 255, 255), (0, 0, 0)
AXIAL, CORONAL, SAGITTAL = 0, 1, 2  # the axis of (slice, row, column) that the plane stands on
NAMES = ("axial", "coronal", "sagittal")
ACROSS = (("R", "L"), ("R", "L"), ("A", "P"))  # left and right of the tile
DOWN = (("A", "P"), ("H", "F"), ("H", "F"))
COORDINATE = ("S", "A", "R")  # of RAS, along the plane's axis
NEAR_MM = 3.0  # a line is drawn on a plane that both its ends are this close to


@dataclass(frozen=True)
class View:
    """Where to look: the plane through ``middle`` (RAS mm), ``field_mm`` wide and high."""

    axis: int
    middle: Point
    field_mm: tuple[float, float]


@dataclass(frozen=True)
class Scan:
    """What the slices are cut from: hu and labels (slice, row, column), and (slice, row, column, 1) -> RAS mm.

    source: the affine of the input's own array, (i, j, k, 1) -> RAS mm, for the index that a slice has there
    """

    hu: np.ndarray
    labels: np.ndarray
    affine: np.ndarray
    source: np.ndarray

    @cached_property
    def spacing(self) -> np.ndarray:
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    def index(self, place: Sequence[float]) -> np.ndarray:
        """RAS mm -> (slice, row, column), not rounded."""
        return np.linalg.solve(self.affine, [*place, 1.0])[:3]

    def plane(self, view: View) -> int:
        """The number of the slice nearest to the view's middle."""
        n = self.hu.shape[view.axis]
        return int(np.clip(round(float(self.index(view.middle)[view.axis])), 0, n - 1))

    def caption(self, view: View) -> str:
        """The slice's place in mm and its index in the file: ``axial, S -123.4 mm, k = 210``."""
        at = self.index(view.middle)
        at[view.axis] = self.plane(view)
        place = self.affine @ [*at, 1.0]
        mm = round(float(place[(2, 1, 0)[view.axis]]), 1) + 0.0  # never -0
        told = f"{NAMES[view.axis]}, {COORDINATE[view.axis]} {mm:.1f} mm"
        step = np.linalg.solve(self.source[:3, :3], self.affine[:3, view.axis])  # in the file's voxels
        along = int(np.abs(step).argmax())
        if np.abs(np.delete(step, along)).max() > 0.01:
            return told  # an oblique file: the plane runs across its slices
        return f"{told}, {'ijk'[along]} = {round(np.linalg.solve(self.source, place)[along])}"


class Tile:
    """One slice as a picture of ``size`` (width, height) pixels, black where the CT ends."""

    def __init__(self, scan: Scan, view: View, size: tuple[int, int]) -> None:
        self.scan, self.view, self.size = scan, view, size
        self._axes = [axis for axis in range(3) if axis != view.axis]  # that run down and across
        middle = scan.index(view.middle)[self._axes]
        self.scale = min(size[0] / view.field_mm[0], size[1] / view.field_mm[1])  # pixels a mm
        self._pixels = scan.spacing[self._axes] * self.scale  # a voxel's height and width in pixels
        half = np.array([size[1], size[0]]) / self._pixels / 2
        self._low, self._high = middle + 0.5 - half, middle + 0.5 + half  # edges of voxels, (down, across)
        self._pick()
        grey = np.clip((self._hu - (LEVEL - WINDOW / 2)) * (255 / WINDOW), 0, 255).astype(np.uint8)
        self.picture = self._resized(grey, Image.Resampling.BICUBIC).convert("RGB")

    def _pick(self) -> None:
        """The part of the plane that the tile shows, with one voxel more on each side; air where the CT ends."""
        shape = [self.scan.hu.shape[axis] for axis in self._axes]
        first = np.floor(self._low).astype(int) - 1
        last = np.ceil(self._high).astype(int) + 1
        inside = [slice(max(0, a), max(0, min(n, b))) for a, b, n in zip(first, last, shape, strict=True)]
        where: list[slice | int] = [*inside]
        where.insert(self.view.axis, self.scan.plane(self.view))
        pads = [(max(0, -a), max(0, b - max(n, a))) for a, b, n in zip(first, last, shape, strict=True)]
        self._hu = np.pad(self.scan.hu[tuple(where)].astype(np.float32), pads, constant_values=-1024)
        self._labels = np.pad(self.scan.labels[tuple(where)], pads)
        self._first = first

    def _resized(self, values: np.ndarray, how: Image.Resampling) -> Image.Image:
        top, left = self._low - self._first
        bottom, right = self._high - self._first
        return Image.fromarray(values).resize(self.size, how, box=(left, top, right, bottom))

    def pixel(self, place: Point) -> tuple[float, float]:
        """RAS mm -> x and y in the picture."""
        y, x = (self.scan.index(place)[self._axes] + 0.5 - self._low) * self._pixels
        return float(x), float(y)

    def with_masks(self, fill: float = 0.14) -> Tile:
        """The tile with everything marked outlined; stripes tell tumor, dots cyst, without colour."""
        picture = np.asarray(self.picture, np.float32).copy()
        for label in BY_SIDE:
            marked = self._labels == label.value
            if not marked.any():
                continue
            soft = self._resized((marked * np.uint8(255)), Image.Resampling.BILINEAR)
            _paint(picture, np.asarray(soft) > 127, label.value, label.colour, fill)
        self.picture = Image.fromarray(picture.astype(np.uint8))
        return self

    def with_lines(self, lines: Sequence[Line | None]) -> Tile:
        """Those of the lines that lie in the plane, with their length in mm."""
        draw = ImageDraw.Draw(self.picture)
        taken: list[np.ndarray] = []
        for line in lines:
            if line is None or any(self._off_plane(end) > NEAR_MM for end in line.ends_ras_mm):
                continue
            first, second = (np.array(self.pixel(end)) for end in line.ends_ras_mm)
            _line(draw, first, second)
            taken.append(_write_length(draw, first, second, f"{line.mm:.0f}", taken, self.size))
        return self

    def _off_plane(self, place: Point) -> float:
        """mm from the plane."""
        axis = self.view.axis
        return float(abs(self.scan.index(place)[axis] - self.scan.plane(self.view)) * self.scan.spacing[axis])

    def with_letters(self) -> Tile:
        """The patient's sides at the tile's edges, a scale, and the window."""
        draw, (width, height) = ImageDraw.Draw(self.picture), self.size
        (left, right), (top, bottom) = ACROSS[self.view.axis], DOWN[self.view.axis]
        edge = 5
        for text, at, anchor in (
            (left, (edge, height / 2), "lm"),
            (right, (width - edge, height / 2), "rm"),
            (top, (width / 2, edge), "mt"),
            (bottom, (width / 2, height - edge), "mb"),
            (f"W {WINDOW} L {LEVEL}", (width - edge, height - edge), "rb"),
        ):
            write(draw, at, text, 15, anchor)
        mm = 50 if 50 * self.scale < 0.35 * width else 20
        bar, y = mm * self.scale, height - 10
        draw.line((8, y, 8 + bar, y), DARK, 5)
        draw.line((8, y, 8 + bar, y), LIGHT, 2)
        for tick in range(mm // 10 + 1):
            x = 8 + tick * 10 * self.scale
            draw.line((x, y - (6 if tick in (0, mm // 10) else 3), x, y), LIGHT, 2)
        write(draw, (8, y - 8), f"{mm // 10} cm", 13, "lb")
        return self


def write(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, anchor: str) -> None:
    """White letters with a dark rim: to be read on any grey."""
    draw.text(at, text, LIGHT, font(size), anchor=anchor, stroke_width=2, stroke_fill=DARK)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def readable(text: str) -> str:
    """The text in the characters that the font has: without accents, else with question marks."""
    return "".join(char if _has_shape(char) else _plain(char) for char in text)


def _plain(char: str) -> str:
    parts = unicodedata.normalize("NFKD", char)
    with_shape = "".join(part for part in parts if _has_shape(part))
    return with_shape or ("ss" if char == "ß" else "?")


@lru_cache
def _has_shape(char: str) -> bool:
    shape, missing = (font(16).getmask(one) for one in (char, "\uffff"))
    return (shape.size, bytes(shape)) != (missing.size, bytes(missing))


def _paint(picture: np.ndarray, mask: np.ndarray, value: int, colour: tuple[int, int, int], fill: float) -> None:
    """Colour the outline fully and the inside lightly, with a pattern for tumor and cyst."""
    weight = np.where(mask, fill, 0.0)
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    if value == TUMOR:
        weight = np.where(mask & ((rows + columns) % 10 < 2), fill * 3.5, weight)
    elif value == CYST:
        weight = np.where(mask & (rows % 8 < 2) & (columns % 8 < 2), fill * 5, weight)
    weight = np.where(mask & ~ndimage.binary_erosion(mask, iterations=2), 1.0, weight)[..., None]
    picture[:] = picture * (1 - weight) + np.array(colour, np.float32) * weight


def _line(draw: ImageDraw.ImageDraw, first: np.ndarray, second: np.ndarray) -> None:
    """A caliper: a thin line with a short bar across each end."""
    along = second - first
    across = np.array([-along[1], along[0]]) / max(1e-6, float(np.linalg.norm(along))) * 6
    strokes = [(first, second), (first - across, first + across), (second - across, second + across)]
    for colour, wide in ((DARK, 4), (LIGHT, 2)):
        for a, b in strokes:
            draw.line((*a, *b), colour, wide)


def _write_length(
    draw: ImageDraw.ImageDraw,
    first: np.ndarray,
    second: np.ndarray,
    text: str,
    taken: Sequence[np.ndarray],
    size: tuple[int, int],
) -> np.ndarray:
    """A length beyond one of its line's ends, where none stands yet; gives the place."""
    along = (second - first) / max(1e-6, float(np.linalg.norm(second - first)))
    places = [end + sign * along * 20 for end, sign in ((second, 1), (first, -1))]
    inside = [place for place in places if (place > 14).all() and (place < np.array(size) - 14).all()] or places
    free = [place for place in inside if all(np.linalg.norm(place - other) > 24 for other in taken)] or inside
    write(draw, (float(free[0][0]), float(free[0][1])), text, 16, "mm")
    return free[0]
