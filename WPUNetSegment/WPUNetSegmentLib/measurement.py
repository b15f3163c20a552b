"""Segments as they are now, measured the way the engine measures its own result."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from wpunet import certainty, doubts, measure, sides
from wpunet.labels import KIDNEY, KIDNEY_LABEL, LEFT_KIDNEY, LEFT_KIDNEY_LABEL
from wpunet.report import structures_of
from wpunet.structure import Structure

from . import scene
from .training_case import labels_of, upright


def measure_segments(ct: Any, segmentation: Any) -> tuple[Structure, ...]:
    """Kidneys, tumors and cysts of a segmentation on a CT; where they overlap, tumor wins, then cyst.

    Only what is as the engine left it has a certainty: of what somebody drew or changed the network knows nothing.
    """
    volume, labels = upright(ct, segmentation, _by_side)
    if segmentation.GetSegmentation().GetSegment(KIDNEY_LABEL.key):  # both kidneys in one segment
        labels, _ = sides.split_sides(labels, volume.hu)
    report = scene.report(segmentation)
    found = measure.measure(labels, volume.hu, volume.affine)
    found = certainty.kept(found, structures_of(report) if report else [])
    return doubts.judge(found, labels, volume.hu)[0]


def _by_side(segmentation: Any, grid: Any) -> np.ndarray:
    """uint8 (k, j, i): values of labels.BY_SIDE, the sides as the segments say."""
    labels = labels_of(segmentation, grid)
    key = LEFT_KIDNEY_LABEL.key
    if segmentation.GetSegmentation().GetSegment(key):
        left = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, key, grid) > 0
        labels[left & (labels == KIDNEY)] = LEFT_KIDNEY
    return labels
