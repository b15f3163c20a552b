"""How a CT or its segmentation comes to the page: from the command line, as an upload, or as the phantom.

Of several CTs the user chooses. What could take unsaved corrections away is asked for once it has been read.
"""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from wpunet.errors import told
from wpunet.volume import Volume

from . import opening
from .state import Choice, PageState

if TYPE_CHECKING:
    from trame_server.state import State
    from wpunet.label_maps import LabelMap

    from .question import Question


class Host(Protocol):
    """Who takes what is opened: the application."""

    question: Question

    @property
    def volume(self) -> Volume | None: ...
    def later(self, work: Coroutine[Any, Any, Any]) -> None: ...
    def show(self, volume: Volume, warnings: tuple[str, ...]) -> None: ...
    def show_opened(self, opened: LabelMap, name: str) -> None: ...
    def segment(self) -> None: ...


@dataclass(frozen=True)
class Then:
    """What is wished once a CT is shown: that it is segmented, or that its segmentation in a file is opened."""

    segment: bool = False
    labels: Path | None = None


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
    """Reads a CT or a segmentation, says how far that is, and hands it over.

    settings: of the command line: upload_limit (bytes)
    folder:   the session's own, for what is uploaded
    opening:  whether something is under way
    """

    def __init__(self, state: State, data: PageState, settings: dict[str, Any], folder: Path, host: Host) -> None:
        self.state, self.data, self._settings, self._folder = state, data, settings, folder
        self._host = host
        self._offer = opening.Offer([])
        self._uploads = 0
        self.opening = False
        self._then = Then()

    def open_phantom(self) -> None:
        """Show a generated CT."""
        self._host.later(self._open_phantom())

    @alone
    async def _open_phantom(self) -> None:
        self._then = Then()
        await self._open("Making the phantom", "The phantom", opening.read_phantom)

    @alone
    async def open_path(
        self, path: Path, series: str | None = None, segment: bool = False, labels: Path | None = None
    ) -> None:
        """Show the CT at ``path``, perhaps segment it at once or open its ``labels``; of several the user chooses."""
        self._then = Then(segment, labels)
        if series is not None:
            await self._read(opening.Source(path, series, path.name))
        else:
            await self._take(path)

    @alone
    async def receive(
        self, name: str, parts: AsyncIterator[tuple[str, AsyncIterator[bytes]]], size: int | None
    ) -> None:
        """Take an upload of one file or several in, and show the CT in it, or what it marks in the CT that is shown."""
        self._then = Then()
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

    def choose(self, number: int) -> None:
        """The user's choice among several CTs."""
        self._host.later(self._chosen(number))

    @alone
    async def _chosen(self, number: int) -> None:
        await self._read(self._offer.cts[number], self._offer.left_out)

    async def _take(self, path: Path) -> None:
        """Read the CT or the segmentation in ``path``, or let the user choose where there are several CTs."""
        self._busy(f"Reading {_called(path)}")
        if await asyncio.to_thread(_is_label_map, path):
            await self._open_labels(path)
            return
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
        if self._then == Then():
            self._then = Then(labels=source.labels)
        name = _called(source.path)
        await self._open(f"Reading {name}", name, functools.partial(opening.read, source), left_out)

    async def _open(self, busy: str, name: str, read: Callable[[], Volume], left_out: tuple[str, ...] = ()) -> None:
        """Show a CT, unless the user keeps what is there; then what was wished with it."""
        self._busy(busy)
        try:
            volume, warnings = await asyncio.to_thread(_checked, read)
        except Exception as error:
            self.tell(sentence(error))
            return
        if not await self._may_replace(name):
            return
        with self.state:
            self._host.show(volume, (*warnings, *left_out))
        await asyncio.to_thread(self._forget_uploads)
        self.tell()
        then, self._then = self._then, Then()
        if then.labels is not None:
            await self._open_labels(then.labels)
        elif then.segment:
            with self.state:
                self._host.segment()

    async def _open_labels(self, path: Path) -> None:
        """Show what a file marks in the CT that is shown, unless the user keeps what is there."""
        volume = self._host.volume
        if volume is None:
            self.tell(f"{path.name} marks something in a CT and is none itself; open its CT first, then this file.")
            return
        self._busy(f"Reading {path.name}")
        try:
            opened = await asyncio.to_thread(opening.read_labels, path, volume)
        except Exception as error:
            self.tell(sentence(error))
            return
        if await self._may_replace(path.name):
            with self.state:
                self._host.show_opened(opened, path.name)
            self.tell()

    async def _may_replace(self, name: str) -> bool:
        """Whether what was read may be shown; nothing goes on while the user is asked."""
        if self.data.unsaved:
            self.tell()
        return await self._host.question.may_replace(name)

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


def _is_label_map(path: Path) -> bool:
    from wpunet import label_maps  # it brings SciPy, which a page without a CT does not need

    return path.is_file() and label_maps.is_label_map(path)


def _checked(read: Callable[[], Volume]) -> tuple[Volume, tuple[str, ...]]:
    """A CT as ``read`` gives it, and its warnings."""
    from wpunet import check  # it brings SciPy, which a page without a CT does not need

    return check.check(read())
