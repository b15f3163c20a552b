"""Label maps back in: the inverse of what files.write_labels writes, onto the CT that they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import dicom_labels, files, folders, outputs, sides
from . import volume as geometry
from .boxes import blank, bounding_box_across
from .errors import InputError
from .headers import read_header
from .labels import BACKGROUND, BY_SIDE, KIDNEY_LABEL, LEFT_KIDNEY, WITH_CYSTS, Label
from .parenchyma import ALONE
from .structure import Caution
from .volume import Volume

SEGMENTS = ".seg.nrrd"
MOST_TOLD = 8  # values or names in a sentence
MOST_LABELS, EVEN = 255, 0.5  # share of marked voxels with the same number beside them; in a CT of few numbers a fifth
BESIDE = 0.01  # that a number may differ from its label where the file has a scale factor
SAME_MM = 0.01  # two spacings that differ by less are told as equal


@dataclass(frozen=True)
class LabelMap:
    """A label map of a CT.

    labels:     uint8 (slice, row, column) on the CT's volume, values of labels.BY_SIDE
    parenchyma: kidneys are their parenchyma alone, as the file says
    warnings:   what to know of it
    """

    labels: np.ndarray
    parenchyma: bool
    warnings: tuple[Caution, ...]


def is_label_map(path: Path) -> bool:
    """Whether a file is no CT but marks something in one, by its name or its head: its voxels are not looked at."""
    ending = files.ending_of(path)
    if not ending:
        return dicom_labels.is_segmentation(path)
    return ending == SEGMENTS or outputs.is_ours(path) or folders.holds_bytes(path, ending)


def marks_only(path: Path) -> bool:
    """Whether a file holds labels and no picture, by all its voxels: few whole numbers, in areas of the same."""
    if not files.ending_of(path):
        return False
    try:
        array, _ = files.read_array(path)
    except InputError:
        return False
    if array.dtype.kind not in "iub" or array.min() < 0 or array.max() > MOST_LABELS:
        return False
    marked = array[:-1] > 0
    alike = np.count_nonzero(marked & (array[:-1] == array[1:]))
    return bool(alike > EVEN * np.count_nonzero(marked))


def read(path: Path, volume: Volume) -> LabelMap:
    """The label map in a file, for the CT that it was made of; kidneys without sides get them.

    Raises InputError when it lies on another grid than the CT, or holds other labels than ours.
    """
    labels, known = _on_ct(path, volume)
    warnings = [Caution("input", text) for text in _told(path, labels, volume)]
    if not _sided(path, labels, known):
        labels, notes = sides.split_sides(labels, volume.hu)
        warnings += [Caution("sides", text) for text in notes]
    alone = outputs.holds_parenchyma(path)
    return LabelMap(labels, alone, (*warnings, *((ALONE,) if alone else ())))


def as_marked(path: Path, volume: Volume) -> np.ndarray:
    """The labels in a file as they are, for the CT that it was made of: uint8 (slice, row, column) on its volume.

    Raises InputError as ``read`` does.
    """
    return _on_ct(path, volume)[0]


def _on_ct(path: Path, volume: Volume) -> tuple[np.ndarray, dict[int, Label]]:
    """Labels on the CT's volume, and what each value of the file stands for."""
    if not files.ending_of(path) and dicom_labels.is_segmentation(path):
        marked, known = dicom_labels.read(path, volume)
        return geometry.from_source(marked, volume), known
    known = _of_segments(path) if files.ending_of(path) == SEGMENTS else {label.value: label for label in BY_SIDE}
    array, affine = files.read_array(path)
    there = geometry.on_grid(array, affine, volume.grid)
    if there is None:
        raise InputError(f"{path} {_misfit(array, affine, volume)}; it is not resampled: open the CT it was made of.")
    return geometry.from_source(_ours(there, known, path), volume), known


def _of_segments(path: Path) -> dict[int, Label]:
    """The label that each value of a 3D Slicer segmentation stands for, by the ids of its segments."""
    header = read_header(path)
    if header.get("dimension") != "3":
        raise InputError(
            f"{path} holds segments in several layers, which overlap; export it from 3D Slicer as one label map."
        )
    label_of = {label.key: label for label in (*WITH_CYSTS, *BY_SIDE)}
    ids = {key[:-3]: text for key, text in header.texts.items() if key.startswith("Segment") and key.endswith("_ID")}
    strange = sorted(header.texts.get(f"{start}_Name", key) for start, key in ids.items() if key not in label_of)
    if strange:
        ours = ", ".join(label.name for label in BY_SIDE)
        raise InputError(
            f"{path} holds segments that are none of ours ({_few(strange)}); leave only {ours}, with their ids."
        )
    return {int(header.texts.get(f"{start}_LabelValue", 1)): label_of[key] for start, key in ids.items()}


def _ours(values: np.ndarray, known: dict[int, Label], path: Path) -> np.ndarray:
    """uint8 labels of a file's values; raises InputError with the values where some stand for nothing of ours."""
    labels, box = blank(values.shape), bounding_box_across(~_is(BACKGROUND, values))
    if box is None:
        return labels
    inside, here = values[box], labels[box]
    for value, label in known.items():
        here[_is(value, inside)] = label.value
    if (~_is(BACKGROUND, inside) & (here == BACKGROUND)).any():
        found = _few([f"{value:g}" for value in np.unique(values).tolist()])
        ours = ", ".join(f"{label.value} {label.name}" for label in BY_SIDE)
        raise InputError(
            f"{path} holds the values {found}, which are not all labels of ours; give a segmentation with 0 and {ours}."
        )
    return labels


def _is(label: int, values: np.ndarray) -> np.ndarray:
    """Where the values are this label."""
    if values.dtype.kind != "f":
        return values == label
    return (values > label - BESIDE) & (values < label + BESIDE)


def _sided(path: Path, labels: np.ndarray, known: dict[int, Label]) -> bool:
    """Whether 1 is the right kidney alone, as the file says or as its left kidney does."""
    if _names_segments(path):
        return KIDNEY_LABEL not in known.values()
    return outputs.holds_sides(path) or bool((labels == LEFT_KIDNEY).any())


def _names_segments(path: Path) -> bool:
    """Whether a file says what each of its segments is; DICOM has no ending of ours."""
    return files.ending_of(path) in (SEGMENTS, "")


def _told(path: Path, labels: np.ndarray, volume: Volume) -> Iterator[str]:
    if not outputs.is_ours(path) and not _names_segments(path) and (labels == LEFT_KIDNEY).any():
        yield f"{path.name} does not say what {LEFT_KIDNEY} stands for: it was taken for the left kidney; check."
    if not volume.grid.upright:
        yield f"The CT's grid is oblique: {path.name} was resampled onto an upright one, which moves edges a little."


def _misfit(array: np.ndarray, affine: np.ndarray, volume: Volume) -> str:
    """What of a file's grid is not as the CT's."""
    grid = volume.grid
    if sorted(array.shape) != sorted(grid.shape):
        theirs, ours = (" x ".join(map(str, shape)) for shape in (array.shape, grid.shape))
        return f"has {theirs} voxels, the CT {ours}"
    steps = [np.linalg.norm(one[:3, :3], axis=0) for one in (affine, grid.affine)]
    if not np.allclose(np.sort(steps[0]), np.sort(steps[1]), atol=SAME_MM):
        theirs, ours = (" x ".join(f"{mm:.2f}" for mm in one) for one in steps)
        return f"has voxels of {theirs} mm, the CT of {ours} mm"
    middles = [
        one @ [*((np.array(shape) - 1) / 2), 1] for one, shape in ((affine, array.shape), (grid.affine, grid.shape))
    ]
    away = float(np.linalg.norm(middles[0] - middles[1]))
    return (
        f"lies {away:.0f} mm away from the CT"
        if away >= 1
        else "does not lie as the CT does (turned, mirrored or moved)"
    )


def _few(texts: list[str]) -> str:
    more = f" and {len(texts) - MOST_TOLD} more" if len(texts) > MOST_TOLD else ""
    return ", ".join(texts[:MOST_TOLD]) + more
