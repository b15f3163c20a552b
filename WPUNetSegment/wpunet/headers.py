"""What a NRRD or MetaImage header states, word for word: ITK fills in what is missing and does not say so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from .errors import InputError

MOST_HEADER = 1 << 20  # bytes
NRRD, META = (".nrrd", ".nhdr"), (".mha", ".mhd")
PATTERN = re.compile(r"([^%]*%\d{0,2}[diux][^%\s]*)((?:\s+-?\d{1,9})*)")  # of names, and the numbers put into it


@dataclass(frozen=True)
class Header:
    """The fields of a header, their names in lower case.

    texts:       of a NRRD, what programs have added ("key:=value"), keys as they are
    binary_from: where the voxels begin in the file; None where they lie in files of their own
    listed:      the names of such files that follow the header, one a line
    """

    fields: dict[str, str]
    binary_from: int | None
    listed: tuple[str, ...] = ()
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
    fields: dict[str, str] = {}
    texts: dict[str, str] = {}
    lines = text.splitlines()[1:]
    for number, line in enumerate(lines, 1):
        key, colon, value = line.partition(":")
        if not colon or line.startswith("#"):
            continue
        if value.startswith("="):
            texts[key.strip()] = value[1:].strip()
            continue
        name = key.strip().lower()
        fields[name] = value.strip()
        if name in ("data file", "datafile") and _is_list(fields[name]):
            return Header(fields, None, _listed(lines[number:]), texts)
    inside = not (fields.get("data file") or fields.get("datafile"))
    if inside and not end:
        raise InputError(f"{path} is cut short: its header has no end; copy it again.")
    return Header(fields, end.end() if inside and end else None, texts=texts)


def _is_list(value: str) -> bool:
    return value.startswith("LIST")


def _listed(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(line.strip() for line in lines if line.strip())


def _meta(content: bytes, path: Path) -> Header:
    fields: dict[str, str] = {}
    at = 0
    while at < len(content):
        line, newline, _ = content[at:].partition(b"\n")
        key, equals, value = line.decode("utf-8", "replace").partition("=")
        if not equals:
            break
        at += len(line) + len(newline)
        name, value = key.strip().lower(), value.strip()
        fields[name] = value
        if name == "elementdatafile":
            follow = content[at:].decode("utf-8", "replace").splitlines() if _is_list(value) else ()
            return Header(fields, at if value.upper() == "LOCAL" else None, _listed(follow))
    if "ndims" not in fields:
        raise InputError(f"{path} is not a MetaImage file in spite of its name; export it again.")
    raise InputError(f"{path} is cut short: its header names no voxels (ElementDataFile); copy it again.")


def data_files(path: Path) -> list[Path]:
    """The files in which the voxels of a detached header lie; none where it is no such header, or names none."""
    if path.suffix.lower() not in (*NRRD, *META):
        return []
    try:
        return voxel_files(read_header(path), path)
    except InputError:
        return []


def voxel_files(header: Header, path: Path) -> list[Path]:
    """The files in which the voxels lie, none where that is the header's own.

    Raises InputError where they are not named one by one, or are not as many as the header's slices need.
    """
    if header.binary_from is not None:
        return []
    value = header.get("data file", "datafile", "elementdatafile")
    names: Sequence[str]
    if _is_list(value):
        names, dimension = header.listed, value.removeprefix("LIST")
    elif pattern := PATTERN.fullmatch(value):
        names, dimension = _numbered(header, pattern, path)
    elif "%" in value and path.suffix.lower() in META:
        raise InputError(f"{path} names its voxels with a %, {value}, which stands for a number; rename the file.")
    else:
        return [path.parent / value] if value else []
    need = _pieces(header, dimension)
    if need and len(names) < need:
        raise InputError(f"{path} names {len(names)} files for {need} slices; export it again with all of them.")
    return [path.parent / name for name in names[: need or None]]


def _numbered(header: Header, pattern: re.Match[str], path: Path) -> tuple[list[str], str]:
    """The names that a pattern stands for, and the dimension of each file where it is stated.

    In MetaImage the first number is 1 where it is not stated, the step 1; a last number without a step sets the step,
    and ITK divides by one of 0.
    """
    name, numbers = pattern[1], [int(word) for word in pattern[2].split()]
    if path.suffix.lower() in META:
        slices = _pieces(header, "")
        step = (numbers[1] - numbers[0]) // max(slices, 1) if len(numbers) == 2 else 1
        numbers += [1, slices, step][len(numbers) :]
    if len(numbers) < 3 or not numbers[2]:
        raise InputError(
            f"{path} names its voxels by a pattern that has no step, {pattern[0]}; write first, last and step after it."
        )
    first, last, step = numbers[:3]
    dimension = " ".join(map(str, numbers[3:4]))
    found = range(first, last + (1 if step > 0 else -1), step)[: max(_pieces(header, dimension), 1)]
    return [name % k for k in found], dimension


def _pieces(header: Header, dimension: str) -> int:
    """How many files of this dimension (one less than the whole where it is not stated) hold all voxels."""
    try:
        sizes = [int(word) for word in header.get("sizes", "dimsize").split()]
        return prod(sizes[int(dimension or len(sizes) - 1) :])
    except ValueError:
        return 0
