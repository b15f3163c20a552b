"""From an uploaded file to a CT: size limits, safe unpacking, which of several series."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from wpunet import dicom, files, folders, phantom
from wpunet import volume as geometry
from wpunet.errors import InputError
from wpunet.volume import Volume

MB = 1_000_000
MOST_FILES = 20_000  # in a zip: a DICOM study has hundreds to a few thousand
UNPACKED = 4  # times the upload limit that a zip may unpack to; DICOM halves at best


@dataclass(frozen=True)
class Source:
    """A CT that can be read: a file or a DICOM folder, of which perhaps one series."""

    path: Path
    series: str | None = None
    title: str = ""


def local_name(name: str) -> str:
    """The name of an upload as a file's name: no folders, nothing that a file system refuses; its ending is kept."""
    return re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", name)[-100:].lstrip(". ") or "upload"


def require_room(size: int | None, limit: int) -> None:
    """Raises InputError when an upload of ``size`` bytes (None: unknown) is larger than ``limit``."""
    if size is not None and size > limit:
        raise InputError(
            f"The file is larger than an upload may be ({size / MB:,.0f} of {limit / MB:,.0f} MB); start"
            " 'wpunet view FILE' on the machine where it lies, or raise --upload-limit."
        )


async def receive(
    chunks: AsyncIterator[bytes], path: Path, size: int | None, limit: int, told: Callable[[int], None]
) -> None:
    """Write ``chunks`` to ``path``, telling the percentage as it goes; raises InputError beyond ``limit`` bytes."""
    require_room(size, limit)
    done = 0
    with path.open("wb") as file:
        async for chunk in chunks:
            done += len(chunk)
            require_room(done, limit)
            file.write(chunk)
            told(round(100 * done / size) if size else -1)


def sources(path: Path, into: Path, limit: int) -> list[Source]:
    """The CTs in a file, a folder or a zip, which is unpacked in ``into``, to at most 4 times ``limit`` bytes.

    Raises InputError when there is none.
    """
    if path.suffix.lower() == ".zip":
        empty(into)
        folder = into / path.stem
        unpack(path, folder, limit * UNPACKED)
        path = folder
    if not path.is_dir():
        return [Source(path, title=path.name)]
    found = []
    for ct in folders.find_cases(path):
        if ct.is_dir():
            images = [one for one in dicom.list_series(ct) if one.modality in ("CT", "") and len(one.files) > 2]
            found += [Source(ct, one.uid, f"{one.description or ct.name}, {len(one.files)} slices") for one in images]
        else:
            found.append(Source(ct, title=ct.name))
    if not found:
        raise InputError(f"{path.name} holds no CT series of three slices or more; export the series again.")
    return found


def read(source: Source, name: str = "") -> Volume:
    """Read a CT; raises InputError with what is wrong, where ``name`` stands for the path that a user never saw."""
    try:
        volume = files.read(source.path, source.series)
        return volume.with_hu(geometry.contiguous(volume.hu))  # VTK shares its memory
    except InputError as error:
        raise InputError(str(error).replace(str(source.path), name or source.path.name)) from error


def the_phantom() -> phantom.Phantom:
    """The generated CT that the page offers, with its truth."""
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
                target = folder / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with unpacked.open(entry) as source, target.open("wb") as file:
                    left -= _copy(source, file, left, archive.name)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise InputError(f"{archive.name} cannot be unpacked ({error}); zip the DICOM folder again.") from error


def _require_sane(name: str, entries: list[zipfile.ZipInfo], limit: int) -> None:
    if len(entries) > MOST_FILES or sum(entry.file_size for entry in entries) > limit:
        raise InputError(f"{name} unpacks to more than {limit / MB:,.0f} MB or {MOST_FILES:,} files; zip one CT only.")
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
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
    """Take away what an earlier upload left, and be ready for the next."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
