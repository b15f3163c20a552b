"""What a segmentation was before the engine wrote into it again."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from . import scene


class Before:
    """Segments, report and uncertainty of a segmentation at this moment; ``restore`` brings them back."""

    def __init__(self, segmentation: Any) -> None:
        self._history = slicer.vtkSegmentationHistory()
        self._history.SetSegmentation(segmentation.GetSegmentation())
        self._history.SaveState()
        self._report = segmentation.GetAttribute(scene.REPORT)
        self._description = segmentation.GetDescription()
        volume = segmentation.GetNodeReference(scene.UNCERTAINTY)
        self._uncertainty = None if volume is None else (volume.GetImageData(), _geometry(volume))

    def restore(self, segmentation: Any) -> None:
        self._history.RestorePreviousState()
        segmentation.SetAttribute(scene.REPORT, self._report)
        segmentation.SetDescription(self._description)
        volume = segmentation.GetNodeReference(scene.UNCERTAINTY)
        if volume is None:
            return
        if self._uncertainty is None:
            volume.GetScene().RemoveNode(volume)
        else:
            image, geometry = self._uncertainty
            volume.SetAndObserveImageData(image)
            volume.SetIJKToRASMatrix(geometry)


def _geometry(volume: Any) -> Any:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix
