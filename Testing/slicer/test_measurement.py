"""Segments as a person left them, measured on the CT in the scene as the engine measures its own result."""

import numpy as np
import pytest
from wpunet import phantom
from wpunet.errors import InputError
from wpunet.labels import (
    CYST_LABEL,
    KIDNEY,
    KIDNEY_LABEL,
    LEFT_KIDNEY,
    LEFT_KIDNEY_LABEL,
    RIGHT_KIDNEY_LABEL,
    TUMOR,
    TUMOR_LABEL,
)
from wpunet.sides import split_sides

from Testing.slicer.conftest import copied_to_each_frame
from Testing.slicer.places import paint


@pytest.fixture(scope="module")
def made():
    """A phantom with a tumor, its kidneys by side."""
    one = phantom.make(seed=3, shape=(30, 116, 144), spacing=(8.0, 2.8, 2.8), cysts=0)
    return one, split_sides(one.labels, one.hu)[0]


@pytest.fixture
def place(scene):
    """A function that puts a CT and segments (id, label, mask) into the scene."""
    import slicer

    def put(made, hu, segments):
        ct = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
        slicer.util.updateVolumeFromArray(ct, hu)
        ct.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(made.affine[:, [2, 1, 0, 3]]))
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
        node.SetReferenceImageGeometryParameterFromVolumeNode(ct)
        for key, label, mask in segments:
            node.GetSegmentation().AddEmptySegment(key, label.name, (1, 1, 1))
            node.GetSegmentation().GetSegment(key).SetTerminology(label.terminology)
            slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, key, ct)
        return ct, node

    return put


def measured(ct, node):
    from WPUNetSegmentLib.measurement import measure_segments

    return {one.name: one for one in measure_segments(ct, node)}


def by_side(labels):
    values = {RIGHT_KIDNEY_LABEL: KIDNEY, LEFT_KIDNEY_LABEL: LEFT_KIDNEY, TUMOR_LABEL: TUMOR}
    return [(label.key, label, labels == value) for label, value in values.items()]


def test_a_side_counts_by_its_code_as_by_its_id(made, place, scene):
    phantom_ct, labels = made
    ct, node = place(phantom_ct, phantom_ct.hu, by_side(labels))
    nodes = scene.GetNumberOfNodes()
    wanted = measured(ct, node)
    assert scene.GetNumberOfNodes() == nodes
    assert wanted.keys() == {"right kidney", "left kidney", "right tumor"}
    coded = [(f"Segment_{n}", label, mask) for n, (_, label, mask) in enumerate(by_side(labels))]
    both = [("Segment_1", KIDNEY_LABEL, np.isin(labels, (KIDNEY, LEFT_KIDNEY))), by_side(labels)[2]]
    one_of_each = [("Segment_1", KIDNEY_LABEL, labels == LEFT_KIDNEY), by_side(labels)[0], by_side(labels)[2]]
    for segments in (coded, both, one_of_each):
        found = measured(*place(phantom_ct, phantom_ct.hu, segments))
        assert {name: round(one.volume_ml, 2) for name, one in found.items()} == {
            name: round(one.volume_ml, 2) for name, one in wanted.items()
        }


def test_a_cyst_stays_one_beside_a_segment_of_both_kidneys(made, place):
    phantom_ct, labels = made
    cyst = np.zeros(labels.shape, bool)
    k, row, column = np.argwhere(labels == LEFT_KIDNEY)[np.count_nonzero(labels == LEFT_KIDNEY) // 2]
    cyst[k, row - 1 : row + 2, column - 1 : column + 2] = True
    both = ("Segment_1", KIDNEY_LABEL, np.isin(labels, (KIDNEY, LEFT_KIDNEY)))
    found = measured(*place(phantom_ct, phantom_ct.hu, [both, (CYST_LABEL.key, CYST_LABEL, cyst)]))
    assert found.keys() == {"right kidney", "left kidney", "left cyst"}
    assert found["left cyst"].voxels == 9


@pytest.mark.parametrize("offset", [1024, 0])
def test_numbers_that_were_stored_with_an_offset_are_measured_as_hu(made, place, offset):
    phantom_ct, labels = made
    wanted = measured(*place(phantom_ct, phantom_ct.hu, by_side(labels)))
    found = measured(*place(phantom_ct, (phantom_ct.hu + offset).astype(np.int16), by_side(labels)))
    assert {name: one.mean_hu for name, one in found.items()} == pytest.approx(
        {name: one.mean_hu for name, one in wanted.items()}, abs=1
    )


def test_what_padding_cuts_is_a_lower_bound(made, place):
    phantom_ct, labels = made
    columns = np.flatnonzero((labels == KIDNEY).any((0, 1)))
    hu, end = phantom_ct.hu.copy(), int(columns.mean())
    hu[:, :, :end] = -1024  # the scanner's field of view ended there
    labels = np.where(np.arange(labels.shape[2]) >= end, labels, 0)
    found = measured(*place(phantom_ct, hu, by_side(labels)))
    assert {name: one.touches_border for name, one in found.items() if "kidney" in name} == {
        "right kidney": True,
        "left kidney": False,
    }
    assert found["right tumor"].nephrometry.missing == "the scan cuts the kidney or the tumor"


def test_segments_are_measured_on_their_own_frame_alone(add_ct, logic, in_sequence):
    import slicer

    first, second = add_ct("axial", "first"), add_ct("axial", "second")
    moved = slicer.util.arrayFromVolume(second)
    moved[:] = np.roll(moved, 4, axis=0)
    ct, show = in_sequence(first, second)
    segmentation = logic.process(ct)
    wanted = measured(ct, segmentation)
    show(2)
    with pytest.raises(InputError, match=r"are of frame 1, and .* shows frame 2; show frame 1"):
        measured(ct, segmentation)
    show(1)
    ct.SetName("renamed")
    assert measured(ct, segmentation) == wanted
    show(2)
    assert logic.process(ct, segmentation) is segmentation
    found = measured(ct, segmentation)
    assert found["right tumor"].mean_hu == pytest.approx(wanted["right tumor"].mean_hu)
    assert found["right tumor"].centre_ras_mm != wanted["right tumor"].centre_ras_mm


def test_segments_that_have_a_sequence_of_their_own_are_measured_on_each_frame(add_ct, logic, in_sequence):
    """A frame begins as a copy of the one before, with its report, and is corrected there."""
    ct, show = in_sequence(add_ct("axial", "first"), add_ct("axial", "second"))
    segmentation = logic.process(ct)
    copied_to_each_frame(segmentation)
    wanted = measured(ct, segmentation)
    show(2)
    assert measured(ct, segmentation) == wanted


def test_a_single_oblique_slice_is_measured(add_ct, logic):
    """Resampled it holds next to no voxel that is whole: there is nothing to tell HU by."""
    import slicer
    from WPUNetSegmentLib.handover import ijk_to_ras, shifted

    ct = add_ct("oblique")
    segmentation = logic.process(ct)
    segmentation.SetAttribute("WPUNetSegment.Report", None)  # as if somebody had drawn it there
    ct.SetIJKToRASMatrix(shifted(ijk_to_ras(ct), np.array([0, 0, 27])))
    slicer.util.updateVolumeFromArray(ct, slicer.util.arrayFromVolume(ct)[27:28].copy())
    assert "right kidney" in measured(ct, segmentation)


def test_of_parenchyma_alone_an_untouched_lesion_keeps_what_was_told_against_whole_kidneys(add_ct, logic):
    from WPUNetSegmentLib import scene as ours

    ct = add_ct()
    segmentation = logic.process(ct)
    told = logic.report(segmentation)
    cyst = next(one for one in told["structures"] if one["kind"] == "cyst")
    cyst["outside_percent"] = 12.5
    ours.put_report(segmentation, told | {"options": {"parenchyma": True}})
    paint(segmentation, "tumor", ct)
    found = measured(ct, segmentation)
    assert found["left cyst"].outside_percent == 12.5
    drawn = next(one for one in found.values() if one.kind == "tumor" and one.certainty is None)
    assert drawn.nephrometry.missing == "kidneys are their parenchyma alone"


@pytest.mark.parametrize("kind", ["axial", "oblique"])
@pytest.mark.parametrize("how", ["centred", "another spacing", "a transform of its own", "the segments alone"])
def test_a_ct_that_was_moved_from_under_its_segments_is_told(add_ct, logic, scene, tmp_path, kind, how):
    """*Center Volume* of the module Volumes: other tissue would be measured, and saved as a training case."""
    import slicer
    from WPUNetSegmentLib import training_case
    from WPUNetSegmentLib.handover import ijk_to_ras

    ct = add_ct(kind)
    segmentation = logic.process(ct)
    paint(segmentation, "kidney_right", ct)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, 3] = 20, -30, 10
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    if how == "centred":
        ct.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix @ ijk_to_ras(ct)))
    elif how == "another spacing":
        ct.SetSpacing(*(1.3 * mm for mm in ct.GetSpacing()))
    else:
        moved = segmentation if how == "the segments alone" else ct
        moved.SetAndObserveTransformNodeID(transform.GetID())
    for act in (lambda: measured(ct, segmentation), lambda: training_case.save(ct, segmentation, tmp_path)):
        with pytest.raises(InputError, match="no longer lies on CT where it was made"):
            act()
    if how in ("a transform of its own", "the segments alone"):
        for node in (ct, segmentation):
            node.SetAndObserveTransformNodeID(transform.GetID())
        measured(ct, segmentation)
        ct.HardenTransform()
        measured(ct, segmentation)
        segmentation.HardenTransform()
        assert "right tumor" in measured(ct, segmentation)
