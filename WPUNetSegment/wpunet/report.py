"""What is told of a run: measurements, warnings, and what made them; as JSON and as a short table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from . import __version__
from .bundle import Weights
from .contrast import ENHANCED_HU, kidney_hu
from .measure import Structure, names
from .volume import Volume

USE = "For research only: not a medical device. Weights: CC BY-NC-SA 4.0 (trained on KiTS19)."
ADULT_KIDNEY_ML = (60.0, 400.0)


@dataclass(frozen=True)
class Report:
    """Everything told of one CT; ``to_json_dict`` gives it with units in the names."""

    case: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, float, float]
    structures: tuple[Structure, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    network: str
    network_sha256: str
    runtime: str
    seconds: dict[str, float]

    @classmethod
    def of(
        cls,
        volume: Volume,
        structures: Sequence[Structure],
        *,
        warnings: Sequence[str],
        notes: Sequence[str],
        weights: Weights,
        runtime: str,
        seconds: dict[str, float],
    ) -> Report:
        return cls(
            case=volume.name,
            shape=tuple(volume.grid.shape),
            spacing_mm=volume.spacing,
            structures=tuple(structures),
            warnings=tuple(warnings),
            notes=tuple(notes),
            network=weights.name,
            network_sha256=weights.sha256,
            runtime=runtime,
            seconds=seconds,
        )

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values for JSON; numbers rounded to what the measurement can carry."""
        return {
            "case": self.case,
            "intended_use": USE,
            "input": {
                "shape": list(self.shape),
                "spacing_mm": {
                    name: round(mm, 4) for name, mm in zip(("slices", "rows", "columns"), self.spacing_mm, strict=True)
                },
            },
            "structures": [plain(structure) for structure in self.structures],
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "versions": {"wpunet": __version__, "network": self.network, "network_sha256": self.network_sha256},
            "runtime": self.runtime,
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }

    def table(self) -> str:
        """A few lines for the terminal."""
        lines = [f"{self.case}   {'x'.join(map(str, self.shape))}   {self.runtime}"]
        if self.structures:
            lines.append(f"  {'':14}{'volume':>10}{'diameter':>11}{'mean':>9}{'certainty':>11}   centre (RAS mm)")
        for name, one in zip(names(self.structures), self.structures, strict=True):
            at_least = ">" if one.touches_border else ""
            certainty = "" if one.certainty is None else f"{one.certainty:.0%}"
            centre = ", ".join(f"{mm:.0f}" for mm in one.centre_ras_mm)
            lines.append(
                f"  {name:14}{at_least + f'{one.volume_ml:.1f}':>7} ml{one.axial_diameter_mm:>8.0f} mm"
                f"{one.mean_hu:>6.0f} HU{certainty:>11}   {centre}"
            )
        lines += [f"  ! {warning}" for warning in self.warnings]
        lines += [f"  - {note}" for note in self.notes]
        lines.append(f"  {sum(self.seconds.values()):.1f} s.  {USE}")
        return "\n".join(lines)


def plain(structure: Structure) -> dict[str, Any]:
    """A structure for JSON; numbers rounded to what the measurement can carry."""
    values = asdict(structure)
    for key, value in values.items():
        if isinstance(value, float):
            values[key] = round(value, 3)
        elif isinstance(value, tuple):
            values[key] = [round(part, 2) for part in value]
    return values


def warnings_from(structures: Sequence[Structure], hu: np.ndarray, labels: np.ndarray) -> tuple[str, ...]:
    """What a reader should know before using the numbers; labels and hu (slice, row, column)."""
    kidneys = [one for one in structures if one.kind == "kidney"]
    if not structures:
        return ("No kidney was found. If there is one, look at orientation and HU scale of the CT, or try --full.",)
    warnings = []
    median = kidney_hu(hu, labels)
    if median is not None:
        if median < ENHANCED_HU:
            warnings.append(
                f"Probably without contrast (kidney tissue {median:.0f} HU): tumors are hardly visible, check them."
            )
    else:
        warnings.append("Tumor but no kidney tissue was found; check the result.")
    warnings += [
        f"The {name} is cut by the edge of the scan; its volume is a lower bound."
        for name, one in zip(names(structures), structures, strict=True)
        if one.touches_border
    ]
    if len(kidneys) == 1:
        warnings.append(f"Only the {kidneys[0].name} was found.")
    for one in kidneys:
        low, high = ADULT_KIDNEY_ML
        if not one.touches_border and not low <= one.volume_ml <= high:
            warnings.append(f"{one.volume_ml:.0f} ml is unusual for a kidney ({one.name}); check it.")
    return tuple(warnings)
