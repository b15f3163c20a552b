"""Errors a user can act on: each message names the file, what is wrong and what to do."""

from __future__ import annotations

import os
import sys
import traceback

NO_MEMORY = "Not enough memory for this CT; close other programs or crop the CT."
DEBUG = "WPUNET_DEBUG"  # a variable of the environment: when set, tracebacks are shown


class WpunetError(Exception):
    """Base class of every error that the engine raises on purpose; its text is one sentence for the user."""


class InputError(WpunetError):
    """The CT or an option cannot be used as given."""


class OutputError(WpunetError):
    """A result cannot be written where it was asked for."""


class WeightsError(WpunetError):
    """The weights file is missing, damaged or of another network."""


class DeviceError(WpunetError):
    """The device that was asked for does not exist here."""


class Cancelled(WpunetError):
    """The caller asked to stop."""


class InstallError(WpunetError):
    """A package that the engine needs is not installed, or cannot be."""


def told(error: BaseException, name: str = "") -> str:
    """One line for the user, with the case's ``name``; the traceback goes to stderr where DEBUG is set."""
    if os.environ.get(DEBUG) and sys.stderr is not None:
        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, WpunetError):
        text = str(error)
    elif isinstance(error, MemoryError):
        text = NO_MEMORY
    elif isinstance(error, PermissionError) and error.filename:
        text = f"{error.filename} cannot be opened ({error.strerror}); check its rights."
    else:
        what = " ".join(str(error).split())
        text = f"Unexpected error ({type(error).__name__}{': ' if what else ''}{what}); set {DEBUG}=1 to see where."
    return text if not name or name in text else f"{name}: {text}"


def reason(error: BaseException | str) -> str:
    """A library's words in one line, cut between words."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 120 else words[:120].rsplit(" ", 1)[0] + " ..."
