"""A file that is written is whole or absent, and takes the place of one that was there."""

import os
from pathlib import Path

import pytest
from wpunet import outputs
from wpunet.errors import OutputError


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


def test_where_no_folder_is_nothing_is_written(tmp_path):
    with pytest.raises(OutputError, match="does not exist; create it"), outputs.replacing(tmp_path / "no" / "x"):
        pass
