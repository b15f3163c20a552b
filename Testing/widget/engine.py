"""Where the panel starts the engine: a stand-in that a test holds, lets go, fails or crashes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from Testing.slicer.stand_in import Process


class Held(Process):
    """Tells a first progress and then nothing until its engine says ``go``."""

    def __init__(self, arguments: Sequence[str], folder: Path, engine: Engine) -> None:
        super().__init__(list(arguments), folder)
        self._engine = engine
        self._first = [self._events.pop(0)]

    def poll(self) -> list[dict[str, Any]]:
        if self._first:
            return [self._first.pop()]
        if self.cancelled or self._engine.free:
            return super().poll()
        return []


class Broken(Held):
    """Ends with a message or, without one, like a crash: a status of its own and lines in the log."""

    def poll(self) -> list[dict[str, Any]]:
        if self._first or not self._engine.free:
            return super().poll()
        self.returncode, self.log = self._engine.status, "Traceback: the engine's own words"
        message = self._engine.message
        return [{"event": "error", "text": message, "status": self.returncode}] if message else []


class Engine:
    """``start_engine`` of the logic.

    started: every process, the last one last; free: whether they may go on
    """

    def __init__(self) -> None:
        self.started: list[Held] = []
        self.free = False
        self.message, self.status = "", 0

    def __call__(self, arguments: Sequence[str], folder: Path) -> Held:
        kind = Broken if self.status else Held
        self.started.append(kind(arguments, folder, self))
        return self.started[-1]

    @property
    def last(self) -> Held:
        return self.started[-1]

    def go(self) -> None:
        self.free = True

    def hold(self) -> None:
        self.free = False

    def fail(self, status: int, message: str = "") -> None:
        """Let the next run end like this."""
        self.status, self.message = status, message
