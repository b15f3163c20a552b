"""What became of each CT of a folder: every column, and a few lines that do not grow with the folder."""

import csv

from wpunet import summary
from wpunet.folders import LeftOut
from wpunet.summary import DONE, FAILED, SKIPPED, Row

VOLUMES = {
    ("kidney", "right"): (150.04,),
    ("kidney", "left"): (140.5,),
    ("tumor", "left"): (3.0, 20.25),
    ("tumor", "right"): (1.0,),
    ("cyst", "right"): (7.0, 8.0),
}
REPORT = {
    "seconds": {"read": 1.0, "predict": 2.25},
    "structures": [
        {"kind": kind, "side": side, "volume_ml": ml} for (kind, side), many in VOLUMES.items() for ml in many
    ],
    "warnings": [{"code": "input", "text": "One."}, "Two, of an older report."],
}


def test_each_column_has_what_its_name_says(tmp_path):
    rows = [Row("a", DONE, "", "a.nii.gz", REPORT), Row("b", FAILED, "b: no CT; give one.", lost=True)]
    rows += [Row.of_left_out(LeftOut(tmp_path / "c.zip", "an archive", lost=True))]
    summary.write(tmp_path / "s.csv", rows)
    assert (tmp_path / "s.csv").read_bytes().count(b"\r\n") == (tmp_path / "s.csv").read_bytes().count(b"\n") == 4
    assert summary.is_summary(tmp_path / "s.csv")
    with (tmp_path / "s.csv").open(encoding="utf-8", newline="") as file:
        done, failed, left = csv.DictReader(file)
    assert done == {
        "case": "a",
        "status": "done",
        "reason": "",
        "output": "a.nii.gz",
        "seconds": "3.2",
        "right_kidney_ml": "150.0",
        "left_kidney_ml": "140.5",
        "tumor_ml": "24.2",
        "tumors": "3",
        "cyst_ml": "15.0",
        "cysts": "2",
        "warnings": "One. | Two, of an older report.",
    }
    for row in (failed, left):
        assert {row[name] for name in ("output", "seconds", "warnings", *summary.VOLUMES)} == {""}
    assert (left["case"], left["status"], left["reason"]) == (str(tmp_path / "c.zip"), "left out", "an archive")
    assert rows[2].lost


def test_nothing_found_is_0_ml_and_not_unknown():
    assert Row("a", DONE, report={"structures": []}).cells == ["a", "done", "", "", "", 0, 0, 0, 0, 0, 0, ""]


def test_the_lines_name_failures_once_and_not_all_of_many(tmp_path):
    failed = [Row(f"f{k}", FAILED, f"f{k}: no CT.", lost=True) for k in range(22)]
    left = [Row.of_left_out(LeftOut(tmp_path / name, why)) for name, why in (("x", "a"), ("y", "b"), ("z", "a"))]
    told = summary.lines([*failed, Row("d", DONE), *left, *[Row("s", SKIPPED)] * 2], tmp_path / "s.csv").splitlines()
    assert told[0] == "1 done, 2 skipped, 22 failed, 3 left out"
    assert told[1:21] == [f"  failed: f{k}: no CT." for k in range(20)]
    assert told[21:] == [
        "  and 2 failed more",
        f"  left out: {tmp_path / 'x'} and 1 more: a",
        f"  left out: {tmp_path / 'y'}: b",
        f"  all of them: {tmp_path / 's.csv'}",
    ]
    assert "failed more" not in summary.lines(failed[:20])
