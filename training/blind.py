"""What is marked on slices that were not chosen for their tumor: where there is no kidney, no tumor, or a cyst.

Single slices tell little of a whole CT, which the engine's rules clean in 3D; but they show how often the network
itself sees what is not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from wpunet.bodies import bodies
from wpunet.clean import CleanRules, clean
from wpunet.labels import CYST, TUMOR

from training.data import Case

MARKED_MM2 = 100.0  # of kidney or tumor where there is no kidney: more is a false alarm
TUMOR_MM2 = 50.0  # of tumor in a slice with kidney and no tumor
CYST_MM = 10.0  # cysts of this diameter and more count
WATER = replace(CleanRules().without(["all"]), watery=True)
APART_MM = 5.0  # what a single slice is taken for, so that it has an inside
FOUND = 0.5  # of a cyst's pixels: so many decide what it is called


def blind(pairs: Iterable[tuple[Case, np.ndarray]]) -> dict[str, Any]:
    """Counts over cases and what was found in them: uint8 (slice, row, column), values of labels.BY_SIDE.

    without_kidney, without_tumor: slices, and those with a false alarm; the latter of slices with kidney
    cysts: those of CYST_MM and more in one slice, how many are called cyst, tumor, and how many are not marked
    """
    without_kidney, without_tumor, cysts = np.zeros(2, int), np.zeros(2, int), np.zeros(4, int)
    for case, found in pairs:
        mm2 = case.pixel_mm**2
        for truth, marked in zip(case.labels, found, strict=True):
            if not truth.any():
                without_kidney += (1, int((marked > 0).sum() * mm2 > MARKED_MM2))
            elif not (truth == TUMOR).any():
                without_tumor += (1, int((marked == TUMOR).sum() * mm2 > TUMOR_MM2))
            if case.cysts:
                cysts += _cysts(truth == CYST, marked, mm2)
    return {
        "without_kidney": _named(without_kidney, "slices", "false_alarms"),
        "without_tumor": _named(without_tumor, "slices", "false_alarms"),
        "cysts": _named(cysts, "cysts", "called_cyst", "called_tumor", "not_marked"),
    }


def by_density(case: Case, found: np.ndarray) -> np.ndarray:
    """What was found, uint8 (slice, row, column), after the engine's rule on water; a new array.

    Each slice by itself, contrast agent or not: slices of a case are no neighbours.
    """
    spacing, hu = (APART_MM, case.pixel_mm, case.pixel_mm), case.hu
    return np.concatenate([clean(found[k : k + 1], spacing, WATER, hu[k : k + 1]).labels for k in range(len(found))])


def _named(counts: np.ndarray, *names: str) -> dict[str, int]:
    return dict(zip(names, counts.tolist(), strict=True))


def _cysts(truth: np.ndarray, marked: np.ndarray, mm2: float) -> np.ndarray:
    """How many cysts a slice (row, column) has, and what they are called."""
    counts = np.zeros(4, int)
    there = bodies(truth[None])
    for k, box in enumerate(there.boxes, 1):
        if 2 * np.sqrt(there.voxels[k - 1] * mm2 / np.pi) < CYST_MM:
            continue
        called = marked[box[1:]][(there.numbers[box] == k)[0]]
        counts += (1, *(int((called == value).mean() >= FOUND) for value in (CYST, TUMOR, 0)))
    return counts
