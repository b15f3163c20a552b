"""What the page lets a user save: each kind is one file, made from the segments as they are now."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from wpunet import files, outputs, table, training_case
from wpunet.errors import InputError
from wpunet.labels import BY_SIDE, CYST, NO_CASE, TOGETHER, together

if TYPE_CHECKING:
    import numpy as np
    from wpunet.segment import Result


@dataclass(frozen=True)
class Kind:
    """A kind of file: how its name ends, and what it is in a user's words."""

    ending: str
    title: str
    what: str
    dicom: bool = False  # only where the CT came as DICOM
    network: bool = False  # only where the segments are the network's answer, be it corrected
    segments: bool = False  # holds the segments, so that corrections are not lost ...
    kits: bool = False  # ... but as KiTS19 has them, where a cyst counts as kidney


KINDS = (
    Kind("seg.nrrd", "Segmentation (.seg.nrrd)", "Opens in 3D Slicer with names and colours", segments=True),
    Kind("nii.gz", "Label map (.nii.gz)", "1 kidney, 2 tumor, on the CT's own grid", segments=True, kits=True),
    Kind(
        "dcm",
        "DICOM segmentation (.dcm)",
        "An object of the CT's own study, for an archive",
        dicom=True,
        segments=True,
    ),
    Kind("csv", "Table (.csv)", "Measurements, for a spreadsheet"),
    Kind("png", "Preview (.png)", "One picture of the slices that matter"),
    Kind("json", "Report (.json)", "Measurements, warnings, versions"),
    Kind("uncertainty.nii.gz", "Uncertainty (.nii.gz)", "0, sure, to 1, on the CT's own grid", network=True),
    Kind(
        "zip",
        "Training case (.zip)",
        "CT and mask as in KiTS19, cysts as 4: mark all or none",
        segments=True,
    ),
)


def keeps(kind: Kind, labels: np.ndarray) -> bool:
    """Whether nothing of ``labels`` (values of labels.BY_SIDE) is lost that is in such a file."""
    return kind.segments and not (kind.kits and bool((labels == CYST).any()))


def file_name(case: str) -> str:
    """The name of a case as a file's name: nothing that a file system or a header could stumble over."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", case).strip("._") or "case"


def write(path: Path, result: Result) -> None:
    """Write the kind of file that ``path`` ends in; result: the segments as they are now, measured.

    Raises OutputError when it cannot be written, InputError when what it is for could not use the case.
    """
    kind = next(one.ending for one in (*KINDS[-2:], *KINDS) if path.name.endswith(f".{one.ending}"))
    alone = result.report.parenchyma
    if kind == "seg.nrrd":
        files.write_labels(path, result.labels, result.volume, BY_SIDE, parenchyma=alone)
    elif kind == "nii.gz":
        files.write_labels(path, together(result.labels), result.volume, TOGETHER, parenchyma=alone)
    elif kind == "uncertainty.nii.gz" and result.report.opened_from:
        raise InputError("How uncertain a segmentation from a file is nobody knows; segment the CT to see that.")
    elif kind == "uncertainty.nii.gz":
        files.write_map(path, result.uncertainty, result.volume)
    elif kind == "dcm":
        _write_dicom(path, result)
    elif kind == "png":
        from wpunet import preview

        with outputs.replacing(path) as temporary:
            preview.preview(result.volume.hu, result.labels, result.volume.affine, result.report).save(temporary, "PNG")
    elif kind == "json":
        with outputs.replacing(path) as temporary:
            temporary.write_text(json.dumps(result.report.to_json_dict(), indent=2) + "\n", "utf-8")
    elif kind == "csv":
        with outputs.replacing(path) as temporary:
            text = table.as_csv(result.report.structures, result.volume.name, result.report.corrected)
            temporary.write_text(text, "utf-8")
    else:
        _write_training_case(path, result)


def _write_dicom(path: Path, result: Result) -> None:
    try:
        from wpunet import dicom_seg
    except ModuleNotFoundError as error:
        raise InputError(f"DICOM results need more packages ({error}): pip install highdicom pydicom.") from error

    dicom_seg.write(path, dicom_seg.segmentation(result))


def _write_training_case(path: Path, result: Result) -> None:
    """A zip of CASE/imaging.nii.gz and CASE/segmentation.nii.gz."""
    if result.report.parenchyma:
        raise InputError(NO_CASE)
    volume = result.volume
    case = file_name(volume.name)
    _, row_mm, column_mm = volume.spacing
    if abs(row_mm / column_mm - 1) > 0.01:
        raise InputError(
            f"The pixels of this CT are not square ({row_mm:.2f} x {column_mm:.2f} mm), as the training needs them;"
            " save the case from 3D Slicer, which resamples it."
        )
    with (
        outputs.replacing(path) as temporary,
        TemporaryDirectory(prefix=".wpunet-", dir=path.parent) as folder,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        training_case.write(Path(folder), volume, result.labels)
        for file in sorted(Path(folder).iterdir()):
            archive.write(file, f"{case}/{file.name}")
