"""One page's session: a CT, the engine's run on it, corrections, measurements."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from trame.app import TrameApp
from trame_rca import module as trame_rca_module
from trame_server.utils.typed_state import TypedState
from trame_slicer import module as trame_slicer_module
from trame_slicer.app.logic import SegmentEditorLogic
from trame_slicer.core import SlicerApp
from trame_slicer.segmentation import SegmentationEffectDraw
from wpunet import __version__
from wpunet.errors import InputError
from wpunet.pace import Pace
from wpunet.volume import Volume

from . import notices, saving, steps
from .corrections import Corrections, Threshold
from .hand import Hand
from .limits import Limits
from .measuring import Measuring
from .page import Page
from .question import NETWORK, Question
from .reception import Reception, sentence
from .run import Run, findings_of
from .scene import WINDOWS, Scene
from .state import PageState

if TYPE_CHECKING:
    from wpunet.label_maps import LabelMap

    from .findings import Findings

WWW = Path(__file__).with_name("www")
TITLE = "WPUNetSegment"
NO_NAME = "CT without a name"
POLL_SECONDS = 0.15


class Application(TrameApp):
    """Owns scene, hand, run and state; the page calls its public methods.

    settings: of the command line: device, threads, weights, upload_limit (bytes)
    folder:   the session's own, for everything that is written
    """

    def __init__(self, settings: dict[str, Any], folder: Path) -> None:
        super().__init__()
        self.settings, self.folder = settings, folder
        self.server.enable_module(trame_slicer_module)
        self.server.enable_module(trame_rca_module)
        name = f"wpunet_{__version__}"
        scripts = [f"{name}/{script}" for script in ("page.js", "marks.js", "names.js")]
        self.server.enable_module({"serve": {name: str(WWW)}, "scripts": scripts})
        self.state.trame__title = TITLE
        self.state.trame__favicon = "data:,"
        self.state.trame__template_error = notices.CUT_OFF
        self._typed = TypedState(self.state, PageState)
        self.data: PageState = self._typed.data
        self._slicer = SlicerApp()
        self._scene = Scene(self._slicer, self._windowed)
        self.question = Question(self.state, self.data)
        self.reception = Reception(self.state, self.data, settings, folder, self)
        self._editor_logic = SegmentEditorLogic(self.server, self._slicer)
        steps.keep(self._slicer.segmentation_editor.undo_stack)
        self.hand = Hand(self.server, self._slicer, self._scene, self.data)
        self._limits = Limits(self.server, self._slicer, self._scene)
        self._corrections = Corrections(self.server, self._slicer, self._scene, self._limits)
        tools = Page(self.server, self, self.hand.views.manager).tools
        self._editor_logic.set_ui(tools)
        threshold: Any = tools.get_effect_ui(Threshold)
        draw: Any = tools.get_effect_ui(SegmentationEffectDraw)
        draw.fill_clicked.connect(self._corrections.fill_between)
        threshold.apply_clicked.connect(self._corrections.apply_threshold)
        threshold.limit_clicked.connect(self._corrections.limit_to_threshold)
        self._typed.bind_changes(
            {
                self._typed.name.window: self._on_preset,
                self._typed.name.uncertainty: self._scene.set_uncertainty_visible,
                self._typed.name.doubt_opacity: self._scene.set_uncertainty_opacity,
                self._typed.name.hidden: lambda hidden: self._scene.set_segments_visible(not hidden),
                self._typed.name.ask: self._on_ask,
            }
        )
        self._measuring = Measuring(self.state, self.data, self._scene, self)
        self._slicer.segmentation_editor.segmentation_modified.connect(self._measuring.edited)
        self._slicer.segmentation_editor.undo_stack.index_changed.connect(self._corrected)
        hand = self.hand
        of_views = (hand.roll, hand.leave, hand.enlarge, hand.reset)
        of_hand = (*of_views, hand.use, hand.mark, hand.unmark, hand.views.painter.seen)
        of_reception = (self.reception.refuse, self.reception.upload_broke)
        for does in (self.key, *of_reception, *of_hand):  # by their names, in page.js and marks.js
            self.server.trigger(does.__name__)(does)
        self._volume: Volume | None = None
        self._run: Run | None = None
        self._pace = Pace()
        self._findings: Findings | None = None
        self._base_warnings: tuple[str, ...] = ()
        self._steps_made = 0
        self._tasks: set[asyncio.Task] = set()

    def close(self) -> None:
        """End the engine's process, if one runs."""
        if self._run is not None:
            self._run.close()
        self.hand.views.painter.close()

    # The CT

    @property
    def volume(self) -> Volume | None:
        """The CT that is shown."""
        return self._volume

    @property
    def findings(self) -> Findings | None:
        """What is marked in it; None while there is nothing to correct."""
        return self._findings

    def show(self, volume: Volume, warnings: tuple[str, ...]) -> None:
        """Another CT, in place of all that is there."""
        self._interrupt()
        data = self.data
        self._findings = None
        data.segmented = data.corrected = data.unsaved = data.measuring = data.uncertainty = data.hidden = False
        data.rows, data.tumors, data.tumor, data.places, data.place = [], 0, 0, 0, 0
        data.unnamed, data.name, data.opened = not volume.name, "", ""
        self._volume, self._base_warnings = replace(volume, name=volume.name or NO_NAME), warnings
        self.hand.show(self._volume)
        self._scene.show_ct(self._volume)
        self._limits.reset()
        self._called_now()
        data.dicom = bool(volume.grid.slices)
        data.size = (
            f"{' × '.join(map(str, volume.hu.shape))} voxels of {' × '.join(f'{mm:.2f}' for mm in volume.spacing)} mm"
        )
        data.warnings, data.heeded, self._measuring.warned = list(warnings), False, set()

    def name_case(self, name: str) -> None:
        """What the user calls a CT whose file does not say."""
        self.data.unnamed = False
        if name.strip() and self._volume is not None:
            self._volume = replace(self._volume, name=name.strip()[:80])
            self._called_now()

    def _called_now(self) -> None:
        assert self._volume is not None
        self.data.case = self._volume.name
        self.state.trame__title = f"{self._volume.name} – {TITLE}"

    # The run

    def segment_asked(self) -> None:
        """The button: unsaved corrections are not replaced without a question."""

        async def asked() -> None:
            if await self.question.may_replace(NETWORK):
                with self.state:
                    self.segment()

        self.later(asked())

    def segment(self) -> None:
        """Start the engine."""
        if self._volume is None or self.data.running:
            return
        data = self.data
        data.error, data.log = "", ""
        data.fraction, data.stage, data.left, data.running = 0.0, "Starting the engine", "", True
        self.later(self._segment())

    async def _segment(self) -> None:
        """From the click to the result on the page; there is none where something was opened in the meantime."""
        assert self._volume is not None
        volume, there, shown = self._volume, self._findings, False
        try:
            before = self._scene.labels() if self.data.segmented else None
            options = {name: getattr(self.data, name) for name in ("full", "flips", "parenchyma")}
            run = self._run = Run(self._scene, self.folder, self.settings, self._pace, **options)
            while run.goes_on():
                with self.state:
                    self.data.fraction, self.data.stage, self.data.left = 100 * run.fraction, run.stage, run.left
                await asyncio.sleep(POLL_SECONDS)
            result = await asyncio.to_thread(run.result)
            if result is not None:
                findings = await asyncio.to_thread(findings_of, volume, result, self._base_warnings)
                if volume.hu is self._volume.hu and there is self._findings:  # the CT's name alone may be another
                    shown = before is None or np.array_equal(before, self._scene.labels())
                    if shown:
                        self._show_findings(findings)
                    else:  # it was corrected since
                        self.later(self._ask_to_show(findings))
        except Exception as error:
            with self.state:
                self.data.error, self.data.log = sentence(error), self._run.log if self._run else ""
        finally:
            if self._run is not None:
                self._run.close()
            self._run = None
            with self.state:
                self.data.running = False
        if shown:
            await self._begin_review()

    async def _ask_to_show(self, findings: Findings) -> None:
        if await self.question.may_replace(NETWORK):
            self._show_findings(findings)
            await self._begin_review()

    def _on_ask(self, ask: bool) -> None:
        if not ask:  # the dialog was left
            self.question.answer(False)

    def show_opened(self, opened: LabelMap, name: str) -> None:
        """What a file marks in the CT, in place of the engine's answer; name: of the file."""
        from .findings import Findings  # what measures takes 0.4 s to load

        self._interrupt()
        self._show_findings(Findings.of_file(opened, name, self._base_warnings))
        self.later(self._begin_review())

    def _show_findings(self, findings: Findings) -> None:
        with self.state:
            self._findings = None  # what changes now is no correction
            self._set_surfaces(False)  # they take a second in a large CT, and come last
            self._scene.show_labels(findings.answer)
            self._slicer.segmentation_editor.undo_stack.trigger_all_signals()  # emptied, it does not always tell
            self.data.opened, self.data.corrected, self.data.unsaved = findings.opened_from, False, False
            self.data.uncertainty = self.data.uncertainty and findings.uncertainty is not None
            if findings.uncertainty is not None:
                self._scene.show_uncertainty(findings.uncertainty)
            self._scene.set_uncertainty_visible(self.data.uncertainty)
            self._scene.set_uncertainty_opacity(self.data.doubt_opacity)
            self._scene.set_segments_visible(not self.data.hidden)
            self.data.segmented = self.data.measuring = True  # the table is still that of what was there before
            self.data.places, self.data.place, self.data.tumor = len(findings.places), 0, 0
            self._findings = findings

    async def _begin_review(self) -> None:
        """Slices, then the table and the largest tumor, then 3D."""
        findings = self._findings
        await self._measuring.measure()
        with self.state:
            if self.data.tumors:
                self.next_tumor(1)
            elif self.data.rows:  # kidneys only, or cysts too: the larger kidney
                self.jump(max(self.data.rows, key=lambda one: (one.kind == "kidney", float(one.volume.lstrip("> ")))))
        await self.hand.views.painter.drawn()
        if findings is None or findings is not self._findings:  # something else was opened
            return
        with self.state:
            self._findings = None  # surfaces are no correction either
            try:
                self._set_surfaces(True)
                self._scene.reset_3d_view()
            finally:
                self._findings = findings

    def _set_surfaces(self, shown: bool) -> None:
        display = self._editor_logic.data.segment_display
        display.show_3d, display.opacity_3d.is_disabled = shown, not shown
        self._slicer.segmentation_editor.set_surface_representation_enabled(shown)

    def cancel(self) -> None:
        """Stop the engine; what was shown before stays."""
        if self._run is not None:
            self._run.cancel()
            self.data.stage, self.data.left = "Stopping", ""

    def _interrupt(self) -> None:
        """Something else is opened: what was to come counts no more."""
        self.cancel()
        self.question.answer(False)

    # Corrections and review

    def _corrected(self, steps_made: int) -> None:
        """A step was made, or taken back: what it has changed is seen, though it was hidden. Nobody corrects blind."""
        back, self._steps_made = steps_made < self._steps_made, steps_made
        if self._findings is None:
            return
        editor = self._slicer.segmentation_editor
        for key in (editor.undo_stack.redo_text() if back else editor.undo_stack.undo_text()).split():
            editor.set_segment_visibility(key, True)
        with self.state:
            self.data.hidden = False

    def jump(self, to: Any) -> None:
        """Show a row of the table in the slice views, or a line of it as the page holds it."""
        at, extent = (to["at"], to["extent"]) if isinstance(to, dict) else (to.at, to.extent)
        x, y, z = at
        self._scene.go_to((x, y, z), extent)

    def turn(self, kind: str, fingerprint: str, into: str) -> None:
        """Make a tumor or cyst of the table something else; while that is old, nobody knows which was meant."""
        if not self.data.measuring:
            self._corrections.turn(kind, fingerprint, into)

    def next_tumor(self, by: int) -> None:
        """Go ``by`` tumors on, largest first, round and round."""
        found = [one for one in self.data.rows if one.kind == "tumor"]
        if found:
            self.data.tumor = _round(self.data.tumor, by, len(found))
            self.jump(found[self.data.tumor - 1])

    def next_place(self, by: int) -> None:
        """Go ``by`` uncertain places on, the most uncertain first, and show how uncertain they are."""
        if self._findings is not None and self._findings.places:
            self.data.place = _round(self.data.place, by, len(self._findings.places))
            self.data.uncertainty = True
            self._scene.go_to(self._findings.places[self.data.place - 1], (0, 0, 0))

    def key(self, name: str, value: int = 0) -> None:
        """A key of the page."""
        if self.hand.key(name, value) or not self.data.segmented:
            return
        if name in ("[", "]"):
            self._corrections.resize_brush(1 if name == "]" else -1)
        elif name in ("n", "p"):
            self.next_tumor(1 if name == "n" else -1)
        elif name == "d":
            self.next_place(1)
        elif name == "u" and not self.data.opened:
            self.data.uncertainty = not self.data.uncertainty
        elif name in ("undo", "redo"):
            getattr(self._slicer.segmentation_editor.undo_stack, name)()

    def _on_preset(self, name: str) -> None:
        if self._volume is not None and name in WINDOWS:
            self._scene.set_window(*WINDOWS[name])

    def _windowed(self, width: int, level: int) -> None:
        with self.state:
            self.data.width, self.data.level = width, level
            self.data.window = next((name for name, values in WINDOWS.items() if values == (width, level)), "")

    # Saving

    async def saved(self, ending: str) -> Path:
        """A file of the segments as they are now; raises InputError when there are none, OutputError on a full disk."""
        findings, kind = self._findings, next((one for one in saving.KINDS if one.ending == ending), None)
        if findings is None or kind is None:
            raise InputError("There is nothing of this kind to save yet; segment a CT first.")
        result: Any = await self._measuring.measure()
        (folder := self.folder / "saved").mkdir(exist_ok=True)
        path = folder / f"{saving.file_name(result.volume.name)}.{ending}"
        await asyncio.to_thread(saving.write, path, result)
        if saving.keeps(kind, result.labels):
            findings.saved(result.labels)
            if findings is self._findings:
                with self.state:
                    self.data.unsaved = findings.unsaved or self._measuring.behind
        return path

    def later(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine beside the page; kept, so that it is not collected."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _round(at: int, by: int, count: int) -> int:
    """From the ``at``-th of ``count`` (0: none yet) so many on, round and round; from 1."""
    return (at - 1 + by) % count + 1 if at else (1 if by > 0 else count)
