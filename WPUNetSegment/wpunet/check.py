"""Whether a CT can be what it says, before the run: a wrong input is the commonest cause of a wrong result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import hu_scale
from .errors import InputError
from .pixels import odd_slices, to_int16
from .volume import Volume

MOST_MM, FAR_MM = 4000.0, 20_000.0  # of a CT; of its place


def check(volume: Volume) -> tuple[Volume, tuple[str, ...]]:
    """The volume, put right where that is safe, and warnings; raises InputError where a run would make no sense."""
    name = volume.name
    _check_size(volume)
    whole_numbers, told = to_int16(volume.hu, name)  # of a file they are that already
    odd = _odd_slices(volume.with_hu(whole_numbers))
    try:
        hu, corrected = hu_scale.to_hu(whole_numbers, name, volume.with_data)
    except InputError as error:
        raise InputError(" ".join([str(error), *odd])) from error
    if hu is not volume.hu:
        volume = replace(volume, hu=hu)
    warnings = [*volume.warnings, *told, *corrected, *odd, *_geometry_warnings(volume)]
    sample = hu[:: max(1, len(hu) // 24), ::4, ::4]
    if _looks_upside_down(sample):
        warnings.append("The spine lies in front of the body's centre: the picture may be flipped against its header.")
    return volume, tuple(warnings)


def _check_size(volume: Volume) -> None:
    extent = [n * s for n, s in zip(volume.hu.shape, volume.spacing, strict=True)]
    size = " x ".join(f"{mm:.0f}" for mm in extent)
    if len(volume.hu) < 3:
        raise InputError(f"{volume.name} has {len(volume.hu)} slices; give a whole CT, at least 3 slices.")
    if max(extent) > MOST_MM:
        raise InputError(f"{volume.name} is too large for a person ({size} mm); export it again with its true spacing.")
    if min(volume.hu.shape[1:]) < 16 or max(extent[1:]) < 50:
        shape = " x ".join(map(str, volume.hu.shape))
        raise InputError(f"{volume.name} is too small for an abdomen ({shape} voxels, {size} mm); give the whole CT.")


def _geometry_warnings(volume: Volume) -> list[str]:
    slice_mm, row_mm, column_mm = volume.spacing
    warnings = []
    if slice_mm > 8:
        warnings.append(f"Slices are {slice_mm:.1f} mm apart; small tumors can lie between them.")
    if not (0.2 <= row_mm <= 3.5 and 0.2 <= column_mm <= 3.5):
        warnings.append(f"Pixels of {row_mm:.2f} x {column_mm:.2f} mm are unusual for a CT; is the spacing right?")
    if np.abs(volume.grid.affine[:3, 3]).max() > FAR_MM:
        warnings.append("The CT is stated to lie many meters from its origin; the places told may be off.")
    rows_mm = volume.hu.shape[1] * row_mm
    if not 100 <= rows_mm <= 900:
        warnings.append(f"The field of view of {rows_mm:.0f} mm is unusual for a body; is the spacing right?")
    return warnings


def _odd_slices(volume: Volume) -> list[str]:
    """A warning of slices that have another scale than most; of DICOM, files are told when they are read."""
    odd = odd_slices(volume.hu) if volume.grid.upright and not volume.grid.slices else np.zeros(0)
    if not len(odd):
        return []
    return [
        f"{len(odd)} slice(s) have numbers that differ from those of the others by a constant, the first from the head "
        f"at {odd[0] + 1}: their scale may be wrong."
    ]


def _looks_upside_down(sample: np.ndarray) -> bool:
    """Whether the bone near the midline (ribs tell nothing) lies clearly in front of the body's centre of mass.

    sample: (slice, row, column). Of nine real CT none is suspected as it is, and six are when flipped.
    """
    body = sample > -300
    if not body.any():
        return False
    middle_row, height = _spread(body.sum((0, 2)))
    middle_column, width = _spread(body.sum((0, 1)))
    near_midline = np.abs(np.arange(sample.shape[2]) - middle_column) < 0.5 * width
    bone = (sample > 250) & (sample < 1500) & near_midline
    if bone.sum() < 100:
        return False
    return bool(_spread(bone.sum((0, 2)))[0] < middle_row - 0.25 * height)


def _spread(counts: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the index, weighted with ``counts`` (n,)."""
    index = np.arange(len(counts))
    mean = float(np.average(index, weights=counts))
    return mean, float(np.sqrt(np.average((index - mean) ** 2, weights=counts)))
