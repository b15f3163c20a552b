"""Which structures are cut: where the data of the CT end, be it at its border, in an oblique grid, or at padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from .boxes import Box, bounding_box, grown, placed, shifted
from .volume import Volume

RIM_SHARE = 0.03  # of a volume's faces that have one same number: there may be no data
REACH_MM, REACH_VOXELS = 6.0, 2  # from a structure to where the data end: the network is unsure next to it
CUT_MM2 = 250.0  # a cut through a kidney is larger but at its very pole; a lung whose air was cut off is not so near
STEP_MM = 4.0  # at which padding is looked for
MOST_VALUES = 3


@dataclass(frozen=True)
class DataEnd:
    """Where the data of a volume end; ``looked_at``: the part of it that was looked at, where that is not the whole."""

    volume: Volume
    looked_at: Box | None = None

    def cuts(self, mask: np.ndarray, part: Box | None = None) -> bool:
        """Whether what a mask (slice, row, column) marks, of the volume or a part of it, reaches where the data end."""
        inside = bounding_box(mask)
        if inside is None:
            return False
        box = shifted(inside, part) if part else inside
        mask = mask[inside]
        ends = self.looked_at or tuple(slice(0, size) for size in self.volume.hu.shape)
        if any(side.start <= end.start or side.stop >= end.stop for side, end in zip(box, ends, strict=True)):
            return True
        if not self.volume.grid.upright and self._leaves_source(mask, box):
            return True
        return self._meets_padding(mask, box)

    def seen(self, box: Box) -> np.ndarray:
        """Which voxels (slice, row, column) of a box of the volume hold data: padding does not."""
        with_data = self.volume.with_data
        seen = with_data(box) if with_data else np.ones(self.volume.hu[box].shape, bool)
        for value, places in self._padding:
            seen &= (self.volume.hu[box] != value) | ~places[self._coarse(box)]
        if self.volume.grid.upright:
            return seen
        return ndimage.binary_erosion(seen, np.ones((3, 3, 3)), border_value=1)  # next to none it is a mixture

    def _leaves_source(self, mask: np.ndarray, box: Box) -> bool:
        """Whether it reaches the first or last voxels of the CT's own grid, which lies obliquely in the volume."""
        volume = self.volume
        to_source = np.linalg.inv(volume.grid.affine) @ volume.affine
        places = np.argwhere(mask) + [side.start for side in box]
        source = places @ to_source[:3, :3].T + to_source[:3, 3]
        last = np.array(volume.grid.shape) - 1
        outermost = ((source < 0.5) | (source > last - 0.5)).any(1)  # farther in it is of the next voxel
        return bool(np.count_nonzero(outermost) >= 5)

    def _meets_padding(self, mask: np.ndarray, box: Box) -> bool:
        if not self._padding:
            return False
        steps = [max(REACH_VOXELS, int(REACH_MM / step)) for step in self.volume.spacing]
        reach = max(count * step for count, step in zip(steps, self.volume.spacing, strict=True))
        around = grown(box, reach, self.volume.spacing, self.volume.hu.shape)
        near = placed(mask, box, around)
        hu, area = self.volume.hu[around], 0.0
        coarse = self._coarse(around)
        for value, places in self._padding:
            end = (hu == value) & places[coarse]
            if not end.any():
                continue
            for axis, reach in enumerate(steps):  # seen along each axis, so that the area of a cut is its own
                line = np.ones([2 * reach + 1 if a == axis else 1 for a in range(3)], bool)
                seen = ndimage.binary_dilation(end, line) & near
                face = np.prod(self.volume.spacing) / self.volume.spacing[axis]
                area = max(area, float(np.count_nonzero(seen.any(axis)) * face))
        return area >= CUT_MM2

    def _coarse(self, box: Box) -> tuple[np.ndarray, ...]:
        """The indices of a box's voxels in coarse masks."""
        return np.ix_(*(np.arange(side.start, side.stop) // self._step[a] for a, side in enumerate(box)))

    @cached_property
    def _step(self) -> tuple[int, int, int]:
        slices, rows, columns = (max(1, int(STEP_MM / step)) for step in self.volume.spacing)
        return slices, rows, columns

    @cached_property
    def _padding(self) -> list[tuple[int, np.ndarray]]:
        """Numbers that fill regions from the border on, and coarse masks of these regions."""
        coarse = self.volume.hu[tuple(slice(None, None, step) for step in self._step)]
        faces = np.concatenate([coarse.take(end, axis).ravel() for axis in range(3) for end in (0, -1)])
        values, counts = np.unique(faces, return_counts=True)
        common = values[np.argsort(-counts)][:MOST_VALUES]
        common = common[np.sort(-counts)[:MOST_VALUES] <= -RIM_SHARE * faces.size]
        found = []
        for value in common:
            numbers, _ = ndimage.label(coarse == value)
            at_border = np.unique(np.concatenate([numbers.take(e, a).ravel() for a in range(3) for e in (0, -1)]))
            found.append((int(value), np.isin(numbers, at_border[at_border > 0])))
        return [*found, *self._blank(coarse.shape)]

    def _blank(self, shape: tuple[int, ...]) -> Iterator[tuple[int, np.ndarray]]:
        """Numbers that fill whole slices, and coarse masks of these: there are no data, however few slices it is."""
        slices = self.volume.hu[:, :: self._step[1], :: self._step[2]]
        blank = np.flatnonzero((slices == slices[:, :1, :1]).all((1, 2)))
        for value in np.unique(slices[blank, 0, 0]):
            places = np.zeros(shape, bool)
            places[blank[slices[blank, 0, 0] == value] // self._step[0]] = True
            yield int(value), places
