"""The one question of the page: whether corrections that are not saved may be replaced."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .state import PageState

if TYPE_CHECKING:
    from trame_server.state import State

NETWORK = "The network's answer"


class Question:
    """Asked only where something would be lost; one at a time, a later one takes the place of an earlier one."""

    def __init__(self, state: State, data: PageState) -> None:
        self._state, self._data = state, data
        self._answer: asyncio.Future[bool] | None = None

    async def may_replace(self, instead: str) -> bool:
        """Whether ``instead`` may take the place of the segments.

        To be awaited beside the page, not in an answer to it: while the page awaits one it holds its own changes back.
        """
        if not self._data.unsaved:
            return True
        self.answer(False)
        self._answer = asyncio.get_running_loop().create_future()
        with self._state:
            self._data.instead, self._data.ask = instead, True
        return await self._answer

    def answer(self, yes: bool) -> None:
        """What the user has chosen."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(yes)
        self._data.ask = False
