"""How long a run will take, told before it, from the last run of its kind on this computer."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .messages import SETTINGS, gpu_possible
from .run import Run, RunOptions

NO_GPU_TOLD = f"{SETTINGS}/NoGpuTold"
MS_A_SLICE = f"{SETTINGS}/MillisecondsPerSlice"
USUAL_MS_A_SLICE = 45.0  # measured on two cores of a server processor
START_SECONDS = 3.0  # of the engine, whatever the size of the CT


def words(ct: Any, options: RunOptions) -> str:
    """How long a run on a CT will take; that no graphics card was found is told once on a computer."""
    n = options.slices(ct)
    if _on_card(options.device):
        return _("{n} slices: some seconds on the graphics card.").format(n=n)
    usual = slicer.util.settingsValue(MS_A_SLICE, USUAL_MS_A_SLICE, converter=float)
    ms = slicer.util.settingsValue(_pace_of(options), usual, converter=float)
    text = _("{n} slices: {time} on the processor.").format(n=n, time=duration(n * ms / 1000 + START_SECONDS))
    if options.device == "auto" and not slicer.util.settingsValue(NO_GPU_TOLD, False, converter=slicer.util.toBool):
        return _("No graphics card was found, and none is needed. {outlook}").format(outlook=text)
    return text


def learn(run: Run) -> None:
    """A run that is done, for the next estimate; one on a graphics card tells nothing of the processor."""
    settings = qt.QSettings()
    settings.setValue(NO_GPU_TOLD, True)
    if not _on_card(run.options.device):
        seconds = max(run.seconds["engine"] - START_SECONDS, 0.1)
        settings.setValue(_pace_of(run.options), 1000 * seconds / run.slices)


def duration(seconds: float) -> str:
    """``about 20 s``, ``about 3 min``: no more exact than an estimate is."""
    if seconds < 55:
        return _("about {n} s").format(n=max(5, 5 * round(seconds / 5)))
    return _("about {n} min").format(n=max(1, round(seconds / 60)))


def _on_card(device: str) -> bool:
    return device not in ("auto", "cpu") or (device == "auto" and gpu_possible())


def _pace_of(options: RunOptions) -> str:
    """The setting with the milliseconds that a slice takes with such options."""
    asked = {
        "Region": options.region is not None,
        "Full": options.full,
        "Parenchyma": options.parenchyma,
        "NoFlips": not options.flips,
    }
    return "-".join([MS_A_SLICE, *(name for name, yes in asked.items() if yes)])
