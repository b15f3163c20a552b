"""``make demo`` with a folder: one CT gets the demo's files, several get a folder of results."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from Testing import demo, phantom


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["demo", "--no-view", *map(str, words)])
    return demo.main()


@pytest.mark.parametrize("count", [1, 2])
def test_a_folder_of_cts(tmp_path, monkeypatch, count):
    made = phantom.make(seed=1, shape=(30, 96, 96), spacing=(6.0, 4.0, 4.0))
    folder, into = tmp_path / "cts", tmp_path / "demo"
    folder.mkdir()
    phantom.save_nifti(made.hu, made.affine, folder / "ct0.nii.gz")
    for k in range(1, count):
        shutil.copy(folder / "ct0.nii.gz", folder / f"ct{k}.nii.gz")
    assert run(monkeypatch, "--ct", folder, "--into", into) == 0
    written = {path.name for path in into.iterdir()}
    if count == 1:
        assert written == {"segmentation.nii.gz", "report.json", "preview.png"}
    else:
        assert {"ct0.nii.gz", "ct1.nii.gz", "summary.csv"} <= written


@pytest.mark.skipif(not shutil.which("make") or sys.platform == "win32", reason="needs make")
def test_where_the_page_cannot_be_installed_the_demo_goes_on_without(tmp_path):
    """As on a Mac with an Intel processor."""
    shutil.copy(Path(__file__).parents[1] / "Makefile", tmp_path)
    for name in ("pyproject.toml", ".venv/bin/python", ".venv/.engine"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    done = subprocess.run(
        ["make", ".venv/.view", "PIP=false"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "no page will be opened" in done.stdout
    assert not (tmp_path / ".venv" / ".view").exists()


def test_a_folder_without_a_ct_is_told_in_a_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    assert run(monkeypatch, "--ct", tmp_path / "empty", "--into", tmp_path / "demo") == 2
    assert "empty holds no CT" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()
