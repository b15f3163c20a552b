"""Where tools work: a voxel belongs to one segment, whatever is painted over what; and what lies near a segment."""

from types import SimpleNamespace

import numpy as np
import pytest
from wpunet import volume as geometry
from wpunet.labels import BY_SIDE, CYST, KIDNEY, LEFT_KIDNEY, TUMOR

from Testing.view.conftest import require_parts


@pytest.fixture(scope="module")
def app():
    require_parts(browser=False)
    from trame_slicer.core import SlicerApp

    return SlicerApp()


@pytest.fixture(scope="module")
def limits(app):
    from trame_server import Server
    from wpunet_view.limits import Limits
    from wpunet_view.scene import Scene

    return Limits(Server(), app, Scene(app))


@pytest.fixture
def at_work(app, limits, made, labels):
    """Scene, limits and what a tool does: ``mark`` voxels for a segment in a way."""
    from trame_slicer.segmentation.segment_modifier import ModificationMode
    from wpunet_view.scene import voxels

    scene = limits._scene
    scene.show_ct(geometry.from_array(made.hu, made.affine, "x"))
    limits.reset()
    scene.show_labels(labels)
    editor = app.segmentation_editor

    def mark(key, voxels_marked, mode="Add"):
        editor.set_active_segment_id(key)
        modifier = editor.active_segment_modifier
        labelmap = modifier.create_modifier_labelmap()
        voxels(labelmap)[:] = voxels_marked
        modifier.apply_labelmap(labelmap, modification_mode=ModificationMode[mode])

    return SimpleNamespace(scene=scene, limits=limits, mark=mark, app=app)


def drawn(app, shape):
    """What each segment shows, {key: bool (slice, row, column)}: more than one may have a voxel where they overlap."""
    from wpunet_view.scene import common, voxels

    segmentation = app.scene.GetFirstNodeByClass("vtkMRMLSegmentationNode").GetSegmentation()
    shown = {label.key: np.zeros(shape, bool) for label in BY_SIDE}
    for key, mask in shown.items():
        image = segmentation.GetSegment(key).GetRepresentation("Binary labelmap")
        whole = (0, shape[2] - 1, 0, shape[1] - 1, 0, shape[0] - 1)
        ours, theirs = common(whole, image.GetExtent())
        mask[ours] = voxels(image)[theirs] == segmentation.GetSegment(key).GetLabelValue()
    return shown


@pytest.mark.parametrize("over", [True, False])
@pytest.mark.parametrize("hidden", [True, False])
def test_what_is_drawn_is_what_is_measured(at_work, labels, over, hidden):
    at_work.limits.data.over = over
    node = at_work.app.scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    node.GetDisplayNode().SetSegmentVisibility("kidney_left", not hidden)
    box = np.zeros(labels.shape, bool)
    at = np.argwhere(labels == LEFT_KIDNEY)
    box[tuple(slice(low, high + 3) for low, high in zip(at.min(0), at.mean(0).astype(int), strict=True))] = True
    at_work.mark("tumor", box)
    now = at_work.scene.labels()
    for label in BY_SIDE:
        assert np.array_equal(drawn(at_work.app, labels.shape)[label.key], now == label.value), label.key
    free = (labels == 0) | (labels == TUMOR)
    assert ((now == TUMOR) == ((labels == TUMOR) | (box if over else box & free))).all()
    assert node.GetSegmentation().GetNumberOfLayers() == 1


def test_segments_never_overlap_even_where_the_editor_was_told_so(at_work, labels):
    from trame_slicer.segmentation import SegmentationOverwriteMode

    at_work.app.segmentation_editor.set_overwrite_mode(SegmentationOverwriteMode.ALLOW_OVERLAP)
    at_work.scene.show_labels(labels)  # as a session that was restored would
    at_work.mark("tumor", labels == LEFT_KIDNEY)
    assert sum(drawn(at_work.app, labels.shape).values()).max() == 1


def test_other_segments_are_spared_by_what_adds_and_erasing_still_erases(at_work, labels):
    at_work.limits.data.over = False
    at_work.mark("kidney_right", np.ones(labels.shape), "Set")  # as smoothing does
    now = at_work.scene.labels()
    assert np.array_equal(now == KIDNEY, np.isin(labels, (0, KIDNEY)))
    for value in (TUMOR, LEFT_KIDNEY):
        assert np.array_equal(now == value, labels == value)
    at_work.mark("kidney_right", np.ones(labels.shape), "Remove")
    now = at_work.scene.labels()
    assert not (now == KIDNEY).any()
    assert np.array_equal(now == LEFT_KIDNEY, labels == LEFT_KIDNEY)


def test_tools_work_inside_of_what_is_chosen_and_everywhere_in_the_next_ct(at_work, labels):
    at_work.limits._on_area("kidney_left")
    at_work.mark("tumor", np.ones(labels.shape))
    assert np.array_equal(at_work.scene.labels() == TUMOR, (labels == TUMOR) | (labels == LEFT_KIDNEY))
    at_work.limits.only(-5000, -4000)
    at_work.limits.reset()
    at_work.mark("tumor", np.ones(labels.shape))
    assert (at_work.scene.labels() == TUMOR).all()


@pytest.mark.parametrize("hidden", [(), ("kidney_right",), ("tumor", "cyst")])
def test_all_segments_are_smoothed_together_and_none_becomes_another_where_one_is_hidden(at_work, labels, hidden):
    from trame_slicer.segmentation import SegmentationEffectSmoothing

    editor = at_work.app.segmentation_editor
    labels = labels.copy()
    labels[4:12, 4:14, 4:14] = CYST  # the phantom's own is smaller than what smoothing leaves
    at_work.scene.show_labels(labels)
    for key in hidden:
        editor.set_segment_visibility(key, False)
    editor.set_active_effect_type(SegmentationEffectSmoothing)
    editor.get_effect(SegmentationEffectSmoothing).apply_joint_smoothing(0.2)
    editor.deactivate_effect()
    now = at_work.scene.labels()
    assert not np.array_equal(now, labels)
    for label in BY_SIDE:
        was, is_now = labels == label.value, now == label.value
        assert 2 * (was & is_now).sum() / (was.sum() + is_now.sum()) > 0.8, label.key


def test_a_range_of_hu_starts_from_the_segment_and_holds(at_work, made, labels):
    from wpunet_view.scene import SOFT_TISSUE

    values = made.hu[labels == LEFT_KIDNEY]
    low, high = at_work.scene.usual_hu("kidney_left")
    assert low == pytest.approx(values.mean() - 2 * values.std(), abs=0.51)
    assert high == pytest.approx(values.mean() + 2 * values.std(), abs=0.51)
    at_work.limits.only(low, high)
    at_work.mark("tumor", np.ones(labels.shape))
    inside = (made.hu >= low) & (made.hu <= high)
    assert np.array_equal(at_work.scene.labels() == TUMOR, (labels == TUMOR) | inside)
    at_work.mark("tumor", np.ones(labels.shape), "Remove")
    at_work.scene.show_labels(np.where(labels == TUMOR, 0, labels))
    assert at_work.scene.usual_hu("tumor") == SOFT_TISSUE


def test_the_threshold_takes_nothing_far_from_the_segment(at_work, made, labels):
    everything = (float(made.hu.min()), float(made.hu.max()))
    spacing = np.array(geometry.from_array(made.hu, made.affine, "x").spacing)
    kidney = np.argwhere(labels == LEFT_KIDNEY) * spacing
    near = at_work.scene.in_range(*everything, "kidney_left", 10)
    away = np.full(labels.shape, np.inf)
    for index in np.ndindex(labels.shape):
        away[index] = np.linalg.norm(kidney - index * spacing, axis=1).min()
    assert np.array_equal(near, away <= 10)
    at_work.scene.show_labels(np.where(labels == LEFT_KIDNEY, 0, labels))
    of_all = at_work.scene.in_range(*everything, "kidney_left", 10)  # it is empty
    assert of_all[labels == TUMOR].all()
    assert of_all.mean() < 0.2
    assert at_work.scene.in_range(*everything, "tumor", None).all()


@pytest.mark.parametrize(
    ("kind", "into", "value"),
    [("tumor", "cyst", CYST), ("tumor", "kidney", KIDNEY), ("tumor", "", 0), ("cyst", "tumor", TUMOR)],
)
def test_a_lesion_of_the_table_becomes_something_else_as_one_step_whatever_tools_are_limited_to(
    at_work, labels, kind, into, value
):
    from trame_server import Server
    from undo_stack import UndoStack
    from wpunet.measure import parts
    from wpunet_view import steps
    from wpunet_view.corrections import Corrections

    labels = labels.copy()
    labels[2:4, 3:5, 3:5], labels[2, 8, 8] = TUMOR, CYST  # others of both kinds
    editor, stack = at_work.app.segmentation_editor, UndoStack()
    editor.set_undo_stack(stack)
    steps.keep(stack)
    at_work.scene.show_labels(labels)
    at_work.limits._on_area("kidney_left")
    at_work.limits.only(-5000, -4000)
    at_work.limits.data.over = False
    corrections = Corrections(Server(), at_work.app, at_work.scene, at_work.limits)
    body = max((one for one in parts(labels, at_work.scene.affine) if one.kind == kind), key=lambda one: one.voxels)
    wanted = labels.copy()
    wanted[body.box][body.mask] = {"right": KIDNEY, "left": LEFT_KIDNEY}[body.side] if into == "kidney" else value
    corrections.turn(kind, body.fingerprint, into)
    assert np.array_equal(at_work.scene.labels(), wanted)
    corrections.turn(kind, body.fingerprint, into)  # it is not there any more
    assert np.array_equal(at_work.scene.labels(), wanted)
    assert stack.n_commands() == 1
    stack.undo()
    assert np.array_equal(at_work.scene.labels(), labels)
    at_work.scene.show_ct(at_work.scene._volume)
    for late in (lambda: corrections.turn(kind, body.fingerprint, into), corrections.fill_between):
        late()  # a click that comes after another CT does nothing
    assert not stack.can_undo()


def test_what_lies_between_drawn_slices_is_filled_and_whole_bodies_stay_apart(at_work, labels):
    from trame_server import Server
    from wpunet_view.between import between
    from wpunet_view.corrections import Corrections

    z, y, x = np.indices((30, 44, 90))
    ball = (z - 15) ** 2 + (y - 20) ** 2 + (x - 20) ** 2 < 14**2
    drawn = ball & (z % 4 == 3)
    filled = between(drawn, (1, 1, 1)) | drawn
    assert 2 * (filled & ball).sum() / (filled.sum() + ball.sum()) > 0.95
    assert not filled[[2, 28]].any()
    assert not (filled[drawn.any((1, 2))] != drawn[drawn.any((1, 2))]).any()
    whole = (np.abs(z - 15) > 4) & (np.abs(y - 20) < 5) & (np.abs(x - 70) < 5)  # two bodies, one over the other
    assert np.array_equal(between(drawn | whole, (1, 1, 1)) | drawn, filled)
    assert not between(drawn, (6, 1, 1)).any()  # too far apart
    square = np.zeros((5, 20, 20), bool)
    square[0], square[4, 8:12, 8:12] = True, True
    assert np.array_equal(between(square, (1, 1, 1)), between(np.pad(square, 5), (1, 1, 1))[5:-5, 5:-5, 5:-5])
    for beside in (6, 18):  # a slice over a whole body, or under it
        body = np.zeros(ball.shape, bool)
        body[10:15, 5:15, 5:15] = body[beside, 5:15, 5:15] = True
        assert between(body, (1, 1, 1)).any((1, 2)).sum() == 3
    apart = np.zeros(ball.shape, bool)
    apart[3, 5:9, 5:9] = apart[6, 30:34, 30:34] = True  # not over each other
    assert not between(apart, (1, 1, 1)).any()
    at_work.scene.show_labels(np.zeros_like(labels))
    corrections = Corrections(Server(), at_work.app, at_work.scene, at_work.limits)
    at_work.mark("cyst", [[[k in (5, 7)]] for k in range(len(labels))] & (labels[14] > 0))
    corrections.fill_between()
    now = at_work.scene.labels()
    assert np.array_equal(now[6], now[5])
    assert (now > 0).any((1, 2)).sum() == 3
    at_work.mark("cyst", [[[k == 11]] for k in range(len(labels))] & (labels[14] > 0))  # 40 mm on
    corrections.fill_between()
    assert (at_work.scene.labels() > 0).any((1, 2)).sum() == 4


def test_small_pieces_are_told_in_ml(at_work):
    from trame_server import Server
    from trame_slicer.segmentation import SegmentationEffectIslands
    from wpunet_view.corrections import Corrections

    corrections = Corrections(Server(), at_work.app, at_work.scene, at_work.limits)
    corrections.data.small = 2.0
    editor = at_work.app.segmentation_editor
    editor.set_active_effect_type(SegmentationEffectIslands)
    assert editor.active_effect.get_minimum_island_size() == 8  # voxels of 0.25 ml
    editor.deactivate_effect()


def test_a_brush_that_grew_shrinks_back():
    from wpunet_view.corrections import resized

    assert resized(15, 1) == 18
    for size in range(1, 60):
        assert resized(resized(size, 3), -3) == size
    assert resized(1, -1) == 1
