"""A case to be: what training.prepare makes cases of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from training.data import Case

READING = 2  # raise it when files are read or checked otherwise than before, so that all cases are made anew


@dataclass(frozen=True)
class Source:
    """A case to be: its name, group, the files it is made of, and how."""

    name: str
    group: str
    paths: tuple[Path, ...]
    load: partial[Case]

    @property
    def fingerprint(self) -> str:
        """Changes when a file does, or how it is to be read; not when the folder only moves."""
        given = (*self.load.args, *sorted(self.load.keywords.items()))
        how = repr([READING, *(source_name(one) if isinstance(one, Path) else one for one in given)])
        there = [one for path in self.paths for one in (sorted(path.iterdir()) if path.is_dir() else [path])]
        files = [f"{p.name}:{p.stat().st_size}:{p.stat().st_mtime_ns}" for p in there if p.exists()]
        return ";".join([*files, hashlib.sha256(how.encode()).hexdigest()])


def source_name(folder: Path) -> str:
    """What a folder's cases are called in the recipe's shares: as the folder, or as the one that holds ``data``."""
    folder = folder.resolve()
    return folder.parent.name if folder.name == "data" else folder.name
