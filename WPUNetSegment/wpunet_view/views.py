"""The four views and what is written over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trame.widgets import html
from trame_slicer.app.logic import connect_slice_view_slider_to_state
from trame_slicer.app.ui import Slider
from trame_slicer.core import LayoutManager, SlicerApp
from trame_slicer.rca_view import register_rca_factories
from trame_slicer.views import Layout, LayoutDirection, ViewLayoutDefinition

if TYPE_CHECKING:
    from trame_server import Server
    from trame_slicer.views import SliceView, ThreeDView

AXIAL, CORONAL, SAGITTAL = "Axial", "Coronal", "Sagittal"
EDGES = {AXIAL: "ALPR", CORONAL: "SLIR", SAGITTAL: "SPIA"}  # what lies at the top, right, bottom, left
SIDES = {AXIAL: ("I", "S"), CORONAL: ("P", "A"), SAGITTAL: ("R", "L")}  # where a slice's position is below and above 0
PLACES = ("top: 4px; left: 50%", "right: 6px; top: 46%", "bottom: 34px; left: 50%", "left: 6px; top: 46%")


def four_views(app: SlicerApp, server: Server) -> LayoutManager:
    """Axial and 3D above coronal and sagittal."""
    register_rca_factories(app.view_manager, server, slice_view_ui_f=_over_slices, three_d_view_ui_f=_over_3d)
    manager = LayoutManager(app.scene, app.view_manager, server)
    axial = ViewLayoutDefinition.axial_view(AXIAL)
    coronal = ViewLayoutDefinition.coronal_view(CORONAL)
    sagittal = ViewLayoutDefinition.sagittal_view(SAGITTAL)
    space = ViewLayoutDefinition.threed_view(background_color=("#14181d", "#2a3038"))
    rows = [Layout(LayoutDirection.Horizontal, pair) for pair in ([axial, space], [coronal, sagittal])]
    manager.register_layout("four views", Layout(LayoutDirection.Vertical, rows))
    manager.set_layout("four views")
    return manager


def _over_slices(server: Server, view_id: str, view: SliceView) -> None:
    """Name and position of the slice, the patient's sides at the edges, and a slider."""
    slider = connect_slice_view_slider_to_state(server, view)
    with html.Div(classes="over-view"):
        with html.Div(style="top: 6px; left: 8px"):
            before, after = SIDES[view_id]
            at = slider.name.value
            html.Span(f"{view_id}  {{{{ {at} < 0 ? '{before}' : '{after}' }}}} {{{{ Math.abs({at}).toFixed(1) }}}} mm")
        for letter, place in zip(EDGES[view_id], PLACES, strict=True):
            html.Span(letter, style=place)
        with html.Div(classes="slice-slider"):
            Slider(
                typed_state=slider,
                density="compact",
                color="primary",
                thumb_size=14,
                track_size=2,
                raw_attrs=[f'aria-label="{view_id} slice"'],
            )


def _over_3d(_server: Server, _view_id: str, view: ThreeDView) -> None:
    with html.Div(classes="over-view"):
        html.Div("3D", style="top: 6px; left: 8px")
        html.Button(
            "Reset",
            click=view.reset_view,
            style="top: 4px; right: 8px; pointer-events: auto; cursor: pointer",
            raw_attrs=['title="See everything from the front"'],
        )
