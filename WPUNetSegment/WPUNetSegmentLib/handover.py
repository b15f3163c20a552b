"""The CT from the scene into a file that the engine reads, and the engine's files back into arrays."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from wpunet.errors import InputError, OutputError

Box = tuple[tuple[int, int], ...]  # first and one past the last voxel along i, j, k
SAME_MM = 1e-3
FRAME = re.compile(r" \(frame (\d+) of (\d+)\)$")  # what case_name tells of it
NRRD_TYPES = (
    *(vtk.VTK_CHAR, vtk.VTK_UNSIGNED_CHAR, vtk.VTK_SHORT, vtk.VTK_UNSIGNED_SHORT),
    *(vtk.VTK_INT, vtk.VTK_UNSIGNED_INT, vtk.VTK_FLOAT, vtk.VTK_DOUBLE),
)
MAP = "WPUNetSegment.Map"  # attribute of a volume that this module made: what it shows, and that it is no CT


def is_ct(volume: Any) -> bool:
    """Whether a node may be a CT: a scalar volume itself, not a label map or the like, and no map of our own."""
    return volume.GetClassName() == "vtkMRMLScalarVolumeNode" and volume.GetAttribute(MAP) is None


def require_ct(volume: Any) -> None:
    """Raises InputError when a node is no scalar volume with an image in it."""
    if volume is None:
        raise InputError("No CT is chosen; load one and choose it.")
    if not volume.IsA("vtkMRMLScalarVolumeNode") or volume.IsA("vtkMRMLLabelMapVolumeNode"):
        raise InputError(f"{volume.GetName()} is no CT but a label map or another kind of node; choose the CT itself.")
    if volume.GetAttribute(MAP):
        raise InputError(f"{volume.GetName()} is no CT but a map of {volume.GetAttribute(MAP)}; choose the CT itself.")
    image = volume.GetImageData()
    if image is None or not image.GetPointData().GetScalars():
        raise InputError(f"{volume.GetName()} holds no image; load it again.")


def case_name(volume: Any) -> str:
    """What the CT is called; of a sequence with the frame that is shown: "CT (frame 3 of 8)"."""
    shown = frame_of(volume)
    return f"{volume.GetName()} (frame {shown[0]} of {shown[1]})" if shown else str(volume.GetName())


def without_frame(case: str) -> str:
    """The name of the CT in a name made by ``case_name``."""
    return FRAME.sub("", case)


def frame_in(case: str) -> tuple[int, int] | None:
    """The frame that a name made by ``case_name`` tells, and of how many, as ``frame_of``; None where it tells none."""
    told = FRAME.search(case)
    return (int(told[1]), int(told[2])) if told else None


def frame_of(node: Any) -> tuple[int, int] | None:
    """Which frame of a sequence a node shows, counted from 1, and of how many; None where it shows no sequence."""
    for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
        if browser.GetSequenceNode(node) and browser.GetNumberOfItems() > 1:
            return browser.GetSelectedItemNumber() + 1, browser.GetNumberOfItems()
    return None


def ijk_to_ras(volume: Any) -> np.ndarray:
    """(4, 4): (i, j, k, 1) -> RAS mm in the volume's own coordinates, before any transform that it lies under."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def lies_as(volume: Any, told: Any) -> bool:
    """Whether the volume's own geometry is still what a report told, which rounds; also where it told none."""
    return told is None or bool(np.allclose(told, ijk_to_ras(volume), atol=SAME_MM))


def write_ct(volume: Any, path: Path) -> None:
    """The volume as NRRD, not compressed, without the transform that it lies under, which moves it as a whole.

    Raises OutputError when it cannot be written.
    """
    bare = slicer.vtkMRMLScalarVolumeNode()  # without the node's attributes, which may name the patient
    image = _writable(volume.GetImageData())
    bare.SetAndObserveImageData(image)
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    bare.SetIJKToRASMatrix(matrix)
    writer = slicer.vtkMRMLNRRDStorageNode()
    writer.SetFileName(str(path))
    writer.SetUseCompression(False)
    scalars = image.GetPointData().GetScalars()
    size = scalars.GetDataSize() * scalars.GetDataTypeSize()
    if not writer.WriteData(bare) or not path.exists() or path.stat().st_size < size:
        raise OutputError(f"The CT cannot be handed to the engine: no room in {path.parent}? It takes {size >> 20} MB.")


def _writable(image: Any) -> Any:
    """The image in numbers that Slicer writes into an NRRD: it cannot those of 64 bits, which HU do not need."""
    if image.GetScalarType() in NRRD_TYPES:
        return image
    cast = vtk.vtkImageCast()
    cast.SetInputData(image)
    cast.SetOutputScalarType(vtk.VTK_INT)
    cast.ClampOverflowOn()
    cast.Update()
    return cast.GetOutput()


def read_map(path: Path) -> np.ndarray:
    """A map that the engine wrote -> (k, j, i)."""
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def read_part(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The part of a map that holds all that is not 0: its first voxel (i, j, k) and its values (k, j, i)."""
    import SimpleITK as sitk

    image = sitk.ReadImage(str(path))
    return cropped(sitk.GetArrayViewFromImage(image))


def cropped(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest box of an array (k, j, i) with all that is not 0: its first voxel (i, j, k) and a copy of it."""
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        there = np.flatnonzero(values.any(others))
        box.append(slice(there[0], there[-1] + 1) if len(there) else slice(0, 1))
    return np.array([side.start for side in reversed(box)]), values[tuple(box)].copy()


def shifted(ijk_to_ras: np.ndarray, first: np.ndarray) -> Any:
    """The matrix of the part of an image that begins at voxel ``first`` (i, j, k)."""
    moved = ijk_to_ras.copy()
    moved[:3, 3] += ijk_to_ras[:3, :3] @ first
    return slicer.util.vtkMatrixFromArray(moved)


def fit(region: Any, volume: Any) -> None:
    """Let a new region (vtkMRMLMarkupsROINode) hold the whole CT, so that it is seen and can be made smaller.

    One that somebody has placed or sized stays as it is.
    """
    if region.GetNumberOfControlPoints() or any(region.GetSize()) or volume.GetImageData() is None:
        return
    bounds = np.zeros(6)
    volume.GetRASBounds(bounds)
    low, high = bounds[::2], bounds[1::2]
    region.SetCenterWorld(*(low + high) / 2)
    region.SetSizeWorld(*(high - low))
    region.CreateDefaultDisplayNodes()


def box_around(region: Any, volume: Any) -> Box:
    """The voxels of ``volume`` that a vtkMRMLMarkupsROINode holds, wherever transforms have put the two.

    Raises InputError when they do not meet.
    """
    half = np.array(region.GetSize()) / 2.0
    object_to_world = slicer.util.arrayFromVTKMatrix(region.GetObjectToWorldMatrix())
    corners = np.array([[*signs * half, 1.0] for signs in itertools.product((-1.0, 1.0), repeat=3)])
    world = (object_to_world @ corners.T).T[:, :3]
    to_volume = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, volume.GetParentTransformNode(), to_volume)
    ras = np.array([to_volume.TransformPoint(corner) for corner in world])
    ijk = (np.linalg.inv(ijk_to_ras(volume)) @ np.column_stack([ras, np.ones(8)]).T)[:3]
    first = np.maximum(np.ceil(ijk.min(1) - 1e-6), 0).astype(int)
    last = np.minimum(np.floor(ijk.max(1) + 1e-6) + 1, volume.GetImageData().GetDimensions()).astype(int)
    if (first >= last).any():
        name = volume.GetName()
        raise InputError(f"The region {region.GetName()} lies beside {name} or is empty; move it over the kidneys.")
    return tuple((int(a), int(b)) for a, b in zip(first, last, strict=True))
