"""Segments as they are now, measured the way the engine measures its own result."""

from __future__ import annotations

from typing import Any

from wpunet import measure, sides

from .training_case import upright


def measure_segments(ct: Any, segmentation: Any) -> tuple[measure.Structure, ...]:
    """Kidneys and tumors of a segmentation on a CT; where they overlap, tumor wins.

    Certainties are None: the network has none about what somebody drew.
    """
    volume, labels = upright(ct, segmentation)
    labels, _ = sides.split_sides(labels, volume.hu)
    return measure.measure(labels, volume.hu, volume.affine)
