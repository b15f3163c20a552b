"""Regions, surfaces, and what happens to the panel when nodes that it has chosen are deleted."""

from __future__ import annotations

import pytest
import slicer
from PySide6 import QtWidgets
from wpunet.errors import InputError


class TestRegion:
    def test_a_new_one_holds_the_whole_ct(self, panel, add_ct):
        ct = add_ct(move=(30.0, 0.0, 50.0))
        panel.choose("ct", ct)
        panel.open("optionsSection")
        box = panel.ui.regionSelector.findChild(QtWidgets.QComboBox)
        box.activated.emit(box.findData("addEnabled"))
        panel.desktop.settle()
        region = panel.parameters.region
        assert region is not None
        bounds, wanted = [0.0] * 6, [0.0] * 6
        region.GetRASBounds(bounds)
        ct.GetRASBounds(wanted)
        assert bounds == pytest.approx(wanted)
        assert region.GetDisplayNode() is not None
        panel.segment()
        assert panel.engine.last.arguments.box == ((0, 64), (0, 50), (0, 40))

    def test_one_that_was_made_before_the_ct_is_fitted_when_there_is_one(self, panel, add_ct):
        panel.choose("region", slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode"))
        panel.choose("ct", add_ct())
        assert all(size > 100 for size in panel.parameters.region.GetSize())

    def test_one_that_the_user_has_sized_stays(self, ready):
        region = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
        region.SetSize(50, 60, 70)
        ready.choose("region", region)
        assert region.GetSize() == (50, 60, 70)


class TestDeletedNodes:
    """Where a node that is chosen is deleted, Slicer's selector turns to another one by itself."""

    def test_an_uncertainty_map_is_no_ct(self, ready):
        ready.choose("uncertainty", True)
        ready.segment()
        slicer.mrmlScene.RemoveNode(ready.parameters.ct)
        ready.desktop.settle()
        assert "uncertainty" in ready.parameters.ct.GetName()  # so does the selector in Slicer
        assert not ready.ui.segmentButton.isEnabled()
        assert "no CT" in ready.text("infoLabel")
        from WPUNetSegmentLib import handover

        with pytest.raises(InputError, match="a map of uncertainty"):
            handover.require_ct(ready.parameters.ct)

    def test_nor_is_it_chosen_as_the_first_ct(self, ready, add_ct):
        ready.choose("uncertainty", True)
        ready.segment()
        ready.choose("ct", None)
        other = add_ct("other")
        slicer.mrmlScene.RemoveNode(slicer.util.getNode("CT"))
        ready.choose("ct", None)
        ready.widget.enter()
        assert ready.parameters.ct is other

    @pytest.mark.parametrize("answer", [True, False])
    def test_another_cts_segmentation_is_not_written_into_unasked(self, done, add_ct, answer):
        first = done.parameters.segmentation
        before = slicer.util.arrayFromSegmentBinaryLabelmap(first, "tumor", done.parameters.ct).sum()
        done.choose("segmentation", None)
        second = add_ct("second", move=(5.0, 0.0, 0.0))
        done.choose("ct", second)
        done.segment()
        slicer.mrmlScene.RemoveNode(done.parameters.segmentation)
        done.desktop.settle()
        assert done.parameters.segmentation is first  # by itself
        done.desktop.answers = [answer]
        done.segment()
        (asked,) = done.desktop.asked
        assert "belongs to another CT than second" in asked
        assert (done.parameters.segmentation is first) is answer
        if not answer:
            ct = slicer.util.getNode("CT")
            assert slicer.util.arrayFromSegmentBinaryLabelmap(first, "tumor", ct).sum() == before

    def test_measuring_and_saving_take_the_segmentations_own_ct(self, done, add_ct, tmp_path):
        import nibabel as nib

        before = done.table()
        other = add_ct("other")
        slicer.util.arrayFromVolume(other)[:] = 7
        segmentation = done.parameters.segmentation
        done.choose("ct", other)
        done.choose("segmentation", segmentation)
        assert done.ui.segmentEditor.sourceVolumeNode().GetName() == "CT"
        done.click("measureButton")
        assert [row[:4] for row in done.table()] == [row[:4] for row in before]
        done.open("correctSection")
        done.desktop.answers = [tmp_path]
        done.click("saveCaseButton")
        saved = nib.load(tmp_path / "case_00000" / "imaging.nii.gz").get_fdata()
        assert saved.max() == 300

    def test_where_its_ct_is_gone_nothing_is_measured_on_another(self, done, add_ct):
        add_ct("other")
        segmentation = done.parameters.segmentation
        slicer.mrmlScene.RemoveNode(done.parameters.ct)
        done.desktop.settle()
        assert done.parameters.ct.GetName() == "other"
        assert done.parameters.segmentation is None  # the other's is a new one
        done.choose("segmentation", segmentation)
        assert len(done.table()) == 4
        assert not done.ui.measureButton.isEnabled()
        assert not done.ui.saveCaseButton.isEnabled()
        done.parameters.segmentation.GetSegmentation().RemoveSegment("kidney_left")  # an edit
        done.desktop.settle()
        assert done.shown("staleLabel")
        assert not done.ui.measureButton.isEnabled()
        assert not done.ui.saveCaseButton.isEnabled()

    @pytest.mark.parametrize("geometry", ["moved", "fewer slices"])
    def test_another_patients_ct_of_the_same_name_is_not(self, done, add_ct, geometry):
        segmentation = done.parameters.segmentation
        slicer.mrmlScene.RemoveNode(done.parameters.ct)
        done.desktop.settle()
        other = add_ct("CT")
        if geometry == "moved":
            other.SetOrigin(0.0, 12.0, 0.0)
        else:
            slicer.util.updateVolumeFromArray(other, slicer.util.arrayFromVolume(other)[:-2].copy())
        done.choose("ct", other)
        assert done.parameters.segmentation is None
        done.choose("segmentation", segmentation)
        assert not done.ui.measureButton.isEnabled()
        assert not done.ui.saveCaseButton.isEnabled()

    def test_a_ct_that_was_deleted_and_loaded_again_is_its_own(self, done, add_ct):
        slicer.mrmlScene.RemoveNode(done.parameters.ct)
        add_ct("CT")
        done.desktop.settle()
        before = done.table()
        done.click("measureButton")
        assert [row[:4] for row in done.table()] == [row[:4] for row in before]


class TestSurfaces:
    def test_are_shown_with_tumors_to_be_seen_through_kidneys(self, done):
        display = done.parameters.segmentation.GetDisplayNode()
        assert display.GetVisibility3D()
        opacity = {key: display.GetSegmentOpacity3D(key) for key in ("kidney_right", "kidney_left", "tumor")}
        assert opacity == {"kidney_right": 0.4, "kidney_left": 0.4, "tumor": 1.0}

    def test_stay_away_when_the_user_has_put_them_away(self, done):
        done.click("show3DButton")
        done.segment()
        inside = done.parameters.segmentation.GetSegmentation()
        assert not inside.ContainsRepresentation(slicer.vtkSegmentationConverter.GetClosedSurfaceRepresentationName())

    def test_keep_the_opacity_that_the_user_chose(self, done):
        display = done.parameters.segmentation.GetDisplayNode()
        display.SetSegmentOpacity3D("kidney_left", 0.8)
        done.segment()
        assert display.GetSegmentOpacity3D("kidney_left") == 0.8
