"""What people's folders look like: every CT in them is found, and what is left out is named with its reason."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import outputs
from .dicom_files import UNREADABLE, glance, is_dicom, visible_files
from .dicom_slices import read_slices
from .errors import InputError
from .files import ENDINGS, NIFTI, ending_of
from .headers import read_header

KITS_CT = ("imaging.nii.gz", "imaging.nii")
ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar", ".bz2", ".zst", ".xz")
OTHER_IMAGES = (".hdr", ".mgz", ".mgh", ".ima", ".par", ".hdf5", ".npy", ".npz")
NOT_ENTERED = ("__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information")
LEAST_SLICES = 3
Pieces = dict[str, list[tuple[Path, int]]]  # by series: folders that hold slices of it, and how many (up to three)
NO_HU = "8-bit numbers without a scale: a mask or a picture, no HU"


@dataclass(frozen=True)
class Found:
    """A CT: a file, a DICOM folder, or one series (``series``) of the DICOM files below a folder."""

    path: Path
    series: str | None = None


@dataclass(frozen=True)
class LeftOut:
    """Something that is not segmented; ``lost`` where it may be a CT all the same."""

    path: Path
    reason: str
    lost: bool = False


@dataclass(frozen=True)
class Survey:
    """All that a path stands for."""

    cts: tuple[Found, ...]
    left_out: tuple[LeftOut, ...] = ()


def survey(path: Path) -> Survey:
    """The CTs that a path stands for, and what beside them is left out; raises InputError when a folder holds none."""
    path = Path(path)
    if path.name.upper() == "DICOMDIR" and path.is_file():
        path = path.parent
    if not path.is_dir():
        return Survey((Found(path),))
    cts: list[Found] = []
    left: list[LeftOut] = []
    pieces: Pieces = {}
    for folder in _folders(path, left):
        names = visible_files(folder)
        _take_images(names, cts, left)
        _take_slices(folder, names, pieces, left)
    for uid, parts in _apart(pieces):
        whole = Path(os.path.commonpath([folder for folder, _ in parts]))
        count = sum(slices for _, slices in parts)
        if count < LEAST_SLICES:
            left.append(LeftOut(whole, f"a series of {count} slice(s); a CT has at least {LEAST_SLICES}", lost=True))
        else:
            cts.append(Found(whole, uid if len(parts) > 1 else None))
    if not cts:
        raise InputError(_nothing(path, left))
    return Survey(tuple(sorted(cts, key=lambda one: one.path)), tuple(left))


def _folders(top: Path, left: list[LeftOut]) -> Iterator[Path]:
    """The folder and all below it, links followed once; hidden ones and those of KiTS19's cases are not entered."""
    seen = set()

    def closed(error: OSError) -> None:
        left.append(LeftOut(Path(error.filename), f"cannot be opened ({error.strerror})", lost=True))

    for name, below, files in os.walk(top, onerror=closed, followlinks=True):
        real = os.path.realpath(name)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(one for one in below if not one.startswith(".") and one not in NOT_ENTERED)
        if any(one in KITS_CT for one in files):
            below.clear()
        yield Path(name)


def _take_images(names: Sequence[Path], cts: list[Found], left: list[LeftOut]) -> None:
    """The images among the files of a folder: CTs, and those left out."""
    kits = [path for path in names if path.name in KITS_CT]
    for path in names:
        ending, lower = ending_of(path), path.name.lower()
        if ending == ".seg.nrrd":
            left.append(LeftOut(path, "a segmentation by its name"))
        elif not ending:
            if lower.endswith(ARCHIVES):
                left.append(LeftOut(path, "an archive: unpack it first", lost=True))
            elif lower.endswith(OTHER_IMAGES):
                left.append(LeftOut(path, f"of a kind that is not read; convert it to {ENDINGS[0]}", lost=True))
        elif kits and path not in kits:
            left.append(LeftOut(path, f"beside {kits[0].name}, which is the CT in KiTS19's layout"))
        elif outputs.is_ours(path):
            left.append(LeftOut(path, "a result of this program"))
        elif holds_bytes(path, ending):
            left.append(LeftOut(path, NO_HU))
        else:
            cts.append(Found(path))


def holds_bytes(path: Path, ending: str) -> bool:
    """Whether an image holds 8-bit numbers that nothing scales to HU, by its header alone."""
    if ending not in NIFTI:
        try:
            header = read_header(path)
        except InputError:
            return False
        return header.get("type", "elementtype").lower() in ("uchar", "unsigned char", "uint8", "uint8_t", "met_uchar")
    start = outputs.head(path)
    for order in "<>":
        if len(start) >= 348 and struct.unpack_from(f"{order}i", start)[0] == 348:
            kind = struct.unpack_from(f"{order}h", start, 70)[0]
            slope, intercept = struct.unpack_from(f"{order}ff", start, 112)
            return bool(kind == 2 and slope in (0.0, 1.0) and not intercept)
    return False


def _take_slices(folder: Path, names: Sequence[Path], pieces: Pieces, left: list[LeftOut]) -> None:
    """The DICOM files of a folder: a piece of a series, or left out where none is a CT slice."""
    likely_first = sorted(names, key=lambda path: path.suffix.lower() not in (".dcm", ""))
    others: dict[str, None] = {}
    uid, count = "", 0
    for path in likely_first:
        if not is_dicom(path):
            continue
        seen = glance(path)
        if not seen.is_ct:
            others[seen.kind] = None
            continue
        uid, count = uid or seen.series or str(folder), count + max(1, seen.frames)
        if count >= LEAST_SLICES:
            break
    if count:
        pieces.setdefault(uid, []).append((folder, count))
    elif others:
        left.append(LeftOut(folder, f"DICOM, but no CT slices ({', '.join(others)})", lost=UNREADABLE in others))


def _apart(pieces: Pieces) -> Iterator[tuple[str, list[tuple[Path, int]]]]:
    """The pieces of each series together; those that hold the same places are copies, and each is a CT of its own."""
    for uid, parts in pieces.items():
        places = [_places(folder) for folder, _ in parts] if len(parts) > 1 else []
        if len(set().union(*places)) == sum(map(len, places)):
            yield uid, parts
        else:
            yield from ((uid, [part]) for part in parts)


def _places(folder: Path) -> set[tuple[float, ...]]:
    """Where the slices of a folder lie."""
    found = (read_slices(path) for path in visible_files(folder) if is_dicom(path))
    return {one.position for slices in found if not isinstance(slices, str) for one in slices if one.position}


def _nothing(path: Path, left: Sequence[LeftOut]) -> str:
    told = f"{path} holds no CT: no NIfTI, NRRD or MHA file, no case in KiTS19's layout, no DICOM slices of CT."
    if not left:
        return told
    more = f" and {len(left) - 3} more" if len(left) > 3 else ""
    return f"{told} Left out: {'; '.join(f'{one.path.name}, {one.reason}' for one in left[:3])}{more}."
