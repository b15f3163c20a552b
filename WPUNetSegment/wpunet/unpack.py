"""The bytes of a file, unpacked into one piece of memory that is filled once and never moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np

GZIP = b"\x1f\x8b"
MOST_RATIO = 1032  # what deflate can reach
STEP = 1 << 24  # bytes at a time; small ones would often wait for what Python does meanwhile


def content(path: Path) -> np.ndarray:
    """The bytes (n,) of a file, uint8; of a gzip file what is packed in it.

    Raises OSError, EOFError or an error of isal's own where the file is cut short or damaged.
    """
    with path.open("rb") as file:
        if file.read(2) != GZIP:
            return np.fromfile(path, np.uint8)
        file.seek(-4, 2)
        said, packed = int.from_bytes(file.read(4), "little"), file.tell()
    # The last four bytes say how long the content is, unless the file is damaged, in several parts or beyond 4 GB.
    # NumPy's large arrays lie in huge pages, which bytes do not: that halves the time.
    room = np.empty(min(said, MOST_RATIO * packed) + 1, np.uint8)
    filled = 0
    from isal import igzip

    with igzip.open(path, "rb") as stream:
        while count := stream.readinto(room.data[filled : filled + STEP]):
            filled += count
            if filled == len(room):
                room = np.concatenate([room, np.empty_like(room)])
    return room[:filled]
