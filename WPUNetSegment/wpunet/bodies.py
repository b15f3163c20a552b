"""Connected bodies in 3D."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from .boxes import Box as Box
from .boxes import bounding_box as bounding_box
from .boxes import grown as grown
from .boxes import shifted


class Removed(NamedTuple):
    """A body that was taken away: its volume, and its centre (slice, row, column) in voxels."""

    ml: float
    centre: tuple[float, float, float]


@dataclass(frozen=True)
class Bodies:
    """Bodies of a mask; voxels that share a corner belong together.

    numbers: (slice, row, column), 0 outside, else the body's number from 1
    voxels:  of each body; ``voxels[0]`` is body 1
    boxes:   likewise
    """

    numbers: np.ndarray
    voxels: np.ndarray
    boxes: tuple[Box, ...]

    def __len__(self) -> int:
        return len(self.voxels)


def bodies(mask: np.ndarray) -> Bodies:
    """The connected bodies of a boolean array (slice, row, column)."""
    import cc3d  # not at the top: 3D Slicer shows the panel before this is installed

    box = bounding_box(mask)
    if box is None:
        return Bodies(np.zeros(mask.shape, np.uint16), np.zeros(0, int), ())
    inside = cc3d.connected_components(np.ascontiguousarray(mask[box]), connectivity=26)
    found = cc3d.statistics(inside, no_slice_conversion=False)
    numbers = np.zeros(mask.shape, inside.dtype)
    numbers[box] = inside
    boxes = tuple(shifted(one, box) for one in found["bounding_boxes"][1:])
    return Bodies(numbers, found["voxel_counts"][1:].astype(int), boxes)


def within(distance_mm: float, mask: np.ndarray, others: np.ndarray, spacing: tuple[float, float, float]) -> bool:
    """Whether any voxel of ``mask`` lies within ``distance_mm`` of one of ``others`` (both slice, row, column).

    Only surfaces are compared: a map of distances would take twenty bytes a voxel.
    """
    return bool(np.isfinite(gap_mm(mask, others, spacing, distance_mm + 1e-6)))


def gap_mm(mask: np.ndarray, others: np.ndarray, spacing: Sequence[float], less_than: float = np.inf) -> float:
    """From a mask to the nearest voxel of another (both slice, row, column), centre to centre.

    Infinite where there is none, or none at ``less_than`` mm: a limit makes the search shorter.
    """
    near, far = (_surface(one) * np.array(spacing) for one in (mask, others))
    if not len(near) or not len(far):
        return float("inf")
    distances, _ = KDTree(far).query(near, distance_upper_bound=less_than)
    return float(distances.min())


def _surface(mask: np.ndarray) -> np.ndarray:
    """The voxels (n, 3) of a mask that have a neighbour outside it."""
    return np.argwhere(mask & ~ndimage.binary_erosion(mask))
