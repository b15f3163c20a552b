"""A run can be undone: what it wrote over comes back, once, in its own scene and frame."""

import gc
import weakref

import numpy as np
import pytest

from Testing.slicer.conftest import UNCERTAIN, copied_to_each_frame
from Testing.slicer.places import kept_keys, mask, paint, world_centre


@pytest.mark.parametrize("same", [True, False], ids=["same options", "other options"])
def test_a_run_can_be_undone(add_ct, logic, same):
    import slicer
    from WPUNetSegmentLib.measurement import measure_segments, remember, remembered
    from WPUNetSegmentLib.run import RunOptions

    volume = add_ct()
    segmentation = logic.process(volume, options=RunOptions(uncertainty=True))
    assert not logic.can_undo(segmentation)
    paint(segmentation, "tumor", volume)
    remember(volume, segmentation, measure_segments(volume, segmentation))
    measured = remembered(segmentation)
    assert measured
    keys, report = kept_keys(segmentation), logic.report(segmentation)
    before = [mask(segmentation, key, volume) for key in keys]
    doubt = slicer.util.arrayFromVolume(segmentation.GetNodeReference("WPUNetSegment.Uncertainty")).copy()
    hu = slicer.util.arrayFromVolume(volume)
    hu[hu == 300] = 150
    hu[hu == 40] = 0
    options = RunOptions(uncertainty=same, sides=same)
    logic.process(volume, segmentation, options, may_overwrite=lambda names: True)
    assert kept_keys(segmentation) == (keys if same else ["tumor", "cyst", "kidney"])
    assert logic.report(segmentation) != report
    logic.undo(segmentation)
    assert remembered(segmentation) == measured
    assert sorted(kept_keys(segmentation)) == sorted(keys)
    for key, found in zip(keys, before, strict=True):
        assert np.array_equal(mask(segmentation, key, volume), found)
    assert logic.report(segmentation) == report
    uncertainty = segmentation.GetNodeReference("WPUNetSegment.Uncertainty")
    assert np.array_equal(slicer.util.arrayFromVolume(uncertainty), doubt)
    assert np.allclose(world_centre(uncertainty, doubt > 0), UNCERTAIN[0], atol=1.5)
    assert logic.edited(segmentation) == ["kidney tumor"]
    assert not logic.can_undo(segmentation)


@pytest.mark.parametrize("gone", [False, True], ids=["its CT is there", "its CT is gone"])
def test_undo_gives_the_segmentation_back_to_its_own_ct(add_ct, logic, scene, gone):
    from WPUNetSegmentLib.run import RunOptions
    from WPUNetSegmentLib.scene import reference_ct

    first, second = add_ct("axial", "first"), add_ct("square", "second")
    segmentation = logic.process(first, options=RunOptions(uncertainty=True))
    if gone:
        scene.RemoveNode(first)
    logic.process(second, segmentation)
    assert reference_ct(segmentation) is second
    assert segmentation.GetDescription().endswith(" from second.")
    logic.undo(segmentation)
    assert segmentation.GetDescription().endswith(" from first.")
    assert reference_ct(segmentation) is (None if gone else first)
    assert segmentation.GetNodeReference("WPUNetSegment.Uncertainty") is not None


def test_of_a_sequence_a_run_is_undone_in_its_own_frame_alone(add_ct, logic, in_sequence):
    from wpunet.errors import InputError

    ct, show = in_sequence(add_ct("axial", "first"), add_ct("axial", "second"))
    segmentation = logic.process(ct)
    browser, copies = copied_to_each_frame(segmentation)
    browser.SetSaveChanges(copies, True)
    show(1)
    paint(segmentation, "tumor", ct)
    before = mask(segmentation, "tumor", ct)
    logic.process(ct, segmentation, may_overwrite=lambda names: True)
    show(2)
    other, report = mask(segmentation, "tumor", ct), logic.report(segmentation)
    assert not logic.can_undo(segmentation)
    with pytest.raises(InputError, match="shows another frame"):
        logic.undo(segmentation)
    assert np.array_equal(mask(segmentation, "tumor", ct), other)
    assert logic.report(segmentation) == report
    show(1)
    logic.undo(segmentation)
    assert np.array_equal(mask(segmentation, "tumor", ct), before)


def test_undo_is_not_offered_in_another_scene(add_ct, logic, scene):
    segmentation = logic.process(add_ct())
    logic.process(add_ct("axial", "again"), segmentation)
    assert logic.can_undo(segmentation)
    scene.Clear(False)
    other = logic.process(add_ct())
    assert other.GetID() == segmentation.GetID()
    assert not logic.can_undo(other)


def test_undo_never_goes_back_more_than_one_run(add_ct, logic):
    volume = add_ct()
    segmentation = logic.process(volume)
    logic.process(volume)
    assert logic.can_undo(segmentation)
    segmentation.GetSegmentation().RemoveAllSegments()
    assert logic.process(volume, segmentation, may_overwrite=lambda _names: True) is segmentation
    assert not logic.can_undo(segmentation)  # it was empty before this run


def test_what_a_run_replaced_goes_with_the_scene(add_ct, logic, scene):
    volume = add_ct()
    segmentation = logic.process(volume)
    logic.process(volume)
    assert logic.can_undo(segmentation)
    held = weakref.ref(segmentation)
    del segmentation
    scene.Clear(False)
    assert held() is not None
    logic.can_undo(None)
    gc.collect()
    assert held() is None
