"""Where to look: tumors from large to small, and the places where the network was least certain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from scipy import ndimage
from slicer.i18n import tr as _
from wpunet.structure import Structure

Point = tuple[float, float, float]
CUBE_MM = 8.0  # uncertainty is averaged over cubes of this size: single voxels on an outline mean little
APART_MM = 20.0  # places nearer to each other than this are one
MOST = 10


@dataclass(frozen=True)
class Place:
    """ras: mm in the CT's own coordinates, before any transform that it lies under."""

    text: str
    ras: Point


class Walk:
    """Places one after the other, round and round."""

    def __init__(self, places: Sequence[Place] = ()) -> None:
        self.places = list(places)
        self._at = -1

    def step(self, by: int = 1) -> Place:
        """The next (1) or previous (-1) place; the first step forwards goes to the first, backwards to the last."""
        self._at = (max(self._at, 0) if by < 0 else self._at) + by
        self._at %= len(self.places)
        return self.places[self._at]


def tumors(structures: Sequence[Structure]) -> list[Place]:
    """The tumors, largest first."""
    found = sorted((one for one in structures if one.kind == "tumor"), key=lambda one: -one.volume_ml)
    return [
        Place(
            _("Tumor {number} of {count}: {name}, {ml:.1f} ml").format(
                number=number, count=len(found), name=one.name, ml=one.volume_ml
            ),
            one.centre_ras_mm,
        )
        for number, one in enumerate(found, 1)
    ]


def least_certain(structures: Sequence[Structure]) -> list[Place]:
    """Kidneys and tumors, the least certain first; those whose certainty is unknown are left out."""
    known = sorted((one for one in structures if one.certainty is not None), key=lambda one: one.certainty or 0.0)
    return [
        Place(_("{name}: {certainty:.0%} certain").format(name=one.name, certainty=one.certainty), one.centre_ras_mm)
        for one in known
    ]


def uncertain_places(uncertainty: np.ndarray, affine: np.ndarray) -> list[Place]:
    """The places of highest uncertainty, the highest first, at most ``MOST``.

    uncertainty: (k, j, i), 0 (sure) to 1; affine: (4, 4), (i, j, k, 1) -> RAS mm
    """
    steps = np.maximum(1, np.round(CUBE_MM / np.linalg.norm(affine[:3, :3], axis=0)).astype(int))[::-1]  # k, j, i
    cubes = _averaged(uncertainty, steps)
    peaks = np.argwhere((cubes == ndimage.maximum_filter(cubes, size=3)) & (cubes > 0))
    peaks = peaks[np.argsort(-cubes[tuple(peaks.T)], kind="stable")]
    centres = ((peaks + 0.5) * steps - 0.5)[:, ::-1]  # i, j, k
    points = centres @ affine[:3, :3].T + affine[:3, 3]
    found = _apart(points)
    return [
        Place(
            _("Uncertain place {number} of {count}: {level:.0%} uncertain").format(
                number=number, count=len(found), level=float(cubes[tuple(peaks[at])])
            ),
            _point(points[at]),
        )
        for number, at in enumerate(found, 1)
    ]


def _apart(points: np.ndarray) -> list[int]:
    """Which of the points (n, 3) to keep: from the first on each that is not near to one kept before."""
    kept: list[int] = []
    for at, point in enumerate(points):
        if len(kept) == MOST:
            break
        if all(np.linalg.norm(point - points[other]) >= APART_MM for other in kept):
            kept.append(at)
    return kept


def _averaged(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Means over whole cubes of ``steps`` voxels, one axis after the other; the rest at the far ends is left out."""
    for axis, step in enumerate(steps):
        count = max(1, values.shape[axis] // step)
        step = min(int(step), values.shape[axis])
        front = np.moveaxis(values, axis, 0)[: count * step]
        values = np.moveaxis(front.reshape(count, step, *front.shape[1:]).mean(1, dtype=np.float32), 0, axis)
    return values


def _point(ras: np.ndarray) -> Point:
    return float(ras[0]), float(ras[1]), float(ras[2])


def show(ras: Point, node: Any) -> None:
    """Centre all slice views on a place in a node's own coordinates, wherever a transform has put it."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, transform)
    where = transform.TransformPoint(ras)
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *where, slicer.vtkMRMLSliceNode.CenteredJumpSlice)
