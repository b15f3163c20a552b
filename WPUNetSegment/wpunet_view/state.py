"""What the page shows, as one record that the browser and the session share."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Row:
    """A line of the results table, ready to be shown; ``at`` is the place to jump to, RAS mm."""

    name: str = ""
    kind: str = ""
    volume: str = ""
    diameter: str = ""
    hu: str = ""
    certainty: str = ""
    at: list[float] = field(default_factory=list)


@dataclass
class Choice:
    """One of several CTs in an upload."""

    title: str = ""
    value: int = 0


@dataclass
class PageState:
    """Texts are empty and flags False while there is nothing to show.

    case, size: the CT that is open
    busy:       what is going on, other than a run of the engine; ``share`` (percent) where that is known, else -1
    fraction:   of the run, 0 to 100; ``stage`` and ``left`` say the same in words
    error:      one sentence to act on
    segmented:  whether there are segments; ``corrected``: whether they differ from the engine's answer
    tumor:      which of the tumors the review stands at, from 1; 0 before it has begun
    ask:        the question before corrections are replaced is open
    """

    case: str = ""
    size: str = ""
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
    segmented: bool = False
    corrected: bool = False
    rows: list[Row] = field(default_factory=list)
    tumors: int = 0
    tumor: int = 0
    window: str = "Soft tissue"
    uncertainty: bool = False
    full: bool = False
    flips: bool = True
    ask: bool = False
    help: bool = False
