"""What was found, from the front: lesions solid, kidneys of glass. A projection of smoothed masks, in NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from .boxes import bounding_box
from .labels import CYST_LABEL, LEFT_KIDNEY_LABEL, RIGHT_KIDNEY_LABEL, TUMOR_LABEL, Label

GRID_MM = 1.25  # masks are brought to voxels of this size
SMOOTH_MM = 2.0  # and blurred, at least by one of their own slices
MARGIN_MM = 8.0
KIDNEYS, LESIONS = (RIGHT_KIDNEY_LABEL, LEFT_KIDNEY_LABEL), (CYST_LABEL, TUMOR_LABEL)
LIGHT = np.array([-0.55, -0.65, -0.5])  # from above, the front and the patient's right; (slice, row, column)
LIGHT /= np.linalg.norm(LIGHT)
FAR, NEAR, SOLID = 0.25, 0.14, 1.0  # how much a wall covers where one looks straight at it


@dataclass(frozen=True)
class Solid:
    """A smoothed mask: float32 (slice, row, column) of GRID_MM, its surface where it is 0.5; ``start`` in mm."""

    label: Label
    field: np.ndarray
    start: np.ndarray


def from_the_front(
    labels: np.ndarray, spacing: tuple[float, float, float], size: tuple[int, int]
) -> tuple[Image.Image, float]:
    """A picture of ``size`` (width, height) and its pixels a mm; labels (slice, row, column), spacing in mm.

    Head up, the patient's right on the left, as one stands before them. Empty where nothing is marked.
    """
    box = bounding_box(labels)
    if box is None:
        return Image.new("RGB", size, (255, 255, 255)), 1.0
    marked = labels[box]
    solids = {label.key: solid for label in (*KIDNEYS, *LESIONS) if (solid := _solid(marked, label, spacing))}
    height, _, width = np.array(marked.shape) * spacing + 2 * MARGIN_MM
    scale = min(size[0] / width, size[1] / height)
    left, top = (size[0] / scale - width) / 2, (size[1] / scale - height) / 2  # mm
    canvas = np.full((size[1], size[0], 3), 255, np.float32)
    glass = [solids[label.key] for label in KIDNEYS if label.key in solids]
    lesions = [solids[label.key] for label in LESIONS if label.key in solids]
    for several, cover, backwards in ((glass, FAR, True), (lesions, SOLID, False), (glass, NEAR, False)):
        for one in several:
            at = (one.start[[0, 2]] + MARGIN_MM + (top, left)) * scale
            _draw(canvas, one, cover, backwards, at, scale)
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8)), scale


def _solid(labels: np.ndarray, label: Label, spacing: tuple[float, float, float]) -> Solid | None:
    mask = labels == label.value
    box = bounding_box(mask)
    if box is None:
        return None
    steps = np.array(spacing)
    margin = np.ceil(MARGIN_MM / steps).astype(int)
    air = np.pad(mask[box], [(n, n) for n in margin]).astype(np.float32)
    thick = np.maximum(1, np.round(GRID_MM / steps)).astype(int)  # voxels of the CT in one of ours
    air = np.pad(air, [(0, -n % f) for n, f in zip(air.shape, thick, strict=True)])
    (a, b, c), (x, y, z) = (n // f for n, f in zip(air.shape, thick, strict=True)), thick
    thin = air.reshape(a, x, b, y, c, z).mean(axis=(1, 3, 5))
    field = ndimage.zoom(thin, steps * thick / GRID_MM, order=1, grid_mode=True, mode="nearest")
    field = ndimage.gaussian_filter(field, np.maximum(SMOOTH_MM, steps) / GRID_MM, truncate=2.5)
    start = (np.array([side.start for side in box]) - margin) * steps
    return Solid(label, field / max(field.max(), 0.75), start)


def _draw(canvas: np.ndarray, solid: Solid, cover: float, backwards: bool, at: np.ndarray, scale: float) -> None:
    """Lay the near wall of a solid (``backwards``: the far one) over the canvas; at: row and column of its corner."""
    field = solid.field[:, ::-1] if backwards else solid.field
    most = field.max(axis=1)
    first = np.where(most > 0.5, (field > 0.5).argmax(axis=1), field.argmax(axis=1))[:, None]
    outward = -np.stack([np.take_along_axis(slope, first, 1)[:, 0] for slope in np.gradient(field)], -1)
    outward /= np.maximum(np.linalg.norm(outward, axis=-1, keepdims=True), 1e-6)
    lit = np.clip(outward @ LIGHT, 0, 1)
    rim = (1 - np.abs(outward[..., 1])) ** 1.5
    alpha = cover + (1 - cover) * 0.75 * rim
    gloss = 0.35 * lit**24 if not backwards else 0 * lit
    shade, alpha = (ndimage.gaussian_filter(one, 0.8) for one in (0.5 + 0.6 * lit, alpha))  # creases make dots
    size = tuple(round(n * GRID_MM * scale) for n in most.shape)
    edge, alpha, shade, gloss = (_grown(one, size) for one in (most, alpha, shade, gloss))
    alpha = (np.clip((edge - 0.5) * 14 + 0.5, 0, 1) * np.clip(alpha, 0, 1))[..., None]
    ink = np.array(solid.label.colour, np.float32) * shade[..., None] + 255 * gloss[..., None]
    row, column = np.round(at).astype(int)
    inside = tuple(
        (slice(max(0, a), min(limit, a + n)), slice(max(0, -a), min(n, limit - a)))
        for a, n, limit in zip((row, column), size, canvas.shape, strict=False)
    )
    (rows, own_rows), (columns, own_columns) = inside
    part, alpha = canvas[rows, columns], alpha[own_rows, own_columns]
    part[:] = part * (1 - alpha) + ink[own_rows, own_columns] * alpha


def _grown(values: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """An image (row, column) at another size."""
    picture = Image.fromarray(values.astype(np.float32))
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BICUBIC))
