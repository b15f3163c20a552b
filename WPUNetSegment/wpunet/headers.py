"""What a NRRD or MetaImage header states, word for word: ITK fills in what is missing and does not say so."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from .errors import InputError

MOST_HEADER = 1 << 20  # bytes
NRRD, META = (".nrrd", ".nhdr"), (".mha", ".mhd")


@dataclass(frozen=True)
class Header:
    """The fields of a header, their names in lower case.

    texts:       of a NRRD, what programs have added ("key:=value"), keys as they are
    binary_from: where the voxels begin in the file; None where they lie in files of their own
    """

    fields: dict[str, str]
    binary_from: int | None
    texts: dict[str, str] = field(default_factory=dict)

    def get(self, *names: str) -> str:
        """The first of these fields that is there; "" where none is."""
        return next((self.fields[name] for name in names if self.fields.get(name)), "")


def read_header(path: Path) -> Header:
    """The header of a NRRD or MetaImage file; raises InputError when it is none."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_HEADER)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its rights.") from error
    return _nrrd(content, path) if path.suffix.lower() in NRRD else _meta(content, path)


def _nrrd(content: bytes, path: Path) -> Header:
    if not content.startswith(b"NRRD"):
        raise InputError(f"{path} is not a NRRD file in spite of its name; export it again.")
    end = re.search(rb"\r?\n\r?\n", content)
    text = content[: end.start() if end else len(content)].decode("utf-8", "replace")
    fields, texts = {}, {}
    for line in text.splitlines()[1:]:
        key, colon, value = line.partition(":")
        if not colon or line.startswith("#"):
            continue
        if value.startswith("="):
            texts[key.strip()] = value[1:].strip()
        else:
            fields[key.strip().lower()] = value.strip()
    inside = not (fields.get("data file") or fields.get("datafile"))
    if inside and not end:
        raise InputError(f"{path} is cut short: its header has no end; copy it again.")
    return Header(fields, end.end() if inside and end else None, texts)


def _meta(content: bytes, path: Path) -> Header:
    fields: dict[str, str] = {}
    at = 0
    while at < len(content):
        line, newline, _ = content[at:].partition(b"\n")
        key, equals, value = line.decode("utf-8", "replace").partition("=")
        if not equals:
            break
        at += len(line) + len(newline)
        fields[key.strip().lower()] = value.strip()
        if key.strip().lower() == "elementdatafile":
            return Header(fields, at if value.strip().upper() == "LOCAL" else None)
    if "ndims" not in fields:
        raise InputError(f"{path} is not a MetaImage file in spite of its name; export it again.")
    raise InputError(f"{path} is cut short: its header names no voxels (ElementDataFile); copy it again.")


def data_files(path: Path) -> list[Path]:
    """The files in which the voxels of a detached header lie, as far as it names them one by one."""
    try:
        header = read_header(path)
    except InputError:
        return []
    name = header.get("data file", "datafile", "elementdatafile")
    if not name or name.upper().startswith(("LOCAL", "LIST")) or "%" in name:
        return []
    return [path.parent / name]
