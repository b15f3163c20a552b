"""One run of the engine for one CT of the scene: hand over, follow, take the result back. The caller polls."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from wpunet import outputs
from wpunet.child import EngineProcess, Event, crash, seconds_left
from wpunet.errors import OutputError
from wpunet.progress import EXIT_CANCELLED, WORDS

from . import handover, transforms

FOLDER = "WPUNetSegment-"
OLD_SECONDS = 24 * 3600.0  # a folder of this age was left by a Slicer that was killed

# The names are ASCII and the engine works in their folder: a Windows user's name may hold what its Python cannot open.
NAME = "handed-over"  # no message of the engine holds these words for anything else
CT, LABELS, UNCERTAINTY = f"{NAME}.nrrd", "labels.nrrd", "uncertainty.nrrd"

StartEngine = Callable[[Sequence[str], Path], EngineProcess]  # arguments, and the folder to work in


class State(Enum):
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True)
class RunOptions:
    """What a user may turn.

    device:       "auto", "cpu", "cuda", "cuda:N" or "mps"
    flips:        average with the mirrored slices: slightly more accurate, twice the network's time
    parenchyma:   kidneys are their parenchyma alone, without the renal sinus
    full:         look at the whole field of view, without the quick search
    sides:        left and right kidney as segments of their own
    min_tumor_ml: a smaller tumor counts as kidney; None for the engine's own least volume
    uncertainty:  keep the network's uncertainty as a volume
    region:       vtkMRMLMarkupsROINode to look in; None for everywhere
    surface:      show the result in 3D
    threads:      processor threads; None for all
    """

    device: str = "auto"
    flips: bool = True
    parenchyma: bool = False
    full: bool = False
    sides: bool = True
    min_tumor_ml: float | None = None
    uncertainty: bool = False
    region: Any = None
    surface: bool = False
    threads: int | None = None

    def arguments(self, volume: Any) -> list[str]:
        """For ``wpunet segment``; raises InputError when the region does not meet the volume."""
        from wpunet.locate import box_text  # not at the top: SciPy comes with it, and Slicer imports this at its start

        words = ["--sides", "--device", self.device]
        words += [] if self.flips else ["--no-flips"]
        words += ["--parenchyma"] if self.parenchyma else []
        words += ["--full"] if self.full else []
        words += [] if self.min_tumor_ml is None else ["--min-tumor-ml", f"{self.min_tumor_ml:g}"]
        words += ["--box", box_text(handover.box_around(self.region, volume))] if self.region else []
        words += ["--threads", str(self.threads)] if self.threads else []
        return words

    def slices(self, volume: Any) -> int:
        """How many slices of a volume are looked at; raises InputError when the region does not meet it."""
        if self.region:
            first, end = handover.box_around(self.region, volume)[2]
            return end - first
        return int(volume.GetImageData().GetDimensions()[2])


@dataclass(frozen=True)
class Progress:
    """fraction: 0 to 1; text: what is going on; seconds_left: None while it is too early to say."""

    fraction: float
    text: str
    seconds_left: float | None = None


@dataclass(frozen=True)
class RunResult:
    """What the engine found, on the CT's grid.

    labels:      uint8 (k, j, i), the whole: values of wpunet.labels.BY_SIDE
    uncertainty: first voxel (i, j, k) and float32 (k, j, i), 0 (sure) to 1, of the part that is not 0; None where it
                 was not asked for
    report:      the engine's report as plain values; places in the CT's own coordinates
    ijk_to_ras:  (4, 4), the CT's own geometry when it was handed over, before any transform that it lies under
    name:        of the CT; of a sequence with the frame
    """

    labels: np.ndarray
    uncertainty: tuple[np.ndarray, np.ndarray] | None
    report: dict[str, Any]
    ijk_to_ras: np.ndarray
    name: str


class Run:
    """The engine at work on one CT; call ``poll`` from a timer until ``state`` is no longer RUNNING.

    state:   RUNNING until ``poll`` has seen the end
    result:  what was found, when DONE
    message: why it failed or was cancelled, one sentence for the user
    log:     what the engine wrote besides, for a report of a problem
    seconds: how long each part took: "hand-over", "engine", "read"
    slices:  how many are looked at
    """

    def __init__(self, volume: Any, options: RunOptions = RunOptions(), start: StartEngine | None = None) -> None:
        """Hand ``volume`` over and start the engine; ``start`` makes its process from the arguments.

        Raises InputError when the volume or the region cannot be used, OutputError when there is no room for it.
        """
        handover.require_ct(volume)
        transforms.require_rigid(volume)
        arguments, self.slices = options.arguments(volume), options.slices(volume)
        began = time.monotonic()
        self.volume, self.options = volume, options
        self.state, self.message = State.RUNNING, ""
        self.result: RunResult | None = None
        self.seconds: dict[str, float] = {}
        self._progress = Progress(0.0, "Starting the engine")
        self._report: dict[str, Any] | None = None
        self._name, self._ijk_to_ras = handover.case_name(volume), handover.ijk_to_ras(volume)
        self._folder = new_folder()
        folder = Path(self._folder.name)
        words = ["segment", CT, "-o", LABELS, *(["--uncertainty", UNCERTAINTY] if options.uncertainty else [])]
        try:
            handover.write_ct(volume, folder / CT)
            self.seconds["hand-over"] = time.monotonic() - began
            self._process = (start or start_engine)([*words, *arguments], folder)
        except OSError as error:
            self._folder.cleanup()
            raise OutputError(f"The engine cannot be started ({error}); reinstall the extension.") from error
        except BaseException:
            self._folder.cleanup()
            raise

    @property
    def log(self) -> str:
        return self._process.log

    def poll(self) -> Progress:
        """Where the run is; returns at once, but for the moment that reading the result takes."""
        if self.state is not State.RUNNING:
            return self._progress
        if self.volume.GetScene() is None:
            self.cancel("The CT is no longer in the scene.")
        for event in self._process.poll():
            self._hear(event)
        if self._process.returncode is not None:
            self._end(self._process.returncode)
        return self._progress

    def cancel(self, why: str = "Cancelled.") -> None:
        """Ask the engine to stop; ``poll`` sees it end, within seconds."""
        if self.state is State.RUNNING and not self._process.cancelled:
            self.message = why
            self._progress = Progress(self._progress.fraction, "Stopping")
            self._process.cancel()

    def close(self) -> None:
        """Stop, wait for the end and leave nothing behind: for a window or a program that closes."""
        if self.state is State.RUNNING:
            self.cancel()
            self._process.close()
            self.poll()

    def _hear(self, event: Event) -> None:
        if event["event"] == "result":
            self._report = event["report"]
        elif event["event"] == "progress" and not self._process.cancelled:
            fraction, stage = float(event["fraction"]), str(event["stage"])
            left = seconds_left(fraction, self._process.seconds)
            self._progress = Progress(fraction, WORDS.get(stage, stage), left)
        elif event["event"] == "error" and not self._process.cancelled:
            self.message = re.sub(rf"{NAME}(\.nrrd)?", lambda _: self._name, event["text"])  # only we know that file

    def _end(self, status: int) -> None:
        """The process is gone: what became of the run."""
        self.seconds["engine"] = self._process.seconds
        if self._process.cancelled or status == EXIT_CANCELLED:
            self.state, self.message = State.CANCELLED, self.message or "Cancelled."
        elif status == 0 and self._report is not None:
            self._read(self._report)
        else:
            self.state, self.message = State.FAILED, self.message or crash(status, self.log)
        self._folder.cleanup()

    def _read(self, report: dict[str, Any]) -> None:
        began = time.monotonic()
        try:
            folder = Path(self._folder.name)
            labels = handover.read_map(folder / LABELS)
            uncertainty = handover.read_part(folder / UNCERTAINTY) if self.options.uncertainty else None
        except (RuntimeError, MemoryError) as error:
            self.state, self.message = State.FAILED, f"The engine's result cannot be read ({error}); try again."
            return
        lies = {**report["input"], "affine_ras": self._ijk_to_ras.tolist()}  # the engine rounds
        report = {**report, "case": self._name, "input": lies}
        self.result = RunResult(labels, uncertainty, report, self._ijk_to_ras, self._name)
        self.seconds["read"] = time.monotonic() - began
        self.state, self._progress = State.DONE, Progress(1.0, "Done", 0.0)


def start_engine(arguments: Sequence[str], folder: Path) -> EngineProcess:
    """The engine in Slicer's own Python; raises OSError when that cannot be started."""
    return EngineProcess(arguments, python=shutil.which("PythonSlicer"), folder=folder)


def new_folder() -> tempfile.TemporaryDirectory[str]:
    """An empty folder among Slicer's temporary files, gone at Slicer's end at the latest.

    Those that a Slicer left behind which was killed are taken away.

    Raises OutputError when none can be made.
    """
    parent = Path(slicer.app.temporaryPath)
    try:
        for folder in parent.glob(f"{FOLDER}*"):
            with suppress(FileNotFoundError):  # another Slicer may have taken it away just now
                if time.time() - folder.stat().st_mtime > OLD_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
        parent.mkdir(exist_ok=True)  # Slicer makes it at its start; systems clean old ones away
        outputs.require_right(parent)
        return tempfile.TemporaryDirectory(prefix=FOLDER, dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"No temporary folder can be made in {parent} ({reason}); see Application Settings, Modules."
        ) from error
