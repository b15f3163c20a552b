"""Where Slicer's own sources are, if the variable ``SLICER_SOURCE`` names them: tests then run behind the real ones."""

from __future__ import annotations

import os
import re
from pathlib import Path

SOURCE = Path(os.environ["SLICER_SOURCE"]).resolve() if os.environ.get("SLICER_SOURCE") else None
PYTHON = Path("Base/Python/slicer")


def version(source: Path) -> str:
    """Of a checkout of Slicer: "5.12"."""
    text = (source / "CMakeLists.txt").read_text("utf-8")
    return ".".join(re.search(rf'set\(Slicer_VERSION_{part} "(\d+)"\)', text)[1] for part in ("MAJOR", "MINOR"))
