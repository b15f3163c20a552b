"""A console that is closed, that nobody reads, or of a narrow alphabet: the work is done and nothing breaks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from wpunet import progress

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
sys.path[:0] = [{root!r}, {engine!r}]
from Testing.wpunet.patient import StandIn
from wpunet import __main__, cli
cli._segmenter = lambda _: StandIn()
__main__.run()
"""


@pytest.fixture
def wpunet(tmp_path):
    """The text of a shell command in which $WPUNET is the command line with the stand-in's engine."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(root=str(ROOT), engine=str(ROOT / "WPUNetSegment")), "utf-8")

    def run(command, **environment):
        variables = {**os.environ, "WPUNET": f"{sys.executable} {program}", **environment}
        for name in ("PYTHONIOENCODING", "WPUNET_DEBUG", "PYTHONUTF8"):
            if name not in environment:
                variables.pop(name, None)
        return subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"], cwd=tmp_path, env=variables, capture_output=True, timeout=120
        )

    return run


@pytest.fixture
def cts(tmp_path, nifti_bytes):
    folder = tmp_path / "cts"
    folder.mkdir()
    for name in ("腎1.nii", "腎2.nii"):
        (folder / name).write_bytes(nifti_bytes)
    return folder


def made(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(".nii.gz"))


def test_nobody_reads_to_the_end(wpunet, cts, tmp_path):
    done = wpunet("$WPUNET segment cts -o r | head -1")
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr
    assert made(tmp_path / "r") == ["腎1.nii.gz", "腎2.nii.gz"]


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1:strict"])
def test_a_console_of_a_narrow_alphabet(wpunet, cts, tmp_path, encoding):
    done = wpunet("$WPUNET segment cts -o r > told.txt", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert made(tmp_path / "r") == ["腎1.nii.gz", "腎2.nii.gz"]
    assert b"\\u814e1" in (tmp_path / "told.txt").read_bytes()


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams(wpunet, cts, tmp_path, closed):
    done = wpunet(f"$WPUNET segment cts/腎1.nii -o k.nii.gz --report r.json {closed}")
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    content = (tmp_path / "r.json").read_text("utf-8")
    assert content.startswith("{")
    assert content.endswith("}\n")


def test_a_full_disk_behind_the_console(wpunet, cts, tmp_path):
    done = wpunet("$WPUNET segment cts -o r > /dev/full")
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert len(made(tmp_path / "r")) == 2


@pytest.mark.parametrize(
    ("name", "into"), [("-", ">"), ("-", ">>"), ("-", "| cat >>"), ("/dev/stdout", ">"), ("/dev/fd/1", ">>")]
)
def test_a_result_on_standard_output_stands_there_alone(wpunet, cts, tmp_path, name, into):
    got = tmp_path / "got.json"
    got.write_text(" \n")
    done = wpunet(f"$WPUNET segment cts/腎1.nii -o k.nii.gz --report {name} {into} got.json")
    assert done.returncode == 0
    assert json.loads(got.read_text("utf-8"))["structures"]
    assert got.read_text("utf-8").startswith("{" if into == ">" else " \n{")
    assert b"right kidney" in done.stderr
    assert sorted(path.name for path in tmp_path.glob("*")) == ["cts", "got.json", "k.nii.gz", "program.py"]


def test_the_bar_tells_in_words_what_is_done(capsys):
    talk = progress.BarReporter()
    talk.begin("ct", 2, 3)
    talk.at("predict", 1, 2)
    talk.close()
    assert "ct (2 of 3): Segmenting" in capsys.readouterr().err


def test_two_kinds_of_things_do_not_share_standard_output(segment, cts, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    ct = cts / "腎1.nii"
    assert segment(ct, "-o", "k.nii.gz", "--report", "-", "--table", "/dev/stdout") == 2
    assert "Two results would be written into one file" in capsys.readouterr().err
    assert segment(ct, "-o", "k.nii.gz", "--report", "-", "--progress", "json") == 2
    assert "give the name of a file" in json.loads(capsys.readouterr().out)["text"]
    assert segment(ct, "-o", "-") == 2
    assert "The name of the segmentation, -, must end in" in capsys.readouterr().err
    assert made(tmp_path) == []


@pytest.mark.parametrize("command", ["info", "--help", "segment --help", "--version"])
def test_short_answers_into_a_closed_pipe(wpunet, command):
    done = wpunet(f"$WPUNET {command} | true")
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr


def test_a_name_that_is_no_text_at_all(wpunet, tmp_path, nifti_bytes):
    folder = tmp_path / "cts"
    folder.mkdir()
    (folder / os.fsdecode(b"k\xe9\xff.nii")).write_bytes(nifti_bytes)
    done = wpunet("$WPUNET segment cts -o r")
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "r" / os.fsdecode(b"k\xe9\xff.nii.gz")).exists()
    assert b"k\xe9\xff" in (tmp_path / "r" / "summary.csv").read_bytes()


@pytest.mark.parametrize("threads", ["-1", "0", "two", "1.5", "99999999"])
def test_numbers_of_threads_that_make_no_sense(wpunet, cts, threads):
    done = wpunet(f"$WPUNET segment cts/腎1.nii -o k.nii.gz --threads {threads}")
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"is no number of threads" in done.stderr


def test_what_nobody_thought_of_ends_one_case_only(segment, cts, tmp_path, capsys, monkeypatch):
    from Testing.wpunet import patient

    usual = patient.StandIn.segment

    def broken(self, volume, options, monitor):
        if volume.name.endswith("1"):
            raise RuntimeError("a library's\nwords")
        return usual(self, volume, options, monitor)

    monkeypatch.setattr(patient.StandIn, "segment", broken)
    assert segment(cts, "-o", tmp_path / "r") == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert "腎1: Unexpected error (RuntimeError: a library's words); set WPUNET_DEBUG=1" in told.err
    assert made(tmp_path / "r") == ["腎2.nii.gz"]
    monkeypatch.setenv("WPUNET_DEBUG", "1")
    segment(cts, "-o", tmp_path / "r")
    assert "Traceback" in capsys.readouterr().err
