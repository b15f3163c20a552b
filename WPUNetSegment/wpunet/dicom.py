"""A folder of DICOM files to a stack of slices: which belong to the CT, where they lie, and the HU of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from .dicom_files import dicom_among, visible_files, walk
from .dicom_slices import Slice, Stored, read_slices, require_hu, stored_frames
from .dicom_stack import ordered
from .errors import InputError
from .itk_images import read_quietly
from .pixels import HIGHEST_HU, LOWEST_HU, odd_slices

PADDING_HU = -1024
# Of 13 CT the slices 30 mm apart differ by 20 HU and more in the mean, in squares that even out noise
COARSE_MM, ALIKE_HU, TISSUE_HU = 20.0, 12.0, -300.0


@dataclass(frozen=True)
class Series:
    """One series of a folder: its files in the order of their names."""

    uid: str
    files: tuple[str, ...]
    modality: str
    description: str
    slices: tuple[Slice, ...] = ()

    def __str__(self) -> str:
        told = self.modality or "no modality", f"{len(self.files)} files", self.description or "no name"
        return f"{self.uid or 'without UID'} ({', '.join(told)})"


@dataclass(frozen=True)
class Stack:
    """A CT from DICOM.

    hu:     int16 (slice, row, column)
    affine: (column, row, slice, 1) -> RAS mm
    slices: of each slice the file, and the frame in it (0 in a file of one, else from 1)
    series: its UID
    """

    hu: np.ndarray
    affine: np.ndarray
    slices: tuple[tuple[str, int], ...]
    series: str
    warnings: tuple[str, ...]


def files_of(path: Path, *, below_too: bool = False) -> list[Path]:
    """The DICOM files that a path stands for: itself, those of a folder, or where it has none all below it.

    below_too: those below it in any case, where a series may lie
    """
    if not path.is_dir():
        return [path]
    here = [] if below_too else dicom_among(visible_files(path))
    if here:
        return here
    return [file for folder, _, _ in walk(path) for file in dicom_among(visible_files(folder))]


def list_series(path: Path, *, below_too: bool = False) -> list[Series]:
    """The series of pictures in a folder or a file; where it has none of its own, or ``below_too``, those below it.

    All headers are read, which takes about a millisecond each; of the folder that was read last they are known.
    """
    return list(_by_series(files_of(path, below_too=below_too))[0])


def _by_series(files: Sequence[Path]) -> tuple[Sequence[Series], Sequence[str]]:
    """Series of pictures, and what is wrong with files that cannot be read."""
    found, broken = _of_headers(tuple((file, _stamp(file)) for file in files))
    if broken:
        _of_headers.cache_clear()  # they may be whole the next time
    return found, broken


def _stamp(file: Path) -> tuple[int, ...]:
    """What tells that a file is as it was."""
    try:
        now = file.stat()
    except OSError:
        return ()
    return now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino


@lru_cache(maxsize=1)  # several CTs can be of one folder, and are read one after the other
def _of_headers(stamped: tuple[tuple[Path, tuple[int, ...]], ...]) -> tuple[Sequence[Series], Sequence[str]]:
    slices: dict[str, list[Slice]] = {}
    broken = []
    for file, _ in stamped:
        found = read_slices(file)
        if isinstance(found, str):
            broken.append(f"{file.name}: {found}")
        else:
            for one in found:
                slices.setdefault(one.series, []).append(one)
    return [
        Series(
            uid,
            tuple(dict.fromkeys(str(one.stored.path) for one in many)),
            many[0].modality,
            many[0].description,
            tuple(many),
        )
        for uid, many in slices.items()
    ], broken


def read_series(path: Path, series: str | None = None) -> Stack:
    """The CT of a DICOM folder (or file); of several series the one whose UID is ``series``, here or below.

    Raises InputError when there is no series, several, or one whose slices make no even stack.
    """
    found, broken = _by_series(files_of(path, below_too=series is not None))
    if not found and broken:
        raise InputError(f"{path} holds no DICOM images that can be read ({broken[0]}); copy them again.")
    chosen = _choose(path, found, series)
    if chosen.modality not in ("CT", ""):
        raise InputError(f"{path} holds {chosen.modality}, not CT; the network knows CT only.")
    try:
        slices, lps, warnings = ordered(chosen.slices, path)
    except InputError as error:
        raise InputError(str(error) + _told(broken)) from error
    if broken:
        warnings = [*warnings, f"{len(broken)} DICOM file(s) could not be read and were left out ({broken[0]})."]
    hu = _hu(slices, path)
    warnings = [*warnings, *_odd_ones(hu, slices)]
    return Stack(
        hu,
        np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps,
        tuple((str(one.stored.path), one.frame) for one in slices),
        chosen.uid,
        tuple(warnings),
    )


def _told(broken: Sequence[str]) -> str:
    return f" ({len(broken)} DICOM file(s) could not be read: {broken[0]}.)" if broken else ""


def _choose(path: Path, found: Sequence[Series], series: str | None) -> Series:
    if not found:
        raise InputError(f"{path} holds no DICOM images; give the folder in which the slices lie.")
    if series is not None:
        meant = [one for one in found if one.uid == series] or [one for one in found if one.uid.startswith(series)]
        if len(meant) == 1:
            return meant[0]
        none = f"several series that begin with {series}" if meant else f"no series {series}"
        raise InputError(f"{path} has {none}; there are: {'; '.join(map(str, meant or found))}.")
    cts = [one for one in found if one.modality in ("CT", "")] or found
    images = [one for one in cts if len(one.slices) >= 3 and any("LOCALIZER" not in s.kind for s in one.slices)] or cts
    if len(images) > 1:
        raise InputError(
            f"{path} holds several series; choose one with --series, or name a folder for all with -o: "
            f"{'; '.join(map(str, images))}."
        )
    return images[0]


def is_of_one_place(path: Path, series: str | None = None) -> bool:
    """Whether the pictures of a series state one place and look alike, as those do that bolus tracking takes.

    A CT whose places were lost states one, too, but its slices differ, at least in where the table was. Where the
    numbers are no HU, with air around the patient, nobody can say. Three pictures at least, none a copy.
    """
    try:
        slices = _choose(path, _by_series(files_of(path, below_too=series is not None))[0], series).slices
        apart = {one.uid for one in slices}
        alike = {(one.position, one.location, one.orientation, one.spacing, one.stored.shape) for one in slices}
        spacing = slices[0].spacing
        if len(apart) < max(3, len(slices)) or len(alike) > 1 or not slices[0].position or not spacing:
            return False
        if any(one.is_colour for one in slices):
            return False
        coarse = _coarse(_hu(slices, path), spacing)
    except (InputError, OSError):
        return False
    tissue = coarse.max(0) > TISSUE_HU
    if not tissue.any() or coarse.min() > TISSUE_HU:
        return False
    return bool(np.abs(coarse - coarse[0])[:, tissue].mean(1).max() < ALIKE_HU)


def _coarse(hu: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Means of squares of COARSE_MM: (slice, row, column) -> (slice, fewer rows, fewer columns)."""
    rows, columns = (
        np.arange(0, size, max(1, round(COARSE_MM / mm))) for size, mm in zip(hu.shape[1:], spacing, strict=True)
    )
    sums = np.add.reduceat(np.add.reduceat(hu, rows, 1, dtype=np.float64), columns, 2)
    counts = np.outer(np.diff([*rows, hu.shape[1]]), np.diff([*columns, hu.shape[2]]))
    return sums / counts


def _hu(slices: Sequence[Slice], path: Path) -> np.ndarray:
    """int16 HU (slice, row, column): each slice by its own bits, rescale and padding."""
    _require_one_scale(slices, path)
    hu = np.empty((len(slices), *slices[0].stored.shape), np.int16)
    frames: tuple[Stored, np.ndarray] | None = None
    for k, one in enumerate(slices):
        if frames is None or frames[0] != one.stored:
            frames = one.stored, _frames(one.stored, slices, path)
        hu[k] = _slice_hu(one, frames[1][max(one.frame - 1, 0)])
    return hu


def _odd_ones(hu: np.ndarray, slices: Sequence[Slice]) -> list[str]:
    """A warning of slices that have another scale than most."""
    odd = [slices[k].name for k in odd_slices(hu)]
    if not odd:
        return []
    more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
    return [f"The numbers of {odd[0]}{more} differ from those of the other slices: their scale may be wrong."]


def _require_one_scale(slices: Sequence[Slice], path: Path) -> None:
    for one in slices:
        require_hu(one, path)
    missing = [one for one in slices if one.rescale is None]
    if missing and len(missing) < len(slices):
        raise InputError(
            f"{path}: {missing[0].name} ({len(missing)} of {len(slices)} slices) states no rescale to HU,"
            " the others do; export the series again."
        )


def _frames(kept: Stored, slices: Sequence[Slice], path: Path) -> np.ndarray:
    """(frame, row, column): stored numbers; of a packed file HU already, as ITK gives them."""
    if kept.at is not None:
        return stored_frames(kept)
    if len({one.rescale for one in slices if one.stored == kept}) > 1:
        raise InputError(
            f"{path}: {kept.path.name} is compressed and its frames have a rescale each; decompress it first."
        )
    import SimpleITK as sitk

    image = read_quietly(kept.path)
    array = sitk.GetArrayFromImage(image)
    array = array if array.ndim == 3 else array[None]
    if array.shape != (kept.frames, *kept.shape):
        raise InputError(f"{path}: {kept.path.name} unpacks to another size than it states; export it again.")
    return array


def _slice_hu(one: Slice, values: np.ndarray) -> np.ndarray:
    slope, intercept = one.rescale or (1.0, 0.0)
    packed = one.stored.at is None
    padding = None
    if one.padding:
        low, high = sorted(end * slope + intercept for end in one.padding) if packed else one.padding
        padding = (values >= low) & (values <= high)
    if packed or (slope == 1.0 and intercept == round(intercept)):
        hu = values if packed else values.astype(np.int64) + int(intercept)
    else:
        hu = values * slope + intercept
    hu = np.clip(np.rint(hu), LOWEST_HU, HIGHEST_HU).astype(np.int16)
    if padding is not None:
        hu[padding] = PADDING_HU
    if one.photometric == "MONOCHROME1" and _is_inverted(hu):
        raise InputError(f"{one.stored.path} is stored inverted (MONOCHROME1); export it again in HU.")
    return hu


def _is_inverted(hu: np.ndarray) -> bool:
    """Whether the rim of a picture, which is air, is brighter than its middle."""
    rows, columns = hu.shape
    middle = hu[rows // 3 : -(rows // 3) or None, columns // 3 : -(columns // 3) or None]
    rim = np.concatenate([hu[0], hu[-1], hu[:, 0], hu[:, -1]])
    return bool(np.median(rim) > np.median(middle))
