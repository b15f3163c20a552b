"""What a segmentation was before the engine wrote into it again."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from . import scene


class Before:
    """Segments, CT, report, measures and uncertainty of a segmentation at this moment; ``restore`` brings them back."""

    def __init__(self, segmentation: Any) -> None:
        self.segmentation, self._inside = segmentation, segmentation.GetSegmentation()
        self._history = slicer.vtkSegmentationHistory()
        self._history.SetSegmentation(self._inside)
        self._history.SaveState()
        self._cts = {role: segmentation.GetNodeReferenceID(role) for role in scene.ct_roles()}
        self._told = {name: segmentation.GetAttribute(name) for name in (scene.REPORT, scene.MEASURED)}
        self._description = segmentation.GetDescription()
        self._uncertainty = _kept(segmentation.GetNodeReference(scene.UNCERTAINTY))

    def is_of(self, segmentation: Any) -> bool:
        """Whether it is this segmentation's; of a sequence, as long as it shows the same frame."""
        return segmentation is self.segmentation and segmentation.GetSegmentation() is self._inside

    def restore(self) -> None:
        self._history.RestorePreviousState()
        for role, ct in self._cts.items():
            self.segmentation.SetNodeReferenceID(role, ct)
        if scene.reference_ct(self.segmentation) is not None:
            self.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(scene.reference_ct(self.segmentation))
        for name, text in self._told.items():
            self.segmentation.SetAttribute(name, text)
        self.segmentation.SetDescription(self._description)
        if self._uncertainty is None:
            scene.drop_uncertainty(self.segmentation)
        else:
            scene.set_uncertainty(self.segmentation, *self._uncertainty)


def _kept(volume: Any) -> tuple[Any, Any] | None:
    """Image and geometry, (i, j, k) -> RAS, of an uncertainty volume."""
    if volume is None:
        return None
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return volume.GetImageData(), matrix
