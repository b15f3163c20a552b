"""NRRD and MetaImage files by ITK, which takes 1 mm where a header states no spacing: here that is refused."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError, reason
from .headers import NRRD, Header, read_header, voxel_files

MM = {"mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "um": 1e-3, "µm": 1e-3, "micron": 1e-3, "microns": 1e-3}
MM |= {"micrometer": 1e-3, "micrometers": 1e-3, "cm": 10.0, "m": 1000.0, "meter": 1000.0, "meters": 1000.0}
BYTES = {
    **dict.fromkeys(("char", "signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(
        ("short", "short int", "signed short", "int16", "int16_t", "ushort", "unsigned short", "uint16"), 2
    ),
    **dict.fromkeys(("uint16_t", "unsigned short int", "signed short int"), 2),
    **dict.fromkeys(
        ("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t", "float"), 4
    ),
    **dict.fromkeys(("double", "int64", "uint64", "longlong", "ulonglong"), 8),
}
NO_ORIENTATION = "The file states no orientation: right and left, head and feet may be swapped."
NO_POSITION = "The file states no position: the places told are not those in the patient."
_one_at_a_time = threading.Lock()


def read(path: Path) -> tuple[Any, float, tuple[str, ...]]:
    """A SimpleITK image, mm in one unit of its lengths, warnings; raises InputError with what is wrong."""
    header = read_header(path)
    for file in voxel_files(header, path):
        if not file.is_file():
            raise InputError(f"{path} has its voxels in {file.name}, which is not there; copy it beside the header.")
    _require_voxels(header, path)
    factor, warnings = (_nrrd_geometry if path.suffix.lower() in NRRD else _meta_geometry)(header, path)
    return read_quietly(path), factor, warnings


def _require_voxels(header: Header, path: Path) -> None:
    """Raises InputError where voxels that are not packed, or packed as gzip, are not as many as the header says."""
    size = BYTES.get(header.get("type", "elementtype").lower().removeprefix("met_"))
    counts = _numbers(header.get("sizes", "dimsize"))
    packed = header.get("encoding").lower() or ("zlib" if header.get("compresseddata").lower() == "true" else "raw")
    if (
        header.binary_from is None
        or size is None
        or not counts
        or header.get("line skip", "byte skip", "byteskip", "headersize")
    ):
        return
    there = path.stat().st_size - header.binary_from
    if packed in ("gzip", "gz"):  # the last bytes of a gzip say how much is in it
        with path.open("rb") as file:
            file.seek(-min(4, max(there, 0)), os.SEEK_END)
            there = int.from_bytes(file.read(4), "little")
    elif packed != "raw":
        return
    channels = (_numbers(header.get("elementnumberofchannels")) or [1.0])[0]
    need = float(np.prod(counts)) * size * channels
    if not np.isfinite(need) or need % 2**32 != there % 2**32:
        what = "more" if there > need else "fewer"
        raise InputError(f"{path} is cut short or damaged: it holds {what} voxels than its header says; copy it again.")


def read_quietly(path: Path | str) -> Any:
    """What ITK reads, without its lines on stderr; raises InputError."""
    import SimpleITK as sitk

    with _quiet():
        try:
            return sitk.ReadImage(str(path))
        except RuntimeError as error:
            text = str(error).rsplit("ITK ERROR:", 1)[-1]
            if re.search(
                r"expected|truncated|end of file|too few|not read completely|read error|premature", text, re.I
            ):
                raise InputError(f"{path} is cut short or damaged; copy it again.") from error
            last = [line.strip() for line in text.splitlines() if line.strip()][-1:]
            told = re.sub(r"^\[nrrd\] \w+: *", "", "".join(last))
            raise InputError(f"{path} cannot be read; copy or export it again ({reason(told)}).") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """ITK's libraries write to the process's stderr; meanwhile that leads nowhere."""
    with _one_at_a_time:
        try:
            kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        except OSError:  # no stderr at all
            yield
            return
        try:
            os.dup2(nothing, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nothing)


def _nrrd_geometry(header: Header, path: Path) -> tuple[float, tuple[str, ...]]:
    directions, spacings = header.get("space directions"), header.get("spacings")
    if not directions and not _numbers(spacings):
        raise InputError(f"{path} states no spacing (neither space directions nor spacings); export it again with it.")
    units = set(re.findall(r'"([^"]*)"', header.get("space units", "units"))) - {"", "none", "???"}
    unknown = sorted(unit for unit in units if unit.lower() not in MM)
    factors = {MM[unit.lower()] for unit in units if unit.lower() in MM} or {1.0}
    if unknown or len(factors) > 1:
        raise InputError(f"{path} has lengths in {', '.join(sorted(units))}; export it again in mm.")
    space = header.get("space").lower()
    anatomical = re.match(r"(left|right)-(anterior|posterior)-superior|(ras|las|lps)", space)
    if not (directions and anatomical):
        return factors.pop(), (NO_ORIENTATION,)
    placed = len(_numbers(re.sub(r"[(),]", " ", header.get("space origin")))) == 3
    return factors.pop(), () if placed else (NO_POSITION,)


def _meta_geometry(header: Header, path: Path) -> tuple[float, tuple[str, ...]]:
    spacing = _numbers(header.get("elementspacing", "elementsize"))
    if not spacing:
        raise InputError(f"{path} states no spacing (ElementSpacing); export it again with it.")
    if not all(np.isfinite(step) and step > 0 for step in spacing):
        raise InputError(f"{path} has a spacing of {spacing} mm; export it again with its true spacing.")
    if not header.get("transformmatrix", "orientation", "rotation"):
        return 1.0, (NO_ORIENTATION,)
    return 1.0, () if len(_numbers(header.get("offset", "position", "origin"))) >= 3 else (NO_POSITION,)


def _numbers(text: str) -> list[float]:
    """The numbers of a header's field, without those that are "none" or no number."""
    found = []
    for word in text.split():
        try:
            value = float(word)
        except ValueError:
            continue
        if not np.isnan(value):
            found.append(value)
    return found
