"""Nothing that a user has is lost: no output falls on an input, on another output, or on what is no plain file."""

import gzip
import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from wpunet import outputs
from wpunet.errors import OutputError

from Testing.wpunet import patient


@pytest.fixture
def cts(tmp_path, nifti_bytes):
    folder = tmp_path / "cts"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}.nii.gz").write_bytes(gzip.compress(nifti_bytes, 1, mtime=0))
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def refused(segment, capsys, *arguments):
    """The one line with which a call ends that must not run."""
    capsys.readouterr()
    assert segment(*arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


@pytest.mark.parametrize("option", ["--uncertainty", "--report", "--preview", "-o"])
@pytest.mark.parametrize("how", ["itself", "link", "hard link", "other spelling"])
def test_no_output_is_the_ct(segment, ct, tmp_path, capsys, option, how):
    before, other = ct.read_bytes(), tmp_path / "other.nii"
    if how == "link":
        other.symlink_to(ct)
    elif how == "hard link":
        os.link(ct, other)
    else:
        other = ct if how == "itself" else tmp_path / "cts" / ".." / "ct.nii"
        (tmp_path / "cts").mkdir()
    outs = ["-o", other] if option == "-o" else ["-o", tmp_path / "k.nii.gz", option, other]
    assert "would overwrite what is read" in refused(segment, capsys, ct, *outs)
    assert ct.read_bytes() == before
    assert not (tmp_path / "k.nii.gz").exists()


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_a_folder_of_cts_does_not_become_its_own_result(segment, cts, capsys, overwrite, monkeypatch):
    before = contents(cts)
    assert "would overwrite" in refused(segment, capsys, cts, "-o", cts, *overwrite)
    monkeypatch.chdir(cts)
    assert "would overwrite" in refused(segment, capsys, "a.nii.gz", "b.nii.gz", "-o", ".", *overwrite)
    assert contents(cts) == before


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_what_somebody_else_has_made_is_no_result(segment, cts, tmp_path, capsys, overwrite):
    backup = tmp_path / "backup"
    shutil.copytree(cts, backup)
    before = contents(backup)
    assert "is no result of this program" in refused(segment, capsys, cts, "-o", backup, *overwrite)
    assert contents(backup) == before
    for path in backup.iterdir():
        path.unlink()
    (backup / "a.json").write_text('{"Modality": "CT"}')  # as dcm2niix leaves beside a CT
    assert "a.json is there and is no result" in refused(segment, capsys, cts, "-o", backup, *overwrite)
    (backup / "a.json").unlink()
    (backup / "summary.csv").write_text("patient,age\n")
    assert "summary.csv is there" in refused(segment, capsys, cts, "-o", backup, *overwrite)


def test_two_outputs_are_two_files(segment, ct, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "Two results" in refused(segment, capsys, ct, "-o", "k.nii.gz", "--uncertainty", tmp_path / "k.nii.gz")
    (tmp_path / "r.json").symlink_to(tmp_path / "p.png")
    assert "Two results" in refused(segment, capsys, ct, "-o", "k.nii.gz", "--report", "r.json", "--preview", "p.png")


def test_the_voxels_of_a_detached_header_are_an_input(segment, ct, tmp_path, capsys):
    import SimpleITK as sitk

    sitk.WriteImage(sitk.ReadImage(str(ct)), str(tmp_path / "d.mhd"))
    before = (tmp_path / "d.raw").read_bytes()
    line = refused(segment, capsys, tmp_path / "d.mhd", "-o", tmp_path / "k.nii.gz", "--report", tmp_path / "d.raw")
    assert "would overwrite" in line
    assert (tmp_path / "d.raw").read_bytes() == before


def test_a_slice_of_the_series_is_an_input(segment, tmp_path, capsys):
    from Testing.wpunet.slices import write_series

    folder = write_series(tmp_path / "series")
    before = contents(folder)
    line = refused(segment, capsys, folder, "-o", tmp_path / "k.nii.gz", "--report", folder / "IM0003.dcm")
    assert "would overwrite" in line
    assert contents(folder) == before
    assert segment(folder, "-o", folder / "k.nii.gz") == 0  # a new name beside the slices is nobody's
    assert segment(folder, "-o", folder / "k.nii.gz") == 0  # and is ours the second time


def test_a_link_stays_and_its_target_gets_the_result(segment, ct, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link, target = tmp_path / "k.nii.gz", tmp_path / "elsewhere" / "target.nii.gz"
    for _ in range(2):  # first the link leads nowhere yet
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert segment(ct, "-o", link) == 0
        assert link.is_symlink()
        assert outputs.is_ours(target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ct.nii", "elsewhere", "k.nii.gz"]


def test_a_pipe_is_written_through(segment, ct, tmp_path):
    pipe, got = tmp_path / "report", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    assert segment(ct, "-o", tmp_path / "k.nii.gz", "--report", pipe, "--preview", "/dev/null") == 0
    reader.join(20)
    assert pipe.is_fifo()
    assert json.loads(got[0])["structures"]
    assert not Path("/dev/null").is_file()


def test_a_socket_is_refused(segment, ct, tmp_path, capsys, monkeypatch):
    import socket

    monkeypatch.chdir(tmp_path)  # its name must be short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("s.json")
        assert "no plain file" in refused(segment, capsys, ct, "-o", tmp_path / "k.nii.gz", "--report", "s.json")
        assert (tmp_path / "s.json").is_socket()


def test_every_result_is_known_as_ours(segment, ct, tmp_path):
    names = ("k.nii.gz", "k.nii", "k.seg.nrrd", "k.nrrd")
    for name in names:
        assert segment(ct, "-o", tmp_path / name, "--uncertainty", tmp_path / f"u{name.replace('.seg', '')}") == 0
    assert (
        segment(ct, "-o", tmp_path / "o.nii.gz", "--report", tmp_path / "r.json", "--preview", tmp_path / "p.png") == 0
    )
    made = [path for path in tmp_path.iterdir() if path != ct]
    assert len(made) == 10
    assert all(outputs.is_ours(path) for path in made)
    assert not outputs.is_ours(ct)


def test_what_a_killed_run_left_half_written_is_tidied_up(segment, cts, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / f"{outputs.TEMPORARY}12345678_a.nii.gz").write_bytes(b"half")
    (out / f"{outputs.TEMPORARY}12345678_another.nii.gz").write_bytes(b"of another run")
    assert segment(cts, "-o", out) == 0
    left = [path.name for path in out.iterdir() if path.name.startswith(outputs.TEMPORARY)]
    assert left == [f"{outputs.TEMPORARY}12345678_another.nii.gz"]
    report = json.loads((out / "a.json").read_text())
    assert patient.measures(report).keys() == {"right kidney", "left kidney", "right tumor"}


def test_a_folder_is_tried_and_not_asked_whether_it_may_be_written(tmp_path, monkeypatch):
    """Windows says yes of every one."""

    def refused(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(outputs.os, "access", lambda *_: True)
    monkeypatch.setattr(outputs.tempfile, "TemporaryFile", refused)
    with pytest.raises(OutputError, match="no right to write into"):
        outputs.require_writable(tmp_path / "kidneys.nii.gz")
