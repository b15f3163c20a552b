"""How certain a structure is: the calibrated chance that it is what it is called.

Of a kidney or a cyst that is the mean over its voxels of the calibrated chance of each. A tumor's voxels hang
together, so their mean says little of whether a tumor is there at all: that chance is told by a logistic model of what
the network said of the whole tumor, fitted on held-out patients and healthy kidneys (``python -m training.chance``) and
kept in the card of the weights. Without it a tumor has no certainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import ndimage

from .measure import Body
from .predict import TUMOR_ALONG_MM, Maps
from .structure import Structure

MOST_VOXELS = 20_000  # of a structure are looked at, evenly: more change nothing
FEATURES = ("surest", "mean", "size")


@dataclass(frozen=True)
class Chance:
    """Logistic model of a tumor's chance to be one: 1 / (1 + exp(-(offset + weights . features)))."""

    offset: float
    weights: tuple[float, ...]

    @classmethod
    def of_card(cls, card: dict[str, Any]) -> Chance | None:
        """What the card of the weights holds; None where it holds none that this version can use."""
        kept = card.get("tumor_chance")
        if not isinstance(kept, dict) or tuple(kept.get("features", ())) != FEATURES:
            return None
        return cls(float(kept["offset"]), tuple(float(weight) for weight in kept["weights"]))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Features (n, 3) -> chances (n,)."""
        logit = self.offset + features @ np.array(self.weights)
        return 1.0 / (1.0 + np.exp(-logit))


class Certain:
    """What the network knows of a body, from its logits."""

    def __init__(self, maps: Maps, chance: Chance | None) -> None:
        self.maps, self.chance = maps, chance

    def __call__(self, body: Body) -> float | None:
        if body.kind == "tumor":
            return None if self.chance is None else float(self.chance(features(self.maps, body)[None])[0])
        foreground, tumor, *cyst = logits_of(self.maps, body)
        chance = _sigmoid(foreground) * _sigmoid(-tumor)
        for logit in cyst:
            chance *= _sigmoid(logit if body.kind == "cyst" else -logit)
        mean = float(chance.mean())
        # What the network does not take for a cyst is one by its density (clean.py): it knows no chance of that.
        return None if body.kind == "cyst" and (not cyst or mean < 0.5) else mean


def features(maps: Maps, body: Body) -> np.ndarray:
    """What the chance of a tumor is told from, (3,).

    surest: logit of tumor against all else that a tenth of its voxels reach; mean: the mean of these logits; size: log
    of the diameter in mm of a disc as large as its largest slice
    """
    foreground, tumor, *_ = logits_of(maps, body)
    logit = -np.logaddexp(np.logaddexp(-foreground, -tumor), -foreground - tumor)  # of both being so
    pixel_mm2 = float(np.linalg.norm(np.cross(body.affine[:3, 1], body.affine[:3, 2])))
    largest_mm2 = float(np.count_nonzero(body.mask, axis=(1, 2)).max()) * pixel_mm2
    return np.array([np.quantile(logit, 0.9), logit.mean(), np.log(2.0 * np.sqrt(largest_mm2 / np.pi))])


def logits_of(maps: Maps, body: Body) -> list[np.ndarray]:
    """The network's logits at a body's voxels, each (n,): of all but background, of tumor, of cyst where it knows them.

    The last two are against kidney (predict.py). Where the body reaches beyond what the network looked at, the nearest
    answer counts.
    """
    at = np.argwhere(body.mask)
    at = at[:: max(1, -(-len(at) // MOST_VOXELS))] + [side.start for side in body.box]
    region = maps.region
    first = np.array([side.start for side in region.box])
    mm = np.array([maps.slice_mm, *maps.grid.spacing])
    step = np.array([maps.step * maps.slice_mm, maps.grid.pixel_mm, maps.grid.pixel_mm])
    place = ((at - first + 0.5) * mm / step - 0.5).T  # both grids begin at the region's border
    last = np.array(maps.foreground.shape) - 1
    reach = int(np.ceil(3 * TUMOR_ALONG_MM / step[0]))
    margin = np.array([reach, 1, 1])
    low = np.clip(np.floor(place.min(1)).astype(int) - margin, 0, last)
    high = np.clip(np.ceil(place.max(1)).astype(int) + margin, 0, last)
    box = tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))
    foreground = maps.foreground[box].astype(np.float32)
    told = [one[box].astype(np.float32) for one in (maps.tumor, maps.cyst) if one is not None]
    voted = [_voted(foreground, one, TUMOR_ALONG_MM / step[0]) for one in told]
    inside = place - low[:, None]
    found = [ndimage.map_coordinates(one, inside, order=1, mode="nearest") for one in (foreground, *voted)]
    return [one.astype(np.float64) for one in found]


def _voted(foreground: np.ndarray, logit: np.ndarray, slabs: float) -> np.ndarray:
    """The logit of tumor or cyst that neighbouring slabs agree on, as predict.decide lets them vote."""
    sure = _sigmoid(foreground) + 1e-3
    weighed = ndimage.gaussian_filter1d(sure * logit, slabs, axis=0, mode="nearest")
    return weighed / ndimage.gaussian_filter1d(sure, slabs, axis=0, mode="nearest")


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-logit))


def kept(now: Sequence[Structure], before: Sequence[Structure]) -> tuple[Structure, ...]:
    """Structures measured anew with the certainty of those before that are the very same voxels; others have none."""
    known = {(one.kind, one.fingerprint): one.certainty for one in before}
    return tuple(replace(one, certainty=known.get((one.kind, one.fingerprint))) for one in now)
