"""DICOM in and out of the page: a folder, several files, files that are dropped; an object of the same study."""

import shutil

import numpy as np
import pytest

from Testing import phantom
from Testing.view.conftest import SMALL
from Testing.view.visitor import until

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")
ct_series = pytest.importorskip("Testing.wpunet.ct_series")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder of slices of the CT with a tumor."""
    made = phantom.make(**SMALL)
    folder = tmp_path_factory.mktemp("dicom") / "abdomen"
    return ct_series.write(folder, made.hu, SMALL["spacing"])


def test_a_dicom_folder_is_opened_and_saved_as_an_object_of_its_study_which_opens_again(call, study, tmp_path):
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    visitor = call()
    visitor.upload(study, button="Open folder")
    visitor.sees("30 × 116 × 144 voxels")
    assert visitor.page.title().startswith("abdomen")
    visitor.segment()
    path = visitor.save("dcm", tmp_path)
    made, source = pydicom.dcmread(path), pydicom.dcmread(next(study.iterdir()))
    assert made.Modality == "SEG"
    assert made.StudyInstanceUID == source.StudyInstanceUID
    assert {one.SegmentLabel for one in made.SegmentSequence} == set(visitor.rows())
    assert {one.SegmentAlgorithmType for one in made.SegmentSequence} == {"AUTOMATIC"}
    for ending, content in (("csv", b"case,structure"), ("png", b"\x89PNG"), ("uncertainty.nii.gz", b"\x1f\x8b")):
        assert visitor.save(ending, tmp_path).read_bytes().startswith(content), ending
    rows = visitor.rows()
    visitor.upload(path)
    visitor.sees(f"Results, opened from {path.name}")
    until(lambda: len(visitor.rows()) == len(rows), "the segments to be measured")
    assert {name: row[:3] for name, row in visitor.rows().items()} == {name: row[:3] for name, row in rows.items()}
    assert not visitor.complaints


def test_several_dicom_files_are_opened_and_asked_for_a_name(call, study):
    visitor = call()
    visitor.upload(*sorted(study.iterdir()))
    visitor.page.get_by_label("Name of the case").fill("knee-side")
    visitor.button("Use this name").click()
    until(lambda: visitor.page.title().startswith("knee-side"), "the name")
    visitor.sees("30 × 116 × 144 voxels")


def test_a_dropped_folder_is_opened_with_all_that_is_in_it(call, study, tmp_path):
    shutil.copytree(study, tmp_path / "disc" / "abdomen")
    for number in range(110):  # browsers tell a hundred at a time
        (tmp_path / "disc" / "abdomen" / f"letter {number}.txt").write_text("Dear colleague")
    visitor = call()
    visitor.drop(tmp_path / "disc")
    visitor.sees("30 × 116 × 144 voxels")
    assert visitor.page.title().startswith("abdomen")
    visitor.segment()
    visitor.button("Save").click()
    visitor.page.locator('a[href="save/dcm"]').wait_for()
    assert not visitor.complaints


def test_a_dropped_file_is_opened_and_a_plain_file_offers_no_dicom(call, small_ct):
    visitor = call()
    page = visitor.page
    visitor.drop(small_ct)
    until(lambda: page.title().startswith("patient 7"), "the dropped CT")
    visitor.segment()
    visitor.button("Save").click()
    page.locator('a[href="save/nii.gz"]').wait_for()
    assert page.locator('a[href="save/dcm"]').count() == 0
    assert np.isfinite(visitor.volume("left kidney"))
