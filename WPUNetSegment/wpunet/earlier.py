"""What an earlier run over a folder has left there: whether it is of the same CT, and was asked for in the same way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import errors, files, outputs
from .batch import Job, Plan
from .errors import InputError
from .summary import FAILED, SKIPPED, Row

if TYPE_CHECKING:
    from .segment import Options


def require_alike(planned: Plan, options: Options, weights: str) -> None:
    """Raises InputError where the folder holds results that were asked for otherwise: it would be of two kinds.

    weights: SHA-256 of what would be used now
    """
    others = {job.name: told for job in planned.jobs if (told := list(_asked_otherwise(job, options, weights)))}
    if others:
        name, told = next(iter(others.items()))
        more = f", and {len(others) - 1} more" if len(others) > 1 else ""
        raise InputError(
            f"{planned.folder} holds results that were asked for otherwise ({name}: {', '.join(told)}{more});"
            " choose another folder, or --overwrite does them again."
        )


def _asked_otherwise(job: Job, options: Options, weights: str) -> Iterator[str]:
    """In what an earlier run over a case differs, in words of the command line, as far as its files tell."""
    report = _report(job)
    asked, made_by = report.get("options"), report.get("versions")
    if isinstance(asked, dict):
        now = json.loads(json.dumps(asdict(options)))
        before, rules = {"parenchyma": False} | asked | asked.get("rules", {}), now.pop("rules")
        for name, value in (now | rules).items():
            if before.get(name, value) != value:
                yield _option(name, before[name], name in rules)
    elif job.finished and outputs.holds_parenchyma(job.labels) != options.parenchyma:
        yield _option("parenchyma", not options.parenchyma)
    by_value = not job.labels.name.endswith((".seg.nrrd", ".dcm"))  # these tell sides in any case
    if job.finished and by_value and outputs.holds_sides(job.labels) != job.sides:
        yield _option("sides", not job.sides)
    if isinstance(made_by, dict) and made_by.get("network_sha256", weights) != weights:
        yield f"with the weights {made_by.get('network')}"


def _option(name: str, value: Any, is_rule: bool = False) -> str:
    if isinstance(value, bool):
        switches_off = is_rule or name == "flips"
        option = f"--skip-rule {name}" if is_rule else f"--{'no-' if switches_off else ''}{name}"
        return f"{'with' if value != switches_off else 'without'} {option}"
    return f"{name.replace('_', ' ')} {value}"


def found(job: Job) -> Row | None:
    """What there is of a case already, refused where it is of another CT; None where it is to be done."""
    there = job.labels if job.finished else job.report
    if there is None or not there.exists():
        return None
    report = _report(job)
    try:
        own = _is_of(job, report, there.stat().st_mtime)
    except (InputError, OSError) as error:  # of the CT that has the name now
        return Row(job.name, FAILED, errors.told(error, job.name), str(job.labels), lost=True)
    if not own:
        reason = f"{there} is of another CT (that of an earlier run); choose another folder, or --overwrite does it"
        return Row(job.name, FAILED, f"{reason} again.", str(job.labels), lost=True)
    return Row(job.name, SKIPPED, "there already", str(job.labels), report) if job.finished else None


def _is_of(job: Job, report: dict[str, Any], made: float) -> bool:
    """Whether an earlier result, ``made`` then, is of the CT that has the name now, as far as its report tells.

    The CT itself is asked only where it is newer or lies elsewhere than the report says.
    """
    told = report.get("input")
    if not isinstance(told, dict):
        return True
    if _is_older(job.ct, made) and Path(str(told.get("path"))).absolute() == job.ct.absolute():
        return True
    from .report import input_of  # its parts take time to load

    ct = files.read(job.ct, job.series)
    now = input_of(ct.path, ct.series, ct.grid.shape, ct.grid.affine)
    return all(told.get(key) == now[key] for key in ("series_uid", "shape", "affine_ras"))


def _is_older(ct: Path, made: float) -> bool:
    try:
        times = ct.stat()
    except OSError:  # reading it tells why
        return False
    return max(times.st_mtime, times.st_ctime) <= made


def _report(job: Job) -> dict[str, Any]:
    """The report of an earlier run over a case; empty where it is not there or not whole."""
    try:
        report = json.loads(job.report.read_text("utf-8")) if job.report else None
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}
