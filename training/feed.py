"""The batches of a run: drawn when asked for, or ahead by worker processes, which a GPU needs to be kept busy."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from training.augment import Sampler

AHEAD = 4  # batches that each worker draws ahead
LAST_STEP = 2**31

Drawn = tuple[Tensor, Tensor, Counter[tuple[str, str]]]


class Feed:
    """Samples ``first`` to ``last`` (not included) of each step, the same whoever draws them.

    workers: processes that draw ahead on the processor, where forks are safe; 0: drawn here. macOS has forks, but its
             libraries, which have threads of their own by then, may hang or crash in them
    """

    def __init__(self, sampler: Sampler, first: int, last: int, workers: int, device: torch.device) -> None:
        self.sampler, self.share, self.device = sampler, (first, last), device
        self.workers = workers if sys.platform == "linux" else 0
        self._ahead: Iterator[Drawn] | None = None
        self._next = -1

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Normalised slices and labels of a step, on the device."""
        if not self.workers:
            x, labels = self.sampler.batch(step, *self.share)
            return x.to(self.device), labels.to(self.device)
        if self._ahead is None or step != self._next:
            self._ahead = iter(self._loader(step))
        x, labels, drawn = next(self._ahead)
        self.sampler.drawn.update(drawn)
        self._next = step + 1
        return x.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)

    def _loader(self, step: int) -> DataLoader[Drawn]:
        return DataLoader(
            _Steps(self.sampler, self.share),
            batch_size=None,
            sampler=range(step, LAST_STEP),
            num_workers=self.workers,
            prefetch_factor=AHEAD,
            collate_fn=_as_drawn,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # else starting the workers would draw from the training's own, before dropout
            multiprocessing_context="fork",  # the prepared pictures are shared, not copied
        )


class _Steps(Dataset[Drawn]):
    def __init__(self, sampler: Sampler, share: tuple[int, int]) -> None:
        self.sampler, self.share = sampler, share

    def __getitem__(self, step: int) -> Drawn:
        self.sampler.drawn.clear()
        x, labels = self.sampler.batch(step, *self.share)
        return x, labels, Counter(self.sampler.drawn)  # a copy: it is sent while the next batch is drawn


def _as_drawn(batch: Any) -> Any:
    return batch
