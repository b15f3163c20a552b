"""What the views show: the CT, its segments and the uncertainty, as 3D Slicer's own nodes.

Arrays are the engine's, (slice, row, column) from head to feet; VTK counts (column, row, slice), the same memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
from trame_slicer.core import SlicerApp
from trame_slicer.segmentation import SegmentationEffectErase, SegmentationEffectPaint
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from wpunet.errors import OutputError
from wpunet.labels import BY_SIDE
from wpunet.volume import Volume

WINDOWS = {  # HU: width and centre
    "Soft tissue": (400, 40),
    "Kidney": (300, 120),
    "Bone": (1800, 400),
    "Lung": (1500, -600),
}
BRUSH_PERCENT = 2  # of the screen: some 15 mm on the whole of an abdomen
SHOWN_UNCERTAINTY = 11  # of 255: below it the network is as good as sure


class Scene:
    """One CT with at most one segmentation and one uncertainty map."""

    def __init__(self, app: SlicerApp) -> None:
        self._app = app
        self._volume: Volume
        self._ct: Any = None
        self._segments: Any = None
        self._doubt: Any = None

    def show_ct(self, volume: Volume) -> None:
        """Show another CT; what was there before is gone."""
        self._app.scene.Clear()  # also makes the correction tools known to the views
        self._volume, self._segments, self._doubt = volume, None, None
        self._ct = self._node("vtkMRMLScalarVolumeNode", volume.name or "CT", volume.hu)
        self._ct.CreateDefaultDisplayNodes()
        self.set_window("Soft tissue")
        self._app.display_manager.show_volume_in_slice_background(self._ct)
        self._app.display_manager.show_volume_in_slice_foreground(None)
        self._app.display_manager.reset_views()

    def show_labels(self, labels: np.ndarray) -> None:
        """Make segments of ``labels`` (values of labels.BY_SIDE), in place of those that were there."""
        scene, editor = self._app.scene, self._app.segmentation_editor
        if self._segments is not None:
            scene.RemoveNode(self._segments)
        self._segments = editor.create_empty_segmentation_node()
        self._segments.SetName(f"{self._ct.GetName()} kidneys")
        self._segments.SetReferenceImageGeometryParameterFromVolumeNode(self._ct)
        ids = vtkStringArray()
        for label in BY_SIDE:  # the k-th id stands for the value k + 1
            ids.InsertNextValue(label.key)
        labelmap = self._node("vtkMRMLLabelMapVolumeNode", "labels", labels.copy())  # edited in place from now on
        self._app.segmentations_logic.ImportLabelmapToSegmentationNode(labelmap, self._segments, ids)
        scene.RemoveNode(labelmap)
        for label in BY_SIDE:
            segment = self._segments.GetSegmentation().GetSegment(label.key)
            segment.SetName(label.name)
            segment.SetColor(*(part / 255 for part in label.colour))
            segment.SetTag(segment.GetTerminologyEntryTagName(), label.terminology)
        editor.set_active_segmentation(self._segments, self._ct)
        for brush in (SegmentationEffectPaint, SegmentationEffectErase):
            editor.get_effect(brush).set_brush_diameter(BRUSH_PERCENT)

    def labels(self) -> np.ndarray:
        """The segments as they are now: uint8 (slice, row, column), values of labels.BY_SIDE."""
        labels: np.ndarray = np.zeros(self._volume.hu.shape, np.uint8)
        for label in BY_SIDE:
            segment = self._segments.GetSegmentation().GetSegment(label.key)
            image = segment.GetRepresentation("Binary labelmap")
            if image is None or image.IsEmpty():
                continue
            extent = image.GetExtent()
            stored = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
            theirs, ours = [], []
            for axis in range(3):
                first, last = extent[4 - 2 * axis : 6 - 2 * axis]
                low, high = max(first, 0), min(last, labels.shape[axis] - 1) + 1
                theirs.append(slice(low - first, high - first))
                ours.append(slice(low, high))
            labels[tuple(ours)][stored[tuple(theirs)] == segment.GetLabelValue()] = label.value
        return labels

    def show_uncertainty(self, uncertainty: np.ndarray) -> None:
        """Keep ``uncertainty`` (uint8, 0 to 255) as an overlay in shades of blue, hidden for now."""
        if self._doubt is not None:
            self._app.scene.RemoveNode(self._doubt)
        self._doubt = self._node("vtkMRMLScalarVolumeNode", "uncertainty", uncertainty)
        self._doubt.CreateDefaultDisplayNodes()
        display = self._doubt.GetDisplayNode()
        display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeCyan")  # neither the red nor the green of the segments
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(140, 50)
        display.SetThreshold(SHOWN_UNCERTAINTY, 255)
        display.SetApplyThreshold(True)

    def set_uncertainty_visible(self, visible: bool) -> None:
        self._app.display_manager.show_volume_in_slice_foreground(self._doubt if visible else None)
        for view in self._app.view_manager.get_slice_views():
            view.set_foreground_opacity(0.75)

    def set_window(self, name: str) -> None:
        """Show the CT with one of WINDOWS."""
        display = self._ct.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(*WINDOWS[name])

    def jump(self, ras: tuple[float, float, float]) -> None:
        """Bring a place, RAS mm, into every slice view and mark it with the crosshair."""
        crosshair = self._app.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        crosshair.SetCrosshairMode(slicer.vtkMRMLCrosshairNode.ShowSmallBasic)
        crosshair.SetCrosshairRAS(*ras)
        slicer.vtkMRMLSliceNode.JumpAllSlices(self._app.scene, *ras, slicer.vtkMRMLSliceNode.OffsetJumpSlice)

    def step(self, view_name: str, slices: int) -> None:
        """Move a slice view by ``slices``."""
        view = self._app.view_manager.get_view(view_name)
        low, high = view.get_slice_range()
        view.set_slice_value(min(max(view.get_slice_value() + slices * view.get_slice_step(), low), high))

    def reset_3d_view(self) -> None:
        for view in self._app.view_manager.get_threed_views():
            view.reset_view()

    def write_ct(self, path: Path) -> None:
        """The CT as NRRD, not compressed: how the engine gets it, checked and upright as it is shown."""
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(str(path))
        storage.SetUseCompression(False)
        if not storage.WriteData(self._ct):
            raise OutputError(f"{path} cannot be written; make room on the disk of the temporary folder.")

    def _node(self, kind: str, name: str, values: np.ndarray) -> slicer.vtkMRMLVolumeNode:
        """A volume node on the CT's grid that shares the memory of ``values``."""
        node = self._app.scene.AddNewNodeByClass(kind, name)
        image = vtkImageData()
        image.SetDimensions(*values.shape[::-1])
        image.GetPointData().SetScalars(numpy_to_vtk(values.reshape(-1)))
        node.SetAndObserveImageData(image)
        matrix = vtkMatrix4x4()
        for row in range(3):
            for column, axis in enumerate((2, 1, 0, 3)):
                matrix.SetElement(row, column, float(self._volume.affine[row, axis]))
        node.SetIJKToRASMatrix(matrix)
        return node
