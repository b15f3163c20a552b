"""Running again from the panel, over the user's own work."""

from __future__ import annotations

import pytest
import slicer


def nodes(kind="vtkMRMLSegmentationNode"):
    return slicer.util.getNodesByClass(kind)


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

    @pytest.mark.parametrize("answer", [True, False])
    def test_a_correction_during_the_run_is_asked_about_anew(self, done, answer):
        first, ct = done.parameters.segmentation, done.parameters.ct
        self.edit(done)
        done.engine.hold()
        done.desktop.answers = [True]
        done.click("segmentButton")
        array = slicer.util.arrayFromSegmentBinaryLabelmap(first, "tumor", ct)
        array[30, 2:9, 2:9] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, first, "tumor", ct)
        done.desktop.answers = [answer]
        done.engine.go()
        done.finish()
        assert len(done.desktop.asked) == 2
        assert len(nodes()) == (1 if answer else 2)
        kept = slicer.util.arrayFromSegmentBinaryLabelmap(first, "tumor", ct)[30, 2:9, 2:9].any()
        assert kept != answer

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
