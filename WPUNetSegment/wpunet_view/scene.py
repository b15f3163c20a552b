"""What the views show: the CT, its segments and the uncertainty, as 3D Slicer's own nodes.

Arrays are the engine's, (slice, row, column) from head to feet; VTK counts (column, row, slice), the same memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from trame_slicer.core import SlicerApp
from trame_slicer.segmentation import (
    BrushDiameterMode,
    SegmentationEffectErase,
    SegmentationEffectPaint,
    SegmentationEffectSmoothing,
)
from trame_slicer.views import SliceView
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkCommand, vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from wpunet.errors import OutputError
from wpunet.labels import BY_SIDE, KIDNEY_LABEL
from wpunet.volume import Volume

from .near import near
from .slices import Point, Stack

WINDOWS = {  # HU: width and centre
    "Soft tissue": (400, 40),
    "Kidney": (300, 120),
    "Bone": (1800, 400),
    "Lung": (1500, -600),
}
LEAST_FIELD_MM = 120.0  # of a view that goes to a structure: enough to see what it lies in
KIDNEY_OPACITY = 0.45  # in 3D
BRUSH_MM = 15
SOFT_TISSUE = (0, 200)  # HU: kidneys and tumors with and without contrast, neither fat nor bone
VALUES = {label.key: label.value for label in BY_SIDE}
SHOWN_UNCERTAINTY = (11, 120)  # of 255: below, the network is as good as sure; above, all is the brightest blue


class Scene:
    """One CT with at most one segmentation and one uncertainty map."""

    def __init__(self, app: SlicerApp, windowed: Callable[[int, int], None] = lambda _width, _level: None) -> None:
        """``windowed``: told width and level in HU whenever they change."""
        self._app, self._windowed = app, windowed
        self._volume: Volume
        self._ct: Any = None
        self._segments: Any = None
        self._doubt: Any = None

    def show_ct(self, volume: Volume) -> None:
        """Show another CT; what was there before is gone."""
        self._app.scene.Clear()  # also makes the correction tools known to the views
        self._volume, self._segments, self._doubt = volume, None, None
        self._ct = self._node("vtkMRMLScalarVolumeNode", volume.name or "CT", volume.hu)
        self._display(self._ct, "Grey").AddObserver(vtkCommand.ModifiedEvent, lambda *_: self._on_window())
        self.set_window(*WINDOWS["Soft tissue"])
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
        segmentation: Any = editor.set_active_segmentation(self._segments, self._ct)
        # Smoothing all together asks for those that are seen. They come numbered anew where one is hidden, and it takes
        # these numbers for the segments' own: a kidney became tumor
        everything = segmentation.get_merged_segment_labelmap
        segmentation.get_merged_segment_labelmap = lambda **_: everything()
        for label in BY_SIDE:  # tumors and cysts are seen through the kidneys that they lie in
            if label.type == KIDNEY_LABEL.type:
                self._segments.GetDisplayNode().SetSegmentOpacity3D(label.key, KIDNEY_OPACITY)
        # One side of each surface: the wall of a tumor's bed coincides with the tumor, and the two came out as patches.
        # The engine's grids are left-handed, which turns Slicer's surfaces inside out: what is culled faces inwards.
        self._segments.GetDisplayNode().SetFrontfaceCulling(True)
        for brush in (SegmentationEffectPaint, SegmentationEffectErase, SegmentationEffectSmoothing):
            editor.get_effect(brush).set_brush_diameter(BRUSH_MM, BrushDiameterMode.Absolute)

    def labels(self) -> np.ndarray:
        """The segments as they are now: uint8 (slice, row, column), values of labels.BY_SIDE."""
        labels: np.ndarray = np.zeros(self._volume.hu.shape, np.uint8)
        for label in BY_SIDE:
            segment = self._segments.GetSegmentation().GetSegment(label.key)
            image = segment.GetRepresentation("Binary labelmap")
            if image is None or image.IsEmpty():
                continue
            whole = (0, labels.shape[2] - 1, 0, labels.shape[1] - 1, 0, labels.shape[0] - 1)
            ours, theirs = common(whole, image.GetExtent())
            labels[ours][voxels(image)[theirs] == segment.GetLabelValue()] = label.value
        return labels

    def usual_hu(self, key: str) -> tuple[int, int]:
        """The range of a segment's HU: mean and two standard deviations; of soft tissue while it is empty."""
        values = self._volume.hu[self.labels() == VALUES.get(key)]
        if values.size == 0:
            return SOFT_TISSUE
        mean, sd = float(values.mean()), float(values.std())
        return round(mean - 2 * sd), round(mean + 2 * sd)

    def in_range(self, low: float, high: float, key: str, mm: float | None) -> np.ndarray:
        """Voxels from ``low`` to ``high`` HU within ``mm`` of a segment, or of all of them while it is empty.

        mm: None: in the whole CT
        """
        found: np.ndarray = (self._volume.hu >= low) & (self._volume.hu <= high)
        if mm is not None:
            labels = self.labels()
            own = labels == VALUES.get(key)
            found &= near(own if own.any() else labels > 0, mm, self._volume.spacing)
        return found

    def show_uncertainty(self, uncertainty: np.ndarray) -> None:
        """Keep ``uncertainty`` (uint8, 0 to 255) as an overlay in shades of blue, hidden for now."""
        if self._doubt is not None:
            self._app.scene.RemoveNode(self._doubt)
        self._doubt = self._node("vtkMRMLScalarVolumeNode", "uncertainty", uncertainty)
        display = self._display(self._doubt, "Cyan")  # neither the red nor the green of the segments
        low, high = SHOWN_UNCERTAINTY
        display.SetWindowLevelMinMax(low - 31, high)  # so that the faintest that is shown is still seen
        display.SetThreshold(low, 255)
        display.SetApplyThreshold(True)

    def set_uncertainty_visible(self, visible: bool) -> None:
        self._app.display_manager.show_volume_in_slice_foreground(self._doubt if visible else None)

    def set_segments_visible(self, visible: bool) -> None:
        """All segments, in slices and in 3D; which of them are hidden one by one stays as it is."""
        if self._segments is not None:
            self._segments.GetDisplayNode().SetVisibility(visible)

    def set_uncertainty_opacity(self, opacity: float) -> None:
        for view in self._app.view_manager.get_slice_views():
            view.set_foreground_opacity(opacity)

    def set_window(self, width: int, level: int) -> None:
        """Show the CT with ``width`` HU around ``level``."""
        self._ct.GetDisplayNode().SetWindowLevel(width, level)

    def _on_window(self) -> None:
        display = self._ct.GetDisplayNode()
        self._windowed(round(display.GetWindow()), round(display.GetLevel()))

    def cross(self, ras: Point) -> None:
        """Put the crosshair on a place, RAS mm."""
        self._app.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode").SetCrosshairRAS(*ras)

    def show_crosshair(self, visible: bool) -> None:
        crosshair = self._app.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        kind = slicer.vtkMRMLCrosshairNode
        crosshair.SetCrosshairMode(kind.ShowBasic if visible else kind.NoCrosshair)

    def show_slice_at(self, view: SliceView, ras: Point) -> None:
        """The slice of the CT that is nearest to a place; what the view is centred on stays."""
        node = view.get_view_node()
        node.JumpSliceByOffsetting(*Stack(self._volume, node).snapped(ras))

    def go_to(self, ras: Point, extent_mm: Sequence[float]) -> None:
        """Centre every slice view on a place, RAS mm, so that what is ``extent_mm`` large there fills half of it.

        Along its normal each view stands on the nearest slice of the CT.

        extent_mm: right to left, front to back, head to feet
        """
        crosshair = self._app.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if crosshair.GetCrosshairMode() == slicer.vtkMRMLCrosshairNode.NoCrosshair:
            crosshair.SetCrosshairMode(slicer.vtkMRMLCrosshairNode.ShowSmallBasic)
        crosshair.SetCrosshairRAS(*ras)
        across, deep, long = (max(LEAST_FIELD_MM, 2 * mm) for mm in extent_mm)
        for view in self._app.view_manager.get_slice_views():
            node = view.get_view_node()
            wide, high = {"Axial": (across, deep), "Coronal": (across, long)}.get(node.GetOrientation(), (deep, long))
            columns, rows, _ = node.GetDimensions()
            pixel_mm = max(wide / columns, high / rows)
            node.SetFieldOfView(columns * pixel_mm, rows * pixel_mm, node.GetFieldOfView()[2])
            node.SetXYZOrigin(0, 0, 0)
            node.JumpSliceByCentering(*Stack(self._volume, node).snapped(ras))

    def step(self, view: SliceView, slices: int) -> None:
        """Move a slice view by ``slices``."""
        low, high = view.get_slice_range()
        view.set_slice_value(min(max(view.get_slice_value() + slices * view.get_slice_step(), low), high))

    def measured(self, kind: str, a: np.ndarray, b: np.ndarray, normal: int) -> str:
        """In words: the length of a ruler from ``a`` to ``b``, or HU in the circle around ``a`` through ``b``; RAS mm.

        normal: the RAS axis that the circle stands on
        """
        length = float(np.linalg.norm(b - a))
        if kind == "ruler":
            return f"{length:.1f} mm"
        values = circle(self._volume, a, length, normal)
        if values.size == 0:
            return "outside"
        return f"{values.mean():.0f} ± {values.std():.0f} HU, {np.pi * length**2 / 100:.2f} cm²"

    def reset_3d_view(self) -> None:
        for view in self._app.view_manager.get_threed_views():
            view.reset_view()

    @property
    def affine(self) -> np.ndarray:
        """Of the CT: (slice, row, column, 1) -> RAS mm."""
        return self._volume.affine

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Of the CT, mm between slices, rows, columns."""
        return self._volume.spacing

    @property
    def voxels(self) -> int:
        """Of the CT."""
        return int(self._volume.hu.size)

    @property
    def voxel_ml(self) -> float:
        return float(np.prod(self._volume.spacing)) / 1000

    def write_ct(self, path: Path) -> None:
        """The CT as NRRD, not compressed: how the engine gets it, checked and upright as it is shown."""
        storage = slicer.vtkMRMLNRRDStorageNode()
        storage.SetFileName(str(path))
        storage.SetUseCompression(False)
        if not storage.WriteData(self._ct):
            raise OutputError(f"{path} cannot be written; make room on the disk of the temporary folder.")

    def _display(self, node: slicer.vtkMRMLScalarVolumeNode, colours: str) -> slicer.vtkMRMLScalarVolumeDisplayNode:
        """How a volume is shown. Slicer's default looks for a window of its own in all voxels first, for a second."""
        display = self._app.scene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
        display.SetAutoWindowLevel(False)
        display.SetAndObserveColorNodeID(f"vtkMRMLColorTableNode{colours}")
        node.SetAndObserveDisplayNodeID(display.GetID())
        return display

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


def voxels(image: Any) -> np.ndarray:
    """What a VTK image holds, (slice, row, column); to be changed in place."""
    values: np.ndarray = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    return values


def common(one: Sequence[int], other: Sequence[int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """What two of VTK's extents have in common: its place in the voxels of the first, and in those of the second."""
    in_one, in_other = [], []
    for axis in (4, 2, 0):
        low, high = max(one[axis], other[axis]), min(one[axis + 1], other[axis + 1]) + 1
        high = max(low, high)
        in_one.append(slice(low - one[axis], high - one[axis]))
        in_other.append(slice(low - other[axis], high - other[axis]))
    return tuple(in_one), tuple(in_other)


def circle(volume: Volume, centre: np.ndarray, radius: float, normal: int) -> np.ndarray:
    """HU of the voxels whose middles lie in a circle; centre RAS mm, radius mm, normal: the RAS axis it stands on."""
    to_index = np.linalg.inv(volume.affine)
    step = min(volume.spacing) / 2
    line = np.arange(-radius, radius + step, step)
    across, up = np.meshgrid(line, line)
    inside = across**2 + up**2 <= radius**2
    points = np.repeat(centre[None], inside.sum(), 0)
    first, second = (axis for axis in range(3) if axis != normal)
    points[:, first] += across[inside]
    points[:, second] += up[inside]
    index = np.unique(np.rint(points @ to_index[:3, :3].T + to_index[:3, 3]).astype(int), axis=0)
    index = index[((index >= 0) & (index < volume.hu.shape)).all(1)]
    middles = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    away = np.delete(middles - centre, normal, axis=1)
    return volume.hu[tuple(index[np.linalg.norm(away, axis=1) <= radius].T)]
