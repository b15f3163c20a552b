"""What is told of a run: measurements, warnings, and what made them; as JSON and as a short table."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from . import USE, __version__
from .bundle import Weights
from .contrast import PLAIN, phase
from .labels import BY_SIDE
from .structure import Caution, Place, Point, Structure, from_plain, plain
from .volume import Volume

SCHEMA = "wpunet-report/1"


@dataclass(frozen=True)
class Report:
    """Everything told of one CT; ``to_json_dict`` gives it with units in the names.

    path, series: where the CT came from, and the UID of its DICOM series; empty for an array
    shape, affine: of the input's own array: (i, j, k, 1) -> RAS mm
    options:       what the run was asked for, plain values
    started:       with time zone
    corrected:     whether a person has changed the segments; None where nobody knows, of a file that was opened
    opened_from:   the file that the segments came from, in place of a network's answer; then there is no network,
                   runtime, nor seconds
    """

    case: str
    path: str
    series: str
    shape: tuple[int, ...]
    affine: np.ndarray
    structures: tuple[Structure, ...]
    warnings: tuple[Caution, ...]
    notes: tuple[str, ...]
    network: str
    network_sha256: str
    runtime: str
    seconds: dict[str, float]
    started: datetime
    options: dict[str, Any] = field(default_factory=dict)
    corrected: bool | None = False
    opened_from: str = ""

    @property
    def parenchyma(self) -> bool:
        """Whether kidneys are their parenchyma alone."""
        return bool(self.options.get("parenchyma"))

    @classmethod
    def of(
        cls,
        volume: Volume,
        structures: Sequence[Structure],
        *,
        warnings: Sequence[Caution],
        notes: Sequence[str],
        weights: Weights,
        runtime: str,
        seconds: dict[str, float],
        started: datetime | None = None,
        options: Any = None,
    ) -> Report:
        """``options`` is a dataclass, or None."""
        return cls(
            case=volume.name,
            path=volume.path,
            series=volume.series,
            shape=tuple(volume.grid.shape),
            affine=volume.grid.affine,
            structures=tuple(structures),
            warnings=tuple(warnings),
            notes=tuple(notes),
            network=weights.name,
            network_sha256=weights.sha256,
            runtime=runtime,
            seconds=seconds,
            started=started or datetime.now().astimezone(),
            options=asdict(options) if options is not None else {},
        )

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values for JSON; numbers rounded to what the measurement can carry."""
        place = places(self.affine)
        return {
            "schema": SCHEMA,
            "case": self.case,
            "intended_use": USE,
            "input": input_of(self.path, self.series, self.shape, self.affine),
            "options": self.options,
            "labels": [{"value": one.value, "key": one.key, "name": one.name} for one in BY_SIDE],
            "phase": phase(self.structures, plain=any(one.code == PLAIN for one in self.warnings)),
            "structures": [plain(one, place) for one in self.structures],
            "warnings": [plain_caution(one) for one in self.warnings],
            "notes": list(self.notes),
            "corrected_by_hand": self.corrected,
            "opened_from": self.opened_from,
            "versions": {
                "wpunet": __version__,
                "network": self.network,
                "network_sha256": self.network_sha256,
                "python": platform.python_version(),
            },
            "runtime": self.runtime,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }

    def table(self) -> str:
        """A few lines for the terminal; a question mark stands at what is doubtful."""
        lines = [f"{self.case}   {'x'.join(map(str, self.shape))}   {self.runtime}"]
        if self.structures:
            lines.append(f"  {'':16}{'volume':>11}{'length':>9}{'mean':>9}{'certainty':>11}   centre (RAS mm)")
        for one in self.structures:
            at_least = ">" if one.touches_border else ""
            certainty = "" if one.certainty is None else f"{one.certainty:.0%}"
            centre = ", ".join(str(round(mm)) for mm in one.centre_ras_mm)
            lines.append(
                f"{'?' if one.doubts else ' '} {one.name:16}{at_least + f'{one.volume_ml:.1f}':>8} ml"
                f"{one.size.mm:>6.0f} mm{round(one.mean_hu):>6} HU{certainty:>11}   {centre}"
            )
        lines += [f"  ! {warning}" for warning in self.warnings]
        lines += [f"  - {note}" for note in self.notes]
        lines.append(f"  {sum(self.seconds.values()):.1f} s.  {USE}")
        return "\n".join(lines)


def schema() -> dict[str, Any]:
    """The JSON schema of a report as JSON."""
    return dict(json.loads((Path(__file__).parent / "report.schema.json").read_text("utf-8")))


def input_of(path: str, series: str, shape: Sequence[int], affine: np.ndarray) -> dict[str, Any]:
    """What a report says of the CT."""
    return {
        "path": path,
        "series_uid": series,
        "shape": list(shape),
        "spacing_mm": [round(float(mm), 4) for mm in np.linalg.norm(affine[:3, :3], axis=0)],
        "affine_ras": [[round(float(value), 6) for value in row] for row in affine],
    }


def places(affine: np.ndarray) -> Callable[[Point], Place]:
    """A function from RAS mm to what a report says of a place; affine: of the input's own array to RAS mm."""
    to_index = np.linalg.inv(affine)

    def place(ras: Point) -> Place:
        x, y, z = (round(mm, 2) for mm in ras)
        index = to_index[:3, :3] @ np.array(ras) + to_index[:3, 3]
        return {"ras_mm": [x, y, z], "lps_mm": [-x, -y, z], "index": [int(v) for v in np.rint(index)]}

    return place


def plain_caution(one: Caution) -> dict[str, Any]:
    """A warning for JSON."""
    return {"code": one.code, "text": one.text, "structure": one.about or None}


def structures_of(values: dict[str, Any]) -> list[Structure]:
    """The structures of a report as JSON; none where it is one of another version."""
    return [from_plain(one) for one in values["structures"]] if values.get("schema") == SCHEMA else []


def cautions_of(values: dict[str, Any]) -> list[Caution]:
    """The warnings of a report as JSON; none where it is one of another version."""
    if values.get("schema") != SCHEMA:
        return []
    return [Caution(one["code"], one["text"], one["structure"] or "") for one in values["warnings"]]
