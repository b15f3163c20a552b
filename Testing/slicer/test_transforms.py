"""A CT under a transform: one that moves it as a whole is gone along with, any other is refused."""

import numpy as np
import pytest

from Testing.slicer.conftest import turned


def bent(volume, mm):
    """Put a CT under a grid of displacements along S, as Slicer's DICOM reader does with uneven slices."""
    import slicer
    import vtk

    bounds = np.zeros(6)
    volume.GetRASBounds(bounds)
    low, high = bounds[::2] - 10, bounds[1::2] + 10
    image = vtk.vtkImageData()
    image.SetDimensions(2, 2, 3)
    image.SetOrigin(*low)
    image.SetSpacing(high[0] - low[0], high[1] - low[1], (high[2] - low[2]) / 2)
    image.AllocateScalars(vtk.VTK_DOUBLE, 3)
    for j in range(2):
        for i in range(2):
            for k, moved in enumerate((0.0, 0.0, mm)):
                for component, value in enumerate((0.0, 0.0, moved)):
                    image.SetScalarComponentFromDouble(i, j, k, component, value)
    grid = slicer.vtkOrientedGridTransform()
    grid.SetDisplacementGridData(image)
    above = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "acquisition")
    above.SetAndObserveTransformToParent(grid)
    volume.SetAndObserveTransformNodeID(above.GetID())
    return above


def under(volume, matrix):
    import slicer

    above = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "stretched")
    above.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    volume.SetAndObserveTransformNodeID(above.GetID())


STRETCHED = [np.diag([1.05, 1.0, 1.0, 1.0]), np.diag([-1.0, 1.0, 1.0, 1.0]), np.array(turned((0, 0, 1), 20)) * 1.1]


@pytest.mark.parametrize("how", ["bent", 0, 1, 2])
def test_a_ct_that_is_stretched_bent_or_mirrored_is_refused(add_ct, logic, how, tmp_path):
    from wpunet.errors import InputError
    from WPUNetSegmentLib import training_case
    from WPUNetSegmentLib.measurement import measure_segments

    volume = add_ct()
    segmentation = logic.process(volume)
    if how == "bent":
        bent(volume, 20.0)
    else:
        under(volume, STRETCHED[how])
    for act in (
        lambda: logic.process(volume),
        lambda: measure_segments(volume, segmentation),
        lambda: training_case.save(volume, segmentation, tmp_path),
    ):
        with pytest.raises(InputError, match=r"^CT lies under the transform \w+, which stretches, bends or mirrors it"):
            act()
    assert list(tmp_path.glob("case_*")) == []


def test_once_hardened_it_is_segmented_where_it_lies(add_ct, logic):
    from WPUNetSegmentLib.measurement import measure_segments

    volume = add_ct()
    as_it_was = {one.name: one.volume_ml for one in measure_segments(volume, logic.process(volume))}
    bent(volume, 60.0)  # what lies above the middle becomes longer
    volume.HardenTransform()
    found = {one.name: one.volume_ml for one in measure_segments(volume, logic.process(volume))}
    grown = found["left kidney"] / as_it_was["left kidney"]
    assert 1.2 < grown < 1.6


def test_a_bend_of_a_few_hundredths_of_a_millimetre_counts_as_none(add_ct, logic):
    """So that the Segment Editor, which draws under linear transforms alone, can be used on the result."""
    import slicer
    from WPUNetSegmentLib.measurement import measure_segments

    volume = add_ct()
    before = logic.process(volume)
    bent(volume, 0.03)
    segmentation = logic.process(volume, slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode"))
    assert segmentation.GetParentTransformNode() is None
    of_both = [[round(one.volume_ml, 2) for one in measure_segments(volume, each)] for each in (before, segmentation)]
    assert of_both[0] == of_both[1]
    assert logic.edited(segmentation) == []


def test_a_geometry_that_was_changed_during_the_run_is_told(add_ct, logic):
    from wpunet.errors import WpunetError

    volume = add_ct(transform=turned((0, 0, 1), 30))
    run = logic.start(volume)
    while run.state.value == "running":
        run.poll()
    volume.HardenTransform()
    with pytest.raises(WpunetError, match="The geometry of CT was changed during the run"):
        logic.finish(run)


def test_a_ct_that_is_bent_during_the_run_is_told_before_anything_is_changed(add_ct, logic, scene):
    """What another run with other options left would else go, and an empty segmentation be left."""
    from wpunet.errors import InputError
    from WPUNetSegmentLib.run import RunOptions

    volume = add_ct()
    segmentation = logic.process(volume)
    run = logic.start(volume, RunOptions(sides=False))
    while run.state.value == "running":
        run.poll()
    under(volume, STRETCHED[0])
    nodes, keys = scene.GetNumberOfNodes(), segmentation.GetSegmentation().GetSegmentIDs()
    for given in (segmentation, None):
        with pytest.raises(InputError, match="CT lies under the transform"):
            logic.finish(run, given, fresh=True)
    assert segmentation.GetSegmentation().GetSegmentIDs() == keys
    assert scene.GetNumberOfNodes() == nodes
    assert not logic.can_undo(segmentation)
