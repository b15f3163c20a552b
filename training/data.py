"""The training material in memory: single slices with truth, and levels that surely hold no kidney."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from wpunet import files

# Levels of the unlabelled CT without kidney, by eye, counted from the head (see the data's own README). The other
# unlabelled CT are kept for counting what a network invents.
KIDNEY_FREE = {
    "noncontrast_neck_to_thigh": ((0, 108), (164, 10_000)),
    "contrast_chest_oral_contrast": ((0, 10_000),),
}
HELD_OUT_VOLUMES = (0, 166)


@dataclass(frozen=True)
class Slice:
    """One axial slice: HU int16 and labels uint8, (row, column), square pixels of ``pixel_mm``."""

    case: int
    hu: np.ndarray
    labels: np.ndarray
    pixel_mm: float

    @property
    def tumor_mm2(self) -> float:
        return float((self.labels == 2).sum()) * self.pixel_mm**2


def read_slices(folder: Path) -> list[Slice]:
    """All slices of a folder with ``slices.csv``, ``images/`` (8-bit grey with the HU of 0 and 255) and ``masks/``."""
    from PIL import Image

    slices = []
    with (folder / "slices.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            grey = np.asarray(Image.open(folder / "images" / f"{row['name']}.jp2"), np.float32)
            low, high = float(row["hu_at_0"]), float(row["hu_at_255"])
            hu = np.round(low + grey * (high - low) / 255).astype(np.int16)
            labels = np.asarray(Image.open(folder / "masks" / f"{row['name']}.png"), np.uint8)
            slices.append(Slice(int(row["case"]), hu, labels, float(row["pixel_mm"])))
    return slices


def read_kidney_free(folder: Path) -> list[Slice]:
    """The kidney-free levels of the unlabelled CT in ``folder``, one Slice each."""
    slices = []
    for name, ranges in KIDNEY_FREE.items():
        volume = files.read(folder / f"{name}.nii.gz")
        for first, last in ranges:
            levels = np.ascontiguousarray(volume.hu[first:last])
            slices += [Slice(-1, hu, np.zeros(hu.shape, np.uint8), volume.spacing[1]) for hu in levels]
    return slices


def split_patients(cases: set[int], held_out: int, seed: int = 7) -> tuple[list[int], list[int]]:
    """Patients for training and patients held out, drawn at random; those with whole volumes are in neither."""
    free = sorted(cases - set(HELD_OUT_VOLUMES))
    drawn = sorted(int(case) for case in np.random.default_rng(seed).choice(free, held_out, replace=False))
    return [case for case in free if case not in drawn], drawn


def write_split(path: Path, training: list[int], held_out: list[int]) -> None:
    """Keep who was trained on and who was not; raises ValueError where a patient is on both sides."""
    both = set(training) & set(held_out)
    if both:
        raise ValueError(f"Patients {sorted(both)} are on both sides of the split.")
    path.write_text(json.dumps({"training": training, "held_out": held_out}, indent=1) + "\n")
