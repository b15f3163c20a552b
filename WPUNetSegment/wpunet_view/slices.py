"""Which slice of the CT a view shows, and where its slices lie: between two of them a view would show a blend."""

from __future__ import annotations

from typing import Any

import numpy as np
from wpunet.volume import Volume

AXIAL, CORONAL, SAGITTAL = "Axial", "Coronal", "Sagittal"
SLICES = (AXIAL, CORONAL, SAGITTAL)

Point = tuple[float, float, float]


class Stack:
    """The slices of a CT along a view's normal, counted where they cross the CT's middle; places are RAS mm.

    node: the view's slice node
    """

    def __init__(self, volume: Volume, node: Any) -> None:
        plane = node.GetSliceToRAS()
        self._normal = np.array([plane.GetElement(row, 2) for row in range(3)])
        self._at = np.array([plane.GetElement(row, 3) for row in range(3)])
        axis = 2 - int(np.abs(self._normal).argmax())  # the engine's, which counts feet, back, left
        self.count: int = volume.hu.shape[axis]
        self._middle = volume.affine[:3, :3] @ ((np.array(volume.hu.shape) - 1) / 2.0) + volume.affine[:3, 3]
        self._per_mm = float((np.linalg.inv(volume.affine[:3, :3]) @ self._normal)[axis])

    def middle(self) -> np.ndarray:
        """The CT's middle, moved along the normal to where the view stands."""
        return self._middle + self._normal * float(self._normal @ (self._at - self._middle))

    def shown(self) -> int:
        """The slice that the view shows, from 0."""
        return self._nearest(self._at)

    def snapped(self, ras: Point) -> Point:
        """A place moved along the normal onto the slice that is nearest to it."""
        off = (self._nearest(np.array(ras)) - self._index(np.array(ras))) / self._per_mm
        x, y, z = np.array(ras) + off * self._normal
        return float(x), float(y), float(z)

    def _index(self, ras: np.ndarray) -> float:
        return (self.count - 1) / 2 + self._per_mm * float(self._normal @ (ras - self._middle))

    def _nearest(self, ras: np.ndarray) -> int:
        return int(np.clip(nearest(self._index(ras)), 0, self.count - 1))


def nearest(index: Any) -> Any:
    """The whole number that is nearest; of two the larger, so that steps of one never skip or repeat a number."""
    return np.floor(np.add(index, 0.5)).astype(int)
