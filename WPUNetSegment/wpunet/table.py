"""One row for each structure, with plain numbers and one fixed heading: for spreadsheets and statistics."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from .structure import LINES, PARTS, WAYS, Nephrometry, Structure

NUMBERS = (
    *("volume_ml", "mean_hu", "sd_hu", "certainty", "with_lesions_ml", "split_percent"),
    *("cortex_hu", "medulla_hu", "excreted_percent"),
    *("hu_against_kidney", "core_hu", "contact_cm2", "outside_percent", "soft_percent", "gas_percent"),
)
COLUMNS = (
    *("case", "structure", "kind", "side", *NUMBERS),
    *(f"{name}_mm" for name in (*LINES, *WAYS)),
    *("nephrometry", *(f"nephrometry_{name}" for name in PARTS), "c_index"),
    *("touches_border", "doubts", "centre_r_mm", "centre_a_mm", "centre_s_mm"),
    "corrected_by_hand",
)


def as_csv(structures: Sequence[Structure], case: str, corrected: bool | None = None) -> str:
    """The heading and a row a structure; empty where a measure does not belong to it or is not known.

    corrected: whether a person has changed any of the segments; None where nobody knows
    """
    by_hand = {True: "yes", False: "no", None: ""}[corrected]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([*row(one, case), by_hand] for one in structures)
    return text.getvalue()


def row(one: Structure, case: str) -> list[str]:
    """The values of ``COLUMNS`` that are a structure's own."""
    lines = [getattr(one, name) for name in (*LINES, *WAYS)]
    score = one.nephrometry or Nephrometry()
    parts = [getattr(score, name) for name in PARTS]
    return [
        *(case, one.name, one.kind, one.side),
        *(_number(getattr(one, name), 3) for name in NUMBERS),
        *("" if line is None else _number(line.mm, 2) for line in lines),
        *(score.text, *("" if part is None else str(part.points) for part in parts), _number(score.c_index, 2)),
        *(str(int(one.touches_border)), " ".join(one.doubts)),
        *(_number(mm, 1) for mm in one.centre_ras_mm),
    ]


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"  # never -0
