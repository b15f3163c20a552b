"""What the page asks of the application."""

from __future__ import annotations

from typing import Any, Protocol

from .question import Question
from .reception import Reception


class Actions(Protocol):
    """What the page's controls do; the application does it."""

    reception: Reception
    question: Question

    def name_case(self, name: str) -> None: ...
    def segment_asked(self) -> None: ...
    def cancel(self) -> None: ...
    def jump(self, to: Any) -> None: ...
    def next_tumor(self, by: int) -> None: ...
    def next_place(self, by: int) -> None: ...
