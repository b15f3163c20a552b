"""A run from the panel: its progress, its ends, and running again over the user's own work."""

from __future__ import annotations

import numpy as np
import pytest
import slicer


def nodes(kind="vtkMRMLSegmentationNode"):
    return slicer.util.getNodesByClass(kind)


class TestARun:
    def test_segment_turns_into_cancel_and_back(self, ready):
        ready.click("segmentButton")
        assert ready.text("segmentButton").replace("&", "") == "Cancel"
        assert ready.shown("progressFrame")
        assert ready.text("progressLabel").startswith("Segmenting")
        assert "left" in ready.text("progressLabel")
        assert ready.ui.progressBar.value() == 500
        assert not ready.ui.ctSelector.isEnabled()
        assert not ready.ui.optionsSection.isEnabled()
        ready.engine.go()
        ready.finish()
        assert ready.text("segmentButton").replace("&", "") == "Segment"
        assert not ready.shown("progressFrame")
        assert ready.ui.ctSelector.isEnabled()

    def test_the_result_is_in_the_scene_and_on_the_panel(self, done):
        (segmentation,) = nodes()
        assert done.parameters.segmentation is segmentation
        assert done.ui.segmentationSelector.currentNode() is segmentation
        assert [row[0] for row in done.table()] == ["right kidney", "left kidney", "right tumor 1", "left tumor 2"]
        volumes = [float(row[1]) for row in done.table()]
        assert volumes == pytest.approx([101.6, 88.9, 11.5, 3.1], rel=0.1)
        assert done.ui.resultsSection.isChecked()
        assert "Kidneys: 2, tumors: 2" in done.text("infoLabel")
        assert done.shown("warningFrame")
        assert "Made by the stand-in." in done.text("warningLabel")
        assert not done.shown("errorFrame")
        assert "thresholds" in done.text("logText")

    def test_cancel_leaves_the_scene_as_it_was(self, ready):
        before = slicer.mrmlScene.GetNumberOfNodes()
        ready.click("segmentButton")
        ready.click("segmentButton")  # a double click, as for an icon
        assert not ready.engine.last.cancelled
        ready.desktop.wait(600)
        ready.click("segmentButton")
        assert ready.engine.last.cancelled
        ready.finish()
        assert slicer.mrmlScene.GetNumberOfNodes() == before
        assert "Cancelled" in ready.text("infoLabel")
        assert not ready.shown("errorFrame")
        ready.segment()
        assert len(nodes()) == 1

    def test_the_engines_message_is_shown(self, ready, desktop):
        ready.engine.fail(2, "CT holds one value only; export it again.")
        ready.segment()
        assert ready.shown("errorFrame")
        assert "CT holds one value only; export it again." in ready.text("errorLabel")
        assert not nodes()
        ready.click("copyErrorButton")
        copied = desktop.application.clipboard().text()
        assert "CT holds one value only" in copied
        assert "the engine's own words" in copied
        assert copied.startswith("WPUNetSegment 0.")

    def test_a_crash_is_shown(self, ready):
        ready.engine.fail(-11)
        ready.segment()
        assert "ended unexpectedly" in ready.text("errorLabel")
        assert "the engine's own words" in ready.text("logText")

    def test_the_next_run_takes_the_old_messages_away(self, ready):
        ready.engine.fail(2, "Something.")
        ready.segment()
        ready.engine.fail(0)
        ready.segment()
        assert not ready.shown("errorFrame")

    def test_warnings_go_with_their_segmentation(self, done):
        segmentation = done.parameters.segmentation
        done.choose("flips", False)
        assert done.shown("warningFrame")
        done.choose("segmentation", None)
        assert not done.shown("warningFrame")
        done.choose("segmentation", segmentation)
        assert "Made by the stand-in." in done.text("warningLabel")

    def test_an_error_while_it_is_followed_ends_the_run(self, ready, monkeypatch):
        from WPUNetSegmentLib.run import Run

        ready.click("segmentButton")

        def poll(_run):
            monkeypatch.undo()
            raise ValueError("planted")

        monkeypatch.setattr(Run, "poll", poll)
        with pytest.raises(ValueError, match="planted"):
            ready.finish()
        assert ready.panel.run is None
        assert ready.engine.last.cancelled
        assert ready.text("segmentButton").replace("&", "") == "Segment"
        assert "planted" in ready.text("errorLabel")

    def test_what_is_not_installed_is_told(self, ready, monkeypatch):
        from wpunet.errors import InstallError
        from WPUNetSegmentLib import install

        def ensure(device, ask):
            raise InstallError("Nothing was installed.")

        monkeypatch.setattr(install, "ensure", ensure)
        ready.click("segmentButton")
        assert "Nothing was installed." in ready.text("errorLabel")
        assert not ready.engine.started
        assert ready.panel.run is None

    def test_a_second_click_during_the_installation_does_not_start_it_again(self, ready, monkeypatch):
        """pip's window lets Slicer live on, so the button can be clicked."""
        from WPUNetSegmentLib import install

        calls = []

        def ensure(device, ask):
            calls.append(device)
            ready.desktop.application.processEvents()
            assert ready.text("segmentButton") == "Installing…"
            assert not ready.ui.segmentButton.isEnabled()
            assert not ready.ui.optionsSection.isEnabled()
            ready.panel._segment_or_cancel()  # a click that came before the button was off
            assert ready.panel.run is None

        monkeypatch.setattr(install, "ensure", ensure)
        ready.segment()
        assert len(calls) == 1
        assert len(ready.engine.started) == 1
        assert ready.text("segmentButton").replace("&", "") == "Segment"

    def test_measuring_again_does_not_start_a_second_installation(self, done, monkeypatch):
        from WPUNetSegmentLib import install, results

        calls = []

        def lacking(*_):
            raise ImportError("cc3d")

        def ensure(device, ask):
            calls.append(device)
            if len(calls) == 1:
                done.ui.measureButton.click()
                assert "is being installed" in done.text("errorLabel")

        monkeypatch.setattr(results, "measure_segments", lacking)
        monkeypatch.setattr(install, "ensure", ensure)
        done.segment()
        assert calls == ["auto"]

    def test_a_scene_that_is_closed_during_the_installation_is_not_segmented(self, ready, monkeypatch):
        from WPUNetSegmentLib import install

        monkeypatch.setattr(install, "ensure", lambda *_: slicer.mrmlScene.Clear())
        ready.click("segmentButton")
        assert not ready.engine.started
        assert ready.panel.run is None

    def test_an_unexpected_error_is_shown_and_not_swallowed(self, ready, monkeypatch):
        def fail(_segmentation):
            raise ValueError("planted")

        monkeypatch.setattr(ready.panel.logic, "edited", fail)
        ready.ui.segmentButton.click()
        with pytest.raises(ValueError, match="planted"):
            ready.desktop.settle()
        assert "planted" in ready.text("errorLabel")
        assert "Traceback" in ready.text("logText")

    @pytest.mark.parametrize("harden", [True, False])
    def test_a_ct_that_is_bent_is_hardened_if_the_user_says_so(self, ready, harden):
        ct = ready.parameters.ct
        above = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "acquisition")
        above.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([1.0, 1.0, 1.5, 1.0])))
        ct.SetAndObserveTransformNodeID(above.GetID())
        ready.desktop.answers = [harden]
        ready.engine.go()
        ready.click("segmentButton")
        assert "CT lies under the transform acquisition" in ready.desktop.asked[-1]
        if harden:
            ready.finish()
            assert ct.GetParentTransformNode() is None
            assert ct.GetSpacing()[2] == pytest.approx(6.0)
            assert len(ready.table()) == 4
        else:
            assert not ready.engine.started
            assert ct.GetParentTransformNode() is above

    def test_a_result_waits_for_a_scene_that_is_being_loaded(self, ready):
        ready.engine.go()
        ready.click("segmentButton")
        slicer.mrmlScene.StartState(slicer.vtkMRMLScene.BatchProcessState)
        ready.desktop.wait(1500)
        assert ready.panel.run is not None
        slicer.mrmlScene.EndState(slicer.vtkMRMLScene.BatchProcessState)
        ready.finish()
        assert len(ready.table()) == 4

    def test_the_ct_is_removed_meanwhile(self, ready):
        ready.click("segmentButton")
        slicer.mrmlScene.RemoveNode(ready.parameters.ct)
        ready.finish()
        assert ready.engine.last.cancelled
        assert "no longer in the scene" in ready.text("infoLabel")
        assert not nodes()

    def test_the_scene_is_closed_meanwhile(self, ready, add_ct):
        ready.click("segmentButton")
        slicer.mrmlScene.Clear()
        ready.desktop.settle()
        assert ready.engine.last.cancelled
        assert ready.panel.run is None
        assert not ready.shown("progressFrame")
        assert not nodes()
        ready.choose("ct", add_ct())
        ready.segment()
        assert len(nodes()) == 1

    def test_the_module_is_unloaded_meanwhile(self, ready):
        ready.click("segmentButton")
        panel = ready.panel
        ready.widget.cleanup()
        assert ready.engine.last.cancelled
        assert panel.run is None
        slicer.mrmlScene.Clear()
        ready.desktop.settle()

    def test_the_module_is_reloaded(self, done, desktop, module, engine):
        from .desk import Desk

        done.widget.cleanup()
        again = Desk(desktop, module, engine)
        assert again.parameters.segmentation is nodes()[0]
        assert len(again.table()) == 4
        again.segment()
        assert len(nodes()) == 1


class TestSegmentingAgain:
    def edit(self, panel):
        """One slice more of the tumor, as a user would paint."""
        segmentation, ct = panel.parameters.segmentation, panel.parameters.ct
        array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "tumor", ct)
        array[2, 2:9, 2:9] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentation, "tumor", ct)
        panel.desktop.settle()

    def test_updates_the_same_node_without_a_question(self, done):
        done.segment()
        assert len(nodes()) == 1
        assert not done.desktop.asked
        assert done.shown("warningFrame")

    def test_into_a_new_node_where_the_user_says_so(self, done):
        done.choose("segmentation", None)
        done.segment()
        assert len(nodes()) == 2

    def test_into_a_node_that_the_user_made_in_the_selector(self, panel, add_ct):
        ct = add_ct(move=(10.0, 20.0, 30.0))
        panel.choose("ct", ct)
        panel.ui.segmentationSelector.addNode()
        made = panel.parameters.segmentation
        made.SetName("mine")
        panel.segment()
        assert nodes() == [made]
        assert made.GetName() == "mine"
        assert made.GetDisplayNode() is not None
        assert made.GetTransformNodeID() == ct.GetTransformNodeID()
        assert not panel.ui.undoButton.isEnabled()
        assert len(panel.table()) == 4

    def test_a_correction_is_kept_when_the_user_says_no(self, done):
        first = done.parameters.segmentation
        self.edit(done)
        kept = slicer.util.arrayFromSegmentBinaryLabelmap(first, "tumor", done.parameters.ct).sum()
        done.desktop.answers = [False]
        done.segment()
        assert "kidney tumor" in done.desktop.asked[0]
        assert len(nodes()) == 2
        assert done.parameters.segmentation is not first
        assert slicer.util.arrayFromSegmentBinaryLabelmap(first, "tumor", done.parameters.ct).sum() == kept

    def test_a_correction_is_replaced_when_the_user_says_yes_and_comes_back(self, done):
        first = done.parameters.segmentation
        assert not done.ui.undoButton.isEnabled()
        self.edit(done)
        done.click("measureButton")
        measured = done.table()
        edited = slicer.util.arrayFromSegmentBinaryLabelmap(first, "tumor", done.parameters.ct).sum()
        done.desktop.answers = [True]
        done.segment()
        assert len(nodes()) == 1
        assert slicer.util.arrayFromSegmentBinaryLabelmap(first, "tumor", done.parameters.ct).sum() < edited
        done.open("correctSection")
        done.click("undoButton")
        assert slicer.util.arrayFromSegmentBinaryLabelmap(first, "tumor", done.parameters.ct).sum() == edited
        assert not done.ui.undoButton.isEnabled()
        assert done.table() == measured
        assert not done.shown("staleLabel")

    def test_where_the_result_goes_is_settled_at_the_start(self, done, add_ct):
        """The selector turns to another segmentation when the one that it shows is deleted, or a scene is imported."""
        first, ct = done.parameters.segmentation, done.parameters.ct
        before = first.GetAttribute("WPUNetSegment.Report")
        done.choose("segmentation", None)
        second = add_ct("second", move=(5.0, 0.0, 0.0))
        done.choose("ct", second)
        done.segment()
        done.engine.hold()
        done.click("segmentButton")
        slicer.mrmlScene.RemoveNode(done.parameters.segmentation)
        done.desktop.settle()
        assert done.parameters.segmentation is first
        done.choose("ct", ct)
        done.engine.go()
        done.finish()
        assert done.parameters.ct is second  # the result that is shown is its
        assert first.GetAttribute("WPUNetSegment.Report") == before
        assert done.panel.results.own_ct is not ct
        assert len(nodes()) == 2

    def test_what_cannot_take_labels_is_told_before_the_run(self, done):
        model = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "model")
        model.SetNodeReferenceID(model.GetReferenceImageGeometryReferenceRole(), done.parameters.ct.GetID())
        model.GetSegmentation().SetSourceRepresentationName("Closed surface")
        model.GetSegmentation().AddEmptySegment("GTV")
        done.choose("segmentation", model)
        done.click("segmentButton")
        assert "model is made of a closed surface and cannot take the result" in done.text("errorLabel")
        assert len(done.engine.started) == 1

    def test_undoing_a_run_asks_before_it_takes_later_corrections_away(self, done):
        first, ct = done.parameters.segmentation, done.parameters.ct

        def tumor():
            return slicer.util.arrayFromSegmentBinaryLabelmap(first, "tumor", ct).sum()

        before = tumor()
        done.segment()
        self.edit(done)
        edited = tumor()
        assert edited > before
        done.open("correctSection")
        done.desktop.answers = [False, True]
        done.click("undoButton")
        assert "kidney tumor" in done.desktop.asked[0]
        assert tumor() == edited
        assert done.ui.undoButton.isEnabled()
        done.click("undoButton")
        assert tumor() == before
        assert not done.ui.undoButton.isEnabled()

    def test_a_correction_during_the_run_is_asked_about_at_its_end(self, done):
        done.engine.hold()
        done.click("segmentButton")
        self.edit(done)
        done.desktop.answers = [False]
        done.engine.go()
        done.finish()
        assert len(done.desktop.asked) == 1
        assert len(nodes()) == 2
