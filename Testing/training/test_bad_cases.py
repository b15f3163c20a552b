"""Cases that cannot be trained on are left out with the reason, and what looks wrong is told."""

import json
import re

import numpy as np
import pytest
import SimpleITK as sitk
from wpunet import files
from wpunet.labels import CYST, PARENCHYMA, SIDES, WITH_CYSTS
from wpunet.outputs import MARK

from training import prepare
from training.data import case_names, read_prepared

from .conftest import prepare_kits as run
from .conftest import rewrite, save_case


def _shorter(labels, affine):
    return labels[:-1], affine


def _elsewhere(labels, affine):
    affine[2, 3] += 20
    return labels, affine


def _other_labels(labels, affine):
    labels[labels == 2] = 7
    return labels, affine


def _same(labels, affine):
    return labels, affine


def _finer(labels, affine):
    """By less than the tolerance once was, and yet by a voxel or more at the far end."""
    return labels, affine - 0.04 * np.sign(affine) * (np.abs(affine) > 1) * [1, 1, 1, 0]


def _tumor_alone(labels, affine):
    return np.where(labels == 2, labels, 0), affine


def _shares(labels, affine):
    return (labels * 0.75).astype(np.float32), affine


def _empty(labels, affine):
    return labels * 0, affine


def _grey_values(hu, affine):
    return np.clip(hu, 0, 255).astype(np.uint8), affine


def _oblong(array, affine):
    affine[:, 1] *= 1.5
    return array, affine


BAD = {
    "no mask": ("segmentation", lambda path: path.unlink(), "does not exist: a case needs its mask"),
    "no image": ("imaging", lambda path: path.unlink(), "does not exist: a case needs its image"),
    "other shape": ("segmentation", lambda path: rewrite(path, _shorter), "voxels, the CT 100 x 84 x 24"),
    "elsewhere": ("segmentation", lambda path: rewrite(path, _elsewhere), "lies 20 mm away from the CT"),
    "other spacing": ("segmentation", lambda path: rewrite(path, _finer), "has voxels of 3.96 x 3.96 x 7.96 mm"),
    "other labels": ("segmentation", lambda path: rewrite(path, _other_labels), "holds the values 0, 1, 7, which"),
    "shares": ("segmentation", lambda path: rewrite(path, _shares), "holds the values 0, 0.75, 1.5, which"),
    "a tumor alone": ("segmentation", lambda path: rewrite(path, _tumor_alone), "mark whole kidneys"),
    "parenchyma": ("segmentation", lambda path: rewrite(path, _same, PARENCHYMA), "their parenchyma alone here"),
    "empty mask": ("segmentation", lambda path: rewrite(path, _empty), "no kidney is marked"),
    "not HU": ("imaging", lambda path: rewrite(path, _grey_values), "not HU"),
    "cut short": ("imaging", lambda path: path.write_bytes(path.read_bytes()[:5000]), "cut short or damaged"),
    "no bytes": ("segmentation", lambda path: path.write_bytes(b""), "is empty (0 bytes)"),
    "text": ("imaging", lambda path: path.write_text("not found"), "is not a NIfTI image"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_case_in_the_middle_is_left_out_with_its_reason(tmp_path, kind):
    name, spoil, reason = BAD[kind]
    for number in range(3):
        save_case(tmp_path / "kits" / f"case_{number:05}", seed=number)
    spoil(tmp_path / "kits" / "case_00001" / f"{name}.nii.gz")
    report = run(tmp_path / "kits", tmp_path / "out")
    assert list(report["prepared"]) == ["case_00000", "case_00002"]
    ((which, why),) = report["left_out"].items()
    assert "case_00001" in which
    assert reason in why
    assert json.loads((tmp_path / "out" / "prepared.json").read_text()) == report
    assert case_names(tmp_path / "out", "labelled") == ["case_00000", "case_00002"]


def test_oblong_pixels_are_refused(tmp_path):
    save_case(tmp_path / "kits" / "oblong", seed=1)
    for name in ("imaging", "segmentation"):
        rewrite(tmp_path / "kits" / "oblong" / f"{name}.nii.gz", _oblong)
    (why,) = run(tmp_path / "kits", tmp_path / "out")["left_out"].values()
    assert "pixels of 6.00 x 4.00 mm" in why


def test_an_oblique_case_is_brought_upright_with_its_labels(tmp_path):
    made = save_case(tmp_path / "kits" / "oblique", seed=2, tumor_mm=60, cysts=2)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    for name in ("imaging", "segmentation"):
        rewrite(tmp_path / "kits" / "oblique" / f"{name}.nii.gz", lambda array, affine: (array, turn @ affine))
    assert run(tmp_path / "kits", tmp_path / "out")["left_out"] == {}
    (case,) = read_prepared(tmp_path / "out", "labelled")
    for value in (1, 2, CYST):  # as numbers in between they would be each other's rims
        assert (case.labels == value).sum() == pytest.approx((made.labels == value).sum(), rel=0.08)


def test_a_case_of_another_program_is_read_as_it_is(tmp_path):
    """A CT as NRRD and a segmentation of 3D Slicer, whose values are others than its names tell."""
    folder = tmp_path / "kits" / "Müller 1"
    made = save_case(folder, seed=2, tumor_mm=60, cysts=2)
    ct = files.read(folder / "imaging.nii.gz")
    assert run(tmp_path / "kits", tmp_path / "out")["left_out"] == {}  # and yet the second mask is noticed afterwards
    sitk.WriteImage(sitk.ReadImage(str(folder / "imaging.nii.gz")), str(folder / "imaging.nrrd"))
    files.write_labels(folder / "segmentation.seg.nrrd", made.labels, ct, WITH_CYSTS)
    for name, what in (("imaging", "image"), ("segmentation", "mask")):
        assert f"which one is the {what}? Leave one" in str(run(tmp_path / "kits", tmp_path / "out")["left_out"])
        (folder / f"{name}.nii.gz").unlink()
    assert run(tmp_path / "kits", tmp_path / "out")["left_out"] == {}
    (case,) = read_prepared(tmp_path / "out", "labelled")
    assert case.cysts
    for value in (1, 2, CYST):
        assert (case.labels == value).sum() == (made.labels == value).sum()


def test_left_kidneys_are_no_cysts_of_kits23(tmp_path):
    save_case(tmp_path / "kits" / "mine", seed=1)
    mask = tmp_path / "kits" / "mine" / "segmentation.nii.gz"

    def sided(labels, affine):
        labels[50:][labels[50:] == 1] = 3
        return labels, affine

    rewrite(mask, sided)
    for description, told in (("", 0), (f"{MARK}: labels, {SIDES}", 1)):
        rewrite(mask, _same, description)
        report = prepare.prepare(list(prepare.kits_sources(tmp_path / "kits", kits23=True)), tmp_path / "out")
        assert str(report["left_out"]).count("tells left kidneys, which are no cysts; give it with --kits") == told
        assert run(tmp_path / "kits", tmp_path / "out")["left_out"] == {}


def test_a_mask_beside_its_kidneys_is_told_whenever_it_is_prepared(tmp_path, command, capsys):
    save_case(tmp_path / "kits" / "good", seed=1)
    save_case(tmp_path / "kits" / "moved", seed=2)
    rewrite(
        tmp_path / "kits" / "moved" / "segmentation.nii.gz", lambda labels, affine: (np.roll(labels, 25, 1), affine)
    )
    save_case(tmp_path / "kits" / "one", seed=3, kidneys=("right",))
    (tmp_path / "kits" / "other program").mkdir()
    (tmp_path / "kits" / "other program" / "ct.nrrd").write_bytes(b"NRRD0004")
    for _ in range(2):
        assert command(prepare, "--output", tmp_path / "out", "--kits", tmp_path / "kits") == 0
        said = capsys.readouterr().out
        assert re.search(r"look at moved: .*Of what is marked \d+% is fat, air or bone", said)
        assert said.count("Of what is marked") == 1
        assert "left out other program" in said
        assert re.search(r"look at one: .*Only one kidney is marked", said)
        assert said.count("Only one kidney") == 1
        assert "3 cases of 3 patients prepared" in said


def test_a_folder_named_as_the_mask_is_no_second_one(tmp_path):
    """A folder may be the image, of DICOM slices, but not the mask."""
    save_case(tmp_path / "kits" / "case_00001", seed=1)
    (tmp_path / "kits" / "case_00001" / "segmentation").mkdir()
    assert not run(tmp_path / "kits", tmp_path / "out")["left_out"]
