"""Work through many CTs: what is finished is left alone, what fails is told and the next one begins."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING

from . import bundle, earlier, outputs, summary
from .batch import Ending, Job, Plan, attempt
from .errors import OutputError
from .progress import EXIT_BAD_INPUT
from .reading import ReadAhead
from .summary import DONE, LEFT_OUT, SKIPPED, SUMMARY, Row

if TYPE_CHECKING:
    from .progress import Cancel, Reporter
    from .segment import Options, Segmenter

LEFT_SECONDS = 600  # after which nobody goes on with a half-written file: one waits for the others of its CT
EVERY = 50  # cases, after which the summary is written for whoever looks at it meanwhile


def work_through(
    planned: Plan,
    left_out: Sequence[Row],
    options: Options,
    make: Callable[[], Segmenter],
    arguments: Namespace,
    talk: Reporter,
    cancel: Cancel,
) -> int:
    """All jobs of a plan, here or on the workers of a scheduler, and their summary; returns the exit status."""
    assert planned.folder is not None
    file = planned.folder / SUMMARY
    if not arguments.overwrite:
        earlier.require_alike(planned, options, bundle.sha256(arguments.weights or bundle.BUNDLED))
    rows: dict[str, Row] = {}
    try:
        for number, (job, ending) in enumerate(_endings(planned, options, make, arguments, talk, cancel), 1):
            rows[job.name] = ending.row
            _tell(job, ending, talk)
            if number % EVERY == 0:
                with suppress(OutputError):  # on Windows somebody who looks at it holds it
                    summary.write(file, [*rows.values(), *left_out])
    finally:
        _tidy(planned, 0 if arguments.scheduler else LEFT_SECONDS)  # a lost worker has left it just now
        ordered = [*(rows[job.name] for job in planned.jobs if job.name in rows), *left_out]
        summary.write(file, ordered)
    talk.summary(ordered, file)
    return EXIT_BAD_INPUT if any(row.lost for row in ordered) else 0


def _endings(
    planned: Plan,
    options: Options,
    make: Callable[[], Segmenter],
    arguments: Namespace,
    talk: Reporter,
    cancel: Cancel,
) -> Iterator[tuple[Job, Ending]]:
    """Each job with its ending, as they come."""
    waiting = []
    for job in planned.jobs:
        there = None if arguments.overwrite else earlier.found(job)
        if there:
            yield job, Ending(there)
        else:
            waiting.append(job)
    if not waiting:
        return
    if arguments.scheduler:
        from . import cluster

        yield from cluster.endings(arguments, waiting, options, cancel)
        return
    read = ReadAhead((job.ct, job.series) for job in waiting)
    segmenter = make()
    segmenter.read = read
    for number, job in enumerate(waiting, 1):
        talk.begin(job.name, number, len(waiting))
        yield job, attempt(job, segmenter, options, talk.monitor(cancel))


def _tell(job: Job, ending: Ending, talk: Reporter) -> None:
    if ending.row.status == DONE and ending.row.report is not None:
        talk.result(job, dict(ending.row.report), ending.table)
    elif ending.row.status == SKIPPED:
        talk.skipped(job)
    elif ending.row.status == LEFT_OUT:
        talk.say(f"{job.name}: left out, {ending.row.reason}")
    else:
        talk.error(ending.row.reason, EXIT_BAD_INPUT, job.name)


def _tidy(planned: Plan, seconds: float) -> None:
    """Take away what was left half-written ``seconds`` ago and before: what is newer may be of a run that goes on."""
    assert planned.folder is not None
    names = {SUMMARY, *(path.name for job in planned.jobs for path in job.outputs)}
    for path in planned.folder.glob(f"{outputs.TEMPORARY}*"):
        with suppress(OSError):  # taken away by the other one
            if outputs.named_after(path) in names and time() - path.stat().st_mtime > seconds:
                path.unlink()
