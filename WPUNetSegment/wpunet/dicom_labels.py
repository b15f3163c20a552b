"""A DICOM Segmentation back in: the inverse of what dicom_seg writes, by the image of the CT that each frame lies on.

It needs no package of its own: highdicom only writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .boxes import blank
from .dicom_files import header, is_dicom, numbers, silent, text
from .errors import InputError
from .labels import BACKGROUND, BY_SIDE, WITH_CYSTS, Label
from .volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SAME_PLACE_MM = 0.1
UID, PLACE = "SOPInstanceUID", "ImagePositionPatient"


def is_segmentation(path: Path) -> bool:
    """Whether a file is a DICOM Segmentation, by its head."""
    data = header(path, ("Modality",)) if is_dicom(path) else None
    return data is not None and text(data, "Modality") == "SEG"


def read(path: Path, volume: Volume) -> tuple[np.ndarray, dict[int, Label]]:
    """What a DICOM Segmentation marks in the CT whose images it refers to, and by the number of a segment what it is.

    Gives uint8 (i, j, k) in the CT's own order of axes, values of labels.BY_SIDE. Raises InputError where it is of
    another CT, of another kind than yes or no, or holds segments that are none of ours.
    """
    if not volume.grid.slices:
        raise InputError(
            f"{path} refers to DICOM images and {volume.name} is none: open its CT as DICOM, then this file."
        )
    with silent():
        try:
            return _read(path, volume)
        except (InputError, MemoryError):
            raise
        except Exception as error:  # what pydicom raises for a broken file is of many classes
            raise InputError(f"{path} is a DICOM segmentation that cannot be read; save or copy it again.") from error


def _read(path: Path, volume: Volume) -> tuple[np.ndarray, dict[int, Label]]:
    import pydicom

    data = pydicom.dcmread(path)
    if data.SegmentationType != "BINARY":
        raise InputError(
            f"{path} is of the type {data.SegmentationType}, where a voxel holds more than yes or no; open one of the"
            " type BINARY, or a .seg.nrrd."
        )
    known = _known(data, path)
    at = _images(volume)
    frames = data.pixel_array.reshape(-1, data.Rows, data.Columns)  # one alone comes flat
    labels = blank(volume.grid.shape)
    other = f"{path} is of another CT or series than the one that is open; open its own CT first."
    for (uid, frame, place, number), pixels in zip(_frames(data), frames, strict=True):
        if (uid, frame) not in at or pixels.T.shape != labels.shape[:2]:
            raise InputError(other)
        k, its_place = at[uid, frame]
        if its_place is not None and np.abs(place - its_place).max() > SAME_PLACE_MM:  # turned, or moved
            raise InputError(other)
        here, marked = labels[:, :, k], pixels.T > 0
        if (here[marked] != BACKGROUND).any():
            raise InputError(f"{path} holds segments that overlap; a voxel belongs to one segment here.")
        here[marked] = known[number].value
    return labels, known


def _images(volume: Volume) -> dict[tuple[str, int], tuple[int, tuple[float, ...] | None]]:
    """The CT's images (UID, and frame in it): the number of each, and where its own file puts it (LPS mm)."""
    heads = {file: header(Path(file), (UID, PLACE)) for file in dict(volume.grid.slices)}
    found = {}
    for k, (file, frame) in enumerate(volume.grid.slices):
        if (head := heads[file]) is not None:
            found[text(head, UID), frame] = k, numbers(head, PLACE)
    return found


def _frames(data: Dataset) -> Iterator[tuple[str, int, np.ndarray, int]]:
    """Of each frame: the image it lies on (UID, and frame in it), where its first pixel is (LPS mm), its segment."""
    (shared,) = data.SharedFunctionalGroupsSequence
    for own in data.PerFrameFunctionalGroupsSequence:
        image = own.DerivationImageSequence[0].SourceImageSequence[0]
        # What is the same in all frames, as the segment where there is one only, is told once
        position, segment = (
            (own if name in own else shared)[name][0]
            for name in ("PlanePositionSequence", "SegmentIdentificationSequence")
        )
        place = np.array(position.ImagePositionPatient, float)
        frame = int(image.get("ReferencedFrameNumber") or 0)
        yield str(image.ReferencedSOPInstanceUID), frame, place, int(segment.ReferencedSegmentNumber)


def _known(data: Dataset, path: Path) -> dict[int, Label]:
    """The label that each segment stands for, by its codes."""
    label_of = {(one.type[1], one.modifier[1] if one.modifier else ""): one for one in (*WITH_CYSTS, *BY_SIDE)}
    known, strange = {}, []
    for segment in data.SegmentSequence:
        (kind,) = segment.SegmentedPropertyTypeCodeSequence
        label = label_of.get((_code(kind), _code(*kind.get("SegmentedPropertyTypeModifierCodeSequence") or ())))
        regions = [_code(one) for one in segment.get("AnatomicRegionSequence") or ()]
        if label is None or (label.region and regions not in ([], [label.region[1]])):
            strange.append(text(segment, "SegmentLabel") or "one without a name")
        else:
            known[int(segment.SegmentNumber)] = label
    if strange:
        ours = ", ".join(label.name for label in BY_SIDE)
        raise InputError(f"{path} holds segments that are none of ours ({', '.join(strange[:8])}); leave only {ours}.")
    return known


def _code(coded: Dataset | None = None) -> str:
    """The value of a code; "" where there is none."""
    return text(coded, "CodeValue") if coded is not None else ""
