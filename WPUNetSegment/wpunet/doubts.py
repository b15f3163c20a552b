"""What speaks against a result: doubts about structures, and what to know before using the numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .clean import Removed
from .contrast import ENHANCED_HU, kidney_hu
from .structure import Caution, Structure

ADULT_KIDNEY_ML = (60.0, 400.0)
LARGE_ML = 30.0  # a body of this size that was taken away is worth a look: a kidney may have been lost
OF_RUN = ("input", "removed", "run")  # codes of what stays true whatever a person corrects afterwards


def judge(
    structures: Sequence[Structure], labels: np.ndarray, hu: np.ndarray
) -> tuple[tuple[Structure, ...], tuple[Caution, ...]]:
    """The structures with their doubts, and the warnings to tell.

    labels (values of labels.BY_SIDE), hu: (slice, row, column)
    """
    structures = tuple(structures)
    if not structures:
        text = "No kidney was found. If there is one, look at orientation and HU scale of the CT, or try --full."
        return structures, (Caution("nothing", text),)
    found: list[Caution] = []
    median = kidney_hu(hu, labels)
    if median is None:
        found.append(Caution("no_kidney", "Tumor but no kidney tissue was found; check the result."))
    elif median < ENHANCED_HU:
        text = f"Probably without contrast (kidney tissue {median:.0f} HU): tumors are hardly visible, check them."
        found.append(Caution("contrast", text))
    found += [
        Caution("cut", f"The {one.name} is cut by the edge of the scan; its volume is a lower bound.", one.name)
        for one in structures
        if one.touches_border
    ]
    kidneys = [one for one in structures if one.kind == "kidney"]
    if len(kidneys) == 1:
        found.append(Caution("one_kidney", f"Only the {kidneys[0].name} was found.", kidneys[0].name))
    low, high = ADULT_KIDNEY_ML
    found += [
        Caution("volume", f"{one.volume_ml:.0f} ml is unusual for a kidney ({one.name}); check it.", one.name)
        for one in kidneys
        if not one.touches_border and not low <= one.volume_ml <= high
    ]
    return structures, tuple(found)


def of_removed(removed: Sequence[Removed], affine: np.ndarray) -> tuple[Caution, ...]:
    """Warnings of large bodies that the rules took away; affine: (slice, row, column, 1) -> RAS mm."""
    told = []
    for ml, centre in removed:
        if ml >= LARGE_ML:
            r, a, s = (affine[:3, :3] @ np.array(centre) + affine[:3, 3]).round().astype(int).tolist()
            where = f"around {r}, {a}, {s} mm (RAS)"
            text = f"A body of {ml:.0f} ml {where} was not taken for a kidney and left out; look there."
            told.append(Caution("removed", text))
    return tuple(told)
