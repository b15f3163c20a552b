"""Boxes of a volume: so that nothing works on more voxels than it must."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from math import prod
from typing import cast

import numpy as np

Box = tuple[slice, slice, slice]


def blank(shape: tuple[int, ...], dtype: np.dtype | type = np.uint8) -> np.ndarray:
    """Zeros, of which little will be written to, as in a label map: the rest takes neither memory nor time.

    NumPy's own zeros come in huge pages, and one that is written to anywhere is cleared as a whole.
    """
    room = mmap.mmap(-1, max(1, prod(shape) * np.dtype(dtype).itemsize))
    return np.frombuffer(room, dtype, prod(shape)).reshape(shape)


def bounding_box(mask: np.ndarray, within: Box | None = None) -> Box | None:
    """The smallest box around what is not 0 in an array, with a slice for each of its axes; None where nothing is.

    within: a box outside of which all is known to be 0, and is not looked at
    """
    if within:
        inside = bounding_box(mask[within])
        return inside and shifted(inside, within)
    sides = []
    for _ in range(mask.ndim):
        along = np.flatnonzero(mask.reshape(len(mask), -1).any(axis=1))
        if not len(along):
            return None
        sides.append(slice(int(along[0]), int(along[-1]) + 1))
        mask = np.asarray(mask[sides[-1]].any(axis=0))
    return cast(Box, tuple(sides))


def bounding_box_across(mask: np.ndarray) -> Box | None:
    """``bounding_box`` of an array whose axes lie in memory in any order: others it would copy as a whole."""
    order = sorted(range(mask.ndim), key=lambda axis: -abs(mask.strides[axis]))
    box = bounding_box(mask.transpose(order))
    return box and cast(Box, tuple(box[order.index(axis)] for axis in range(mask.ndim)))


def grown(box: Box, margin_mm: float, spacing: tuple[float, float, float], shape: tuple[int, ...]) -> Box:
    """A box with a margin on all sides, inside an array of ``shape``."""
    steps = [int(np.ceil(margin_mm / step)) for step in spacing]
    slices, rows, columns = (
        slice(max(0, side.start - step), min(size, side.stop + step))
        for side, step, size in zip(box, steps, shape, strict=True)
    )
    return slices, rows, columns


def around(boxes: Sequence[Box]) -> Box:
    """The smallest box around all of them."""
    slices, rows, columns = (
        slice(min(side.start for side in sides), max(side.stop for side in sides)) for sides in zip(*boxes, strict=True)
    )
    return slices, rows, columns


def placed(mask: np.ndarray, box: Box, outer: Box) -> np.ndarray:
    """A mask of ``box`` as one of a box that holds it; both in the indices of the whole."""
    made = np.zeros([side.stop - side.start for side in outer], bool)
    made[tuple(slice(b.start - o.start, b.stop - o.start) for b, o in zip(box, outer, strict=True))] = mask
    return made


def shifted(box: Box, outer: Box) -> Box:
    """A box within ``outer`` in the indices of the whole."""
    slices, rows, columns = (slice(o.start + b.start, o.start + b.stop) for b, o in zip(box, outer, strict=True))
    return slices, rows, columns
