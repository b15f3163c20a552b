"""The command line: reads the arguments, runs the engine, prints. Exit status 0 done, 2 bad input, 130 cancelled."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from . import __version__, console
from .errors import Cancelled, InputError, told
from .progress import EXIT_BAD_INPUT, EXIT_CANCELLED

if TYPE_CHECKING:
    from .progress import Cancel, Reporter
    from .segment import Segmenter

MOST_THREADS = 1024
FORMATS = ("nii.gz", "seg.nrrd", "dcm")


def main(argv: list[str] | None = None) -> int:
    """Run ``wpunet``; returns the exit status."""
    from .progress import Cancel, reporter

    arguments = parser().parse_args(argv)
    with reporter(getattr(arguments, "progress", "none")) as talk, Cancel() as cancel:
        if getattr(arguments, "stop_with_stdin", False):
            cancel.with_stdin()
        try:
            return arguments.run(arguments, talk, cancel)
        except Cancelled:
            with suppress(Cancelled):  # whoever does not listen to progress does not listen to this either
                talk.error("Cancelled.", EXIT_CANCELLED)
            return EXIT_CANCELLED
        except Exception as error:
            with suppress(Cancelled):
                talk.error(told(error), EXIT_BAD_INPUT)
            return EXIT_BAD_INPUT


class Parser(argparse.ArgumentParser):
    """Whose error is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_BAD_INPUT, f"{self.prog}: {message} ({self.prog} --help tells more)\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        if message:
            console.write(sys.stderr, message)
        raise SystemExit(status)


def parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    top = Parser(
        prog="wpunet",
        description="Finds kidneys, their tumors and cysts in CT, offline. For research only: not a medical device.",
        epilog="Begin with: wpunet segment CT -o kidneys.nii.gz --preview preview.png, or with: wpunet view CT."
        " All options: wpunet segment --help.",
    )
    top.add_argument("--version", action="version", version=f"wpunet {__version__}")
    commands = top.add_subparsers(required=True, metavar="command")
    _segment_arguments(commands.add_parser("segment", help="segment one CT, several, or a folder of them"))
    _view_arguments(commands.add_parser("view", help="segment, review and correct in the browser"))
    info = commands.add_parser("info", help="show versions, weights and devices")
    _weights_argument(info)
    info.set_defaults(run=_info)
    return top


def _path(text: str) -> Path:
    """A name of a file; an empty one, which ``Path`` takes for the current folder, is a variable that is not set."""
    from .outputs import can_be

    if not text:
        raise argparse.ArgumentTypeError("an empty name; give the name of a file or folder")
    if not can_be(Path(text)):
        raise argparse.ArgumentTypeError("a name that no file can have; give a shorter one")
    return Path(text)


def _output(text: str) -> Path:
    from .outputs import STDOUT

    return STDOUT if text == "-" else _path(text)


def _weights_argument(command: argparse.ArgumentParser) -> None:
    command.add_argument("--weights", type=_path, metavar="FILE", help="use these weights, not those of the package")


def _segment_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "ct",
        nargs="+",
        type=_path,
        metavar="CT",
        help="a NIfTI, NRRD or MHA file, a DICOM folder, or a folder of these",
    )
    where = "file to write (default: CT_segmentation.nii.gz); for several CTs a folder"
    add("-o", "--output", type=_path, metavar="OUT", help=where)
    add("--format", choices=FORMATS, help="format of the segmentation (default: that of OUT's name, else nii.gz)")
    add("--report", type=_output, metavar="FILE", help="write measurements and warnings as JSON; - is standard output")
    add("--table", type=_output, metavar="FILE", help="write measurements as CSV, a row for each structure")
    add("--preview", type=_output, metavar="FILE", help="write a PNG page of the slices that matter")
    add("--uncertainty", type=_path, metavar="FILE", help="write for each voxel the chance that the network is wrong")
    add("--dicom-seg", type=_output, metavar="FILE", help="write a DICOM segmentation too; the CT must be DICOM")
    add(
        "--dicom-sr",
        type=_output,
        metavar="FILE",
        help="write measurements as a DICOM report (TID 1500); the CT must be DICOM",
    )
    add("--fractional", action="store_true", help="put each voxel's certainty into the DICOM segmentation")
    add("--sides", action="store_true", help="label the left kidney 3 and cysts 4, not 1, in nii.gz and nrrd")
    add("--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    add("--series", metavar="UID", help="choose one series of a DICOM folder")
    add("--threads", type=_threads, metavar="N", help="processor threads to use")
    add("--full", action="store_true", help="look at the whole field of view, without the quick search")
    add(
        "--box",
        type=_box,
        metavar="I:I,J:J,K:K",
        help="look only in this box: voxels, from:to, along the axes of the file",
    )
    add(
        "--no-flips",
        dest="flips",
        action="store_false",
        help="do not average with mirrored slices: faster, slightly less accurate",
    )
    add("--parenchyma", action="store_true", help="mark the parenchyma of kidneys alone, without the renal sinus")
    rules = "holes, islands, pair, orphans, watery, doubtful, faint, specks, unseen or all"
    add("--skip-rule", action="append", default=[], metavar="RULE", help=f"switch off a clean-up rule: {rules}")
    add(
        "--min-tumor-ml",
        type=partial(_amount, "volume", "ml"),
        metavar="ML",
        help="count a tumor or cyst smaller than this as kidney",
    )
    add("--scheduler", metavar="ADDRESS", help="for several CTs: use the workers of this Dask scheduler")
    add("--overwrite", action="store_true", help="for several CTs: do finished ones again, as a single one always is")
    add(
        "--progress",
        choices=("bar", "json", "none"),
        default="bar",
        help="how to show progress (default: bar, on a terminal)",
    )
    add(
        "--stop-with-stdin",
        action="store_true",
        help="stop when standard input closes; for programs that start this one",
    )
    _weights_argument(command)
    command.set_defaults(run=_segment)


def _segment(arguments: argparse.Namespace, talk: Reporter, cancel: Cancel) -> int:
    from . import outputs, summary
    from .batch import plan
    from .reading import ReadAhead

    planned = plan(arguments)
    read = ReadAhead([(planned.jobs[0].ct, planned.jobs[0].series)] if planned.folder is None else [])
    from .clean import CleanRules  # after the first CT has begun to be read: they take as long to import
    from .segment import Options

    rules = CleanRules().without(arguments.skip_rule)
    if arguments.min_tumor_ml is not None:
        rules = replace(rules, min_tumor_ml=arguments.min_tumor_ml)
    names = ("full", "box", "flips", "parenchyma")
    options = Options(**{name: getattr(arguments, name) for name in names}, rules=rules)
    left_out = [summary.Row.of_left_out(one) for one in planned.left_out]
    lost = any(row.lost for row in left_out)
    if planned.folder is None:
        (job,) = planned.jobs
        if any(map(outputs.is_stdout, job.outputs)):
            talk.leave_stdout()
        talk.begin(job.name, 1, 1)
        segmenter = _segmenter(arguments)
        segmenter.read = read
        report = job.run(segmenter, options, talk.monitor(cancel)).report
        talk.result(job, report.to_json_dict(), report.table())
        if left_out:
            talk.summary(left_out, None)
        return EXIT_BAD_INPUT if lost else 0
    from .work import work_through

    return work_through(planned, left_out, options, partial(_segmenter, arguments), arguments, talk, cancel)


def _segmenter(arguments: argparse.Namespace) -> Segmenter:
    from .segment import Segmenter

    return Segmenter(arguments.weights, arguments.device, arguments.threads)


def _box(text: str) -> tuple[tuple[int, int], ...]:
    """ "0:512,100:400,20:90" -> ((0, 512), (100, 400), (20, 90))."""
    sides = [side.split(":") for side in text.split(",")]
    if len(sides) != 3 or any(len(side) != 2 for side in sides):
        raise argparse.ArgumentTypeError(f"'{text}' is no box; give three ranges of voxels: 0:512,100:400,20:90")
    try:
        box = tuple((int(first), int(last)) for first, last in sides)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no box of whole numbers; write 0:512,100:400,20:90") from error
    if any(not 0 <= first < last for first, last in box):
        raise argparse.ArgumentTypeError(f"'{text}' is no box; each range goes from 0 or more to more: 100:400")
    return box


def _threads(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_THREADS:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of threads; give 1 to {MOST_THREADS}")
    return int(text)


def _amount(what: str, unit: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"'{text}' is no {what}; give {unit}, 0 or more")
    return value


def _info(arguments: argparse.Namespace, talk: Reporter, _cancel: Cancel) -> int:
    from .info import describe

    talk.say(describe(arguments.weights))
    return 0


def _view_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("ct", nargs="?", type=_path, metavar="CT", help="CT to open; without it the page asks for one")
    add("--segment", action="store_true", help="segment the CT at once")
    add("--segmentation", type=_path, metavar="FILE", help="open this segmentation of the CT, to review and correct it")
    add("--port", type=int, default=0, help="port to listen on (default: any that is free)")
    add(
        "--host",
        metavar="ADDRESS",
        help="listen on this address and ask for a token (default: this machine only, no token)",
    )
    add("--no-browser", dest="browser", action="store_false", help="open no browser, only print the address")
    add(
        "--keep",
        type=partial(_amount, "time", "seconds"),
        default=30.0,
        metavar="SECONDS",
        help="how long a closed page can be opened again (default: 30)",
    )
    add(
        "--upload-limit",
        type=partial(_amount, "size", "MB"),
        default=2000.0,
        metavar="MB",
        help="largest file to accept (default: 2000)",
    )
    add("--series", metavar="UID", help="choose one series of a DICOM folder")
    add("--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    add("--threads", type=_threads, metavar="N", help="processor threads to use")
    _weights_argument(command)
    command.set_defaults(run=_view)


def _view(arguments: argparse.Namespace, talk: Reporter, cancel: Cancel) -> int:
    try:
        import wpunet_view  # beside the engine, which does without it; 3D Slicer's copy has none
    except ModuleNotFoundError as error:
        raise InputError(f"The page of wpunet view is not here ({error}); install wpunet itself.") from error

    wpunet_view.run(arguments, talk.say, cancel)
    return 0
