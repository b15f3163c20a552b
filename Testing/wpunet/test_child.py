"""The engine as a child process: real children, stopped, killed, crashed and confused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from wpunet import child
from wpunet.child import EngineProcess, seconds_left

from Testing import phantom


@pytest.fixture(scope="module")
def ct(tmp_path_factory, abdomen):
    path = tmp_path_factory.mktemp("ünder a space") / "ct ж.nii.gz"
    phantom.save_nifti(abdomen.hu, abdomen.affine, path)
    return path


@pytest.fixture
def stand_in(tmp_path):
    """A function that gives a Python which runs ``code`` in the engine's place."""

    def make(code):
        script, python = tmp_path / "stand-in.py", tmp_path / "python"
        script.write_text(f"import json, os, subprocess, sys, time\n{code}", "utf-8")
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n', "utf-8")
        python.chmod(0o755)
        return str(python)

    return make


def run(process, seconds=180.0, until=lambda event: False):
    """Every event until the child's end, or until one is as wanted."""
    events, stop = [], time.monotonic() + seconds
    while process.returncode is None:
        assert time.monotonic() < stop, f"still running: {events[-3:]} {process.log}"
        for event in process.poll():
            events.append(event)
            if until(event):
                return events
        time.sleep(0.01)
    return events


def alive(pid):
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid, seconds=60.0):
    stop = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < stop:
        time.sleep(0.02)
    return not alive(pid)


def at_work(event):
    return event["event"] == "progress" and event["stage"] == "locate"


def test_a_run_tells_its_progress_and_its_result(ct, tmp_path):
    out = tmp_path / "größe mit leer.seg.nrrd"
    process = EngineProcess(["segment", str(ct), "-o", str(out), "--device", "cpu"])
    events = run(process)
    assert process.returncode == 0, process.log
    assert [event["fraction"] for event in events if event["event"] == "progress"][-1] == 1.0
    assert events[-1]["event"] == "result"
    assert events[-1]["outputs"] == [str(out)]
    assert out.exists()


def test_bad_input_ends_with_the_engines_message(tmp_path):
    process = EngineProcess(["segment", str(tmp_path / "nöthing.nii.gz")])
    events = run(process)
    assert process.returncode == 2
    assert "nöthing.nii.gz does not exist" in events[-1]["text"]


def test_a_cancelled_run_leaves_no_process_and_no_file(ct, tmp_path):
    process = EngineProcess(["segment", str(ct), "-o", str(tmp_path / "x.nii.gz"), "--device", "cpu"])
    run(process, until=at_work)
    process.cancel()
    run(process, seconds=60)
    assert process.cancelled
    assert process.returncode == 130
    assert not alive(process.pid)
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_is_killed_takes_its_child_along(ct, tmp_path):
    code = (
        "import sys, time; from wpunet.child import EngineProcess\n"
        "process = EngineProcess(sys.argv[1:])\n"
        "while not any(e.get('stage') == 'locate' for e in process.poll()): time.sleep(0.01)\n"
        "print(process.pid, flush=True); time.sleep(60)"
    )
    arguments = ["segment", str(ct), "-o", str(tmp_path / "x.nii.gz"), "--device", "cpu"]
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
    assert gone(pid)
    assert list(tmp_path.iterdir()) == []


def test_a_run_whose_listener_is_gone_ends_although_its_input_stays_open(ct, tmp_path):
    """As behind a launcher that holds the standard input itself."""
    command = [
        sys.executable,
        "-m",
        "wpunet",
        "segment",
        str(ct),
        "-o",
        str(tmp_path / "x.nii.gz"),
        "--progress",
        "json",
    ]
    read, write = os.pipe()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=write, stderr=subprocess.PIPE) as process:
        os.close(write)
        os.close(read)
        assert process.stderr.read() == b""
        assert process.wait(30) == 130
    assert list(tmp_path.iterdir()) == []


def test_a_crash_gives_its_exit_code_and_what_was_said(stand_in):
    process = EngineProcess(
        ["segment"], stand_in("print('last wörds', file=sys.stderr); sys.stderr.flush(); os.abort()")
    )
    assert run(process, 60) == []
    assert process.returncode == -signal.SIGABRT
    assert "last wörds" in process.log


def test_words_that_are_no_events_go_into_the_log(stand_in):
    code = """
sys.stdout.buffer.write(b'\\xff\\xfe garbage\\n[1, 2]\\n"event"\\n{"no": "event"}\\n')
print(json.dumps({"event": "progress", "fraction": 0.5}))
sys.stdout.write("no newline at the end")
"""
    process = EngineProcess(["segment"], stand_in(code))
    assert run(process, 60) == [{"event": "progress", "fraction": 0.5}]
    assert process.returncode == 0
    assert process.log.splitlines()[1:] == ["[1, 2]", '"event"', '{"no": "event"}', "no newline at the end"]


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no groups of processes there")
def test_a_system_that_refuses_to_kill_the_group_is_asked_for_the_child(monkeypatch):
    """As macOS where all of a group have ended and nobody has asked yet."""

    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "killpg", refused)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], **child.own_group()) as process:
        child._kill_tree(process)
        assert process.wait(10) == -signal.SIGKILL


DEAF = """
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(json.dumps({"event": "progress", "pid": grandchild.pid}), flush=True)
time.sleep(60)
"""


def test_a_deaf_child_is_killed_with_all_it_started(stand_in, monkeypatch):
    monkeypatch.setattr(child, "GRACE_SECONDS", 0.3)
    process = EngineProcess(["segment"], stand_in(DEAF))
    (event,) = run(process, 60, until=lambda event: True)
    process.cancel()
    run(process, 60)
    assert process.returncode == -signal.SIGKILL
    assert gone(event["pid"])


def test_closing_waits_for_the_end(stand_in):
    process = EngineProcess(["segment"], stand_in(DEAF))
    (event,) = run(process, 60, until=lambda event: True)
    process.close(0.2)
    assert process.returncode == -signal.SIGKILL
    assert gone(event["pid"])
    process.close()
    process.cancel()
    assert process.poll() == []


def test_a_pipe_that_a_grandchild_holds_open_does_not_keep_the_end_from_view(stand_in, monkeypatch):
    monkeypatch.setattr(child, "DRAIN_SECONDS", 0.2)
    process = EngineProcess(["segment"], stand_in(DEAF.removesuffix("time.sleep(60)\n")))
    (event,) = run(process, 60)
    assert process.returncode == 0
    os.kill(event["pid"], signal.SIGKILL)


def test_the_child_gets_its_options_the_package_and_the_environment(stand_in):
    code = 'print(json.dumps({"event": "message", "argv": sys.argv[1:], "path": sys.path[1], "x": os.environ["X"]}))'
    process = EngineProcess(["segment", "a b"], stand_in(code), {"X": "ÿ"})
    (event,) = run(process, 60)
    assert event["argv"] == ["-m", "wpunet", "segment", "a b", "--progress", "json", "--stop-with-stdin"]
    assert event["path"] == str(Path(child.__file__).parents[1])
    assert event["x"] == "ÿ"


def test_a_python_that_is_not_there_is_told_at_once(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        EngineProcess(["segment"], str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("fraction", "seconds", "left"),
    [(0.5, 8.0, 8.0), (0.25, 2.0, 6.0), (1.0, 9.0, 0.0), (0.01, 3.0, None), (0.0, 0.0, None)],
)
def test_the_time_left_follows_the_pace_so_far(fraction, seconds, left):
    assert seconds_left(fraction, seconds) == left


def test_every_stage_has_words():
    from wpunet.progress import STAGES, WORDS

    assert list(WORDS) == list(STAGES)
    assert all(json.dumps(words).isascii() for words in WORDS.values())


def test_a_run_without_any_standard_input_goes_on(tmp_path):
    command = f"exec '{sys.executable}' -m wpunet segment missing.nii.gz --progress json --stop-with-stdin <&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2, done.stderr
    assert "does not exist" in done.stdout
