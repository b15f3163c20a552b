"""Segment a CT of the scene, from a script, a test or the panel: no window is needed.

>>> logic = WPUNetSegmentLogic()
>>> segmentation = logic.process(volume)            # waits
>>> run = logic.start(volume); run.poll(); ...      # does not wait: a timer polls
>>> segmentation = logic.finish(run)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from wpunet.errors import Cancelled, InputError, WpunetError

from . import handover, install, scene, transforms
from .run import Progress, Run, RunOptions, StartEngine, State
from .undo import Before

POLL_SECONDS = 0.05

MayOverwrite = Callable[[list[str]], bool]  # asked with the names of the segments that the user has edited


class WPUNetSegmentLogic:
    """Runs the engine on volumes of the scene and shows what it finds; any number of runs at the same time.

    start_engine: makes the engine's process from its arguments, for tests
    """

    def __init__(self, start_engine: StartEngine | None = None) -> None:
        self._start_engine = start_engine
        self._before: dict[str, Before] = {}

    def process(
        self,
        volume: Any,
        segmentation: Any = None,
        options: RunOptions = RunOptions(),
        progress: Callable[[Progress], None] | None = None,
        may_overwrite: MayOverwrite | None = None,
    ) -> Any:
        """Segment a vtkMRMLScalarVolumeNode, wait, and return the vtkMRMLSegmentationNode.

        Without ``segmentation`` the one that an earlier run made of this CT is updated, else, and where that is made of
        surfaces now, a new one is made.
        ``progress`` is called several times a second.
        Raises WpunetError with a sentence for the user when that fails, Cancelled when it was stopped.
        """
        if segmentation is not None:
            scene.require_labelmap(segmentation)
        run = self.start(volume, options)
        try:
            while run.state is State.RUNNING:
                at = run.poll()
                if progress:
                    progress(at)
                time.sleep(POLL_SECONDS)
        finally:
            run.close()
        if run.state is State.CANCELLED:
            raise Cancelled(run.message)
        if run.state is State.FAILED:
            raise WpunetError(run.message)
        return self.finish(run, segmentation, may_overwrite)

    def start(self, volume: Any, options: RunOptions = RunOptions()) -> Run:
        """Begin a run and return at once; poll it until its state is no longer RUNNING.

        Raises InputError when the volume or the region cannot be used, OutputError when there is no room, InstallError
        when the engine lacks something (install.ensure asks for it).
        """
        if self._start_engine is None:
            install.require(options.device)
        return Run(volume, options, self._start_engine)

    def finish(
        self, run: Run, segmentation: Any = None, may_overwrite: MayOverwrite | None = None, fresh: bool = False
    ) -> Any:
        """Show the result of a run that is DONE, and return its segmentation; ``fresh``: without one given, a new one.

        Segments that the user has edited are replaced only when ``may_overwrite`` says so; else, and where nobody can
        be asked, the result goes into a new segmentation. So it does where one is made of surfaces.
        """
        assert run.result is not None
        volume = run.volume
        if volume.GetScene() is None:
            raise WpunetError("The CT is no longer in the scene, so its segments have no place; load it again.")
        if not np.array_equal(handover.ijk_to_ras(volume), run.result.ijk_to_ras):
            raise WpunetError(
                f"The geometry of {volume.GetName()} was changed during the run, so its segments have no place; "
                "segment it again."
            )
        transforms.require_rigid(volume)
        began = time.monotonic()
        target = segmentation
        if target is None and not fresh:
            target = scene.earlier_result(volume)
        if target is not None and (target.GetScene() is None or not scene.takes_labels(target)):
            target = None  # deleted or made surfaces meanwhile: the result is not lost for that
        if target is not None:
            changed = scene.edited(target)
            if changed and not (may_overwrite and may_overwrite(changed)):
                target = None
        if target is None:
            target = scene.new_segmentation(f"{run.result.name} kidneys", volume)
        elif target.GetSegmentation().GetNumberOfSegments() == 0:
            scene.adopt(target, volume)
            self._before.pop(target.GetID(), None)  # else it would go back to before another run
        else:
            self._before[target.GetID()] = Before(target)
        self._show(run, target)
        run.seconds["import"] = time.monotonic() - began - run.seconds.get("surface", 0.0)
        return target

    def _show(self, run: Run, segmentation: Any) -> None:
        from . import measurement, measures  # not at the top: SciPy comes with it, and Slicer imports this at its start

        assert run.result is not None
        surface = run.options.surface or scene.has_surface(segmentation)
        scene.show_labels(run.result, run.volume, segmentation, run.options.sides)
        measurement.recognize(run.volume, segmentation)
        if run.result.uncertainty is None:
            scene.drop_uncertainty(segmentation)
        else:
            scene.show_uncertainty(run.result, segmentation)
        measures.renew(segmentation)
        if surface:
            began = time.monotonic()
            scene.show_surface(segmentation)
            run.seconds["surface"] = time.monotonic() - began

    def edited(self, segmentation: Any) -> list[str]:
        """Names of the segments that the user has changed since the engine made them: ask before a run."""
        return scene.edited(segmentation)

    def report(self, segmentation: Any) -> dict[str, Any] | None:
        """The engine's report on a segmentation of its own, also after the scene was saved and loaded again."""
        return scene.report(segmentation)

    def can_undo(self, segmentation: Any) -> bool:
        kept = self._before.items()
        self._before = {key: one for key, one in kept if one.segmentation.GetScene()}  # else it holds the images
        before = None if segmentation is None else self._before.get(segmentation.GetID())
        return before is not None and before.is_of(segmentation)  # ids are used again in a new scene

    def undo(self, segmentation: Any) -> None:
        """Bring a segmentation back to what it was before the last run wrote into it.

        Raises InputError where there is nothing to go back to, as where a sequence shows another frame by now.
        """
        from . import measures

        if not self.can_undo(segmentation):
            raise InputError(f"{segmentation.GetName()} shows another frame than the run wrote into; show that one.")
        self._before.pop(segmentation.GetID()).restore()
        measures.renew(segmentation)
