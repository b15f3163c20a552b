"""``python -m wpunet`` and the command ``wpunet``."""

from __future__ import annotations

import sys

from . import console
from .cli import main


def run() -> None:
    """Run the command line and end the process with its exit status."""
    console.prepare()
    try:
        status = main()
    finally:
        console.finish()
    sys.exit(status)


if __name__ == "__main__":
    run()
