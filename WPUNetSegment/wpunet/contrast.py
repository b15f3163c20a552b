"""Whether a CT was taken with contrast agent: the kidneys themselves tell."""

from __future__ import annotations

import numpy as np

from .bodies import bounding_box
from .labels import LEFT_KIDNEY, RIGHT_KIDNEY

ENHANCED_HU = 75.0  # kidney tissue without contrast has 20 to 45 HU, with contrast 100 to 250


def kidney_hu(hu: np.ndarray, labels: np.ndarray) -> float | None:
    """The median HU of kidney tissue, tumors not counted; arrays (slice, row, column); None without any."""
    box = bounding_box(labels)
    tissue = np.isin(labels[box], (RIGHT_KIDNEY, LEFT_KIDNEY)) if box else np.zeros(0, bool)
    return float(np.median(hu[box][tissue])) if tissue.any() else None


def is_plain(hu: np.ndarray, labels: np.ndarray) -> bool:
    """Whether kidney tissue was found and looks as without contrast."""
    median = kidney_hu(hu, labels)
    return median is not None and median < ENHANCED_HU
