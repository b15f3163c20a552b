"""A result as a DICOM Segmentation in the study of its CT: same place, and every slice refers to the image it lies on.

Each structure of the report is a segment of its own, in the report's order. Needs the package highdicom.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from pydicom.sr.codedict import codes

from . import __version__, files
from . import volume as geometry
from .bodies import bodies
from .errors import InputError
from .labels import BY_SIDE, CYST, CYST_LABEL, LEFT, LEFT_KIDNEY, RIGHT, RIGHT_KIDNEY, TUMOR, Code, Label
from .report import USE
from .segment import Result
from .structure import Structure
from .volume import Volume

MAKER, MODEL = "WPUNetSegment", "wpunet"
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


def segmentation(result: Result, *, fractional: bool = False) -> hd.seg.Segmentation:
    """The segmentation object of a result whose CT was DICOM.

    fractional: a voxel of a segment holds its certainty in place of yes: 255 is 1, and 1 is the least, so that what is
    more than 0 is the same voxels.
    Raises InputError where the CT was no DICOM or its files lack what an object of the same study needs.
    """
    images = source_images(result.volume)
    segments, values = _segments(result), _in_frames(_numbered(result.labels, result.report.structures), result.volume)
    kind = "FRACTIONAL" if fractional else "BINARY"
    try:
        made = hd.seg.Segmentation(
            source_images=images,
            pixel_array=values,
            segmentation_type=kind,
            segment_descriptions=segments,
            series_instance_uid=hd.UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer=MAKER,
            manufacturer_model_name=MODEL,
            software_versions=__version__,
            device_serial_number=result.report.network_sha256[:16],
            content_label="KIDNEYS",
            content_description=USE.split(":")[0],
            series_description="Kidneys and tumors (WP-UNet)",
            omit_empty_frames=bool(values.any()),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(unfit(result.volume, str(error))) from error
    if fractional:
        _fill(made, values, _in_frames(255 - result.uncertainty, result.volume), images)
    return made


def write(path: Path, dataset: pydicom.Dataset) -> None:
    """An object into a file, whole or not at all; raises OutputError."""
    with files.replacing(path) as temporary:
        dataset.save_as(temporary)


def unfit(volume: Volume, reason: str) -> str:
    """The sentence for source files that no object can be made for."""
    return (
        f"The DICOM files of {volume.name} lack what a DICOM result needs ({' '.join(reason.split())[:160]}); "
        "write .nii.gz or .seg.nrrd."
    )


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on values that the standard does not allow; they are only passed on
        images: list[pydicom.Dataset] = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
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
    columns, rows, _ = volume.grid.shape
    if any((image.Rows, image.Columns) != (rows, columns) for image in images):
        raise InputError(unfit(volume, "the images have another size than the CT"))
    return images


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
        segment = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
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
    structures = result.report.structures
    wanted = [(one.kind, one.side) for one in structures] or [("kidney", "right"), ("kidney", "left")]
    called = [one.name for one in structures] or ["right kidney", "left kidney"]
    return [
        _segment(number, name, _label(kind, side), side, algorithm(result))
        for number, (name, (kind, side)) in enumerate(zip(called, wanted, strict=True), 1)
    ]


def _label(kind: str, side: str) -> Label:
    keys = {f"{kind}_{side}", kind}
    return next(label for label in (*BY_SIDE, CYST_LABEL) if label.key in keys)


def _numbered(labels: np.ndarray, structures: Sequence[Structure]) -> np.ndarray:
    """The number of its structure, from 1, in each voxel; labels (slice, row, column)."""
    numbers = np.zeros(labels.shape, np.uint8 if len(structures) < 256 else np.uint16)
    values = {"right": RIGHT_KIDNEY, "left": LEFT_KIDNEY}
    for number, one in enumerate(structures, 1):
        if one.kind == "kidney":
            numbers[labels == values[one.side]] = number
    for kind, value in (("tumor", TUMOR), ("cyst", CYST)):
        found = bodies(labels == value)
        largest_first = np.argsort(-found.voxels, kind="stable")
        wanted = [number for number, one in enumerate(structures, 1) if one.kind == kind]
        for number, body in zip(wanted, largest_first, strict=True):
            box = found.boxes[body]
            numbers[box][found.numbers[box] == body + 1] = number
    return numbers


def _segment(
    number: int, name: str, label: Label, side: str, algorithm: hd.AlgorithmIdentificationSequence
) -> hd.seg.SegmentDescription:
    made = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=coded(label.category),
        segmented_property_type=coded(label.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
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
