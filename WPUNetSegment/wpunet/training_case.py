"""A CT and its corrected segments as a case that ``training.prepare --kits`` takes, in KiTS19's layout.

The mask's values are KiTS19's own, 1 kidney and 2 tumor, and 4 cyst, which KiTS19 counts as kidney: readers that know
KiTS19 alone should do so with a 4.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError
from .labels import KIDNEY, together
from .volume import Volume


def write(folder: Path, ct: Volume, labels: np.ndarray) -> None:
    """Write imaging.nii.gz and segmentation.nii.gz into a folder, axes in KiTS19's order, which is the engine's.

    labels: (slice, row, column) on the CT's voxels, values of labels.BY_SIDE or labels.WITH_CYSTS
    Raises InputError when no kidney is marked, OSError when the folder cannot be written.
    """
    labels = together(labels, cysts=True)
    if not (labels == KIDNEY).any():
        raise InputError("No kidney is marked, so there is nothing to learn; mark both, whole, then save the case.")
    write_nifti(folder / "imaging.nii.gz", ct.hu, ct.affine)
    write_nifti(folder / "segmentation.nii.gz", labels, ct.affine)


def write_nifti(path: Path, values: np.ndarray, affine: np.ndarray) -> None:
    """An array (slice, row, column) as .nii.gz in KiTS19's order: the first axis of the file runs over the slices.

    By ITK, since Slicer has no nibabel.
    """
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
    lps = np.diag([-1.0, -1.0, 1.0]) @ affine[:3]
    steps = np.linalg.norm(lps[:, :3], axis=0)
    image.SetSpacing(steps.tolist())
    image.SetDirection((lps[:, :3] / steps).ravel().tolist())
    image.SetOrigin(lps[:, 3].tolist())
    plain = path.with_suffix("")
    try:
        sitk.WriteImage(image, str(plain))
    except RuntimeError as error:
        raise OSError(0, " ".join(str(error).split())[-120:]) from error
    with plain.open("rb") as source, _gzip()(path, "wb", compresslevel=1, mtime=0) as packed:
        shutil.copyfileobj(source, packed, 1 << 20)
    plain.unlink()


def _gzip() -> Any:
    """Isal's, which is several times as fast; Python's own in a Slicer where the engine was not installed yet."""
    try:
        from isal.igzip import IGzipFile
    except ImportError:
        from gzip import GzipFile

        return GzipFile
    return IGzipFile
