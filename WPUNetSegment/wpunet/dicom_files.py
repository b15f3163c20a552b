"""Which files are DICOM, with or without the 128 bytes in front, and their headers without a library's own words."""

from __future__ import annotations

import logging
import os
import stat
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Endings of files that lie beside slices and are none, as Windows' Thumbs.db; all others are looked into
TEXTS = (
    "jpg jpeg png gif bmp ico txt csv tsv json xml html htm pdf doc docx xls xlsx exe dll inf ini js css py md log mp4"
    " avi jar bat sh cfg yaml yml stl obj md5 sha1 sha256 sha512 bval bvec db"
)
IMAGES = "tif tiff gz nii nrrd nhdr mha mhd raw zip 7z rar tar bz2 h5 npy npz mat vtk"  # and what they are packed in
DOCUMENTS = frozenset(f".{ending}" for ending in TEXTS.split(" "))
NO_DICOM = DOCUMENTS | {f".{ending}" for ending in IMAGES.split(" ")}
UNREADABLE = "not readable"


def walk(top: Path, onerror: Callable[[OSError], None] | None = None) -> Iterator[tuple[Path, list[str], list[str]]]:
    """As ``os.walk``: a folder and all below it, sorted; links are followed once, hidden folders not entered."""
    seen = set()
    for name, below, files in os.walk(top, onerror=onerror, followlinks=True):
        real = os.path.realpath(name)
        below[:] = sorted(one for one in below if not one.startswith(".") and real not in seen)
        if real not in seen:
            seen.add(real)
            yield Path(name), below, files


def visible_files(folder: Path) -> list[Path]:
    """The files of a folder, sorted, without hidden ones (macOS leaves "._" files beside each) and DICOMDIR.

    A link that leads nowhere counts: what it led to is missed.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".") and _may_be_file(entry)]
    return [folder / name for name in sorted(names) if name.upper() != "DICOMDIR"]


def _may_be_file(entry: os.DirEntry[str]) -> bool:
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return True


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its first bytes; one that is named so and has none is a broken one."""
    if path.suffix.lower() in NO_DICOM:
        return False
    start = _start(path)
    named = path.suffix.lower() == ".dcm"
    return start[128:132] == b"DICM" or _is_bare(start) or (named and (len(start) < 132 or not any(start)))


def dicom_among(files: Sequence[Path]) -> list[Path]:
    """The DICOM files; beside such, what cannot be opened or holds nothing, or is named so, was one, too."""
    found = {file for file in files if is_dicom(file)}
    return [file for file in files if file in found or (found and _was_dicom(file))]


def _was_dicom(path: Path) -> bool:
    """Whether a file that is no DICOM was one by its name, or has lost its content: a copy that broke off."""
    suffix = path.suffix.lower()
    return suffix == ".dcm" or (suffix not in NO_DICOM and not any(_start(path)))


def _start(path: Path) -> bytes:
    """The first bytes; none where it cannot be opened."""
    try:
        with path.open("rb") as file:
            return file.read(140)
    except OSError:
        return b""


def _is_bare(start: bytes) -> bool:
    """Whether a data set begins at once: an element of group 2 or 8 with a length that can be."""
    if len(start) < 12:
        return False
    for order in ("<", ">"):
        group, element, length = struct.unpack_from(f"{order}HHI", start)
        if group in (2, 8) and element <= 0x0100:
            representation = start[4:6]
            if representation.isalpha() and representation.isupper():
                return True
            if order == "<" and length <= 1024 and length % 2 == 0:
                return True
    return False


@dataclass(frozen=True)
class Glance:
    """What a DICOM file is at first sight; ``frames`` is 0 in a file of one slice."""

    series: str
    kind: str
    is_ct: bool
    frames: int = 0


def glance(path: Path) -> Glance:
    """Whether a DICOM file is a slice of a CT (a localizer or a picture in colours is none), and of which series."""
    data = header(path, ("SeriesInstanceUID", "Modality", "Rows", "ImageType", "NumberOfFrames", "SamplesPerPixel"))
    if data is None or not len(data):
        return Glance("", UNREADABLE, False)
    kind = text(data, "Modality").upper()
    if "LOCALIZER" in text(data, "ImageType").upper():
        kind = "localizer"
    if (numbers(data, "SamplesPerPixel") or (1,))[0] > 1:
        kind = "pictures in colours"
    frames = int((numbers(data, "NumberOfFrames") or (0,))[0])
    return Glance(text(data, "SeriesInstanceUID"), kind or "no modality", "Rows" in data and kind in ("CT", ""), frames)


def header(path: Path, tags: tuple[str, ...] | None = None) -> Dataset | None:
    """The elements before the pixels (of these names only); None for a file that is broken."""
    import pydicom

    only = list(tags) if tags else None
    with silent():
        try:
            return pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=only)
        except Exception:  # what pydicom raises for a broken file is of many classes
            return None


def text(data: Dataset, name: str) -> str:
    """An element as text, without spaces around it; "" where it is missing or empty."""
    with silent():
        try:
            value: Any = data.get(name)
        except Exception:  # a value that cannot be parsed
            return ""
    return "" if value is None else str(value).strip("\0 ")


def numbers(data: Dataset, name: str) -> tuple[float, ...] | None:
    """An element as numbers; None where it is missing, empty, or holds something else."""
    with silent():
        try:
            value: Any = data.get(name)
            if value is None or value == "":
                return None
            many = value if hasattr(value, "__iter__") and not isinstance(value, str) else (value,)
            return tuple(float(part) for part in many) or None
        except Exception:  # text where a number should be
            return None


@contextmanager
def silent() -> Iterator[None]:
    """Without pydicom's warnings and log lines: what matters is told in words of ours."""
    logger = logging.getLogger("pydicom")
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before
