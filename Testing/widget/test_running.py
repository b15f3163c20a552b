"""A run from the panel: its progress and its ends."""

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

    def test_so_does_one_at_its_first_look(self, ready, monkeypatch):
        from WPUNetSegmentLib.run import Run

        def poll(_run):
            monkeypatch.undo()
            raise ValueError("planted")

        monkeypatch.setattr(Run, "poll", poll)
        with pytest.raises(ValueError, match="planted"):
            ready.click("segmentButton")
        assert ready.panel.run is None
        assert ready.text("segmentButton").replace("&", "") == "Segment"

    def test_the_result_that_is_shown_is_deleted_meanwhile(self, done):
        done.engine.hold()
        done.click("segmentButton")
        slicer.mrmlScene.RemoveNode(done.parameters.segmentation)
        done.desktop.settle()
        assert done.table() == []
        assert not done.ui.measureButton.isEnabled()
        assert not done.ui.diameterButton.isEnabled()
        done.engine.go()
        done.finish()
        assert len(done.table()) == 4
        assert len(nodes()) == 1

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
