"""How the command lines of the training begin and end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps

from wpunet import console, names
from wpunet.errors import InputError, WpunetError

STOPPED = 130  # as a shell tells of Ctrl-C


def command(name: str) -> Callable[[Callable[[], int]], Callable[[], int]]:
    """Makes a ``main`` that ends with status 2 and one sentence where it cannot go on, and without a word of Python's
    where it is stopped."""

    def ending(main: Callable[[], int]) -> Callable[[], int]:
        @wraps(main)
        def run() -> int:
            console.prepare()
            names.as_utf8()
            try:
                return main()
            except (WpunetError, OSError) as error:
                print(f"{name}: {_words(error)}", file=sys.stderr)
                return 2
            except KeyboardInterrupt:
                print(f"{name}: stopped; the same command goes on with what was kept.", file=sys.stderr)
                return STOPPED

        return run

    return ending


def at_least(least: int, **given: int | None) -> None:
    """Raise InputError where a number that was given with an option of this name is less."""
    for name, number in given.items():
        if number is not None and number < least:
            raise InputError(f"--{name} is {number}; give a whole number from {least} on.")


def _words(error: WpunetError | OSError) -> str:
    if isinstance(error, OSError) and error.filename:
        what = error.strerror or type(error).__name__
        path = error.filename2 or error.filename  # where a file could not be put, rather than the one that was to be
        return f"{path} cannot be used ({what}); check its name, its rights and the room on its disk."
    return str(error)
