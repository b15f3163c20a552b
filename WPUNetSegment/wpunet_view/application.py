"""One page's session: a CT, the engine's run on it, corrections, measurements."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from trame.app import TrameApp
from trame_server.utils.typed_state import TypedState
from trame_slicer import module as trame_slicer_module
from trame_slicer.app.logic import SegmentEditorLogic
from trame_slicer.core import SlicerApp
from vtkmodules.vtkCommonCore import vtkCommand
from wpunet import __version__, certainty, check, doubts, measure, report, structure
from wpunet.errors import InputError, WpunetError
from wpunet.volume import Volume

from . import opening, saving, views
from .page import Page
from .run import Run
from .scene import Scene
from .state import Choice, PageState, Row

WWW = Path(__file__).with_name("www")
REST_SECONDS = 0.6  # without an edit, before the segments are measured again
POLL_SECONDS = 0.15


class Application(TrameApp):
    """Owns scene, run and state; the page calls its public methods.

    settings: of the command line: device, threads, weights, upload_limit (bytes)
    folder:   the session's own, for everything that is written
    """

    def __init__(self, settings: dict[str, Any], folder: Path) -> None:
        super().__init__()
        self.settings, self.folder = settings, folder
        self.server.enable_module(trame_slicer_module)
        name = f"wpunet_{__version__}"
        self.server.enable_module({"serve": {name: str(WWW)}, "scripts": [f"{name}/page.js"]})
        self.state.trame__title = "WPUNetSegment"
        self.state.trame__favicon = "data:,"
        self._typed = TypedState(self.state, PageState)
        self.data: PageState = self._typed.data
        self._slicer = SlicerApp()
        self._scene = Scene(self._slicer)
        self._editor_logic = SegmentEditorLogic(self.server, self._slicer)
        manager = views.four_views(self._slicer, self.server)
        self._editor_logic.set_ui(Page(self.server, self, manager).tools)
        self._last_view = views.AXIAL
        for view in self._slicer.view_manager.get_slice_views():
            over = partial(self._over, view.get_singleton_tag())
            view.interactor().AddObserver(vtkCommand.MouseMoveEvent, over, 100.0)  # before Slicer's tools, which end it
        self._typed.bind_changes(
            {
                self._typed.name.window: self._on_window,
                self._typed.name.uncertainty: self._on_uncertainty,
            }
        )
        self._slicer.segmentation_editor.segmentation_modified.connect(self._edited)
        self.server.trigger("key")(self.key)
        self.server.trigger("upload_broke")(self.upload_broke)
        self._volume: Volume | None = None
        self._run: Run | None = None
        self._answer: np.ndarray | None = None  # the engine's labels, before corrections
        self._doubt: np.ndarray | None = None
        self._told: dict[str, Any] = {}  # the engine's report
        self._report: dict[str, Any] = {}  # of the segments as they are
        self._base_warnings: tuple[structure.Caution, ...] = ()
        self._sources: list[opening.Source] = []
        self._edited_at: float | None = None
        self._tasks: set[asyncio.Task] = set()

    def close(self) -> None:
        """End the engine's process, if one runs."""
        if self._run is not None:
            self._run.close()

    # Opening

    async def open_phantom(self) -> None:
        """Show a generated CT."""
        await self._open("Making the phantom", opening.read_phantom)

    async def open_path(self, path: Path, series: str | None = None, *, segment: bool = False) -> None:
        """Show the CT at ``path``, and perhaps segment it at once; of a folder with several the user chooses."""
        if series is not None:
            await self._read(opening.Source(path, series, path.name))
        else:
            await self._offer(path)
        if segment:
            with self.state:
                self.segment()

    async def receive(self, name: str, chunks: Any, size: int | None) -> None:
        """Take an upload in, and show the CT in it."""
        folder = self.folder / "upload"
        opening.empty(folder)
        path = folder / opening.local_name(name)

        def told(share: int) -> None:
            if share != self.data.share:
                with self.state:
                    self.data.share = share

        with self.state:
            self.data.error, self.data.busy, self.data.share = "", f"Uploading {name}", 0
        try:
            await opening.receive(chunks, path, size, self.settings["upload_limit"], told)
        except (WpunetError, OSError) as error:
            self.tell(str(error))
        else:
            await self._offer(path)

    def upload_broke(self, name: str) -> None:
        """The browser could not send the file, and the server has said nothing about it yet."""
        if not self.data.error:
            self.tell(f"{name} could not be sent; is the program still running?")

    async def choose(self, number: int) -> None:
        """The user's choice among several CTs."""
        source = self._sources[number]
        self.data.choices = []
        await self._read(source)

    async def _offer(self, path: Path) -> None:
        """Read the CT in ``path``, or let the user choose where there are several."""
        with self.state:
            self.data.error, self.data.busy, self.data.share = "", f"Reading {path.name}", -1
        try:
            self._sources = await asyncio.to_thread(
                opening.sources, path, self.folder / "unpacked", self.settings["upload_limit"]
            )
        except WpunetError as error:
            self.tell(str(error))
            return
        if len(self._sources) == 1:
            await self._read(self._sources[0])
            return
        with self.state:
            self.data.busy = ""
            self.data.choices = [Choice(source.title, number) for number, source in enumerate(self._sources)]

    async def _read(self, source: opening.Source) -> None:
        await self._open(f"Reading {source.path.name}", opening.read, source)

    async def _open(self, busy: str, read: Any, *arguments: Any) -> None:
        self.cancel()
        with self.state:
            self.data.error, self.data.busy, self.data.share = "", busy, -1
        try:
            volume, warnings = await asyncio.to_thread(lambda: check.check(read(*arguments)))
        except (WpunetError, MemoryError) as error:
            self.tell(str(error) or "Not enough memory for this CT; close other pages or crop it.")
            return
        with self.state:
            self._show(volume, warnings)
        self.tell()

    def _show(self, volume: Volume, warnings: tuple[str, ...]) -> None:
        self._volume, self._base_warnings = volume, tuple(structure.Caution("input", text) for text in warnings)
        self._answer = self._doubt = None
        self._told, self._report = {}, {}
        data = self.data
        data.segmented = data.corrected = data.uncertainty = False
        data.rows, data.tumors, data.tumor = [], 0, 0
        data.window = "Soft tissue"
        self._scene.show_ct(volume)
        data.case = volume.name
        data.size = (
            f"{' × '.join(map(str, volume.hu.shape))} voxels of {' × '.join(f'{mm:.2f}' for mm in volume.spacing)} mm"
        )
        data.warnings = list(warnings)

    def tell(self, error: str = "") -> None:
        """Nothing goes on any more; ``error`` is one sentence for the user where something went wrong."""
        for part in ("upload", "unpacked"):  # folders that the user never saw
            error = error.replace(f"{self.folder / part}{os.sep}", "")
        with self.state:
            self.data.busy, self.data.share, self.data.error, self.data.log = "", -1, error, ""

    # The run

    def segment_asked(self) -> None:
        """The button: corrections are not replaced without a question."""
        if self.data.corrected:
            self.data.ask = True
        else:
            self.segment()

    def segment(self) -> None:
        """Start the engine."""
        if self._volume is None or self._run is not None:
            return
        data = self.data
        data.ask, data.error, data.log = False, "", ""
        data.fraction, data.stage, data.left, data.running = 0.0, "Starting the engine", "", True
        self._later(self._segment())

    async def _segment(self) -> None:
        volume = self._volume
        try:
            run = self._run = Run(self._scene, self.folder, self.settings, full=self.data.full, flips=self.data.flips)
            while run.goes_on():
                with self.state:
                    self.data.fraction, self.data.stage, self.data.left = 100 * run.fraction, run.stage, run.left
                await asyncio.sleep(POLL_SECONDS)
            result = await asyncio.to_thread(run.result)
        except (WpunetError, OSError) as error:
            result = None
            with self.state:
                self.data.error, self.data.log = str(error), self._run.log if self._run else ""
        finally:
            if self._run is not None:
                self._run.close()
            self._run = None
            with self.state:
                self.data.running = False
        if result is not None and volume is self._volume:
            await self._show_result(*result)

    async def _show_result(self, answer: np.ndarray, doubt: np.ndarray, told: dict[str, Any]) -> None:
        with self.state:
            self._answer, self._doubt, self._told = answer, doubt, told
            self._scene.show_labels(answer)
            self._scene.show_uncertainty(doubt)
            self._scene.set_uncertainty_visible(self.data.uncertainty)
            shown = self._editor_logic.data.segment_display
            shown.show_3d, shown.opacity_3d.is_disabled = True, False
            self._slicer.segmentation_editor.set_surface_representation_enabled(True)
            self._scene.reset_3d_view()
            self.data.segmented = True
        await self._measure()
        if self.data.tumors:
            with self.state:
                self.next_tumor(1)

    def cancel(self) -> None:
        """Stop the engine; what was shown before stays."""
        if self._run is not None:
            self._run.cancel()
            self.data.stage, self.data.left = "Stopping", ""

    # Corrections and review

    def _edited(self) -> None:
        """A segment has changed; measure once the hand rests."""
        if self._answer is None:
            return
        waiting = self._edited_at is not None
        self._edited_at = asyncio.get_running_loop().time()
        if not waiting:
            self._later(self._measure_at_rest())

    async def _measure_at_rest(self) -> None:
        loop = asyncio.get_running_loop()
        while self._edited_at is not None and loop.time() < self._edited_at + REST_SECONDS:
            await asyncio.sleep(self._edited_at + REST_SECONDS - loop.time())
        self._edited_at = None
        await self._measure()

    async def _measure(self) -> None:
        """Table, warnings and report for the segments as they are."""
        volume, answer = self._volume, self._answer
        if volume is None or answer is None:
            return
        now = self._scene.labels()
        structures, about_these = await asyncio.to_thread(_measured, now, volume, self._told)
        if volume is not self._volume:
            return
        corrected = not np.array_equal(now, answer)
        of_run = [one for one in report.cautions_of(self._told) if one.code in doubts.OF_RUN]
        warnings = tuple(dict.fromkeys((*self._base_warnings, *of_run, *about_these)))
        place = report.places(volume.grid.affine)
        self._report = self._told | {
            "case": volume.name,
            "input": report.input_of(volume.path, volume.series, volume.grid.shape, volume.grid.affine),
            "structures": [structure.plain(one, place) for one in structures],
            "warnings": [report.plain_caution(one) for one in warnings],
            "corrected_by_hand": corrected,
        }
        with self.state:
            self.data.rows = [_row(one) for one in structures]
            self.data.tumors = sum(one.kind == "tumor" for one in structures)
            self.data.tumor = min(self.data.tumor, self.data.tumors)
            self.data.corrected, self.data.warnings = corrected, [one.text for one in warnings]

    def jump(self, at: list[float]) -> None:
        """Show a place, RAS mm, in the slice views."""
        x, y, z = at
        self._scene.jump((x, y, z))

    def next_tumor(self, by: int) -> None:
        """Go ``by`` tumors on, largest first, round and round."""
        found = [row for row in self.data.rows if row.kind == "tumor"]
        if found:
            at = (self.data.tumor - 1 + by) % len(found) if self.data.tumor else (0 if by > 0 else len(found) - 1)
            self.data.tumor = at + 1
            self.jump(found[at].at)

    def key(self, name: str, value: int = 0) -> None:
        """A key of the page."""
        if name == "slices" and self._volume is not None:
            self._scene.step(self._last_view, value)
        elif name in ("n", "p"):
            self.next_tumor(1 if name == "n" else -1)
        elif name == "u" and self.data.segmented:
            self.data.uncertainty = not self.data.uncertainty
        elif name in ("undo", "redo") and self.data.segmented:
            stack = self._slicer.segmentation_editor.undo_stack
            if stack.can_undo() if name == "undo" else stack.can_redo():
                getattr(stack, name)()

    def _over(self, view: str, *_: Any) -> None:
        self._last_view = view

    def _on_window(self, name: str) -> None:
        if self._volume is not None:
            self._scene.set_window(name)

    def _on_uncertainty(self, visible: bool) -> None:
        if self._doubt is not None:
            self._scene.set_uncertainty_visible(visible)

    # Saving

    async def saved(self, ending: str) -> Path:
        """A file of the segments as they are now; raises InputError when there are none, OutputError on a full disk."""
        if self._volume is None or self._answer is None or ending not in {kind.ending for kind in saving.KINDS}:
            raise InputError("There is nothing of this kind to save yet; segment a CT first.")
        await self._measure()
        folder = self.folder / "saved"
        folder.mkdir(exist_ok=True)
        path = folder / f"{saving.file_name(self._volume.name)}.{ending}"
        now = self._scene.labels()
        await asyncio.to_thread(saving.write, path, now, self._volume, dict(self._report))
        return path

    def _later(self, work: Any) -> None:
        """Run a coroutine beside the page; kept, so that it is not collected."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _measured(
    labels: np.ndarray, volume: Volume, told: dict[str, Any]
) -> tuple[tuple[structure.Structure, ...], tuple[structure.Caution, ...]]:
    """The segments as they are; certain only where they are what the engine told of."""
    structures = measure.measure(labels, volume.hu, volume.affine)
    structures = certainty.kept(structures, report.structures_of(told))
    return doubts.judge(structures, labels, volume.hu)


def _row(one: structure.Structure) -> Row:
    return Row(
        name=f"{'? ' if one.doubts else ''}{one.name}",
        kind=one.kind,
        volume=f"{'> ' if one.touches_border else ''}{one.volume_ml:.1f}",
        diameter=f"{one.size.mm:.0f}",
        hu=f"{one.mean_hu:.0f}",
        certainty="" if one.certainty is None else f"{one.certainty:.0%}",
        at=list(one.centre_ras_mm),
    )
