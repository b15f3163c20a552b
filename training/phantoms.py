"""Slices of generated abdomens: exact truth at every level, and the demo's phantom is no stranger to the network."""

from __future__ import annotations

import numpy as np

from Testing import phantom
from training.data import Slice

SPACING_MM = (5.0, 1.7, 1.7)
SHAPE = (72, 200, 232)  # chest to pelvis


def phantom_slices(count: int, seed: int) -> list[Slice]:
    """Every slice of ``count`` phantoms, each with another patient, contrast phase, tumors, cysts and noise."""
    draw = np.random.default_rng(seed)
    slices = []
    for number in range(count):
        kidneys = [("right", "left"), ("right", "left"), ("right",), ("left",)][draw.integers(4)]
        made = phantom.make(
            seed=seed + number,
            shape=SHAPE,
            spacing=SPACING_MM,
            phase=str(draw.choice(list(phantom.PHASES), p=[0.15, 0.3, 0.45, 0.1])),
            tumors=int(draw.integers(0, 3)),
            tumor_mm=float(draw.uniform(12, 80)),
            cysts=int(draw.integers(0, 3)),
            noise_hu=float(draw.uniform(4, 25)),
            kidneys=kidneys,
        )
        slices += [
            Slice(-2 - number, hu, labels, SPACING_MM[1]) for hu, labels in zip(made.hu, made.labels, strict=True)
        ]
    return slices
