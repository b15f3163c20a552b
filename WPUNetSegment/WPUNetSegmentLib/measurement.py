"""Segments as they are now, measured the way the engine measures its own result."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from wpunet import doubts, measure, sides
from wpunet.labels import KIDNEY, KIDNEY_LABEL, LEFT_KIDNEY, LEFT_KIDNEY_LABEL
from wpunet.structure import Structure

from .training_case import labels_of, upright


def measure_segments(ct: Any, segmentation: Any) -> tuple[Structure, ...]:
    """Kidneys, tumors and cysts of a segmentation on a CT; where they overlap, tumor wins, then cyst.

    Certainties are None: the network has none about what somebody drew (``certainty.kept`` gives back those it has).
    """
    volume, labels = upright(ct, segmentation, _by_side)
    if segmentation.GetSegmentation().GetSegment(KIDNEY_LABEL.key):  # both kidneys in one segment
        labels, _ = sides.split_sides(labels, volume.hu)
    structures, _ = doubts.judge(measure.measure(labels, volume.hu, volume.affine), labels, volume.hu)
    return structures


def _by_side(segmentation: Any, grid: Any) -> np.ndarray:
    """uint8 (k, j, i): values of labels.BY_SIDE, the sides as the segments say."""
    labels = labels_of(segmentation, grid)
    key = LEFT_KIDNEY_LABEL.key
    if segmentation.GetSegmentation().GetSegment(key):
        left = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, key, grid) > 0
        labels[left & (labels == KIDNEY)] = LEFT_KIDNEY
    return labels
