"""Work through many CTs: what is finished is left alone, what fails is told and the next one begins."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import bundle, files, outputs, summary
from .batch import Ending, Job, Plan, attempt
from .errors import InputError
from .progress import EXIT_BAD_INPUT
from .reading import ReadAhead
from .summary import DONE, FAILED, SKIPPED, SUMMARY, Row

if TYPE_CHECKING:
    from .progress import Cancel, Reporter
    from .segment import Options, Segmenter

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
    weights = bundle.sha256(arguments.weights or bundle.BUNDLED)
    rows: dict[str, Row] = {}
    try:
        for number, (job, ending) in enumerate(_endings(planned, options, weights, make, arguments, talk, cancel), 1):
            rows[job.name] = ending.row
            _tell(job, ending, talk)
            if number % EVERY == 0:
                summary.write(file, [*rows.values(), *left_out])
    finally:
        _tidy(planned)
        ordered = [*(rows[job.name] for job in planned.jobs if job.name in rows), *left_out]
        summary.write(file, ordered)
    talk.summary(ordered, file)
    return EXIT_BAD_INPUT if any(row.lost for row in ordered) else 0


def _endings(
    planned: Plan,
    options: Options,
    weights: str,
    make: Callable[[], Segmenter],
    arguments: Namespace,
    talk: Reporter,
    cancel: Cancel,
) -> Iterator[tuple[Job, Ending]]:
    """Each job with its ending, as they come."""
    waiting = []
    for job in planned.jobs:
        if job.finished and not arguments.overwrite:
            yield job, Ending(_finished(job, options, weights))
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


def _finished(job: Job, options: Options, weights: str) -> Row:
    """What there is of a case already; refused where it is of another CT, or not what is asked for now.

    weights: SHA-256 of what would segment it now
    """
    report = _earlier(job)
    asked = (report or {}).get("options")
    before = asked.get("parenchyma", False) if isinstance(asked, dict) else outputs.holds_parenchyma(job.labels)
    try:
        if not _is_of(job, report or {}):
            what = "is of another CT (that of an earlier run)"
        elif before != options.parenchyma:
            what = f"holds {'their parenchyma alone' if before else 'whole kidneys'} from an earlier run"
        elif others := _other_settings(report or {}, options, weights):
            what = f"was made with other settings ({', '.join(others)})"
        else:
            return Row(job.name, SKIPPED, "there already", str(job.labels), report)
    except InputError as error:  # of the CT that has the name now
        return Row(job.name, FAILED, str(error), str(job.labels), lost=True)
    reason = f"{job.labels} {what}; choose another folder, or --overwrite does it again."
    return Row(job.name, FAILED, reason, str(job.labels), lost=True)


def _is_of(job: Job, report: dict[str, Any]) -> bool:
    """Whether an earlier result is of the CT that has the name now, as far as its report tells.

    The CT itself is asked only where it is newer or lies elsewhere than the report says.
    """
    told = report.get("input")
    if not isinstance(told, dict):
        return True
    times = job.ct.stat()
    older = max(times.st_mtime, times.st_ctime) <= job.labels.stat().st_mtime
    if older and Path(str(told.get("path"))).absolute() == job.ct.absolute():
        return True
    from .report import input_of  # its parts take time to load

    ct = files.read(job.ct, job.series)
    now = input_of(ct.path, ct.series, ct.grid.shape, ct.grid.affine)
    return all(told.get(key) == now[key] for key in ("series_uid", "shape", "affine_ras"))


def _other_settings(report: dict[str, Any], options: Options, weights: str) -> list[str]:
    """What an earlier run was asked otherwise, as far as its report tells."""

    def flat(values: dict[str, Any]) -> dict[str, Any]:
        return values | values.get("rules", {})

    asked, made_by = report.get("options"), report.get("versions")
    others = []
    if isinstance(asked, dict):
        before, now = flat(asked), flat(json.loads(json.dumps(asdict(options))))
        others += [name for name in now if name != "rules" and before.get(name, now[name]) != now[name]]
    if isinstance(made_by, dict) and made_by.get("network_sha256", weights) != weights:
        others.append(f"weights {made_by.get('network')}")
    return others


def _earlier(job: Job) -> dict[str, Any] | None:
    """The report of a case that an earlier run has finished, if it is there and whole."""
    try:
        report = json.loads(job.report.read_text("utf-8")) if job.report else None
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) else None


def _tell(job: Job, ending: Ending, talk: Reporter) -> None:
    if ending.row.status == DONE and ending.row.report is not None:
        talk.result(job, dict(ending.row.report), ending.table)
    elif ending.row.status == SKIPPED:
        talk.skipped(job)
    else:
        talk.error(ending.row.reason, EXIT_BAD_INPUT)


def _tidy(planned: Plan) -> None:
    """Take away what runs that were killed have left half-written; nobody else writes these cases now."""
    assert planned.folder is not None
    names = {path.name for job in planned.jobs for path in job.outputs}
    for path in planned.folder.glob(f"{outputs.TEMPORARY}*"):
        if outputs.named_after(path) in names:
            path.unlink(missing_ok=True)
