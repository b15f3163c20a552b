"""Where kidneys can be: a quick pass over coarse slices, so that a whole body costs little more than an abdomen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .errors import InputError
from .monitor import Monitor
from .predict import foreground_logit
from .preprocess import InPlaneGrid
from .runtime import Runtime
from .volume import Region, Volume

COARSE_MM = 8.0  # a kidney is 90 to 130 mm long: some ten looks at each
MARGIN_MM = 32.0  # around all that was seen, in every direction
LEAST_MM2 = 40.0  # in one slice; less is a speck
SUSPICION = -1.4  # logit; a fifth of certainty is enough to look closer


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
    """The box around everything that a look at every 8 mm takes for kidney or tumor, with 32 mm to spare.

    Returns the whole volume where nothing is seen: the close look then decides.
    """
    grid = InPlaneGrid(volume.hu.shape[1:], volume.spacing[1:], pixel_mm)
    step = max(1, round(COARSE_MM / volume.spacing[0]))
    levels = np.arange(step // 2 if len(volume.hu) > step else 0, len(volume.hu), step)
    seen = np.empty((len(levels), *grid.network_shape), bool)
    for k, level in enumerate(levels):
        monitor.at("locate", k, len(levels))
        logits = runtime(grid.to_network(volume.hu[level : level + 1]))
        seen[k] = foreground_logit(logits)[0] > SUSPICION
    seen &= (seen.sum((1, 2)) * pixel_mm**2 >= LEAST_MM2)[:, None, None]
    if not seen.any():
        return whole(volume)
    at_levels = np.flatnonzero(seen.any((1, 2)))
    at_rows, at_columns = np.flatnonzero(seen.any((0, 2))), np.flatnonzero(seen.any((0, 1)))
    slice_mm, row_mm, column_mm = volume.spacing
    depth, rows, columns = volume.hu.shape
    return Region(
        _with_margin(levels[at_levels] * slice_mm, slice_mm, slice_mm, depth),
        _with_margin(at_rows * pixel_mm, pixel_mm, row_mm, rows),
        _with_margin(at_columns * pixel_mm, pixel_mm, column_mm, columns),
    )


def _with_margin(starts_mm: np.ndarray, width_mm: float, spacing: float, size: int) -> slice:
    """Where samples of ``width_mm`` begin along an axis -> the axis' indices from first to last, with the margin."""
    first, last = starts_mm[0] - MARGIN_MM, starts_mm[-1] + width_mm + MARGIN_MM
    return slice(max(0, int(first / spacing)), min(size, int(np.ceil(last / spacing))))
