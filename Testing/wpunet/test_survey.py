"""What a survey of a folder finds and leaves out, at a look: nothing that may be a CT is passed over in silence."""

import numpy as np
import pytest
from wpunet import folders
from wpunet.folders import Found

from Testing.wpunet.slices import enhanced, write_series
from Testing.wpunet.test_headers import RAW, meta, nrrd


def left_out(found):
    return {one.path.name: (one.reason, one.lost) for one in found.left_out}


def test_what_lies_below_a_case_of_kits_is_named(tmp_path, nifti_bytes):
    case = tmp_path / "case_00000"
    (case / "segmentations").mkdir(parents=True)
    (case / "followup").mkdir()
    for path in (case / "imaging.nii", case / "followup" / "ct.nii"):
        path.write_bytes(nifti_bytes)
    found = folders.survey(tmp_path)
    assert found.cts == (Found(case / "imaging.nii"),)
    why = ("beside imaging.nii, which is the CT in KiTS19's layout", False)
    assert left_out(found) == {"followup": why, "segmentations": why}


def test_a_ct_whose_path_has_our_name_is_no_result_of_ours(tmp_path):
    (tmp_path / "ct.raw").write_bytes(RAW)
    nrrd(tmp_path / "ct.nhdr", b"", data_file=f"/data/wpunet/../../{tmp_path}/ct.raw")
    assert folders.survey(tmp_path).cts == (Found(tmp_path / "ct.nhdr"),)


@pytest.mark.parametrize("write", [nrrd, meta])
def test_eight_bits_are_no_hu_in_other_formats_too(tmp_path, write):
    ending, kind = {nrrd: ("nrrd", {"type": "unsigned char"}), meta: ("mha", {"ElementType": "MET_UCHAR"})}[write]
    write(tmp_path / f"ct.{ending}")
    write(tmp_path / f"mask.{ending}", RAW[::2], **kind)
    found = folders.survey(tmp_path)
    assert found.cts == (Found(tmp_path / f"ct.{ending}"),)
    assert left_out(found) == {f"mask.{ending}": (folders.NO_HU, False)}


def test_a_gzip_that_is_none_is_told_when_it_is_read(tmp_path, nifti_bytes):
    (tmp_path / "a.nii").write_bytes(nifti_bytes)
    (tmp_path / "b.nii.gz").write_bytes(b"\x1f\x8b and nothing more of the kind")
    assert folders.survey(tmp_path).cts == (Found(tmp_path / "a.nii"), Found(tmp_path / "b.nii.gz"))


def test_three_slices_are_a_ct_be_they_files_or_frames_of_one(tmp_path, nifti_bytes):
    pixels = np.zeros((3, 16, 16), np.int16)
    write_series(tmp_path / "slices", hu=pixels)
    (tmp_path / "frames").mkdir()
    enhanced(pixels).save_as(tmp_path / "frames" / "one", enforce_file_format=True)
    (tmp_path / "m.nii").write_bytes(nifti_bytes)
    assert [one.path.name for one in folders.survey(tmp_path).cts] == ["frames", "m.nii", "slices"]


def test_dicom_that_cannot_be_read_may_have_been_a_ct(tmp_path):
    write_series(tmp_path / "ct", hu=np.zeros((3, 16, 16), np.int16))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "one").write_bytes(b"\0" * 128 + b"DICM")
    assert left_out(folders.survey(tmp_path)) == {"broken": ("DICOM, but no CT slices (not readable)", True)}


def test_a_disc_is_meant_by_its_file_and_a_folder_by_itself_whatever_its_name(tmp_path):
    (tmp_path / "disc").mkdir()
    (tmp_path / "disc" / "dicomdir").touch()
    assert folders.meant(tmp_path / "disc" / "dicomdir") == tmp_path / "disc"
    (tmp_path / "DICOMDIR").mkdir()
    assert folders.meant(tmp_path / "DICOMDIR") == tmp_path / "DICOMDIR"
