"""What a run will look at and how long it will take, from the last run of its kind on this computer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin
from wpunet.errors import InputError

from . import handover
from .messages import SETTINGS, frame, gpu_possible
from .rest import AtRest
from .run import Run, RunOptions

NO_GPU_TOLD = f"{SETTINGS}/NoGpuTold"
MS_A_SLICE = f"{SETTINGS}/MillisecondsPerSlice"
USUAL_MS_A_SLICE = 45.0  # measured on two cores of a server processor
START_SECONDS = 3.0  # of the engine, whatever the size of the CT


class Follower(VTKObservationMixin):
    """Follows CT and region, which are changed without the parameters: by a drag in the views, by another frame.

    changed: called once they rest
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self._nodes: list[Any] = []
        self._changed = AtRest(changed)

    def follow(self, *nodes: Any) -> None:
        """These from now on, those of them that are no None."""
        wanted = [node for node in nodes if node is not None]
        if wanted == self._nodes:
            return
        self.removeObservers()
        self._changed.never()
        self._nodes = wanted
        moved = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
        dragged = slicer.vtkMRMLMarkupsNode.PointModifiedEvent
        for node in wanted:
            for event in (vtk.vtkCommand.ModifiedEvent, moved, dragged):
                self.addObserver(node, event, self._again)

    def _again(self, _caller: Any, _event: str) -> None:
        self._changed.again()


def words(ct: Any, options: RunOptions) -> str:
    """What a run on a CT looks at, and how long it will take; or why the region is no use.

    That no graphics card was found is told once on a computer.
    """
    if ct.GetImageData() is None:  # still being loaded, or an empty node
        return ""
    try:
        n = options.slices(ct)
    except InputError as error:
        return str(error)
    what = ", ".join(filter(None, [frame(handover.frame_of(ct)), _("{n} slices").format(n=n)]))
    if _on_card(options.device):
        return _("{what}: some seconds on the graphics card.").format(what=what)
    usual = slicer.util.settingsValue(MS_A_SLICE, USUAL_MS_A_SLICE, converter=float)
    ms = slicer.util.settingsValue(_pace_of(options), usual, converter=float)
    text = _("{what}: {time} on the processor.").format(what=what, time=duration(n * ms / 1000 + START_SECONDS))
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
