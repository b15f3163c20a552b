"""Whether the numbers of a CT are HU, by landmarks of its histogram: fat and soft tissue lie where they lie.

In a CT of a body fat has some -105 HU and muscle and organs 30 to 130: these are the commonest numbers but for air. So
their peaks say whether the scale is that of HU, and with what offset. A few voxels of padding, metal or noise decide
nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from .errors import InputError
from .pixels import HIGHEST_HU, LOWEST_HU, NO_DATA_HU, few

WithData = Callable[[tuple[slice, ...]], np.ndarray]

OFFSETS = (1024, 1000)  # what is commonly added to HU so that no number is negative
FAT_HU, SOFT_HU = -105.0, 50.0
FAT, SOFT = (-140.0, -62.0), (0.0, 140.0)  # where the peaks of fat and of soft tissue can lie
MOST_HU = 300.0  # and at most those of tissue with contrast
LUNG_HU = -700.0  # between this and fat nothing has a peak
APART = (120.0, 230.0)  # from fat to soft tissue
ALL, BODY_HU = (-1100.0, 1500.0), -300.0
LEAST_BODY, MOST_BONE = 0.08, 0.25  # shares: of a body in all that is no spike; of more than MOST_HU in a body
GREY_SPAN = 256
BIN = 5.0
PROMINENT = 0.15  # of the highest peak
ENOUGH = 0.002  # share of the voxels that a body has at least
SPIKE = 4.0  # times as many voxels as of numbers 4 to 12 away: no tissue, but padding or where numbers were cut off
DENSE = 8192
LEAST_SPAN = 100
AIR_HU = -1000


def to_hu(hu: np.ndarray, name: str, with_data: WithData | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """int16 numbers (slice, row, column) as HU, and what was corrected; raises InputError where they cannot be HU.

    with_data: of places, which a resampled volume has data at; None: it has them everywhere
    """
    places = few(hu.shape)
    sample = hu[places].ravel() if with_data is None else hu[places][with_data(places)]
    if not sample.size:
        raise InputError(f"{name} is a thin, tilted layer, with too little in it to tell HU by; give a whole CT.")
    low, high = int(sample.min()), int(sample.max())
    if low == high and hu.min() == hu.max():
        raise InputError(f"{name} holds one value only ({low}); it is no CT.")
    darkest, brightest = np.quantile(sample, [0.001, 0.999])
    if brightest - darkest < GREY_SPAN and darkest >= -GREY_SPAN / 2 and high - low >= LEAST_SPAN:
        raise InputError(
            f"{name} holds grey values from {low} to {high}, not HU; give the CT itself, no segmentation, not windowed."
        )
    if high - low < LEAST_SPAN:
        raise InputError(
            f"{name} has values from {low} to {high} only, which are no HU; give the CT itself, no segmentation."
        )
    values, spikes = without_spikes(sample)
    if np.count_nonzero((values > -1100) & (values < -150)) < 0.01 * sample.size:  # nothing like noisy air in HU
        fitting = [offset for offset in OFFSETS if _fits(values - offset, sample.size)]
        if fitting:
            offset = min(fitting, key=lambda one: _miss(values - one))
            shifted = (hu.astype(np.int32) - offset).clip(LOWEST_HU, HIGHEST_HU).astype(np.int16)
            shifted[hu == NO_DATA_HU] = NO_DATA_HU
            return shifted, (
                f"The values look like HU + {offset} (fat and soft tissue say so); {offset} was subtracted.",
            )
    if not _fits(values, sample.size):
        raise InputError(
            f"{name} has values from {low} to {high} in which fat and soft tissue are not where they are in HU;"
            " give the CT before windowing or scaling."
        )
    return _with_air(hu, sample, spikes, resampled=with_data is not None)


def without_spikes(sample: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """float32 numbers without those that are far commoner than their neighbours, and these."""
    whole = np.clip(np.rint(sample), -DENSE, DENSE).astype(int) + DENSE
    counts = np.bincount(whole, minlength=2 * DENSE + 1)
    three = np.convolve(counts, np.ones(3, int), "same")  # interpolation and rounding move some by one
    around = np.pad(ndimage.maximum_filter1d(three, 9), 8)  # four to each side, seen from eight away
    beside = np.maximum(around[:-16], around[16:])
    spike, left = np.zeros(len(counts), bool), sample.size
    for _ in range(2):  # of what padding leaves
        spike = (counts > 0.02 * left) & (three > SPIKE * beside)
        left = sample.size - counts[spike].sum()
    near = ndimage.binary_dilation(spike, np.ones(3))
    found = np.flatnonzero(spike) - DENSE
    return sample[~near[whole]].astype(np.float32), [int(value) for value in found]


def _peaks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """HU of the prominent peaks of a body's histogram, and how high they are."""
    counts, edges = np.histogram(values, bins=int((ALL[1] - ALL[0]) / BIN), range=ALL)
    middles = edges[:-1] + BIN / 2
    smooth = ndimage.gaussian_filter1d(counts.astype(float), 2.5)
    highest = smooth[middles > BODY_HU].max()
    at = prominent(np.concatenate([[0.0], smooth, [0.0]]), max(PROMINENT * highest, 1e-9)) - 1
    return middles[at], smooth[at]


def prominent(heights: np.ndarray, least: float) -> np.ndarray:
    """Indices of the peaks of a curve that stand ``least`` and more above the ground between them and higher ones.

    As scipy.signal.find_peaks gives them, which takes half a second to import.
    """

    def above(side: np.ndarray) -> float:
        """How far the first of ``side`` stands above the lowest of those before one that is higher."""
        higher = np.flatnonzero(side > side[0])
        return float(side[0] - side[: higher[0] if higher.size else None].min())

    tops = np.flatnonzero((heights[1:-1] > heights[:-2]) & (heights[1:-1] >= heights[2:])) + 1
    return np.array([at for at in tops if min(above(heights[at::-1]), above(heights[at:])) >= least], int)


def _fits(values: np.ndarray, whole: int) -> bool:
    """Whether numbers taken as HU have their peaks where fat and soft tissue have them."""
    body = values[values > BODY_HU]  # with all that lies above bone: wrapped numbers do
    if body.size < max(ENOUGH * whole, LEAST_BODY * values.size):
        return False
    if np.count_nonzero(body > MOST_HU) > MOST_BONE * body.size:
        return False
    peaks, heights = _peaks(values)
    tissue = peaks > LUNG_HU
    if not tissue.any():
        return False
    peaks, heights = peaks[tissue], heights[tissue]
    fat, soft = _between(peaks, FAT), _between(peaks, (SOFT[0], MOST_HU))
    if len(fat) + len(soft) < len(peaks):  # something common where no tissue is
        return False
    if len(fat) and len(soft):
        return bool(APART[0] <= soft[0] - fat[0] <= APART[1])
    mode = peaks[int(np.argmax(heights))]
    return bool(mode <= SOFT[1])


def _between(peaks: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return peaks[(peaks >= limits[0]) & (peaks <= limits[1])]


def _miss(values: np.ndarray) -> float:
    """How far fat, soft tissue and noisy air are from their places, each by how much it differs among patients."""
    peaks, _ = _peaks(values)
    fat, soft = _between(peaks, FAT), _between(peaks, SOFT)
    air = values[(values > -1080) & (values < -930)]
    miss = (abs(fat[0] - FAT_HU) / 12 if len(fat) else 3) + (abs(soft[0] - SOFT_HU) / 20 if len(soft) else 3)
    return float(miss + (abs(np.median(air) - AIR_HU) / 12 if air.size > 0.02 * values.size else 0))


def _with_air(
    hu: np.ndarray, sample: np.ndarray, spikes: list[int], *, resampled: bool
) -> tuple[np.ndarray, tuple[str, ...]]:
    """HU in which a number of tissue stood in the place of air: where it fills areas it becomes air."""
    lowest = int(np.quantile(sample, 0.001))
    value, share = _rim(hu, resampled)
    below = np.count_nonzero(sample < value - 20) / sample.size
    no_air = np.count_nonzero(sample < BODY_HU) < 0.002 * sample.size
    if no_air and value in spikes and share > 0.2 and below > 0.01 and value < np.quantile(sample, 0.999):
        return _filled(hu, value), (f"Air had {value} in the place of {AIR_HU} HU; this was put right.",)
    if lowest > -200:
        return hu, (f"The lowest value is {lowest}: no air in the picture, or the HU scale is off.",)
    return hu, ()


def _rim(hu: np.ndarray, resampled: bool) -> tuple[int, float]:
    """The commonest number at the sides of the slices, and its share there; (0, 0) where these hold no data."""
    rim = np.concatenate([hu[:, 0].ravel(), hu[:, -1].ravel(), hu[:, :, 0].ravel(), hu[:, :, -1].ravel()])
    rim = rim[rim != NO_DATA_HU] if resampled else rim
    if not rim.size:
        return 0, 0.0
    values, counts = np.unique(rim, return_counts=True)
    at = int(np.argmax(counts))
    return int(values[at]), float(counts[at] / rim.size)


def _filled(hu: np.ndarray, value: int) -> np.ndarray:
    """Areas of nothing but ``value`` become air; single voxels of tissue that have it stay."""
    changed = hu.copy()
    for one in changed:
        same = one == value
        core = ndimage.binary_erosion(same, np.ones((3, 3)), border_value=1)
        one[ndimage.binary_dilation(core, np.ones((3, 3))) & same] = AIR_HU
    return changed
