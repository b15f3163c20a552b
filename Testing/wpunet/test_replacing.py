"""A file that is written is whole or absent, and takes the place of one that was there."""

import os
import stat
from pathlib import Path

import pytest
from wpunet import outputs
from wpunet.errors import OutputError

from Testing.conftest import no_file_over
from Testing.wpunet.test_outputs import contents, device


@pytest.mark.skipif(os.name == "nt", reason="rights of files are told otherwise there")
def test_a_result_has_the_rights_of_any_new_file(tmp_path):
    (tmp_path / "any").touch()
    before = len(list(Path("/dev/fd").iterdir()))
    with outputs.replacing(tmp_path / "ours") as temporary:
        assert temporary.parent == tmp_path  # a file of another disk cannot take its place
        temporary.touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "any").stat().st_mode
    assert len(list(Path("/dev/fd").iterdir())) == before  # thousands of CTs would use them up


@pytest.mark.skipif(os.name == "nt", reason="a shell's descriptors have no names there")
def test_a_file_behind_a_descriptor_of_the_shell_stays_the_same(tmp_path):
    """As that of ``wpunet ... --report /dev/stdout > told``."""
    told = tmp_path / "told"
    with told.open("wb") as file:
        before = told.stat().st_ino
        with outputs.replacing(Path(f"/dev/fd/{file.fileno()}")) as temporary:
            temporary.write_bytes(b"all")
    assert (told.stat().st_ino, told.read_bytes()) == (before, b"all")


def test_a_disk_that_knows_no_rights_takes_results(tmp_path, monkeypatch):
    """As some network shares, which are in no machine that tests."""

    def refused(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "chmod", refused)
    with outputs.replacing(tmp_path / "ours") as temporary:
        temporary.write_bytes(b"whole")
    assert (tmp_path / "ours").read_bytes() == b"whole"


def held(times, monkeypatch):
    """The renames of a system where a virus scanner holds a new file for a moment, as on Windows."""
    replace, tries = Path.replace, []

    def replaced(old, new):
        tries.append(old)
        if len(tries) <= times:
            raise PermissionError(13, "The process cannot access the file because it is being used by another process")
        return replace(old, new)

    monkeypatch.setattr(Path, "replace", replaced)
    monkeypatch.setattr(outputs.sys, "platform", "win32")
    monkeypatch.setattr(outputs, "PAUSES", (0.001, 0.001))


def test_a_file_that_is_held_for_a_moment_is_renamed_later(tmp_path, monkeypatch):
    held(2, monkeypatch)
    outputs_of(tmp_path, b"new")
    assert contents(tmp_path) == {"ours": b"new"}


def test_a_file_that_stays_held_is_told_and_keeps_what_it_was(tmp_path, monkeypatch):
    (tmp_path / "ours").write_bytes(b"old")
    held(3, monkeypatch)
    with pytest.raises(OutputError, match=r"ours cannot be written .*used by another process"):
        outputs_of(tmp_path, b"new")
    assert contents(tmp_path) == {"ours": b"old"}


def test_a_temporary_file_that_stays_held_does_not_hide_what_went_wrong(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "used by another process")

    held(3, monkeypatch)
    monkeypatch.setattr(outputs, "require_right", lambda *given: None)
    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(OutputError, match="ours cannot be written"):
        outputs_of(tmp_path, b"new")


def outputs_of(folder, content):
    with outputs.replacing(folder / "ours") as temporary:
        temporary.write_bytes(content)


def test_where_no_folder_is_nothing_is_written(tmp_path):
    with pytest.raises(OutputError, match="does not exist; create it"), outputs.replacing(tmp_path / "no" / "x"):
        pass


def test_a_disk_that_fills_up_keeps_all_results_of_a_ct(segment, ct, tmp_path, capsys):
    """The label map comes last and is the largest: a new report beside the old one would be of another run."""
    out = tmp_path / "out"
    out.mkdir()
    asked = ct, "-o", out / "k.nii", "--report", out / "k.json", "--table", out / "k.csv"
    assert segment(*asked) == 0
    before = contents(out)
    assert len(before["k.nii"]) > 100_000 > max(len(before[name]) for name in ("k.json", "k.csv"))
    capsys.readouterr()
    with no_file_over(100_000):
        assert segment(*asked) == 2
    told = capsys.readouterr().err
    assert f"{out / 'k.nii'} cannot be written (File too large); make room or choose another disk." in told
    assert contents(out) == before


def test_a_device_that_takes_nothing_keeps_all_results_of_a_ct(segment, ct, tmp_path, capsys):
    out, full = tmp_path / "out", device(tmp_path, "full")
    out.mkdir()
    asked = ct, "-o", out / "k.nii.gz", "--report", out / "k.json", "--table"
    assert segment(*asked, out / "k.csv") == 0
    before = contents(out)
    assert segment(*asked, full) == 2
    assert f"{full} cannot be written (No space left on device)" in capsys.readouterr().err
    assert contents(out) == before
    assert stat.S_ISCHR(full.stat().st_mode)


def test_files_take_their_places_in_the_order_in_which_they_were_written(tmp_path, monkeypatch):
    """Where the last one is, all are."""
    names, replaced, replace = ["c", "a", "b"], [], Path.replace
    monkeypatch.setattr(Path, "replace", lambda old, new: replaced.append(new.name) or replace(old, new))
    with outputs.together() as replacing:
        for name in names:
            with replacing(tmp_path / name) as temporary:
                temporary.write_text(name)
        assert replaced == []
    assert replaced == names
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: name for name in names}


def test_of_several_files_none_stays_half_written(tmp_path):
    (tmp_path / "old").write_bytes(b"old")

    def write():
        with outputs.together() as replacing:
            for name in ("old", "b"):
                with replacing(tmp_path / name) as temporary:
                    temporary.write_bytes(b"new")
                    if name == "b":
                        raise OSError(2, "gone")

    with pytest.raises(OutputError, match=r"b cannot be written \(gone\)"):
        write()
    assert contents(tmp_path) == {"old": b"old"}


def test_where_the_folder_goes_meanwhile_the_output_is_named(tmp_path):
    out = tmp_path / "out"
    out.mkdir()

    def write():
        with outputs.replacing(out / "k") as temporary:
            temporary.unlink()
            out.rmdir()
            out.write_bytes(b"somebody else's")

    with pytest.raises(OutputError, match=f"{out / 'k'} cannot be written"):
        write()
    assert contents(tmp_path) == {"out": b"somebody else's"}
