"""The process behind one page: ``python -m wpunet_view.session``, started and fed by server.py.

It reads its settings as one JSON line from standard input, says ``{"port": N}`` on standard output, and ends when its
standard input closes. Only who knows the key in the settings is answered.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import shutil
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import BodyPartReader, web
from wpunet import console, names
from wpunet.errors import WpunetError

from . import some_of_vtk
from .session_key import KEY_HEADER

if TYPE_CHECKING:
    from .application import Application

CHUNK = 1 << 18  # bytes of an upload that are taken at once
Parts = AsyncIterator[tuple[str, AsyncIterator[bytes]]]  # path and content of each file


def main() -> None:
    """Run the session until standard input closes."""
    names.as_utf8()
    settings = json.loads(sys.stdin.readline())
    folder, pipe = Path(settings["folder"]), console.take_input()
    assert pipe is not None  # the settings came through it
    try:
        asyncio.run(_serve(settings, folder, pipe))
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # server.py does so too, unless it was killed


async def _serve(settings: dict[str, Any], folder: Path, pipe: int) -> None:
    some_of_vtk.install()  # before anything is imported that wants all of it
    from .application import Application

    application = Application(settings, folder)
    server = application.server
    server.controller.on_server_bind.add(lambda bound: _add_routes(bound.app, application, settings["key"]))
    serving = asyncio.create_task(
        server.start(
            host="127.0.0.1",
            port=0,
            timeout=0,  # server.py decides when a session ends
            exec_mode="coroutine",
            open_browser=False,
            show_connection_info=False,
            thread=True,  # leaves signals alone
        )
    )
    await server.ready
    sys.stdout.write(json.dumps({"port": server.port}) + "\n")
    sys.stdout.flush()
    opening = None
    if settings["ct"]:
        labels = Path(settings["segmentation"]) if settings["segmentation"] else None
        work = application.reception.open_path(Path(settings["ct"]), settings["series"], settings["segment"], labels)
        opening = asyncio.create_task(work)
    try:
        await _closed(pipe)
    finally:
        application.close()
        if opening is not None:
            opening.cancel()
        await server.stop()
        await serving


async def _closed(pipe: int) -> None:
    loop, closed = asyncio.get_running_loop(), asyncio.Event()

    def wait() -> None:
        console.wait_for_end(pipe)
        loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=wait, daemon=True).start()
    await closed.wait()


def _add_routes(app: web.Application, application: Application, key: str) -> None:
    """Uploads and downloads beside the page's own socket, all behind the key."""

    @web.middleware
    async def with_key(request: web.Request, handler: Any) -> web.StreamResponse:
        if not hmac.compare_digest(request.headers.get(KEY_HEADER, ""), key):
            raise web.HTTPForbidden(text="This address is for wpunet view alone.")
        return await handler(request)

    async def received(name: str, parts: Parts, request: web.Request) -> web.Response:
        if not await application.reception.receive(name, parts, request.content_length):
            raise web.HTTPConflict(text="Another CT is being opened.")
        return web.Response(text="ok")

    async def upload(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return await received(name, _one(name, request), request)

    async def upload_several(request: web.Request) -> web.Response:
        return await received("the files", _several(request), request)

    async def save(request: web.Request) -> web.StreamResponse:
        try:
            path = await application.saved(request.match_info["ending"])
        except WpunetError as error:
            application.reception.tell(str(error))
            raise web.HTTPNotFound(text=str(error)) from error
        return web.FileResponse(path, headers={"Content-Disposition": f'attachment; filename="{path.name}"'})

    app.middlewares.append(with_key)
    app.router.add_post("/upload/{name}", upload)
    app.router.add_post("/upload", upload_several)
    app.router.add_get("/save/{ending}", save)


async def _one(name: str, request: web.Request) -> Parts:
    yield name, request.content.iter_chunked(CHUNK)


async def _several(request: web.Request) -> Parts:
    """The files of a form, by their paths within the folder that was chosen or dropped."""
    async for part in await request.multipart():
        if isinstance(part, BodyPartReader):
            yield part.filename or "", _chunks(part)


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(CHUNK):
        yield chunk


if __name__ == "__main__":
    main()
