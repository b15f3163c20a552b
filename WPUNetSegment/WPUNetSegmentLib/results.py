"""The results on the panel: table, walk through tumors and uncertain places, measuring again after a correction."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin
from wpunet.outputs import NO_FILE_NAME, replacing
from wpunet.report import cautions_of
from wpunet.structure import Structure

from . import diameters, handover, kinds, measures, messages, review, scene, training_case
from .measurement import measure_segments, remember
from .rest import AtRest
from .table import ResultsTable, as_text

EDITOR_TAG = "WPUNetSegment"  # of the Segment Editor's settings, apart from those of Slicer's own Segment Editor


class Results(VTKObservationMixin):
    """The sections *Results* and *Correct* of the panel, for one CT and its segmentation.

    safely(action) is the action with its errors shown on the panel; install(device) installs what a device needs.
    """

    def __init__(
        self, ui: Any, safely: Callable[[Callable[[], None]], Callable[[], None]], install: Callable[[str], None]
    ) -> None:
        super().__init__()
        self.ui, self._install = ui, install
        self.ct: Any = None
        self.segmentation: Any = None
        self._uncertainty: Any = None
        self._lies: Any = None  # the CT's own geometry
        self._said: dict[str, str] = {}  # what each segment is said to be
        self._measures, self._old = measures.of(None), False
        self._look = AtRest(self._look_again)
        self._table = ResultsTable(ui.resultsTable, lambda one: self._go(review.Place(one.name, one.centre_ras_mm)))
        self._tumors, self._uncertain = review.Walk(), review.Walk()
        ui.measureButton.connect("clicked()", safely(self.measure_again))
        ui.copyTableButton.connect("clicked()", safely(self._copy))
        ui.saveTableButton.connect("clicked()", safely(self._save))
        ui.nextTumorButton.connect("clicked()", safely(lambda: self._go(self._tumors.step(1))))
        ui.previousTumorButton.connect("clicked()", safely(lambda: self._go(self._tumors.step(-1))))
        ui.diameterButton.connect("clicked()", safely(self._draw_diameters))
        ui.uncertainButton.connect("clicked()", safely(self._next_uncertain))
        ui.segmentEditor.connect("segmentationNodeChanged(vtkMRMLSegmentationNode*)", self._editor_turned)
        ui.show3DButton.setSegmentationNode(None)
        self.show_report()

    @property
    def own_ct(self) -> Any:
        """The CT that the segments were made on, whatever the panel has chosen meanwhile; None where it is gone."""
        return scene.own_ct(self.segmentation, self.ct)

    @property
    def gone(self) -> bool:
        """Whether the segmentation was deleted."""
        return self.segmentation is not None and self.segmentation.GetScene() is None

    @property
    def structures(self) -> list[Structure]:
        """What the table shows."""
        return self._table.structures

    @property
    def warnings(self) -> list[str]:
        """What the engine warned of when it made the segmentation."""
        report = scene.report(self.segmentation)
        return [one.text for one in cautions_of(report)] if report else []

    def choose(self, ct: Any, segmentation: Any) -> bool:
        """Turn to a segmentation; what was measured of another one goes away. True where it is another one."""
        if ct is self.ct and segmentation is self.segmentation:
            return False
        self.removeObservers()
        self._look.never()
        self.ct, self.segmentation, self._uncertainty = ct, segmentation, None
        if segmentation is not None:
            inside = segmentation.GetSegmentation()  # of a sequence each frame has one of its own, the node stays
            for event in (inside.SourceRepresentationModified, inside.SegmentAdded, inside.SegmentRemoved):
                self.addObserver(segmentation, event, self._changed)
            self.addObserver(segmentation, inside.SegmentModified, self._described)
            self.addObserver(segmentation, segmentation.SegmentationChangedEvent, self._another_frame)
        own = self.own_ct
        if own is not None:
            self._lies = handover.ijk_to_ras(own)
            self.addObserver(own, slicer.vtkMRMLTransformableNode.TransformModifiedEvent, self._ct_moved)
        self.ui.show3DButton.setSegmentationNode(segmentation)
        self._edit()
        self.show_report()
        return True

    def hidden_3d(self) -> bool:
        """Whether there is a result whose surfaces the user has put away: a new run leaves them so."""
        return scene.report(self.segmentation) is not None and not scene.has_surface(self.segmentation)

    def show_report(self) -> None:
        """What was last measured of this segmentation, also after the scene was saved and loaded again."""
        self._measures = measures.of(self.segmentation)
        self._uncertainty = self.segmentation.GetNodeReference(scene.UNCERTAINTY) if self.segmentation else None
        self._said = kinds.terminologies(self.segmentation) if self.segmentation else {}
        report = scene.report(self.segmentation)
        self.ui.resultsSection.text = messages.results(report["case"] if report else "")
        self._show(self._measures.structures)
        self._stale(self._segments() > 0 and not self._measures.current)

    def measure_again(self) -> None:
        """The segments as they are now, after a correction."""
        try:
            self._measure()
        except ImportError:  # a saved scene, on a computer where nothing was segmented yet
            self._install("auto")
            self._measure()
        self.show_report()

    def _measure(self) -> None:
        with messages.busy():
            remember(self.own_ct, self.segmentation, measure_segments(self.own_ct, self.segmentation))
            measures.renew(self.segmentation)

    def _draw_diameters(self) -> None:
        """Or take them away; the user may have done so in the module Data, which the button does not know."""
        diameters.draw(self.segmentation, [] if diameters.shown(self.segmentation) else self.structures)
        self.ui.diameterButton.checked = diameters.shown(self.segmentation)

    def _show(self, structures: Sequence[Structure]) -> None:
        self._table.show(structures)
        self._tumors = review.Walk(review.tumors(structures))
        self._uncertain = review.Walk()
        self._say("")

    def _segments(self) -> int:
        return 0 if self.segmentation is None else self.segmentation.GetSegmentation().GetNumberOfSegments()

    def _changed(self, _caller: Any, _event: str) -> None:
        self._stale(True)
        self._look.again()

    def _look_again(self) -> None:
        """Whether what was measured is there: the Segment Editor's undo may bring it back, or take it away.

        Slicer tells of an undo as it tells of a new colour. Each segment is hashed to find out.
        """
        found = measures.of(self.segmentation)
        if not found.current:
            self._stale(True)
        elif self._old or found != self._measures:
            self.show_report()

    def _described(self, _caller: Any, _event: str) -> None:
        """A tumor may be said to be a cyst now; names, colours and surfaces change no numbers."""
        said = kinds.terminologies(self.segmentation)
        if said != self._said:
            self._said = said
            self._stale(True)
        self._look.again()

    def _another_frame(self, _caller: Any, _event: str) -> None:
        self.show_report()

    def _ct_moved(self, ct: Any, _event: str) -> None:
        """A CT that was hardened has other coordinates, and so have the places in it."""
        lies = handover.ijk_to_ras(ct)
        if not np.array_equal(lies, self._lies):
            self._lies = lies
            self.show_report()

    def _stale(self, stale: bool) -> None:
        """Say whether the numbers belong to the segments, and offer what can be done with either."""
        self._old, some = stale, bool(self.structures)
        left_out = messages.left_out(training_case.left_out(self.segmentation)) if some and not stale else ""
        self.ui.staleLabel.visible = stale or bool(left_out)
        self.ui.staleLabel.text = left_out or (
            _("The segments were changed after these measurements.") if some else _("These segments are not measured.")
        )
        self.ui.measureButton.enabled = self.own_ct is not None and self._segments() > 0
        for button in (self.ui.copyTableButton, self.ui.saveTableButton):
            button.enabled = some
        self.ui.diameterButton.enabled = any(one.diameter for one in self.structures)
        self.ui.diameterButton.checked = diameters.shown(self.segmentation)
        for button in (self.ui.nextTumorButton, self.ui.previousTumorButton):
            button.enabled = bool(self._tumors.places)
        self.ui.uncertainButton.enabled = self._uncertainty is not None or bool(review.least_certain(self.structures))
        self.ui.saveCaseButton.enabled = self.ui.measureButton.enabled

    def _go(self, place: review.Place) -> None:
        review.show(place.ras, place.node or self.own_ct or self.segmentation)  # that lies where its CT lay
        self._say(place.text)

    def _say(self, text: str) -> None:
        """Which place the views show."""
        self.ui.placeLabel.text = text
        self.ui.placeLabel.visible = bool(text)

    def _next_uncertain(self) -> None:
        if not self._uncertain.places:
            self._uncertain = review.Walk(self._find_uncertain())
        self._go(self._uncertain.step(1))

    def _find_uncertain(self) -> list[review.Place]:
        """From the uncertainty volume where it was kept; else the structures themselves, the least certain first."""
        places: list[review.Place] = []
        if self._uncertainty is not None and slicer.mrmlScene.IsNodePresent(self._uncertainty):
            matrix = vtk.vtkMatrix4x4()
            self._uncertainty.GetIJKToRASMatrix(matrix)
            values = slicer.util.arrayFromVolume(self._uncertainty)
            affine = slicer.util.arrayFromVTKMatrix(matrix)
            places = review.uncertain_places(values, affine, self._uncertainty)
        return places or review.least_certain(self.structures)

    def _copy(self) -> None:
        slicer.app.clipboard().setText(as_text(self.structures))

    def _save(self) -> None:
        name = re.sub(NO_FILE_NAME, "_", self.segmentation.GetName())
        there = str(Path(slicer.mrmlScene.GetRootDirectory(), f"{name}.csv"))  # where Slicer saves the scene
        path = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), _("Save table"), there, "CSV (*.csv)")
        if path:
            with replacing(Path(path if path.lower().endswith(".csv") else f"{path}.csv")) as temporary:
                temporary.write_text(measures.text(self.segmentation, self._measures), "utf-8")

    def _edit(self) -> None:
        """The embedded Segment Editor on the segmentation."""
        editor = self.ui.segmentEditor
        editor.enabled = self.segmentation is not None  # else its hidden list turns to the next one that comes
        if self.segmentation is None:
            if editor.mrmlSegmentEditorNode() is not None:  # the editor takes nothing before it has that node
                editor.setSegmentationNode(None)
            return
        editor.setMRMLSegmentEditorNode(_editor_node())
        editor.setSegmentationNode(self.segmentation)
        editor.setSourceVolumeNode(self.own_ct)

    def _editor_turned(self, segmentation: Any) -> None:
        """Where nodes go or a scene is loaded, its hidden list may turn to another one, unseen: back, after that."""
        if segmentation is not self.segmentation:
            qt.QTimer.singleShot(0, self._edit)


def _editor_node() -> Any:
    node = slicer.mrmlScene.GetSingletonNode(EDITOR_TAG, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        node.UnRegister(None)
        node.SetSingletonTag(EDITOR_TAG)
        node = slicer.mrmlScene.AddNode(node)
    return node
