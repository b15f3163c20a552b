"""What a reader of the scan wants to know of each kidney, each tumor and each cyst."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from .bodies import Box, bodies, bounding_box
from .labels import CYST, LEFT_KIDNEY, RIGHT_KIDNEY, TUMOR


@dataclass(frozen=True)
class Structure:
    """One kidney, one tumor or one cyst.

    extent_mm:         right to left, front to back, head to feet
    axial_diameter_mm: the longest distance within one axial slice (Feret's diameter), and that slice
    centre_ras_mm:     in patient coordinates: right to left grows, back to front grows, feet to head grows
    touches_border:    reaches the edge of the scan, so that the volume is a lower bound
    certainty:         1 - mean entropy of the network's answer; None where it was not kept
    """

    kind: str
    side: str
    volume_ml: float
    mean_hu: float
    sd_hu: float
    extent_mm: tuple[float, float, float]
    axial_diameter_mm: float
    diameter_slice: int
    centre_ras_mm: tuple[float, float, float]
    centre_index: tuple[int, int, int]
    touches_border: bool
    certainty: float | None

    @property
    def name(self) -> str:
        return f"{self.side} {self.kind}".strip()


def names(structures: Sequence[Structure]) -> list[str]:
    """What they are called in a table: tumors are numbered where there are several, and so are cysts."""
    kinds = Counter(one.kind for one in structures)
    numbers = {kind: count(1) for kind in kinds}
    numbered = {kind for kind, there in kinds.items() if kind != "kidney" and there > 1}
    return [f"{one.name} {next(numbers[one.kind])}" if one.kind in numbered else one.name for one in structures]


def measure(
    labels: np.ndarray, hu: np.ndarray, affine: np.ndarray, uncertainty: np.ndarray | None = None
) -> tuple[Structure, ...]:
    """Kidneys, right before left, then tumors, then cysts, largest first.

    labels (with sides), hu, uncertainty (0 to 255): (slice, row, column); affine to RAS mm.
    """
    marked = bounding_box(labels)
    if marked is None:
        return ()
    view, found = labels[marked], []
    for value, side in ((RIGHT_KIDNEY, "right"), (LEFT_KIDNEY, "left")):
        box = bounding_box(view == value)
        if box:
            mask = view[box] == value
            found.append(_structure("kidney", side, mask, _shifted(box, marked), hu, affine, uncertainty))
    for value, kind in ((TUMOR, "tumor"), (CYST, "cyst")):
        lesions = bodies(view == value)
        there = [
            _structure(
                kind, _side(view, box), lesions.numbers[box] == number, _shifted(box, marked), hu, affine, uncertainty
            )
            for number, box in enumerate(lesions.boxes, 1)
        ]
        found += sorted(there, key=lambda lesion: -lesion.volume_ml)
    return tuple(found)


def _shifted(box: Box, outer: Box) -> Box:
    """A box within ``outer`` in the indices of the whole."""
    slices, rows, columns = (slice(o.start + b.start, o.start + b.stop) for b, o in zip(box, outer, strict=True))
    return slices, rows, columns


def _side(labels: np.ndarray, box: tuple[slice, ...]) -> str:
    """The side of the kidney that a tumor lies on: the one whose voxels are around it, else the nearer one."""
    for margin in (3, 30, max(labels.shape)):
        around = labels[tuple(slice(max(0, side.start - margin), side.stop + margin) for side in box)]
        right, left = (around == RIGHT_KIDNEY).sum(), (around == LEFT_KIDNEY).sum()
        if right + left:
            return "right" if right >= left else "left"
    return ""


def _structure(
    kind: str,
    side: str,
    mask: np.ndarray,
    box: tuple[slice, ...],
    hu: np.ndarray,
    affine: np.ndarray,
    uncertainty: np.ndarray | None,
) -> Structure:
    start = np.array([part.start for part in box])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    values = hu[box][mask].astype(np.float64)
    centre = [float(at + first) for at, first in zip(ndimage.center_of_mass(mask), start, strict=True)]
    diameter, at = _axial_diameter(mask, spacing)
    doubt = None if uncertainty is None else float(uncertainty[box][mask].mean() / 255.0)
    slices_mm, rows_mm, columns_mm = (float(n * step) for n, step in zip(mask.shape, spacing, strict=True))
    x, y, z = (float(v) for v in affine[:3, :3] @ centre + affine[:3, 3])
    return Structure(
        kind=kind,
        side=side,
        volume_ml=float(mask.sum() * np.prod(spacing) / 1000.0),
        mean_hu=float(values.mean()),
        sd_hu=float(values.std()),
        extent_mm=(columns_mm, rows_mm, slices_mm),
        axial_diameter_mm=diameter,
        diameter_slice=int(at + start[0]),
        centre_ras_mm=(x, y, z),
        centre_index=(round(centre[0]), round(centre[1]), round(centre[2])),
        touches_border=any(part.start == 0 or part.stop == size for part, size in zip(box, hu.shape, strict=True)),
        certainty=None if doubt is None else 1.0 - doubt,
    )


def _axial_diameter(mask: np.ndarray, spacing: np.ndarray) -> tuple[float, int]:
    """The longest distance between two corners of marked pixels in one slice, in mm, and the slice."""
    best, at = 0.0, 0
    for k, one in enumerate(mask):
        rows, columns = np.nonzero(one & ~ndimage.binary_erosion(one))
        if not len(rows):
            continue
        corners = [(rows + a, columns + b) for a in (0, 1) for b in (0, 1)]
        points = np.concatenate([np.column_stack(corner) for corner in corners]) * spacing[1:]
        if np.linalg.norm(np.ptp(points, axis=0)) <= best:
            continue
        with suppress(QhullError):  # all on one line: nothing to thin out
            points = points[ConvexHull(points).vertices]
        longest = float(pdist(points).max())
        if longest > best:
            best, at = longest, k
    return best, at
