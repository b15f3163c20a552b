"""The cases that samples are drawn from, and how probable each is: by its source's share, not by how many there are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from wpunet.errors import InputError
from wpunet.labels import CYST, TUMOR

from training.data import Case


@dataclass
class Shelf:
    """The cases of one group on the device: a list of uint8 pictures (grey, labels) a case.

    sources: the share of each source; {}: as it has cases. weights: of each case among those of its source
    donors: how probable each case is where a tumor of it is asked for; as it is drawn where none has one
    """

    cases: list[Case]
    device: torch.device
    sources: dict[str, float]
    weights: np.ndarray

    def __post_init__(self) -> None:
        self.grey = [torch.from_numpy(case.grey).to(self.device) for case in self.cases]
        self.labels = [torch.from_numpy(case.labels).to(self.device) for case in self.cases]
        self.marked = [np.flatnonzero(case.labels.reshape(len(case.labels), -1).any(1)) for case in self.cases]
        self.tumorous = [np.flatnonzero((case.labels == TUMOR).any((1, 2))) for case in self.cases]
        self.cystic = [np.flatnonzero((case.labels == CYST).any((1, 2))) for case in self.cases]
        self.chances = _chances(self.cases, self.sources, self.weights)
        self._upto = np.cumsum(self.chances)
        with_tumor = self.chances * [len(levels) > 0 for levels in self.tumorous]
        self.donors = with_tumor / with_tumor.sum() if with_tumor.any() else self.chances

    def draw(self, at: float) -> int:
        """The case that a number from 0 to 1 falls to."""
        return min(int(np.searchsorted(self._upto, at, side="right")), len(self.cases) - 1)

    def __len__(self) -> int:
        return len(self.cases)


def _chances(cases: list[Case], sources: dict[str, float], weights: np.ndarray) -> np.ndarray:
    """How probable each case is; raises InputError for a source that has no share."""
    if not cases:
        return np.zeros(0)
    names = np.array([case.source for case in cases])
    if not sources:
        return weights / weights.sum()
    chances = np.zeros(len(cases))
    for name in np.unique(names).tolist():
        if name not in sources:
            raise InputError(
                f"The config gives no share to the source '{name}'; name it in [sources] (\"{name}\" = 1.0; 0.0: not "
                "drawn), or go on with configs/own.toml, which draws all that is prepared."
            )
        chances[names == name] = sources[name] * weights[names == name] / weights[names == name].sum()
    return chances / chances.sum()


def weight(case: Case, small_tumors: float) -> float:
    """How often a patient is drawn, by the largest tumor's diameter in a slice; 1 without any."""
    largest = max(float((labels == TUMOR).sum()) for labels in case.labels) * case.pixel_mm**2
    diameter = 2 * math.sqrt(largest / math.pi)
    if not diameter:
        return 1.0
    return small_tumors if diameter < 25 else (1 + small_tumors) / 2 if diameter < 40 else 1.0
