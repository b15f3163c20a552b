"""Words on the console, whatever the console is: closed, a pipe that nobody reads, or of a narrow alphabet."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

_missing: set[int] = set()  # standard descriptors that this process was not given


def take_input() -> int | None:
    """A descriptor of its own for standard input, to wait at for its end; None where nobody gave one.

    Descriptor 0 leads nowhere then: on Windows, libraries that look at it when they are loaded, as those of NumPy and
    SciPy, would wait for the thread that reads there.
    """
    if 0 in _missing:
        return None
    try:
        pipe = os.dup(0)
    except OSError:
        return None
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return pipe


def wait_for_end(pipe: int) -> None:
    """Returns when ``pipe`` closes, whatever comes through it before."""
    while os.read(pipe, 1024):
        pass


def prepare() -> None:
    """Before anything is opened: the three standard descriptors exist, so that no file takes the place of one.

    What a console cannot show is written as its number instead of ending the run.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _missing.add(number)
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)  # the lowest that is free
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            with suppress(OSError, ValueError):
                stream.reconfigure(errors="backslashreplace")


def write(stream: TextIO | None, text: str) -> bool:
    """Write and flush; False where nobody reads any more, which is no reason to stop working."""
    if stream is None:
        return False
    try:
        stream.write(text)
        stream.flush()
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        return write(stream, text.encode(encoding, "backslashreplace").decode(encoding))
    except (OSError, ValueError):  # a closed pipe, a closed stream
        silence(stream)
        return False
    return True


def silence(stream: TextIO) -> None:
    """From now on what is written to ``stream`` goes nowhere, its last words at the end of Python included."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


def finish() -> None:
    """At the end: what is still held back is written, or lost without a word."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                silence(stream)
