"""The command line from end to end, on a small phantom: files, exit statuses, messages."""

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from wpunet import bundle, cli

from Testing import phantom


@pytest.fixture(scope="module")
def made():
    return phantom.make(seed=1, shape=(40, 96, 96), spacing=(6.0, 4.0, 4.0))


@pytest.fixture
def ct(made, tmp_path):
    path = tmp_path / "ünder a space" / "ct.nii.gz"
    path.parent.mkdir()
    phantom.save_nifti(made.hu, made.affine, path)
    return path


def run(*arguments):
    return cli.main(["segment", *map(str, arguments), "--device", "cpu"])


def test_all_files_are_written_on_the_grid_of_the_ct(ct, made, tmp_path, capsys):
    names = ("labels.nii.gz", "report.json", "preview.png", "doubt.nii.gz")
    labels, report, preview, doubt = (tmp_path / name for name in names)
    options = ("-o", labels, "--report", report, "--preview", preview, "--uncertainty", doubt)
    assert run(ct, *options) == 0
    source = nib.load(ct)
    for path in (labels, doubt):
        written = nib.load(path)
        assert written.shape == source.shape
        assert np.array_equal(written.affine, source.affine)
    assert set(np.unique(nib.load(labels).dataobj)) <= {0, 1, 2}
    assert 0 <= nib.load(doubt).get_fdata().min() <= nib.load(doubt).get_fdata().max() <= 1
    assert json.loads(report.read_text())["case"] == "ct"
    assert preview.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "For research only" in capsys.readouterr().out


def test_a_folder_is_worked_through_and_finished_cases_are_left_alone(ct, made, tmp_path, capsys):
    folder, out = tmp_path / "many", tmp_path / "out"
    folder.mkdir()
    for name in ("a.nii.gz", "b.nii.gz"):
        (folder / name).write_bytes(ct.read_bytes())
    (folder / "broken.nii.gz").write_text("no CT at all")
    assert run(folder, "-o", out) == cli.EXIT_BAD_INPUT
    made = [f"{c}.{e}" for c in "ab" for e in ("csv", "json", "nii.gz", "png")]
    assert sorted(p.name for p in out.iterdir()) == [*made, "summary.csv"]
    assert "broken.nii.gz" in capsys.readouterr().err
    assert all(row.endswith(",no") for row in (out / "a.csv").read_text().splitlines()[1:])  # corrected by hand
    before = (out / "a.nii.gz").stat().st_mtime_ns
    run(folder, "-o", out)
    assert (out / "a.nii.gz").stat().st_mtime_ns == before
    assert "skipped" in capsys.readouterr().out
    run(folder, "-o", out, "--overwrite")
    assert (out / "a.nii.gz").stat().st_mtime_ns != before


def test_only_the_box_is_looked_at_and_the_report_says_so(ct, tmp_path):
    out, report = tmp_path / "x.nii.gz", tmp_path / "x.json"
    assert run(ct, "-o", out, "--report", report, "--box", "0:96,0:96,0:25") == 0
    whole, boxed = tmp_path / "whole.nii.gz", np.asarray(nib.load(out).dataobj)
    assert run(ct, "-o", whole) == 0
    assert boxed[:, :, :25].any()
    assert not boxed[:, :, 25:].any()
    assert np.asarray(nib.load(whole).dataobj)[:, :, 25:].any()
    assert json.loads(report.read_text())["notes"][0] == "Only the box 0:96,0:96,0:25 of the CT was looked at."


def test_a_tumor_below_the_least_volume_counts_as_kidney(ct, tmp_path):
    counts = {}
    for least in ("0", "1000"):
        out = tmp_path / f"{least}.nii.gz"
        assert run(ct, "-o", out, "--min-tumor-ml", least) == 0
        counts[least] = np.bincount(np.asarray(nib.load(out).dataobj).ravel(), minlength=3)
    assert counts["0"][2] > 0
    assert counts["1000"][2] == 0
    assert counts["1000"][1] == counts["0"][1] + counts["0"][2]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_holds_results_of_one_kind(ct, tmp_path, make_weights, capsys):
    out, asked = tmp_path / "out", ("--parenchyma", "--no-flips", "--min-tumor-ml", "0.5", "--skip-rule", "pair")
    assert run(ct.parent, "-o", out, *asked) == 0
    told = json.loads((out / "ct.json").read_text())
    assert told["options"]["parenchyma"]
    assert "parenchyma" in [one["code"] for one in told["warnings"]]
    assert "parenchyma alone" in (out / "summary.csv").read_text()
    assert run(ct.parent, "-o", out, *asked) == 0
    assert "1 skipped" in capsys.readouterr().out
    before = contents(out)

    def refused(*options):
        assert run(ct.parent, "-o", out, *options) == 2
        assert contents(out) == before
        return capsys.readouterr().err

    told = refused()
    assert "with --parenchyma" in told
    assert "with --no-flips" in told
    assert "min tumor ml 0.5" in told
    assert "with --skip-rule pair" in told
    assert "choose another folder, or --overwrite does them again" in told
    assert "(ct: without --sides)" in refused(*asked, "--sides")
    assert "without --full" in refused(*asked, "--full", "--format", "seg.nrrd")  # reports are of both
    assert f"with the weights {bundle.load().name}" in refused("--weights", make_weights())
    (out / "ct.json").unlink()  # the label map tells, too
    assert run(ct.parent, "-o", out) == 2
    assert "(ct: with --parenchyma)" in capsys.readouterr().err
    assert run(ct.parent, "-o", out, "--sides", "--overwrite") == 0
    assert run(ct.parent, "-o", out) == 2
    assert "(ct: with --sides)" in capsys.readouterr().err
    assert run(ct.parent, "-o", out, "--format", "seg.nrrd") == 0


def test_weights_that_do_not_tell_parenchyma_are_refused_for_it(ct, tmp_path, make_weights, capsys):
    assert run(ct, "-o", tmp_path / "x.nii.gz", "--weights", make_weights(), "--parenchyma") == 2
    assert "random.safetensors do not tell a kidney's parenchyma from its sinus" in capsys.readouterr().err
    assert not (tmp_path / "x.nii.gz").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        *(("--box", text) for text in ("1:2,3:4", "a:b,1:2,3:4", "9:1,0:2,3:4")),
        *(("--min-tumor-ml", text) for text in ("-1", "nan")),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(ct, wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(ct, *wrong)
    assert f"argument {wrong[0]}: '{wrong[1]}' is no" in capsys.readouterr().err


def test_the_same_input_gives_the_same_bytes(ct, tmp_path):
    outputs = [tmp_path / f"{k}.seg.nrrd" for k in range(2)]
    for output in outputs:
        assert run(ct, "-o", output) == 0
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_progress_for_programs_rises_to_one_and_ends_with_the_result(ct, tmp_path, capsys):
    assert run(ct, "-o", tmp_path / "x.nii.gz", "--progress", "json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    fractions = [line["fraction"] for line in lines if line["event"] == "progress"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert lines[-1]["event"] == "result"


def test_ctrl_c_leaves_nothing_behind(ct, tmp_path):
    import signal

    out = tmp_path / "x.nii.gz"
    command = [sys.executable, "-m", "wpunet", "segment", str(ct), "-o", str(out), "--progress", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if '"predict"' in line:
                process.send_signal(signal.SIGINT)
                break
        rest = process.stdout.read()
        assert process.wait(30) == cli.EXIT_CANCELLED
    assert '"Cancelled."' in rest
    assert [p.name for p in tmp_path.iterdir()] == [ct.parent.name]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.nii.gz"], "does not exist"),
        (["CT", "-o", "/nowhere/at/all/x.nii.gz"], "does not exist; create it"),
        (["CT", "-o", "x.png"], "must end in"),
        (["CT", "-o", "results"], "or be that of a folder that is there"),
        (["CT", "--series", "1.2.3"], "is no DICOM, so it has no series; leave --series out"),
        (["CT", "-o", "x.nii", "--fractional"], "--fractional is for a DICOM segmentation"),
        (["absent", "-o", "out"], "absent does not exist"),
        (["CT", "-o", "x.nii", "--uncertainty", "u.mha"], "u.mha, must end in .nii.gz, .nii, .nrrd"),
        (["CT", "-o", "x.nii", "--uncertainty", "u.seg.nrrd"], "u.seg.nrrd, must end in .nii.gz, .nii, .nrrd"),
        (["CT", "-o", "x.nii.gz", "--format", "seg.nrrd"], "contradicts"),
        (["CT", "--device", "cuda:99"], "not here"),
        (["CT", "--device", "abacus"], "Unknown device"),
        (["CT", "--weights", "CT"], "not a WP-UNet weights file"),
        (["CT", "--weights", "none.safetensors"], "cannot be read"),
        (["CT", "--skip-rule", "gravity"], "no rule 'gravity'"),
        (["CT", "CT"], "-o which folder"),
    ],
)
def test_wrong_arguments_end_in_one_line(ct, arguments, says, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = [str(ct) if word == "CT" else word for word in arguments]
    device = [] if "--device" in arguments else ["--device", "cpu"]
    assert cli.main(["segment", *arguments, *device]) == cli.EXIT_BAD_INPUT
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == [ct.parent.name]


def test_info_names_the_weights_and_devices(capsys):
    assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    assert "SHA-256" in text
    assert "device    cpu" in text
