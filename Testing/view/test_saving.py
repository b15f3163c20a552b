"""What is saved can be used: on the CT's own grid, by the training, under a harmless name."""

import csv
import json
import zipfile
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from wpunet import files, outputs
from wpunet import volume as geometry
from wpunet.errors import InputError, OutputError
from wpunet.labels import CYST, KIDNEY, together
from wpunet_view import saving

from Testing import phantom
from Testing.wpunet.results import result_of


@pytest.mark.parametrize("axes", ["LPS", "RAS", "IPL"])
def test_label_maps_lie_on_the_grid_that_the_ct_came_on(made, labels, tmp_path, axes):
    phantom.save_nifti(made.hu, made.affine, tmp_path / "ct.nii.gz", axes)
    phantom.save_nifti(together(made.labels), made.affine, tmp_path / "truth.nii.gz", axes)
    volume = files.read(tmp_path / "ct.nii.gz")
    saving.write(tmp_path / "saved.nii.gz", result_of(volume, labels))
    saved, truth = nib.load(tmp_path / "saved.nii.gz"), nib.load(tmp_path / "truth.nii.gz")
    assert np.array_equal(saved.affine, truth.affine)
    assert np.array_equal(saved.dataobj, truth.dataobj)


def test_the_segmentation_for_slicer_keeps_the_sides(made, labels, tmp_path):
    volume = geometry.from_array(made.hu, made.affine, "x")
    saving.write(tmp_path / "x.seg.nrrd", result_of(volume, labels))
    header = (tmp_path / "x.seg.nrrd").read_bytes().split(b"\n\n")[0].decode()
    assert "Segment2_Name:=left kidney" in header
    assert np.array_equal(files.read(tmp_path / "x.seg.nrrd").hu, labels)


def test_the_training_reads_the_training_case(made, labels, tmp_path):
    prepare = pytest.importorskip("training.prepare", reason="needs the extra train")
    volume = geometry.from_array(made.hu, made.affine, "patient 7/8")
    saving.write(tmp_path / "x.zip", result_of(volume, labels))
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / "patient_7_8"
    image = nib.load(folder / "imaging.nii.gz")
    assert np.array_equal(image.dataobj, made.hu)  # KiTS19's axes are the engine's: slices first, head to feet
    case = prepare.kits_case("x", folder / "imaging.nii.gz", folder / "segmentation.nii.gz")
    assert (case.labels == 2).sum() == (made.labels == 2).sum()
    assert (case.labels == 1).sum() == (together(made.labels, cysts=True) == 1).sum()
    assert (case.labels == CYST).sum() == (made.labels == CYST).sum() > 0
    assert case.cysts


def test_a_case_without_a_kidney_or_without_room_is_not_saved(made, labels, tmp_path, monkeypatch):
    result = result_of(geometry.from_array(made.hu, made.affine, "x"), labels)
    with pytest.raises(InputError, match="No kidney is marked"):
        saving.write(tmp_path / "x.zip", replace(result, labels=np.where(labels == 2, 2, 0).astype(np.uint8)))

    def full(*_):
        raise RuntimeError("Exception thrown in SimpleITK WriteImage: no room")

    monkeypatch.setattr("SimpleITK.WriteImage", full)
    with pytest.raises(OutputError, match="no room"):
        saving.write(tmp_path / "x.zip", result)
    assert list(tmp_path.iterdir()) == []


def test_parenchyma_alone_is_told_and_is_no_case_for_the_training(made, labels, tmp_path):
    result = result_of(geometry.from_array(made.hu, made.affine, "x"), labels)
    alone = replace(result, report=replace(result.report, options={"parenchyma": True}))
    for name in ("x.seg.nrrd", "x.nii.gz"):
        for one, told in ((result, False), (alone, True)):
            saving.write(tmp_path / name, one)
            assert outputs.holds_parenchyma(tmp_path / name) == told
    with pytest.raises(InputError, match="the training takes whole ones"):
        saving.write(tmp_path / "x.zip", alone)
    assert not (tmp_path / "x.zip").exists()


def test_a_case_that_the_training_would_refuse_is_not_saved(made, labels, tmp_path):
    affine = made.affine.copy()
    affine[:, 2] *= 1.2
    volume = geometry.from_array(made.hu, affine, "x")
    with pytest.raises(InputError, match=r"not square \(5.00 x 6.00 mm\)"):
        saving.write(tmp_path / "x.zip", result_of(volume, labels))
    assert list(tmp_path.iterdir()) == []


def test_the_report_is_json(made, labels, tmp_path):
    volume = geometry.from_array(made.hu, made.affine, "x")
    result = result_of(volume, labels)
    saving.write(tmp_path / "x.json", replace(result, report=replace(result.report, corrected=True)))
    told = json.loads((tmp_path / "x.json").read_text())
    assert told["corrected_by_hand"]
    assert [one["name"] for one in told["structures"]][:2] == ["right kidney", "left kidney"]


def test_table_picture_and_uncertainty_are_saved(made, labels, tmp_path):
    volume = geometry.from_array(made.hu, made.affine, "x")
    result = result_of(volume, labels)
    for kind in saving.KINDS:
        if not kind.dicom:
            saving.write(tmp_path / f"x.{kind.ending}", result)
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert len(lines) == 1 + len(result.report.structures)
    assert np.asarray(nib.load(tmp_path / "x.uncertainty.nii.gz").dataobj).max() == pytest.approx(51 / 255)
    assert np.asarray(nib.load(tmp_path / "x.nii.gz").dataobj).max() == 2  # the label map, not the uncertainty
    assert Image.open(tmp_path / "x.png").size[0] > 500


def test_only_a_file_that_loses_nothing_counts_as_saved(labels):
    with_cyst, without = (np.where(labels == CYST, value, labels) for value in (CYST, KIDNEY))
    kept = [{kind.ending for kind in saving.KINDS if saving.keeps(kind, one)} for one in (with_cyst, without)]
    assert kept == [{"seg.nrrd", "dcm", "zip"}, {"seg.nrrd", "nii.gz", "dcm", "zip"}]


@pytest.mark.parametrize("corrected", [False, True])
def test_the_table_says_whether_it_was_corrected(made, labels, tmp_path, corrected):
    result = result_of(geometry.from_array(made.hu, made.affine, "x"), labels)
    saving.write(tmp_path / "x.csv", replace(result, report=replace(result.report, corrected=corrected)))
    with (tmp_path / "x.csv").open() as file:
        assert {row["corrected_by_hand"] for row in csv.DictReader(file)} == {"yes" if corrected else "no"}


@pytest.mark.parametrize(
    ("case", "name"),
    [("../../etc/passwd", "etc_passwd"), ('a"b\r\nX: y', "a_b_X_y"), ("...", "case"), ("ünder", "nder")],
)
def test_names_of_files_are_harmless(case, name):
    assert saving.file_name(case) == name
