"""Arrays of the engine and nodes of Slicer's scene are the same thing seen twice."""

import numpy as np
import pytest
from wpunet import files
from wpunet import volume as geometry
from wpunet.labels import BY_SIDE, CYST, LEFT_KIDNEY

from Testing import phantom
from Testing.view.conftest import require_parts


@pytest.fixture(scope="module")
def app():
    require_parts(browser=False)
    from trame_slicer.core import SlicerApp

    return SlicerApp()


@pytest.fixture
def scene(app):
    from wpunet_view.scene import Scene

    return Scene(app)


def oblique(degrees):
    turn = np.eye(4)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn[1:3, 1:3] = [[c, -s], [s, c]]
    return turn


@pytest.mark.parametrize("degrees", [0, 5])  # a grid that is used as it is
def test_segments_hold_the_labels_and_stand_where_the_ct_stands(app, scene, made, labels, degrees):
    import slicer

    labels = np.where(labels == CYST, 0, labels)  # in one piece: Slicer's centre is that of the largest
    head = np.nonzero(labels == LEFT_KIDNEY)[0].min()
    labels[: head + 4][labels[: head + 4] == LEFT_KIDNEY] = CYST
    volume = geometry.from_array(made.hu, oblique(degrees) @ made.affine, "x")
    scene.show_ct(volume)
    scene.show_labels(labels)
    assert np.array_equal(scene.labels(), labels)
    node = app.scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    for label in BY_SIDE:
        segment = node.GetSegmentation().GetSegment(label.key)
        assert (segment.GetName(), segment.GetTerminology()) == (label.name, label.terminology)
        centre = node.GetSegmentCenterRAS(label.key)
        at = np.argwhere(labels == label.value)
        index = (at.min(0) + at.max(0)) / 2
        true = volume.affine[:3, :3] @ index + volume.affine[:3, 3]
        assert np.abs(np.array(centre) - true).max() < 16, label.name  # Slicer's is the middle of the box
    assert isinstance(node, slicer.vtkMRMLSegmentationNode)
    assert node.GetSegmentation().GetNumberOfLayers() == 1


def test_tumors_are_seen_through_the_kidneys(app, scene, made, labels):
    scene.show_ct(geometry.from_array(made.hu, made.affine, "x"))
    scene.show_labels(labels)
    display = app.scene.GetFirstNodeByClass("vtkMRMLSegmentationNode").GetDisplayNode()
    assert display.GetSegmentOpacity3D("kidney_left") < 0.5
    assert display.GetSegmentOpacity3D("kidney_right") < 0.5
    assert display.GetSegmentOpacity3D("tumor") == 1
    scene.set_segments_visible(False)
    assert not display.GetVisibility()


def test_undo_and_redo_give_every_voxel_and_surface_back_and_change_nothing_of_how_segments_are_shown(
    app, scene, made, labels
):
    from trame_slicer.segmentation.segment_modifier import ModificationMode
    from undo_stack import UndoStack
    from wpunet_view import steps
    from wpunet_view.scene import KIDNEY_OPACITY, voxels

    editor, stack = app.segmentation_editor, UndoStack(undo_limit=5)
    editor.set_undo_stack(stack)
    steps.keep(stack)
    scene.show_ct(geometry.from_array(made.hu, made.affine, "x"))
    scene.show_labels(labels)
    editor.set_surface_representation_enabled(True)
    node = app.scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    display, segments = node.GetDisplayNode(), node.GetSegmentation()
    display.SetSegmentVisibility("cyst", False)

    def shown():
        keys = [label.key for label in BY_SIDE]
        return {key: (display.GetSegmentOpacity3D(key), display.GetSegmentVisibility(key)) for key in keys}

    def now():
        surfaces = (segments.GetSegment(label.key).GetRepresentation(steps.SURFACE) for label in BY_SIDE)
        return scene.labels().tobytes(), [surface.GetNumberOfPoints() for surface in surfaces]

    def mark(key, place, mode):
        editor.set_active_segment_id(key)
        labelmap = editor.active_segment_modifier.create_modifier_labelmap()
        voxels(labelmap)[place] = 1
        editor.active_segment_modifier.apply_labelmap(labelmap, modification_mode=ModificationMode[mode])

    before = shown()
    assert before["kidney_left"] == (KIDNEY_OPACITY, True)
    assert before["cyst"] == (1, False)
    was = [now()]
    everything = (slice(None),) * 3
    for key, place, mode in (
        ("tumor", np.nonzero(labels == LEFT_KIDNEY), "Add"),  # of one segment to another
        ("cyst", np.s_[:3, :4, :5], "Add"),  # in a corner, where Slicer keeps nothing so far
        ("cyst", everything, "Remove"),
        *[(label.key, everything, "Remove") for label in BY_SIDE if label.key not in ("cyst", "kidney_left")],
        ("kidney_left", np.s_[-2:, -3:, -2:], "Add"),  # into nothing
        ("kidney_left", np.s_[4:6], "Set"),
    ):
        mark(key, place, mode)
        was.append(now())
    assert len({labels for labels, _ in was}) == len(was) > 6
    for there in was[-2::-1]:
        stack.undo()
        assert now() == there
        assert shown() == before
    assert not stack.can_undo()
    for there in was[1:]:
        stack.redo()
        assert now() == there
        assert shown() == before
    assert segments.GetNumberOfLayers() == 1
    mark("kidney_left", np.s_[4:6], "Set")  # which changes nothing
    assert stack.n_commands() == len(was) - 1


@pytest.mark.parametrize("degrees", [0, 5])
def test_the_side_of_a_surface_that_is_not_drawn_faces_inwards(app, scene, made, labels, degrees):
    from slicer import vtkSegmentationConverter
    from vtkmodules.util.numpy_support import vtk_to_numpy

    scene.show_ct(geometry.from_array(made.hu, oblique(degrees) @ made.affine, "x"))
    scene.show_labels(labels)
    node = app.scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    assert node.GetDisplayNode().GetFrontfaceCulling()
    assert not node.GetDisplayNode().GetBackfaceCulling()
    node.CreateClosedSurfaceRepresentation()
    surface = node.GetSegmentation().GetSegment("kidney_left")
    surface = surface.GetRepresentation(vtkSegmentationConverter.GetClosedSurfaceRepresentationName())
    corners = vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    points = vtk_to_numpy(surface.GetPoints().GetData())[corners]
    assert np.linalg.det(points - points.mean((0, 1))).sum() < 0  # six times the volume, were its front outside


@pytest.mark.parametrize("degrees", [0, 5])
def test_slices_are_counted_one_by_one_and_a_place_snaps_onto_one(made, degrees):
    from slicer import vtkMRMLSliceNode
    from wpunet_view.slices import Stack, nearest

    volume = geometry.from_array(made.hu, oblique(degrees) @ made.affine, "x")
    middle = (np.array(made.hu.shape) - 1) / 2
    centre = volume.affine[:3, :3] @ middle + volume.affine[:3, 3]
    for normal in range(3):
        axis, node, seen = 2 - normal, vtkMRMLSliceNode(), []
        across, up = (np.eye(3)[one] for one in range(3) if one != normal)
        step = np.eye(3)[normal] / np.linalg.inv(volume.affine)[axis, normal]  # to the next slice
        for k in range(made.hu.shape[axis]):
            ras = centre + (k - middle[axis]) * step
            node.SetSliceToRASByNTP(*np.eye(3)[normal], *across, *ras, 0)
            seen.append(Stack(volume, node).shown())
            beside = ras + 9 * across - 5 * up
            assert np.allclose(Stack(volume, node).snapped(tuple(beside + 0.4 * step)), beside, atol=1e-6)
        assert seen == list(range(made.hu.shape[axis]))
    assert list(nearest([0.5, 1.5, 2.5, -0.5])) == [1, 2, 3, 0]


@pytest.mark.parametrize(("normal", "axis"), [(2, 0), (1, 1), (0, 2)])  # RAS axis, the engine's axis
def test_a_round_region_holds_the_voxels_of_its_slice(scene, normal, axis):
    from wpunet_view.scene import circle

    hu = np.random.default_rng(1).integers(-100, 300, (20, 40, 50)).astype(np.int16)
    affine = np.array([[0, 0, -1.5, 40], [0, -2.0, 0, 30], [-3.0, 0, 0, 20], [0, 0, 0, 1]])
    volume = geometry.from_array(hu, affine, "x")
    at = np.array([10, 20, 25])
    centre = volume.affine[:3, :3] @ at + volume.affine[:3, 3]
    index = np.stack(np.meshgrid(*map(np.arange, hu.shape), indexing="ij"), -1)
    away = np.linalg.norm((index - at) * volume.spacing, axis=-1)
    inside = (away <= 9.1) & (index[..., axis] == at[axis])
    assert sorted(circle(volume, centre, 9.1, normal)) == sorted(hu[inside])
    scene.show_ct(volume)
    told = scene.measured("region", centre, centre + 9.1 * np.eye(3)[normal - 1], normal)
    assert told.startswith(f"{hu[inside].mean():.0f} ± {hu[inside].std():.0f} HU")
    assert scene.measured("ruler", centre, centre + np.array([3, 4, 0]), normal) == "5.0 mm"


def test_edits_reach_the_labels_and_not_the_engines_answer(app, scene, made, labels):
    from slicer import util

    volume = geometry.from_array(made.hu, made.affine, "x")
    scene.show_ct(volume)
    answer = labels.copy()
    scene.show_labels(answer)
    node = app.scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    stored = util.arrayFromSegmentInternalBinaryLabelmap(node, "tumor")
    stored[:] = 0
    assert not (scene.labels() > 0).any()
    assert np.array_equal(answer, labels)
    scene.show_labels(labels)  # and again: it replaces, it does not pile up
    assert app.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1


def test_another_ct_takes_everything_of_the_last_one_away(app, scene, made, labels):
    volume = geometry.from_array(made.hu, made.affine, "one")
    scene.show_ct(volume)
    scene.show_labels(labels)
    scene.show_uncertainty(labels)
    scene.show_ct(geometry.from_array(made.hu[:12], made.affine, "two"))
    assert app.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert app.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1


def test_the_engine_gets_the_ct_as_it_is_shown(scene, made, tmp_path):
    phantom.save_nifti(made.hu, oblique(20) @ made.affine, tmp_path / "ct.nii.gz")  # resampled when it is read
    volume = files.read(tmp_path / "ct.nii.gz")
    scene.show_ct(volume)
    scene.write_ct(tmp_path / "ct.nrrd")
    again = files.read(tmp_path / "ct.nrrd")
    assert np.array_equal(again.hu, volume.hu)
    assert np.allclose(again.affine, volume.affine, atol=1e-6)
    assert again.grid.upright
