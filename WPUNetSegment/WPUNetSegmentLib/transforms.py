"""What the transforms above a CT do: move it as a whole, or change it so that ml, mm or sides would be wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from wpunet.errors import InputError

from . import handover

# Slicer bends a DICOM CT whose slices are off by 0.001 mm, as rounded headers have it; nobody draws to a tenth of a mm
NOTHING_MM = 0.1
SAME = 1e-4  # how far the axes that are told of a CT in six digits may be from those of a turned one


def require_rigid(volume: Any) -> str | None:
    """The id of the transform that what is made of a CT lies under, too; None where there is none of any size.

    Raises InputError where it does more than move and turn the CT: then volumes, lengths or sides would not be true.
    """
    above = volume.GetParentTransformNode()
    if above is None:
        return None
    before, after = _samples(volume, above)
    if not above.IsTransformToWorldLinear() and np.abs(after - before).max() < NOTHING_MM:
        return None  # the Segment Editor cannot draw under a transform that is not linear
    if above.IsTransformToWorldLinear() and _residual(before, after) < NOTHING_MM:
        return str(volume.GetTransformNodeID())
    raise InputError(
        f"{volume.GetName()} lies under the transform {above.GetName()}, which stretches, bends or mirrors it, so "
        "its measures would be wrong: harden it (module Data, right-click on the transform of the CT)."
    )


def is_rigid(volume: Any) -> bool:
    """Whether ``require_rigid`` raises nothing."""
    try:
        require_rigid(volume)
    except InputError:
        return False
    return True


def as_a_whole(motion: np.ndarray | None) -> np.ndarray | None:
    """A motion (4, 4), RAS mm, that turns and shifts; None where it stretches or mirrors, too."""
    if motion is None:
        return None
    turn = motion[:3, :3]
    return motion if np.allclose(turn.T @ turn, np.eye(3), atol=SAME) and np.linalg.det(turn) > 0 else None


def _samples(volume: Any, above: Any) -> tuple[np.ndarray, np.ndarray]:
    """Points of all slices of a CT, RAS mm: (n, 3) in its own coordinates, and where the transforms put them."""
    sides = [np.linspace(0, n - 1, 3) for n in volume.GetImageData().GetDimensions()[:2]]
    k = np.arange(volume.GetImageData().GetDimensions()[2])
    ijk = np.stack(np.meshgrid(*sides, k, indexing="ij"), axis=-1).reshape(-1, 3)
    affine = handover.ijk_to_ras(volume)
    before = ijk @ affine[:3, :3].T + affine[:3, 3]
    to_world = vtk.vtkGeneralTransform()
    above.GetTransformToWorld(to_world)
    return before, np.array([to_world.TransformPoint(point) for point in before.tolist()])


def _residual(before: np.ndarray, after: np.ndarray) -> float:
    """How far points lie from where a rotation and a shift can put them, mm (Kabsch, Acta Cryst A 1976;32:922)."""
    a, b = before - before.mean(0), after - after.mean(0)
    u, _, v = np.linalg.svd(a.T @ b)
    turn = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))]) @ v  # no mirror: that would change the sides
    return float(np.abs(a @ turn - b).max())
