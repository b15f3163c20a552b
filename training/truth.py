"""A whole case: a CT and, on the same voxels, what readers marked in it.

KiTS19's layout is CASE/imaging.nii.gz and CASE/segmentation.nii.gz. Other formats that the engine reads do as well, as
imaging.nrrd, a folder imaging of DICOM slices, segmentation.seg.nrrd.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from wpunet import files, label_maps
from wpunet.errors import InputError
from wpunet.volume import Volume

KITS = files.ENDINGS[0]
WHAT = {"imaging": "image", "segmentation": "mask"}


def pair(folder: Path) -> tuple[Path, Path]:
    """The image and the mask of a case; where there is none, KiTS19's own names."""
    imaging, segmentation = (next(iter(_called(folder, name)), folder / f"{name}{KITS}") for name in WHAT)
    return imaging, segmentation


def all_of(folder: Path) -> tuple[Path, ...]:
    """The pair, and whatever else may be the image or the mask: a second one is to be noticed later, too."""
    return tuple(dict.fromkeys((*pair(folder), *(path for name in WHAT for path in _called(folder, name)))))


def _called(folder: Path, name: str) -> list[Path]:
    """The files that may be the image or the mask, KiTS19's own first."""
    there = [folder / f"{name}{ending}" for ending in files.ENDINGS]
    there += [folder / name] if name == "imaging" else []
    return [path for path in there if path.exists()]


def read_pair(imaging: Path, segmentation: Path) -> tuple[Volume, np.ndarray]:
    """A CT and its labels, uint8 (slice, row, column), values as in the mask.

    Raises InputError when one of them is missing or there are two, or the mask is of other voxels or has other values
    than ours.
    """
    for path, (name, what) in zip((imaging, segmentation), WHAT.items(), strict=True):
        if not path.exists():
            raise InputError(f"{path} does not exist: a case needs its {what}.")
        two = _called(path.parent, name)
        if len(two) > 1:
            raise InputError(f"{two[0]} lies beside {two[1].name}: which one is the {what}? Leave one.")
    volume = files.read(imaging)
    return volume, label_maps.as_marked(segmentation, volume)
