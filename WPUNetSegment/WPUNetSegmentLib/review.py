"""Where to look: tumors from large to small, and the places where the network was least certain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from wpunet import places
from wpunet.places import Point
from wpunet.structure import Structure


@dataclass(frozen=True)
class Place:
    """ras: mm in the CT's own coordinates, or in ``node``'s, before any transform that it lies under."""

    text: str
    ras: Point
    node: Any = None


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


def uncertain_places(uncertainty: np.ndarray, affine: np.ndarray, node: Any = None) -> list[Place]:
    """The places of highest uncertainty, the highest first.

    uncertainty: (k, j, i), 0 (sure) to 1; affine: (4, 4), (i, j, k, 1) -> RAS mm of ``node``
    """
    found = places.uncertain_places(uncertainty, affine[:, [2, 1, 0, 3]])
    return [
        Place(
            _("Uncertain place {number} of {count}: {level:.0%} uncertain").format(
                number=number, count=len(found), level=level
            ),
            ras,
            node,
        )
        for number, (level, ras) in enumerate(found, 1)
    ]


def show_ct(ct: Any) -> None:
    """The CT in the slice views, where none of them shows it: its segments would lie on another one, or on nothing."""
    views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    if not any(ct.GetID() in (one.GetBackgroundVolumeID(), one.GetForegroundVolumeID()) for one in views):
        slicer.util.setSliceViewerLayers(background=ct, foreground=None, fit=True)


def show(ras: Point, node: Any) -> None:
    """Centre all slice views on a place in a node's own coordinates, wherever a transform has put it."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, transform)
    where = transform.TransformPoint(ras)
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *where, slicer.vtkMRMLSliceNode.CenteredJumpSlice)
