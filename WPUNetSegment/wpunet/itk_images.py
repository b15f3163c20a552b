"""NRRD and MetaImage files by ITK, which takes 1 mm where a header states no spacing: here that is refused."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
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
CUT = re.compile(
    r"expected|truncated|end of file|too few|not read completely|read error|premature|parse element|Reason:", re.I
)
WHO_SAYS_IT = re.compile(r"^(\[nrrd\] |\w+\(0x[0-9a-f]+\): |[\w:]*\w: )+")  # ITK's names of its own parts
_one_at_a_time = threading.Lock()


def read(path: Path) -> tuple[Any, float, tuple[str, ...]]:
    """A SimpleITK image, mm in one unit of its lengths, warnings; raises InputError with what is wrong."""
    header = read_header(path)
    voxels = voxel_files(header, path)
    for file in voxels:
        if not file.is_file():
            raise InputError(f"{path} has its voxels in {file.name}, which is not there; copy it beside the header.")
    factor, warnings = (_nrrd_geometry if path.suffix.lower() in NRRD else _meta_geometry)(header, path)
    _require_voxels(header, voxels, path)
    return read_quietly(path), factor, warnings


def _require_voxels(header: Header, files: Sequence[Path], path: Path) -> None:
    """Raises InputError where there are not as many bytes of voxels as the header says, as far as that can be told."""
    size = BYTES.get(header.get("type", "elementtype").lower().removeprefix("met_"))
    counts = _floats(header.get("sizes", "dimsize"))
    packed = header.get("encoding").lower() or ("zlib" if header.get("compresseddata").lower() == "true" else "raw")
    skipped = {header.get(name) for name in ("line skip", "byte skip", "byteskip", "headersize")} - {"", "0"}
    if size is None or not counts or skipped or header.get("binarydata").lower() == "false":
        return
    parts = [(file, 0) for file in files] or [(path, header.binary_from or 0)]
    there = sum(one.stat().st_size - start for one, start in parts)
    need = float(np.prod(counts)) * size * (_floats(header.get("elementnumberofchannels")) or [1.0])[0]
    if packed == "raw":
        short, long = not there >= need, there > need and not files
    elif packed in ("gzip", "gz"):
        short, long = not np.isfinite(need) or sum(map(_unpacked, parts)) % 2**32 != need % 2**32, False
    else:
        short, long = packed == "zlib" and not sum(map(_inflated, parts)) >= need, False
    if short or long:
        what = f": it holds {'more' if long else 'fewer'} voxels than its header says" if packed == "raw" else ""
        raise InputError(f"{path} is cut short or damaged{what}; copy it again.")


def _unpacked(part: tuple[Path, int]) -> int:
    """How many bytes a gzip from this place of a file says that it holds, which its last four tell."""
    path, start = part
    with path.open("rb") as file:
        file.seek(max(start, path.stat().st_size - 4))
        return int.from_bytes(file.read(4), "little")


def _inflated(part: tuple[Path, int]) -> int:
    """How many bytes a zlib stream from this place of a file holds; ITK takes one that breaks off for a whole one."""
    from isal import isal_zlib

    path, start = part
    count, unpacker = 0, isal_zlib.decompressobj()
    with path.open("rb") as file, suppress(Exception):  # isal has an error class of its own
        file.seek(start)
        while packed := file.read(1 << 20):
            count += len(unpacker.decompress(packed))
    return count


def read_quietly(path: Path | str) -> Any:
    """What ITK reads, without its lines on stderr; raises InputError."""
    import SimpleITK as sitk

    with _quiet():
        try:
            return sitk.ReadImage(str(path))
        except RuntimeError as error:
            raise InputError(_in_our_words(str(error).rsplit("ITK ERROR:", 1)[-1], path)) from error


def _in_our_words(text: str, path: Path | str) -> str:
    """What ITK says of a file: its last line, where that is one for people."""
    if "determine ImageIO reader" in text:
        return (
            f"{path} cannot be read: it is damaged or packed in a way that is not known here; copy or export it again."
        )
    told = WHO_SAYS_IT.sub("", next((line.strip() for line in reversed(text.splitlines()) if line.strip()), ""))
    if CUT.search(text) or not re.search("[a-z]", told):
        return f"{path} is cut short or damaged; copy it again."
    return f"{path} cannot be read; copy or export it again ({reason(told)})."


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
    oriented = _require_spacing(header, path)
    units = set(re.findall(r'"([^"]*)"', header.get("space units", "units"))) - {"", "none", "???"}
    unknown = sorted(unit for unit in units if unit.lower() not in MM)
    factors = {MM[unit.lower()] for unit in units if unit.lower() in MM} or {1.0}
    if unknown or len(factors) > 1:
        raise InputError(f"{path} has lengths in {', '.join(sorted(units))}; export it again in mm.")
    space = header.get("space").lower()
    anatomical = re.match(r"(left|right)-(anterior|posterior)-superior|(ras|las|lps)", space)
    if not (oriented and anatomical):
        return factors.pop(), (NO_ORIENTATION,)
    placed = np.isfinite(_vector(header.get("space origin"))).sum() == 3
    return factors.pop(), () if placed else (NO_POSITION,)


def _require_spacing(header: Header, path: Path) -> bool:
    """Whether every axis in space has a direction, not a spacing alone; raises InputError where one has neither.

    ITK takes 1 mm for an axis whose direction is "none" and whose spacing is not stated.
    """
    count, kinds = len(header.get("sizes").split()), header.get("kinds").lower().split()
    vectors = [_vector(word) for word in re.findall(r"none|\([^)]*\)", header.get("space directions").lower())]
    if vectors:
        stated = {k for k, vector in enumerate(vectors) if np.isfinite(vector).all() and np.any(vector)}
    else:
        stated = {k for k, step in enumerate(_floats(header.get("spacings"))) if np.isfinite(step) and step > 0}
    wanted = {k for k, kind in enumerate(kinds) if kind in ("domain", "space")} or set(range(count if count < 4 else 0))
    if not wanted <= stated or len(stated) < min(count, 3):
        raise InputError(
            f"{path} states no spacing, or not of every axis (space directions, spacings); export it again with it."
        )
    return bool(vectors)


def _vector(text: str) -> list[float]:
    """The parts of a NRRD vector; "none" is one that is not finite."""
    return _floats(re.sub(r"[(),]", " ", text))


def _meta_geometry(header: Header, path: Path) -> tuple[float, tuple[str, ...]]:
    text, count = header.get("elementspacing", "elementsize"), len(header.get("dimsize").split())
    if not text:
        raise InputError(f"{path} states no spacing (ElementSpacing); export it again with it.")
    spacing = _floats(text)
    if len(spacing) < count or not all(np.isfinite(step) and step > 0 for step in spacing):
        raise InputError(
            f"{path} has a spacing of '{text}', not {count} lengths above 0; export it again with its true spacing."
        )
    matrix = next(
        (name for name in ("TransformMatrix", "Orientation", "Rotation") if name.lower() in header.fields), ""
    )
    if not matrix:
        return 1.0, (NO_ORIENTATION,)
    values = np.array(_floats(header.fields[matrix.lower()]))
    if len(values) != count**2 or not np.isfinite(values).all() or _is_flat(values.reshape(count, count)):
        raise InputError(f"{path} has a {matrix} that gives no directions; export it again with its geometry.")
    place = _floats(header.get("offset", "position", "origin"))
    return 1.0, () if np.isfinite(place).sum() >= 3 else (NO_POSITION,)


def _is_flat(matrix: np.ndarray) -> bool:
    return abs(float(np.linalg.det(matrix))) < 1e-6


def _floats(text: str) -> list[float]:
    """The words of a header's field as numbers; NaN for those that are none."""
    found = []
    for word in text.split():
        try:
            found.append(float(word))
        except ValueError:
            found.append(float("nan"))
    return found
