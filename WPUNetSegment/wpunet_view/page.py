"""The page: controls and results on the left, three slice views and the 3D view beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from trame.ui.vuetify3 import VAppLayout
from trame.widgets import client, html
from trame.widgets.vuetify3 import (
    VAlert,
    VAppBar,
    VBtn,
    VBtnToggle,
    VCard,
    VCardActions,
    VCardText,
    VCardTitle,
    VCheckbox,
    VDialog,
    VDivider,
    VExpansionPanel,
    VExpansionPanels,
    VExpansionPanelText,
    VList,
    VListItem,
    VMain,
    VMenu,
    VNavigationDrawer,
    VProgressLinear,
    VSpacer,
    VSwitch,
    VTable,
)
from trame_client.widgets.core import Template
from trame_server.utils.typed_state import TypedState
from wpunet.labels import BY_SIDE, CYST, TUMOR
from wpunet.report import USE

from .saving import KINDS
from .scene import WINDOWS
from .state import PageState
from .tools import CorrectionTools

if TYPE_CHECKING:
    from trame_server import Server
    from trame_slicer.core import LayoutManager

COLOURS = {
    "background": "#101317",
    "surface": "#181c22",
    "surface-light": "#232932",
    "primary": "#6cb2f7",
    "on-primary": "#06131f",
    "warning": "#f2c14e",
    "error": "#ff8a80",
}
THEME = {
    "theme": {"defaultTheme": "reading", "themes": {"reading": {"dark": True, "colors": COLOURS}}},
    "defaults": {"VBtn": {"style": "text-transform: none; letter-spacing: 0"}, "VTooltip": {"openDelay": 400}},
}
CSS = """
html { overflow: hidden; }
.panel h2 { font-size: .8rem; font-weight: 600; letter-spacing: .02em; color: #a9b4c0; padding: 10px 14px 4px; }
.panel th, .panel td { padding: 0 6px !important; height: 30px !important; font-size: .8rem; white-space: nowrap; }
.panel th:first-child, .panel td:first-child { padding-left: 14px !important; }
.panel th:last-child, .panel td:last-child { padding-right: 14px !important; }
.panel td.number, .panel th.number { text-align: right !important; font-variant-numeric: tabular-nums; }
.panel th { font-size: .72rem !important; color: #a9b4c0 !important; }
.panel .text-subtitle-1 { font-size: .8rem !important; font-weight: 600; color: #a9b4c0; }
.panel .v-card-item { padding: 2px 14px; }
.panel .v-expansion-panel-title { min-height: 32px !important; padding: 4px 14px; font-size: .8rem; color: #a9b4c0; }
.panel .v-label { font-size: .82rem; }
.panel tr.jump { cursor: pointer; }
.panel tr.jump:hover, .panel tr.jump:focus-visible { background: #232932; outline: none; }
.tool-grid { display: grid; grid-template-columns: repeat(4, 1fr); gap: 2px; padding: 4px 8px; }
.tool-grid .v-btn { height: 48px !important; font-size: .7rem; }
.tool-options .text-subtitle-2 { font-size: .75rem !important; }
.tool-options .v-selection-control { --v-selection-control-size: 28px; min-height: 28px; }
.segment { min-height: 32px !important; }
.segment .v-list-item-title { font-size: .85rem; }
.segment .v-list-item__prepend .v-icon { opacity: 1; }
.mark { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 8px; }
.over-view { position: absolute; inset: 0; pointer-events: none; color: #c9d3dd; font-size: .75rem;
  text-shadow: 0 0 3px #000, 0 0 3px #000; }
.over-view > * { position: absolute; padding: 0 4px; border-radius: 3px; background: #0008; }
.over-view .slice-slider { background: none; }
.over-view .slice-slider { left: 8px; right: 8px; bottom: 0; pointer-events: auto; }
.over-view .v-slider.v-input--horizontal { margin: 0; }
:focus-visible { outline: 2px solid #6cb2f7; outline-offset: 1px; }
"""
KEYS = (
    ("Up, Down", "one slice further in the view that the pointer was last over"),
    ("Page Up, Page Down", "five slices"),
    ("N, P", "next and previous tumor"),
    ("U", "uncertainty on or off"),
    ("Ctrl+Z, Ctrl+Y", "undo and redo a correction"),
    ("Wheel", "through the slices"),
    ("Right button, middle button", "zoom, move"),
)


class Actions(Protocol):
    """What the page's controls do; the application does it."""

    async def open_phantom(self) -> None: ...
    async def choose(self, number: int) -> None: ...
    def segment_asked(self) -> None: ...
    def segment(self) -> None: ...
    def cancel(self) -> None: ...
    def jump(self, at: list[float]) -> None: ...
    def next_tumor(self, by: int) -> None: ...


class Page:
    """Builds the page once; what it shows follows the state, what it does are ``actions``."""

    def __init__(self, server: Server, actions: Actions, layout_manager: LayoutManager) -> None:
        self._do = actions
        self._typed = TypedState(server.state, PageState)
        self._is: Any = self._typed.name
        phantom = server.trigger_name(actions.open_phantom)
        self._phantom = f"window.wpunet.mayReplace() && trigger('{phantom}')"
        with VAppLayout(server, vuetify_config=THEME) as self.layout:
            client.Style(CSS)
            self._bar()
            with VNavigationDrawer(permanent=True, width=372, classes="panel", raw_attrs=['aria-label="Controls"']):
                self._start()
                self._messages()
                self._results()
                with html.Div(v_if=(self._is.segmented,)):
                    self.tools = CorrectionTools()
            with VMain(style="height: 100vh"):
                layout_manager.initialize_layout_grid(self.layout)
                self._welcome()
            self._dialogs()

    def _bar(self) -> None:
        with VAppBar(density="compact", flat=True, border=True):
            html.Div("WPUNetSegment", classes="text-subtitle-1 font-weight-medium ml-4 mr-3")
            html.Div(
                f"{{{{ {self._is.case} }}}}  <span style='color:#a9b4c0'>{{{{ {self._is.size} }}}}</span>",
                v_if=(self._is.case,),
                classes="text-body-2 text-truncate",
            )
            VSpacer()
            with VBtnToggle(
                v_if=(self._is.case,),
                v_model=(self._is.window,),
                mandatory=True,
                density="compact",
                classes="mr-3",
                raw_attrs=['aria-label="Window"'],
            ):
                for name, (width, centre) in WINDOWS.items():
                    VBtn(name, value=name, size="small", raw_attrs=[f'title="{width} HU wide around {centre} HU"'])
            for text, icon, click in (
                ("Open CT", "mdi-folder-open-outline", "window.wpunet.choose()"),
                ("Phantom", "mdi-human-male", self._phantom),
            ):
                VBtn(text, prepend_icon=icon, size="small", click=click, disabled=(f"!!{self._is.busy}",))
            with VMenu(v_if=(self._is.segmented,)):
                with Template(v_slot_activator="{ props }"):
                    VBtn("Save", v_bind="props", prepend_icon="mdi-tray-arrow-down", size="small", color="primary")
                with VList(density="compact"):
                    for kind in KINDS:
                        VListItem(
                            title=kind.title,
                            subtitle=kind.what,
                            raw_attrs=[f'href="save/{kind.ending}"', "download"],
                        )
            VBtn("Help", size="small", click=f"{self._is.help} = true")

    def _start(self) -> None:
        """The one button that matters, and how far it has come."""
        idle = f"!{self._is.running}"
        with html.Div(classes="pa-3 pb-1"):
            VBtn(
                f"{{{{ {self._is.segmented} ? 'Segment again' : 'Segment' }}}}",
                v_if=(idle,),
                click=self._do.segment_asked,
                disabled=(f"!{self._is.case} || !!{self._is.busy}",),
                block=True,
                size="large",
                color="primary",
                variant="flat",
                prepend_icon="mdi-play",
            )
            VBtn("Cancel", v_else=True, click=self._do.cancel, block=True, size="large", prepend_icon="mdi-stop")
            with html.Div(raw_attrs=['role="status"', 'aria-live="polite"']):
                with html.Div(v_if=(self._is.running,)):
                    VProgressLinear(model_value=(self._is.fraction,), height=6, color="primary", rounded=True)
                    html.Div(
                        f"{{{{ {self._is.stage} }}}}<span style='float:right'>{{{{ {self._is.left} }}}}</span>",
                        classes="text-caption pt-1",
                    )
                with html.Div(v_if=(self._is.busy,)):
                    VProgressLinear(
                        model_value=(self._is.share,),
                        indeterminate=(f"{self._is.share} < 0",),
                        height=6,
                        color="primary",
                        rounded=True,
                        classes="mt-2",
                    )
                    html.Div(f"{{{{ {self._is.busy} }}}}", classes="text-caption pt-1")
        with (
            VExpansionPanels(v_if=(f"{idle} && {self._is.case}",), flat=True),
            VExpansionPanel(title="Options", bg_color="transparent", static=True),
            VExpansionPanelText(),
        ):
            for text, flag in (
                ("Search the whole field of view (slower)", self._is.full),
                ("Average with mirrored slices (more exact)", self._is.flips),
            ):
                VCheckbox(label=text, v_model=(flag,), density="compact", hide_details=True)

    def _messages(self) -> None:
        with html.Div(raw_attrs=['aria-live="assertive"']):
            with VAlert(
                v_if=(self._is.error,),
                type="error",
                variant="tonal",
                density="compact",
                classes="mx-3 my-2 text-body-2",
                closable=True,
                click_close=f"{self._is.error} = ''",
            ):
                html.Div(f"{{{{ {self._is.error} }}}}")
                VBtn(
                    "Copy the log",
                    v_if=(self._is.log,),
                    click=f"window.wpunet.copy({self._is.log})",
                    size="x-small",
                    variant="outlined",
                    classes="mt-1",
                )
            VAlert(
                v_for=f"text in {self._is.warnings}",
                key="text",
                text=("text",),
                type="warning",
                variant="tonal",
                density="compact",
                classes="mx-3 my-2 text-body-2",
            )

    def _results(self) -> None:
        columns = ("", "Volume, ml", "Across, mm", "Mean, HU", "Certainty")
        with html.Div(v_if=(self._is.segmented,)):
            html.H2(f"Results<span id='corrected' v-if='{self._is.corrected}'>, corrected by hand</span>")
            with VTable(density="compact", raw_attrs=['aria-label="Measurements"']):
                with html.Thead(), html.Tr():
                    for name in columns:
                        html.Th(name, classes="number" if name else "")
                with html.Tbody():
                    with html.Tr(
                        v_for=f"(row, i) in {self._is.rows}",
                        key="i",
                        click=(self._do.jump, "[row.at]"),
                        keydown_enter=(self._do.jump, "[row.at]"),
                        classes="jump",
                        raw_attrs=['tabindex="0"', 'title="Show this place"'],
                    ):
                        with html.Td():
                            html.Span(classes="mark", raw_attrs=[f':style="{_swatch()}"'])
                            html.Span("{{ row.name }}")
                        for value in ("volume", "diameter", "hu", "certainty"):
                            html.Td(f"{{{{ row.{value} }}}}", classes="number")
                    with html.Tr(v_if=(f"!{self._is.rows}.length",)):
                        html.Td("Nothing is marked.", raw_attrs=['colspan="5"'])
            with html.Div(classes="d-flex align-center px-2 pt-1"):
                for icon, text, by in (
                    ("mdi-chevron-left", "Previous tumor", -1),
                    ("mdi-chevron-right", "Next tumor", 1),
                ):
                    VBtn(
                        icon=icon,
                        click=(self._do.next_tumor, f"[{by}]"),
                        disabled=(f"!{self._is.tumors}",),
                        variant="text",
                        density="comfortable",
                        raw_attrs=[f'aria-label="{text}"', f'title="{text}"'],
                    )
                html.Span(
                    f"{{{{ {self._is.tumors} ? 'Tumor ' + ({self._is.tumor} || '–') + ' of ' + {self._is.tumors}"
                    " : 'No tumor' }}",
                    classes="text-caption",
                )
                VSpacer()
                VSwitch(
                    label="Uncertainty",
                    v_model=(self._is.uncertainty,),
                    density="compact",
                    hide_details=True,
                    color="primary",
                    classes="flex-grow-0",
                )
            VDivider(classes="mt-1")

    def _welcome(self) -> None:
        with (
            html.Div(
                v_if=(f"!{self._is.case} && !{self._is.busy}",),
                classes="d-flex align-center justify-center",
                style="position: absolute; inset: 48px 0 0 372px; background: #101317; z-index: 2",
            ),
            VCard(max_width=520, color="surface", classes="pa-4"),
        ):
            VCardTitle("Kidneys and kidney tumors in CT")
            with VCardText(classes="text-body-2"):
                html.P(
                    "Open a CT as NIfTI, NRRD, MHA, or DICOM slices in a zip file; or drop it anywhere on this page."
                )
                html.P("Nothing leaves the machine that this page comes from.", classes="mt-2")
                html.P(USE, classes="mt-2 text-medium-emphasis")
            with VCardActions():
                VBtn("Open a CT", click="window.wpunet.choose()", variant="flat", color="primary")
                VBtn("Try it with the phantom", click=self._phantom, variant="tonal")

    def _dialogs(self) -> None:
        with VDialog(v_model=(self._is.ask,), max_width=460), VCard():
            VCardTitle("Segment again?")
            VCardText("Your corrections would be replaced by the network's answer.")
            with VCardActions():
                VBtn("Keep my corrections", click=f"{self._is.ask} = false")
                VBtn("Replace them", click=self._do.segment, color="primary")
        with VDialog(model_value=(f"{self._is.choices}.length > 0",), persistent=True, max_width=640), VCard():
            VCardTitle("Several CTs in this upload: which one?")
            with VList():
                VListItem(
                    v_for=f"choice in {self._is.choices}",
                    key="choice.value",
                    title=("choice.title",),
                    click=(self._do.choose, "[choice.value]"),
                )
            with VCardActions():
                VBtn("None of them", click=f"{self._is.choices} = []")
        with VDialog(v_model=(self._is.help,), max_width=620), VCard():
            VCardTitle("Keys and mouse")
            with VCardText(), VTable(density="compact"), html.Tbody():
                for key, what in KEYS:
                    with html.Tr():
                        html.Td(key)
                        html.Td(what)
            VCardText(USE, classes="text-caption")
            with VCardActions():
                VBtn("Close", click=f"{self._is.help} = false", color="primary")


def _swatch() -> str:
    """The colour of a row, from the table of labels."""
    colours = {
        label.key if label.value in (TUMOR, CYST) else label.name: f"rgb{label.colour}".replace(" ", "")
        for label in BY_SIDE
    }
    pairs = ",".join(f"'{name}':'{colour}'" for name, colour in colours.items())
    return f"{{background: {{{pairs}}}[row.kind === 'kidney' ? row.name : row.kind]}}"
