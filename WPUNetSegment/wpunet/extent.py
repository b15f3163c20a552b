"""Lengths as a reader takes them, with their two ends: the longest distances of a mask and what is across them.

A mask's outline is the middles of the faces between inside and outside: ends lie on the edge of what is marked, as a
reader's caliper does. All works through the affine, so slices may be sheared against each other.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist, squareform

from .structure import Line, Point

SECTION_MM = 3.0  # a kidney's sections across its length are this thick, be slices thicker or not


def faces(mask: np.ndarray) -> np.ndarray:
    """The middles of the faces between inside and outside, (n, 3) in voxels; beyond the array is outside."""
    found = []
    for axis in range(mask.ndim):
        front = np.moveaxis(mask, axis, 0)
        edge = np.zeros((1, *front.shape[1:]), bool)
        steps = np.argwhere(np.diff(np.concatenate([edge, front, edge]), axis=0)).astype(np.float64)
        steps[:, 0] -= 0.5  # between voxel k-1 and k
        order = [*range(1, axis + 1), 0, *range(axis + 1, mask.ndim)]
        found.append(steps[:, order])
    return np.concatenate(found)


def to_ras(index: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """(n, 3) voxels -> (n, 3) RAS mm."""
    return index @ affine[:3, :3].T + affine[:3, 3]


def line(first: np.ndarray, second: np.ndarray) -> Line:
    """From one place (RAS mm) to another."""
    return Line(float(np.linalg.norm(second - first)), (_point(first), _point(second)))


def longest(outline: np.ndarray) -> Line:
    """The longest distance between two of the points (n, 3), RAS mm."""
    points = _corners(outline)
    apart = squareform(pdist(points))
    first, second = np.unravel_index(int(apart.argmax()), apart.shape)
    return line(points[first], points[second])


def craniocaudal(outline: np.ndarray) -> Line:
    """From the highest to the lowest level of an outline (n, 3), RAS mm: straight down beside its middle."""
    x, y = outline[:, 0].mean(), outline[:, 1].mean()
    return line(np.array([x, y, outline[:, 2].max()]), np.array([x, y, outline[:, 2].min()]))


def axial(mask: np.ndarray, affine: np.ndarray) -> tuple[Line, Line]:
    """The longest distance in one slice of a mask (slice, row, column), and the longest across it in that slice."""
    best, at = None, 0
    for k, one in enumerate(mask):
        if not one.any():
            continue
        outline = to_ras(_in_slice(_corners(faces(one)), k), affine)
        if best is not None and np.linalg.norm(np.ptp(outline, axis=0)) <= best.mm:
            continue
        found = longest(outline)
        if best is None or found.mm > best.mm:
            best, at = found, k
    assert best is not None, "an empty mask has no extent"
    outline = to_ras(_in_slice(faces(mask[at]), at), affine)
    normal = np.cross(affine[:3, 1], affine[:3, 2])
    width = float(np.linalg.norm(affine[:3, 1:3], axis=0).max())
    return best, across(outline, best, normal, width)


def kidney(outline: np.ndarray) -> tuple[Line, Line, Line]:
    """Length from pole to pole, width and thickness of an outline (n, 3), RAS mm.

    Width is the longest distance within a section across the length, of the section where that is longest; thickness
    is across the width in that section.
    """
    length = longest(outline)
    ends = np.array(length.ends_ras_mm)
    along = (ends[1] - ends[0]) / max(length.mm, 1e-9)
    at = (outline - ends[0]) @ along
    section = np.floor(at / SECTION_MM).astype(int)
    order = np.argsort(section, kind="stable")
    best: Line | None = None
    widest = outline
    for part in np.split(outline[order], np.flatnonzero(np.diff(section[order])) + 1):
        flat = part - np.outer((part - ends[0]) @ along - ((part - ends[0]) @ along).mean(), along)
        if best is not None and np.linalg.norm(np.ptp(flat, axis=0)) <= best.mm:
            continue
        found = longest(flat)
        if best is None or found.mm > best.mm:
            best, widest = found, flat
    assert best is not None
    return length, best, across(widest, best, along, SECTION_MM)


def across(outline: np.ndarray, first: Line, normal: np.ndarray, width_mm: float) -> Line:
    """The longest way through a flat outline (n, 3), RAS mm, that is perpendicular to ``first``.

    normal: of the plane; width_mm: points this close along ``first`` are taken as one line
    """
    start, end = np.array(first.ends_ras_mm)
    along = (end - start) / max(first.mm, 1e-9)
    aside = np.cross(normal, along)
    aside /= np.linalg.norm(aside)
    s, t = (outline - start) @ along, (outline - start) @ aside
    strip = np.floor((s - s.min()) / width_mm).astype(int)
    low, high = np.full(strip.max() + 1, np.inf), np.full(strip.max() + 1, -np.inf)
    np.minimum.at(low, strip, t)
    np.maximum.at(high, strip, t)
    best = int(np.argmax(high - low))
    foot = start + along * float(s[strip == best].mean())
    return line(foot + aside * low[best], foot + aside * high[best])


def _corners(points: np.ndarray) -> np.ndarray:
    """Those of the points (n, d) that can be the end of a longest distance: the corners of their convex hull."""
    rank = points - points[0]
    if len(points) > points.shape[1] + 1:
        try:
            return points[ConvexHull(points).vertices]
        except QhullError:  # all in one plane
            _, size, axes = np.linalg.svd(rank - rank.mean(0), full_matrices=False)
            flat = rank @ axes[size > 1e-6 * size[0]].T
            if flat.shape[1] == 2 and len(points) > 3:
                return points[ConvexHull(flat, qhull_options="QJ").vertices]
    return points


def _in_slice(points: np.ndarray, k: int) -> np.ndarray:
    """(n, 2) rows and columns -> (n, 3) voxels of slice ``k``."""
    return np.column_stack([np.full(len(points), float(k)), points])


def _point(ras: np.ndarray) -> Point:
    return float(ras[0]), float(ras[1]), float(ras[2])
