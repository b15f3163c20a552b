"""The four views, what is written over them, and how one of them fills the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trame.widgets import html
from trame_rca.widgets.rca import RemoteControlledArea
from trame_server.utils.asynchronous import create_task
from trame_server.utils.typed_state import TypedState
from trame_slicer.app.logic import connect_slice_view_slider_to_state
from trame_slicer.app.ui import Slider
from trame_slicer.core import LayoutManager, SlicerApp
from trame_slicer.rca_view import RemoteViewFactory
from trame_slicer.rca_view.rca_view_factory import RcaView
from trame_slicer.views import (
    Layout,
    LayoutDirection,
    SliceView,
    ThreeDView,
    ViewLayout,
    ViewLayoutDefinition,
    ViewType,
)

from .drawing import Adapter, Painter, Picture, Turn, Window
from .slices import AXIAL, CORONAL, SAGITTAL
from .state import PageState, ViewState

if TYPE_CHECKING:
    from trame_server import Server

SPACE = "ThreeD"
EDGES = {AXIAL: "ALPR", CORONAL: "SLIR", SAGITTAL: "SPIA"}  # what lies at the top, right, bottom, left
FOUR = "four views"

Handle = Callable[[str, dict], bool]  # view, event -> whether Slicer is not to hear of it


class Factory(RemoteViewFactory):
    """Makes views whose turns the painter gives and whose events ``handle`` hears first."""

    def __init__(self, server: Server, painter: Painter, handle: Handle, space: bool) -> None:
        kind = ViewType.THREE_D_VIEW if space else ViewType.SLICE_VIEW
        super().__init__(server, ThreeDView if space else SliceView, view_type=kind)
        self._painter, self._handle, self._space = painter, handle, space

    def _create_view(self, view: ViewLayoutDefinition, scene: Any, app_logic: Any) -> RcaView:
        tag = view.singleton_tag
        shown = self._view_ctor(scene=scene, app_logic=app_logic, name=tag)
        shown.set_view_properties(view.properties)
        shown.render_window().SetMultiSamples(0)
        if self._space:
            shown.renderer().SetUseDepthPeeling(False)  # with several samples a pixel it hides what is see-through
        cursor = f"{tag}_cursor"
        self._server.state.setdefault(cursor, "default")
        window = Window(shown, self._server.state, cursor, lambda event: self._handle(tag, event))
        picture = Picture(self._painter, window, smooth=self._space)
        name = self._server.translator.translate_key(tag)
        with ViewLayout(self._server, template_name=name) as page:
            self._surround(tag, name, cursor, shown)
        adapter = Adapter(window, name, picture, self._painter, shown)
        shown.set_scheduled_render(Turn(picture))

        async def register() -> None:
            await self._server.ready  # the server knows of areas only then
            self._server.root_server.controller.rc_area_register(adapter)

        create_task(register())
        return RcaView(page, shown, adapter)

    def _surround(self, tag: str, name: str, cursor: str, shown: Any) -> None:
        title = "3D view" if self._space else f"{tag} slices"
        with html.Div(
            style=(f"{{position: 'relative', width: '100%', height: '100%', overflow: 'hidden', cursor: {cursor}}}",),
            raw_attrs=[f'data-view="{tag}"', 'role="group"', f'aria-label="{title}"'],
        ):
            RemoteControlledArea(
                name=name,
                display="image",
                style="position: relative; width: 100%; height: 100%",
                send_mouse_move=True,
                event_throttle_ms=10,
            )
            (_over_3d if self._space else _over_slices)(self._server, tag, shown)


class Views:
    """The layout of the views, made when the first CT is opened: until then a page needs no graphics."""

    def __init__(self, app: SlicerApp, server: Server, handle: Handle) -> None:
        self.painter = Painter()
        self._app = app
        for space in (False, True):
            app.view_manager.register_factory(Factory(server, self.painter, handle, space))
        self.manager = LayoutManager(app.scene, app.view_manager, server)
        axial = ViewLayoutDefinition.axial_view(AXIAL)
        coronal = ViewLayoutDefinition.coronal_view(CORONAL)
        sagittal = ViewLayoutDefinition.sagittal_view(SAGITTAL)
        space_ = ViewLayoutDefinition.threed_view(name=SPACE, background_color=("#14181d", "#2a3038"))
        rows = [Layout(LayoutDirection.Horizontal, pair) for pair in ([axial, space_], [coronal, sagittal])]
        self.manager.register_layout(FOUR, Layout(LayoutDirection.Vertical, rows), lazy_initialization=True)
        for one in (axial, coronal, sagittal, space_):
            alone = Layout(LayoutDirection.Vertical, [one])
            self.manager.register_layout(one.singleton_tag, alone, lazy_initialization=True)

    def show(self, alone: str = "") -> None:
        """All four views, or one that fills the page."""
        self.manager.set_layout(alone or FOUR)

    def __getitem__(self, tag: str) -> Any:
        return self._app.view_manager.get_view(tag)

    @property
    def made(self) -> bool:
        return self.manager.layout_id is not None

    def picture(self, tag: str) -> Picture | None:
        return next((one for one in self.painter.pictures if one.name.endswith(tag)), None)


def view_state(server: Server, tag: str) -> TypedState[ViewState]:
    """What is written over a view."""
    return TypedState(server.state, ViewState, namespace=f"over_{tag}")


def _over_slices(server: Server, tag: str, view: SliceView) -> None:
    """Which slice it is, what lies under the pointer, the patient's sides at the edges, a slider, measurements."""
    slider = connect_slice_view_slider_to_state(server, view)
    page: Any = TypedState(server.state, PageState).name
    over: Any = view_state(server, tag).name
    with html.Div(classes="over-view"):
        html.Div(raw_attrs=[f'data-marks="{tag}"'], classes="marks")
        with html.Div(classes="top"):
            with html.Div(classes="which"):
                html.Span(f"{tag} {{{{ {over.number} }}}} of {{{{ {over.count} }}}}", classes="mr-2")
                html.Span(f"{{{{ {over.at} }}}}")
            html.Div(f"W {{{{ {page.width} }}}}  L {{{{ {page.level} }}}}", classes="window-level")
        html.Div(f"{{{{ {over.pointer} }}}}", classes="pointer", v_if=(over.pointer,))
        for edge, letter in enumerate(EDGES[tag]):
            html.Span(letter, classes=f"edge-{edge}")
        _buttons(tag)
        with html.Div(classes="slice-slider"):
            Slider(
                typed_state=slider,
                density="compact",
                color="primary",
                thumb_size=24,
                track_size=2,
                raw_attrs=[f'aria-label="{tag} slice"'],
            )


def _over_3d(_server: Server, tag: str, _view: ThreeDView) -> None:
    with html.Div(classes="over-view"):
        html.Div("3D", style="top: 6px; left: 8px")
        _buttons(tag)


def _buttons(tag: str) -> None:
    with html.Div(classes="view-buttons"):
        for text, sign, what in (
            ("Reset", "mdi-restore", "reset"),
            ("Enlarge, or back", "mdi-arrow-expand", "enlarge"),
        ):
            html.Button(
                f'<i class="mdi {sign}"></i>',
                raw_attrs=[
                    f'title="{text}"',
                    f'aria-label="{text} {"3D" if tag == SPACE else tag}"',
                    f"@click=\"window.wpunet.ask('{what}', '{tag}')\"",
                ],
            )
