"""The one table of labels: value, name, colour and clinical code of everything that the engine can mark.

Values 1 and 2 are KiTS19's own, so a label map compares directly with KiTS19's masks. Where the two kidneys are
kept apart, the left one gets a value of its own and the right one keeps 1. KiTS19 counts a cyst as kidney, and so do
files in its layout unless cysts are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .boxes import Box, blank, bounding_box

Code = tuple[str, str, str]  # coding scheme, value, meaning

BACKGROUND = 0
KIDNEY = RIGHT_KIDNEY = 1
TUMOR = 2
LEFT_KIDNEY = 3
CYST = 4
PARENCHYMA = "parenchyma alone"  # in names and heads of files, where kidneys are that
SIDES = "sides apart"  # in heads of files, where values are those of BY_SIDE
NO_CASE = (
    "Kidneys are their parenchyma alone here; the training takes whole ones, as KiTS19's readers draw them. Segment "
    "again without that option, and correct that."
)


@dataclass(frozen=True)
class Label:
    """One structure.

    value:    number in the label map
    key:      id in files and reports
    name:     what a person reads
    colour:   RGB, 0 to 255; kidneys red, tumor green, as in the paper, cysts blue
    category, type, modifier, region: SNOMED CT codes as 3D Slicer's terminologies hold them
    """

    value: int
    key: str
    name: str
    colour: tuple[int, int, int]
    category: Code
    type: Code
    modifier: Code | None = None
    region: Code | None = None

    @property
    def terminology(self) -> str:
        """The entry as 3D Slicer writes it into a segment's ``TerminologyEntry`` tag."""

        def text(code: Code | None) -> str:
            return "^".join(code) if code else "^^"

        codes = "~".join(text(code) for code in (self.category, self.type, self.modifier))
        return (
            f"Segmentation category and type - DICOM master list~{codes}"
            f"~Anatomic codes - DICOM master list~{text(self.region)}~^^"
        )


_ANATOMY: Code = ("SCT", "123037004", "Anatomical Structure")
_LESION: Code = ("SCT", "49755003", "Morphologically Altered Structure")
_KIDNEY: Code = ("SCT", "64033007", "Kidney")
RIGHT: Code = ("SCT", "24028007", "Right")
LEFT: Code = ("SCT", "7771000", "Left")
_RED, _GREEN, _BLUE = (214, 50, 48), (46, 174, 82), (70, 130, 240)

KIDNEY_LABEL = Label(KIDNEY, "kidney", "kidney", _RED, _ANATOMY, _KIDNEY)
RIGHT_KIDNEY_LABEL = Label(RIGHT_KIDNEY, "kidney_right", "right kidney", _RED, _ANATOMY, _KIDNEY, RIGHT)
LEFT_KIDNEY_LABEL = Label(LEFT_KIDNEY, "kidney_left", "left kidney", (232, 98, 82), _ANATOMY, _KIDNEY, LEFT)
TUMOR_LABEL = Label(TUMOR, "tumor", "kidney tumor", _GREEN, _LESION, ("SCT", "4147007", "Mass"), None, _KIDNEY)

CYST_LABEL = Label(CYST, "cyst", "kidney cyst", _BLUE, _LESION, ("SCT", "367643001", "Cyst"), None, _KIDNEY)

TOGETHER = (KIDNEY_LABEL, TUMOR_LABEL)  # KiTS19's own two labels
WITH_CYSTS = (KIDNEY_LABEL, TUMOR_LABEL, CYST_LABEL)
BY_SIDE = (RIGHT_KIDNEY_LABEL, TUMOR_LABEL, LEFT_KIDNEY_LABEL, CYST_LABEL)


def named_as_parenchyma(table: Sequence[Label]) -> tuple[Label, ...]:
    """A table for label maps whose kidneys are their parenchyma alone: the names of kidneys say so."""
    return tuple(replace(one, name=f"{one.name}, {PARENCHYMA}") if one.type == _KIDNEY else one for one in table)


def together(labels: np.ndarray, *, cysts: bool = False, within: Box | None = None) -> np.ndarray:
    """A label map of any shape with both kidneys as KiTS19's one label; of the same type, as a new array.

    A cyst counts as kidney, as in KiTS19, unless ``cysts`` keeps it apart. within: a box outside of which all is 0
    """
    made = blank(labels.shape, labels.dtype)
    box = bounding_box(labels, within)
    if box:
        kidney = labels[box] == LEFT_KIDNEY
        if not cysts:
            kidney |= labels[box] == CYST
        made[box] = np.where(kidney, labels.dtype.type(KIDNEY), labels[box])
    return made
