"""The engine's command line as a child process, for any program with a window or a page: polled, never waited for."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import IO, Any

GRACE_SECONDS = 6.0  # from the request to stop until the process tree is killed; the engine itself takes 3 at most
DRAIN_SECONDS = 2.0  # how long to wait for last words where something else keeps the dead child's pipes open
LOG_LINES, LINE_BYTES = 1000, 1 << 20
KILLED = (-9, 137)  # the exit statuses of a process that the system killed
LAUNCHER_SAYS = "exit abnormally"  # 3D Slicer's Python is a launcher: of a killed child it writes this, and answers 1

Event = dict[str, Any]  # one JSON line of ``--progress json``: "event" is progress, result, skipped, message or error


class EngineProcess:
    """``python -m wpunet ARGUMENTS --progress json --stop-with-stdin``, started at once.

    The child ends when its standard input closes, so it outlives neither this object nor a parent that is killed.

    returncode: None while it runs; set by ``poll`` once every event was handed out (0 done, 2 bad input, 130 cancelled;
                anything else is a crash)
    cancelled:  whether ``cancel`` was called
    """

    def __init__(
        self,
        arguments: Sequence[str],
        python: str | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Start the child; ``python`` runs it (this one by default), ``environment`` is added to the parent's.

        ``folder`` is where it works, so that its arguments may be names in there; by default where the parent does.

        Raises OSError when the child cannot be started.
        """
        command = [python or sys.executable, "-m", "wpunet", *arguments, "--progress", "json", "--stop-with-stdin"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(environment or {}),
            cwd=folder,
            **own_group(),
        )
        self.returncode: int | None = None
        self.cancelled = False
        self.started = monotonic()
        self._kill_at: float | None = None
        self._ended_at: float | None = None
        self._lines: queue.SimpleQueue[tuple[bool, str]] = queue.SimpleQueue()
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._readers = [
            threading.Thread(target=_read, args=(pipe, self._lines, speaks), daemon=True)
            for pipe, speaks in ((self._process.stdout, True), (self._process.stderr, False))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def seconds(self) -> float:
        """Since the start."""
        return monotonic() - self.started

    @property
    def log(self) -> str:
        """The last lines that the child wrote and that were no events: warnings of libraries, a traceback."""
        return "\n".join(self._log)

    def poll(self) -> list[Event]:
        """What the child has told since the last call; returns at once."""
        ended = self._ended()
        events = []
        while not self._lines.empty():
            speaks, line = self._lines.get()
            event = _event(line) if speaks else None
            if event is None:
                self._log.append(line)
            else:
                events.append(event)
        if ended and self.returncode is None:
            self.returncode = self._process.returncode
            self._close_pipes()
        elif self._kill_at is not None and monotonic() > self._kill_at:
            _kill_tree(self._process)
        return events

    def cancel(self) -> None:
        """Ask the child to stop; ``poll`` kills it with all it started if it has not after a grace."""
        self.cancelled = True
        if self._kill_at is None:
            self._kill_at = monotonic() + GRACE_SECONDS
            _close(self._process.stdin)

    def close(self, seconds: float = GRACE_SECONDS) -> None:
        """Stop the child and wait for its end: at most ``seconds`` and the moment a kill takes."""
        if self.returncode is not None:
            return
        self.cancel()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            _kill_tree(self._process)
            self._process.wait()
        for reader in self._readers:
            reader.join(DRAIN_SECONDS)
        self._ended_at = 0.0
        self.poll()

    def _ended(self) -> bool:
        """Whether the child is gone and all its words have arrived."""
        if self._process.poll() is None:
            return False
        self._ended_at = monotonic() if self._ended_at is None else self._ended_at
        speaking = any(reader.is_alive() for reader in self._readers)
        return not speaking or monotonic() - self._ended_at > DRAIN_SECONDS

    def _close_pipes(self) -> None:
        _close(self._process.stdin)
        for reader, pipe in zip(self._readers, (self._process.stdout, self._process.stderr), strict=True):
            if not reader.is_alive():  # closing under a reader would block
                _close(pipe)


def seconds_left(fraction: float, seconds: float) -> float | None:
    """How long the rest will take when ``fraction`` (0 to 1) took ``seconds``; None while it is too early to say."""
    if not 0.05 <= fraction <= 1.0:
        return None
    return seconds * (1.0 - fraction) / fraction


def crash(status: int, log: str = "") -> str:
    """What to tell a user of an engine that ended with ``status`` and without a word of its own; log: what it wrote."""
    if status in KILLED or LAUNCHER_SAYS in log:
        return "The system ended the engine, probably for lack of memory; close other programs or crop the CT."
    return f"The engine ended unexpectedly (exit status {status}); the log says more."


def _read(pipe: IO[bytes], lines: queue.SimpleQueue[tuple[bool, str]], speaks: bool) -> None:
    """Runs in a thread: every line of ``pipe`` into the queue, whatever bytes it is made of."""
    for line in iter(lambda: pipe.readline(LINE_BYTES), b""):
        lines.put((speaks, line.decode("utf-8", "replace").rstrip()))


def _event(line: str) -> Event | None:
    """The event that a line of the child's output is, or None: a library may write there too."""
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def _environment(added: Mapping[str, str]) -> dict[str, str]:
    """The parent's environment, with this very package first on the child's path and UTF-8 on its pipes."""
    environment = {**os.environ, "PYTHONUTF8": "1", **added}
    here = str(Path(__file__).resolve().parents[1])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (here, environment.get("PYTHONPATH", ""))))
    return environment


def own_group() -> dict[str, Any]:
    """Options of Popen: a process group of its own, that can be killed as a whole; on Windows no console either."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def _kill_tree(process: subprocess.Popen) -> None:
    """End the child and all it started: 3D Slicer's Python is a launcher whose death leaves the real one running."""
    if sys.platform == "win32":
        command = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        subprocess.run(command, capture_output=True, check=False, creationflags=subprocess.CREATE_NO_WINDOW)
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS refuses it where all of the group have just ended
        process.kill()


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is None:
        return
    with suppress(OSError):  # the child is gone already
        pipe.close()
