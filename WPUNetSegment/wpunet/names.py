"""Names of files as C libraries take them."""

from __future__ import annotations

import locale
import sys
from contextlib import suppress


def as_utf8() -> None:
    """From now on C libraries take the names of files as UTF-8, which Python hands them, on Windows too.

    There they else take them in the code page of the system: ITK and VTK would find no NRRD below a folder with
    an umlaut, as that of a user of such a name. It holds for the whole process, so only programs call it.
    """
    if sys.platform == "win32":
        with suppress(locale.Error):  # Windows knows it since 2018
            locale.setlocale(locale.LC_CTYPE, ".UTF-8")
