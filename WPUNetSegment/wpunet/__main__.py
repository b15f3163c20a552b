"""``python -m wpunet`` and the command ``wpunet``."""

from __future__ import annotations

import os
import sys

from . import console, names
from .cli import main
from .progress import EXIT_CANCELLED


def run() -> None:
    """Run the command line and end the process with its exit status."""
    # NumPy's own threads would, for matrices as small as ours, mostly wait for each other and take the network's cores.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported
    console.prepare()
    names.as_utf8()
    try:
        status = main()
    except KeyboardInterrupt:  # a second Ctrl-C, or one before anything was begun
        status = EXIT_CANCELLED
    finally:
        console.finish()
    sys.exit(status)


if __name__ == "__main__":
    run()
