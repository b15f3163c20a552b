"""What the hand does in the views: mouse, wheel, keys; and what is written under the pointer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from trame_slicer.core import SlicerApp
from trame_slicer.segmentation import SegmentationEffectNoTool
from trame_slicer.segmentation.segmentation_paint_pipeline import SegmentationPaintPipeline3D
from trame_slicer.views import SliceView, ThreeDView
from wpunet.volume import Volume

from .scene import WINDOWS, Scene
from .slices import AXIAL, CORONAL, SAGITTAL, SLICES, Point, Stack, nearest
from .state import Mark, ViewState
from .views import SPACE, Views, view_state

if TYPE_CHECKING:
    from trame_server import Server

    from .state import PageState

TOOLS = ("window", "crosshair", "ruler", "region")
NO_TOOL = SegmentationEffectNoTool.get_effect_name()
WINDOW_SHARE = 1 / 200  # of the window's width that a pixel of the hand's way changes width or level by, at least 1 HU
NORMAL = {AXIAL: 2, CORONAL: 1, SAGITTAL: 0}  # the RAS axis that a view's slices stand on
ONWARDS = {AXIAL: -1, CORONAL: -1, SAGITTAL: 1}  # how Slicer's position of a slice changes from one number to the next
ZOOM = 0.1  # of the field of view, a click of the wheel with Ctrl


class Hand:
    """Follows the pointer; ``view`` is the one that it was last over."""

    def __init__(self, server: Server, app: SlicerApp, scene: Scene, data: PageState) -> None:
        self._server, self._app, self._scene, self.data = server, app, scene, data
        self.views = Views(app, server, self._handle)
        self.view = AXIAL
        self._volume: Volume | None = None
        self._to_index = np.eye(4)
        self._over = {tag: view_state(server, tag) for tag in SLICES}
        self._drag: tuple[float, float, int, int] | None = None  # where it began, and the window then
        self._pointer: tuple[str, float, float] | None = None  # a slice view, and shares of its width and height
        app.segmentation_editor.active_effect_name_changed.connect(self._on_effect)

    def show(self, volume: Volume) -> None:
        """Follow in another CT; its views are there from now on."""
        self._volume, self._to_index = volume, np.linalg.inv(volume.affine)
        self.leave()
        if not self.views.made:
            self.views.show()
            for tag in SLICES:
                view = self.views[tag]
                view.modified.connect(lambda *_, tag=tag: self._on_slice(tag))
        self.data.tool, self.data.marks, self.data.large = "window", [], ""
        self.views.show()

    # The mouse

    def _handle(self, tag: str, event: dict) -> bool:
        """True for what Slicer is not to hear of."""
        kind = event.get("type", "")
        if self._volume is None:
            return False
        if kind in ("MouseMove", "LeftButtonPress", "RightButtonPress", "MiddleButtonPress"):
            self.view = tag
            if tag == SPACE and self._pointer is not None:
                self.leave()
        if tag == SPACE or "x" not in event:
            return False
        at = (float(event["x"]), float(event["y"]))
        if kind == "MouseMove":
            width, height, _ = self.views[tag].get_view_node().GetDimensions()
            self._pointer = (tag, at[0] / width, at[1] / height)
            self._tell()
        if self.data.tool not in ("window", "crosshair") or event.get("shiftKey"):
            return False
        if kind == "LeftButtonPress":
            self._drag = (*at, self.data.width, self.data.level)
            if self.data.tool == "crosshair":
                self._cross(tag, at)
            return True
        if kind == "MouseMove" and self._drag is not None and event.get("buttonLeft"):
            if self.data.tool == "crosshair":
                self._cross(tag, at)
            else:
                self._window(tag, at)
            return True
        if kind == "LeftButtonRelease" and self._drag is not None:
            self._drag = None
            return True
        return False

    def _window(self, tag: str, at: tuple[float, float]) -> None:
        """To the right wider, upwards brighter."""
        assert self._drag is not None
        x, y, width, level = self._drag
        step = max(1.0, width * WINDOW_SHARE)
        if (picture := self.views.picture(tag)) and picture.adapter:
            step /= picture.adapter.scale_factor  # the hand moves over the page, whatever the picture's size is
        self._scene.set_window(max(1, round(width + (at[0] - x) * step)), round(level - (at[1] - y) * step))

    def _cross(self, tag: str, at: tuple[float, float]) -> None:
        """The crosshair there, and the other slice views with it."""
        ras = self._ras(tag, at)
        self._scene.cross(ras)
        for other in SLICES:
            if other != tag:
                self._scene.show_slice_at(self.views[other], ras)

    def _ras(self, tag: str, at: tuple[float, float]) -> Point:
        x, y, z, _ = self.views[tag].get_view_node().GetXYToRAS().MultiplyPoint((*at, 0.0, 1.0))
        return x, y, z

    def leave(self) -> None:
        """The pointer is over no view any more."""
        self._pointer = None
        self._tell()

    def _tell(self) -> None:
        """HU and place under the pointer."""
        tag, text = "", ""
        if self._pointer is not None:
            tag, right, up = self._pointer
            width, height, _ = self.views[tag].get_view_node().GetDimensions()
            text = self._told(self._ras(tag, (right * width, up * height)))
        with self._server.state:
            for other, over in self._over.items():
                over.data.pointer = text if other == tag else ""

    def _told(self, ras: Point) -> str:
        assert self._volume is not None
        index = nearest(self._to_index[:3, :3] @ ras + self._to_index[:3, 3])
        inside = all(0 <= one < size for one, size in zip(index, self._volume.hu.shape, strict=True))
        hu = f"{self._volume.hu[tuple(index)]} HU" if inside else "outside"
        return f"{hu}  " + "  ".join(_side(axis, mm) for axis, mm in enumerate(ras)) + " mm"

    def _on_slice(self, tag: str) -> None:
        """A slice view shows another place: its number, and where its pixels lie."""
        if self._volume is None:
            return
        node = self.views[tag].get_view_node()
        width, height, _ = node.GetDimensions()
        stack, normal = Stack(self._volume, node), NORMAL[tag]
        matrix = node.GetXYToRAS()
        to_xy = np.linalg.inv([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
        over: ViewState = self._over[tag].data
        over.count, over.number = stack.count, stack.shown() + 1
        over.at = f"{_side(normal, stack.middle()[normal])} mm"
        over.geometry = [float(value) for value in (*to_xy.ravel(), width, height)]
        if self._pointer is not None and self._pointer[0] == tag:
            self._tell()

    # Wheel and keys

    def roll(self, tag: str, clicks: float, zoom: bool = False) -> None:
        """The wheel: so many slices on, or so much farther away; in 3D always that."""
        if self._volume is None:
            return
        picture = self.views.picture(tag)
        if picture is not None:
            self.views.painter.moves(picture)
        view = self.views[tag]
        if zoom or isinstance(view, ThreeDView):
            view.zoom(1 - (1 + ZOOM) ** float(np.clip(clicks, -15, 15)))
            view.schedule_render()
        else:
            self._scene.step(view, round(clicks) * ONWARDS[tag])

    def key(self, name: str, value: int = 0) -> bool:
        """A key that concerns the views; False for another one."""
        if self._volume is None:
            return False
        view = self.views[self.view]
        if name == "slices":
            self.roll(self.view if self.view != SPACE else AXIAL, value)
        elif name in ("Home", "End") and isinstance(view, SliceView):
            first, last = view.get_slice_range()
            view.set_slice_value(first if (name == "Home") == (ONWARDS[self.view] > 0) else last)
        elif name == "r":
            self.reset()
        elif name == "f":
            self.fit(self.view)
        elif name in "1234":
            self._scene.set_window(*list(WINDOWS.values())[int(name) - 1])
        elif name == "c":
            self.use("window" if self.data.tool == "crosshair" else "crosshair")
        elif name == "h" and self.data.segmented:
            self.data.hidden = not self.data.hidden
        elif name == "Escape" and self.data.large:
            self.enlarge(self.data.large)
        else:
            return False
        return True

    def use(self, tool: str) -> None:
        """What the left button does in slices; a correction tool gives it up."""
        self._app.segmentation_editor.deactivate_effect()
        self.data.tool = tool
        self._scene.show_crosshair(tool == "crosshair")

    def _on_effect(self, name: str) -> None:
        correcting = name not in ("", NO_TOOL)
        effect = self._app.segmentation_editor.active_effect
        for there in effect.pipelines if effect else ():
            if isinstance(pipeline := there(), SegmentationPaintPipeline3D):
                pipeline.SetActive(False)  # in 3D a brush would paint in a depth that is not seen
        self.views.painter.exact = correcting
        if correcting:
            self.data.tool = ""
            self._scene.show_crosshair(False)
        elif not self.data.tool:
            self.data.tool = "window"

    # Views

    def fit(self, tag: str) -> None:
        """The whole CT in a view, on the slice that it shows."""
        view = self.views[tag]
        if isinstance(view, ThreeDView):
            view.reset_view()
            return
        at = view.get_slice_value()
        view.fit_view_to_content()
        view.set_slice_value(at)

    def reset(self, tag: str = "") -> None:
        """A view, or all of them and the window, as they were when the CT was opened."""
        for one in [tag] if tag else [*SLICES, SPACE]:
            if self.views[one] is not None:
                self.views[one].reset_view()
        if not tag:
            self._scene.set_window(*WINDOWS["Soft tissue"])
            if self.data.tool != "crosshair":
                self._scene.show_crosshair(False)

    def enlarge(self, tag: str) -> None:
        """A view alone, or all four again."""
        self.data.large = "" if self.data.large else tag
        self.views.show(self.data.large)

    # Measuring

    def mark(self, kind: str, tag: str, a: list[float], b: list[float], at: int = -1) -> None:
        """A ruler or a region that the hand has drawn in a view; ``at``: which one it has changed."""
        if self._volume is None or kind not in ("ruler", "region") or tag not in SLICES:
            return
        text = self._scene.measured(kind, np.array(a, float), np.array(b, float), NORMAL[tag])
        mark = Mark(kind, tag, a, b, text)
        marks = list(self.data.marks)
        if 0 <= at < len(marks):
            marks[at] = mark
        else:
            marks.append(mark)
        self.data.marks = marks

    def unmark(self, at: int) -> None:
        """Take a ruler or region away; -1: all."""
        self.data.marks = [mark for k, mark in enumerate(self.data.marks) if at >= 0 and k != at]


def _side(axis: int, mm: float) -> str:
    """A RAS coordinate in words: "S 34.5"."""
    return f"{('LR', 'PA', 'IS')[axis][int(mm >= 0)]} {abs(mm):.1f}"
