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
    VSlider,
)
from trame_server.utils.typed_state import TypedState
from trame_slicer.app.ui import (
    DrawEffectState,
    FlexContainer,
    IslandsState,
    PaintEffectState,
    ScissorsEffectState,
    Slider,
    SliderState,
    SmoothingEffectMode,
    SmoothingState,
)
from trame_slicer.segmentation import (
    BrushDiameterMode,
    BrushInteractionMode,
    ScissorsEffectFillMode,
    ScissorsEffectRangeMode,
    SegmentationIslandsMode,
)
from undo_stack import Signal
from wpunet.labels import BY_SIDE

from .between import APART_MM
from .corrections import NEAR_MM, CorrectionState
from .limits import SEGMENTS, LimitsState
from .scene import BRUSH_MM

BRUSH = {"min_value": 1, "max_value": 60, "step": 1, "value": BRUSH_MM}
OUTLINES = (
    (BrushInteractionMode.CONTINUOUS, "Drawn in one go"),
    (BrushInteractionMode.POINT_BY_POINT, "Corner by corner; the right button closes it, X takes the last corner back"),
)
CUTS = (
    (ScissorsEffectFillMode.ERASE_INSIDE, "Cut away what is inside"),
    (ScissorsEffectFillMode.ERASE_OUTSIDE, "Cut away what is outside"),
    (ScissorsEffectFillMode.FILL_INSIDE, "Fill the inside"),
)
DEPTHS = (
    (ScissorsEffectRangeMode.UNLIMITED, "Through all slices"),
    (ScissorsEffectRangeMode.SYMMETRIC, "In this slice, and as thick as:"),
)
PIECES = (
    (SegmentationIslandsMode.KEEP_LARGEST_ISLAND, "Keep the largest piece"),
    (SegmentationIslandsMode.REMOVE_SMALL_ISLANDS, "Remove small pieces"),
    (SegmentationIslandsMode.KEEP_SELECTED, "Keep the piece that is clicked"),
    (SegmentationIslandsMode.REMOVE_SELECTED, "Remove the piece that is clicked"),
    (SegmentationIslandsMode.ADD_SELECTED, "Take the clicked piece of another segment over"),
)
SMOOTHINGS = (
    (SmoothingEffectMode.MEDIAN, "Even out (median)"),
    (SmoothingEffectMode.OPENING, "Take thin parts away (opening)"),
    (SmoothingEffectMode.CLOSING, "Fill gaps (closing)"),
    (SmoothingEffectMode.GAUSSIAN, "Round off (Gaussian)"),
    (SmoothingEffectMode.JOINT, "All segments together"),
)


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


class Brush(Options):
    """Size and shape of the brush."""

    state_type = PaintEffectState

    def build(self, _name: Any) -> None:
        brush(self.typed)


class Draw(Options):
    """An outline that is filled, in some slices and then between them."""

    fill_clicked = Signal()
    state_type = DrawEffectState

    def build(self, name: Any) -> None:
        self.choice(name.brush_interaction_mode, "Outline", OUTLINES)
        say(f"Draw it in some axial slices, at most {APART_MM:.0f} mm apart, and let the gaps be filled.")
        button("Fill between the slices", self.fill_clicked, classes="mt-1")


class Scissors(Options):
    """Filling the outside is not offered: it is the rest of the CT."""

    state_type = ScissorsEffectState

    def build(self, name: Any) -> None:
        self.choice(name.brush_interaction_mode, "Outline", OUTLINES)
        self.choice(name.fill_mode, "What is cut, of the chosen segment", CUTS, classes="mt-2")
        self.choice(name.range_mode, "How deep, in a slice view", DEPTHS, classes="mt-2")
        shallow = self.chosen(name.range_mode, ScissorsEffectRangeMode.SYMMETRIC)
        number(name.symmetric_distance, "mm", disabled=(f"!{shallow}",), min=0, max=999)


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
        say("The whole range is hatched in the slices; Apply adds less of it, as is ticked here.")
        with html.Div(classes="d-flex flex-wrap mt-2", style="gap: 6px"):
            button("Apply", self.apply_clicked, disabled=(nothing(name),))
            button("Paint in this range only", self.limit_clicked, disabled=(nothing(name),))


class Islands(Options):
    """Pieces of a segment. Splitting is not offered: there are kidneys and tumors, no other segments."""

    apply_clicked = Signal()
    state_type = IslandsState

    def build(self, name: Any) -> None:
        say(
            "Works on all of the chosen segment in the whole CT. For the tumor that means other tumors, too, and those "
            "of the other kidney."
        )
        self.choice(name.mode, "Pieces", PIECES)
        small: Any = TypedState(self.state, CorrectionState).name.small
        with html.Div(v_if=(self.chosen(name.mode, SegmentationIslandsMode.REMOVE_SMALL_ISLANDS),)):
            number(small, "smaller than, ml", min=0, max=1000, precision=2, step=0.1)
        by_click = self.chosen(name.mode, *SegmentationIslandsMode.get_interactive_modes())
        button("Apply", self.apply_clicked, v_if=(f"!{by_click}",))
        html.Div("Click on it in a slice.", classes="text-caption", v_if=(by_click,))


class Smooth(Options):
    """The whole segment, or where the brush goes."""

    apply_clicked = Signal()
    state_type = SmoothingState

    def build(self, name: Any) -> None:
        items = [{"title": text, "value": self.typed.encode(mode)} for mode, text in SMOOTHINGS]
        select(name.mode, "How", items)
        with html.Div(v_if=(self.chosen(name.mode, *(mode for mode, _ in SMOOTHINGS[:3])),), classes="mt-2"):
            number(name.kernel_size, "Over so many mm", min=0, max=50, precision=1, step=0.5)
            say("Along a direction in which that is less than two voxels, nothing changes.")
        with html.Div(v_if=(self.chosen(name.mode, SmoothingEffectMode.GAUSSIAN),), classes="mt-2"):
            number(name.standard_deviation, "Over so many mm", min=0, max=50, precision=1, step=0.5)
        with html.Div(v_if=(self.chosen(name.mode, SmoothingEffectMode.JOINT),), classes="mt-2"):
            VSlider(v_model=name.smoothing_factor, label="How much", min=0, max=1, step=0.01, hide_details=True)
            say(
                "All four segments change. Tumors and cysts of less than some ten voxels across lose half, or vanish:"
                " compare the table after it."
            )
        together = self.chosen(name.mode, SmoothingEffectMode.JOINT)
        button("Apply to the whole segment", self.apply_clicked, classes="my-2", v_if=(f"!{together}",))
        button("Apply to all segments", self.apply_clicked, classes="my-2", v_if=(together,))
        say("Or go with the brush over what is to be smoothed.")
        brush(self.typed.get_sub_state(name.brush))


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
    limited = f"{name.area} || {name.ranged} || !{name.over}"  # it is seen while the panel is folded, too
    title = f"'Where the tools work' + ({limited} ? ': limited' : '')"
    with (
        VExpansionPanels(flat=True, classes="limits"),
        VExpansionPanel(title=(title,), bg_color="transparent", static=True),
        VExpansionPanelText(),
    ):
        select(name.area, "Where", areas)
        check(name.over, "Paint over other segments", disabled=(f"!!{name.area}",))
        check(name.ranged, "Only in a range of HU")
        with html.Div(v_if=(name.ranged,)):
            hu_range(name)


def brush(typed: Any) -> None:
    """Its size in mm, and whether it reaches into other slices."""
    TypedState.from_dataclass(typed.data.brush_diameter_slider, SliderState(**BRUSH))
    typed.data.brush_diameter_mode = BrushDiameterMode.Absolute
    slider = typed.get_sub_state(typed.name.brush_diameter_slider)
    html.Div(f"Brush size: {{{{ Math.round({slider.name.value}) }}}} mm <small>(keys [ and ])</small>", classes="say")
    Slider(typed_state=slider, density="compact", color="primary", raw_attrs=['aria-label="Brush size in mm"'])
    check(typed.name.use_sphere_brush, "A ball: reaches into the slices beside, too")


def hu_range(name: Any) -> None:
    with html.Div(classes="d-flex", style="gap: 6px"):
        number(name.low, "From", suffix="HU", step=5, error=(nothing(name),))
        number(name.high, "To", suffix="HU", step=5, error=(nothing(name),))


def nothing(name: Any) -> str:
    """No HU lies in the range: it ends before it begins, or one of its fields is empty."""
    return f"{name.low} == null || {name.high} == null || {name.low} > {name.high}"


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
