"""A session's process, as seen from the server in front of it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from wpunet.child import own_group

from .session_key import KEY_HEADER

STOP_SECONDS = 10.0  # the engine takes 6 at most to end


class SessionProcess:
    """``python -m wpunet_view.session``.

    port: None until it listens; failed: it ended by itself; connections: sockets of pages that are open
    """

    def __init__(self, process: asyncio.subprocess.Process, key: str, folder: Path) -> None:
        self.port: int | None = None
        self.failed = False
        self.connections = 0
        self.headers = {KEY_HEADER: key}
        self.settled = asyncio.Event()  # it listens, or has failed
        self._process, self._folder = process, folder
        self._log: deque[str] = deque(maxlen=40)
        self._readers = [asyncio.create_task(self._listen()), asyncio.create_task(self._keep_log())]

    @classmethod
    async def start(cls, settings: dict[str, Any]) -> SessionProcess:
        """Start it with ``settings``, in a folder of its own within that which they name.

        It goes with its standard input, so it never outlives the server.
        """
        folder = Path(mkdtemp(prefix="session-", dir=settings["folder"]))
        key = secrets.token_urlsafe(24)
        here = str(Path(__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH", ""))))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "wpunet_view.session"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                **os.environ,
                "PYTHONPATH": path,
                "PYTHONUTF8": "1",
                "TRAME_WS_HEART_BEAT": "0",  # who smooths a large CT answers no ping; the server watches the browser
            },
            **own_group(),  # Ctrl-C reaches the server alone, which then closes the rest
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps({**settings, "folder": str(folder), "key": key}).encode() + b"\n")
        return cls(process, key, folder)

    @property
    def last_words(self) -> str:
        return "\n".join(self._log)

    def url(self, path: str, query: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/{path}" + (f"?{query}" if query else "")

    async def stop(self) -> None:
        """Close its standard input and wait for its end; kill it when that takes too long."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except asyncio.TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        for reader in self._readers:
            reader.cancel()
        await asyncio.to_thread(self._forget)

    def _forget(self) -> None:
        """Take away what it has written: a process that was killed leaves its patient's files behind."""
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _listen(self) -> None:
        """The port; then whatever else is said, so that the pipe never fills; at the end a failure."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            with suppress(ValueError, TypeError, KeyError):
                self.port = json.loads(line)["port"]
                self.settled.set()
        self.failed = True
        self.settled.set()
        await asyncio.to_thread(self._forget)

    async def _keep_log(self) -> None:
        assert self._process.stderr is not None
        debug = bool(os.environ.get("WPUNET_DEBUG"))
        async for line in self._process.stderr:
            text = line.decode("utf-8", "replace").rstrip()
            self._log.append(text)
            if debug:
                sys.stderr.write(text + "\n")
