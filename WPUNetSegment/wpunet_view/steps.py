"""Undo and redo: a step keeps the voxels that a correction has changed.

trame-slicer's own steps keep two copies of all segments and their surfaces each, 45 MB in a large CT, so it keeps five.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from isal import igzip
from slicer import vtkOrientedImageData, vtkOrientedImageDataResample
from trame_slicer.segmentation import segment_modifier
from undo_stack import UndoCommand
from wpunet.boxes import Box, bounding_box
from wpunet.labels import BY_SIDE

from .scene import common, voxels

if TYPE_CHECKING:
    from trame_slicer.segmentation import Segmentation
    from undo_stack import UndoStack

STEPS = 50
SURFACE = "Closed surface"


class Step(UndoCommand):
    """What a correction has made of a box of voxels."""

    def __init__(self, segmentation: Segmentation, box: Box, before: np.ndarray, after: np.ndarray) -> None:
        """before, after: values of labels.BY_SIDE in the box."""
        super().__init__()
        self._segmentation, self._box, self._shape = segmentation, box, before.shape
        self._before, self._after = (igzip.compress(values.tobytes(), 1) for values in (before, after))
        self._text = " ".join(_changed(before, after))

    def text(self) -> str:
        """The keys of the segments that it changes, between spaces."""
        return self._text

    def undo(self) -> None:
        self._put(self._before)

    def redo(self) -> None:
        self._put(self._after)

    def _put(self, packed: bytes) -> None:
        values = np.frombuffer(igzip.decompress(packed), np.uint8).reshape(self._shape)
        put(self._segmentation, self._box, values)

    @classmethod
    @contextmanager
    def push_state_change(cls, segmentation: Segmentation) -> Iterator[None]:
        """Keep what changes meanwhile as one step; trame-slicer's tools ask for it by this name."""
        image = _image(segmentation)
        extent, before = image.GetExtent(), voxels(image).copy()
        yield
        outer = _around(extent, image.GetExtent())
        before, after = _within(outer, extent, before), _within(outer, image.GetExtent(), voxels(image))
        box = bounding_box(before != after)
        if box is not None:
            first = (outer[4], outer[2], outer[0])
            place: Any = tuple(slice(side.start + at, side.stop + at) for side, at in zip(box, first, strict=True))
            segmentation.push_undo(cls(segmentation, place, before[box], after[box]))


def keep(stack: UndoStack) -> None:
    """From now on trame-slicer's tools keep their steps in this way."""
    segment_modifier.SegmentationLabelMapUndoCommand = Step
    stack.set_undo_limit(STEPS)


def put(segmentation: Segmentation, box: Box, values: np.ndarray) -> None:
    """Make the voxels of a box (slice, row, column) what ``values`` (of labels.BY_SIDE) say."""
    image, extent = _image(segmentation), _extent(box)
    outer = _around(image.GetExtent(), extent)
    if outer != image.GetExtent():  # Slicer keeps no more than what is marked
        larger = vtkOrientedImageData()
        vtkOrientedImageDataResample.CopyImage(image, larger, outer)
        image.ShallowCopy(larger)
    place, _ = common(outer, extent)
    there = voxels(image)[place]
    keys = _changed(there, values)
    there[:] = values
    # Were the image itself told, Slicer would forget all surfaces; so it makes those anew that have changed
    image.GetPointData().GetScalars().Modified()
    if segmentation.segmentation.ContainsRepresentation(SURFACE):
        for key in keys:
            segmentation.get_segment(key).RemoveRepresentation(SURFACE)
        segmentation.segmentation.CreateRepresentation(SURFACE)
    segmentation.trigger_modified()


def _changed(before: np.ndarray, after: np.ndarray) -> list[str]:
    """Keys of the segments that differ between values of labels.BY_SIDE."""
    where = before != after
    values = {*np.unique(before[where]), *np.unique(after[where])}
    return [label.key for label in BY_SIDE if label.value in values]


def _image(segmentation: Segmentation) -> Any:
    """The one image that holds all segments: no voxel belongs to two."""
    return segmentation.get_nth_segment(0).GetRepresentation("Binary labelmap")


def _extent(box: Box) -> tuple[int, ...]:
    """A box as VTK's extent."""
    return tuple(edge for side in box[::-1] for edge in (side.start, side.stop - 1))


def _around(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    """The smallest extent around two."""
    return tuple((max if k % 2 else min)(pair) for k, pair in enumerate(zip(one, other, strict=True)))


def _within(outer: tuple[int, ...], extent: tuple[int, ...], values: np.ndarray) -> np.ndarray:
    """The values of an extent in one around it, 0 elsewhere."""
    if outer == extent:
        return values
    made = np.zeros([outer[k + 1] - outer[k] + 1 for k in (4, 2, 0)], values.dtype)
    made[common(outer, extent)[0]] = values
    return made
