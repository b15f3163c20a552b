"""The largest diameter of each tumor and cyst as a line in the views, where it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
import vtk
from wpunet.structure import Structure

from . import scene

LINES = "WPUNetSegment.Diameters"  # role of the lines beside their segmentation, and attribute of their folder
COLOUR = (1.0, 0.8, 0.0)  # no segment has it


def shown(segmentation: Any) -> bool:
    return segmentation is not None and segmentation.GetNodeReference(LINES) is not None


def draw(segmentation: Any, structures: Sequence[Structure]) -> None:
    """A line for each lesion among ``structures``, in place of those that were there, in a folder of their own."""
    _clear(segmentation)
    lesions = [one for one in structures if one.diameter]
    if not lesions:
        return
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(segmentation.GetScene())
    folder = hierarchy.CreateFolderItem(scene.folder_of(segmentation), f"{segmentation.GetName()} diameters")
    hierarchy.SetItemAttribute(folder, LINES, "1")
    for one in lesions:
        scene.place(folder, _line(segmentation, one))


def _line(segmentation: Any, one: Structure) -> Any:
    """Locked, so that no click in a view moves its ends."""
    assert one.diameter is not None
    name = f"{one.name} (cut)" if one.touches_border else one.name
    line = segmentation.GetScene().AddNewNodeByClass("vtkMRMLMarkupsLineNode", name)
    for end in one.diameter.ends_ras_mm:
        line.AddControlPoint(*end)
    line.SetLocked(True)
    line.SetAndObserveTransformNodeID(scene.transform_of(segmentation))
    line.CreateDefaultDisplayNodes()
    display = line.GetDisplayNode()
    display.SetColor(COLOUR)
    display.SetSelectedColor(COLOUR)
    display.SetOccludedVisibility(True)  # it lies within the surface
    display.SetLineColorFadingEnd(max(one.diameter.mm, display.GetLineColorFadingEnd()))  # seen whole in each slice
    segmentation.AddNodeReferenceID(LINES, line.GetID())
    return line


def _clear(segmentation: Any) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(segmentation.GetScene())
    lines = [segmentation.GetNthNodeReference(LINES, k) for k in range(segmentation.GetNumberOfNodeReferences(LINES))]
    segmentation.RemoveNodeReferenceIDs(LINES)
    for line in lines:
        scene.remove(line)
    items = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), items, True)
    for item in (items.GetId(k) for k in range(items.GetNumberOfIds())):
        # also where lines were deleted by hand; the user may have moved lines, or put something beside them
        if hierarchy.GetItemAttribute(item, LINES) and not hierarchy.GetNumberOfItemChildren(item):
            hierarchy.RemoveItem(item)
