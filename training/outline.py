"""Outlines of healthy kidneys in CT without labels: python -m training.outline --unlabelled FOLDER --output FOLDER

Nearly every labelled slice has a tumor, and none is without contrast: healthy kidneys are what the material is short
of. A network that is half trained marks such kidneys in part, and part of them as tumor; from a slice where it did well
the outline is followed up and down along the kidney's edge, by a watershed that may move a few pixels a slice. The
cases are written in KiTS19's layout for training.prepare --tumor-free, with a picture each: look at it before use.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage
from wpunet import files
from wpunet.bodies import bodies
from wpunet.labels import KIDNEY
from wpunet.segment import Segmenter
from wpunet.volume import Volume

from training.command import command
from training.pictures import plot_outlines

PLAIN_HU = (5.0, 70.0)  # kidney tissue without contrast
EDGE_HU = (-40.0, 95.0)  # half way to fat, and bright vessels or bone: what lies beyond is no such kidney
LEAST_MM2 = 70.0  # in one slice; less is the pole's end
CROSS = ndimage.generate_binary_structure(2, 1)


@dataclass(frozen=True)
class Healthy:
    """A CT whose kidneys have no tumor, by eye.

    levels:   first and last slice, from the head, at which the outlines were seen to be right
    contrast: True: the network's own outlines serve
    """

    levels: tuple[int, int]
    contrast: bool = False


HEALTHY = {
    "noncontrast_neck_to_thigh": Healthy((118, 156)),
    "noncontrast_lungbase_to_thigh": Healthy((24, 50)),
    "arterial_chest_to_midkidney": Healthy((107, 132), contrast=True),
}


def follow(volume: Volume, marked: np.ndarray) -> np.ndarray:
    """The two largest marked bodies, each outlined anew at every level that it reaches.

    volume: a CT without contrast; marked: bool (slice, row, column), the network's answer. Returns the same shape.
    """
    outlined = np.zeros(marked.shape, bool)
    hu = ndimage.gaussian_filter(np.clip(volume.hu.astype(np.float32), -80, 110), (0.6, 0.7, 0.7))
    opened = ndimage.binary_opening(marked)
    found = bodies(opened)
    for index in np.argsort(-found.voxels)[:2].tolist():
        body: np.ndarray = found.numbers == index + 1
        areas = body.sum((1, 2))
        start = int(np.argsort(-areas)[min(5, int(np.count_nonzero(areas)) - 1)])  # a large one, not the most leaky one
        seed = ndimage.binary_fill_holes(ndimage.binary_closing(body[start], iterations=3))
        first = _outline(hu[start], seed, body[start])
        for direction in (1, -1):
            before, level = first, start
            while before is not None and _area(before, volume) > LEAST_MM2:
                outlined[level] |= before
                level += direction
                if not 0 <= level < len(hu):
                    break
                before = _outline(hu[level], before, body[level])
    return outlined


def _outline(hu: np.ndarray, before: np.ndarray, marked: np.ndarray) -> np.ndarray | None:
    """A slice's outline from that of the slice before it and from what the network marked; None where it ends."""
    inner = ndimage.binary_erosion(before, CROSS, iterations=3 if before.sum() > 250 else 2)
    inner &= (hu > PLAIN_HU[0]) & (hu < PLAIN_HU[1])
    near = marked & ndimage.binary_dilation(before, CROSS, iterations=4)
    inner |= ndimage.binary_erosion(near, CROSS, iterations=2) & ndimage.binary_dilation(before, CROSS)
    outer = ~ndimage.binary_dilation(before, CROSS, iterations=3) | (hu < EDGE_HU[0]) | (hu > EDGE_HU[1])
    inner &= ~outer
    if not inner.any():
        return None
    grey = np.clip((hu + 80) / 190 * 255, 0, 255).astype(np.uint8)  # its cost of a path is the largest step in grey
    shed = ndimage.watershed_ift(grey, outer.astype(np.int16) + 2 * inner) == 2
    shed = ndimage.binary_fill_holes(ndimage.binary_opening(shed, CROSS, iterations=2))
    parts, count = ndimage.label(shed)
    if not count:
        return None
    largest = parts == np.bincount(parts[shed]).argmax()
    outline = ndimage.median_filter(largest.astype(np.uint8), 5).astype(bool)
    return outline if outline.any() and float(hu[outline].mean()) > PLAIN_HU[0] else None


def _area(mask: np.ndarray, volume: Volume) -> float:
    return float(mask.sum()) * volume.spacing[1] * volume.spacing[2]


def outline(segmenter: Segmenter, ct: Path, healthy: Healthy, output: Path) -> None:
    """Write the case of one CT and its picture; raises InputError when the CT cannot be used."""
    result = segmenter.segment_file(ct)
    volume, marked = result.volume, result.labels > 0
    kidneys = marked if healthy.contrast else follow(volume, marked)
    first, last = healthy.levels[0], min(healthy.levels[1] + 1, len(kidneys))
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 0] * first
    folder = output / f"{files.case_name(ct)}_kidneys"
    folder.mkdir(parents=True, exist_ok=True)
    labels = kidneys[first:last].astype(np.uint8) * KIDNEY
    for name, values in (("imaging", volume.hu[first:last]), ("segmentation", labels)):
        with files.replacing(folder / f"{name}.nii.gz") as temporary:
            nib.save(nib.Nifti1Image(values, affine), temporary)
    plot_outlines(volume.hu[first:last], labels, folder.with_suffix(".png"))
    print(f"{folder}: {labels.sum() * volume.voxel_ml:.0f} ml of kidney at {last - first} levels", flush=True)


@command("outline")
def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = arguments.add_argument
    add("--unlabelled", type=Path, required=True, help=f"folder with {', '.join(HEALTHY)} (.nii.gz)")
    add("--output", type=Path, required=True, help="folder for the cases and their pictures")
    add("--weights", type=Path, help="default: the bundled ones")
    given = arguments.parse_args()
    segmenter = Segmenter(given.weights)
    for name, healthy in HEALTHY.items():
        outline(segmenter, given.unlabelled / f"{name}.nii.gz", healthy, given.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
