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
        """mm to the edge, negative outside."""
        inside, outside = (distance_transform_edt(one, spacing[1:]) for one in (mask, ~mask))
        return inside - outside

    result = np.zeros(marked.shape, bool)
    for above, below, area in _pairs(marked, spacing[0]):
        start, stop = (depth(mask) for mask in (above[1], below[1]))
        gap = below[0] - above[0]
        for k in range(1, gap):
            result[(above[0] + k, *area)] |= start * (gap - k) + stop * k > 0
    return result


Level = tuple[int, np.ndarray]  # a slice's number, and what is marked in it (row, column)


def _pairs(marked: np.ndarray, slice_mm: float) -> Iterator[tuple[Level, Level, tuple[slice, slice]]]:
    """The last slice of a body, the first one of the next body under it, and rows and columns of both with a margin."""
    from wpunet.bodies import bodies

    found = bodies(marked)
    for one, box in enumerate(found.boxes, 1):
        under: list[tuple[Level, Level, tuple[slice, slice]]] = []
        for other, its in enumerate(found.boxes, 1):
            gap = its[0].start - box[0].stop
            whole = min(box[0].stop - box[0].start, its[0].stop - its[0].start) > 1
            if gap < 1 or whole or (gap + 1) * slice_mm > APART_MM:
                continue
            rows, columns = (
                slice(max(0, min(a.start, b.start) - 1), max(a.stop, b.stop) + 1)
                for a, b in zip(box[1:], its[1:], strict=True)
            )
            area = (rows, columns)
            last = found.numbers[(box[0].stop - 1, *area)] == one
            first = found.numbers[(its[0].start, *area)] == other
            if (last & first).any():
                under.append(((box[0].stop - 1, last), (its[0].start, first), area))
        nearest = min((below[0] for _, below, _ in under), default=0)
        yield from (pair for pair in under if pair[1][0] == nearest)
