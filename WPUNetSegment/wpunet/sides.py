"""Which kidney is the left one: told by the spine, so that neither an off-centre scan nor half a body matters."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .bodies import bodies, bounding_box
from .labels import KIDNEY, LEFT_KIDNEY, RIGHT_KIDNEY

BONE_HU = 200
HORSESHOE_SHARE = 0.2  # of a body on its lesser side of the spine; more, and it lies across


def split_sides(labels: np.ndarray, hu: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels with the left kidney's voxels renamed, as a new array, and notes on unusual anatomy.

    labels, hu: (slice, row, column), columns to the patient's left.
    A body of kidney (with its tumor) gets one side, by its centre against the spine; one that lies across the spine is
    cut there, and said to be perhaps a horseshoe kidney.
    """
    labels = labels.copy()
    marked = bounding_box(labels)
    if marked is None:
        return labels, ()
    notes: list[str] = []
    view, columns = labels[marked], np.arange(labels.shape[2])[marked[2]]
    found = bodies(view > 0)
    for number, box in enumerate(found.boxes, 1):
        body = found.numbers[box] == number
        first = marked[0].start
        middle = midline(hu, slice(first + box[0].start, first + box[0].stop))
        left = columns[box[2]] > middle
        share = float(body[:, :, left].sum() / body.sum())
        kidney = body & (view[box] == KIDNEY)
        if HORSESHOE_SHARE < share < 1 - HORSESHOE_SHARE:
            view[box][kidney & left[None, None, :]] = LEFT_KIDNEY
            notes.append("One body of kidney lies across the spine (a horseshoe kidney?); it was divided there.")
        else:
            view[box][kidney] = LEFT_KIDNEY if share >= 0.5 else RIGHT_KIDNEY
    return labels, tuple(notes)


def midline(hu: np.ndarray, slices: slice) -> float:
    """The column of the spine over the given slices: where most bone lies in the back half of the body.

    Falls back to the middle of the body's outline, where there is no bone.
    """
    part = hu[slices][:: max(1, (slices.stop - slices.start) // 16)]
    body = part > -300
    rows = np.flatnonzero(body.any((0, 2)))
    columns = body.sum((0, 1)).astype(float)
    if not len(rows):
        return hu.shape[2] / 2
    outline = float(np.average(np.arange(len(columns)), weights=columns + 1e-9))
    back = part[:, (rows[0] + rows[-1]) // 2 :]
    bone = ndimage.gaussian_filter1d((back > BONE_HU).sum((0, 1)).astype(float), sigma=max(1.0, hu.shape[2] / 40))
    return float(np.argmax(bone)) if bone.max() > 0.5 else outline
