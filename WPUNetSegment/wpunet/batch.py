"""What a call of the command line is to do: one job for each CT, with the names of all that it writes.

All is decided before any work: no output is an input, another output, or somebody else's file.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import files, folders, outputs
from .errors import Cancelled, InputError, InstallError, told
from .folders import Found, LeftOut
from .labels import BY_SIDE, TOGETHER, together
from .outputs import Replacing
from .summary import DONE, FAILED, LEFT_OUT, SUMMARY, Row, is_summary
from .table import as_csv

if TYPE_CHECKING:
    from .monitor import Monitor
    from .segment import Options, Result, Segmenter

SUFFIXES = (*files.LABEL_MAPS, ".dcm")
OUTDATED = "of an earlier run, when its folder held one series; each has results with its UID in the name now"
LABELS = "labels by its numbers: a mask, no HU"
ONE_PLACE = "pictures of one place, as bolus tracking takes them: no CT"
PICTURE = ".png"


@dataclass(frozen=True)
class Job:
    """One CT and the files to be made of it; those that are None are not wanted."""

    ct: Path
    name: str
    labels: Path
    report: Path | None = None
    table: Path | None = None
    preview: Path | None = None
    uncertainty: Path | None = None
    series: str | None = None
    sides: bool = False
    dicom_seg: Path | None = None
    dicom_sr: Path | None = None
    fractional: bool = False

    @property
    def outputs(self) -> tuple[Path, ...]:
        wanted = (self.preview, self.uncertainty, self.report, self.table, self.dicom_sr, self.dicom_seg, self.labels)
        return tuple(path for path in wanted if path)

    @property
    def segmentation_object(self) -> Path | None:
        """The DICOM segmentation that is wanted, be it the only one."""
        return self.labels if self.labels.name.endswith(".dcm") else self.dicom_seg

    @property
    def finished(self) -> bool:
        """The label map is written last, so where it is, all is; that it is ours the plan has seen to."""
        return self.labels.exists()

    def run(self, segmenter: Segmenter, options: Options, monitor: Monitor) -> Result:
        """Segment and write; raises InputError or OutputError, and leaves no half-written file."""
        for path in self.outputs:
            outputs.require_writable(path)
        if self.segmentation_object:
            _require_dicom(self.ct)
        result = segmenter.segment_file(self.ct, options, monitor, self.series)
        result = replace(result, report=replace(result.report, case=self.name))
        with monitor.stage("write"):
            self.write(result)
        return result

    def write(self, result: Result) -> None:
        """All wanted files of ``result`` or none; the label map last, but packed while the preview is drawn."""
        with outputs.together() as replacing:
            with ThreadPoolExecutor(1) as other:
                packed = None if self.segmentation_object == self.labels else other.submit(self._label_file, result)
                if self.preview:
                    self._draw(result, self.preview, replacing)
            if self.uncertainty:
                files.write_map(self.uncertainty, result.uncertainty, result.volume, replacing)
            if self.report:
                told = json.dumps(result.report.to_json_dict(), indent=2) + "\n"
                files.write(self.report, told.encode(), replacing)
            if self.table:
                text = as_csv(result.report.structures, self.name, result.report.corrected)
                files.write(self.table, text.encode("utf-8", "surrogateescape"), replacing)
            if self.segmentation_object:
                self._write_dicom(result, self.segmentation_object, replacing)
            if packed:
                files.write(self.labels, packed.result(), replacing)

    def _label_file(self, result: Result) -> bytes:
        by_side = self.sides or self.labels.name.endswith(".seg.nrrd")
        labels = result.labels if by_side else together(result.labels, within=result.within)
        table = BY_SIDE if by_side else TOGETHER
        alone = result.report.parenchyma
        return files.label_file(self.labels, labels, result.volume, table, result.within, parenchyma=alone)

    def _draw(self, result: Result, path: Path, replacing: Replacing) -> None:
        from PIL.PngImagePlugin import PngInfo  # not everybody has Pillow who wants no picture

        from . import preview

        told = PngInfo()
        told.add_text("Software", outputs.MARK)
        picture = preview.preview(result.volume.hu, result.labels, result.volume.affine, result.report)
        with replacing(path) as temporary:
            dots = (preview.DPI, preview.DPI)
            picture.save(temporary, "PNG", pnginfo=told, dpi=dots, compress_level=3)  # a third of the time

    def _write_dicom(self, result: Result, path: Path, replacing: Replacing) -> None:
        """The segmentation object and what refers to it; that comes first, so that where the object is, all is."""
        from . import dicom_seg, dicom_sr  # need highdicom

        made = dicom_seg.segmentation(result, fractional=self.fractional)
        if self.dicom_sr:
            dicom_seg.write(self.dicom_sr, dicom_sr.measurement_report(result, made), replacing)
        dicom_seg.write(path, made, replacing)


def _require_dicom(ct: Path) -> None:
    """Raises before the run what would end it after: highdicom is missing, or the CT is no DICOM."""
    if importlib.util.find_spec("highdicom") is None:
        raise InstallError("DICOM results need the package highdicom: pip install highdicom")
    if ct.name.lower().endswith(files.ENDINGS):
        raise InputError(f"{ct} is no DICOM: a DICOM result needs a study to belong to; write .nii.gz or .seg.nrrd.")


@dataclass(frozen=True)
class Ending:
    """How the work on one CT ended, in plain values that go from process to process."""

    row: Row
    table: str = ""


def attempt(job: Job, segmenter: Segmenter, options: Options, monitor: Monitor) -> Ending:
    """Segment and write one CT; an error is an ending too. Raises Cancelled only."""
    try:
        result = job.run(segmenter, options, monitor)
    except Cancelled:
        raise
    except Exception as error:
        if isinstance(error, InputError) and (why := _no_ct(job)):
            return Ending(Row(job.name, LEFT_OUT, why))
        return Ending(Row(job.name, FAILED, told(error, job.name), lost=True))
    return Ending(Row(job.name, DONE, "", str(job.labels), result.report.to_json_dict()), result.report.table())


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    folder:   where the results of several CTs and their summary go; None for one CT with names of its own
    left_out: what lies beside the CTs and is not segmented
    """

    jobs: tuple[Job, ...]
    folder: Path | None = None
    left_out: tuple[LeftOut, ...] = ()


def _no_ct(job: Job) -> str:
    """Why what cannot be segmented is surely no CT; empty where it may be one."""
    from . import dicom, label_maps  # bring SciPy and more, which a plan does not need

    if files.ending_of(job.ct):
        return LABELS if label_maps.marks_only(job.ct) else ""
    return ONE_PLACE if dicom.is_of_one_place(job.ct, job.series) else ""


def plan(arguments: Namespace) -> Plan:
    """What the arguments of ``wpunet segment`` ask for.

    Raises InputError when they contradict each other, a folder holds no CT, or an output would take a file away.
    """
    cts, left_out = _survey(arguments)
    if _is_single(arguments, cts):
        one = cts[0] if len(cts) == 1 else Found(cts[0].path)  # reading it lists the series to choose from
        made = Plan((_single(arguments, one),), None, left_out)
        if arguments.scheduler:
            raise InputError(
                "--scheduler is for several CTs with a folder of results; leave it out to do this one here."
            )
    else:
        jobs = _several(arguments, cts)
        made = Plan(jobs, arguments.output, (*left_out, *_outdated(jobs)))
    if arguments.fractional and not any(job.segmentation_object for job in made.jobs):
        raise InputError("--fractional is for a DICOM segmentation; ask for one (--format dcm or --dicom-seg FILE).")
    _require_safe(made, arguments)
    if made.folder:
        outputs.make_folder(made.folder)
    return made


def _survey(arguments: Namespace) -> tuple[list[Found], tuple[LeftOut, ...]]:
    """The CTs that the arguments name, each once, and what is left out."""
    cts: dict[tuple[str, str | None], Found] = {}
    left: list[LeftOut] = []
    for given in arguments.ct:
        one = Found(folders.meant(given), arguments.series)  # it is looked for in a folder and all below it
        found = folders.Survey((one,)) if arguments.series else folders.survey(given)
        left += found.left_out
        for ct in found.cts:
            key = os.path.realpath(ct.path), ct.series  # of a link in a circle, too
            if key in cts:
                left.append(LeftOut(ct.path, "given twice"))
            elif len(arguments.ct) > 1 and ct.path.is_file() and outputs.is_ours(ct.path):
                left.append(LeftOut(ct.path, folders.OURS))
            else:
                cts[key] = ct
    if not cts:
        raise InputError("Only results of this program were given; give the CTs themselves.")
    return list(cts.values()), tuple(left)


def _is_single(arguments: Namespace, cts: Sequence[Found]) -> bool:
    """Whether one CT is meant, with names of its own: a file, a DICOM folder, or a disc with one CT."""
    if len(arguments.ct) != 1:
        return False
    output, given = arguments.output, arguments.ct[0]
    of_one = output is None or output.name.endswith(SUFFIXES)
    if len(cts) > 1:
        return of_one and {ct.path for ct in cts} == {folders.meant(given)}
    return cts[0].path == given or of_one or not given.is_dir()


def _several(arguments: Namespace, cts: Sequence[Found]) -> tuple[Job, ...]:
    single = ("report", "table", "preview", "uncertainty", "dicom_seg", "dicom_sr")
    if any(getattr(arguments, name) for name in single):
        raise InputError(
            "With several CTs each gets its report, table and preview in the folder that -o names; leave --report,"
            " --table, --preview, --uncertainty, --dicom-seg and --dicom-sr out (--format dcm writes DICOM)."
        )
    folder = arguments.output
    if folder is None:
        raise InputError("Say with -o which folder the segmentations of these CTs go into.")
    if folder.name.endswith(SUFFIXES) and not folder.is_dir():
        raise InputError(f"There are {len(cts)} CTs, so -o must name a folder, not the file {folder}.")
    ending = arguments.format or "nii.gz"
    return tuple(
        Job(
            ct=ct.path,
            name=name,
            labels=folder / f"{name}.{ending}",
            report=folder / f"{name}.json",
            table=folder / f"{name}.csv",
            preview=folder / f"{name}{PICTURE}",
            series=ct.series,
            sides=arguments.sides,
            dicom_sr=folder / f"{name}_measures.dcm" if ending == "dcm" else None,
            fractional=arguments.fractional,
        )
        for ct, name in zip(cts, _names(cts), strict=True)
    )


def _single(arguments: Namespace, ct: Found) -> Job:
    if not ct.path.exists():
        raise InputError(f"{ct.path} does not exist; check the name.")
    name = files.case_name(ct.path)
    output = arguments.output or Path(f"{name}_segmentation.{arguments.format or 'nii.gz'}")
    if output.is_dir():
        output = output / f"{name}.{arguments.format or 'nii.gz'}"
    if not output.name.endswith(SUFFIXES):
        endings = ", ".join(SUFFIXES)
        raise InputError(
            f"The name of the segmentation, {output}, must end in {endings}, or be that of a folder that is there."
        )
    if arguments.format and not output.name.endswith(f".{arguments.format}"):
        raise InputError(f"--format {arguments.format} contradicts the name of the output, {output}; change one.")
    if arguments.dicom_seg and output.name.endswith(".dcm"):
        raise InputError(f"{output} is the DICOM segmentation already; leave --dicom-seg out.")
    if arguments.dicom_sr and not (arguments.dicom_seg or output.name.endswith(".dcm")):
        raise InputError("The report of --dicom-sr refers to a DICOM segmentation; write that, too: --dicom-seg FILE.")
    if arguments.uncertainty and files.ending_of(arguments.uncertainty) not in files.MAPS:
        raise InputError(f"The name of the map, {arguments.uncertainty}, must end in {', '.join(files.MAPS)}.")
    return Job(
        ct=ct.path,
        name=name,
        labels=output,
        report=arguments.report,
        table=arguments.table,
        preview=arguments.preview,
        uncertainty=arguments.uncertainty,
        series=ct.series,
        sides=arguments.sides,
        dicom_seg=arguments.dicom_seg,
        dicom_sr=arguments.dicom_sr,
        fractional=arguments.fractional,
    )


def _require_safe(made: Plan, arguments: Namespace) -> None:
    """Raises InputError or OutputError where a file would be lost, or could not be written."""
    read = [*(job.ct for job in made.jobs), *(path for path in (arguments.weights,) if path)]
    if made.folder is None:  # else the names are ours, and _require_own sees to them
        read += [one for given in arguments.ct for one in (given, folders.meant(given))]
    inputs = outputs.Inputs(read)
    wanted = [path for job in made.jobs for path in job.outputs]
    wanted += [made.folder / SUMMARY] if made.folder else []
    for path in wanted:
        outputs.require_name(path)
    outputs.require_apart(wanted)
    for path in wanted:
        if made.folder is None or path != made.folder / SUMMARY or not is_summary(path):  # that bears no mark
            inputs.require_kept(path)
    for path in wanted if made.folder is None else ():
        outputs.require_writable(path)
    picture = arguments.preview
    if picture and picture.suffix.lower() != PICTURE and not outputs.is_stream(picture):
        raise InputError(f"The name of the preview, {picture}, must end in {PICTURE}.")
    if made.folder:
        for job in made.jobs:
            _require_own(job)
        summary = made.folder / SUMMARY
        if summary.exists() and not is_summary(summary):
            raise InputError(f"{summary} is there and was not written by this program; choose another folder with -o.")
    elif made.jobs[0].labels != arguments.output:
        (one,) = made.jobs
        _require_own(Job(one.ct, one.name, one.labels))  # the other names were given


def _require_own(job: Job) -> None:
    """Raises InputError where a file with the name of a result, which nobody gave, is somebody else's."""
    strange = [path for path in job.outputs if path.exists() and not outputs.is_ours(path)]
    if job.report and job.report.exists() and job.report not in strange and job.labels != job.segmentation_object:
        strange = [path for path in strange if path != job.labels]  # saved again by another program
    if strange:
        raise InputError(f"{strange[0]} is there and is no result of this program; choose another name or folder.")


def _names(cts: Sequence[Found]) -> list[str]:
    """A name for each CT: that of its file or folder, with the series where several of them share a folder."""
    shared = Counter(ct.path for ct in cts)
    of_path = dict(zip(shared, distinct_names(list(shared)), strict=True))
    return [of_path[ct.path] + (_of_series(ct.series) if ct.series and shared[ct.path] > 1 else "") for ct in cts]


def _of_series(uid: str) -> str:
    """How the name of a series ends; a UID that is none may hold what no file's name may, as a slash."""
    return f"_{re.sub(outputs.NO_FILE_NAME, '_', uid)}"


def _outdated(jobs: Sequence[Job]) -> list[LeftOut]:
    """Results with the name of a DICOM folder alone, from when it held one series."""
    written = {job.labels for job in jobs}
    alone = (job.labels.with_name(job.labels.name.replace(_of_series(job.series), "")) for job in jobs if job.series)
    there = (path for path in dict.fromkeys(alone) if path not in written and path.exists() and outputs.is_ours(path))
    return [LeftOut(path, OUTDATED) for path in there]


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Case names of ``paths``; those that would be alike get the names of the folders above in front.

    Of two files that differ in their ending only, that ending is part of the name.
    """
    above = [Path(os.path.realpath(path)) for path in paths]
    names = [files.case_name(path) for path in paths]
    if any(count > 1 for count in Counter(zip((path.parent for path in above), names, strict=True)).values()):
        seen = Counter(zip((path.parent for path in above), names, strict=True))
        names = [path.name if seen[path.parent, name] > 1 else name for path, name in zip(above, names, strict=True)]
    while len(set(names)) < len(names):
        seen_names = Counter(names)
        above = [path.parent for path in above]
        if all(path == path.parent for path in above):
            raise InputError(f"The same CT is given twice: {next(n for n in names if seen_names[n] > 1)}.")
        names = [
            f"{path.name}_{name}" if seen_names[name] > 1 else name for path, name in zip(above, names, strict=True)
        ]
    return names
