"""A corrected segmentation becomes a training case that training.prepare reads."""

import json

import nibabel as nib
import numpy as np
import pytest
from wpunet.errors import InputError, OutputError
from wpunet.labels import CYST, together

from Testing.slicer.conftest import BALLS, geometry, turned
from Testing.slicer.stand_in import marked

MOVED = turned((1, 0, 1), 20)


@pytest.fixture
def cases(tmp_path):
    folder = tmp_path / "training cäses"
    folder.mkdir()
    return folder


def ball_ml(name):
    return 4.18879e-3 * BALLS[name][1] ** 3


@pytest.mark.parametrize("transform", [None, MOVED], ids=["as it is", "under a transform"])
@pytest.mark.parametrize("kind", ["square", "left-handed", "coronal", "oblique"])
def test_a_case_has_kits19s_axes_and_labels(add_ct, logic, cases, kind, transform):
    from WPUNetSegmentLib import training_case

    volume = add_ct(kind, transform=transform)
    case = training_case.save(volume, logic.process(volume), cases)
    image, mask = (nib.load(case / f"{name}.nii.gz") for name in ("imaging", "segmentation"))
    assert case.name == "case_00000"
    assert nib.aff2axcodes(image.affine) == ("I", "P", "L")  # KiTS19: slices down, rows back, columns to the left
    assert image.shape == mask.shape
    assert np.allclose(image.affine, mask.affine)
    assert image.get_data_dtype() == np.int16
    labels = np.asarray(mask.dataobj)
    assert set(np.unique(labels)) == {0, 1, 2, CYST}
    ml = np.bincount(labels.ravel())[1:] * abs(np.linalg.det(mask.affine[:3, :3])) / 1000
    kidneys = ball_ml("kidney_right") - ball_ml("tumor") + ball_ml("kidney_left") - ball_ml("cyst")
    assert ml[[0, 1, 3]] == pytest.approx([kidneys, ball_ml("tumor"), ball_ml("cyst")], rel=0.06)
    centre = mask.affine @ np.append(np.argwhere(labels == 2).mean(0), 1.0)
    assert np.allclose(centre[:3], BALLS["tumor"][0], atol=1.0)
    rows, columns = np.linalg.norm(image.affine[:3, 1:3], axis=0)
    assert rows == pytest.approx(columns, rel=0.01)
    if kind == "square":
        wanted = together(marked(np.asarray(image.dataobj)), cysts=True)
        assert np.array_equal(labels, wanted)


@pytest.mark.parametrize(("kind", "cysts"), [("axial", True), ("oblique", False)])
def test_the_training_prepares_it_and_learns_cysts_where_any_is_marked(add_ct, logic, cases, kind, cysts):
    prepare = pytest.importorskip("training.prepare")
    from WPUNetSegmentLib import training_case

    volume = add_ct(kind)
    import slicer

    hu = slicer.util.arrayFromVolume(volume)
    tissue = hu == 0  # so even is no CT, and the training would refuse it
    hu[tissue] = np.random.default_rng(0).normal(30, 8, np.count_nonzero(tissue))
    slicer.util.arrayFromVolumeModified(volume)
    segmentation = logic.process(volume)
    if not cysts:  # nobody knows whether there is none: what is marked as kidney may hold some
        segmentation.GetSegmentation().RemoveSegment("cyst")
    training_case.save(volume, segmentation, cases)
    (source,) = prepare.kits_sources(cases)
    case = source.load()
    assert case.name == "case_00000"
    assert set(np.unique(case.labels)) == ({0, 1, 2, CYST} if cysts else {0, 1, 2})
    assert case.cysts is cysts
    assert ("mark all, or none" in " ".join(case.notes)) is cysts
    tumor = case.grey[case.labels == 2]
    assert np.median(tumor) > np.median(case.grey[case.labels == 1])


def test_corrections_and_segments_of_ones_own_are_in_it(add_ct, logic, cases):
    import slicer
    from wpunet.labels import CYST_LABEL, TUMOR_LABEL
    from WPUNetSegmentLib import training_case

    volume = add_ct("square")
    segmentation = logic.process(volume)
    segments, shape = segmentation.GetSegmentation(), slicer.util.arrayFromVolume(volume).shape
    drawn = np.zeros(shape, np.uint8)
    drawn[22:26, 30:34, 60:64] = 1
    liver_cyst = CYST_LABEL.terminology.replace("64033007^Kidney", "10200004^Liver")
    own = (("a", "second tumor", TUMOR_LABEL.terminology), ("b", "a vein", ""), ("c", "cyst of the liver", liver_cyst))
    for key, name, codes in own:
        segments.AddEmptySegment(key, name, (0, 0, 1))
        segments.GetSegment(key).SetTerminology(codes)
        slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, segmentation, key, volume)
        drawn = np.roll(drawn, 8, 0)
    segments.RemoveSegment("tumor")
    before = np.bincount(training_case.labels_of(segmentation, volume).ravel())
    segments.GetSegment("c").SetTerminology(CYST_LABEL.terminology)  # now it is the kidney's
    labels = np.asarray(nib.load(training_case.save(volume, segmentation, cases) / "segmentation.nii.gz").dataobj)
    assert np.count_nonzero(labels == 2) == 4 * 4 * 4
    assert np.count_nonzero(labels == CYST) == before[CYST] + 4 * 4 * 4
    assert np.count_nonzero(labels == 1) == before[1]


def test_another_case_is_never_touched(add_ct, logic, cases):
    from WPUNetSegmentLib import training_case

    for name, card in (("case_00000", "[]"), ("case_00007", "no JSON")):
        (cases / name).mkdir()
        (cases / name / "case.json").write_text(card)
        (cases / name / "imaging.nii.gz").write_bytes(b"another one's")
    volumes = [add_ct("axial", name) for name in ("first", "second")]
    saved = [training_case.save(volume, logic.process(volume), cases) for volume in volumes]
    assert [case.name for case in saved] == ["case_00008", "case_00009"]
    assert (cases / "case_00007" / "imaging.nii.gz").read_bytes() == b"another one's"


def test_saving_again_updates_ones_own_case(add_ct, logic, cases):
    from WPUNetSegmentLib import training_case

    volume = add_ct()
    segmentation = logic.process(volume)
    case = training_case.save(volume, segmentation, cases)
    segmentation.GetSegmentation().RemoveSegment("tumor")
    assert training_case.save(volume, segmentation, cases) == case
    assert not (np.asarray(nib.load(case / "segmentation.nii.gz").dataobj) == 2).any()
    assert [path.name for path in cases.iterdir()] == ["case_00000"]
    (case / "case.json").write_text(json.dumps({"id": "somebody else's"}))
    assert training_case.save(volume, segmentation, cases).name == "case_00001"


def image(case):
    return np.asarray(nib.load(case / "imaging.nii.gz").dataobj)


def test_another_cts_result_in_the_same_segmentation_is_a_case_of_its_own(add_ct, logic, cases):
    from WPUNetSegmentLib import training_case

    first, second = add_ct("axial", "first"), add_ct("square", "second")
    segmentation = logic.process(first)
    case = training_case.save(first, segmentation, cases)
    before = image(case)
    assert logic.process(second, segmentation) is segmentation
    other = training_case.save(second, segmentation, cases)
    assert (case.name, other.name) == ("case_00000", "case_00001")
    assert np.array_equal(image(case), before)
    logic.undo(segmentation)
    assert training_case.save(first, segmentation, cases) == case
    assert [path.name for path in sorted(cases.iterdir())] == ["case_00000", "case_00001"]


def test_a_clone_of_a_segmentation_is_a_case_of_its_own(add_ct, logic, cases, scene):
    """The module Data clones a node with what it tells: the case of one reader would else replace another one's."""
    from WPUNetSegmentLib import training_case

    volume = add_ct()
    segmentation = logic.process(volume)
    case = training_case.save(volume, segmentation, cases)
    clone = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "second reader")
    clone.CopyContent(segmentation)
    clone.GetSegmentation().RemoveSegment("tumor")
    other = training_case.save(volume, clone, cases)
    assert (case.name, other.name) == ("case_00000", "case_00001")
    assert training_case.save(volume, segmentation, cases) == case
    assert training_case.save(volume, clone, cases) == other
    assert (np.asarray(nib.load(case / "segmentation.nii.gz").dataobj) == 2).any()


def test_each_frame_of_a_sequence_is_a_case_of_its_own(add_ct, logic, cases, in_sequence):
    import slicer
    from WPUNetSegmentLib import training_case

    first, second = add_ct("axial", "first"), add_ct("axial", "second")
    moved = slicer.util.arrayFromVolume(second)
    moved[:] = np.roll(moved, 4, axis=0)
    ct, show = in_sequence(first, second)
    segmentation = logic.process(ct)
    case = training_case.save(ct, segmentation, cases)
    before = image(case)
    show(2)
    with pytest.raises(InputError, match="are of frame 1"):
        training_case.save(ct, segmentation, cases)
    assert [path.name for path in cases.iterdir()] == ["case_00000"]
    other = training_case.save(ct, logic.process(ct, segmentation), cases)
    assert other.name == "case_00001"
    assert np.array_equal(image(case), before)
    show(1)
    ct.SetName("renamed")
    assert training_case.save(ct, logic.process(ct, segmentation), cases) == case


@pytest.mark.parametrize("card", ["of now", "of before"])
def test_a_scene_that_was_saved_goes_on_with_its_case(add_ct, logic, cases, scene, tmp_path, card):
    import slicer
    from WPUNetSegmentLib import training_case

    volume = add_ct("oblique")
    case = training_case.save(volume, logic.process(volume), cases)
    if card == "of before":
        told = json.loads((case / "case.json").read_text())
        (case / "case.json").write_text(json.dumps({"id": told["id"]}))
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"), None)
    scene.Clear(False)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    volume, segmentation = slicer.util.getNode("CT"), slicer.util.getNode("CT kidneys")
    volume.SetName("renamed")
    for _ in range(2):
        assert training_case.save(volume, segmentation, cases) == case


def test_what_cannot_be_saved_is_told(add_ct, logic, cases, scene):
    from WPUNetSegmentLib import training_case

    volume = add_ct()
    segmentation = logic.process(volume)
    with pytest.raises(OutputError, match="no folder; make it"):
        training_case.save(volume, segmentation, cases / "missing")
    for key in list(segmentation.GetSegmentation().GetSegmentIDs()):
        segmentation.GetSegmentation().RemoveSegment(key)
    nodes = scene.GetNumberOfNodes()
    with pytest.raises(InputError, match="No kidney is marked"):
        training_case.save(volume, segmentation, cases)
    assert list(cases.iterdir()) == []
    assert scene.GetNumberOfNodes() == nodes


def test_kidneys_that_are_parenchyma_alone_are_no_case(add_ct, logic, cases):
    from WPUNetSegmentLib import scene as ours
    from WPUNetSegmentLib import training_case

    volume = add_ct()
    segmentation = logic.process(volume)
    told = ours.report(segmentation)
    for by_name in (False, True):  # as the engine's report says, or the names in a file that was loaded
        segmentation.SetAttribute(
            ours.REPORT, None if by_name else json.dumps(told | {"options": {"parenchyma": True}})
        )
        if by_name:
            training_case.save(volume, segmentation, cases)
            segmentation.GetSegmentation().GetSegment("kidney_right").SetName("right kidney, parenchyma alone")
        before = sorted(cases.rglob("*"))
        with pytest.raises(InputError, match="the training takes whole ones"):
            training_case.save(volume, segmentation, cases)
        assert sorted(cases.rglob("*")) == before


def test_a_case_that_could_not_be_written_leaves_nothing(add_ct, logic, cases, monkeypatch):
    from wpunet import training_case as engine
    from WPUNetSegmentLib import training_case

    volume = add_ct()
    segmentation = logic.process(volume)
    whole = engine.write_nifti

    def broken(path, values, affine):
        whole(path, values, affine)
        if path.name.startswith("segmentation"):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine, "write_nifti", broken)
    with pytest.raises(OutputError, match="No space left"):
        training_case.save(volume, segmentation, cases)
    assert list(cases.iterdir()) == []


def test_a_folder_into_which_nobody_may_write_is_told(add_ct, logic, cases, forbid):
    from WPUNetSegmentLib import training_case

    volume = add_ct()
    segmentation = logic.process(volume)
    forbid(cases)
    with pytest.raises(OutputError, match=r"Permission denied\); choose another folder"):
        training_case.save(volume, segmentation, cases)


def test_the_geometry_of_the_tests_is_what_it_says():
    affine, shape = geometry("coronal")
    assert nib.aff2axcodes(affine) == ("L", "S", "P")
    assert shape == (55, 58, 94)
