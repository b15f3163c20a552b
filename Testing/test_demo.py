"""``make demo`` with a folder: one CT gets the demo's files, several get a folder of results."""

import shutil
import sys

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


def test_a_folder_without_a_ct_is_told_in_a_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    assert run(monkeypatch, "--ct", tmp_path / "empty", "--into", tmp_path / "demo") == 2
    assert "empty holds no CT" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()
