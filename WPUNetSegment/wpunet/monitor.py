"""How a run tells where it is, and how it is told to stop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from .errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Monitor:
    """Callbacks of the caller, and what each stage took: seconds of the clock, and of all processor cores together.

    progress(stage, done, total): called as the work goes on
    cancelled(): asked between pieces of work; True ends the run with Cancelled
    """

    progress: Callable[[str, int, int], None] = lambda _stage, _done, _total: None
    cancelled: Callable[[], bool] = lambda: False
    seconds: dict[str, float] = field(default_factory=dict)
    processor_seconds: dict[str, float] = field(default_factory=dict)

    def at(self, stage: str, done: int, total: int) -> None:
        if self.cancelled():
            raise Cancelled("Cancelled.")
        self.progress(stage, done, total)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.at(name, 0, 1)
        start, busy = perf_counter(), process_time()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start
            self.processor_seconds[name] = self.processor_seconds.get(name, 0.0) + process_time() - busy
        self.at(name, 1, 1)
