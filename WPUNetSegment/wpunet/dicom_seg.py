"""A result as a DICOM Segmentation in the study of its CT: same place, and every slice refers to the image it lies on.

Each structure of the report is a segment of its own, in the report's order. Needs the package highdicom.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from pydicom.sr.codedict import codes

from . import USE, __version__, outputs
from . import volume as geometry
from .errors import InputError
from .labels import BY_SIDE, LEFT, PARENCHYMA, RIGHT, Code, Label
from .measure import parts
from .segment import Result
from .volume import Volume

MAKER, MODEL = "WPUNetSegment", "wpunet"
UNICODE = "ISO_IR 192"  # UTF-8, in which any name can be written
SERIES_NUMBER = 300  # what dcmqi and 3D Slicer take, too; it tells nothing, the UID does
# What the standard wants in every object, be it empty: scanners and exports leave some of it out
MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)
NEEDED = {
    "SOPInstanceUID": "UID of the image",
    "StudyInstanceUID": "UID of the study",
    "SeriesInstanceUID": "UID of the series",
    "FrameOfReferenceUID": "UID of the frame of reference",
}
for library in ("highdicom", "pydicom"):  # what they would tell goes to nobody, not between the lines of the program
    logging.getLogger(library).addHandler(logging.NullHandler())


@contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' warnings on values that the standard does not allow: they are only passed on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@quiet()
def segmentation(result: Result, *, fractional: bool = False) -> hd.seg.Segmentation:
    """The segmentation object of a result whose CT was DICOM.

    fractional: a voxel of a segment holds its certainty in place of yes: 255 is 1, and 1 is the least, so that what is
    more than 0 is the same voxels.
    Raises InputError where the CT was no DICOM or its files lack what an object of the same study needs.
    """
    images = source_images(result.volume)
    values = _in_frames(segment_numbers(result.labels, result.volume.affine), result.volume)
    try:
        made = hd.seg.Segmentation(
            source_images=images,
            pixel_array=values.copy(),  # highdicom scales the array of a single segment in place
            segmentation_type="FRACTIONAL" if fractional else "BINARY",
            segment_descriptions=_segments(result),
            series_instance_uid=hd.UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer=MAKER,
            manufacturer_model_name=MODEL,
            software_versions=__version__,
            device_serial_number=result.report.network_sha256[:16] or "none",  # the standard wants one
            content_label="KIDNEYS",
            content_description=USE.split(":")[0],
            series_description=f"Kidneys and tumors ({'from a file' if result.report.opened_from else 'WP-UNet'})",
            specific_character_set=UNICODE,
            omit_empty_frames=bool(values.any()),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(unfit(result.volume, str(error))) from error
    if fractional:
        _fill(made, values, _certainty(result), images)
    return made


def write(path: Path, dataset: pydicom.Dataset, replacing: outputs.Replacing = outputs.replacing) -> None:
    """An object into a file, whole or not at all; raises OutputError.

    replacing: that of ``outputs.together`` for one of several files
    """
    with quiet(), replacing(path) as temporary:
        dataset.save_as(temporary)


def unfit(volume: Volume, reason: str) -> str:
    """The sentence for source files that no object can be made for."""
    return (
        f"The DICOM files of {volume.name} lack what a DICOM result needs ({' '.join(reason.split())[:160]}); "
        "write .nii.gz or .seg.nrrd."
    )


def _header(path: str) -> pydicom.Dataset:
    """What stands before the pixels; files without the 128 bytes in front do not name how they are written."""
    image = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    if "TransferSyntaxUID" not in image.file_meta:
        image.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    return image


def source_images(volume: Volume) -> list[pydicom.Dataset]:
    """The headers of the CT's images in the order of its slices; one header where they are frames of one file.

    Raises InputError where there are none, or where an object of the same study cannot be told from them.
    """
    slices = volume.grid.slices
    if not slices:
        raise InputError(f"{volume.name} is no DICOM: a DICOM result needs a study to belong to; write .nii.gz.")
    paths = dict.fromkeys(path for path, _ in slices)
    several_frames = any(frame for _, frame in slices)
    if several_frames and len(paths) > 1:
        raise InputError(unfit(volume, "its frames are spread over several files"))
    images = [_header(path) for path in paths]
    for name, image in zip(paths, images, strict=True):
        for keyword in MAY_BE_EMPTY:
            if image.get(keyword) is None:
                setattr(image, keyword, "")
        if image.PatientSex not in ("M", "F", "O"):
            image.PatientSex = ""
        missing = [what for keyword, what in NEEDED.items() if not image.get(keyword)]
        if missing:
            raise InputError(unfit(volume, f"no {missing[0]} in {Path(name).name}"))
    if len({image.SOPInstanceUID for image in images}) < len(images):
        raise InputError(unfit(volume, "several images have the same UID"))
    return images


def _certainty(result: Result) -> np.ndarray:
    """uint8 (frame, row, column), of 255; an oblique grid is brought back as numbers, not as labels."""
    certain = 255 - result.uncertainty
    if result.volume.grid.upright:
        return _in_frames(certain, result.volume)
    return np.rint(_in_frames(certain.astype(np.float32), result.volume)).astype(np.uint8)


def _in_frames(values: np.ndarray, volume: Volume) -> np.ndarray:
    """Values (slice, row, column) of the engine -> (frame, row, column) in the order of ``source_images``."""
    ordered = np.ascontiguousarray(geometry.to_source(values, volume).T)
    frames = [frame for _, frame in volume.grid.slices]
    if not any(frames):
        return ordered
    stored = np.zeros((max(frames), *ordered.shape[1:]), ordered.dtype)
    stored[np.array(frames) - 1] = ordered
    return stored


def _fill(made: hd.seg.Segmentation, values: np.ndarray, certainty: np.ndarray, images: Sequence[Any]) -> None:
    """Certainty (0 to 255) into the frames of a fractional object, which highdicom would take as 4D floats only."""
    at = {image.SOPInstanceUID: number for number, image in enumerate(images)}
    pixels = np.frombuffer(made.PixelData, np.uint8)[: len(made.PerFrameFunctionalGroupsSequence) * values[0].size]
    pixels = pixels.reshape(-1, *values.shape[1:]).copy()
    for frame, groups in zip(pixels, made.PerFrameFunctionalGroupsSequence, strict=True):
        source = groups.DerivationImageSequence[0].SourceImageSequence[0]
        number = int(source.get("ReferencedFrameNumber", 0)) - 1 if len(images) == 1 < len(values) else None
        k = at[source.ReferencedSOPInstanceUID] if number is None else number
        of_one = "SegmentIdentificationSequence" not in groups  # a single segment is named once for all frames
        named = made.SharedFunctionalGroupsSequence[0] if of_one else groups
        segment = named.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        frame[:] = np.where(values[k] == segment, np.maximum(certainty[k], 1), 0)
    content = pixels.tobytes()
    made.PixelData = content + b"\0" * (len(content) % 2)


def algorithm(result: Result) -> hd.AlgorithmIdentificationSequence:
    """Who made it: program, version, weights."""
    return hd.AlgorithmIdentificationSequence(
        name=MAKER,
        family=codes.DCM.ArtificialIntelligence,
        version=__version__,
        source=MAKER,
        parameters={"weights": result.report.network, "sha256": result.report.network_sha256},
    )


def _segments(result: Result) -> list[hd.seg.SegmentDescription]:
    """One description for each structure of the report; the two kidneys, empty, where nothing was found."""
    wanted = [(one.name, one.kind, one.side) for one in result.report.structures]
    wanted = wanted or [("right kidney", "kidney", "right"), ("left kidney", "kidney", "left")]
    made = [
        _segment(number, name, label_of(kind, side), side, result)
        for number, (name, kind, side) in enumerate(wanted, 1)
    ]
    if result.report.parenchyma:
        for one, (_, kind, _) in zip(made, wanted, strict=True):
            if kind == "kidney":
                one.SegmentDescription = f"{PARENCHYMA.capitalize()}, without the renal sinus"
    return made


def label_of(kind: str, side: str) -> Label:
    keys = {f"{kind}_{side}", kind}
    return next(label for label in BY_SIDE if label.key in keys)


def segment_numbers(labels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The number of its structure, from 1 in the report's order, in each voxel; labels (slice, row, column)."""
    found = parts(labels, affine)
    numbers = np.zeros(labels.shape, np.uint8 if len(found) < 256 else np.uint16)
    for number, body in enumerate(found, 1):
        numbers[body.box][body.mask] = number
    return numbers


def _segment(
    number: int,
    name: str,
    label: Label,
    side: str,
    result: Result,
) -> hd.seg.SegmentDescription:
    of_file = bool(result.report.opened_from)  # whoever brought the file has entered it: no program of ours is named
    made_by_us = "SEMIAUTOMATIC" if result.report.corrected else "AUTOMATIC"
    made = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=coded(label.category),
        segmented_property_type=coded(label.type),
        algorithm_type="MANUAL" if of_file else made_by_us,
        algorithm_identification=None if of_file else algorithm(result),
        tracking_uid=hd.UID(),
        tracking_id=name,
        anatomic_regions=[coded(label.region)] if label.region else None,
        display_color=hd.color.CIELabColor.from_rgb(*label.colour),
    )
    if label.modifier:
        made.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [coded(label.modifier)]
    elif label.region and side:
        laterality = coded(RIGHT if side == "right" else LEFT)
        made.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [laterality]
    return made


def coded(code: Code) -> hd.sr.CodedConcept:
    """A code of the table of labels in highdicom's form."""
    scheme, value, meaning = code
    return hd.sr.CodedConcept(value, scheme, meaning)
