"""The result in the scene: where it lies and what it is called."""

import numpy as np
import pytest

from Testing.slicer.conftest import BALLS, UNCERTAIN, turned
from Testing.slicer.places import kept_keys, mask, surface_in_world, to_world, world_centre
from Testing.slicer.stand_in import marked

KINDS = ("axial", "left-handed", "coronal", "oblique", "tilted")
MOVED = turned((0, 1, 1), 35)
MOVED[:3, 3] = 100, -50, 30


def engine_labels(volume):
    import slicer

    labels = marked(slicer.util.arrayFromVolume(volume))
    return {value: labels == value for value in (1, 2, 3, 4)}


@pytest.mark.parametrize("transform", [None, MOVED], ids=["as it is", "under a transform"])
@pytest.mark.parametrize("kind", KINDS)
def test_volume_segments_and_surfaces_agree_in_patient_space(add_ct, logic, kind, transform):
    from wpunet.labels import BY_SIDE
    from WPUNetSegmentLib.run import RunOptions

    volume = add_ct(kind, transform=transform)
    segmentation = logic.process(volume, options=RunOptions(surface=True))
    labels = engine_labels(volume)
    for label in BY_SIDE:
        found = mask(segmentation, label.key, volume)
        assert found.any()
        if kind == "oblique":  # the engine works on an upright grid there
            assert 2 * (found & labels[label.value]).sum() / (found.sum() + labels[label.value].sum()) > 0.9
        else:
            assert np.array_equal(found, labels[label.value])
    for key, (centre, radius) in BALLS.items():
        at, ml = surface_in_world(segmentation, key)
        truth = to_world(volume).TransformPoint(centre)
        assert np.allclose(at, truth, atol=2.0)
        if key in ("tumor", "cyst"):  # which the kidneys have holes for
            assert np.allclose(world_centre(volume, mask(segmentation, key, volume)), truth, atol=1.0)
            assert ml == pytest.approx(4.19e-3 * radius**3, rel=0.15)
    assert kept_keys(segmentation) == ["kidney_right", "kidney_left", "tumor", "cyst"]
    assert segmentation.GetSegmentation().GetNumberOfLayers() == 1
    assert segmentation.GetTransformNodeID() == volume.GetTransformNodeID()


def assert_as_in_the_table(segmentation, table):
    import slicer

    segments = segmentation.GetSegmentation()
    for label in table:
        segment, entry = segments.GetSegment(label.key), slicer.vtkSlicerTerminologyEntry()
        assert segment.GetName() == label.name
        assert np.allclose(segment.GetColor(), np.array(label.colour) / 255, atol=1e-3)
        assert segment.GetTerminology() == label.terminology
        assert slicer.modules.terminologies.logic().DeserializeTerminologyEntry(segment.GetTerminology(), entry)
        assert entry.GetTypeObject().GetCodeValue() == label.type[1]
        if label.modifier:
            assert entry.GetTypeModifierObject().GetCodeMeaning() == label.modifier[2]


def test_names_colours_and_codes_survive_seg_nrrd(add_ct, logic, scene, tmp_path):
    import slicer
    from wpunet.labels import BY_SIDE

    volume = add_ct("tilted")
    segmentation = logic.process(volume)
    assert_as_in_the_table(segmentation, BY_SIDE)
    path, storage = tmp_path / "kidnéys.seg.nrrd", segmentation.CreateDefaultStorageNode()
    storage.SetFileName(str(path))
    assert storage.WriteData(segmentation)
    again = slicer.modules.segmentations.logic().LoadSegmentationFromFile(str(path))
    assert_as_in_the_table(again, BY_SIDE)
    for label in BY_SIDE:
        assert np.array_equal(mask(again, label.key, volume), mask(segmentation, label.key, volume))
    assert logic.edited(again) == []


def test_all_survives_an_mrb(add_ct, logic, scene, tmp_path):
    import slicer
    from wpunet.labels import BY_SIDE
    from WPUNetSegmentLib.run import RunOptions

    volume = add_ct("oblique", transform=MOVED)
    segmentation = logic.process(volume, options=RunOptions(uncertainty=True))
    before = {label.key: mask(segmentation, label.key, volume) for label in BY_SIDE}
    report, description = logic.report(segmentation), segmentation.GetDescription()
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"), None)
    scene.Clear(False)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    volume, segmentation = slicer.util.getNode("CT"), slicer.util.getNode("CT kidneys")
    assert_as_in_the_table(segmentation, BY_SIDE)
    for key, found in before.items():
        assert np.array_equal(mask(segmentation, key, volume), found)
    assert (logic.report(segmentation), segmentation.GetDescription()) == (report, description)
    assert logic.edited(segmentation) == []
    assert logic.process(volume) is segmentation


def test_the_description_names_licence_and_use(add_ct, logic):
    text = logic.process(add_ct()).GetDescription()
    assert "not a medical device" in text
    assert "CC BY-NC-SA" in text
    assert "network stand-in" in text


def test_the_report_tells_places_in_the_cts_own_coordinates(add_ct, logic):
    volume = add_ct("left-handed")
    report = logic.report(logic.process(volume))
    assert report["case"] == "CT"
    left = next(one for one in report["structures"] if one["side"] == "left" and one["kind"] == "kidney")
    assert np.allclose(left["centre"]["ras_mm"], BALLS["kidney_left"][0], atol=2.5)


def test_kidneys_can_stay_together(add_ct, logic):
    from wpunet.labels import CYST, LEFT_KIDNEY, RIGHT_KIDNEY, WITH_CYSTS
    from WPUNetSegmentLib.run import RunOptions

    volume = add_ct()
    segmentation = logic.process(volume, options=RunOptions(sides=False))
    assert_as_in_the_table(segmentation, WITH_CYSTS)
    labels = engine_labels(volume)
    assert np.array_equal(mask(segmentation, "kidney", volume), labels[LEFT_KIDNEY] | labels[RIGHT_KIDNEY])
    assert np.array_equal(mask(segmentation, "cyst", volume), labels[CYST])
    logic.process(volume, options=RunOptions(sides=True))
    assert kept_keys(segmentation) == ["tumor", "cyst", "kidney_right", "kidney_left"]


@pytest.mark.parametrize("transform", [None, MOVED], ids=["as it is", "under a transform"])
def test_the_uncertainty_lies_where_it_belongs(add_ct, logic, transform):
    import slicer
    from WPUNetSegmentLib.run import RunOptions

    volume = add_ct("coronal", transform=transform)
    segmentation = logic.process(volume, options=RunOptions(uncertainty=True))
    node = segmentation.GetNodeReference("WPUNetSegment.Uncertainty")
    values = slicer.util.arrayFromVolume(node)
    assert values.max() == pytest.approx(200 / 255, abs=0.01)
    assert values.size < 0.1 * slicer.util.arrayFromVolume(volume).size
    assert np.allclose(world_centre(node, values > 0), to_world(volume).TransformPoint(UNCERTAIN[0]), atol=1.5)
    assert node.GetDisplayNode().GetApplyThreshold()
    assert node.GetDisplayNode().GetColorNode().GetName() == "Cyan"


def test_a_part_of_a_map_outlives_the_file_it_was_read_from(scene, tmp_path):
    import SimpleITK as sitk
    from WPUNetSegmentLib.handover import read_part

    values = np.zeros((30, 20, 10), np.float32)
    values[5:9] = 0.5  # a part without gaps in memory
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "x.nrrd"))
    first, part = read_part(tmp_path / "x.nrrd")
    assert first.tolist() == [0, 0, 5]
    assert part.flags.owndata
    assert np.array_equal(part, values[5:9])


def test_a_ct_without_findings_gives_empty_segments(add_ct, logic):
    import slicer
    from WPUNetSegmentLib.run import RunOptions

    volume = add_ct()
    slicer.util.arrayFromVolume(volume)[:] = np.random.default_rng(0).integers(-1000, -900, (50, 63, 94))
    segmentation = logic.process(volume, options=RunOptions(uncertainty=True, surface=True))
    assert kept_keys(segmentation) == ["kidney_right", "kidney_left", "tumor", "cyst"]
    assert not any(mask(segmentation, key, volume).any() for key in kept_keys(segmentation))
    assert logic.edited(segmentation) == []


def test_the_segmentation_is_placed_beside_the_ct(add_ct, logic, scene):
    import slicer
    from WPUNetSegmentLib.run import RunOptions

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "patient")
    study = hierarchy.CreateStudyItem(patient, "study")
    volume = add_ct()
    hierarchy.CreateItem(study, volume)
    segmentation = logic.process(volume, options=RunOptions(uncertainty=True))
    uncertainty = segmentation.GetNodeReference("WPUNetSegment.Uncertainty")
    for node in (segmentation, uncertainty):
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study
    assert segmentation.GetNodeReference("referenceImageGeometryRef") is volume


def test_several_cts_each_get_their_own_segmentation(add_ct, logic):
    volumes = [add_ct("axial", "first"), add_ct("coronal", "second")]
    found = [logic.process(volume) for volume in volumes]
    assert [one.GetName() for one in found] == ["first kidneys", "second kidneys"]
    assert [logic.process(volume) for volume in volumes] == found


def test_of_a_sequence_the_frame_that_is_shown_is_segmented(add_ct, logic, in_sequence):
    import slicer

    first, second = add_ct("axial", "frame"), add_ct("axial", "other")
    slicer.util.arrayFromVolume(second)[slicer.util.arrayFromVolume(second) == 300] = 0
    proxy, show = in_sequence(first, second)
    for frame, tumor in ((1, True), (2, False)):
        show(frame)
        segmentation = logic.process(proxy)
        assert logic.report(segmentation)["case"] == f"{proxy.GetName()} (frame {frame} of 2)"
        assert mask(segmentation, "tumor", proxy).any() == tumor


@pytest.mark.parametrize("kind", ["LONG", "UNSIGNED_LONG_LONG", "SIGNED_CHAR"])
def test_a_ct_of_numbers_that_slicers_nrrd_cannot_hold_is_segmented(scene, logic, add_ct, kind):
    """Programs in Python write NIfTI files of 64-bit integers without being asked."""
    import slicer
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    ct = add_ct()
    hu = np.clip(slicer.util.arrayFromVolume(ct), 0, None) // (3 if kind == "SIGNED_CHAR" else 1)
    image = vtk.vtkImageData()
    image.SetDimensions(hu.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(hu.ravel(), deep=True, array_type=getattr(vtk, f"VTK_{kind}")))
    ct.SetAndObserveImageData(image)
    run = logic.start(ct)
    run.poll()
    assert run.state.value == "done"
    assert np.array_equal(run.result.labels, marked(hu))
    assert ct.GetImageData() is image
    assert image.GetScalarType() == getattr(vtk, f"VTK_{kind}")


@pytest.mark.parametrize("transform", [None, MOVED], ids=["as it is", "under a transform"])
def test_a_region_holds_the_voxels_whose_centres_lie_in_it(add_ct, scene, transform):
    import slicer
    from WPUNetSegmentLib.handover import box_around, ijk_to_ras

    volume = add_ct("left-handed", transform=transform)
    region = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    region.SetSize(9 * 3.0, 19 * 3.5, 29 * 4.0)
    region.SetCenter(*(ijk_to_ras(volume) @ (24.5, 29.5, 24.5, 1))[:3])
    region.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    assert box_around(region, volume) == ((20, 30), (20, 40), (10, 40))
    region.SetSize(9999, 9999, 9999)
    whole = slicer.util.arrayFromVolume(volume).shape[::-1]
    assert box_around(region, volume) == tuple((0, size) for size in whole)


@pytest.mark.parametrize("kind", ["axial", "coronal", "oblique"])
def test_a_region_restricts_the_result(add_ct, logic, scene, kind):
    from WPUNetSegmentLib.run import RunOptions

    volume = add_ct(kind, transform=MOVED)
    region = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "around the left kidney")
    region.SetCenter(*to_world(volume).TransformPoint(BALLS["kidney_left"][0]))
    region.SetSize(60, 60, 60)
    segmentation = logic.process(volume, options=RunOptions(region=region))
    assert mask(segmentation, "kidney_left", volume).any()
    assert not mask(segmentation, "kidney_right", volume).any()
    assert not mask(segmentation, "tumor", volume).any()


@pytest.mark.parametrize("source", ["region", "another CT"])
def test_the_segment_editors_geometry_does_not_change_whose_segments_they_are(add_ct, logic, scene, source):
    """*Specify geometry*, as for finer voxels: Slicer keeps what the geometry was taken from where the CT was."""
    import slicer
    from WPUNetSegmentLib.measurement import measure_segments
    from WPUNetSegmentLib.scene import earlier_result, own_ct

    volume, other = add_ct(), add_ct("left-handed", "other phase")
    slicer.util.arrayFromVolume(other)[:] = 7
    region = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "region")
    region.SetSize(300, 300, 300)
    segmentation = logic.process(volume)
    mine = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    before = {one.name: one.mean_hu for one in measure_segments(volume, segmentation)}
    geometry = slicer.vtkSlicerSegmentationGeometryLogic()
    for node in (segmentation, mine):
        geometry.SetInputSegmentationNode(node)
        geometry.SetSourceGeometryNode(region if source == "region" else other)
        geometry.CalculateOutputGeometry()
        assert geometry.SetReferenceImageGeometryInSegmentationNode()
    assert segmentation.GetNodeReference("referenceImageGeometryRef") is geometry.GetSourceGeometryNode()
    assert own_ct(segmentation, other) is volume
    assert earlier_result(volume) is segmentation
    after = {one.name: one.mean_hu for one in measure_segments(own_ct(segmentation, other), segmentation)}
    assert after == pytest.approx(before)
    assert own_ct(mine, volume) is (volume if source == "region" else other)
    logic.process(volume)
    logic.undo(segmentation)
    assert own_ct(segmentation, other) is volume


def test_a_ct_in_numbers_of_64_bits_is_handed_over(scene, tmp_path):
    """Slicer writes none; what is beyond HU stays beyond them."""
    import SimpleITK as sitk
    import slicer
    from WPUNetSegmentLib import handover

    hu = np.full((3, 4, 5), 40, np.uint64)
    hu[1, 2, 3] = 2**40
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    slicer.util.updateVolumeFromArray(volume, hu)
    handover.write_ct(volume, tmp_path / "ct.nrrd")
    read = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "ct.nrrd")))
    assert read[1, 2, 3] > 10_000
    assert np.count_nonzero(read == 40) == hu.size - 1
