"""Several series in one folder, and one series in several folders, as archives and discs write them."""

import json

import numpy as np
import pytest
from wpunet import dicom, files, folders
from wpunet.errors import InputError

from Testing.wpunet import patient
from Testing.wpunet.slices import UID, write_series
from Testing.wpunet.test_folders import put, rows


def test_a_series_in_several_folders_is_one_ct(told, truth, tmp_path):
    folder = tmp_path / "study"
    write_series(folder / "a", lambda ds, k: k < 20 or False)
    write_series(folder / "b", lambda ds, k: k >= 20 or False)
    assert patient.same_patient(told(folder), truth)


def test_series_that_go_on_from_folder_to_folder_are_whole_cts(segment, tmp_path):
    """As archives write them, so many files a folder: one holds the end of a series and the beginning of another."""
    disc, seven = tmp_path / "disc", tmp_path / "disc" / "7"
    for series, where in ((".1", "66666667777"), (".2", "77777888888")):
        for name in "678":
            here = {k for k in range(44) if where[k // 4] == name}
            write_series(disc / name, lambda ds, k, here=here: k in here, series=series, name="{:04d}" + series)
    write_series(seven, lambda ds, k: k < 2, series=".3", name="scout{:04d}")
    assert folders.survey(disc).cts == (folders.Found(disc, UID + ".1"), folders.Found(disc, UID + ".2"))
    write_series(seven, lambda ds, k: k < 9, series=".4", name="{:04d}.4")
    assert folders.Found(seven, UID + ".4") in folders.survey(disc).cts
    assert len(files.read(disc, UID + ".2").hu) == 44
    assert segment(disc, "-o", tmp_path / "out") == 0
    assert set(rows(tmp_path / "out")) == {f"disc_{UID}.1", f"disc_{UID}.2", "7", str(seven)}
    assert rows(tmp_path / "out")[str(seven)]["reason"].startswith("a series of 2 slice(s) beside others; a CT has")


def test_each_series_of_a_folder_has_a_result_where_there_is_a_folder_for_them(segment, tmp_path, capsys):
    study = tmp_path / "study"
    for series in (".1", ".2"):
        write_series(study, series=series, name="{:04d}" + series)
    write_series(study, lambda ds, k: k < 2, series=".3", name="scout{:04d}")
    assert folders.survey(study).cts == (folders.Found(study, UID + ".1"), folders.Found(study, UID + ".2"))
    assert segment(study, "-o", tmp_path / "k.nii.gz") == 2
    told = capsys.readouterr().err
    assert "study holds several series; choose one with --series, or name a folder for all with -o: " in told
    assert f"{UID}.1 (CT, 44 files, abdomen)" in told
    assert f"{UID}.2 (CT, 44 files, abdomen)" in told
    assert segment(study, "-o", study) == 0
    assert set(rows(study)) == {f"study_{UID}.1", f"study_{UID}.2", str(study)}
    assert segment(study, "-o", study) == 0
    assert [name for name, row in rows(study).items() if row["status"] == "skipped"] == [
        f"study_{UID}.1",
        f"study_{UID}.2",
    ]


def test_headers_are_read_once_for_all_series_of_a_folder_and_anew_where_it_has_changed(tmp_path, monkeypatch):
    study, read = tmp_path / "study", []
    for series in (".1", ".2"):
        write_series(study, lambda ds, k: k < 10, series=series, name="{:04d}" + series)
    actual = dicom.read_slices
    monkeypatch.setattr(dicom, "read_slices", lambda path: read.append(path) or actual(path))
    assert [len(files.read(study, UID + series).hu) for series in (".1", ".2")] == [10, 10]
    assert [len(one.slices) for one in dicom.list_series(study, below_too=True)] == [10, 10]
    assert len(read) == 20
    write_series(study, lambda ds, k: k < 12, series=".2", name="{:04d}.2")
    assert len(files.read(study, UID + ".2").hu) == 12
    (study / "0005.1").write_bytes((study / "0005.1").read_bytes()[:-100])
    for _ in range(2):  # what cannot be read is tried again
        read.clear()
        with pytest.raises(InputError, match="cut short"):
            files.read(study, UID + ".1")
        assert len(read) == 22


def test_a_series_without_uid_is_one_of_several(segment, tmp_path, capsys):
    study, out = tmp_path / "study", tmp_path / "out"
    write_series(study)
    write_series(study, lambda ds, k: delattr(ds, "SeriesInstanceUID"), name="none{:04d}")
    assert segment(study) == 2
    assert "without UID (CT, 44 files, abdomen)" in capsys.readouterr().err
    assert segment(study, "-o", out) == 0
    reports = [json.loads((out / f"{name}.json").read_text("utf-8")) for name in rows(out)]
    assert {one["input"]["series_uid"] for one in reports} == {"", f"{UID}.1"}
    for k in range(20):
        (study / f"IM{k:04}.dcm").rename(put(study / "below" / f"{k}", b""))
    assert folders.survey(study).cts == (folders.Found(study, UID + ".1"), folders.Found(study, ""))
    assert len(files.read(study, "").hu) == 44


def test_a_series_that_comes_later_does_not_leave_two_results_of_the_first_in_silence(segment, tmp_path, capsys):
    study, out = tmp_path / "study", tmp_path / "out"
    write_series(study)
    assert segment(study.parent, "-o", out) == 0
    assert set(rows(out)) == {"study"}

    def of_odd_uid(ds, k):
        if k > 3:
            return False
        ds.SeriesInstanceUID = "../CT:2"
        del ds.ImagePositionPatient
        return True

    write_series(study, of_odd_uid, name="odd{:04d}")
    capsys.readouterr()
    assert segment(study.parent, "-o", out) == 2
    found, failed = rows(out), "study_.._CT_2"
    assert {name: row["status"] for name, row in found.items()} == {
        f"study_{UID}.1": "done",
        failed: "failed",
        str(out / "study.nii.gz"): "left out",
    }
    assert "of an earlier run" in found[str(out / "study.nii.gz")]["reason"]
    assert capsys.readouterr().out.count(failed) == 1


def test_a_series_partly_in_a_folder_and_partly_below_it_is_one_ct(told, truth, tmp_path):
    folder = tmp_path / "study"
    write_series(folder, lambda ds, k: k < 20 or False)
    write_series(folder / "more", lambda ds, k: k >= 20 or False)
    assert patient.same_patient(told(folder), truth)


SIDEWAYS = {"scouts": [[1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1]], "two from the front": [[1, 0, 0, 0, 0, -1]] * 2}


def few(kind):
    """How ``write_series`` makes two pictures that are no CT by their kind, or may be what is left of one."""

    def change(ds, k):
        if kind in SIDEWAYS:
            ds.ImageOrientationPatient = SIDEWAYS[kind][k % 2]
        elif kind == "dose sheet":
            del ds.ImagePositionPatient, ds.ImageOrientationPatient
        elif kind == "8 bits":
            ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelData = 8, 8, 7, ds.PixelData[::2]
        elif kind == "in colours":
            ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelData = 3, "RGB", ds.PixelData * 3
        elif kind == "reformat":
            ds.ImageOrientationPatient, ds.ImageType = [1, 0, 0, 0, 0, -1], ["DERIVED", "SECONDARY", "MPR"]

    return change


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("scouts", "2 picture(s) from the front or the side, as scouts are: no CT"),
        ("two from the front", "2 picture(s) from the front or the side, as scouts are: no CT"),
        ("dose sheet", "2 picture(s) without a place in the patient or of 8 bits, as dose sheets and screenshots are"),
        ("8 bits", "2 picture(s) without a place in the patient or of 8 bits, as dose sheets and screenshots are"),
        ("in colours", "DICOM, but no CT slices (pictures in colours)"),
        ("reformat", None),
        ("slices", None),
    ],
)
def test_a_few_pictures_that_are_no_ct_are_no_failure(tmp_path, kind, told):
    """What may be left of a CT is one, in a folder of its own."""
    write_series(tmp_path / "ct", hu=patient.hu()[:5])
    write_series(tmp_path / "few", few(kind), hu=patient.hu()[:2], series=".2")
    found = folders.survey(tmp_path)
    assert found.cts == (folders.Found(tmp_path / "ct"),)
    (out,) = found.left_out
    assert (out.path, out.lost) == (tmp_path / "few", told is None)
    assert out.reason.startswith(told or "a series of 2 slice(s); a CT has at least 3")


def test_three_scouts_are_no_ct_in_a_folder_of_their_own_or_beside_one(told, truth, tmp_path):
    def scout(ds, k):
        ds.ImageOrientationPatient = SIDEWAYS["scouts"][k % 2]
        return k < 3

    write_series(tmp_path / "ct")
    write_series(tmp_path / "ct", scout, series=".2", name="scout{:04d}")
    write_series(tmp_path / "scouts", scout, series=".3")
    found = folders.survey(tmp_path)
    assert found.cts == (folders.Found(tmp_path / "ct", UID + ".1"),)
    assert {(one.path.name, one.reason, one.lost) for one in found.left_out} == {
        (name, "3 picture(s) from the front or the side, as scouts are: no CT", False) for name in ("ct", "scouts")
    }
    assert patient.same_patient(told(tmp_path / "ct"), truth)


def at_one_place(ds, _k):
    ds.ImagePositionPatient = [0, 0, 100]


def test_bolus_tracking_is_no_failure_and_a_ct_whose_places_were_lost_is_one(segment, tmp_path, capsys):
    """Both state one place; what they show tells them apart."""
    cts, g = tmp_path / "cts", np.random.default_rng(0)
    write_series(cts / "ct")
    level = patient.hu()[20] + g.normal(0, 30, (9, *patient.SHAPE[1:]))  # little dose is noisy
    level[:, 42:46, 57:61] += np.arange(9)[:, None, None] * 30  # where the contrast agent comes
    write_series(cts / "tracking", at_one_place, hu=level, series=".2")
    assert segment(cts, "-o", tmp_path / "r") == 0
    row = rows(tmp_path / "r")["tracking"]
    assert (row["status"], row["reason"]) == ("left out", "pictures of one place, as bolus tracking takes them: no CT")
    assert "1 done, 1 left out" in capsys.readouterr().out
    write_series(cts / "lost", at_one_place, hu=patient.hu()[18:25], series=".3")  # 30 mm
    write_series(cts / "copied", at_one_place, hu=level[:1].repeat(3, 0), series=".4")
    for path in (cts / "copied").iterdir():
        path.write_bytes((cts / "copied" / "IM0000.dcm").read_bytes())
    assert segment(cts, "-o", tmp_path / "r") == 2
    found = rows(tmp_path / "r")
    assert {name: row["status"] for name, row in found.items()} == {
        "ct": "skipped",
        "tracking": "left out",
        "lost": "failed",
        "copied": "failed",
    }
    assert "all 7 slices lie at the same position; export the series with its geometry" in found["lost"]["reason"]


def lost(ds, k):
    """The places alone; where the table was, is told still."""
    at_one_place(ds, k)
    ds.SliceLocation = f"{4 * k:.1f}"


def grey(ds, k):
    """As programs export pictures: without a place, in shades of grey from -1000 to 1000 HU."""
    at_one_place(ds, k)
    hu = np.frombuffer(ds.PixelData, np.int16) * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    ds.PixelData = (np.clip((hu + 1000) / 2000, 0, 1) * 255).astype(np.int16).tobytes()
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0


def coloured(ds, k):
    at_one_place(ds, k)
    ds.SamplesPerPixel, ds.PlanarConfiguration, ds.PhotometricInterpretation = 3, 0, "RGB"
    ds.PixelData = np.frombuffer(ds.PixelData, np.int16).repeat(3).tobytes()


@pytest.mark.parametrize("change", [lost, grey, coloured])
def test_what_only_looks_alike_is_no_bolus_tracking(tmp_path, change):
    """As slices of a phantom do: all alike, and at places of their own."""
    level = patient.hu()[20:21].repeat(5, 0)
    assert dicom.is_of_one_place(write_series(tmp_path / "tracking", at_one_place, hu=level))
    assert not dicom.is_of_one_place(write_series(tmp_path / "ct", change, hu=level))


def test_a_copy_that_has_lost_its_places_does_not_take_the_ct_with_it(tmp_path):
    """As an anonymiser leaves it beside the original, under the same UID."""

    def without_place(ds, _k):
        del ds.ImagePositionPatient

    for name in ("a", "c"):
        write_series(tmp_path / "cts" / name, without_place)
    write_series(tmp_path / "cts" / "b")
    assert folders.survey(tmp_path / "cts").cts == tuple(folders.Found(tmp_path / "cts" / name) for name in "abc")
