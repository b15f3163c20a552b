"""What the page needs and this machine may lack, said before anything is started."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import sys

from wpunet.errors import InputError

PACKAGES = ("aiohttp", "trame", "trame_slicer", "slicer")


def require() -> None:
    """Raises InputError that names what is missing and how to get it."""
    lacking = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if lacking:
        raise InputError(f"wpunet view needs more packages ({', '.join(lacking)}): pip install 'wpunet[view]'.")
    if not can_draw():
        raise InputError(
            "wpunet view cannot draw here: there is neither a display nor OSMesa; on Debian or Ubuntu:"
            " apt-get install libosmesa6 (or libosmesa6-dev where that name is gone)."
        )


def can_draw() -> bool:
    """Whether VTK finds something to draw with; Windows and macOS always have it."""
    if sys.platform != "linux" or os.environ.get("DISPLAY"):
        return True
    return any(ctypes.util.find_library(name) for name in ("OSMesa", "EGL"))
