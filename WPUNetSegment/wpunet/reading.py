"""Reading CTs before they are asked for: the first while the network is made ready, the next while one is segmented."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from . import files
from .volume import Volume

Asked = tuple[Path, "str | None"]  # a file or a DICOM folder, and the UID of its series


class ReadAhead:
    """``files.read`` for CTs whose order is known; one CT is held besides the one that is worked on."""

    def __init__(self, cts: Iterable[Asked]) -> None:
        self._waiting = deque(cts)
        self._thread = ThreadPoolExecutor(1)
        self._begun: tuple[Asked, Future[Volume]] | None = None
        self._begin()

    def __call__(self, path: Path | str, series: str | None = None) -> Volume:
        """As ``files.read``; raises what it raises."""
        if (path, series) in self._waiting:  # those before it were refused unread
            while self._waiting[0] != (path, series):
                self._waiting.popleft()
            self._begin()
        if self._begun is None or self._begun[0] != (path, series):
            return files.read(path, series)
        _, reading = self._begun
        try:
            return reading.result()
        finally:
            self._begin()

    def _begin(self) -> None:
        self._begun = None
        if self._waiting:
            asked = self._waiting.popleft()
            self._begun = asked, self._thread.submit(files.read, *asked)
