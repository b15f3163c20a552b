"""What a run says while it goes on, and how it is told to stop."""

import io
import json
import os
import signal
import sys

import pytest
from wpunet import __main__, progress
from wpunet.progress import BarReporter, Cancel, JsonReporter, fraction, reporter


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_parts_of_a_ct_follow_each_other_without_a_gap():
    ends = [fraction(stage, 1, 1) for stage in progress.STAGES]
    assert [fraction(stage, 0, 1) for stage in progress.STAGES] == pytest.approx([0.0, *ends[:-1]])
    assert ends[-1] == 1.0
    assert fraction("predict", 1, 2) == pytest.approx((ends[2] + ends[3]) / 2)
    assert fraction("read", 0, 0) == 0.0


def test_a_bar_is_only_where_somebody_sees_it(monkeypatch):
    for stream, kind, seen in ((Terminal(), "bar", True), (Terminal(), "none", False), (io.StringIO(), "bar", False)):
        monkeypatch.setattr(sys, "stderr", stream)
        assert isinstance(reporter(kind), BarReporter) == seen
    monkeypatch.setattr(sys, "stderr", None)  # as in a program without a console
    assert not isinstance(reporter("bar"), BarReporter)


def test_the_bar_goes_to_its_end_and_away_before_anything_is_said(monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with reporter("bar") as talk:
        for number, name in enumerate("ab", 1):
            talk.begin(name, number, 2)
            talk.at("read", 0, 1)
            for stage in progress.STAGES:
                talk.at(stage, 1, 1)
            assert talk._bar.n == pytest.approx(100)
            assert talk._bar.desc.startswith(f"{name} ({number} of 2): Writing the result")
            if name == "a":
                talk.say("done")
            else:
                talk.error("b is no CT.", 2)
            assert talk._bar is None
    assert capsys.readouterr().out == "done\n"
    assert terminal.getvalue().endswith("\rwpunet: b is no CT.\n")


def test_lines_for_programs_are_ascii_and_tell_what_ended_the_run(capsys):
    with reporter("json") as talk:
        assert isinstance(talk, JsonReporter)
        talk.begin("k\xfche", 1, 1)
        talk.error("\u814e is no CT.", 2)
    line = capsys.readouterr().out
    assert line.isascii()
    assert json.loads(line) == {"event": "error", "case": "k\xfche", "text": "\u814e is no CT.", "status": 2}


@pytest.mark.skipif(os.name == "nt", reason="signals are others there")
def test_a_request_to_end_is_heeded_and_a_second_ctrl_c_ends_at_once():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    for number in (signal.SIGTERM, signal.SIGINT):
        with Cancel() as cancel:
            assert not cancel()
            os.kill(os.getpid(), number)
            assert cancel()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_an_end_at_once_is_no_traceback(monkeypatch, capsys):
    def twice():
        raise KeyboardInterrupt

    monkeypatch.setattr(__main__, "main", twice)
    with pytest.raises(SystemExit, match="130"):
        __main__.run()
    assert capsys.readouterr() == ("", "")
