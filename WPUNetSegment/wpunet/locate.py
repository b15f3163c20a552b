"""Where kidneys can be: a quick pass over coarse slices, so that a whole body costs little more than an abdomen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import Any

import numpy as np

from .arrays import Array, on_host
from .boxes import bounding_box
from .errors import InputError
from .monitor import Monitor
from .predict import foreground_logit
from .preprocess import InPlaneGrid
from .runtime import Runtime, ahead
from .volume import Region, Volume, contiguous

COARSE_MM = 8.0  # from look to look; a kidney is 90 to 130 mm long: some ten looks at each
MARGIN_MM = 32.0  # around all that was seen, in every direction
LEAST_MM2 = 40.0  # in one slice; less is a speck
SUSPICION = -1.4  # logit; a fifth of certainty is enough to look closer


def whole(volume: Volume) -> Region:
    """The region that leaves nothing out."""
    return Region(*(slice(0, size) for size in volume.hu.shape))


def within(volume: Volume, box: Sequence[tuple[int, int]]) -> Region:
    """The region that holds ``box``: first and one past the last index along each axis of the input's own array.

    Raises InputError when the box is none, is empty or lies outside the CT.
    """
    if not _is_box(box):
        raise InputError(f"{box} is no box; give three ranges of voxels: ((0, 512), (100, 400), (20, 90)).")
    inside = [(max(0, first), min(last, size)) for (first, last), size in zip(box, volume.grid.shape, strict=True)]
    if any(first >= last for first, last in inside):
        raise InputError(f"The box {box_text(box)} holds nothing of {volume.name}; choose one over the kidneys.")
    corners = np.array(np.meshgrid(*((first - 0.5, last - 0.5) for first, last in inside), indexing="ij"))
    to_ours = np.linalg.inv(volume.affine) @ volume.grid.affine
    ours = to_ours[:3, :3] @ corners.reshape(3, -1) + to_ours[:3, 3:]
    low, high = np.floor(ours.min(1) + 0.5 + 1e-3), np.ceil(ours.max(1) + 0.5 - 1e-3)
    sides = zip(low, high, volume.hu.shape, strict=True)
    return Region(*(slice(max(0, int(first)), min(size, int(last))) for first, last, size in sides))


def _is_box(box: Sequence[Any]) -> bool:
    """Whether these are three ranges, as nobody has checked who calls the engine from Python."""
    return len(box) == 3 and all(isinstance(side, Sized) and len(side) == 2 for side in box)


def box_text(box: Sequence[tuple[int, int]]) -> str:
    """As the command line writes it: "0:512,100:400,20:90"."""
    return ",".join(f"{first}:{last}" for first, last in box)


def locate(volume: Volume, runtime: Runtime, pixel_mm: float, monitor: Monitor) -> Region:
    """The box around everything that a look at every 8 mm takes for kidney or tumor, with 32 mm to spare.

    Returns the whole volume where nothing is seen: the close look then decides.
    """
    slice_mm, row_mm, column_mm = volume.spacing
    grid = InPlaneGrid(volume.hu.shape[1:], (row_mm, column_mm), pixel_mm, runtime.put)
    step = max(1, round(COARSE_MM / slice_mm))
    levels = np.arange(step // 2 if len(volume.hu) > step else 0, len(volume.hu), step)

    def looks() -> Iterator[Array]:
        for first in range(0, len(levels), runtime.batch):
            monitor.at("locate", first, len(levels))
            some = levels[first : first + runtime.batch]
            yield grid.to_network(contiguous(volume.hu[some[0] : some[-1] + 1 : step]))

    seen = np.concatenate([on_host(foreground_logit(logits) > SUSPICION) for logits in ahead(runtime, looks())])
    seen &= (seen.sum((1, 2)) * pixel_mm**2 >= LEAST_MM2)[:, None, None]
    box = bounding_box(seen)
    if box is None:
        return whole(volume)
    ends = [
        (levels[box[0].start] * slice_mm, (levels[box[0].stop - 1] + 1) * slice_mm),
        *((side.start * pixel_mm, side.stop * pixel_mm) for side in box[1:]),
    ]
    sides = zip(ends, volume.spacing, volume.hu.shape, strict=True)
    return Region(*(_with_margin(first, last, step_mm, size) for (first, last), step_mm, size in sides))


def _with_margin(first_mm: float, last_mm: float, spacing: float, size: int) -> slice:
    """From mm along an axis to its indices, with the margin."""
    first, last = (first_mm - MARGIN_MM) / spacing, (last_mm + MARGIN_MM) / spacing
    return slice(max(0, int(first)), min(size, int(np.ceil(last))))
