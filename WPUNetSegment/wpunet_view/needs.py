"""What the page needs and this machine may lack, said before anything is started."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import re
import sys
from importlib import metadata

from wpunet.errors import InputError

PACKAGES = ("aiohttp", "trame", "trame_slicer", "slicer")


def require() -> None:
    """Raises InputError that names what is missing and how to get it."""
    lacking = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if lacking:
        raise InputError(f"wpunet view needs more packages ({', '.join(lacking)}): {install_command()}")
    if not can_draw():
        raise InputError(
            "wpunet view cannot draw here: there is neither a display nor OSMesa; on Debian or Ubuntu:"
            " apt-get install libosmesa6 (or libosmesa6-dev where that name is gone)."
        )


def install_command() -> str:
    """What installs the page's packages into this very Python, however wpunet itself was installed."""
    listed = metadata.requires("wpunet") or []
    wanted = [line.partition(";")[0].strip() for line in listed if re.search(r"extra == .view.", line)]
    return " ".join(map(_quoted, (sys.executable, "-m", "pip", "install", *wanted)))


def _quoted(word: str) -> str:
    """For a command line; Windows reads double quotes only."""
    return word if re.fullmatch(r"[\w./\\:-]+", word) else f'"{word}"'


def can_draw() -> bool:
    """Whether VTK finds something to draw with; Windows and macOS always have it."""
    if sys.platform != "linux" or os.environ.get("DISPLAY"):
        return True
    return any(ctypes.util.find_library(name) for name in ("OSMesa", "EGL"))
