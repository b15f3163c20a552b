"""Segmenting again and the user's own work: nothing piles up, nothing is lost."""

import numpy as np
import pytest

from Testing.slicer.conftest import turned
from Testing.slicer.places import kept_keys, mask, paint, surface_in_world


def test_segmenting_again_updates_and_piles_nothing_up(add_ct, logic, scene):
    import slicer
    from WPUNetSegmentLib.run import RunOptions

    volume = add_ct()
    segmentation = logic.process(volume, options=RunOptions(uncertainty=True, surface=True))
    nodes, (_, before) = scene.GetNumberOfNodes(), surface_in_world(segmentation, "kidney_right")
    hu = slicer.util.arrayFromVolume(volume)
    hu[hu == 300] = 150  # the tumor is gone
    assert logic.process(volume, options=RunOptions(uncertainty=True)) is segmentation
    assert scene.GetNumberOfNodes() == nodes
    assert not mask(segmentation, "tumor", volume).any()
    assert logic.edited(segmentation) == []
    _, after = surface_in_world(segmentation, "kidney_right")
    assert after > before + 5.0


def test_segments_of_the_user_and_what_he_named_stay(add_ct, logic):
    import slicer

    volume = add_ct()
    segmentation = logic.process(volume)
    segments, cyst = segmentation.GetSegmentation(), np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    cyst[20:24, 20:30, 20:40] = 1
    segments.AddEmptySegment("own", "my cyst", (0, 0, 1))
    slicer.util.updateSegmentBinaryLabelmapFromArray(cyst, segmentation, "own", volume)
    segments.CollapseBinaryLabelmaps(False)  # into the same layer, as the Segment Editor may do
    segments.GetSegment("tumor").SetName("lesion A")
    segments.GetSegment("tumor").SetColor(1, 0, 1)
    assert logic.edited(segmentation) == []
    assert logic.process(volume) is segmentation
    assert np.array_equal(mask(segmentation, "own", volume), cyst > 0)
    assert segments.GetSegment("tumor").GetName() == "lesion A"
    assert segments.GetSegment("tumor").GetColor() == (1, 0, 1)


def test_a_segment_that_was_copied_from_another_result_is_the_users(add_ct, logic):
    """Slicer copies it with the tags that the engine left, under an id of its own."""
    volume = add_ct()
    segmentation, other = logic.process(volume), logic.finish(ended(logic, volume), fresh=True)
    segments = segmentation.GetSegmentation()
    segments.CopySegmentFromSegmentation(other.GetSegmentation(), "tumor")
    before = mask(segmentation, "tumor_1", volume)
    assert logic.edited(segmentation) == []
    logic.finish(ended(logic, volume), segmentation)
    assert before.any()
    assert np.array_equal(mask(segmentation, "tumor_1", volume), before)


def ended(logic, volume):
    """A run that is done."""
    run = logic.start(volume)
    while run.state.value == "running":
        run.poll()
    return run


def move(segmentation, key, volume):
    """By one voxel: the shape stays."""
    import slicer

    array = np.roll(slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, key, volume), 1, 2)
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentation, key, volume)


def drop(segmentation, key, volume):
    segmentation.GetSegmentation().RemoveSegment(key)


def empty(segmentation, key, volume):
    import slicer

    slicer.util.updateSegmentBinaryLabelmapFromArray(
        np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8), segmentation, key, volume
    )


@pytest.mark.parametrize(
    ("edit", "told"),
    [(paint, "kidney tumor"), (move, "kidney tumor"), (empty, "kidney tumor"), (drop, "kidney tumor (deleted)")],
)
def test_edited_segments_are_never_overwritten_unasked(add_ct, logic, edit, told):
    volume = add_ct()
    segmentation = logic.process(volume)
    edit(segmentation, "tumor", volume)
    assert logic.edited(segmentation) == [told]
    there = [mask(segmentation, key, volume) for key in kept_keys(segmentation)]
    asked = []
    for may in (None, lambda names: bool(asked.append(names))):
        other = logic.process(volume, segmentation, may_overwrite=may)
        assert other is not segmentation
        assert logic.edited(other) == []
        now = [mask(segmentation, key, volume) for key in kept_keys(segmentation)]
        assert all(np.array_equal(a, b) for a, b in zip(there, now, strict=True))
    assert asked == [[told]]
    assert logic.process(volume, segmentation, may_overwrite=lambda names: True) is segmentation
    assert logic.edited(segmentation) == []


def say(segmentation, key, label, modifier=None):
    """As in Slicer's window of terminologies: what a segment is, its name and colour with it."""
    from dataclasses import replace

    segment = segmentation.GetSegmentation().GetSegment(key)
    segment.SetTerminology(replace(label, modifier=modifier or label.modifier).terminology)
    segment.SetName(label.type[2])
    segment.SetColor(0.5, 0.5, 0.5)


def test_a_tumor_that_is_said_to_be_a_cyst_is_one_and_no_tumor_is_put_there_unasked(add_ct, logic):
    from wpunet.labels import CYST_LABEL
    from WPUNetSegmentLib import measures
    from WPUNetSegmentLib.measurement import measure_segments

    volume = add_ct()
    segmentation = logic.process(volume)
    tumor = segmentation.GetSegmentation().GetSegment("tumor")
    before = tumor.GetTerminology(), tumor.GetName(), tumor.GetColor()
    say(segmentation, "tumor", CYST_LABEL)
    assert not measures.of(segmentation).current
    assert logic.edited(segmentation) == ["Cyst"]
    found = {one.name: one.certainty for one in measure_segments(volume, segmentation)}
    assert found == {"right kidney": 0.9, "left kidney": 0.9, "right cyst 2": None, "left cyst 1": 0.9}
    assert logic.process(volume, segmentation, may_overwrite=lambda names: names != ["Cyst"]) is not segmentation
    logic.process(volume, segmentation, may_overwrite=lambda names: names == ["Cyst"])
    assert (tumor.GetTerminology(), tumor.GetName(), tumor.GetColor()) == before
    assert logic.edited(segmentation) == []
    logic.undo(segmentation)
    assert logic.edited(segmentation) == ["Cyst"]


def test_a_kidney_that_is_said_to_be_the_other_sides_is_that(add_ct, logic):
    from wpunet.labels import LEFT, RIGHT, RIGHT_KIDNEY_LABEL
    from WPUNetSegmentLib.measurement import measure_segments

    volume = add_ct()
    segmentation = logic.process(volume)
    right = measure_segments(volume, segmentation)[0]
    say(segmentation, "kidney_right", RIGHT_KIDNEY_LABEL, LEFT)
    say(segmentation, "kidney_left", RIGHT_KIDNEY_LABEL, RIGHT)
    assert logic.edited(segmentation) == ["Kidney", "Kidney"]
    left = measure_segments(volume, segmentation)[1]
    assert (left.name, left.volume_ml) == ("left kidney", right.volume_ml)


@pytest.mark.parametrize(("region", "counts"), [(None, True), ("kidney", True), ("liver", False)])
def test_a_lesion_that_is_said_to_be_another_organs_does_not_count(add_ct, logic, region, counts):
    from dataclasses import replace

    from wpunet.labels import TUMOR_LABEL
    from WPUNetSegmentLib import training_case
    from WPUNetSegmentLib.measurement import measure_segments

    volume = add_ct()
    segmentation = logic.process(volume)
    where = {"liver": ("SCT", "10200004", "Liver"), "kidney": TUMOR_LABEL.region, None: None}[region]
    segmentation.GetSegmentation().GetSegment("tumor").SetTerminology(replace(TUMOR_LABEL, region=where).terminology)
    assert any(one.kind == "tumor" for one in measure_segments(volume, segmentation)) is counts
    assert training_case.left_out(segmentation) == ([] if counts else ["kidney tumor"])
    assert logic.edited(segmentation) == ([] if counts else ["kidney tumor"])


def test_segments_of_an_earlier_run_that_the_editors_undo_brings_back_are_told(add_ct, logic):
    import slicer

    volume = add_ct()
    segmentation = logic.process(volume)
    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(segmentation.GetSegmentation())
    history.SaveState()
    hu = slicer.util.arrayFromVolume(volume)
    hu[hu == 300] = 150  # no tumor
    run = logic.start(volume)
    while run.state.value == "running":
        run.poll()
    run.result.report["started"] = "2026-11-28T00:00:00+00:00"  # not in the same second
    logic.finish(run, segmentation)
    assert logic.edited(segmentation) == []
    history.RestorePreviousState()
    assert mask(segmentation, "tumor", volume).any()
    assert "kidney tumor" in logic.edited(segmentation)


def test_segments_that_a_version_before_0_8_2_made_are_known(add_ct, logic):
    from WPUNetSegmentLib.marks import digest
    from WPUNetSegmentLib.scene import DIGEST

    volume = add_ct()
    segmentation = logic.process(volume)
    inside = segmentation.GetSegmentation()
    for key in kept_keys(segmentation):
        inside.GetSegment(key).SetTag(DIGEST, digest(segmentation, key))
    assert logic.edited(segmentation) == []
    paint(segmentation, "tumor", volume)
    assert logic.edited(segmentation) == ["kidney tumor"]


def test_a_segment_of_the_users_own_that_is_called_like_ours_counts_as_his_work(add_ct, logic, scene):
    volume = add_ct()
    own = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    own.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    own.GetSegmentation().AddEmptySegment("tumor", "my tumor", (1, 1, 1))
    assert logic.edited(own) == ["my tumor"]


def test_a_segmentation_that_is_shown_nowhere_yet_takes_a_result_with_surfaces(add_ct, logic, scene):
    """As a script leaves one."""
    from WPUNetSegmentLib.run import RunOptions

    ct = add_ct()
    segmentation = logic.process(ct)
    scene.RemoveNode(segmentation.GetDisplayNode())
    logic.process(ct, segmentation, RunOptions(surface=True))
    assert segmentation.GetDisplayNode().GetSegmentOpacity3D("kidney_left") == pytest.approx(0.4)


def test_an_uncertainty_of_an_earlier_run_does_not_stay(add_ct, logic, scene):
    from WPUNetSegmentLib.run import RunOptions

    volume = add_ct()
    plain = scene.GetNumberOfNodes()
    segmentation = logic.process(volume)
    without = scene.GetNumberOfNodes()
    logic.process(volume, options=RunOptions(uncertainty=True))
    assert segmentation.GetNodeReference("WPUNetSegment.Uncertainty")
    logic.process(volume)
    assert segmentation.GetNodeReference("WPUNetSegment.Uncertainty") is None
    assert scene.GetNumberOfNodes() == without > plain


def test_a_segmentation_of_surfaces_is_refused(add_ct, logic, scene, monkeypatch):
    import slicer
    import vtk
    from wpunet.errors import OutputError

    volume = add_ct()
    target = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "from a model")
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    target.GetSegmentation().SetSourceRepresentationName(name)
    ball = vtk.vtkSphereSource()
    ball.Update()
    segment = slicer.vtkSegment()
    segment.AddRepresentation(name, ball.GetOutput())
    target.GetSegmentation().AddSegment(segment, "model")
    monkeypatch.setattr(logic, "start", lambda *_: pytest.fail("found out after the run"))
    with pytest.raises(OutputError, match="from a model is made of a closed surface and cannot take the result"):
        logic.process(volume, target)
    assert kept_keys(target) == ["model"]
    assert not logic.can_undo(target)
    monkeypatch.undo()
    target.GetSegmentation().RemoveSegment("model")
    assert logic.process(volume, target) is target
    assert "tumor" in kept_keys(target)


@pytest.mark.parametrize("given", [False, True])
def test_a_result_that_was_made_surfaces_is_left_alone(add_ct, logic, given):
    import slicer

    volume = add_ct()
    first = logic.process(volume)
    surface = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    run = logic.start(volume)
    while run.state.value == "running":
        run.poll()
    first.GetSegmentation().CreateRepresentation(surface)
    first.GetSegmentation().SetSourceRepresentationName(surface)
    asked = []
    second = logic.finish(run, first if given else None, lambda names: asked.append(names) or True)
    assert second is not first
    assert asked == []
    assert "tumor" in kept_keys(second)
    assert first.GetSegmentation().GetSourceRepresentationName() == surface
    assert not logic.can_undo(first)


@pytest.mark.parametrize("origin", [-157.125, -157.125 + 1e-9, -157.125 - 1e-9])
def test_rounding_of_the_last_digit_is_no_edit(add_ct, logic, origin):
    import slicer
    from WPUNetSegmentLib.marks import digest

    volume = add_ct()
    volume.SetSpacing(0.625, 0.625, 1.25)
    volume.SetOrigin(-157.125, -157.125, 33.375)
    segmentation = logic.process(volume)
    volume.SetOrigin(origin, origin, 33.375)
    other = logic.process(volume, slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other"))
    assert digest(other, "tumor") == digest(segmentation, "tumor")


@pytest.mark.parametrize("kind", ["axial", "oblique"])
def test_a_ct_and_its_segments_that_are_hardened_together_are_no_edit(add_ct, logic, kind):
    from WPUNetSegmentLib import measurement, measures

    volume = add_ct(kind, transform=turned((1, 2, 0), 17.3))
    segmentation = logic.process(volume)
    other = logic.finish(ended(logic, volume), fresh=True)
    measurement.remember(volume, other, measurement.measure_segments(volume, other)[:1])
    for node in (volume, segmentation, other):
        node.HardenTransform()
    assert logic.edited(segmentation) == []
    assert measures.of(segmentation).current
    assert len(measures.of(other).structures) == 1
    paint(segmentation, "tumor", volume)
    paint(other, "tumor", volume)
    assert logic.edited(segmentation) == ["kidney tumor"]
    assert not measures.of(other).current


@pytest.mark.parametrize("along_r", [1.1, -1.0], ids=["stretched", "mirrored"])
def test_segments_that_are_changed_with_their_ct_are_told(add_ct, logic, along_r):
    """What was measured of them, or their side, is not true any more."""
    import slicer
    from WPUNetSegmentLib import measures

    volume = add_ct(transform=np.eye(4))
    segmentation = logic.process(volume)
    stretched = slicer.util.vtkMatrixFromArray(np.diag([along_r, 1.0, 1.0, 1.0]))
    volume.GetParentTransformNode().SetMatrixTransformToParent(stretched)
    for node in (volume, segmentation):
        node.HardenTransform()
    assert not measures.of(segmentation).current
