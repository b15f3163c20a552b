"""What people's folders look like: every CT in them is found, and what is left out is named with its reason."""

from __future__ import annotations

import errno
import os
import re
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import outputs
from .dicom_files import DOCUMENTS, NO_DICOM, UNREADABLE, glance, is_dicom, visible_files, walk
from .dicom_slices import Slice, read_slices
from .errors import InputError
from .files import ARCHIVES, ENDINGS, NIFTI, ending_of
from .headers import data_files, read_header

KITS_CT = ("imaging.nii.gz", "imaging.nii")
OTHER_IMAGES = (
    *(".hdr", ".img", ".mgz", ".mgh", ".ima", ".par", ".hdf5", ".h5", ".npy", ".npz", ".mat", ".gipl", ".vtk", ".vti"),
    *(".mnc", ".tif", ".tiff", ".mif", ".mih", ".nia", ".brik", ".head", ".ics", ".acr"),
)
IMAGE_NAME = re.compile(r"\.(nii|nrrd|nhdr|mha|mhd|dcm|dicom)(?![a-z0-9])")  # anywhere in a name
NOT_ENTERED = ("__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information")
LEAST_SLICES, MOST_SCOUTS = 3, 3
SCOUT_COSINE = 0.5  # of the angle between a picture's normal and the patient's length; a gantry tilts by 30 degrees
NO_HU = "8-bit numbers without a scale: a mask or a picture, no HU"
OURS = "a result of this program"
BYTE_TYPES = ("char", "signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t")


@dataclass(frozen=True)
class Found:
    """A CT: a file, a DICOM folder, or one series (``series``) of the DICOM files below a folder."""

    path: Path
    series: str | None = None  # empty where it states no UID


@dataclass(frozen=True)
class LeftOut:
    """Something that is not segmented; ``lost`` where it may be a CT all the same."""

    path: Path
    reason: str
    lost: bool = False


@dataclass
class Piece:
    """What a folder holds of a series: how many pictures, and the first files of them."""

    folder: Path
    count: int = 0
    first: list[Path] = field(default_factory=list)

    def take(self, path: Path, pictures: int) -> None:
        self.count += pictures
        if len(self.first) < MOST_SCOUTS:
            self.first.append(path)


Parts = list[Piece]
Pieces = dict[str, Parts]  # by series


@dataclass(frozen=True)
class Survey:
    """All that a path stands for."""

    cts: tuple[Found, ...]
    left_out: tuple[LeftOut, ...] = ()


def meant(path: Path) -> Path:
    """What a path stands for: the DICOMDIR of a disc for its folder, any other for itself."""
    return path.parent if path.name.upper() == "DICOMDIR" and path.is_file() else path


def survey(path: Path) -> Survey:
    """The CTs that a path stands for, and what beside them is left out; raises InputError when a folder holds none."""
    if not outputs.can_be(Path(path)):
        raise InputError(f"{path} does not exist; check the name.")
    path = meant(Path(path))
    if not path.is_dir():
        return Survey((Found(path),))
    cts: list[Found] = []
    left: list[LeftOut] = []
    pieces: Pieces = {}
    for folder in _folders(path, left):
        names = visible_files(folder)
        there = [name for name in names if not _closed(name)]
        _take_images(there, cts, left)
        _take_odd(names, _take_slices(folder, there, pieces, left), left)
    _take_series(list(_apart(pieces)), cts, left)
    if not cts:
        raise InputError(_nothing(path, left))
    return Survey(tuple(sorted(cts, key=lambda one: one.path)), tuple(left))


def _folders(top: Path, left: list[LeftOut]) -> Iterator[Path]:
    """The folder and all below it; hidden ones and those of KiTS19's cases are not entered."""

    def closed(error: OSError) -> None:
        left.append(LeftOut(Path(error.filename), f"cannot be opened ({error.strerror})", lost=True))

    for folder, below, files in walk(top, closed):
        below[:] = [one for one in below if one not in NOT_ENTERED]
        if kits := [name for name in KITS_CT if name in files]:
            left += [LeftOut(folder / one, _in_kits(kits[0])) for one in below]
            below.clear()
        yield folder


def _take_images(names: Sequence[Path], cts: list[Found], left: list[LeftOut]) -> None:
    """The images among the files of a folder: CTs, and those left out."""
    kits = [path for path in names if path.name in KITS_CT]
    for path in names:
        ending = ending_of(path)
        if not ending:
            continue
        if ending == ".seg.nrrd":
            left.append(LeftOut(path, "a segmentation by its name"))
        elif kits and path not in kits:
            left.append(LeftOut(path, _in_kits(kits[0].name)))
        elif outputs.is_ours(path):
            left.append(LeftOut(path, OURS))
        elif holds_bytes(path, ending):
            left.append(LeftOut(path, NO_HU))
        else:
            cts.append(Found(path))


def _in_kits(ct: str) -> str:
    return f"beside {ct}, which is the CT in KiTS19's layout"


def _take_odd(names: Sequence[Path], sliced: bool, left: list[LeftOut]) -> None:
    """What may be an image and is not read; ``sliced``: slices lie beside it, whose reading tells what is missing."""
    odd = [(path, *told) for path in names if (told := _odd(path, sliced))]
    voxels = {file for path in names for file in data_files(path)} if odd else set()
    left += [LeftOut(path, reason, lost) for path, reason, lost in odd if path not in voxels]


def _odd(path: Path, sliced: bool) -> tuple[str, bool] | None:
    """Why a file is left out that may be an image by its name, and whether it may be a CT; None where it is not odd."""
    lower, suffix = path.name.lower(), path.suffix.lower()
    if suffix in DOCUMENTS or (suffix == ".gz" and Path(lower[:-3]).suffix in DOCUMENTS):
        return None
    if why := _closed(path):
        return None if sliced and suffix not in NO_DICOM else (f"cannot be opened ({why})", True)
    if ending_of(path):
        return None
    if lower.endswith(ARCHIVES):
        return "an archive: unpack it first", True
    if suffix == ".dcm":
        return None if sliced or is_dicom(path) else ("named .dcm, but no DICOM: copy it again", True)
    if not (suffix == ".gz" or lower.endswith(OTHER_IMAGES) or IMAGE_NAME.search(lower)) or is_dicom(path):
        return None
    return _by_name(path, lower)


def _closed(path: Path) -> str:
    """Why a file that may be a CT cannot be opened, as a link that leads nowhere; reading an image tells it itself."""
    try:
        path.stat()
    except OSError as error:
        return error.strerror or type(error).__name__
    may = os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids)
    return "" if may or ending_of(path) else os.strerror(errno.EACCES)


def _by_name(path: Path, lower: str) -> tuple[str, bool]:
    if outputs.is_ours(path):
        return OURS, False
    if ".nii" in lower and holds_bytes(path, NIFTI[0]):
        return NO_HU, False
    if lower.endswith(OTHER_IMAGES):
        return f"of a kind that is not read: convert it to {ENDINGS[0]}", True
    if lower.endswith(".gz") and ".nii" not in lower:
        return "packed: unpack it first", True
    return "an image by its name, which ends otherwise: rename it, if it is whole", True


def holds_bytes(path: Path, ending: str) -> bool:
    """Whether an image holds 8-bit numbers that nothing scales to HU, by its header alone."""
    if ending not in NIFTI:
        try:
            header = read_header(path)
        except InputError:
            return False
        return header.get("type", "elementtype").lower().removeprefix("met_") in BYTE_TYPES
    start = outputs.head(path)
    for size, at, scale, layout in ((348, 70, 112, "ff"), (540, 12, 176, "dd")):  # NIfTI-1, NIfTI-2
        for order in "<>":
            if len(start) >= size and struct.unpack_from(f"{order}i", start)[0] == size:
                kind = struct.unpack_from(f"{order}h", start, at)[0]
                slope, intercept = struct.unpack_from(f"{order}{layout}", start, scale)
                scaled = slope == slope and (slope not in (0.0, 1.0) or intercept not in (0.0, -0.0))
                return kind in (2, 256) and not scaled
    return False


def _take_slices(folder: Path, names: Sequence[Path], pieces: Pieces, left: list[LeftOut]) -> bool:
    """The DICOM files of a folder: pieces of series, which is said, or left out where none is a CT slice."""
    others: dict[str, None] = {}
    own: dict[str, Piece] = {}
    for path in filter(is_dicom, names):
        seen = glance(path)
        if seen.is_ct:
            own.setdefault(seen.series or str(folder), Piece(folder)).take(path, max(1, seen.frames))
        else:
            others[seen.kind] = None
    for uid, piece in own.items():
        pieces.setdefault(uid, []).append(piece)
    if others and not own:
        left.append(LeftOut(folder, f"DICOM, but no CT slices ({', '.join(others)})", lost=UNREADABLE in others))
    return bool(own)


def _take_series(series: Sequence[tuple[str, Parts]], cts: list[Found], left: list[LeftOut]) -> None:
    """The CTs among the series, whether they lie in a folder of their own, beside others or in several folders."""
    shared = {one.folder for _, parts in series if len(parts) > 1 for one in parts}
    large = Counter(parts[0].folder for _, parts in series if len(parts) == 1 and parts[0].count >= LEAST_SLICES)
    for uid, parts in series:
        folder = Path(os.path.commonpath([one.folder for one in parts]))
        count = sum(one.count for one in parts)
        others = large[folder] - (1 if count >= LEAST_SLICES else 0)
        beside = len(parts) == 1 and (folder in shared or others > 0)
        if why := _no_ct(parts, count):
            left.append(LeftOut(folder, f"{count} picture(s) {why}: no CT"))
        elif count >= LEAST_SLICES:
            named = beside or len(parts) > 1
            cts.append(Found(folder, ("" if uid == str(folder) else uid) if named else None))
        else:
            told = f"a series of {count} slice(s){' beside others' if beside else ''}; a CT has at least {LEAST_SLICES}"
            left.append(LeftOut(folder, told, lost=not beside))


def _no_ct(parts: Parts, count: int) -> str:
    """Why a few pictures of CT are surely no slices of one; empty where they may be what is left of a CT."""
    if count > MOST_SCOUTS:
        return ""
    slices: list[Slice] = []
    for path in (path for one in parts for path in one.first):
        found = read_slices(path)
        if isinstance(found, str) or not found:
            return ""
        slices += found
    if all(one.position is None or one.stored.bits[0] == 8 for one in slices):
        return "without a place in the patient or of 8 bits, as dose sheets and screenshots are"
    return "from the front or the side, as scouts are" if all(map(_is_scout, slices)) else ""


def _is_scout(one: Slice) -> bool:
    """Whether a picture was taken across the patient's length, where a scanner takes no slices; reformats are not."""
    if one.orientation is None or "SECONDARY" in one.kind.upper():
        return False
    across, down = one.orientation[:3], one.orientation[3:]
    return abs(across[0] * down[1] - across[1] * down[0]) < SCOUT_COSINE


def _apart(pieces: Pieces) -> Iterator[tuple[str, Parts]]:
    """The pieces of each series together; one that holds places again is of a copy, which is a CT of its own.

    So is one whose slices state no place.
    """
    for uid, parts in pieces.items():
        copies: list[tuple[set[tuple[float, ...]], Parts]] = []
        for part in parts:
            places = _places(part.folder, uid) if len(parts) > 1 else set()
            fits = (one for one in copies if places and one[0] and not one[0] & places)
            held, copy = next(fits, (set(), []))
            if not copy:
                copies.append((held, copy))
            held |= places
            copy.append(part)
        yield from ((uid, copy) for _, copy in copies)


def _places(folder: Path, series: str) -> set[tuple[float, ...]]:
    """Where the slices of a series that a folder holds lie."""
    found = (read_slices(path) for path in visible_files(folder) if is_dicom(path))
    slices = (one for many in found if not isinstance(many, str) for one in many)
    return {one.position for one in slices if one.series == series and one.position}


def _nothing(path: Path, left: Sequence[LeftOut]) -> str:
    told = f"{path} holds no CT: no NIfTI, NRRD or MHA file, no case in KiTS19's layout, no DICOM slices of CT."
    if not left:
        return told
    more = f" and {len(left) - 3} more" if len(left) > 3 else ""
    return f"{told} Left out: {'; '.join(f'{one.path.name}, {one.reason}' for one in left[:3])}{more}."
