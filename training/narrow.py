"""Structured pruning: take whole channels out of WP-UNet, so that the network really is smaller and faster.

Each level keeps its most important channels in every place where it has some; what one place loses, the next place
loses as input. The result is a WP-UNet of narrower widths.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from wpunet.bundle import NetworkSpec
from wpunet.errors import InputError
from wpunet.network import WPUNet, cost

State = dict[str, Tensor]


def narrow(network: WPUNet, widths: tuple[int, ...]) -> WPUNet:
    """``network`` with only the most important channels; ``widths`` are those of the five levels afterwards.

    Raises InputError when a level has not as many.
    """
    spec = network.spec
    if len(widths) != len(spec.widths) or any(not 0 < n <= o for n, o in zip(widths, spec.widths, strict=True)):
        raise InputError(f"Widths {widths} cannot be kept of {spec.widths}.")
    smaller = WPUNet(replace(spec, widths=widths), network.dropout.p)
    smaller.load_state_dict(_Surgery(network.state_dict(), spec, widths).operate())
    return smaller


def widths_for(weights: int, spec: NetworkSpec) -> tuple[int, ...]:
    """The widest network of the same proportions (multiples of 2) that has at most ``weights`` weights.

    Raises InputError when there is none.
    """
    best: tuple[int, ...] | None = None
    for first in range(2, spec.widths[0] + 1, 2):
        widths = tuple(max(2, round(width * first / spec.widths[0] / 2) * 2) for width in spec.widths)
        if cost(WPUNet(replace(spec, widths=widths)), (32, 32)).weights > weights:
            break
        best = widths
    if best is None:
        raise InputError(f"No network of these proportions has only {weights} weights; choose more.")
    return best


class _Surgery:
    """Cuts tensors place by place, remembering which channels each place kept."""

    def __init__(self, state: State, spec: NetworkSpec, widths: tuple[int, ...]) -> None:
        self.old, self.spec, self.widths = state, spec, widths
        self.new: State = {}

    def operate(self) -> State:
        levels = range(len(self.widths))
        kept = self._stem()
        skips = []
        for level in levels:
            kept = self._block(f"encoder.{level}", kept, level)
            skips.append(kept)
        for step, level in enumerate(reversed(levels[:-1])):
            up = self._separable(f"up.{step}", kept, level, norm=None)
            joined = torch.cat([up, skips[level] + self.spec.widths[level]])  # as forward() concatenates them
            kept = self._block(f"decoder.{step}", joined, level)
        self._put("head.weight", self.old["head.weight"][:, kept])
        self._put("head.bias", self.old["head.bias"])
        return self.new

    def _put(self, name: str, tensor: Tensor) -> None:
        self.new[name] = tensor.clone()

    def _stem(self) -> Tensor:
        weight = self.old["stem.weight"]
        kept = self._best(weight.abs().flatten(1).sum(1), 0)
        self._put("stem.weight", weight[kept])
        self._put("stem.bias", self.old["stem.bias"][kept])
        return kept

    def _block(self, name: str, inputs: Tensor, level: int) -> Tensor:
        first_norm = f"{name}.first_norm" if self.spec.norms == 2 else None
        middle = self._separable(f"{name}.first", inputs, level, first_norm)
        return self._separable(f"{name}.second", middle, level, f"{name}.second_norm")

    def _separable(self, name: str, inputs: Tensor, level: int, norm: str | None) -> Tensor:
        """Cut a separable convolution and the normalisation after it; returns the output channels that stay."""
        self._put(f"{name}.depthwise.weight", self.old[f"{name}.depthwise.weight"][inputs])
        weight = self.old[f"{name}.pointwise.weight"][:, inputs]
        importance = weight.abs().flatten(1).sum(1)
        if norm:  # what is normalised has the size that the normalisation gives it
            importance = self.old[f"{norm}.weight"].abs() + 1e-6 * importance
        kept = self._best(importance, level)
        self._put(f"{name}.pointwise.weight", weight[kept])
        self._put(f"{name}.pointwise.bias", self.old[f"{name}.pointwise.bias"][kept])
        if norm:
            for part in ("weight", "bias", "running_mean", "running_var"):
                self._put(f"{norm}.{part}", self.old[f"{norm}.{part}"][kept])
            self._put(f"{norm}.num_batches_tracked", self.old[f"{norm}.num_batches_tracked"])
        return kept

    def _best(self, importance: Tensor, level: int) -> Tensor:
        return importance.topk(self.widths[level]).indices.sort().values
