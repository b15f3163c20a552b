"""What can be set for the correction tools, in plain words: trame-slicer's panels speak its programmers' language."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import (
    VBtn,
    VCheckbox,
    VExpansionPanel,
    VExpansionPanels,
    VExpansionPanelText,
    VNumberInput,
    VRadio,
    VRadioGroup,
    VSelect,
)
from trame_server.utils.typed_state import TypedState
from trame_slicer.app.ui import (
    FlexContainer,
)
from undo_stack import Signal
from wpunet.labels import BY_SIDE

from .corrections import NEAR_MM, CorrectionState
from .limits import SEGMENTS, LimitsState


class Options(FlexContainer):
    """A tool's panel; state: of trame-slicer, or of this page."""

    state_type: Any = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.typed: Any = TypedState(self.state, self.state_type) if self.state_type else None
        with self:
            self.build(self.typed.name if self.typed else None)

    def build(self, _name: Any) -> None:
        raise NotImplementedError

    def choice(self, model: str, label: str, choices: tuple, **more: Any) -> None:
        with VRadioGroup(v_model=model, label=label, hide_details=True, density="compact", **more):
            for value, text in choices:
                VRadio(label=text, value=(self.typed.encode(value),))

    def chosen(self, model: str, *values: Any) -> str:
        return f"{self.typed.encode(list(values))}.includes({model})"


class Threshold(Options):
    """A range of HU, added to the segment."""

    apply_clicked = Signal()
    limit_clicked = Signal()
    state_type = CorrectionState

    def build(self, name: Any) -> None:
        say("Adds to the chosen segment what lies in a range of HU; first in its own, mean and two SD.")
        hu_range(name)
        check(name.near, f"Only within {NEAR_MM} mm of the segment (of all segments while it is empty)")
        check(name.over, "Take from other segments, too")
        say("The whole range blinks in the slices; Apply adds less of it, as is ticked here.")
        with html.Div(classes="d-flex flex-wrap mt-2", style="gap: 6px"):
            button("Apply", self.apply_clicked)
            button("Paint in this range only", self.limit_clicked)


class NoOptions(Options):
    """Of trame-slicer's own threshold."""

    auto_threshold_clicked = Signal()
    apply_clicked = Signal()
    use_as_mask_clicked = Signal()

    def build(self, _name: Any) -> None:
        pass


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


def button(text: str, click: Any, **more: Any) -> None:
    VBtn(text, click=click, variant="tonal", size="small", **more)


def say(text: str) -> None:
    html.Div(text, classes="say")
