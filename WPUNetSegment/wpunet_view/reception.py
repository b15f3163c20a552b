"""How a CT comes to the page: from the command line, as an upload, or as the phantom; of several the user chooses."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wpunet.errors import told
from wpunet.volume import Volume

from . import opening
from .state import Choice, PageState

if TYPE_CHECKING:
    from trame_server.state import State


def alone(opens: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, bool]]:
    """For a method that opens a CT: gives whether it could begin, for it does not while another is being opened.

    The later one would else take the earlier one's files away, or its place, unasked.
    """

    @functools.wraps(opens)
    async def guarded(self: Reception, *given: Any) -> bool:
        if self.opening:
            self.refuse()
            return False
        self.opening = True
        try:
            await opens(self, *given)
        finally:
            self.opening = False
        return True

    return guarded


class Reception:
    """Reads a CT, says how far that is, and hands it over.

    settings: of the command line: upload_limit (bytes)
    folder:   the session's own, for what is uploaded
    opening:  whether a CT is under way
    """

    def __init__(
        self,
        state: State,
        data: PageState,
        settings: dict[str, Any],
        folder: Path,
        *,
        comes: Callable[[], None],
        show: Callable[[Volume, tuple[str, ...]], None],
        segment: Callable[[], None],
    ) -> None:
        """comes: called before a CT is read; show: with it and its warnings once it is; segment: if that is wished."""
        self.state, self.data, self._settings, self._folder = state, data, settings, folder
        self._comes, self._show, self._segment = comes, show, segment
        self._offer = opening.Offer([])
        self._uploads = 0
        self.opening = False
        self._segment_it = False  # the next CT that is shown, at once

    @alone
    async def open_phantom(self) -> None:
        """Show a generated CT."""
        self._segment_it = False
        await self._open("Making the phantom", opening.read_phantom)

    @alone
    async def open_path(self, path: Path, series: str | None = None, segment: bool = False) -> None:
        """Show the CT at ``path``, and perhaps segment it at once; of a folder with several the user chooses."""
        self._segment_it = segment
        if series is not None:
            await self._read(opening.Source(path, series, path.name))
        else:
            await self._take(path)

    @alone
    async def receive(
        self, name: str, parts: AsyncIterator[tuple[str, AsyncIterator[bytes]]], size: int | None
    ) -> None:
        """Take an upload of one file or several in, and show the CT in it."""
        self._segment_it = False
        self._uploads += 1
        folder = self._folder / f"{opening.UPLOAD}{self._uploads}"
        opening.empty(folder)

        def arrived(share: int) -> None:
            if share != self.data.share:
                with self.state:
                    self.data.share = share

        self._busy(f"Uploading {name}", 0)
        try:
            path = await opening.receive(parts, folder, size, self._settings["upload_limit"], arrived)
        except ConnectionError:
            self.tell(f"{name} did not arrive whole; open it again.")
        except Exception as error:
            self.tell(sentence(error))
        else:
            await self._take(path)

    def refuse(self) -> None:
        """Files that came while a CT is under way were not taken."""
        if self.opening:
            with self.state:
                self.data.error = "Another CT is being opened; wait until it is there, then open this one."

    def upload_broke(self, name: str) -> None:
        """The browser could not send the file, and the server has said nothing about it yet."""
        if not self.data.error and not self.opening:
            self.tell(f"{name} could not be sent; is the program still running?")

    @alone
    async def choose(self, number: int) -> None:
        """The user's choice among several CTs."""
        await self._read(self._offer.cts[number], self._offer.left_out)

    async def _take(self, path: Path) -> None:
        """Read the CT in ``path``, or let the user choose where there are several."""
        self._busy(f"Reading {_called(path)}")
        unpacked = self._folder / f"{opening.UPLOAD}{self._uploads}-unpacked"
        try:
            self._offer = await asyncio.to_thread(opening.sources, path, unpacked, self._settings["upload_limit"])
        except Exception as error:
            self.tell(sentence(error))
            return
        if len(self._offer.cts) == 1:
            await self._read(self._offer.cts[0], self._offer.left_out)
            return
        with self.state:
            self.data.busy = ""
            self.data.choices = [Choice(source.title, number) for number, source in enumerate(self._offer.cts)]

    async def _read(self, source: opening.Source, left_out: tuple[str, ...] = ()) -> None:
        await self._open(f"Reading {_called(source.path)}", functools.partial(opening.read, source), left_out)

    async def _open(self, busy: str, read: Callable[[], Volume], left_out: tuple[str, ...] = ()) -> None:
        self._comes()
        self._busy(busy)
        try:
            volume, warnings = await asyncio.to_thread(_checked, read)
        except Exception as error:
            self.tell(sentence(error))
            return
        with self.state:
            self._show(volume, (*warnings, *left_out))
        await asyncio.to_thread(self._forget_uploads)
        self.tell()
        if self._segment_it:
            self._segment_it = False
            with self.state:
                self._segment()

    def _busy(self, what: str, share: int = -1) -> None:
        """Say what goes on; what was told or asked before is over."""
        with self.state:
            self.data.error, self.data.busy, self.data.share, self.data.choices = "", what, share, []

    def _forget_uploads(self) -> None:
        """Only the files of the CT that is shown are needed still, for what refers to them."""
        latest = f"{opening.UPLOAD}{self._uploads}"
        for folder in self._folder.glob(f"{opening.UPLOAD}*"):
            if folder.name not in (latest, f"{latest}-unpacked"):
                shutil.rmtree(folder, ignore_errors=True)

    def tell(self, error: str = "") -> None:
        """Nothing goes on any more; ``error`` is one sentence for the user where something went wrong."""
        for folder in self._folder.glob(f"{opening.UPLOAD}*"):  # folders that the user never saw
            error = error.replace(f"{folder}{os.sep}", "").replace(str(folder), "The upload")
        with self.state:
            self.data.busy, self.data.share, self.data.error, self.data.log = "", -1, error, ""


def sentence(error: Exception) -> str:
    """What to tell of an error, be it one that nobody thought of: a page that only goes on waiting helps no one."""
    return str(error) if isinstance(error, OSError) else told(error)


def _called(path: Path) -> str:
    """A file or folder as the user knows it."""
    return "the files" if path.name.startswith(opening.UPLOAD) else path.name


def _checked(read: Callable[[], Volume]) -> tuple[Volume, tuple[str, ...]]:
    """A CT as ``read`` gives it, and its warnings."""
    from wpunet import check  # it brings SciPy, which a page without a CT does not need

    return check.check(read())
