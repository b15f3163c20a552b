"""What waits until nothing changes any more: at each step of a drag or a stroke it would take time from the views."""

from __future__ import annotations

from collections.abc import Callable

import qt

REST_MS = 300


class AtRest:
    """Does something once, when for a moment ``again`` was not called any more."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(REST_MS)
        self._timer.connect("timeout()", action)

    def again(self) -> None:
        self._timer.start()

    def never(self) -> None:
        self._timer.stop()
