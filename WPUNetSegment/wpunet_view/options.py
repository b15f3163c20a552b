"""What can be set for the correction tools, in plain words: trame-slicer's panels speak its programmers' language."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import (
    VCheckbox,
    VExpansionPanel,
    VExpansionPanels,
    VExpansionPanelText,
    VNumberInput,
    VSelect,
)
from trame_server.utils.typed_state import TypedState
from wpunet.labels import BY_SIDE

from .limits import SEGMENTS, LimitsState


def limits(state: Any) -> None:
    """Where the tools work."""
    name: Any = TypedState(state, LimitsState).name
    areas = [
        {"title": "Everywhere", "value": ""},
        {"title": "Only inside the segments", "value": SEGMENTS},
        *({"title": f"Only inside the {label.name}", "value": label.key} for label in BY_SIDE),
    ]
    with (
        VExpansionPanels(flat=True, classes="limits"),
        VExpansionPanel(title="Where the tools work", bg_color="transparent", static=True),
        VExpansionPanelText(),
    ):
        select(name.area, "Where", areas)
        check(name.over, "Paint over other segments", disabled=(f"!!{name.area}",))
        check(name.ranged, "Only in a range of HU")
        with html.Div(v_if=(name.ranged,)):
            hu_range(name)


def hu_range(name: Any) -> None:
    with html.Div(classes="d-flex", style="gap: 6px"):
        number(name.low, "From", suffix="HU", step=5)
        number(name.high, "To", suffix="HU", step=5)


def number(model: str, label: str, precision: int = 0, **more: Any) -> None:
    VNumberInput(
        v_model=model,
        label=label,
        precision=(precision,),
        control_variant="hidden",
        density="compact",
        hide_details=True,
        **{key: (value,) if isinstance(value, (int, float)) else value for key, value in more.items()},
    )


def check(model: str, label: str, **more: Any) -> None:
    VCheckbox(v_model=model, label=label, density="compact", hide_details=True, **more)


def select(model: str, label: str, items: list[dict[str, Any]]) -> None:
    VSelect(v_model=model, label=label, items=(items,), density="compact", hide_details=True)
