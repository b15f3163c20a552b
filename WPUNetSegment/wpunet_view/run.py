"""One run of the engine on the CT that is shown, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from wpunet import unpack
from wpunet.child import EngineProcess, crash
from wpunet.errors import InputError, WpunetError
from wpunet.pace import Pace
from wpunet.progress import EXIT_CANCELLED, WORDS

if TYPE_CHECKING:
    from wpunet.volume import Volume

    from .findings import Findings
    from .scene import Scene

LABELS, UNCERTAINTY = "labels.nrrd", "uncertainty.nii.gz"  # packed, they are written a second sooner


class Run:
    """Started at once; ask ``goes_on`` until it says no, then take the ``result``; ``close`` in any case.

    fraction: 0 to 1; stage, left: what goes on and for how long still, in words
    """

    def __init__(
        self,
        scene: Scene,
        folder: Path,
        settings: dict[str, Any],
        pace: Pace,
        *,
        full: bool,
        flips: bool,
        parenchyma: bool,
    ) -> None:
        """``pace`` knows how long earlier runs took."""
        self.fraction = 0.0
        self.stage: str = "Starting the engine"
        self.left = ""
        self._report: dict[str, Any] = {}
        self._error = ""
        self._files = TemporaryDirectory(prefix="run-", dir=folder, ignore_cleanup_errors=True)
        self._pace, self._run_pace = pace, pace.run(scene.voxels)
        ct = self._path("ct.nrrd")
        scene.write_ct(ct)
        arguments = ["segment", str(ct), "-o", str(self._path(LABELS)), "--sides"]
        arguments += ["--uncertainty", str(self._path(UNCERTAINTY)), "--device", settings["device"]]
        arguments += [part for key in ("weights", "threads") if settings[key] for part in (f"--{key}", settings[key])]
        arguments += ["--full"] * full + ["--no-flips"] * (not flips) + ["--parenchyma"] * parenchyma
        self._process = EngineProcess(arguments)

    @property
    def log(self) -> str:
        return self._process.log

    def goes_on(self) -> bool:
        """Take in what the engine has told; False when it has ended."""
        for event in self._process.poll():
            if event["event"] == "progress":
                self.fraction, self.stage = event["fraction"], WORDS.get(event["stage"]) or event["stage"]
                self._run_pace.heard(event["stage"], event["done"], event["total"], self._process.seconds)
            elif event["event"] == "result":
                self._report = event["report"]
            elif event["event"] == "error":
                self._error = event["text"]
        left = self._run_pace.left(self._process.seconds)
        self.left = "" if left is None else f"about {max(1, round(left))} s left"
        return self._process.returncode is None

    def cancel(self) -> None:
        self._process.cancel()

    def close(self) -> None:
        """End the process if it still runs, and take its files away."""
        self._process.close()
        self._files.cleanup()

    def result(self) -> tuple[np.ndarray, np.ndarray, dict[str, Any]] | None:
        """Labels (values of labels.BY_SIDE) and uncertainty, both uint8 (slice, row, column), and the report.

        None when it was cancelled; raises InputError with the engine's own words, WpunetError after a crash.
        """
        status = self._process.returncode
        assert status is not None, "ask goes_on first"
        if self._process.cancelled or status == EXIT_CANCELLED:
            return None
        if status != 0:
            if self._error:
                raise InputError(self._error.replace(str(self._path("ct.nrrd")), "The CT"))
            raise WpunetError(crash(status))
        self._pace.learn(self._run_pace, self._process.seconds)
        import SimpleITK as sitk  # no page without a CT needs it

        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(self._path(LABELS))))
        doubt = unpack.content(self._path(UNCERTAINTY))[-labels.size :]  # shares of 255, behind the header
        return labels, doubt.reshape(labels.shape), self._report

    def _path(self, name: str) -> Path:
        return Path(self._files.name) / name


def findings_of(
    volume: Volume, result: tuple[np.ndarray, np.ndarray, dict[str, Any]], warnings: tuple[str, ...]
) -> Findings:
    """What a run has found in ``volume``, with the places that it doubts."""
    from .findings import Findings  # what measures takes 0.4 s to load

    findings = Findings(*result, warnings)
    findings.find_places(volume)
    return findings
