"""A run over a folder: nothing that befalls one CT, or the summary meanwhile, ends the work on the others."""

import csv
import json
import os
import signal

import numpy as np
import pytest
from wpunet import cli, files, work

from Testing.wpunet import patient


@pytest.fixture
def cts(tmp_path, nifti_bytes):
    folder = tmp_path / "cts"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.nii").write_bytes(nifti_bytes)
    return folder


def statuses(out):
    with (out / "summary.csv").open(encoding="utf-8", newline="") as file:
        return {row["case"]: row["status"] for row in csv.DictReader(file)}


def test_a_summary_that_cannot_be_written_meanwhile_ends_nothing(segment, cts, tmp_path, monkeypatch):
    """As on Windows while somebody looks at it."""
    usual, out = patient.StandIn.segment_file, tmp_path / "r"

    def segment_file(self, path, *others):
        if path.stem == "a":
            (out / "summary.csv").mkdir()
        elif path.stem == "c":
            (out / "summary.csv").rmdir()
        return usual(self, path, *others)

    monkeypatch.setattr(work, "EVERY", 1)
    monkeypatch.setattr(patient.StandIn, "segment_file", segment_file)
    assert segment(cts, "-o", out) == 0
    assert statuses(out) == dict.fromkeys("abc", "done")


def test_ctrl_c_ends_the_run_and_the_summary_tells_what_was_done(segment, cts, tmp_path, monkeypatch):
    usual, out, meanwhile = patient.StandIn.segment_file, tmp_path / "r", []

    def segment_file(self, path, *others):
        if path.stem == "b":
            meanwhile.append(statuses(out))
            (out / "summary.csv").unlink()
            os.kill(os.getpid(), signal.SIGINT)
        return usual(self, path, *others)

    monkeypatch.setattr(work, "EVERY", 1)
    monkeypatch.setattr(patient.StandIn, "segment_file", segment_file)
    assert segment(cts, "-o", out) == 130
    assert meanwhile == [statuses(out)] == [{"a": "done"}]
    monkeypatch.setattr(cli, "_segmenter", lambda _: pytest.fail("no CT needs a network"))
    assert segment(cts / "a.nii", cts / "a.nii", "-o", out) == 0
    assert statuses(out) == {"a": "skipped", str(cts / "a.nii"): "left out"}


def test_a_ct_that_is_gone_the_next_time_fails_alone(segment, cts, tmp_path):
    out, given = tmp_path / "r", [cts / f"{name}.nii" for name in "abc"]
    assert segment(*given[:2], "-o", out) == 0
    given[0].unlink()
    assert segment(*given, "-o", out) == 2
    assert statuses(out) == {"a": "failed", "b": "skipped", "c": "done"}
    assert "a.nii does not exist; check the name." in (out / "summary.csv").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "options", "values"),
    [("k.seg.nrrd", (), [0, 1, 2, 3]), ("k.nrrd", (), [0, 1, 2]), ("k.nii", ("--sides",), [0, 1, 2, 3])],
)
def test_a_segmentation_for_slicer_tells_sides_and_a_label_map_where_it_is_asked(
    segment_blocks, cts, tmp_path, name, options, values
):
    assert segment_blocks(cts / "a.nii", "-o", tmp_path / name, *options) == 0
    assert np.unique(files.read_array(tmp_path / name)[0]).tolist() == values


def test_programs_are_told_which_ct_a_line_is_about(segment, cts, tmp_path, capsys):
    given = [cts / f"{name}.nii" for name in "abc"]
    given[1].write_bytes(b"no CT")
    for failed in ("b", "a"):  # "a" the second time, before any work begins
        assert segment(*given, "-o", tmp_path / "r", "--progress", "json") == 2
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        told = {(line["event"], line["case"]) for line in lines if line["event"] != "summary"}
        assert ("error", failed) in told
        assert {name for _, name in told} == set("abc")
        given[0].unlink(missing_ok=True)
