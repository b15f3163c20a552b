"""What is marked in a CT, by the engine or by a file, and what becomes of it when it is corrected: measured, told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from wpunet import certainty, doubts, edges, measure, parenchyma, places, report
from wpunet.boxes import blank
from wpunet.label_maps import LabelMap
from wpunet.segment import Result
from wpunet.structure import Caution, Structure
from wpunet.volume import Volume

from .state import Row


class Findings:
    """The engine's answer on one CT, or what a file marks there; ``measured`` again whenever the segments have changed.

    answer, uncertainty: as they were given; of a file there is no uncertainty
    opened_from: the file's name; empty where the engine has answered
    result:    what was measured and ``take``n last; None before the first time
    corrected: whether the labels differ from the answer; unsaved: and from what was saved last, too
    places:    RAS mm, where the network was least certain
    """

    def __init__(
        self, answer: np.ndarray, uncertainty: np.ndarray | None, told: dict[str, Any], warnings: Sequence[str]
    ) -> None:
        """answer, uncertainty: uint8 (slice, row, column); told: the engine's report; warnings: of the CT itself."""
        self.answer, self.uncertainty, self._told = answer, uncertainty, told
        of_run = (one for one in report.cautions_of(told) if one.code in doubts.OF_RUN)
        self._warnings = (*(Caution("input", text) for text in warnings), *of_run)  # these stay true
        self.opened_from = ""
        self.result: Result | None = None
        self.corrected = self.unsaved = False
        self._saved = answer
        self.places: list[places.Point] = []

    @classmethod
    def of_file(cls, opened: LabelMap, name: str, warnings: Sequence[str]) -> Findings:
        """What a label map marks, without anything that only a run could tell; name: of its file."""
        nobody = {"network": "", "network_sha256": ""}
        options = {"parenchyma": True} if opened.parenchyma else {}
        when = datetime.now().astimezone().isoformat()
        told = {"notes": [], "versions": nobody, "runtime": "", "seconds": {}, "started": when, "options": options}
        made = cls(opened.labels, None, told, warnings)
        made._warnings += opened.warnings
        made.opened_from = name
        return made

    def saved(self, labels: np.ndarray) -> None:
        """``labels`` are in a file now."""
        self._saved = labels
        if self.result is not None:
            self.take(self.result)

    def find_places(self, volume: Volume) -> None:
        """Places to look at, the most uncertain first."""
        if self.uncertainty is not None:
            self.places = [ras for _, ras in places.uncertain_places(self.uncertainty, volume.affine)]

    def measured(self, volume: Volume, labels: np.ndarray) -> Result:
        """The result for ``labels``, the segments as they are now; certain only where they are the engine's own."""
        told = self._told
        corrected = not np.array_equal(labels, self.answer)
        structures = measure.measure(labels, volume.hu, volume.affine, ends=edges.DataEnd(volume))
        before = report.structures_of(told)
        structures = certainty.kept(structures, before)
        if told["options"].get("parenchyma"):
            structures = parenchyma.again(structures, before)
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
            corrected=corrected or (None if self.opened_from else False),
            opened_from=self.opened_from,
        )
        doubt = blank(labels.shape) if self.uncertainty is None else self.uncertainty
        return Result(volume, labels, doubt, now)

    def take(self, result: Result) -> None:
        """``result`` is of the segments as they are."""
        self.result, self.corrected = result, bool(result.report.corrected)
        self.unsaved = self.corrected and not np.array_equal(result.labels, self._saved)


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
        fingerprint=one.fingerprint,
        beside=bool(one.contact_cm2),
    )
