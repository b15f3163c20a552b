"""After a correction: old numbers are called old, measuring again, saved scenes, the Segment Editor, training cases."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import slicer
from PySide6 import QtWidgets

from .conftest import STEP


def settled(panel):
    """What waits until nothing more is changed has been done."""
    from WPUNetSegmentLib.rest import REST_MS

    panel.desktop.wait(2 * REST_MS)


class TestAfterACorrection:
    def grow(self, panel, key="tumor"):
        segmentation, ct = panel.parameters.segmentation, panel.parameters.ct
        array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, key, ct)
        array[25:30, 25:30, 5:10] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentation, key, ct)
        panel.desktop.settle()

    def test_the_numbers_are_called_old_until_they_are_measured_again(self, done):
        assert not done.shown("staleLabel")
        self.grow(done)
        assert done.shown("staleLabel")
        assert len(done.table()) == 4
        done.click("measureButton")
        assert not done.shown("staleLabel")
        assert len(done.table()) == 5
        volumes = sorted(float(row[1]) for row in done.table())
        assert volumes[1] == pytest.approx(125 * STEP**3 / 1000, abs=0.06)

    @pytest.mark.parametrize("measured", [False, True], ids=["as the engine left it", "as it was measured"])
    def test_after_the_editors_undo_the_numbers_are_those_of_the_segments_again(self, done, measured):
        if measured:
            self.grow(done, "kidney_left")
            done.click("measureButton")
        before = done.table()
        history = slicer.vtkSegmentationHistory()
        history.SetSegmentation(done.parameters.segmentation.GetSegmentation())
        history.SaveState()
        self.grow(done)
        done.click("nextTumorButton")
        settled(done)
        assert done.shown("staleLabel")
        history.RestorePreviousState()
        settled(done)
        assert not done.shown("staleLabel")
        assert done.table() == before

    def test_numbers_of_what_the_editors_undo_takes_away_are_called_old(self, done):
        history = slicer.vtkSegmentationHistory()
        history.SetSegmentation(done.parameters.segmentation.GetSegmentation())
        first = done.table()
        history.SaveState()
        self.grow(done, "kidney_left")
        history.SaveState()
        self.grow(done)
        done.click("measureButton")
        history.RestorePreviousState()
        settled(done)
        assert done.shown("staleLabel")
        done.click("measureButton")
        assert done.table() != first
        history.RestorePreviousState()
        settled(done)
        assert not done.shown("staleLabel")
        assert done.table() == first

    def test_a_new_colour_leaves_the_walk_where_it_is(self, done):
        done.click("nextTumorButton")
        done.parameters.segmentation.GetSegmentation().GetSegment("tumor").SetColor(1, 0, 1)
        settled(done)
        assert done.text("placeLabel")
        assert not done.shown("staleLabel")

    @pytest.mark.parametrize("first", ["ct", "segmentation"])
    def test_numbers_stay_those_of_a_ct_and_segments_that_are_hardened_together(self, panel, add_ct, first):
        panel.choose("ct", add_ct(move=(30.0, -40.0, 50.0)))
        panel.segment()
        nodes = [panel.parameters.ct, panel.parameters.segmentation]
        for node in nodes if first == "ct" else reversed(nodes):
            node.HardenTransform()
        settled(panel)
        assert not panel.shown("staleLabel")

    def test_measuring_what_the_engine_made_gives_the_engines_numbers(self, done):
        before = done.table()
        done.click("measureButton")
        assert done.table() == before
        assert {row[4] for row in before} == {"90%"}

    def test_what_somebody_painted_has_no_certainty_and_the_rest_keeps_its_own(self, done, tmp_path):
        self.grow(done)
        done.click("measureButton")
        told = {row[1]: row[4] for row in done.table()}
        painted = f"{125 * STEP**3 / 1000:.1f}"
        assert told.pop(painted) == "–"
        assert set(told.values()) == {"90%"}
        done.desktop.answers = [tmp_path / "table.csv"]
        done.click("saveTableButton")
        rows = csv.DictReader((tmp_path / "table.csv").open(encoding="utf-8"))
        assert {row["corrected_by_hand"] for row in rows} == {"yes"}

    def test_what_measuring_needs_is_installed_when_it_is_missing(self, done, monkeypatch):
        from WPUNetSegmentLib import install, results

        measure, asked, cursors = results.measure_segments, [], []

        def measure_segments(ct, segmentation):
            cursors.append(QtWidgets.QApplication.overrideCursor() is not None)
            if not asked:
                raise ImportError("No module named 'cc3d'")
            return measure(ct, segmentation)

        monkeypatch.setattr(results, "measure_segments", measure_segments)
        monkeypatch.setattr(install, "ensure", lambda device, ask: asked.append(device))
        done.click("measureButton")
        assert asked
        assert len(done.table()) == 4
        assert cursors == [True, True]
        assert QtWidgets.QApplication.overrideCursor() is None

    def test_a_deleted_segment_is_gone_from_the_table(self, done):
        done.parameters.segmentation.GetSegmentation().RemoveSegment("tumor")
        done.desktop.settle()
        assert done.shown("staleLabel")
        done.click("measureButton")
        assert [row[0] for row in done.table()] == ["right kidney", "left kidney"]
        assert not done.ui.nextTumorButton.isEnabled()

    def test_a_tumor_that_is_said_to_be_a_cyst_is_measured_as_one(self, done):
        from wpunet.labels import CYST_LABEL

        tumor = done.parameters.segmentation.GetSegmentation().GetSegment("tumor")
        tumor.SetColor(1, 0, 1)
        tumor.SetName("lesion A")
        done.desktop.settle()
        assert not done.shown("staleLabel")
        tumor.SetTerminology(CYST_LABEL.terminology)
        done.desktop.settle()
        assert done.shown("staleLabel")
        done.click("measureButton")
        assert not done.shown("staleLabel")
        assert [row[0] for row in done.table()] == ["right kidney", "left kidney", "right cyst 1", "left cyst 2"]

    def test_segments_that_count_as_nothing_are_told(self, done, tmp_path):
        """As the Segment Editor's Islands make them: with a name like that of the segment they are split from."""
        segments = done.parameters.segmentation.GetSegmentation()
        segments.AddEmptySegment("", "an empty one")
        segments.AddEmptySegment("split", "kidney tumor_2")
        self.grow(done, "split")
        assert "changed after" in done.text("staleLabel")
        done.click("measureButton")
        assert len(done.table()) == 4
        assert done.text("staleLabel").startswith("Left out: kidney tumor_2. ")
        done.open("correctSection")
        done.desktop.answers = [tmp_path]
        done.click("saveCaseButton")
        assert "case_00000. Left out: kidney tumor_2. " in done.text("infoLabel")
        segments.GetSegment("split").SetTerminology(segments.GetSegment("tumor").GetTerminology())
        done.click("measureButton")
        assert len(done.table()) == 5
        assert not done.shown("staleLabel")

    def test_a_segmentation_of_somebody_else_can_be_measured(self, done):
        other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
        other.SetReferenceImageGeometryParameterFromVolumeNode(done.parameters.ct)
        array = slicer.util.arrayFromSegmentBinaryLabelmap(
            done.parameters.segmentation, "kidney_left", done.parameters.ct
        )
        other.GetSegmentation().AddEmptySegment("kidney_left", "links")
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, other, "kidney_left", done.parameters.ct)
        done.choose("segmentation", other)
        assert done.table() == []
        assert "not measured" in done.text("staleLabel")
        done.click("measureButton")
        assert [row[0] for row in done.table()] == ["left kidney"]

    def test_a_saved_scene_shows_its_results_again(self, done, desktop, tmp_path):
        before = done.table()
        path = str(tmp_path / "scene.mrb")
        assert slicer.mrmlScene.WriteToMRB(path, None)
        slicer.mrmlScene.Clear()
        desktop.settle()
        assert done.table() == []
        assert slicer.mrmlScene.ReadFromMRB(path)
        done.widget.enter()
        desktop.settle()
        assert done.parameters.segmentation is not None
        assert done.table() == before

    def test_what_was_measured_again_stays_with_the_segments(self, done, desktop, tmp_path):
        self.grow(done)
        done.click("measureButton")
        measured = done.table()
        assert len(measured) == 5
        segmentation = done.parameters.segmentation
        done.choose("segmentation", None)
        done.choose("segmentation", segmentation)
        assert done.table() == measured
        assert not done.shown("staleLabel")
        path = str(tmp_path / "scene.mrb")
        assert slicer.mrmlScene.WriteToMRB(path, None)
        slicer.mrmlScene.Clear()
        assert slicer.mrmlScene.ReadFromMRB(path)
        done.widget.enter()
        desktop.settle()
        assert done.table() == measured
        assert not done.shown("staleLabel")
        done.desktop.answers = [True]  # replace what was painted
        done.segment()
        assert len(done.table()) == 4
        assert not done.shown("staleLabel")

    def test_each_frame_of_a_sequence_of_segmentations_shows_its_own(self, done):
        segmentation = done.parameters.segmentation
        frames = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "segmentations")
        frames.SetDataNodeAtValue(segmentation, "0")
        first = done.table()
        self.grow(done)
        done.click("measureButton")
        second = done.table()
        frames.SetDataNodeAtValue(segmentation, "1")
        browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
        browser.SetAndObserveMasterSequenceNodeID(frames.GetID())
        browser.AddProxyNode(segmentation, frames, False)
        browser.SetSaveChanges(frames, True)
        for number, wanted in ((0, first), (1, second), (0, first)):
            browser.SetSelectedItemNumber(number)
            slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
            done.desktop.settle()
            assert done.table() == wanted
            assert not done.shown("staleLabel")
        self.grow(done)
        assert done.shown("staleLabel")

    def test_the_segment_editor_edits_the_result(self, done):
        editor = done.ui.segmentEditor
        assert editor.segmentationNode() is done.parameters.segmentation
        assert editor.sourceVolumeNode() is done.parameters.ct
        done.choose("segmentation", None)
        assert editor.segmentationNode() is None
        assert not editor.isEnabled()  # its own hidden list would turn to the next segmentation that comes

    def test_an_editor_that_turns_to_another_segmentation_by_itself_is_turned_back(self, done):
        """Its own list is hidden: a person would correct what the panel does not show."""
        editor = done.ui.segmentEditor
        editor.setSegmentationNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other"))
        editor.setSourceVolumeNode(None)
        done.desktop.settle()
        assert editor.segmentationNode() is done.parameters.segmentation
        assert editor.sourceVolumeNode() is done.parameters.ct

    def test_surfaces_go_and_come_on_request(self, done):
        inside = done.parameters.segmentation.GetSegmentation()
        name = slicer.vtkSegmentationConverter.GetClosedSurfaceRepresentationName()
        assert inside.ContainsRepresentation(name)
        done.click("show3DButton")
        assert not inside.ContainsRepresentation(name)
        done.click("show3DButton")
        assert inside.ContainsRepresentation(name)


class TestTrainingCase:
    def test_is_written_where_the_user_says(self, done, tmp_path):
        import nibabel as nib

        done.open("correctSection")
        done.desktop.answers = [tmp_path]
        done.click("saveCaseButton")
        assert "case_00000" in done.text("infoLabel")
        labels = np.asarray(nib.load(tmp_path / "case_00000" / "segmentation.nii.gz").dataobj)
        assert set(np.unique(labels)) == {0, 1, 2}

    def test_a_cancelled_dialog_writes_nothing(self, done, tmp_path):
        done.open("correctSection")
        done.desktop.answers = [""]
        done.click("saveCaseButton")
        assert not list(tmp_path.glob("case_*"))

    def test_without_a_result_there_is_nothing_to_save(self, ready):
        ready.open("correctSection")
        assert not ready.ui.saveCaseButton.isEnabled()
