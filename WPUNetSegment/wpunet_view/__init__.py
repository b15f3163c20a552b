"""3D Slicer's core in the browser: the page that ``wpunet view`` opens."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from wpunet.errors import InputError

from . import needs


def run(arguments: Namespace, say: Callable[[str], None], stopped: Callable[[], bool]) -> None:
    """What ``wpunet view`` does, until ``stopped`` says so.

    Raises InputError when something that it needs is missing, or a file does not exist.
    """
    needs.require()
    for path in (arguments.ct, arguments.segmentation, arguments.weights):
        if path and not path.exists():
            raise InputError(f"{path} does not exist; check the name.")
    if arguments.segmentation and not arguments.ct:
        raise InputError("--segmentation needs its CT: wpunet view CT --segmentation FILE.")
    if arguments.segmentation and arguments.segment:
        raise InputError("--segmentation opens segments and --segment makes them; give one of the two.")
    from .server import Settings, serve

    session = {
        "ct": _absolute(arguments.ct),
        "series": arguments.series,
        "segment": arguments.segment,
        "segmentation": _absolute(arguments.segmentation),
        "device": arguments.device,
        "weights": _absolute(arguments.weights),
        "threads": str(arguments.threads or ""),
        "upload_limit": int(arguments.upload_limit * 1_000_000),
    }
    serve(Settings(arguments.host, arguments.port, arguments.browser, arguments.keep, session), say, stopped)


def _absolute(path: Path | None) -> str:
    return str(path.resolve()) if path else ""
