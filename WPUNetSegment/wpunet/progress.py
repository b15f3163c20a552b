"""What a run says while it goes on: a bar for a person, JSON lines for a program, or nothing."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import sleep
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from . import console, summary
from .errors import Cancelled, InputError
from .monitor import Monitor

if TYPE_CHECKING:
    from typing import Self

    from .batch import Job
    from .summary import Row

# Share of the whole that each stage takes, as measured on case_00000 with two processor cores.
STAGES = {"read": 5, "check": 1, "locate": 9, "predict": 48, "decide": 12, "clean": 9, "measure": 7, "write": 9}

# What a person reads while a stage runs.
WORDS = {
    "read": "Reading the CT",
    "check": "Checking the CT",
    "locate": "Looking for the kidneys",
    "predict": "Segmenting",
    "decide": "Bringing the result to the CT's grid",
    "clean": "Cleaning up",
    "measure": "Measuring",
    "write": "Writing the result",
}
EXIT_BAD_INPUT, EXIT_CANCELLED = 2, 130
STOP_SECONDS = 3.0  # a run that does not stop in time when its parent is gone is ended


def fraction(stage: str, done: int, total: int) -> float:
    """How much of one CT is done, from 0 to 1."""
    names = list(STAGES)
    before = sum(STAGES[name] for name in names[: names.index(stage)])
    return (before + STAGES[stage] * done / max(total, 1)) / sum(STAGES.values())


class Cancel:
    """Ctrl-C, or a request of the system to end, sets it; a second Ctrl-C ends at once."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self) -> bool:
        return self.requested

    def with_stdin(self) -> None:
        """Standard input that closes sets it too: whoever started this run has closed it, or is gone."""
        pipe = console.take_input()
        if pipe is not None:  # else a closed output ends the run
            threading.Thread(target=self._follow, args=(pipe,), daemon=True).start()

    def _follow(self, pipe: int) -> None:
        console.wait_for_end(pipe)
        self.requested = True
        sleep(STOP_SECONDS)
        os._exit(EXIT_CANCELLED)

    def _request(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._request) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Reporter:
    """Says nothing while it goes on; prints results and errors for a person."""

    def __init__(self) -> None:
        self._name, self._of_several = "", ""
        self._words = sys.stdout

    def leave_stdout(self) -> None:
        """From now on a result goes to standard output, so words go to standard error."""
        self._words = sys.stderr

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take away what is on the screen for the time being."""

    def begin(self, name: str, number: int, count: int) -> None:
        """The CT ``name``, the ``number``-th of ``count``, is next."""
        self._name, self._of_several = name, f" ({number} of {count})" if count > 1 else ""

    def at(self, stage: str, done: int, total: int) -> None:
        """A piece of work is done."""

    def monitor(self, cancel: Cancel) -> Monitor:
        return Monitor(self.at, cancel)

    def say(self, text: str) -> None:
        self.close()
        console.write(self._words, f"{text}\n")

    def result(self, job: Job, report: Mapping[str, Any], table: str) -> None:  # noqa: ARG002
        """A CT is done; ``report`` as Report.to_json_dict gives it, ``table`` as Report.table."""
        self.say(table)
        self.say("".join(f"  wrote {path}\n" for path in job.outputs))

    def skipped(self, job: Job) -> None:
        self.say(f"{job.name}: {job.labels} is there already; skipped (--overwrite does it again)")

    def error(self, text: str, status: int, name: str = "") -> None:  # noqa: ARG002
        """What ends the run, or the CT ``name`` alone."""
        self.close()
        console.write(sys.stderr, f"wpunet: {text}\n")

    def summary(self, rows: Sequence[Row], path: Path | None) -> None:
        """How the work on several CTs ended, or what beside a single one was left out."""
        self.say(summary.lines(rows, path))


class BarReporter(Reporter):
    """A bar on the terminal."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Any = None

    def at(self, stage: str, done: int, total: int) -> None:
        from tqdm import tqdm

        now = f"{self._name}{self._of_several}: {WORDS[stage]}"
        if self._bar is None:
            bar = "{desc} |{bar}| {n:.0f} % [{elapsed}<{remaining}]"
            self._bar = tqdm(total=100, desc=now, leave=False, bar_format=bar)
        self._bar.set_description(now, refresh=False)
        self._bar.update(100 * fraction(stage, done, total) - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class JsonReporter(Reporter):
    """One JSON object a line, ASCII: progress, result, skipped, summary and error."""

    def leave_stdout(self) -> None:
        raise InputError("--progress json takes standard output, so no result can go there; give the name of a file.")

    def _line(self, **values: object) -> None:
        """Raises Cancelled when nobody listens any more; what comes after is lost."""
        if not console.write(sys.stdout, json.dumps(values) + "\n"):
            raise Cancelled("Nobody listens any more.")

    def at(self, stage: str, done: int, total: int) -> None:
        at = round(fraction(stage, done, total), 4)
        self._line(event="progress", case=self._name, stage=stage, done=done, total=total, fraction=at)

    def say(self, text: str) -> None:
        self._line(event="message", text=text)

    def result(self, job: Job, report: Mapping[str, Any], table: str) -> None:  # noqa: ARG002
        outputs = [str(path) for path in job.outputs]
        self._line(event="result", case=job.name, outputs=outputs, report=report)

    def skipped(self, job: Job) -> None:
        self._line(event="skipped", case=job.name, output=str(job.labels))

    def summary(self, rows: Sequence[Row], path: Path | None) -> None:
        counts = Counter(row.status for row in rows)
        self._line(event="summary", file=str(path or ""), text=summary.lines(rows, path), **counts)

    def error(self, text: str, status: int, name: str = "") -> None:
        self._line(event="error", case=name or self._name, text=text, status=status)


def reporter(kind: str) -> Reporter:
    """The reporter for ``--progress kind``; a bar only where somebody sees it."""
    if kind == "json":
        return JsonReporter()
    seen = sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()
    return BarReporter() if kind == "bar" and seen else Reporter()
