"""Generated abdomens as training cases: exact truth at every level, and the demo's phantom is no stranger."""

from __future__ import annotations

import numpy as np
from wpunet import phantom

from training.data import Case, to_grey

SPACING_MM = (5.0, 1.7, 1.7)
SHAPE = (72, 200, 232)  # chest to pelvis
FIRST_SEED = 1000  # far from the seeds of demo and tests


def phantom_case(
    number: int, shape: tuple[int, int, int] = SHAPE, spacing: tuple[float, float, float] = SPACING_MM
) -> Case:
    """A phantom of its own patient, contrast phase, tumors, cysts and noise."""
    draw = np.random.default_rng(FIRST_SEED + number)
    kidneys = [("right", "left"), ("right", "left"), ("right",), ("left",)][draw.integers(4)]
    made = phantom.make(
        seed=FIRST_SEED + number,
        shape=shape,
        spacing=spacing,
        phase=str(draw.choice(list(phantom.PHASES), p=[0.15, 0.3, 0.45, 0.1])),
        tumors=int(draw.integers(0, 3)),
        tumor_mm=float(draw.uniform(12, 80)),
        cysts=int(draw.integers(0, 3)),
        noise_hu=float(draw.uniform(4, 25)),
        kidneys=kidneys,
    )
    return Case(f"phantom_{number:03}", "generated", spacing[1], to_grey(made.hu), made.labels, "phantoms", cysts=True)
