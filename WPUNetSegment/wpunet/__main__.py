"""``python -m wpunet`` and the command ``wpunet``."""

from __future__ import annotations

import sys

from .cli import main


def run() -> None:
    """Run the command line and end the process with its exit status."""
    sys.exit(main())


if __name__ == "__main__":
    run()
