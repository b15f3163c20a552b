"""From an uploaded file to a CT: size limits, safe unpacking, which of several series."""

from __future__ import annotations

import asyncio
import re
import shutil
import zipfile
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, TypeVar

from wpunet import dicom, files, folders
from wpunet import volume as geometry
from wpunet.errors import InputError
from wpunet.outputs import NO_FILE_NAME
from wpunet.volume import Volume

if TYPE_CHECKING:
    from wpunet.label_maps import LabelMap
    from wpunet.phantom import Phantom

Thing = TypeVar("Thing")
MB = 1_000_000
UPLOAD = "upload-"  # how the folders of uploads begin
MOST_FILES = 20_000  # in a zip: a DICOM study has hundreds to a few thousand
QUIET_SECONDS = 60  # without a byte: who was sending is gone, which a connection may not tell for hours
UNPACKED = 4  # times the upload limit that a zip may unpack to; DICOM halves at best


@dataclass(frozen=True)
class Source:
    """A CT that can be read: a file or a DICOM folder, of which perhaps one series; ``labels``: its segmentation."""

    path: Path
    series: str | None = None
    title: str = ""
    labels: Path | None = None


@dataclass(frozen=True)
class Offer:
    """The CTs of a path to choose from, and a sentence on each thing beside them that may be a CT, too."""

    cts: list[Source]
    left_out: tuple[str, ...] = ()


def local_name(name: str) -> str:
    """The name of an upload as a file's name: no folders, nothing that a file system refuses; its ending is kept."""
    return re.sub(NO_FILE_NAME, "_", name)[-100:].strip(". ") or "CT"


def local_path(path: str) -> PurePosixPath:
    """The path of an uploaded file within its folder, as a path that stays within ours; what was hidden stays so.

    macOS leaves "._" files beside those of a stick or a share, which are no slices.
    """
    parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..", ".")]
    parts = [f".{local_name(part)}" if part.startswith(".") else local_name(part) for part in parts]
    return PurePosixPath(*parts or ["CT"])


def require_room(size: int | None, limit: int) -> None:
    """Raises InputError when an upload of ``size`` bytes (None: unknown) is larger than ``limit``."""
    if size is not None and size > limit:
        raise InputError(
            f"The file is larger than an upload may be ({size / MB:,.0f} of {limit / MB:,.0f} MB); start"
            " 'wpunet view FILE' on the machine where it lies, or raise --upload-limit."
        )


async def receive(
    parts: AsyncIterator[tuple[str, AsyncIterator[bytes]]],
    folder: Path,
    size: int | None,
    limit: int,
    told: Callable[[int], None],
) -> Path:
    """Write an upload of one file or several into ``folder``, telling the percentage as it goes.

    parts: path and content of each file
    Gives the file, or the folder that all of them lie in. Raises InputError beyond ``limit`` bytes, ConnectionError
    where they stop coming.
    """
    require_room(size, limit)
    done, written = 0, []
    async for name, chunks in _while_they_come(parts):
        path = folder / local_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            async for chunk in _while_they_come(chunks):
                done += len(chunk)
                require_room(done, limit)
                file.write(chunk)
                told(round(100 * done / size) if size else -1)
        written.append(path)
        if len(written) > MOST_FILES:
            raise InputError(f"These are more than {MOST_FILES:,} files; choose the folder of one study only.")
    if not written:
        raise InputError("The folder is empty; choose another one.")
    if len(written) == 1 and written[0].parent == folder:
        return written[0]
    tops = {path.relative_to(folder).parts[0] for path in written}
    return folder / tops.pop() if len(tops) == 1 else folder


async def _while_they_come(things: AsyncIterator[Thing]) -> AsyncIterator[Thing]:
    """What a browser sends; raises ConnectionError where nothing has come for a while."""
    while True:
        try:
            thing = await asyncio.wait_for(anext(things), QUIET_SECONDS)
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError as error:
            raise ConnectionError("nothing comes any more") from error
        yield thing


def sources(path: Path, into: Path, limit: int) -> Offer:
    """The CTs in a file, a folder or a zip, which is unpacked in ``into``, to at most 4 times ``limit`` bytes.

    Raises InputError when there is none.
    """
    if path.suffix.lower() == ".zip":
        empty(into)
        folder = into / path.stem
        unpack(path, folder, limit * UNPACKED)
        path = folder
    if not path.is_dir():
        return Offer([Source(path, title=path.name)])
    found: list[Source] = []
    surveyed = folders.survey(path)
    for ct in surveyed.cts:
        place = _place(ct.path, path)
        if ct.path.is_dir():
            there = dicom.list_series(ct.path, below_too=ct.series is not None)
            meant = [one for one in there if ct.series in (None, one.uid)]
            images = [one for one in meant if one.modality in ("CT", "") and len(one.slices) > 2]
            found += [
                Source(ct.path, one.uid, f"{one.description or place or 'CT'}, {len(one.slices)} slices")
                for one in images
            ]
        else:
            found.append(Source(ct.path, title=place, labels=_beside(ct.path)))
    if not found:
        raise InputError(f"{path.name} holds no CT series of three slices or more; export the series again.")
    lost = (one for one in surveyed.left_out if one.lost)
    left_out = tuple(f"{_place(one.path, path) or path.name} was left out: {one.reason}." for one in lost)
    return Offer(_told_apart(found, path), left_out)


def _beside(ct: Path) -> Path | None:
    """The segmentation of a training case: in KiTS19's layout it lies beside its CT."""
    path = ct.with_name(ct.name.replace("imaging", "segmentation"))
    return path if ct.name in folders.KITS_CT and path.is_file() else None


def _place(path: Path, top: Path) -> str:
    """Where a CT lies within the folder that was given; empty where it is that folder."""
    return "" if path == top else path.relative_to(top).as_posix()


def _told_apart(found: list[Source], top: Path) -> list[Source]:
    """Series whose titles are alike are told by their place too, and those of one place by their UID."""
    for more in (lambda one: _place(one.path, top), lambda one: one.series):
        seen = Counter(one.title for one in found)
        found = [
            replace(one, title=f"{one.title}, {more(one)}") if seen[one.title] > 1 and more(one) else one
            for one in found
        ]
    return found


def read(source: Source, name: str = "") -> Volume:
    """Read a CT; raises InputError with what is wrong, where ``name`` stands for the path that a user never saw."""
    try:
        volume = files.read(source.path, source.series)
    except InputError as error:
        raise InputError(str(error).replace(str(source.path), name or source.path.name)) from error
    volume = volume.with_hu(geometry.contiguous(volume.hu))  # VTK shares its memory
    return replace(volume, name="") if volume.name.startswith(UPLOAD) else volume  # our own folder names nothing


def read_labels(path: Path, volume: Volume) -> LabelMap:
    """The segmentation of a CT in a file; raises InputError with what is wrong, by the file's name."""
    from wpunet import label_maps  # it brings SciPy, which a page without a CT does not need

    try:
        return label_maps.read(path, volume)
    except InputError as error:
        raise InputError(str(error).replace(str(path), path.name)) from error


def the_phantom() -> Phantom:
    """The generated CT that the page offers, with its truth."""
    from wpunet import phantom

    return phantom.make(seed=1, shape=(120, 256, 256), spacing=(2.5, 1.5, 1.5))


def read_phantom() -> Volume:
    """The phantom as if it had been read."""
    made = the_phantom()
    return geometry.from_array(made.hu, made.affine, "phantom")


def unpack(archive: Path, folder: Path, limit: int) -> None:
    """Unpack the files of a zip into ``folder``, their paths kept, never outside of it.

    Raises InputError when it is broken, encrypted, too large, or names a path outside.
    """
    try:
        with zipfile.ZipFile(archive) as unpacked:
            entries = [entry for entry in unpacked.infolist() if not entry.is_dir()]
            _require_sane(archive.name, entries, limit)
            left = limit
            for entry in entries:
                target = folder / local_path(entry.filename.replace("\\", "/"))
                target.parent.mkdir(parents=True, exist_ok=True)
                with unpacked.open(entry) as source, target.open("wb") as file:
                    left -= _copy(source, file, left, archive.name)
    except (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise InputError(f"{archive.name} cannot be unpacked ({error}); zip the DICOM folder again.") from error


def _require_sane(name: str, entries: list[zipfile.ZipInfo], limit: int) -> None:
    if len(entries) > MOST_FILES or sum(entry.file_size for entry in entries) > limit:
        raise InputError(f"{name} unpacks to more than {limit / MB:,.0f} MB or {MOST_FILES:,} files; zip one CT only.")
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", entry.filename):
            raise InputError(f"{name} names a path outside of itself ({entry.filename}) and was not unpacked.")
        if entry.flag_bits & 1:
            raise InputError(f"{name} is encrypted; zip the DICOM folder without a password.")


def _copy(source: IO[bytes], file: IO[bytes], left: int, name: str) -> int:
    """Copy what is there, whatever the directory of the zip promised; returns the bytes."""
    done = 0
    while chunk := source.read(1 << 20):
        done += len(chunk)
        if done > left:
            raise InputError(f"{name} unpacks to more than it says; zip the DICOM folder again.")
        file.write(chunk)
    return done


def empty(folder: Path) -> None:
    """Take away what was there before, and be ready for what comes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
