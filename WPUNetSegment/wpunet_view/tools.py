"""The correction tools: trame-slicer's segment editor, arranged to fit beside the results."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VBtn, VIcon, VList, VListItem
from trame_client.widgets.core import Template
from trame_slicer.app.ui import LogicalOperatorsEffectUI, SegmentDisplayUI, SegmentEditorUI
from trame_slicer.segmentation import (
    SegmentationEffectDraw,
    SegmentationEffectErase,
    SegmentationEffectIslands,
    SegmentationEffectLogicalOperators,
    SegmentationEffectNoTool,
    SegmentationEffectPaint,
    SegmentationEffectScissors,
    SegmentationEffectSmoothing,
    SegmentationEffectThreshold,
)

from . import options
from .corrections import Threshold

TOOLS = (
    ("Look", "mdi-cursor-default-outline", SegmentationEffectNoTool),
    ("Paint", "mdi-brush", SegmentationEffectPaint),
    ("Erase", "mdi-eraser", SegmentationEffectErase),
    ("Draw", "mdi-draw", SegmentationEffectDraw),
    ("Scissors", "mdi-content-cut", SegmentationEffectScissors),
    ("Threshold", "mdi-auto-fix", Threshold),
    ("Islands", "mdi-scatter-plot", SegmentationEffectIslands),
    ("Smooth", "mdi-blur", SegmentationEffectSmoothing),
)


OPTIONS = {
    SegmentationEffectPaint: options.Brush,
    SegmentationEffectErase: options.Brush,
    SegmentationEffectDraw: options.Draw,
    SegmentationEffectScissors: options.Scissors,
    Threshold: options.Threshold,
    SegmentationEffectIslands: options.Islands,
    SegmentationEffectSmoothing: options.Smooth,
    # these have no button here; trame-slicer's logic asks for their panels
    SegmentationEffectThreshold: options.NoOptions,
    SegmentationEffectLogicalOperators: LogicalOperatorsEffectUI,
}


class CorrectionTools(SegmentEditorUI):
    """Which segment is edited, with what, and how it is shown."""

    def _build_ui(self) -> None:
        name = self._typed_state.name
        with self:
            with html.Div(classes="d-flex align-center"):
                html.H2("Correct", classes="flex-grow-1")
                self._undo()
            self._segments()
            with html.Div(classes="tool-grid", raw_attrs=['role="toolbar"', 'aria-label="Correction tools"']):
                for text, icon, effect in TOOLS:
                    self._tool(text, icon, effect)
            with html.Div(classes="px-2 pt-2 tool-options"):
                for effect, panel in OPTIONS.items():
                    self._register_effect_ui(effect, panel)
            SegmentDisplayUI(typed_state=self.sub_state(name.segment_display), variant="flat", density="compact")
            options.limits(self.state)

    def _undo(self) -> None:
        name = self._typed_state.name
        for text, icon, key, ready in (
            ("Undo", "mdi-undo", "undo", name.can_undo),
            ("Redo", "mdi-redo", "redo", name.can_redo),
        ):
            click = f"window.wpunet.ask('key', '{key}')"  # as Ctrl+Z does
            VBtn(text, prepend_icon=icon, click=click, disabled=(f"!{ready}",), variant="text", size="small")

    def _segments(self) -> None:
        """A row a segment: which one is edited, its colour and name, and whether it is shown."""
        segments = self._typed_state.name.segment_list
        with (
            VList(density="compact", classes="segments py-0", raw_attrs=['aria-label="Segments"']),
            VListItem(
                v_for=f"item in {segments.segments}",
                key="item.segment_id",
                active=(f"item.segment_id === {segments.active_segment_id}",),
                click=self._with_id(self.select_segment_clicked),
                min_height=34,
                title=("item.name",),
                classes="segment",
                raw_attrs=[f':aria-current="item.segment_id === {segments.active_segment_id}"'],
            ),
        ):
            with Template(v_slot_prepend=True):
                VIcon("mdi-square-rounded", color=("item.color",), size="small", classes="mr-n4")
            with Template(v_slot_append=True):
                VBtn(
                    icon=("item.is_visible ? 'mdi-eye-outline' : 'mdi-eye-off-outline'",),
                    variant="text",
                    size="x-small",
                    raw_attrs=[
                        ":aria-label=\"(item.is_visible ? 'Hide ' : 'Show ') + item.name\"",
                        f'@click.stop="{self._with_id(self.toggle_segment_visibility_clicked)}"',
                    ],
                )

    def _with_id(self, signal: Any) -> str:
        return f"trigger('{self.server.trigger_name(signal)}', [item.segment_id]);"

    def _tool(self, text: str, icon: str, effect: type) -> None:
        active = self.is_active_effect(effect)[0]
        VBtn(
            text,
            prepend_icon=icon,
            click=lambda: self.effect_button_clicked(effect),
            active=(active,),
            color=(f"{active} ? 'primary' : undefined",),
            stacked=True,
            variant="text",
            size="x-small",
            raw_attrs=[f':aria-pressed="{active}"'],
        )
