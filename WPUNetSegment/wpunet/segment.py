"""The way of one CT: read, check, locate, predict, decide, clean, tell sides apart, measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from . import (
    bundle,
    certainty,
    check,
    clean,
    doubts,
    edges,
    files,
    locate,
    measure,
    parenchyma,
    predict,
    report,
    runtime,
    sides,
)
from .boxes import Box, bounding_box
from .errors import InputError
from .monitor import Monitor
from .structure import Caution
from .volume import Volume


@dataclass(frozen=True)
class Options:
    """What a user may turn.

    full:  look at the whole field of view instead of where the quick pass saw kidneys
    box:   look only there: first and one past the last index along each axis of the input's own array
    flips: run the network on the mirrored slices too and average (twice the time of the network)
    parenchyma: of a kidney, mark its parenchyma alone, without the fat, vessels and collecting system of its sinus, up
           to the edge that one sees; KiTS19 counts the sinus as kidney and draws wider. Lesions are the same, and
           measured against whole kidneys
    rules: what is done to the network's answer in 3D
    """

    full: bool = False
    box: tuple[tuple[int, int], ...] | None = None
    flips: bool = True
    parenchyma: bool = False
    rules: clean.CleanRules = field(default_factory=clean.CleanRules)


@dataclass(frozen=True)
class Result:
    """Labels, uncertainty and report of one CT.

    labels:      uint8 (slice, row, column) on ``volume``'s grid: values of labels.BY_SIDE
    uncertainty: uint8, same grid: the calibrated chance, of 255, that the network's likeliest answer is wrong
    within:      a box that holds all labels, where it is known
    """

    volume: Volume
    labels: np.ndarray
    uncertainty: np.ndarray
    report: report.Report
    within: Box | None = None


class Segmenter:
    """A network made ready once, for as many CTs as come.

    >>> segmenter = Segmenter()
    >>> result = segmenter.segment(files.read("ct.nii.gz"))
    """

    def __init__(
        self, weights_file: Path | str | None = None, device: str = "auto", threads: int | None = None
    ) -> None:
        """Raises WeightsError or DeviceError when the network cannot be made ready."""
        self.read: Callable[[Path | str, str | None], Volume] = files.read
        self.weights = bundle.load(weights_file)
        self.runtime = runtime.create(self.weights, device, threads)
        self._device, self._threads = device, threads
        self._telling_parenchyma: runtime.Runtime | None = None

    def segment_file(
        self, path: Path | str, options: Options = Options(), monitor: Monitor | None = None, series: str | None = None
    ) -> Result:
        """Segment a file or a DICOM folder; raises InputError when it cannot be used and Cancelled when told to."""
        monitor = monitor or Monitor()
        with monitor.stage("read"):
            volume = self.read(path, series)
        return self.segment(volume, options, monitor)

    def segment(self, volume: Volume, options: Options = Options(), monitor: Monitor | None = None) -> Result:
        """Segment a volume; raises InputError when it cannot be used and Cancelled when the monitor says so."""
        monitor = monitor or Monitor()
        network = self._runtime(options)
        started = datetime.now().astimezone()
        with monitor.stage("check"):
            volume, seen = check.check(volume)
        labels, uncertainty, maps = self._network(volume, options, monitor)
        within = maps.region.box
        looked_at = maps.region.box if options.box else None
        with monitor.stage("clean"):
            cleaned = clean.clean(labels, volume.spacing, options.rules, volume.hu, uncertainty, within, looked_at)
            labels, anatomy = sides.split_sides(cleaned.labels, volume.hu, within)
            within = bounding_box(labels, within) or within
        with monitor.stage("measure"):
            certain = certainty.Certain(maps, certainty.Chance.of_card(self.weights.card))
            ends = edges.DataEnd(volume, looked_at)
            structures = measure.measure(labels, volume.hu, volume.affine, certain, within, ends)
            structures, warnings = doubts.judge(structures, labels, volume.hu, within, _try_next(options))
            if options.parenchyma:
                unheard = Monitor(cancelled=monitor.cancelled)
                labels, uncertainty, cautions = parenchyma.alone(labels, uncertainty, maps, volume, within, unheard)
                structures = parenchyma.measured(structures, labels, volume, maps, within)
                alone = (parenchyma.ALONE,) if any(one.kind == "kidney" for one in structures) else ()
                warnings = (*warnings, *alone, *cautions)
        told = report.Report.of(
            volume,
            structures,
            warnings=(
                *(Caution("input", text) for text in seen),
                *(Caution("sides", text) for text in anatomy),
                *warnings,
                *doubts.of_removed((*maps.unseen, *cleaned.removed), volume.affine),
                *(Caution("run", text) for text in network.warnings),
            ),
            notes=(*_told(options), *_of_unseen(maps), *cleaned.notes),
            weights=self.weights,
            runtime=network.description,
            seconds=dict(monitor.seconds),
            started=started,
            options=options,
        )
        return Result(volume, labels, uncertainty, told, within)

    def _runtime(self, options: Options) -> runtime.Runtime:
        """What runs the network; that which tells parenchyma is made ready when it is first asked for.

        Raises InputError where the weights do not tell it.
        """
        if not options.parenchyma:
            return self.runtime
        if not self.weights.spec.parenchyma:
            raise InputError(
                f"The weights {self.weights.path.name} do not tell a kidney's parenchyma from its sinus; segment whole "
                "kidneys, or use weights that do, as the bundled ones."
            )
        if self._telling_parenchyma is None:
            self._telling_parenchyma = runtime.create(self.weights, self._device, self._threads, parenchyma=True)
        return self._telling_parenchyma

    def _network(
        self, volume: Volume, options: Options, monitor: Monitor
    ) -> tuple[np.ndarray, np.ndarray, predict.Maps]:
        """Labels straight from the network, their uncertainty, and the logits behind both."""
        pixel_mm = self.weights.pixel_mm
        with monitor.stage("locate"):
            region = locate.whole(volume)
            if options.box:
                region = locate.within(volume, options.box)
            elif not options.full:
                region = locate.locate(volume, self.runtime, pixel_mm, monitor)
        with monitor.stage("predict"):
            maps = predict.predict(
                volume,
                region,
                self._runtime(options),
                pixel_mm,
                self.weights.temperature,
                options.flips,
                monitor,
                second_look=options.rules.unseen,
                parenchyma=options.parenchyma,
            )
        with monitor.stage("decide"):
            labels, uncertainty = predict.decide(maps, volume.hu.shape, monitor)
        return labels, uncertainty, maps


def _told(options: Options) -> tuple[str, ...]:
    """What a reader of the report must know of the options."""
    return (f"Only the box {locate.box_text(options.box)} of the CT was looked at.",) if options.box else ()


def _try_next(options: Options) -> str | None:
    """What looks further than these options do."""
    if options.box:
        return "a larger box"
    return None if options.full else "the whole field of view (--full)"


def _of_unseen(maps: predict.Maps) -> tuple[str, ...]:
    """What the second look took away, however small: a reader may know better."""
    ml = sum(one.ml for one in maps.unseen)
    return (f"{ml:.1f} ml that a second look, at wider pixels, did not see were left out.",) if maps.unseen else ()
