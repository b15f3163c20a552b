"""The results table, and the way from finding to finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trame.widgets import html
from trame.widgets.vuetify3 import (
    VBtn,
    VList,
    VListItem,
    VMenu,
    VSlider,
    VSpacer,
    VSwitch,
    VTable,
)
from trame_client.widgets.core import Template
from wpunet.labels import BY_SIDE

from .looks import ENTER
from .scene import SHOWN_UNCERTAINTY

if TYPE_CHECKING:
    from .actions import Actions


def results(page: Any, do: Actions) -> None:
    columns = (("", ""), ("Volume", "ml"), ("Length", "mm"), ("Mean", "HU"), ("Certain", "%"))
    opened = f"<span v-if='{page.opened}'>, opened from {{{{ {page.opened} }}}}</span>"
    html.H2(
        f"Results{opened}<span id='corrected' v-if='{page.corrected}'>, corrected by hand</span>"
        f"<span v-if='{page.measuring}'>, measuring…</span>"
    )
    with VTable(density="compact", raw_attrs=['aria-label="Measurements"']):
        with html.Thead(), html.Tr():
            for name, unit in columns:
                html.Th(f"{name}<small>{unit}</small>" if name else "", classes="number" if name else "")
            html.Th(classes="more")
        with html.Tbody(classes=(f"{{old: {page.measuring}}}",), raw_attrs=[f':aria-busy="{page.measuring}"']):
            with html.Tr(
                v_for=f"(row, i) in {page.rows}",
                key="i",
                click=(do.jump, "[row]"),
                keydown_enter=(do.jump, "[row]"),
                __events=[ENTER],
                classes="jump",
                raw_attrs=['tabindex="0"', 'title="Show this place"'],
            ):
                with html.Td():
                    html.Span(classes="mark", raw_attrs=[f':style="{_swatch()}"'])
                    html.Span("{{ row.name }}")
                for value in ("volume", "diameter", "hu", "certainty"):
                    html.Td(f"{{{{ row.{value} }}}}", classes="number")
                with html.Td(classes="more"):
                    _turn(page, do)
            with html.Tr(v_if=(f"!{page.rows}.length && !{page.measuring}",)):
                html.Td("Nothing is marked.", raw_attrs=['colspan="6"'])


def _turn(page: Any, do: Actions) -> None:
    """What a tumor or a cyst can be made; a false one inside a kidney is kidney, one outside of it is nothing."""
    with VMenu(v_if=("row.kind !== 'kidney'",)):
        with Template(v_slot_activator="{ props }"):
            VBtn(
                v_bind="props",
                icon="mdi-dots-vertical",
                variant="text",
                density="compact",
                disabled=(page.measuring,),
                raw_attrs=[
                    ":aria-label=\"'Change ' + row.name\"",
                    'title="Not what it is called: change it"',
                    "@keydown.enter.stop",
                ],
            )
        with VList(density="compact", classes="save"):
            for when, into, title, what in (
                ("row.kind === 'tumor'", "cyst", "Make it a cyst", "All of this body, in all slices"),
                ("row.kind === 'cyst'", "tumor", "Make it a tumor", "All of this body, in all slices"),
                ("row.beside", "kidney", "Delete it: kidney is there", "It becomes part of the {{ row.side }} kidney"),
                ("true", "", "Delete it: no kidney is there", "Nothing is marked there any more"),
            ):
                with VListItem(v_if=(when,), click=(do.turn, f"[row.kind, row.fingerprint, '{into}']")):
                    html.Div(title, classes="v-list-item-title")
                    html.Div(what, classes="v-list-item-subtitle")


def review(page: Any, do: Actions) -> None:
    """From tumor to tumor, and to the places where the network was least certain."""
    with html.Div(classes="review d-flex align-center px-2 pt-1"):
        count, at = page.tumors, page.tumor
        _step("Previous tumor", "mdi-chevron-left", (do.next_tumor, "[-1]"), count)
        _step("Next tumor", "mdi-chevron-right", (do.next_tumor, "[1]"), count)
        told = f"{{{{ {count} ? 'Tumor ' + ({at} || '–') + ' of ' + {count} : 'No tumor' }}}}"
        html.Span(told, classes="text-caption")
    with html.Div(classes="review d-flex align-center px-2"):
        count, at = page.places, page.place
        _step("Previous uncertain place", "mdi-chevron-left", (do.next_place, "[-1]"), count)
        _step("Next uncertain place", "mdi-chevron-right", (do.next_place, "[1]"), count)
        told = f"{{{{ {count} ? 'Uncertain place ' + ({at} || '–') + ' of ' + {count} : 'No uncertain place' }}}}"
        html.Span(told, classes="text-caption")
        VSpacer()
        VSwitch(
            v_if=(f"!{page.opened}",),
            label="Uncertainty",
            v_model=(page.uncertainty,),
            density="compact",
            hide_details=True,
            color="primary",
            classes="flex-grow-0 pr-1",
        )
    with html.Div(v_if=(page.uncertainty,)):
        low, high = (f"{level / 255:.0%}" for level in SHOWN_UNCERTAINTY)
        html.Div(
            f"Chance to be wrong: <span>{low}</span><i style='background: linear-gradient(90deg, #044, #0ff)'></i>"
            f"<span>{high} or more</span>",
            classes="legend",
            raw_attrs=[
                'role="img"',
                f'aria-label="Colours of the chance to be wrong, from {low}, dark, to {high}, bright"',
            ],
        )
        VSlider(
            v_model=(page.doubt_opacity,),
            min=0,
            max=1,
            step=0.05,
            label="Opacity",
            density="compact",
            hide_details=True,
            color="primary",
            thumb_size=24,
            classes="px-3",
            raw_attrs=['aria-label="Opacity of the uncertainty"'],
        )


def _step(text: str, icon: str, click: Any, count: str) -> None:
    VBtn(
        icon=icon,
        click=click,
        disabled=(f"!{count}",),
        variant="text",
        density="compact",
        raw_attrs=[f'aria-label="{text}"', f'title="{text}"'],
    )


def _swatch() -> str:
    """The colour of a row, from the table of labels."""
    pairs = ",".join(f"{label.key}:'rgb{label.colour}'".replace(" ", "") for label in BY_SIDE)
    return f"{{background: {{{pairs}}}[row.kind === 'kidney' ? 'kidney_' + row.side : row.kind]}}"
