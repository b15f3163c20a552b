"""Slices that were drawn one by one become a body: what lies between two of them is interpolated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

APART_MM = 20.0  # what lies farther apart was not drawn as one


def between(marked: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Voxels between slices that are marked, and that are over each other (slice, row, column); spacing in mm.

    At least one of the two is marked in that slice alone. So nothing is filled between bodies that are whole.
    """
    from scipy.ndimage import distance_transform_edt  # a page without a CT does not need SciPy

    def depth(mask: np.ndarray) -> np.ndarray:
        """mm to the edge, negative outside; around ``mask`` nothing is marked."""
        padded = np.pad(mask, 1)
        inside, outside = (distance_transform_edt(one, spacing[1:]) for one in (padded, ~padded))
        return (inside - outside)[1:-1, 1:-1]

    result = np.zeros(marked.shape, bool)
    for above, below, area in _pairs(marked, spacing[0]):
        start, stop = (depth(mask) for mask in (above[1], below[1]))
        gap = below[0] - above[0]
        for k in range(1, gap):
            result[(above[0] + k, *area)] |= start * (gap - k) + stop * k > 0
    return result


Level = tuple[int, np.ndarray]  # a slice's number, and what is marked in it (row, column)


def _pairs(marked: np.ndarray, slice_mm: float) -> Iterator[tuple[Level, Level, tuple[slice, slice]]]:
    """The last slice of a body, the first one of the next body under it, and rows and columns that hold both."""
    from wpunet.bodies import bodies
    from wpunet.boxes import around

    found = bodies(marked)
    if not found.boxes:
        return
    ends = np.array([[(side.start, side.stop) for side in box] for box in found.boxes])
    first, end = ends[..., 0], ends[..., 1]  # of each body: slice, row, column
    single = end[:, 0] - first[:, 0] == 1
    for one, box in enumerate(found.boxes):
        gap = first[:, 0] - end[one, 0]
        near = (gap >= 1) & ((gap + 1) * slice_mm <= APART_MM) & (single | single[one])
        near &= ((first < end[one]) & (end > first[one]))[:, 1:].all(1)
        under: list[tuple[Level, Level, tuple[slice, slice]]] = []
        for other in np.flatnonzero(near):
            its = found.boxes[other]
            _, rows, columns = around([box, its])
            upper, lower = box[0].stop - 1, its[0].start
            last = found.numbers[upper, rows, columns] == one + 1
            follows = found.numbers[lower, rows, columns] == other + 1
            if (last & follows).any():
                under.append(((upper, last), (lower, follows), (rows, columns)))
        nearest = min((below[0] for _, below, _ in under), default=0)
        yield from (pair for pair in under if pair[1][0] == nearest)
