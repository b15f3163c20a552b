"""Draws the extension's icon: two kidneys, a marked tumor on one of them. Readable at 16 pixels, and without colour."""

from __future__ import annotations

import numpy as np
from PIL import Image
from wpunet.labels import KIDNEY_LABEL, TUMOR_LABEL

FINE = 1024  # drawn at this size, then shrunk
Field = np.ndarray  # signed distance to an outline, negative inside; the picture is 1 wide

INK = np.array((60, 16, 18), float)
RADIUS, REACH = 0.185, 1.02  # of a kidney's arc, and the half of its angle
HILUM = 0.045  # how softly its two halves meet
HALO = 0.018  # of white around everything, for dark backgrounds


def draw(size: int) -> Image.Image:
    """The icon, ``size`` pixels wide, on a transparent ground."""
    small = size < 48  # thicker lines, no stripes
    y, x = (np.indices((FINE, FINE)) + 0.5) / FINE
    line = 0.022 if small else 0.014
    canvas = np.zeros((FINE, FINE, 4))
    right, left = _kidney(x, y, 0.0), _kidney(1 - x, y, 0.03)
    tumor = np.hypot(x - 0.79, y - 0.715) - (0.19 if small else 0.165)
    everything = np.minimum(np.minimum(right, left), tumor)
    _fill(canvas, everything - line - HALO, np.array((255.0, 255.0, 255.0)))
    for kidney in (right, left):
        _fill(canvas, kidney - line, INK)
        _fill(canvas, kidney, _shaded(KIDNEY_LABEL.colour, kidney, y))
    _fill(canvas, tumor - line, np.array((10.0, 56.0, 22.0)))
    _fill(canvas, tumor, _shaded(TUMOR_LABEL.colour, tumor, y))
    if not small:
        stripes = np.abs(np.mod(x + y, 0.085) - 0.0425) - 0.013
        _fill(canvas, np.maximum(stripes, tumor + 0.02), np.array((226.0, 250.0, 230.0)))
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8), "RGBA")
    return image.resize((size, size), Image.Resampling.LANCZOS)


def _kidney(x: np.ndarray, y: np.ndarray, down: float) -> Field:
    """A bean: a thick arc, open towards the middle of the picture, its upper end leaning inwards."""
    px, py = x - 0.388, y - 0.475 - down
    turn = np.radians(-8)
    px, py = px * np.cos(turn) - py * np.sin(turn), px * np.sin(turn) + py * np.cos(turn)
    py = py / 1.32  # taller than an arc
    angle = np.arctan2(py, -px)
    upper, below = (_arc(px, py, np.clip(angle, *part)) for part in ((-REACH, 0.0), (0.0, REACH)))
    blend = np.clip(0.5 + (upper - below) / (2 * HILUM), 0.0, 1.0)  # a smooth notch instead of a crease
    return upper + (below - upper) * blend - HILUM * blend * (1 - blend)


def _arc(px: np.ndarray, py: np.ndarray, angle: np.ndarray) -> Field:
    thick = 0.152 - 0.022 * (angle / REACH) ** 2
    return np.hypot(px + RADIUS * np.cos(angle), py - RADIUS * np.sin(angle)) - thick


def _shaded(colour: tuple[int, int, int], inside: Field, y: np.ndarray) -> np.ndarray:
    """Lighter above and in the middle, darker at the edge below."""
    light = np.clip(1.22 - 0.42 * y - 0.6 * np.clip(inside + 0.06, 0, 0.06), 0.6, 1.25)
    return np.asarray(colour, float) * light[..., None]


def _fill(canvas: np.ndarray, outline: Field, colour: np.ndarray) -> None:
    cover = np.clip(0.5 - outline * FINE, 0.0, 1.0)
    canvas[..., :3] += (colour - canvas[..., :3]) * cover[..., None]
    canvas[..., 3] = np.maximum(canvas[..., 3], cover * 255)
