"""Nothing that a user has is lost: no output falls on an input, on another output, or on what is no plain file."""

import gzip
import json
import os
import shutil
import stat
import threading
import time
from pathlib import Path

import nibabel as nib
import numpy as np
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


@pytest.mark.parametrize("name", ["a.csv", "a.png", "a.dcm", "a_measures.dcm"])
def test_each_file_of_a_result_is_ours_or_new(segment, tmp_path, capsys, name):
    from Testing.wpunet.slices import write_series

    out = tmp_path / "out"
    for case in "ab":
        write_series(tmp_path / "cts" / case, series=f".{ord(case)}")
    out.mkdir()
    (out / "a.json").write_text('{"intended_use": "ours"}')
    (out / name).write_bytes(b"\0" * 128 + b"DICM of somebody else")
    before = contents(out)
    line = refused(segment, capsys, tmp_path / "cts", "-o", out, "--format", "dcm", "--overwrite")
    assert f"{name} is there and is no result of this program" in line
    assert contents(out) == before


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


NAMES = [f"s{k:02}.raw" for k in range(44)]
TO_PIECES = {  # how a header names its files: its name, the line, what follows
    "mhd list": ("d.mhd", "ElementDataFile = LIST", NAMES),
    "mhd pattern": ("d.mhd", "ElementDataFile = s%02d.raw 0 43 1", []),
    "mhd pattern, first file": ("d.mhd", "ElementDataFile = s%02d.raw 0", []),
    "mha": ("d.mha", "ElementDataFile = LIST 2", NAMES),
    "nhdr list": ("d.nhdr", "data file: LIST 2", NAMES),
    "nhdr pattern": ("d.nhdr", "data file: s%02d.raw 0 43 1 2", []),
    "nhdr pattern, backwards": ("d.nhdr", "data file: s%02d.raw 43 0 -1 2", []),
    "nrrd": ("d.nrrd", "data file: LIST", NAMES),
}


def in_pieces(folder, how):
    """The patient as a header and a file for each slice."""
    from Testing.wpunet.test_geometry import write_mha, write_nrrd

    name, line, names = TO_PIECES[how]
    nrrd = name.startswith(("d.n",))
    whole = (write_nrrd if nrrd else write_mha)(folder / name, patient.affine_lps())
    content = whole.read_bytes()
    head = content[: content.index(b"\n\n") + 1] if nrrd else content[: content.index(b"ElementDataFile")]
    whole.write_bytes(head + "\n".join([line, *names, ""]).encode())
    for k, pixels in enumerate(patient.hu()):
        (folder / NAMES[43 - k if "backwards" in how else k]).write_bytes(pixels.astype("<i2").tobytes())
    return whole


@pytest.mark.parametrize("how", TO_PIECES)
def test_every_file_that_a_header_names_is_an_input(segment, told, truth, tmp_path, capsys, how):
    header = in_pieces(tmp_path, how)
    before = contents(tmp_path)
    for name in (NAMES[0], NAMES[20], NAMES[-1]):
        line = refused(segment, capsys, header, "-o", tmp_path / "k.nii.gz", "--report", tmp_path / name)
        assert "would overwrite what is read" in line
    assert contents(tmp_path) == before
    assert patient.same_patient(told(header), truth)
    (tmp_path / NAMES[20]).unlink()
    assert f"{header} has its voxels in {NAMES[20]}, which is not there" in told(header)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("s%02d.raw 0 43", "has no step"),
        ("s%02d.raw 0 43 0", "has no step"),
        ("s%02d.raw 43 0 1", "names 0 files for 44 slices"),
        ("s%02d.raw 0 20 1", "names 21 files for 44 slices"),
        ("s%s%n.raw 0 43 1", "with a %"),
        ("100%.raw", "with a %"),
        ("LIST", "names 0 files for 44 slices"),
    ],
)
def test_names_of_files_that_lead_nowhere_are_refused(told, tmp_path, line, says):
    """Some of them end ITK's process."""
    header = in_pieces(tmp_path, "mhd list")
    (tmp_path / "100%.raw").write_bytes(b"")
    content = header.read_text()
    header.write_text(content[: content.index("LIST")] + line + "\n")
    assert says in told(header)


def test_what_is_given_is_kept_whole(segment, tmp_path, capsys):
    """The CTs found in it lie deeper."""
    from Testing.wpunet.slices import write_series

    disc, outside = tmp_path / "disc", tmp_path / "outside"
    series = write_series(disc / "DICOM" / "SE0")
    outside.mkdir()
    (series / "IM0003.dcm").rename(outside / "three")
    (series / "IM0003.dcm").symlink_to(outside / "three")
    os.link(series / "IM0005.dcm", outside / "five")
    (disc / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (disc / "README").write_text("of the hospital")
    before = contents(disc) | contents(outside)
    kept = (disc / "DICOMDIR", disc / "README", series / "IM0000.dcm", outside / "three", outside / "five")
    for given in (disc, disc / "DICOMDIR"):
        for path in kept:
            line = refused(segment, capsys, given, "-o", tmp_path / "k.nii.gz", "--report", path)
            assert "would overwrite what is read" in line
    assert contents(disc) | contents(outside) == before
    for _ in range(2):  # a new name is nobody's, and ours the second time
        assert segment(disc / "DICOMDIR", "-o", disc / "k.nii.gz", "--report", disc / "k.json") == 0


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


def device(folder, name="null"):
    """As the machine's, one of our own, where we have the rights to take that away by mistake; null swallows all."""
    own, machines = folder / name, Path("/dev") / name
    try:
        os.mknod(own, stat.S_IFCHR | 0o666, machines.stat().st_rdev)
        own.open("wb").close()
    except OSError:
        return machines
    return own


def test_a_pipe_is_written_through(segment, ct, tmp_path):
    pipe, null, got = tmp_path / "report", device(tmp_path), []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    assert segment(ct, "-o", tmp_path / "k.nii.gz", "--report", pipe, "--preview", null) == 0
    reader.join(20)
    assert pipe.is_fifo()
    assert json.loads(got[0])["structures"]
    assert null.is_char_device()


def test_without_a_name_of_the_segmentation_what_has_one_is_written_there(segment, ct, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.json").write_text('{"of": "somebody else"}')
    assert segment(ct, "--report", "r.json", "--preview", device(tmp_path)) == 0
    assert outputs.is_ours(tmp_path / "r.json")
    assert outputs.is_ours(tmp_path / "ct_segmentation.nii.gz")
    (tmp_path / "ct_segmentation.nii.gz").write_bytes(ct.read_bytes())
    assert "is no result of this program" in refused(segment, capsys, ct, "--report", "r.json")


@pytest.mark.parametrize("name", ["p.jpg", "p.pdf", "p"])
def test_a_preview_has_the_ending_of_what_it_is(segment, ct, tmp_path, capsys, name):
    told = refused(segment, capsys, ct, "-o", tmp_path / "k.nii.gz", "--preview", tmp_path / name)
    assert f"{name}, must end in .png" in told
    assert segment(ct, "-o", tmp_path / "k.nii.gz", "--preview", tmp_path / "p.PNG") == 0


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
    for left, minutes in (("12345678_a.nii.gz", 11), ("12345678_summary.csv", 11), ("87654321_a.nii.gz", 5)):
        (out / f"{outputs.TEMPORARY}{left}").write_bytes(b"half")
        os.utime(out / f"{outputs.TEMPORARY}{left}", (time.time() - 60 * minutes,) * 2)
    (out / f"{outputs.TEMPORARY}12345678_another.nii.gz").write_bytes(b"of another run")
    assert segment(cts, "-o", out) == 0
    left = [path.name for path in out.iterdir() if path.name.startswith(outputs.TEMPORARY)]
    assert sorted(left) == [f"{outputs.TEMPORARY}{name}" for name in ("12345678_another.nii.gz", "87654321_a.nii.gz")]
    report = json.loads((out / "a.json").read_text())
    assert patient.measures(report).keys() == {"right kidney", "left kidney", "right tumor"}


def test_a_folder_is_tried_and_not_asked_whether_it_may_be_written(tmp_path, forbid):
    forbid(tmp_path)
    with pytest.raises(OutputError, match="no right to write into"):
        outputs.require_writable(tmp_path / "kidneys.nii.gz")


def test_a_folder_that_was_tried_holds_nothing_more(tmp_path):
    outputs.require_writable(tmp_path / "kidneys.nii.gz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "n" * 300, "n" * 300 + ".nii.gz", "ä" * 140 + ".dcm", "x\0y"])
@pytest.mark.parametrize("also", [False, True])
def test_a_ct_of_no_name_or_of_one_that_cannot_be_is_refused(segment, ct, tmp_path, capsys, monkeypatch, name, also):
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    line = refused(segment, capsys, name, *([ct] if also else []), "-o", "r")
    assert ("an empty name" if not name else "a name that no file can have") in line
    assert contents(tmp_path) == before
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("option", ["-o", "--report", "--table", "--preview", "--uncertainty", "--weights"])
def test_an_option_of_no_name_is_refused(segment, ct, tmp_path, capsys, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    outs = () if option == "-o" else ("-o", "k.nii.gz")
    assert f"argument {option}" in refused(segment, capsys, ct, *outs, option, "").replace("-o/--output", "-o")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("length", [230, 250, 300])
def test_a_result_of_a_name_too_long_for_its_place_is_refused_before_the_work(ct, tmp_path, capsys, segment, length):
    before = contents(tmp_path)
    for path in (tmp_path / ("n" * length + ".nii.gz"), tmp_path / "x\0y.nii.gz"):
        if length == 230:  # fits, with the temporary file that it is first
            outputs.require_writable(tmp_path / ("n" * length))
            continue
        for asked in (("-o", path), ("-o", tmp_path / "k.nii.gz", "--report", path)):
            assert "no file can have" in refused(segment, capsys, ct, *asked)
    assert contents(tmp_path) == before


def test_results_of_a_folder_have_names_that_can_be(segment, cts, tmp_path, capsys):
    (cts / "a.nii.gz").rename(cts / ("n" * 247 + ".nii.gz"))
    assert "no file can have this name; give a shorter one" in refused(segment, capsys, cts, "-o", tmp_path / "r")


def test_reading_a_name_that_cannot_be_ends_in_one_sentence():
    from wpunet import files, folders
    from wpunet.errors import InputError

    for name in ("n" * 300, "n" * 300 + ".nii.gz", "x\0y.nii"):
        with pytest.raises(InputError, match="does not exist; check the name"):
            files.read(name)
        with pytest.raises(InputError, match="does not exist; check the name"):
            folders.survey(Path(name))


def test_a_label_map_that_another_program_has_saved_again_stays(segment, cts, tmp_path):
    """It has lost its mark, but the report beside it is ours: corrections are finished work."""
    out = tmp_path / "results"
    assert segment(cts, "-o", out) == 0
    image = nib.load(out / "a.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), out / "a.nii.gz")
    before = contents(out)
    assert segment(cts, "-o", out) == 0
    assert contents(out)["a.nii.gz"] == before["a.nii.gz"]
