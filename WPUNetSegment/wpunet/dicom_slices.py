"""One slice of a DICOM series: what its own file, or its own frame in a file of many, states of place and HU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .dicom_files import is_dicom, numbers, silent, text
from .errors import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "SeriesDescription", "ImageType"),
    *("AcquisitionNumber", "TemporalPositionIdentifier", "ConvolutionKernel", "GantryDetectorTilt"),
    *("ImagePositionPatient", "ImageOrientationPatient", "SliceLocation", "PixelSpacing"),
    *("Rows", "Columns", "SamplesPerPixel"),
    *("PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "NumberOfFrames"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")  # pixels as they are; the last big endian
DAMAGED = "its header is damaged"
MOST_FRAMES, MOST_SIDE = 100_000, 65_535
HU_TYPES = ("", "HU", "US", "HU_MOD")  # US: unspecified, what most scanners wrote before there was HU


@dataclass(frozen=True)
class Stored:
    """How a file keeps its pixels.

    at: where they begin in the file; None where a library must unpack them
    """

    path: Path
    shape: tuple[int, int]
    frames: int
    bits: tuple[int, int, int]  # allocated, stored, high bit
    signed: bool
    big_endian: bool
    at: int | None


@dataclass(frozen=True)
class Slice:
    """A slice as its file or frame states it; what is None is not stated.

    frame:       0 in a file of one slice, else from 1
    others:      what else tells pictures of one place apart: time point, kind, kernel, stack
    position:    LPS mm of the first pixel
    location:    mm along the table, of which nothing is certain but that it is one for pictures of one place
    orientation: unit vectors along a row and down a column
    spacing:     mm between rows, between columns
    rescale:     slope and intercept from stored numbers to HU
    padding:     stored numbers, from and to, that are no tissue
    """

    stored: Stored
    frame: int
    uid: str
    series: str
    modality: str
    description: str
    kind: str
    acquisition: str
    others: tuple[str, ...]
    position: tuple[float, ...] | None
    location: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    rescale: tuple[float, float] | None
    rescale_type: str
    padding: tuple[int, int] | None
    photometric: str
    samples: int
    tilt: float

    @property
    def name(self) -> str:
        """For people: the file, and the frame where it holds several."""
        return f"{self.stored.path.name}, frame {self.frame}" if self.frame else self.stored.path.name

    @property
    def is_colour(self) -> bool:
        return self.samples != 1 or not self.photometric.startswith("MONOCHROME")


def read_slices(path: Path) -> list[Slice] | str:
    """The slices of a DICOM file, none where it holds no picture; a text says why a broken one cannot be read."""
    found = _tried(path)
    if found in ([], DAMAGED) and path.suffix.lower() == ".dcm" and not is_dicom(path):
        return "it is no DICOM"
    return found


def _tried(path: Path) -> list[Slice] | str:
    with silent():
        try:
            return _read(path)
        except OSError as error:
            return f"it cannot be opened ({error.strerror})"
        except Exception:  # what pydicom raises for a broken file, now or when a value is asked for, is of many classes
            return DAMAGED


def _read(path: Path) -> list[Slice] | str:
    import pydicom

    with path.open("rb") as file:
        data = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=list(TAGS))
        at = file.tell()
    if "Rows" not in data or "Columns" not in data:
        return [] if any(one.tag.group for one in data) else DAMAGED  # zeros are read as elements of group 0
    size = [numbers(data, name) for name in ("Rows", "Columns")]
    rows, columns = (int(value[0]) if value and 0 < value[0] <= MOST_SIDE else 0 for value in size)
    frames = int((numbers(data, "NumberOfFrames") or (1,))[0])
    if not rows or not columns or not 1 <= frames <= MOST_FRAMES:
        return "its size is no size"
    described = len(_items(data, "PerFrameFunctionalGroupsSequence"))
    if described not in (0, frames):
        return f"it states {frames} frames and describes {described}"
    bits = [numbers(data, name) for name in ("BitsAllocated", "BitsStored", "HighBit")]
    if None in bits:
        return "it does not say how its pixels are stored"
    allocated, stored_bits, high = (int(value[0]) for value in bits if value)
    if allocated not in (8, 16, 32) or not 1 <= stored_bits <= allocated or not stored_bits - 1 <= high < allocated:
        return f"it has pixels of {allocated} bits, {stored_bits} of them used, which makes no sense"
    samples = int((numbers(data, "SamplesPerPixel") or (1,))[0])
    syntax = str(getattr(getattr(data, "file_meta", None), "TransferSyntaxUID", "") or NATIVE[0])
    start: int | None = None
    if syntax in NATIVE:
        start = _pixels_at(path, at, syntax, rows * columns * frames * samples * allocated // 8)
        if start is None:
            return "it is cut short or has no pixels"
    signed = bool((numbers(data, "PixelRepresentation") or (0,))[0])
    kept = Stored(path, (rows, columns), frames, (allocated, stored_bits, high), signed, syntax == NATIVE[2], start)
    return _of_frames(data, kept, samples)


def _pixels_at(path: Path, at: int, syntax: str, size: int) -> int | None:
    """Where the pixels begin after the element's own header; None where they are not all there."""
    with path.open("rb") as file:
        file.seek(at)
        head = file.read(12)
    order = "big" if syntax == NATIVE[2] else "little"
    tag = [int.from_bytes(head[first : first + 2], order) for first in (0, 2)]  # type: ignore[arg-type]
    start = at + (8 if head[4:6] not in (b"OW", b"OB") else 12)
    there = path.stat().st_size - start
    return start if tag == [0x7FE0, 0x0010] and there >= size else None


def _of_frames(data: Dataset, kept: Stored, samples: int) -> list[Slice]:
    shared = _item(data, "SharedFunctionalGroupsSequence")
    frames = _items(data, "PerFrameFunctionalGroupsSequence")
    many = kept.frames > 1 or bool(frames)
    found = []
    for k in range(kept.frames):
        own = frames[k] if k < len(frames) else None
        found.append(_slice(data, (own, shared), kept, k + 1 if many else 0, samples))
    return found


def _slice(data: Dataset, groups: Sequence[Dataset | None], kept: Stored, frame: int, samples: int) -> Slice:
    def of(sequence: str, name: str) -> tuple[float, ...] | None:
        """An element of the frame's own group, of the shared one, or of the file."""
        for group in groups:
            item = _item(group, sequence)
            if item is not None and name in item:
                return numbers(item, name)
        return numbers(data, name) if frame == 0 or name != "ImagePositionPatient" else None

    rescale = (
        of("PixelValueTransformationSequence", "RescaleSlope"),
        of("PixelValueTransformationSequence", "RescaleIntercept"),
    )

    def words(sequence: str, name: str, of_file: str = "") -> str:
        """An element of the frame's own group or of the shared one, else one of the file."""
        found = (text(item, name) for group in groups if (item := _item(group, sequence)) is not None)
        return next(filter(None, found), "") or text(data, of_file or name)

    kind = words("CTImageFrameTypeSequence", "FrameType", "ImageType")
    return Slice(
        stored=kept,
        frame=frame,
        uid=text(data, "SOPInstanceUID"),
        series=text(data, "SeriesInstanceUID"),
        modality=text(data, "Modality").upper(),
        description=text(data, "SeriesDescription"),
        kind=kind,
        acquisition=words("FrameContentSequence", "FrameAcquisitionNumber", "AcquisitionNumber"),
        others=(
            words("FrameContentSequence", "TemporalPositionIndex", "TemporalPositionIdentifier"),
            kind,
            words("CTReconstructionSequence", "ConvolutionKernel"),
            words("FrameContentSequence", "StackID"),
        ),
        position=_finite(of("PlanePositionSequence", "ImagePositionPatient"), 3),
        location=numbers(data, "SliceLocation"),
        orientation=_unit_vectors(of("PlaneOrientationSequence", "ImageOrientationPatient")),
        spacing=_spacing(of("PixelMeasuresSequence", "PixelSpacing")),
        rescale=_rescale(*rescale) if "ModalityLUTSequence" not in data else None,
        rescale_type="a lookup table"
        if "ModalityLUTSequence" in data
        else words("PixelValueTransformationSequence", "RescaleType"),
        padding=_padding(data, kept),
        photometric=text(data, "PhotometricInterpretation").upper() or "MONOCHROME2",
        samples=samples,
        tilt=float((numbers(data, "GantryDetectorTilt") or (0.0,))[0]),
    )


def _items(data: Dataset | None, name: str) -> list[Any]:
    with silent():
        try:
            return list(data.get(name) or ()) if data is not None else []
        except Exception:  # a sequence that cannot be parsed
            return []


def _item(data: Dataset | None, name: str) -> Any:
    return next(iter(_items(data, name)), None)


def _finite(values: tuple[float, ...] | None, count: int) -> tuple[float, ...] | None:
    return values if values and len(values) == count and np.isfinite(values).all() else None


def _spacing(values: tuple[float, ...] | None) -> tuple[float, ...] | None:
    found = _finite(values, 2)
    return found if found and min(found) > 0 else None


def _unit_vectors(values: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Along a row and down a column, at right angles; None where they are not (a thousandth is rounding)."""
    found = _finite(values, 6)
    if not found:
        return None
    across, down = np.array(found).reshape(2, 3)
    lengths = np.linalg.norm(across), np.linalg.norm(down)
    if np.abs(np.array(lengths) - 1).max() > 0.01 or abs(across @ down) > 0.01:
        return None
    return (*(across / lengths[0]), *(down / lengths[1]))


def _rescale(slope: tuple[float, ...] | None, intercept: tuple[float, ...] | None) -> tuple[float, float] | None:
    if not slope or not intercept or not np.isfinite([slope[0], intercept[0]]).all() or slope[0] == 0:
        return None
    return slope[0], intercept[0]


def _padding(data: Dataset, kept: Stored) -> tuple[int, int] | None:
    """From and to, as numbers of the kind that the pixels are: the value may be written unsigned for signed pixels."""
    ends = []
    for name in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        value = numbers(data, name)
        if value and np.isfinite(value[0]):
            whole = int(value[0]) % (1 << kept.bits[0])
            ends.append(whole - (1 << kept.bits[0]) if kept.signed and whole >= 1 << (kept.bits[0] - 1) else whole)
    return (min(ends), max(ends)) if ends and numbers(data, "PixelPaddingValue") else None


def stored_frames(kept: Stored) -> np.ndarray:
    """The numbers (frame, row, column) of a file whose pixels lie there as they are, int64, by their own bits."""
    assert kept.at is not None
    allocated, used, high = kept.bits
    kind = np.dtype(f"{'>' if kept.big_endian else '<'}u{allocated // 8}")
    shape = (kept.frames, *kept.shape)
    raw = np.fromfile(kept.path, kind, int(np.prod(shape)), offset=kept.at).reshape(shape)
    if used == allocated:
        return raw.astype(raw.dtype.newbyteorder("=")).view(f"i{allocated // 8}") if kept.signed else raw
    values = (raw.astype(np.int64) >> (high + 1 - used)) & ((1 << used) - 1)  # what lies in other bits is no pixel
    return np.where(values >= 1 << (used - 1), values - (1 << used), values) if kept.signed else values


def require_hu(one: Slice, folder: Path) -> None:
    """Raises InputError where the numbers of a slice are not said to be HU."""
    if one.rescale_type.upper() not in HU_TYPES:
        raise InputError(f"{folder}: {one.name} holds {one.rescale_type}, not HU; give the CT itself.")
