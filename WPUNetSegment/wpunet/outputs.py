"""Files that are written: whole or not at all, never over an input, never one over the other.

What is no plain file (a pipe, a terminal, standard output) is written through; what cannot be is refused before any
work.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import tempfile
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from time import sleep

from .dicom_files import walk
from .errors import InputError, OutputError
from .headers import data_files
from .labels import PARENCHYMA, SIDES

NO_FILE_NAME = r'[\x00-\x1f/\\:*?"<>|]'  # what a system refuses in a name; DICOM's have ":" and "/"
HEADING = "case,structure,kind,side,volume_ml,"  # how a table of structures begins (table.py)
MARK = "wpunet"  # in the header of all that is written, so that no result is taken for a CT, nor a CT for a result
TEMPORARY = ".wpunet-"  # how the name of a half-written file begins; the name it is to have follows after "_"
TEMPORARY_LETTERS = 8  # that tempfile puts between
HEAD_BYTES = 16384  # of a file; its mark lies there
STDOUT = Path("/dev/stdout")  # what "-" stands for, on systems that have no such file, too
PAUSES = (0.05, 0.1, 0.2, 0.4)  # seconds, after which a file that is held is tried again
Replacing = Callable[[Path], AbstractContextManager[Path]]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when all went well, and vanishes when not.

    A link stays and what it points to is replaced; into a pipe or a device the content is copied at the end.
    Raises OutputError with the reason when it cannot be written.
    """
    with together() as one, one(path) as temporary:
        yield temporary


@contextmanager
def together() -> Iterator[Replacing]:
    """``replacing`` for files that belong to each other: they take their places when all of them are written.

    An error before, as a disk that fills up, leaves all that was there. Then one is renamed after the other, in the
    order in which they were written. A crash between two renames, or one that is refused (on Windows somebody may hold
    the old file), leaves the first of them new and the others old. Pipes and devices, which may break, come before.
    """
    written: list[tuple[bool, Path, Path]] = []  # whether it is written through, the temporary file, its place
    with ExitStack() as leftovers:

        @contextmanager
        def one(path: Path) -> Iterator[Path]:
            path = Path(path)
            require_writable(path)
            through = is_stream(path)
            with _told_of(path):
                target = path if through else path.resolve()
                folder = None if through else target.parent
                handle, name = tempfile.mkstemp("_" + target.name, TEMPORARY, folder)
                os.close(handle)
                temporary = Path(name)
                leftovers.callback(_forget, temporary)
                yield temporary
            written.append((through, temporary, path))

        yield one
        for through, temporary, path in sorted(written, key=lambda each: not each[0]):
            with _told_of(path):
                (_write_through if through else _rename)(temporary, path)


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """Raises OutputError, which names ``path``, for what the system says."""
    try:
        yield
    except OSError as error:
        raise OutputError(_cannot_write(path, error)) from error


def _write_through(temporary: Path, path: Path) -> None:
    # Opened anew, a file that the shell has made of standard output would be written from its beginning
    stream = os.fdopen(os.dup(1), "wb") if is_stdout(path) else path.open("wb")
    with temporary.open("rb") as source, stream:
        shutil.copyfileobj(source, stream)


def _rename(temporary: Path, path: Path) -> None:
    with suppress(OSError):  # some disks know no rights
        temporary.chmod(usual_mode())
    take_place(temporary, path.resolve())


def take_place(temporary: Path, path: Path) -> None:
    """Rename a file over another one; raises OSError.

    On Windows a virus scanner, an indexer or OneDrive holds a file that was just written for a moment.
    """
    for pause in PAUSES if sys.platform == "win32" else ():
        try:
            temporary.replace(path)
        except PermissionError:
            sleep(pause)
        else:
            return
    temporary.replace(path)


def _forget(temporary: Path) -> None:
    with suppress(OSError):  # it has its place, is held as above, or its folder is gone: the output tells of that
        temporary.unlink()


def named_after(temporary: Path) -> str:
    """The name that a half-written file was to have."""
    return temporary.name.removeprefix(TEMPORARY)[TEMPORARY_LETTERS + 1 :]


def usual_mode() -> int:
    """The rights of a file that a program just opens, which temporary ones have not."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def is_stdout(path: Path) -> bool:
    """Whether this is a name of standard output."""
    return path.as_posix() in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def is_stream(path: Path) -> bool:
    """Whether a file of this name is a pipe or a terminal, which can be written to but not replaced."""
    if is_stdout(path):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    opened = str(path).startswith(("/dev/std", "/dev/fd/", "/proc/"))  # where the shell has redirected it to a file
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or (opened and stat.S_ISREG(mode))


def can_be(path: Path) -> bool:
    """Whether a file may have this name: it is not too long, and no zero is in it."""
    try:
        path.stat()
    except OSError as error:
        return error.errno != errno.ENAMETOOLONG
    except ValueError:
        return False
    return True


def require_name(path: Path) -> None:
    """Raises OutputError when no file may have this name, or that of the temporary one it is to be at first."""
    if not can_be(path.parent / f"{TEMPORARY}{'x' * TEMPORARY_LETTERS}_{path.name}"):
        raise OutputError(f"{path} cannot be written: no file can have this name; give a shorter one.")


def require_writable(path: Path) -> None:
    """Raises OutputError when ``path`` cannot be written: better before a run than after it."""
    path = Path(path)
    require_name(path)
    if is_stdout(path):
        return
    try:
        mode = path.stat().st_mode
    except OSError:
        mode = 0
    if stat.S_ISDIR(mode):
        raise OutputError(f"{path} cannot be written: it is a folder; give the name of a file.")
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise OutputError(f"{path} cannot be written: it is no plain file; give the name of one.")
    if is_stream(path):
        return
    try:
        folder = path.resolve().parent
    except (OSError, RuntimeError) as error:  # links in a circle
        raise OutputError(f"{path} cannot be written: its links lead nowhere; give another name.") from error
    if not folder.is_dir():
        raise OutputError(_no_folder(path, folder))
    try:
        require_right(folder, path.name)
    except PermissionError as error:
        raise OutputError(
            f"{path} cannot be written: no right to write into {folder}; choose another folder."
        ) from error
    except OSError as error:
        raise OutputError(_cannot_write(path, error)) from error


def require_right(folder: Path, name: str = "") -> None:
    """Raises OSError where no file can be made in a folder, at first by the name of what becomes ``name``.

    It is tried: of every folder on Windows os.access says that it may be written. tempfile must not be asked before:
    there it takes a refusal for a name that is in use, and up to Python 3.12 it tries other names for a day.
    """
    path = folder / f"{TEMPORARY}{os.urandom(TEMPORARY_LETTERS // 2).hex()}_{name}"
    goes_with_its_handle = getattr(os, "O_TEMPORARY", 0)  # on Windows, even while a virus scanner looks at it
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | goes_with_its_handle, 0o600))
    path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """The folder for results, made where it is missing; raises OutputError when that fails."""
    try:
        path.mkdir(exist_ok=True)
    except FileNotFoundError as error:
        raise OutputError(_no_folder(path, path.resolve().parent)) from error
    except OSError as error:
        raise OutputError(_cannot_write(path, error)) from error


def _no_folder(path: Path, folder: Path) -> str:
    return f"{path} cannot be written: the folder {folder} does not exist; create it first."


def _cannot_write(path: Path, error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = "make room or choose another disk" if full else "choose another place"
    return f"{path} cannot be written ({error.strerror or type(error).__name__}); {remedy}."


def head(path: Path) -> bytes:
    """The first bytes of a file, unpacked where it is packed; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(HEAD_BYTES)
    except OSError:
        return b""
    if content[:2] == b"\x1f\x8b":
        try:
            return zlib.decompressobj(31).decompress(content, HEAD_BYTES)
        except zlib.error:
            return b""
    return content


def is_ours(path: Path) -> bool:
    """Whether a file that exists is a result of this program, by the mark in its head."""
    content = head(path)
    if content.startswith(HEADING.encode()):
        return True
    if content[:1] == b"{":
        return b'"intended_use"' in content
    if content[:4] == b"NRRD":
        return f"\n{MARK}:=".encode() in content
    if content[:4] == b"\x89PNG" or content[128:132] == b"DICM":
        return MARK.encode() in content
    return content[148:228].startswith(MARK.encode())  # NIfTI-1's field for a description


def holds_parenchyma(path: Path) -> bool:
    """Whether the kidneys of a label map or segmentation object of ours are their parenchyma alone, by its head."""
    return PARENCHYMA.encode() in head(path).lower()


def holds_sides(path: Path) -> bool:
    """Whether a label map of ours tells left kidneys and cysts by values of their own, by its head."""
    return SIDES.encode() in head(path)


class Inputs:
    """The files that a call reads, so that none is written over."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._files: set[tuple[int, int]] = set()
        self._names: set[str] = set()
        self._folders: set[Path] = set()
        for path in paths:
            for one in (path, *data_files(path)):
                self._add(one)

    def _add(self, path: Path) -> None:
        try:
            found = path.stat()
        except OSError:
            return
        if stat.S_ISDIR(found.st_mode):
            self._folders.add(path.resolve())
        elif stat.S_ISREG(found.st_mode):
            self._files.add((found.st_dev, found.st_ino))
            self._names.add(_same_name(path))

    def require_kept(self, output: Path) -> None:
        """Raises InputError when writing ``output`` would take an input away."""
        try:
            found = output.stat()
        except OSError:
            return
        if (
            (found.st_dev, found.st_ino) in self._files
            or _same_name(output) in self._names
            or (stat.S_ISREG(found.st_mode) and self._is_within(output) and not is_ours(output))
        ):
            raise InputError(
                f"{output} would overwrite what is read (the CT or a file of it); give another name or folder."
            )

    def _is_within(self, output: Path) -> bool:
        """Whether a folder holds this file, or a link to it."""
        above = output.resolve().parents
        return any(folder in above or _leads_to(folder, output) for folder in self._folders)


def _leads_to(folder: Path, file: Path) -> bool:
    """Whether one of the names in a folder, or in a folder below it, is this file's."""
    target = file.stat()
    for one, _, names in walk(folder):
        for name in names:
            with suppress(OSError):
                if os.path.samestat((one / name).stat(), target):
                    return True
    return False


def require_apart(outputs: Iterable[Path]) -> None:
    """Raises InputError when two outputs are one file."""
    seen: dict[str, Path] = {}
    for output in outputs:
        if is_stream(output) and not is_stdout(output):
            continue
        name = _same_name(output)
        if name in seen:
            raise InputError(f"Two results would be written into one file, {output}; give each a name of its own.")
        seen[name] = output


def _same_name(path: Path) -> str:
    """A text that is equal for two names of one file, on systems that do not tell A from a, too."""
    name = str(Path(path).resolve())
    return unicodedata.normalize("NFC", name).casefold() if sys.platform in ("win32", "darwin") else name
