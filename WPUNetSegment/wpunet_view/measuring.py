"""The numbers on the page follow its segments: they are measured again as soon as the hand rests."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from .state import PageState

if TYPE_CHECKING:
    from trame_server.state import State
    from wpunet.segment import Result
    from wpunet.volume import Volume

    from .findings import Findings
    from .scene import Scene

REST_SECONDS = 0.6  # without an edit, before the segments are measured again


class Host(Protocol):
    """Whose segments are measured: the application."""

    @property
    def volume(self) -> Volume | None: ...
    @property
    def findings(self) -> Findings | None: ...
    def later(self, work: Coroutine[Any, Any, Any]) -> None: ...


class Measuring:
    """Measures the segments beside the page, and tells it what came of it: table, warnings, what is not saved.

    A measurement may take longer than a later one. What an edit has overtaken is told no more: it would stand there as
    if it were true, in place of what came after it.

    warned: the kinds of warnings that the page shows
    """

    def __init__(self, state: State, data: PageState, scene: Scene, host: Host) -> None:
        self._state, self._data, self._scene, self._host = state, data, scene, host
        self.warned: set[str] = set()
        self._edits = self._known = 0  # how many there were, and how many when what the page tells was measured
        self._edited_at: float | None = None

    @property
    def behind(self) -> bool:
        """Whether the segments have changed since what the page tells was measured."""
        return self._edits != self._known

    def edited(self) -> None:
        """A segment has changed; measure once the hand rests."""
        if self._host.findings is None:
            return
        waiting = self._edited_at is not None
        self._edited_at = asyncio.get_running_loop().time()
        self._edits += 1
        with self._state:
            # until it is measured: it may have been undone
            self._data.corrected = self._data.unsaved = self._data.measuring = True
        if not waiting:
            self._host.later(self._at_rest())

    async def _at_rest(self) -> None:
        loop = asyncio.get_running_loop()
        while self._edited_at is not None and loop.time() < self._edited_at + REST_SECONDS:
            await asyncio.sleep(self._edited_at + REST_SECONDS - loop.time())
        self._edited_at = None
        await self.measure()

    async def measure(self) -> Result | None:
        """The segments as they are now, measured; None where there are none."""
        volume, findings, edits = self._host.volume, self._host.findings, self._edits
        if volume is None or findings is None:
            return None
        result = await asyncio.to_thread(findings.measured, volume, self._scene.labels())
        if findings is self._host.findings and edits == self._edits:
            findings.take(result)
            self._known = edits
            self._tell(findings, result)
        return result

    def _tell(self, findings: Findings, result: Result) -> None:
        from .findings import row  # what measures takes 0.4 s to load

        structures, warnings = result.report.structures, list(map(str, result.report.warnings))
        kinds = {caution.code for caution in result.report.warnings}
        with self._state:
            data = self._data
            if structures and not data.rows:  # 3D has shown nothing so far
                self._scene.reset_3d_view()
            data.rows = [row(one) for one in structures]
            data.tumors = sum(one.kind == "tumor" for one in structures)
            data.tumor = min(data.tumor, data.tumors)
            data.measuring = False
            data.corrected, data.unsaved = findings.corrected, findings.unsaved
            data.warnings, data.heeded = warnings, data.heeded and kinds <= self.warned
        self.warned = kinds
