"""What the page shows, as records that the browser and the session share."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Row:
    """A line of the results table, ready to be shown.

    at, extent:  the place to go to, RAS mm
    fingerprint: of its voxels
    beside:      it is a lesion that touches a kidney, that of its side
    """

    name: str = ""
    kind: str = ""
    side: str = ""
    volume: str = ""
    diameter: str = ""
    hu: str = ""
    certainty: str = ""
    at: list[float] = field(default_factory=list)
    extent: list[float] = field(default_factory=list)
    fingerprint: str = ""
    beside: bool = False


@dataclass
class Choice:
    """One of several CTs in a folder or an upload."""

    title: str = ""
    value: int = 0


@dataclass
class Mark:
    """A ruler or a round region of a slice view; ``a`` and ``b`` RAS mm: its ends, or its centre and its edge."""

    kind: str = ""
    view: str = ""
    a: list[float] = field(default_factory=list)
    b: list[float] = field(default_factory=list)
    text: str = ""


@dataclass
class ViewState:
    """What is written over a slice view.

    number, count: which slice of how many; ``at`` its place in words
    pointer:       what lies under the pointer
    geometry:      RAS mm to pixels from the lower left (4 x 4, row after row), then width and height in pixels
    """

    number: int = 0
    count: int = 0
    at: str = ""
    pointer: str = ""
    geometry: list[float] = field(default_factory=list)


@dataclass
class PageState:
    """Texts are empty and flags False while there is nothing to show.

    case, size: the CT that is open
    dicom:      whether it came as DICOM
    busy:       what is going on, other than a run of the engine; ``share`` (percent) where that is known, else -1
    fraction:   of the run, 0 to 100; ``stage`` and ``left`` say the same in words
    error:      one sentence to act on
    heeded:     the warnings were read and are folded away
    segmented:  whether there are segments; ``corrected``: whether they differ from what they were at first;
                ``unsaved``: and from what was saved last
    measuring:  the rows are those of segments that have changed since
    opened:     the file that they came from; empty where they are the engine's answer
    tumor:      which of the tumors the review stands at, from 1; 0 before it has begun; ``place``: of ``places``
    window:     the name of the preset, empty where the hand has left it; ``width`` and ``level`` in HU
    tool:       what the left button does in a slice; empty while a correction tool has it
    large:      the view that fills the page
    marks:      rulers and regions
    panel:      the controls are there, not folded away; None: the page's width decides
    ask:        the question before unsaved corrections are replaced by ``instead`` is open; ``unnamed``: the one for
                the CT's ``name``
    """

    case: str = ""
    size: str = ""
    dicom: bool = False
    busy: str = ""
    share: int = -1
    choices: list[Choice] = field(default_factory=list)
    running: bool = False
    fraction: float = 0.0
    stage: str = ""
    left: str = ""
    error: str = ""
    log: str = ""
    warnings: list[str] = field(default_factory=list)
    heeded: bool = False
    segmented: bool = False
    corrected: bool = False
    measuring: bool = False
    unsaved: bool = False
    opened: str = ""
    rows: list[Row] = field(default_factory=list)
    tumors: int = 0
    tumor: int = 0
    places: int = 0
    place: int = 0
    window: str = "Soft tissue"
    width: int = 400
    level: int = 40
    tool: str = "window"
    large: str = ""
    marks: list[Mark] = field(default_factory=list)
    hidden: bool = False
    uncertainty: bool = False
    doubt_opacity: float = 0.75
    full: bool = False
    flips: bool = True
    parenchyma: bool = False
    ask: bool = False
    instead: str = ""
    unnamed: bool = False
    name: str = ""
    help: bool = False
    panel: bool | None = None
