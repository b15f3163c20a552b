"""How well a label map agrees with the truth."""

from __future__ import annotations

import numpy as np
from wpunet.labels import TUMOR


def dice(found: np.ndarray, truth: np.ndarray) -> float | None:
    """Dice of two boolean arrays of one shape; None where both are empty, so that it does not count as success."""
    total = np.count_nonzero(found) + np.count_nonzero(truth)
    return 2 * np.count_nonzero(found & truth) / total if total else None


def kits_dice(found: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    """KiTS19's two figures for label maps of one shape: kidney-or-tumor and tumor (None where the truth has none)."""
    tumor = truth == TUMOR
    return {
        "kidney_or_tumor": dice(found > 0, truth > 0),
        "tumor": dice(found == TUMOR, tumor) if tumor.any() else None,
    }


def summary(values: list[float | None]) -> dict[str, float]:
    """Mean, standard deviation, median, worst and count of what is there."""
    there = np.array([value for value in values if value is not None])
    if not len(there):
        return {"n": 0}
    return {
        "n": len(there),
        "mean": round(float(there.mean()), 4),
        "sd": round(float(there.std()), 4),
        "median": round(float(np.median(there)), 4),
        "worst": round(float(there.min()), 4),
    }
