"""Which places a segment holds: whether any, and a hash by which changes show."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from . import kinds
from .handover import cropped, shifted


def state(segmentation: Any, motion: np.ndarray | None = None) -> dict[str, list[str]]:
    """What is measured of the segments, by their ids: the places they hold and what they are said to be."""
    return {key: [digest(segmentation, key, motion), told] for key, told in kinds.terminologies(segmentation).items()}


def is_empty(segmentation: Any, key: str) -> bool:
    return _marked(segmentation, key) is None


def digest(segmentation: Any, key: str, motion: np.ndarray | None = None) -> str:
    """A hash of which places a segment holds; the same however it is stored, layered or cropped.

    motion: (4, 4), RAS mm, is undone before, so that the hash is that of the places before it
    """
    marked = _marked(segmentation, key)
    if marked is None:
        return "empty"
    image = _image(segmentation, key)
    first, mask = cropped(marked)
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    start = image.GetExtent()[::2] + first
    affine = slicer.util.arrayFromVTKMatrix(matrix)
    corner = shifted(affine if motion is None else np.linalg.inv(motion) @ affine, start)
    # to 0.01 mm; the odd bit added keeps usual spacings, such as 0.625, off the edge between two roundings
    place = [round(corner.GetElement(row, column) + 0.00371, 2) for row in range(3) for column in range(4)]
    return hashlib.sha256(f"{mask.shape} {place}".encode() + np.packbits(mask).tobytes()).hexdigest()


def _marked(segmentation: Any, key: str) -> np.ndarray | None:
    """Where a segment lies in its own image, (k, j, i); None where it holds nothing."""
    image = _image(segmentation, key)
    if image is None or image.IsEmpty():
        return None
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    marked = np.asarray(values == segmentation.GetSegmentation().GetSegment(key).GetLabelValue())
    return marked if marked.any() else None


def _image(segmentation: Any, key: str) -> Any:
    return segmentation.GetSegmentation().GetSegment(key).GetRepresentation("Binary labelmap")
