"""A whole case in KiTS19's layout: a CT and, on the same voxels, what readers marked in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from wpunet import files, label_maps
from wpunet.errors import InputError
from wpunet.volume import Volume


def pair(folder: Path) -> tuple[Path, Path]:
    """The image and the mask of a case."""
    return folder / "imaging.nii.gz", folder / "segmentation.nii.gz"


def read_pair(imaging: Path, segmentation: Path) -> tuple[Volume, np.ndarray]:
    """A CT and its labels, uint8 (slice, row, column), values as in the mask.

    Raises InputError when one of them is missing, or the mask is of other voxels or has other values than ours.
    """
    for path, what in ((imaging, "image"), (segmentation, "mask")):
        if not path.exists():
            raise InputError(f"{path} does not exist: a case needs its {what}.")
    volume = files.read(imaging)
    return volume, label_maps.as_marked(segmentation, volume)
