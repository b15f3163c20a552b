"""Single slices as pictures: a folder with ``slices.csv``, ``images/`` (8-bit grey) and ``masks/``.

A row of the table is a slice: name, case (the patient's number), pixel_mm, hu_at_0, hu_at_255. Where the table has a
column cyst_px, masks tell cysts (3, as KiTS23 does). Where there is a folder ``cysts/``, its masks say where a cyst was
marked as kidney; patients of whom it has none have cysts that nobody marked, or none.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage
from wpunet.errors import InputError
from wpunet.labels import CYST, KIDNEY, TUMOR
from wpunet.preprocess import AIR_HU

from training.data import Case, to_grey
from training.source import Source, source_name

KITS23_CYST = 3  # in the masks; our own 3 is the left kidney
BODY_FLOOR_HU = -100.0  # what a narrow window cut off inside the body: fat
NARROW_HU = -200.0  # a picture whose darkest value is above this was shown in a narrow window: its air is lost

Row = dict[str, str]


@dataclass(frozen=True)
class Picture:
    """One slice: grey and labels as in Case, uint8 (row, column)."""

    kind: str
    pixel_mm: float
    grey: np.ndarray
    labels: np.ndarray


def slice_sources(folder: Path) -> Iterator[Source]:
    """The slices of each patient: as one case where they are alike, else one for each kind of slice."""
    try:
        with (folder / "slices.csv").open(newline="", encoding="utf-8") as table:
            rows = list(csv.DictReader(table))
        patients = sorted({int(row["case"]) for row in rows})
        for patient in patients:
            name, own = f"case_{patient:05}", [row for row in rows if int(row["case"]) == patient]
            if any("kind" in row for row in own):
                for row in own:
                    yield _source(f"{name} {row['kind']}", _group(row), folder, [row])
            else:
                yield _source(name, "labelled", folder, own)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{folder / 'slices.csv'} cannot be read ({error}).") from error


def _source(name: str, group: str, folder: Path, rows: list[Row]) -> Source:
    paths = [path for row in rows for path in (_image(folder, row), _mask(folder, row), _cysts(folder, row))]
    return Source(name, group, tuple(paths), partial(slice_case, name, folder, rows, group))


def _image(folder: Path, row: Row) -> Path:
    return folder / "images" / f"{row['name']}.jp2"


def _mask(folder: Path, row: Row) -> Path:
    return folder / "masks" / f"{row['name']}.png"


def _cysts(folder: Path, row: Row) -> Path:
    return folder / "cysts" / f"{row['name']}.png"


def _group(row: Row) -> str:
    """What a slice drawn blindly shows: a tumor, kidneys alone, or neither."""
    if int(row["tumor_px"]):
        return "labelled"
    return "tumor_free" if int(row["kidney_px"]) + int(row["cyst_px"]) else "kidney_free"


def slice_case(name: str, folder: Path, rows: list[Row], group: str = "labelled") -> Case:
    """The slices ``rows`` of one patient; raises InputError when one cannot be used or they are not alike."""
    try:
        pictures = [_read(folder, row) for row in rows]
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{folder / 'slices.csv'} does not tell {name} as it should ({error}).") from error
    if len({picture.grey.shape for picture in pictures}) > 1:
        raise InputError(f"The slices of {name} in {folder} are of several sizes.")
    told = "cyst_px" in rows[0] or any(_cysts(folder, row).exists() for row in rows)
    grey, labels = np.stack([one.grey for one in pictures]), np.stack([one.labels for one in pictures])
    return Case(name, group, pictures[0].pixel_mm, grey, labels, source_name(folder), told)


def _read(folder: Path, row: Row) -> Picture:
    grey, labels = _pixels(_image(folder, row)), _pixels(_mask(folder, row))
    if grey.shape != labels.shape:
        raise InputError(f"{_mask(folder, row)} does not fit its image.")
    if "cyst_px" in row:
        labels = np.where(labels == KITS23_CYST, CYST, labels).astype(np.uint8)
    if not set(np.unique(labels).tolist()) <= {0, KIDNEY, TUMOR, CYST}:
        raise InputError(f"{_mask(folder, row)} holds labels above 2.")
    if _cysts(folder, row).exists():
        cysts = _pixels(_cysts(folder, row))
        if cysts.shape != labels.shape:
            raise InputError(f"{_cysts(folder, row)} does not fit its image.")
        labels = np.where((cysts > 0) & (labels == KIDNEY), CYST, labels).astype(np.uint8)
    low, high = float(row["hu_at_0"]), float(row["hu_at_255"])
    hu = low + grey.astype(np.float32) * (high - low) / 255
    if low > NARROW_HU:
        hu = with_air(hu, grey == 0)
    return Picture(row.get("kind", ""), float(row["pixel_mm"]), to_grey(hu), labels)


def with_air(hu: np.ndarray, black: np.ndarray) -> np.ndarray:
    """A slice shown in a narrow window: black that is connected to the border is air again, other black is fat."""
    numbers, _ = ndimage.label(black)
    border = np.concatenate([numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]])
    outside = np.isin(numbers, border[border > 0])
    return np.where(outside, AIR_HU, np.where(black, BODY_FLOOR_HU, hu)).astype(np.float32)


def _pixels(path: Path) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        return np.asarray(Image.open(path), np.uint8)
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}).") from error
