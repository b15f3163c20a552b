"""Numbers of any type as whole ones, as a CT stores them."""

from __future__ import annotations

import numpy as np

from .errors import InputError

LOWEST_HU, HIGHEST_HU = -8192, 32767  # that an int16 CT holds
ODD_HU = 150  # from a slice to the next, in most pixels
NO_DATA_HU = -1024  # what a resampled volume holds where the CT has no data


def to_int16(array: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Numbers of any type -> int16 HU, rounded; what is not finite becomes air, with a warning.

    Raises InputError when there are no numbers, or too few.
    """
    if array.dtype == np.int16:
        return array, ()
    if array.dtype.kind not in "iufb":
        raise InputError(f"{name} does not hold plain numbers ({array.dtype}); give the CT itself.")
    array, warnings = unwrapped(array)
    if array.dtype.kind == "f":
        bad = int(array.size - np.count_nonzero(np.isfinite(array)))
        if bad * 2 > array.size:
            raise InputError(f"{name} is mostly not a number ({bad} of {array.size} voxels); export it again.")
        if bad:
            warnings = (*warnings, f"{bad} voxels are not numbers (NaN or infinite) and were taken as air.")
            array = np.nan_to_num(array, nan=NO_DATA_HU, posinf=NO_DATA_HU, neginf=NO_DATA_HU)
        array = np.rint(array)
    return np.clip(array, LOWEST_HU, HIGHEST_HU).astype(np.int16), warnings


def unwrapped(array: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Numbers of 16 bits that were signed and were read as unsigned, as they were; all others as they are."""
    if array.dtype.kind not in "iuf" or array.dtype.itemsize < (2 if array.dtype.kind == "u" else 4):
        return array, ()
    sample = array[few(array.shape)].ravel()
    sample = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample
    high = np.count_nonzero((sample > 61_000) & (sample < 65_536))
    low = np.count_nonzero((sample >= 0) & (sample < 5000))
    if not sample.size or high < 0.01 * sample.size or high + low < 0.999 * sample.size:
        return array, ()
    signed = np.where(array >= 32_768, array.astype(np.int32) - 65_536, array.astype(np.int32))
    return signed, ("Numbers above 60000 were negative HU read as unsigned; they were put right.",)


def odd_slices(hu: np.ndarray) -> np.ndarray:
    """The slices (of slice, row, column) whose numbers differ from those of most by a constant, as of another rescale.

    A slice's level is told by the steps from slice to slice that most of its pixels take; blank slices have none.
    """
    every = max(1, min(hu.shape[1:]) // 64)
    thin = hu[:, ::every, ::every].astype(np.int32)
    there = np.flatnonzero((thin != thin[:, :1, :1]).any((1, 2)))
    if not len(there):
        return there
    steps = np.median(np.diff(thin[there], axis=0), axis=(1, 2))
    level = np.concatenate([[0.0], np.cumsum(np.where(np.abs(steps) > ODD_HU, steps, 0.0))])
    return there[np.abs(level - np.quantile(level, 0.5, method="lower")) > ODD_HU]


def few(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The places of about a quarter million voxels, evenly from the whole array."""
    steps = [max(1, round(n / 64)) for n in shape]
    return tuple(slice(step // 2, None, step) for step in steps)
