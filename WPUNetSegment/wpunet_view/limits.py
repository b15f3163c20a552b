"""Where the correction tools may work: over other segments or not, inside of what, and in which range of HU.

The result is one label map: a voxel belongs to one segment. 3D Slicer's editor can let segments overlap; that is not
offered, since the page would show more than it measures and saves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trame_server.utils.typed_state import TypedState
from trame_slicer.core import SlicerApp
from trame_slicer.segmentation import (
    SegmentationEditableAreaMode,
    SegmentationEffectVolumeIntensityMask,
    SegmentationOverwriteMode,
)
from trame_slicer.segmentation.segment_modifier import ModificationMode
from wpunet.labels import BY_SIDE

from .scene import Scene, common, voxels

if TYPE_CHECKING:
    from trame_server import Server

SEGMENTS = "segments"


@dataclass
class LimitsState:
    """What the page shows of the limits.

    over:      tools take voxels of other segments, too
    area:      "" everywhere; SEGMENTS: inside of all segments; or the key of the only one that tools work inside of
    ranged:    only voxels from ``low`` to ``high`` HU
    """

    over: bool = True
    area: str = ""
    ranged: bool = False
    low: float | None = 0
    high: float | None = 0


class Limits:
    """Holds the tools to what the page says."""

    def __init__(self, server: Server, app: SlicerApp, scene: Scene) -> None:
        self._editor, self._scene = app.segmentation_editor, scene
        typed = TypedState(server.state, LimitsState)
        self.data: LimitsState = typed.data
        name: Any = typed.name
        typed.bind_changes(
            {name.area: self._on_area, name.ranged: self._on_ranged, (name.low, name.high): self._on_range}
        )
        self._editor.active_segment_id_changed.connect(self._on_segment)
        self._spares: bool | None = None
        self._guarded: Any = None
        still(self._intensities)

    def reset(self) -> None:
        """No limits, as for a CT that has just been opened."""
        self.data.over, self.data.area, self.data.ranged = True, "", False
        self._on_area("")
        self._on_ranged(False)

    def only(self, low: float, high: float) -> None:
        """Only voxels from ``low`` to ``high`` HU from now on."""
        self.data.low, self.data.high = low, high
        self._on_range()
        self._intensities.set_mask_enabled(True)
        self.data.ranged = True

    @contextmanager
    def sparing(self, spares: bool) -> Iterator[None]:
        """Meanwhile other segments keep all that they have, or not, whatever the page says."""
        self._spares = spares
        try:
            yield
        finally:
            self._spares = None

    @property
    def _intensities(self) -> Any:
        return self._editor.get_effect(SegmentationEffectVolumeIntensityMask)

    def _on_area(self, area: str) -> None:
        inside = SegmentationEditableAreaMode.INSIDE_SINGLE_SEGMENT
        modes = {
            "": SegmentationEditableAreaMode.EVERYWHERE,
            SEGMENTS: SegmentationEditableAreaMode.INSIDE_ALL_SEGMENTS,
        }
        self._editor.set_mask_segment_id(area if area in {label.key for label in BY_SIDE} else "")
        self._editor.set_editable_area(modes.get(area, inside))

    def _on_ranged(self, ranged: bool) -> None:
        if ranged and not self._intensities.is_mask_enabled():
            self.data.low, self.data.high = self._scene.usual_hu(self._editor.active_segment_id)
            self._on_range()
        self._intensities.set_mask_enabled(ranged)

    def _on_range(self, *_: Any) -> None:
        if self.data.low is not None and self.data.high is not None:  # a field is empty while it is written into
            self._intensities.set_mask_range(self.data.low, self.data.high)

    def _on_segment(self, *_: Any) -> None:
        """Other segments have a guard of their own: each has its own modifier, through which all tools work."""
        modifier: Any = self._editor.active_segment_modifier
        if modifier is None or modifier is self._guarded:
            return
        self._guarded, apply = modifier, modifier.apply_labelmap
        self._editor.set_overwrite_mode(SegmentationOverwriteMode.OVERWRITE_ALL)

        def guarded(labelmap: Any, **more: Any) -> None:
            mode = more.get("modification_mode") or modifier.modification_mode
            spares = not (self.data.over or self.data.area) if self._spares is None else self._spares
            if spares and mode in (ModificationMode.Add, ModificationMode.Set):
                spare(labelmap, modifier.segmentation, more.get("segment_id") or modifier.active_segment_id)
            apply(labelmap, **more)

        modifier.apply_labelmap = guarded


def still(effect: Any) -> None:
    """Show the range of an effect without a pulse, for which all slices would be drawn anew as long as it is on."""
    effect._opacity_blinker.start = lambda: None


def spare(labelmap: Any, segmentation: Any, own: str) -> None:
    """Take out of what a tool has marked all that belongs to other segments than ``own``."""
    for key in segmentation.get_segment_ids():
        image = segmentation.get_segment(key).GetRepresentation("Binary labelmap")
        if key != own and image is not None and not image.IsEmpty():
            ours, theirs = common(labelmap.GetExtent(), image.GetExtent())
            taken = voxels(image)[theirs] == segmentation.get_segment(key).GetLabelValue()
            voxels(labelmap)[ours][taken] = 0
