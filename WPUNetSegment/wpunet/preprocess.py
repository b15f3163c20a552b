"""From HU to what the network sees, and back: the one preprocessing that training and inference share.

The network sees pixels of a fixed size in mm, so a kidney has the same size in pixels whatever the scanner's field of
view. Resampling is separable and linear (a triangle as wide as the coarser of the two pixels, so that shrinking does
not alias), hence two matrix products a slice: fast on any machine and exact in both directions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any, TypeVar

import numpy as np

from .arrays import Array, float32, on_host
from .boxes import bounding_box

Numbers = TypeVar("Numbers", bound=Any)
WINDOW_HU = (-160.0, 340.0)  # fat to contrast-filled vessels; what lies outside is clipped
AIR_HU = -1000.0
MULTIPLE = 16  # the network halves its input four times


def normalise(hu: Numbers) -> Numbers:
    """HU -> from -1 (fat and below) to 1 (bone and above), the network's input values.

    hu: floats of any shape, a NumPy array or a PyTorch tensor; the answer is of the same kind.
    """
    low, high = WINDOW_HU
    return ((hu - (low + high) / 2) / ((high - low) / 2)).clip(-1.0, 1.0)


def resampling_matrix(
    size: int, step: float, new_size: int, new_step: float, *, repeat_edge: bool = False
) -> np.ndarray:
    """Weights (new_size, size) that take samples at ``step`` mm to samples at ``new_step`` mm along one axis.

    Both axes start at the same border (not at the same pixel centre). New samples beyond the old axis get no weight
    at all, for the caller to fill; with ``repeat_edge`` they repeat the outermost sample.
    """
    centres = (np.arange(new_size) + 0.5) * new_step
    samples = (np.arange(size) + 0.5) * step
    reach = size * step
    weights = np.clip(1.0 - np.abs(centres[:, None] - samples[None, :]) / max(step, new_step), 0.0, None)
    if repeat_edge:
        beyond = centres >= reach
        weights[beyond] = 0.0
        weights[beyond, -1] = 1.0
    else:
        weights[centres >= reach] = 0.0
    total = weights.sum(1, keepdims=True)
    return np.divide(weights, total, out=weights, where=total > 0).astype(np.float32)


@dataclass(frozen=True)
class Part:
    """Rows and columns of the network's grid, and those of the region's pixels that need no others."""

    network: tuple[slice, slice]
    ct: tuple[slice, slice]


@dataclass(frozen=True)
class InPlaneGrid:
    """How the pixels of a CT slice (or of a region of it) and the network's pixels lie on each other.

    shape:    rows and columns of the region, in CT pixels
    spacing:  mm between CT rows and columns
    pixel_mm: mm between the network's pixels
    put:      brings an array to where its numbers are worked on (Runtime.put)
    """

    shape: tuple[int, int]
    spacing: tuple[float, float]
    pixel_mm: float
    put: Callable[[Array], Array] = np.asarray

    @cached_property
    def network_shape(self) -> tuple[int, int]:
        """Rows and columns of the network's input: the region, padded with air at its end to a multiple of 16."""
        rows, columns = (
            ceil(ceil(size * step / self.pixel_mm - 1e-6) / MULTIPLE) * MULTIPLE
            for size, step in zip(self.shape, self.spacing, strict=True)
        )
        return rows, columns

    @cached_property
    def _down(self) -> tuple[Array, Array]:
        rows, columns = (
            self.put(resampling_matrix(size, step, new, self.pixel_mm))
            for size, step, new in zip(self.shape, self.spacing, self.network_shape, strict=True)
        )
        return rows, columns

    @cached_property
    def _up(self) -> tuple[Array, Array]:
        rows, columns = (
            self.put(resampling_matrix(new, self.pixel_mm, size, step, repeat_edge=True))
            for size, step, new in zip(self.shape, self.spacing, self.network_shape, strict=True)
        )
        return rows, columns

    def to_network(self, hu: Array) -> Array:
        """HU slices (n, row, column) of the region -> network input (n, 1, h, w), float32."""
        rows, columns = self._down
        above_air = float32(self.put(hu)) - np.float32(AIR_HU)
        return normalise(rows @ (above_air @ columns.T) + np.float32(AIR_HU))[:, None]

    def to_ct(self, maps: Array, part: Part | None = None) -> Array:
        """Maps on the network's grid (..., h, w) -> the region's pixels (..., row, column), float32.

        With ``part`` maps hold only that part of the network's grid, and so does the answer of the region's pixels.
        """
        rows, columns = self._up
        if part:
            rows, columns = rows[part.ct[0], part.network[0]], columns[part.ct[1], part.network[1]]
        return rows @ (self.put(maps) @ columns.T)

    def to_grid(self, maps: Array, other: InPlaneGrid) -> Array:
        """Maps on the network's grid (..., h, w) -> another one's of the same region (..., h, w), float32."""
        rows, columns = (
            self.put(resampling_matrix(size, self.pixel_mm, new, other.pixel_mm, repeat_edge=True))
            for size, new in zip(self.network_shape, other.network_shape, strict=True)
        )
        return rows @ (float32(maps) @ columns.T)

    def part(self, marked: np.ndarray) -> Part | None:
        """The part around all that is not 0 on the network's grid (h, w), with all pixels that it reaches."""
        box = bounding_box(marked)
        if box is None:
            return None
        network, ct = [], []
        for side, step, (first, last) in zip(box, self.spacing, self._reach, strict=False):
            margin = ceil(2 * max(step, self.pixel_mm) / self.pixel_mm)
            start, stop = max(0, side.start - margin), side.stop + margin
            here = np.flatnonzero((first >= start) & (last < stop))
            network.append(slice(start, stop))
            ct.append(slice(int(here[0]), int(here[-1]) + 1) if len(here) else slice(0, 0))
        return Part((network[0], network[1]), (ct[0], ct[1]))

    @cached_property
    def _reach(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """First and last row (column) of the network's grid that each row (column) of the region needs."""
        used = [on_host(up) > 0 for up in self._up]
        return [(np.argmax(one, 1), one.shape[1] - 1 - np.argmax(one[:, ::-1], 1)) for one in used]
