"""What the engine has found in a CT, and what becomes of it when it is corrected: measurements, warnings, report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from wpunet import certainty, doubts, edges, measure, places, report
from wpunet.segment import Result
from wpunet.structure import Caution, Structure
from wpunet.volume import Volume

from .state import Row


class Findings:
    """The engine's answer on one CT; ``measured`` again whenever the segments have changed.

    answer, uncertainty: the engine's own, as they were given
    result:    labels as they are now, measured; None before the first time
    corrected: whether the labels differ from the engine's answer
    places:    RAS mm, where the network was least certain
    """

    def __init__(
        self, answer: np.ndarray, uncertainty: np.ndarray, told: dict[str, Any], warnings: Sequence[str]
    ) -> None:
        """answer, uncertainty: uint8 (slice, row, column); told: the engine's report; warnings: of the CT itself."""
        self.answer, self.uncertainty, self._told = answer, uncertainty, told
        of_run = (one for one in report.cautions_of(told) if one.code in doubts.OF_RUN)
        self._warnings = (*(Caution("input", text) for text in warnings), *of_run)  # these stay true
        self.result: Result | None = None
        self.corrected = False
        self.places: list[places.Point] = []

    def find_places(self, volume: Volume) -> None:
        """Places to look at, the most uncertain first."""
        self.places = [ras for _, ras in places.uncertain_places(self.uncertainty, volume.affine)]

    def measured(self, volume: Volume, labels: np.ndarray) -> Result:
        """The result for ``labels``, the segments as they are now; certain only where they are the engine's own."""
        told = self._told
        structures = measure.measure(labels, volume.hu, volume.affine, cuts=edges.DataEnd(volume).cuts)
        structures = certainty.kept(structures, report.structures_of(told))
        structures, about_these = doubts.judge(structures, labels, volume.hu)
        now = report.Report(
            case=volume.name,
            path=volume.path,
            series=volume.series,
            shape=tuple(volume.grid.shape),
            affine=volume.grid.affine,
            structures=structures,
            warnings=tuple(dict.fromkeys((*self._warnings, *about_these))),
            notes=tuple(told["notes"]),
            network=told["versions"]["network"],
            network_sha256=told["versions"]["network_sha256"],
            runtime=told["runtime"],
            seconds=told["seconds"],
            started=datetime.fromisoformat(told["started"]),
            options=told["options"],
        )
        self.corrected = not np.array_equal(labels, self.answer)
        self.result = Result(volume, labels, self.uncertainty, now)
        return self.result


def row(one: Structure) -> Row:
    """A line of the table; a question mark stands at what is doubtful, ``>`` at what the scan's edge cuts."""
    across, along = one.width or one.axial_diameter, one.length or one.craniocaudal
    wide, long = (line.mm if line else one.size.mm for line in (across, along))
    return Row(
        name=f"{'? ' if one.doubts else ''}{one.name}",
        kind=one.kind,
        side=one.side,
        volume=f"{'> ' if one.touches_border else ''}{one.volume_ml:.1f}",
        diameter=f"{one.size.mm:.0f}",
        hu=f"{round(one.mean_hu)}",
        certainty="" if one.certainty is None else f"{100 * one.certainty:.0f}",
        at=list(one.centre_ras_mm),
        extent=[wide, wide, long],
    )
