"""Where the network was least certain: places to look at, one after the other."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

CUBE_MM = 8.0  # uncertainty is averaged over cubes of this size: single voxels on an outline mean little
APART_MM = 20.0  # places nearer to each other than this are one
MOST = 10

Point = tuple[float, float, float]


def uncertain_places(uncertainty: np.ndarray, affine: np.ndarray) -> list[tuple[float, Point]]:
    """The places of highest uncertainty, the highest first, at most ``MOST``: how uncertain, and RAS mm.

    uncertainty: 3D, 0 (sure) to 1, or to 255; affine: (4, 4), its indices in the order of its axes -> RAS mm
    """
    in_cube = np.round(CUBE_MM / np.linalg.norm(affine[:3, :3], axis=0)).astype(int)
    steps = np.clip(in_cube, 1, uncertainty.shape)
    cubes = _averaged(uncertainty, steps)
    peaks = np.argwhere((cubes == ndimage.maximum_filter(cubes, size=3)) & (cubes > 0))
    peaks = peaks[np.argsort(-cubes[tuple(peaks.T)], kind="stable")]
    points = ((peaks + 0.5) * steps - 0.5) @ affine[:3, :3].T + affine[:3, 3]
    return [(float(cubes[tuple(peaks[at])]), _point(points[at])) for at in _apart(points)]


def _apart(points: np.ndarray) -> list[int]:
    """Which of the points (n, 3) to keep: from the first on each that is not near to one kept before."""
    kept: list[int] = []
    for at, point in enumerate(points):
        if len(kept) == MOST:
            break
        if all(np.linalg.norm(point - points[other]) >= APART_MM for other in kept):
            kept.append(at)
    return kept


def _averaged(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Means over whole cubes of ``steps`` voxels, one axis after the other; the rest at the far ends is left out."""
    for axis, step in enumerate(steps):
        count = values.shape[axis] // step
        front = np.moveaxis(values, axis, 0)[: count * step]
        values = np.moveaxis(front.reshape(count, step, *front.shape[1:]).mean(1, dtype=np.float32), 0, axis)
    return values


def _point(ras: np.ndarray) -> Point:
    return float(ras[0]), float(ras[1]), float(ras[2])
