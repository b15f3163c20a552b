"""What the page lets a user save: each kind is one file, made from the segments as they are now."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip
from wpunet import files
from wpunet.errors import InputError
from wpunet.labels import BY_SIDE, TOGETHER, together
from wpunet.volume import Volume


@dataclass(frozen=True)
class Kind:
    """A kind of file: how its name ends, and what it is in a user's words."""

    ending: str
    title: str
    what: str


KINDS = (
    Kind("seg.nrrd", "Segmentation (.seg.nrrd)", "Opens in 3D Slicer with names and colours"),
    Kind("nii.gz", "Label map (.nii.gz)", "1 kidney, 2 tumor, on the CT's own grid"),
    Kind("json", "Report (.json)", "Measurements, warnings, versions"),
    Kind("zip", "Training case (.zip)", "CT and segmentation in KiTS19's layout"),
)


def file_name(case: str) -> str:
    """The name of a case as a file's name: nothing that a file system or a header could stumble over."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", case).strip("._") or "case"


def write(path: Path, labels: np.ndarray, volume: Volume, report: dict[str, Any]) -> None:
    """Write the kind of file that ``path`` ends in; labels (slice, row, column), values of labels.BY_SIDE.

    Raises OutputError when it cannot be written, InputError when the training could not use the case.
    """
    if path.name.endswith(".seg.nrrd"):
        files.write_labels(path, labels, volume, BY_SIDE)
    elif path.name.endswith(".nii.gz"):
        files.write_labels(path, together(labels), volume, TOGETHER)
    elif path.suffix == ".json":
        with files.replacing(path) as temporary:
            temporary.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    else:
        _write_training_case(path, labels, volume)


def _write_training_case(path: Path, labels: np.ndarray, volume: Volume) -> None:
    """A zip of CASE/imaging.nii.gz and CASE/segmentation.nii.gz, axes in KiTS19's order, which is the engine's."""
    case = file_name(volume.name)
    _, row_mm, column_mm = volume.spacing
    if abs(row_mm / column_mm - 1) > 0.01:
        raise InputError(
            f"The pixels of this CT are not square ({row_mm:.2f} x {column_mm:.2f} mm), as the training needs them;"
            " save the case from 3D Slicer, which resamples it."
        )
    with files.replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, values in (("imaging", volume.hu), ("segmentation", together(labels))):
            content = nib.Nifti1Image(values, volume.affine).to_bytes()
            archive.writestr(f"{case}/{name}.nii.gz", igzip.compress(content, 2, mtime=0))
