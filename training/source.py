"""A case to be: what training.prepare makes cases of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from training.data import Case


@dataclass(frozen=True)
class Source:
    """A case to be: its name, group, the files it is made of, and how."""

    name: str
    group: str
    paths: tuple[Path, ...]
    load: Callable[[], Case]

    @property
    def fingerprint(self) -> str:
        """Changes when a file does."""
        return ";".join(f"{p.name}:{p.stat().st_size}:{p.stat().st_mtime_ns}" for p in self.paths if p.exists())


def source_name(folder: Path) -> str:
    """What a folder's cases are called in the recipe's shares: as the folder, or as the one that holds ``data``."""
    folder = folder.resolve()
    return folder.parent.name if folder.name == "data" else folder.name
