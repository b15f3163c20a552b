"""In front of the pages: gives each page that is opened a process of its own and passes its traffic on.

The only port that ``wpunet view`` opens. Pages have addresses that cannot be guessed, so nobody sees another's; a
session ends some time after its page was closed, and its engine with it.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, ClientWebSocketResponse, WSMsgType, web
from wpunet.errors import InputError

from . import notices
from .process import SessionProcess

MOST_SESSIONS = 4  # each takes some 0.3 GB, 0.3 GB more once a CT is open, and several times the CT's size
READY_SECONDS = 10  # how long a page that waits for its session is left without an answer
UNUSED_SECONDS = 120  # a page that never connects is given up after these
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "host", "te", "trailer", "proxy-connection"}
HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'none'; form-action 'none'"
    ),
}
Handler = Callable[[web.Request], Any]


@dataclass(frozen=True)
class Settings:
    """What the command line says.

    host: None for 127.0.0.1 without a token; keep: seconds from the closing of a page to the end of its session;
    session: passed on to every session (ct, series, device, ...)
    """

    host: str | None
    port: int
    browser: bool
    keep: float
    session: dict[str, Any]


def serve(settings: Settings, say: Callable[[str], None], stopped: Callable[[], bool]) -> None:
    """Serve pages until ``stopped`` says so; raises InputError when host or port cannot be used."""
    asyncio.run(_serve(settings, say, stopped))


async def _serve(settings: Settings, say: Callable[[str], None], stopped: Callable[[], bool]) -> None:
    host = settings.host or "127.0.0.1"
    with TemporaryDirectory(prefix="wpunet-view-", ignore_cleanup_errors=True) as folder:
        pages = Pages(settings, Path(folder))
        runner = web.AppRunner(pages.app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, settings.port)
            try:
                await site.start()
            except (OSError, OverflowError) as error:
                raise InputError(
                    f"Cannot listen on {host}:{settings.port} ({error}); choose another --port or --host."
                ) from error
            address = pages.address(host, runner.addresses[0][1])
            await pages.prepare()
            say(f"WPUNetSegment is at {address}\nStop it with Ctrl-C.")
            if settings.browser and not webbrowser.open(address):
                say("No browser could be opened; open the address yourself.")
            while not stopped():
                await asyncio.sleep(0.2)
        finally:
            await pages.close()
            await runner.cleanup()


class Pages:
    """The sessions by the secret part of their addresses, and the web application in front of them."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._token = secrets.token_urlsafe(24) if settings.host else ""
        self._sessions: dict[str, SessionProcess] = {}
        self._spare: SessionProcess | None = None
        self._client: ClientSession | None = None
        self._ends: dict[str, asyncio.Task] = {}  # by page: gives it up after a while
        self._tasks: set[asyncio.Task] = set()
        self.app = web.Application(middlewares=[self._guard])
        self.app.router.add_get("/", self._open, allow_head=False)
        self.app.router.add_get("/favicon.ico", _no_icon)
        self.app.router.add_route("*", "/{page}/{path:.*}", self._pass_on)

    def address(self, host: str, port: int) -> str:
        """What a user opens."""
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{port}/" + (f"?token={self._token}" if self._token else "")

    async def prepare(self) -> None:
        """Start the first session before anybody asks, so that the first page comes at once."""
        whole = ClientTimeout(total=None)  # an upload through a slow tunnel takes as long as it takes
        self._client = ClientSession(auto_decompress=False, timeout=whole)
        self._spare = await self._start()

    async def close(self) -> None:
        """End all sessions."""
        for task in self._tasks:
            task.cancel()
        left = [*self._sessions.values(), *([self._spare] if self._spare else [])]
        await asyncio.gather(*(session.stop() for session in left))
        if self._client is not None:
            await self._client.close()

    async def _start(self) -> SessionProcess:
        return await SessionProcess.start({**self._settings.session, "folder": str(self._folder)})

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Headers that keep the page to itself; on loopback no other name than this machine's own.

        A name of somebody's site that resolves to 127.0.0.1 would else let that site open pages here.
        """
        if not self._settings.host and not _is_loopback(request.host):
            return notices.refused("This address is for this machine alone. Open http://127.0.0.1 with its port.")
        response = await handler(request)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    async def _open(self, request: web.Request) -> web.StreamResponse:
        """A new page, and a session for it."""
        if not hmac.compare_digest(request.query.get("token", "").encode(), self._token.encode()):
            return notices.refused("The token in the address is missing or wrong. Copy the whole address again.")
        if len(self._sessions) >= MOST_SESSIONS:
            return notices.busy(
                f"{MOST_SESSIONS} pages are open already. Close one: {self._settings.keep:g} s later its place is "
                "free, and this page comes by itself."
            )
        session, self._spare = self._spare or await self._start(), None
        page = secrets.token_hex(16)  # the browser side makes addresses lower case
        self._sessions[page] = session
        self._give_up_later(page, UNUSED_SECONDS)
        raise web.HTTPFound(f"/{page}/")

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        page = request.match_info["page"]
        session = self._sessions.get(page)
        if session is None:
            return notices.ended()
        if request.match_info["path"] == "ready":
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(session.settled.wait(), READY_SECONDS)
            return web.Response(text="yes" if session.settled.is_set() else "no")
        if session.failed:
            return notices.failed(session.last_words)
        if session.port is None:
            return notices.starting()
        if request.match_info["path"] == "paraview/":  # the page asks where its socket is
            return web.json_response({"sessionURL": f"ws://{request.host}/{page}/ws", "secret": "wslink-secret"})
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._pass_socket_on(request, page, session)
        try:
            return await self._pass_request_on(request, session)
        except ClientError:
            return notices.ended()

    async def _pass_request_on(self, request: web.Request, session: SessionProcess) -> web.StreamResponse:
        assert self._client is not None
        async with self._client.request(
            request.method,
            session.url(request.match_info["path"], request.query_string),
            headers={**_end_to_end(request.headers), **session.headers},
            data=request.content if request.body_exists else None,
            allow_redirects=False,
        ) as answer:
            response = web.StreamResponse(status=answer.status, headers={**_end_to_end(answer.headers), **HEADERS})
            await response.prepare(request)
            async for chunk in answer.content.iter_chunked(1 << 16):
                await response.write(chunk)
            await response.write_eof()
            return response

    async def _pass_socket_on(self, request: web.Request, page: str, session: SessionProcess) -> web.StreamResponse:
        """The page's socket; while it is open the session lives."""
        assert self._client is not None
        browser = web.WebSocketResponse(max_msg_size=0, heartbeat=30)
        await browser.prepare(request)
        session.connections += 1
        self._keep(page)
        try:
            async with self._client.ws_connect(session.url("ws"), headers=session.headers, max_msg_size=0) as inner:
                ways = [asyncio.ensure_future(_pump(browser, inner)), asyncio.ensure_future(_pump(inner, browser))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
        except ClientError:
            pass  # the session is gone; the browser notices as the socket closes
        finally:
            session.connections -= 1
            await browser.close()
            self._give_up_later(page, self._settings.keep)
        return browser

    def _keep(self, page: str) -> None:
        """Somebody has come: the time that ran since the page was left counts no more."""
        if (end := self._ends.pop(page, None)) is not None:
            end.cancel()

    def _give_up_later(self, page: str, seconds: float) -> None:
        """End the session of ``page`` if nobody is connected after ``seconds``."""

        async def give_up() -> None:
            await asyncio.sleep(seconds)
            session = self._sessions.get(page)
            if session is not None and session.connections == 0:
                del self._sessions[page], self._ends[page]
                await session.stop()

        self._keep(page)
        task = self._ends[page] = asyncio.get_running_loop().create_task(give_up())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _no_icon(_request: web.Request) -> web.Response:
    return web.Response(status=204)


async def _pump(
    source: web.WebSocketResponse | ClientWebSocketResponse, target: web.WebSocketResponse | ClientWebSocketResponse
) -> None:
    """Messages from one socket to the other until either closes."""
    with suppress(ConnectionError, RuntimeError):
        async for message in source:
            if message.type is WSMsgType.BINARY:
                await target.send_bytes(message.data)
            elif message.type is WSMsgType.TEXT:
                await target.send_str(message.data)


def _end_to_end(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}


def _is_loopback(host: str) -> bool:
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    return False
