"""What became of each CT of a folder: a line for each in summary.csv, and a few lines for the terminal."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import outputs
from .folders import LeftOut

SUMMARY = "summary.csv"
COLUMNS = ("case", "status", "reason", "output", "seconds")
VOLUMES = ("right_kidney_ml", "left_kidney_ml", "tumor_ml", "tumors", "cyst_ml", "cysts")
DONE, SKIPPED, FAILED, LEFT_OUT = "done", "skipped", "failed", "left out"
MOST_LINES = 20  # of failures on the terminal; the file has all


@dataclass(frozen=True)
class Row:
    """What became of one CT.

    report: as Report.to_json_dict gives it; None where there is none
    lost:   whether it counts in the exit status
    """

    case: str
    status: str
    reason: str = ""
    output: str = ""
    report: Mapping[str, Any] | None = None
    lost: bool = False

    @classmethod
    def of_left_out(cls, one: LeftOut) -> Row:
        return cls(str(one.path), LEFT_OUT, one.reason, lost=one.lost)

    @property
    def cells(self) -> list[object]:
        report = self.report or {}
        seconds = report.get("seconds") or {}
        told = [round(sum(seconds.values()), 1) if seconds else ""]
        warnings = " | ".join(one["text"] if isinstance(one, dict) else str(one) for one in report.get("warnings", ()))
        return [self.case, self.status, self.reason, self.output, *told, *_volumes(report), warnings]


def _volumes(report: Mapping[str, Any]) -> list[object]:
    """ml of the right and of the left kidney, of all tumors and of all cysts; empty where it is not known."""
    if not report:
        return [""] * len(VOLUMES)
    sums, counts = Counter[str](), Counter[str]()
    for one in report.get("structures", ()):
        sums[f"{one['side']} {one['kind']}" if one["kind"] == "kidney" else one["kind"]] += one["volume_ml"]
        counts[one["kind"]] += 1
    told: list[object] = [round(sums[name], 1) for name in ("right kidney", "left kidney")]
    for kind in ("tumor", "cyst"):
        told += [round(sums[kind], 1), counts[kind]]
    return told


def is_summary(path: Path) -> bool:
    """Whether a file was written by ``write``."""
    return outputs.head(path).startswith(",".join(COLUMNS).encode())


def write(path: Path, rows: Iterable[Row]) -> None:
    """All rows as a table; raises OutputError when it cannot be written."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*COLUMNS, *VOLUMES, "warnings"])
    writer.writerows(row.cells for row in rows)
    with outputs.replacing(path) as temporary:
        temporary.write_bytes(text.getvalue().encode("utf-8", "surrogateescape"))


def lines(rows: Sequence[Row], path: Path | None = None) -> str:
    """How many of each kind, and each failure with its reason."""
    counts = Counter(row.status for row in rows)
    told = [", ".join(f"{counts[status]} {status}" for status in (DONE, SKIPPED, FAILED, LEFT_OUT) if counts[status])]
    failed = [row for row in rows if row.status == FAILED]
    told += [f"  failed: {row.case}: {row.reason.removeprefix(f'{row.case}: ')}" for row in failed[:MOST_LINES]]
    if len(failed) > MOST_LINES:
        told.append(f"  and {len(failed) - MOST_LINES} failed more")
    told += _grouped([row for row in rows if row.status == LEFT_OUT])
    if path:
        told.append(f"  all of them: {path}")
    return "\n".join(told)


def _grouped(left: Sequence[Row]) -> list[str]:
    """What was left out, for each reason the first and how many."""
    reasons: dict[str, list[Row]] = {}
    for row in left:
        reasons.setdefault(row.reason, []).append(row)
    return [
        f"  left out: {rows[0].case}{f' and {len(rows) - 1} more' if len(rows) > 1 else ''}: {reason}"
        for reason, rows in reasons.items()
    ]
