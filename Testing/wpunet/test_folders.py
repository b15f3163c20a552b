"""What people's folders look like: every CT is found, and what is left out is named, at the end and in the status."""

import csv
import gzip
import json
import os
import shutil
import struct
import time

import nibabel as nib
import numpy as np
import pytest
from wpunet import files, folders
from wpunet.errors import InputError

from Testing.wpunet import patient
from Testing.wpunet.slices import one_slice, write_series


@pytest.fixture
def packed(nifti_bytes):
    return gzip.compress(nifti_bytes, 1, mtime=0)


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(folder):
    return [str(one.path.relative_to(folder)) for one in folders.survey(folder).cts]


def rows(out):
    with (out / "summary.csv").open(encoding="utf-8", newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def test_hidden_files_are_left_alone(segment, packed, tmp_path):
    folder = tmp_path / "apple"
    put(folder / "lung_001.nii.gz", packed)
    put(folder / "._lung_001.nii.gz", b"\0\5\26\7\0\2\0\0Mac OS X        ")
    put(folder / "__MACOSX" / "lung_001.nii.gz", packed)
    put(folder / ".cache" / "lung_001.nii.gz", packed)
    assert segment(folder, "-o", tmp_path / "r") == 0
    assert rows(tmp_path / "r").keys() == {"lung_001"}


def test_a_patients_folder_with_a_file_inside(segment, packed, tmp_path):
    folder = tmp_path / "nested"
    for name in ("s1", "s2"):
        put(folder / name / "ct.nii.gz", packed)
        mask = bytearray(gzip.decompress(packed))
        mask[70:72], mask[72:74] = b"\2\0", b"\10\0"  # 8-bit numbers
        put(folder / name / "segmentations" / "liver.nii.gz", gzip.compress(bytes(mask)))
    assert segment(folder, "-o", tmp_path / "r") == 0
    found = rows(tmp_path / "r")
    assert [name for name, row in found.items() if row["status"] == "done"] == ["s1_ct", "s2_ct"]
    assert found["s1_ct"]["right_kidney_ml"] == found["s2_ct"]["right_kidney_ml"] != ""
    assert json.loads((tmp_path / "r" / "s1_ct.json").read_text("utf-8"))["case"] == "s1_ct"
    left = [row for row in found.values() if row["status"] == "left out"]
    assert len(left) == 2
    assert all("8-bit" in row["reason"] for row in left)


def test_files_beside_dicom_folders(segment, packed, tmp_path, capsys):
    folder = tmp_path / "mixed"
    put(folder / "x.nii.gz", packed)
    for name in ("p1", "p2"):
        write_series(folder / name)
    shutil.copytree(folder / "p1", folder / "deep" / "er")
    assert segment(folder, "-o", tmp_path / "r") == 0
    found = rows(tmp_path / "r")
    assert found.keys() == {"x", "p1", "p2", "er"}
    assert len({(row["right_kidney_ml"], row["left_kidney_ml"], row["status"]) for row in found.values()}) == 1
    assert "4 done" in capsys.readouterr().out


def test_a_second_run_goes_on_where_the_first_stopped(segment, nifti_bytes, tmp_path, capsys):
    folder = tmp_path / "again"
    put(folder / "a.nii", nifti_bytes)
    put(folder / "b.nii", nifti_bytes)
    for status in ("done", "skipped"):
        assert segment(folder, "-o", folder) == 0
        found = rows(folder)
        assert {name: row["status"] for name, row in found.items() if row["status"] != "left out"} == dict.fromkeys(
            "ab", status
        )
        assert found["a"]["right_kidney_ml"] != ""
    (folder / "b.nii.gz").unlink()
    assert segment(folder, "-o", folder) == 0
    assert (rows(folder)["a"]["status"], rows(folder)["b"]["status"]) == ("skipped", "done")


def test_another_ct_of_the_same_name_is_not_taken_for_finished(segment, nifti_bytes, tmp_path):
    results, today, moved = tmp_path / "r", tmp_path / "monday", tmp_path / "moved"
    other = bytearray(nifti_bytes)
    other[268:272] = struct.pack("<f", struct.unpack("<f", nifti_bytes[268:272])[0] + 7)  # a patient who lay elsewhere
    other[292:296] = struct.pack("<f", struct.unpack("<f", nifti_bytes[292:296])[0] + 7)
    put(today / "ct.nii", nifti_bytes)

    def status(folder, *options):
        code = segment(folder, "-o", results, *options)
        row = rows(results)["ct"]
        assert code == (2 if row["status"] == "failed" else 0)
        return row["status"], row["reason"]

    assert status(today)[0] == "done"
    today.rename(moved)  # the same CT at another place, with another time
    os.utime(moved / "ct.nii", (time.time() + 60,) * 2)
    assert status(moved)[0] == "skipped"
    put(tmp_path / "tuesday" / "ct.nii", other)
    failed, reason = status(tmp_path / "tuesday")
    assert failed == "failed"
    assert reason.endswith(
        "is of another CT (that of an earlier run); choose another folder, or --overwrite does it again."
    )
    assert status(tmp_path / "tuesday", "--format", "seg.nrrd")[0] == "failed"  # the report would be of another CT
    put(moved / "ct.nii", other)  # in the place of the first
    os.utime(moved / "ct.nii", (time.time() + 60,) * 2)
    assert status(moved)[0] == "failed"
    assert status(moved, "--overwrite")[0] == "done"
    assert status(moved)[0] == "skipped"
    put(moved / "ct.nii", b"no CT any more")
    os.utime(moved / "ct.nii", (time.time() + 60,) * 2)
    assert "not a NIfTI image" in status(moved)[1]


def test_what_fails_and_what_is_left_out_is_named_in_words_and_status(segment, packed, tmp_path, capsys):
    folder = tmp_path / "cts"
    put(folder / "good.nii.gz", packed)
    put(folder / "broken.nii.gz", b"no CT")
    put(folder / "more.zip", b"PK")
    put(folder / "notes.txt", b"hello")
    write_series(folder / "scout", lambda ds, k: k < 2 or False)
    assert segment(folder, "-o", tmp_path / "r") == 2
    found = rows(tmp_path / "r")
    told = capsys.readouterr().out
    assert found["good"]["status"] == "done"
    assert "not a NIfTI image" in found["broken"]["reason"]
    assert "1 done, 1 failed, 2 left out" in told
    assert "more.zip: an archive: unpack it first" in told
    assert "scout: a series of 2 slice(s)" in told


def test_a_patient_disc(segment, told, truth, tmp_path):
    disc = tmp_path / "disc"
    write_series(disc / "DICOM" / "PA0" / "SE0")
    put(disc / "DICOMDIR", b"\0" * 128 + b"DICM")
    put(disc / "VIEWER" / "viewer.exe", b"MZ")
    put(disc / "index.html", b"<html>")
    assert patient.same_patient(told(disc), truth)
    assert patient.same_patient(told(disc / "DICOMDIR"), truth)
    shutil.copytree(disc, tmp_path / "discs" / "patient1")
    shutil.copytree(disc, tmp_path / "discs" / "patient2")
    assert segment(tmp_path / "discs", "-o", tmp_path / "r") == 0
    assert len(rows(tmp_path / "r")) == 2


def test_pictures_and_reports_that_sort_first(told, truth, tmp_path):
    from Testing.wpunet.test_dicom_kinds import without_picture

    folder = write_series(tmp_path / "series")
    for k in range(60):
        put(folder / f"A{k:03}.jpg", b"\xff\xd8\xff\xe0")
    for k in range(5):
        without_picture("SR").save_as(folder / f"A{k}.dcm", enforce_file_format=True)
    assert patient.same_patient(told(folder), truth)


def test_a_folder_of_another_kind_is_no_ct(tmp_path):
    write_series(tmp_path / "mr", lambda ds, k: setattr(ds, "Modality", "MR"))
    with pytest.raises(InputError, match=r"holds no CT: .* mr, DICOM, but no CT slices \(MR\)"):
        folders.survey(tmp_path)


def test_several_cts_need_a_folder(segment, packed, tmp_path, capsys):
    put(tmp_path / "cts" / "a.nii.gz", packed)
    put(tmp_path / "cts" / "b.nii.gz", packed)
    assert segment(tmp_path / "cts", "-o", tmp_path / "k.nii.gz") == 2
    assert segment(tmp_path / "cts", "-o", tmp_path / "none" / "r") == 2
    told = capsys.readouterr().err
    assert "There are 2 CTs, so -o must name a folder" in told
    assert f"the folder {tmp_path / 'none'} does not exist; create it first." in told
    assert not (tmp_path / "k.nii.gz").exists()


def test_what_may_not_be_opened_is_told(segment, packed, as_nobody, capsys):
    folder, nobody = as_nobody
    put(folder / "cts" / "a.nii.gz", packed)
    secret = put(folder / "cts" / "b.nii.gz", packed)
    closed = put(folder / "cts" / "closed" / "c.nii.gz", packed).parent
    assert segment(folder / "cts", "-o", folder / "first") == 0  # imports what nobody may not read
    capsys.readouterr()
    secret.chmod(0)
    closed.chmod(0)
    with nobody():
        assert segment(folder / "cts", "-o", folder / "r") == 2
        told = capsys.readouterr().out
        found = rows(folder / "r")
        assert segment(closed / "c.nii.gz", "-o", folder / "c.nii.gz") == 2
    closed.chmod(0o755)
    assert found["a"]["status"] == "done"
    assert found["b"]["reason"].endswith("b.nii.gz cannot be read (Permission denied); check its rights.")
    assert found[str(closed)]["reason"] == "cannot be opened (Permission denied)"
    assert "1 done, 1 failed, 1 left out" in told
    assert "c.nii.gz cannot be opened (Permission denied); check its rights." in capsys.readouterr().err


def test_links_in_a_circle_are_walked_once(packed, tmp_path):
    put(tmp_path / "cts" / "p" / "a.nii.gz", packed)
    (tmp_path / "cts" / "p" / "round").symlink_to(tmp_path / "cts")
    assert names(tmp_path / "cts") == ["p/a.nii.gz"]


def test_a_ct_given_twice_is_done_once(segment, packed, tmp_path):
    ct = put(tmp_path / "cts" / "a.nii.gz", packed)
    put(tmp_path / "cts" / "a.nii", gzip.decompress(packed))
    assert segment(tmp_path / "cts", ct, "-o", tmp_path / "r") == 0
    found = rows(tmp_path / "r")
    assert {name for name, row in found.items() if row["status"] == "done"} == {"a.nii", "a.nii.gz"}
    assert found[str(ct)]["reason"] == "given twice"


def test_one_slice_files_are_read_as_their_folder_says(tmp_path):
    one_slice(__import__("Testing.wpunet.patient").wpunet.patient.hu()[0], 0).save_as(
        tmp_path / "a.dcm", enforce_file_format=True
    )
    with pytest.raises(InputError, match=r"a series of 1 slice"):
        folders.survey(tmp_path)


def left_out(folder):
    """What a survey leaves out, by name: its reason, and whether it may be a CT."""
    return {one.path.name: (one.reason, one.lost) for one in folders.survey(folder).left_out}


def test_a_link_that_leads_nowhere_may_have_led_to_a_ct(packed, tmp_path):
    for name in ("b.nii.gz", "c.NRRD", "I0001", "d.dcm", "notes.txt", "e.json"):
        (tmp_path / name).symlink_to(tmp_path / ".git" / "annex" / name)
    (tmp_path / "round").symlink_to(tmp_path / "round")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"holds no CT: .* Left out: I0001, cannot be opened \(No such file"):
        folders.survey(tmp_path)
    put(tmp_path / "a.nii.gz", packed)
    assert names(tmp_path) == ["a.nii.gz"]
    told = left_out(tmp_path)
    assert told.keys() == {"b.nii.gz", "c.NRRD", "I0001", "d.dcm", "round"}
    assert all(lost and "cannot be opened" in reason for reason, lost in told.values())


def test_slices_that_may_not_be_opened_are_told(as_nobody):
    top, nobody = as_nobody
    folder = write_series(top / "series", name="IM{:04d}")
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0)
    with nobody(), pytest.raises(InputError, match=r"IM0000, cannot be opened \(Permission denied\).* and 41 more"):
        folders.survey(folder)


def test_a_slice_behind_a_link_that_leads_nowhere_is_told_by_its_series(tmp_path):

    folder = write_series(tmp_path / "cts" / "p1", name="IM{:04d}")
    for k in (42, 43):  # at an end, where they leave no gap
        path = folder / f"IM{k:04d}"
        path.unlink()
        path.symlink_to(tmp_path / "gone" / path.name)
    assert [one.path for one in folders.survey(tmp_path / "cts").cts] == [folder]
    warnings = files.read(folder).warnings
    assert "2 DICOM file(s) could not be read and were left out (IM0042: it cannot be opened (No such" in warnings[0]
    path = folder / "IM0020"
    path.unlink()
    path.symlink_to(tmp_path / "gone" / path.name)
    with pytest.raises(
        InputError, match=r"missing or unevenly.*3 DICOM file\(s\) could not be read: IM0020: it cannot"
    ):
        files.read(folder)


def test_a_series_of_links_that_lead_nowhere_is_named(tmp_path):
    for k in range(30):
        (tmp_path / f"IM{k:04d}").symlink_to(tmp_path / "gone" / f"{k}")
    with pytest.raises(InputError, match=r"Left out: IM0000, cannot be opened .* and 27 more"):
        folders.survey(tmp_path)


def test_what_looks_like_an_image_by_its_name_is_not_left_out_in_silence(packed, tmp_path):
    put(tmp_path / "a.nii.gz", packed)
    lost = (
        *(
            "b.nii (1).gz",
            "c.nii.gz.part",
            "d.nii.gz~",
            "e.dcm.gz",
            "f.gz",
            "g.gipl",
            "h.vtk",
            "i.mnc",
            "j.tif",
            "k.dcm",
        ),
        *("l.nrrd.bak", "m.mha.1", "o.TIFF", "p.tar.gz", "q.mif.gz", "r.img", "s.nii.gz.crdownload", "t.nii_old"),
    )
    silent = (
        "1.png",
        "2.jpg",
        "3.csv",
        "4.json",
        "5.pdf",
        "6.txt",
        "7.nii.gz.json",
        "8.nii.md5",
        "9.csv.gz",
        "0.dcm.txt",
    )
    for name in (*lost, *silent, "README"):
        put(tmp_path / name, b"something else, which is no image at all; " * 9)
    told = left_out(tmp_path)
    assert told.keys() == set(lost)
    assert all(lost and reason for reason, lost in told.values())
    assert "rename it" in told["b.nii (1).gz"][0]
    assert "unpack it" in told["e.dcm.gz"][0]
    assert "no DICOM" in told["k.dcm"][0]


def test_files_that_a_header_names_are_its_own(packed, tmp_path):
    from Testing.wpunet.test_headers import RAW, nrrd

    put(tmp_path / "a.nii.gz", packed)
    put(tmp_path / "voxels.raw.gz", gzip.compress(RAW))
    nrrd(tmp_path / "b.nhdr", b"", encoding="gzip", data_file="voxels.raw.gz")
    assert names(tmp_path) == ["a.nii.gz", "b.nhdr"]
    assert left_out(tmp_path) == {}


def test_results_and_masks_of_odd_names_are_no_cts(segment, packed, tmp_path):
    ct = put(tmp_path / "cts" / "a.nii.gz", packed)
    assert segment(ct, "-o", tmp_path / "k.nii.gz") == 0
    put(tmp_path / "cts" / "k.nii (1).gz", (tmp_path / "k.nii.gz").read_bytes())
    assert left_out(tmp_path / "cts") == {"k.nii (1).gz": ("a result of this program", False)}


@pytest.mark.parametrize("kind", ["Nifti1Image", "Nifti2Image"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", ["u1", "i1"])
@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_a_mask_of_eight_bits_is_no_ct(packed, tmp_path, kind, order, dtype, ending):
    put(tmp_path / "a.nii.gz", packed)
    one = getattr(nib, kind)
    header = one.header_class(endianness=order)
    header.set_data_dtype(dtype)
    nib.save(one(np.ones((9, 8, 7), dtype), np.diag([2.0, 3, 4, 1]), header), tmp_path / f"mask.{ending}")
    scaled = one(np.ones((9, 8, 7), dtype), np.diag([2.0, 3, 4, 1]), header)
    scaled.header.set_slope_inter(8.0, -1000.0)
    nib.save(scaled, tmp_path / f"scaled.{ending}")
    assert names(tmp_path) == ["a.nii.gz", f"scaled.{ending}"]
    assert left_out(tmp_path) == {f"mask.{ending}": (folders.NO_HU, False)}


def test_labels_of_sixteen_bits_are_no_failure_and_a_ct_of_few_numbers_is_one(segment, packed, tmp_path):
    put(tmp_path / "cts" / "a.nii.gz", packed)
    hu, affine = patient.hu().T, np.diag([3.0, 3, 5, 1])
    window = np.clip((hu + 160) / 4, 0, 99) + np.random.default_rng(0).integers(0, 9, hu.shape)
    for name, values in {
        "labels": np.digitize(hu, [20, 60, 120]),
        "many": np.indices(hu.shape)[0] // 9 * (hu > 0) * 9,
        "window": window,
        "nothing": hu * 0,
    }.items():
        nib.save(nib.Nifti1Image(values.astype(np.int16), affine), tmp_path / "cts" / f"{name}.nii.gz")
    assert segment(tmp_path / "cts", "-o", tmp_path / "r") == 2
    found = rows(tmp_path / "r")
    assert {name: row["status"] for name, row in found.items()} == {
        "a": "done",
        "labels": "left out",
        "many": "left out",
        "window": "failed",
        "nothing": "failed",
    }
    assert found["labels"]["reason"] == "labels by its numbers: a mask, no HU"
    for name in ("window", "nothing"):
        (tmp_path / "cts" / f"{name}.nii.gz").unlink()
    assert segment(tmp_path / "cts", "-o", tmp_path / "r") == 0


@pytest.mark.parametrize("name", ["k.dcm", "IM0044.dcm"])
def test_a_file_named_dcm_among_slices_that_is_no_dicom_is_told(tmp_path, name):

    folder = write_series(tmp_path / "p1")
    put(folder / name, b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n" * 3)
    assert (
        f"1 DICOM file(s) could not be read and were left out ({name}: it is no DICOM" in files.read(folder).warnings[0]
    )
