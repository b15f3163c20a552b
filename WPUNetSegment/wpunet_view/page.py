"""The page: controls and results on the left, three slice views and the 3D view beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trame.ui.vuetify3 import VAppLayout
from trame.widgets import client, html
from trame.widgets.vuetify3 import (
    VAlert,
    VAppBar,
    VBtn,
    VCheckbox,
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
)
from trame_client.widgets.core import Template
from trame_server.utils.typed_state import TypedState

from .dialogs import dialogs, welcome
from .looks import CSS, NARROW, NARROW_PANEL, PANEL, PHONE, THEME
from .saving import KINDS
from .scene import WINDOWS
from .state import PageState
from .table import results, review
from .tools import CorrectionTools

if TYPE_CHECKING:
    from trame_server import Server
    from trame_slicer.core import LayoutManager

    from .actions import Actions

HAND = (
    ("window", "Window", "mdi-contrast-circle", "The left button changes window and level"),
    ("crosshair", "Crosshair", "mdi-crosshairs", "The left button shows a place in all views (C)"),
    ("ruler", "Ruler", "mdi-ruler", "The left button draws a ruler"),
    ("region", "Region", "mdi-circle-outline", "The left button draws a circle: mean and SD of its HU"),
)


class Page:
    """Builds the page once; what it shows follows the state, what it does are ``actions``."""

    def __init__(self, server: Server, actions: Actions, layout_manager: LayoutManager) -> None:
        self._do = actions
        self._typed = TypedState(server.state, PageState)
        self._is: Any = self._typed.name
        self._phantom = f"trigger('{server.trigger_name(actions.reception.open_phantom)}')"
        with VAppLayout(server, vuetify_config=THEME) as self.layout:
            client.Style(CSS)
            self._bar()
            width = f"$vuetify.display.width < {NARROW} ? {NARROW_PANEL} : {PANEL}"
            with VNavigationDrawer(
                v_model=(self._is.panel,),
                mobile_breakpoint=(PHONE,),  # below, it lies over the views, which have no room beside it
                width=(width,),
                classes="panel",
                raw_attrs=['aria-label="Controls"'],
            ):
                self._start()
                self._messages()
                with html.Div(v_if=(self._is.segmented,)):
                    results(self._is, self._do)
                    review(self._is, self._do)
                    VDivider(classes="mt-1")
                    self.tools = CorrectionTools()
            with VMain(style="height: 100vh"), html.Div(classes="views"):
                self._told_while_folded()
                self._hand()
                with html.Div(classes="grid"):
                    layout_manager.initialize_layout_grid(self.layout)
                welcome(self._is, self._phantom)
            dialogs(self._is, self._do)

    def _bar(self) -> None:
        with VAppBar(density="compact", flat=True, border=True, classes="bar"):
            VBtn(
                v_if=(f"!{self._is.panel} || $vuetify.display.width < {NARROW}",),
                icon="mdi-dock-left",
                size="small",
                click=f"{self._is.panel} = !{self._is.panel}",
                raw_attrs=['title="Fold the controls away, or show them"', f':aria-expanded="{self._is.panel}"'],
            )
            html.H1("WPUNetSegment", classes="text-subtitle-1 font-weight-medium ml-4 mr-3")
            with html.Div(v_if=(self._is.case,), classes="text-body-2 text-truncate"):
                html.Span(f"{{{{ {self._is.case} }}}}")
                html.Span(f"{{{{ {self._is.size} }}}}", classes="bar-size text-medium-emphasis ml-2")
            VSpacer()
            busy = f"!!{self._is.busy}"
            for text, icon, click, what in (
                (
                    "Open CT",
                    "mdi-file-outline",
                    "window.wpunet.choose(false)",
                    "A CT, or a saved segmentation of this CT",
                ),
                ("Open folder", "mdi-folder-open-outline", "window.wpunet.choose(true)", "A folder of DICOM slices"),
                ("Phantom", "mdi-human-male", self._phantom, "A generated CT"),
            ):
                title = [f'title="{what}"']
                VBtn(text, prepend_icon=icon, size="small", click=click, disabled=(busy,), raw_attrs=title)
            with VMenu(v_if=(self._is.segmented,)):
                with Template(v_slot_activator="{ props }"):
                    VBtn("Save", v_bind="props", prepend_icon="mdi-tray-arrow-down", size="small", color="primary")
                with VList(density="compact", classes="save"):
                    for kind in KINDS:
                        where = [self._is.dicom] * kind.dicom + [f"!{self._is.opened}"] * kind.network
                        VListItem(
                            title=kind.title,
                            subtitle=kind.what,
                            raw_attrs=[f'href="save/{kind.ending}"', "download"],
                            **({"v_if": (" && ".join(where),)} if where else {}),
                        )
            VBtn("Help", size="small", click=f"{self._is.help} = true")

    def _told_while_folded(self) -> None:
        """What the controls would say of errors, progress and warnings, where they are folded away."""
        share = f"{self._is.share} < 0 ? '' : ' ' + {self._is.share} + ' %'"
        going_on = f"{self._is.busy} ? {self._is.busy} + ({share}) : {self._is.running} ? {self._is.stage} : ''"
        unread = f"{self._is.warnings}.length && !{self._is.heeded} ? '⚠ ' + {self._is.warnings}[0] : ''"
        text = f"{self._is.error} || ({going_on}) || ({unread})"
        html.Button(
            f"{{{{ {text} }}}}",
            v_if=(f"!{self._is.panel} && ({text})",),
            click=f"{self._is.panel} = true",
            classes="told",
            raw_attrs=['title="Show the controls"', f':data-error="!!{self._is.error}"', 'aria-live="polite"'],
        )

    def _hand(self) -> None:
        """Above the views: what the left button does, window, and how much is shown."""
        with html.Div(v_if=(self._is.case,), classes="hand", raw_attrs=['role="toolbar"', 'aria-label="Views"']):
            for name, text, icon, what in HAND:
                on = f"{self._is.tool} === '{name}'"
                self._small(text, icon, f"{self._is.tool} = '{name}'; window.wpunet.ask('use', '{name}')", what, on)
            with VMenu():
                with (
                    Template(v_slot_activator="{ props }"),
                    VBtn(
                        v_bind="props",
                        size="small",
                        variant="tonal",
                        append_icon="mdi-menu-down",
                        classes="mx-1",
                        raw_attrs=['aria-label="Window presets"'],
                    ),
                ):
                    html.Span(f"{{{{ {self._is.window} || 'Window' }}}}", classes="word mr-2")
                    html.Span(f"W {{{{ {self._is.width} }}}} L {{{{ {self._is.level} }}}}")
                with VList(density="compact"):
                    for number, (name, (width, level)) in enumerate(WINDOWS.items(), 1):
                        VListItem(
                            title=name,
                            subtitle=f"W {width}  L {level}  key {number}",
                            click=f"{self._is.window} = '{name}'",
                        )
            self._small(
                "Fit", "mdi-fit-to-page-outline", "window.wpunet.ask('key', 'f')", "The whole CT in the view (F)"
            )
            self._small(
                "Reset", "mdi-restore", "window.wpunet.ask('reset')", "All views and the window as at first (R)"
            )
            self._small(
                "Hide",
                "mdi-eye-off-outline",
                f"{self._is.hidden} = !{self._is.hidden}",
                "Hide or show the segments (H)",
                self._is.hidden,
                v_if=(self._is.segmented,),
            )
            self._small(
                "Clear",
                "mdi-eraser-variant",
                f"{self._is.marks}.length && window.wpunet.ask('unmark', -1)",
                "Take all rulers and regions away",
                v_if=(f"{self._is.marks}.length",),
            )

    def _small(self, text: str, icon: str, click: str, what: str, on: str = "", **more: Any) -> None:
        pressed = [f':aria-pressed="!!({on})"'] if on else []
        with VBtn(
            prepend_icon=icon,
            click=click,
            size="small",
            variant="text",
            color=(f"({on or 'false'}) ? 'primary' : undefined",),
            active=(on or "false",),
            raw_attrs=[f'title="{what}"', f'aria-label="{text}"', *pressed],
            **more,
        ):
            html.Span(text, classes="word")

    def _start(self) -> None:
        """The one button that matters, and how far it has come."""
        idle = f"!{self._is.running}"
        with html.Div(classes="pa-3 pb-1"):
            VBtn(
                f"{{{{ {self._is.segmented} && !{self._is.opened} ? 'Segment again' : 'Segment' }}}}",
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
                    VProgressLinear(
                        model_value=(self._is.fraction,),
                        height=6,
                        color="primary",
                        rounded=True,
                        raw_attrs=['aria-label="Segmentation"'],
                    )
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
                        raw_attrs=['aria-label="Opening"'],
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
                ("Mark the parenchyma alone, without the renal sinus", self._is.parenchyma),
            ):
                VCheckbox(label=text, v_model=(flag,), density="compact", hide_details=True)

    def _messages(self) -> None:
        """Errors and warnings: they stay at the top of the panel, however far it is scrolled."""
        with html.Div(classes="messages", raw_attrs=['aria-live="assertive"']):
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
                    size="small",
                    variant="outlined",
                    classes="mt-1",
                )
            count = f"{self._is.warnings}.length"
            with html.Div(v_if=(count,), raw_attrs=['aria-label="Warnings"', 'role="group"']):
                html.Button(
                    f"⚠ {{{{ {count} === 1 ? 'Warning' : {count} + ' warnings' }}}}"
                    f" <span style='float:right'>{{{{ {self._is.heeded} ? 'Show' : 'Fold' }}}}</span>",
                    classes="heading",
                    click=f"{self._is.heeded} = !{self._is.heeded}",
                    raw_attrs=[f':aria-expanded="!{self._is.heeded}"'],
                )
                with html.Ul(v_if=(f"!{self._is.heeded}",)):
                    html.Li("{{ text }}", v_for=f"text in {self._is.warnings}", key="text")
