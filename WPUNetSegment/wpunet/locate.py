"""Where kidneys can be: a quick pass over coarse slices, so that a whole body costs little more than an abdomen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .arrays import Array, on_host
from .boxes import bounding_box
from .errors import InputError
from .monitor import Monitor
from .predict import foreground_logit
from .preprocess import InPlaneGrid
from .runtime import Runtime, ahead
from .volume import Region, Volume, contiguous

COARSE_MM = 12.0  # from look to look; a kidney is 90 to 130 mm long: eight looks or more at each
COARSER = 1.5  # times the network's own pixel
MARGINS_MM = (36.0, 32.0, 32.0)  # around all that was seen, along slices, rows and columns
LEAST_MM2 = 40.0  # in one slice; less is a speck
SUSPICION = -1.4  # logit; a fifth of certainty is enough to look closer
AIR_HU = -300  # and below: no body


def whole(volume: Volume) -> Region:
    """The region that leaves nothing out."""
    return Region(*(slice(0, size) for size in volume.hu.shape))


def within(volume: Volume, box: Sequence[tuple[int, int]]) -> Region:
    """The region that holds ``box``: first and one past the last index along each axis of the input's own array.

    Raises InputError when the box is empty or lies outside the CT.
    """
    inside = [(max(0, first), min(last, size)) for (first, last), size in zip(box, volume.grid.shape, strict=True)]
    if any(first >= last for first, last in inside):
        raise InputError(f"The box {box_text(box)} holds nothing of {volume.name}; choose one over the kidneys.")
    corners = np.array(np.meshgrid(*((first - 0.5, last - 0.5) for first, last in inside), indexing="ij"))
    to_ours = np.linalg.inv(volume.affine) @ volume.grid.affine
    ours = to_ours[:3, :3] @ corners.reshape(3, -1) + to_ours[:3, 3:]
    low, high = np.floor(ours.min(1) + 0.5 + 1e-3), np.ceil(ours.max(1) + 0.5 - 1e-3)
    sides = zip(low, high, volume.hu.shape, strict=True)
    return Region(*(slice(max(0, int(first)), min(size, int(last))) for first, last, size in sides))


def box_text(box: Sequence[tuple[int, int]]) -> str:
    """As the command line writes it: "0:512,100:400,20:90"."""
    return ",".join(f"{first}:{last}" for first, last in box)


def locate(volume: Volume, runtime: Runtime, pixel_mm: float, monitor: Monitor) -> Region:
    """The box around everything that a look at every 12 mm, at coarse pixels, takes for kidney or tumor, with a margin.

    Returns the whole volume where nothing is seen: the close look then decides.
    """
    pixel_mm *= COARSER
    slice_mm, row_mm, column_mm = volume.spacing
    body = _body(volume.hu)
    grid = InPlaneGrid((_length(body[0]), _length(body[1])), (row_mm, column_mm), pixel_mm, runtime.put)
    step = max(1, round(COARSE_MM / slice_mm))
    levels = np.arange(step // 2 if len(volume.hu) > step else 0, len(volume.hu), step)

    def looks() -> Iterator[Array]:
        for first in range(0, len(levels), runtime.batch):
            monitor.at("locate", first, len(levels))
            some = levels[first : first + runtime.batch]
            yield grid.to_network(contiguous(volume.hu[some[0] : some[-1] + 1 : step, body[0], body[1]]))

    seen = np.concatenate([on_host(foreground_logit(logits) > SUSPICION) for logits in ahead(runtime, looks())])
    seen &= (seen.sum((1, 2)) * pixel_mm**2 >= LEAST_MM2)[:, None, None]
    box = bounding_box(seen)
    if box is None:
        return whole(volume)
    mm = [levels[box[0].start] * slice_mm, (levels[box[0].stop - 1] + 1) * slice_mm]
    ends = [mm] + [
        [start.start * step_mm + side.start * pixel_mm, start.start * step_mm + side.stop * pixel_mm]
        for start, step_mm, side in zip(body, (row_mm, column_mm), box[1:], strict=True)
    ]
    sides = zip(ends, MARGINS_MM, volume.spacing, volume.hu.shape, strict=True)
    return Region(*(_with_margin(first, last, margin, step_mm, size) for (first, last), margin, step_mm, size in sides))


def _body(hu: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that hold a body (or a table), by every fourth voxel of some slices: air needs no look."""
    inside = hu[:: max(1, len(hu) // 24), ::4, ::4] > AIR_HU
    box = bounding_box(inside)
    if box is None:
        return slice(0, hu.shape[1]), slice(0, hu.shape[2])
    rows, columns = (
        slice(max(0, 4 * side.start - 4), min(size, 4 * side.stop + 4))
        for side, size in zip(box[1:], hu.shape[1:], strict=True)
    )
    return rows, columns


def _length(side: slice) -> int:
    return int(side.stop - side.start)


def _with_margin(first_mm: float, last_mm: float, margin_mm: float, spacing: float, size: int) -> slice:
    """From mm along an axis to its indices, with the margin."""
    first, last = (first_mm - margin_mm) / spacing, (last_mm + margin_mm) / spacing
    return slice(max(0, int(first)), min(size, int(np.ceil(last))))
