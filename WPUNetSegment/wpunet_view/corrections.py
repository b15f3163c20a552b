"""What this page adds to trame-slicer's tools: whole lesions, a threshold near segments, sizes in ml and mm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from trame_server.utils.typed_state import TypedState
from trame_slicer.app.ui import PaintEffectState, SmoothingState
from trame_slicer.core import SlicerApp
from trame_slicer.segmentation import (
    SegmentationEffectErase,
    SegmentationEffectIslands,
    SegmentationEffectPaint,
    SegmentationEffectSmoothing,
    SegmentationEffectThreshold,
)
from trame_slicer.segmentation.segment_modifier import ModificationMode
from wpunet.boxes import bounding_box
from wpunet.labels import BACKGROUND

from .between import between
from .limits import Limits, still
from .scene import VALUES, Scene, voxels
from .steps import Step, put

if TYPE_CHECKING:
    from trame_server import Server

NEAR_MM = 10
BRUSH_STEP = 0.2  # of its size, at least 1 mm


class Threshold(SegmentationEffectThreshold):
    """Hatches a range of HU in the slices; a class of its own, since trame-slicer itself sets the range of its own."""

    def __init__(self) -> None:
        super().__init__()
        still(self)

    def set_active(self, is_active: bool) -> None:
        super().set_active(is_active)
        self.get_param_proxy().is_hatched = True  # it would else cover what is marked already


@dataclass
class CorrectionState:
    """What the page shows of the tools.

    low, high: of the threshold, HU
    near:      the threshold adds only what lies within NEAR_MM of the segment, or of all while that is empty
    over:      it takes voxels of other segments, too
    small:     ml; smaller pieces than this are removed
    """

    low: float | None = 0
    high: float | None = 0
    near: bool = True
    over: bool = False
    small: float | None = 1.0


class Corrections:
    """Does what the page's own panels ask for."""

    def __init__(self, server: Server, app: SlicerApp, scene: Scene, limits: Limits) -> None:
        self._server, self._editor, self._scene, self._limits = server, app.segmentation_editor, scene, limits
        typed = TypedState(server.state, CorrectionState)
        self.data: CorrectionState = typed.data
        name: Any = typed.name
        typed.bind_changes({(name.low, name.high): self._on_range, name.small: self._on_small})
        self._editor.register_effect_type(Threshold)
        self._editor.active_effect_name_changed.connect(self._on_tool)
        self._editor.active_segment_id_changed.connect(lambda *_: self._on_tool())

    @property
    def _range(self) -> tuple[float, float] | None:
        """None while a field is empty, because it is being written into."""
        low, high = self.data.low, self.data.high
        return None if low is None or high is None else (low, high)

    def apply_threshold(self) -> None:
        """Add what lies in the range to the segment."""
        modifier, within = self._editor.active_segment_modifier, self._range
        if modifier is None or within is None or not self._is(Threshold):
            return
        found = self._scene.in_range(*within, self._editor.active_segment_id, NEAR_MM if self.data.near else None)
        labelmap = modifier.create_modifier_labelmap()
        voxels(labelmap)[:] = found
        with self._limits.sparing(not self.data.over):
            modifier.apply_labelmap(labelmap, modification_mode=ModificationMode.Add)
        self._editor.deactivate_effect()

    def limit_to_threshold(self) -> None:
        """The range for all tools, and the brush to work with."""
        if self._range is not None:
            self._limits.only(*self._range)
            self._editor.set_active_effect_type(SegmentationEffectPaint)

    def turn(self, kind: str, fingerprint: str, into: str) -> None:
        """Make one tumor or cyst, all of that body and nothing else, something else as one step.

        kind, fingerprint: tell which; one that is not there any more is left alone
        into: the key of the other lesion; "kidney": that of its side; "": background
        Limits of the tools do not count here.
        """
        from wpunet import measure  # it brings SciPy, which a page without a CT does not need

        segmentation = self._editor.active_segmentation
        if segmentation is None:
            return
        labels = self._scene.labels()
        found = measure.parts(labels, self._scene.affine)
        body = next((one for one in found if (one.kind, one.fingerprint) == (kind, fingerprint)), None)
        if body is None:
            return
        key = f"kidney_{body.side}" if into == "kidney" else into
        values = labels[body.box]
        values[body.mask] = VALUES.get(key, BACKGROUND)
        with Step.push_state_change(segmentation):
            put(segmentation, body.box, values)

    def fill_between(self) -> None:
        """Fill the segment between axial slices that were drawn one by one; within the tools' limits, as one step."""
        modifier = self._editor.active_segment_modifier
        if modifier is None:
            return
        own = self._scene.labels() == VALUES.get(self._editor.active_segment_id)
        box = bounding_box(own)
        if box is None:
            return
        found = between(own[box], self._scene.spacing)
        if found.any():
            labelmap = modifier.create_modifier_labelmap()
            voxels(labelmap)[box] = found
            modifier.apply_labelmap(labelmap, modification_mode=ModificationMode.Add)

    def resize_brush(self, steps: int) -> None:
        """Make the brush larger, or smaller, where a tool with a brush is on."""
        if self._is(SegmentationEffectSmoothing):
            smoothing: Any = TypedState(self._server.state, SmoothingState)
            slider = smoothing.data.brush.brush_diameter_slider
        elif self._is(SegmentationEffectPaint) or self._is(SegmentationEffectErase):
            slider = TypedState(self._server.state, PaintEffectState).data.brush_diameter_slider
        else:
            return
        size = float(slider.value)
        slider.value = float(np.clip(resized(size, steps), slider.min_value, slider.max_value))

    def _is(self, effect: type) -> bool:
        return type(self._editor.active_effect) is effect

    def _on_tool(self, *_: Any) -> None:
        """A tool is taken up, or another segment with it."""
        if self._is(Threshold):
            self.data.low, self.data.high = self._scene.usual_hu(self._editor.active_segment_id)
            self._on_range()
        self._on_small()

    def _on_range(self, *_: Any) -> None:
        effect: Any = self._editor.active_effect
        if self._is(Threshold) and self._range is not None:
            effect.set_threshold_min_max_values(self._range)

    def _on_small(self, *_: Any) -> None:
        if self._is(SegmentationEffectIslands) and self.data.small is not None:
            effect: Any = self._editor.active_effect
            effect.set_minimum_island_size(max(1, round(self.data.small / self._scene.voxel_ml)))


def resized(size: float, steps: int) -> float:
    """A size ``steps`` steps larger; as many back give it again."""
    for _ in range(abs(steps)):
        if steps > 0:
            size += max(1, round(size * BRUSH_STEP))
        else:
            size = next((one for one in range(1, int(size)) if one + max(1, round(one * BRUSH_STEP)) >= size), 1)
    return size
