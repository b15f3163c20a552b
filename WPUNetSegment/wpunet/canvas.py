"""A picture that is painted with implicit shapes, softly at their edges: what the phantom is made with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Field = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # of x, y, z in mm; negative inside


@dataclass
class Canvas:
    """The picture under the brush; z, y, x in mm broadcast to (slice, row, column)."""

    z: np.ndarray
    y: np.ndarray
    x: np.ndarray
    edge_mm: float
    hu: np.ndarray

    def box(self, centre: tuple[float, float, float], reach: float) -> tuple[slice, ...]:
        """The voxels within ``reach`` mm of (x, y, z), per axis."""
        sides = []
        for axis, middle in zip((self.z.ravel(), self.y.ravel(), self.x.ravel()), centre[::-1], strict=True):
            first, last = np.searchsorted(axis, (middle - reach, middle + reach))
            sides.append(slice(int(first), int(last)))
        return tuple(sides)

    def cover(self, distance: Field, box: tuple[slice, ...] = (slice(None),) * 3) -> np.ndarray:
        """How much of each voxel lies inside: 0 to 1, where the signed ``distance`` in mm is negative."""
        z, y, x = self.z[box[0]], self.y[:, box[1]], self.x[:, :, box[2]]
        return np.clip(0.5 - distance(x, y, z) / self.edge_mm, 0.0, 1.0)

    def paint(self, value: float | np.ndarray, cover: np.ndarray, box: tuple[slice, ...] = (slice(None),) * 3) -> None:
        self.hu[box] += cover * (value - self.hu[box])

    def ellipsoid(
        self, value: float | np.ndarray, centre: tuple[float, float, float], radii: tuple[float, float, float]
    ) -> None:
        box = self.box(centre, max(radii) + 5)
        self.paint(value, self.cover(ellipsoid(centre, radii), box), box)


def ellipsoid(centre: tuple[float, float, float], radii: tuple[float, float, float], tilt: float = 0.0) -> Field:
    """Signed distance, nearly in mm, to an ellipsoid whose long (z) axis leans outward by ``tilt`` mm per mm."""
    cx, cy, cz = centre
    rx, ry, rz = radii
    small = min(radii)

    def distance(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        u, v, w = (x - cx - tilt * (z - cz)) / rx, (y - cy) / ry, (z - cz) / rz
        return (np.sqrt(u * u + v * v + w * w) - 1) * small

    return distance


def tube(centre: tuple[float, float], radii: tuple[float, float]) -> Field:
    """Signed distance to an elliptic cylinder along the body."""
    (cx, cy), (rx, ry) = centre, radii

    def distance(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        return (np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2) - 1) * min(rx, ry) + 0.0 * z

    return distance
