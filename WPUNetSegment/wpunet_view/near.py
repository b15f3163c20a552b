"""What lies near a segment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def near(marked: np.ndarray, mm: float, spacing: Sequence[float]) -> np.ndarray:
    """Voxels within ``mm`` of those that are marked, and these; all (slice, row, column), spacing in mm."""
    import SimpleITK as sitk  # takes less memory for it than SciPy, and less time

    result = np.zeros(marked.shape, bool)
    places = [np.flatnonzero(marked.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not places[0].size:
        return result
    margins = [int(np.ceil(mm / step)) for step in spacing]
    box = tuple(slice(max(0, at[0] - margin), at[-1] + margin + 1) for at, margin in zip(places, margins, strict=True))
    image = sitk.GetImageFromArray(marked[box].astype(np.uint8))
    image.SetSpacing([float(step) for step in spacing[::-1]])
    away = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    result[box] = sitk.GetArrayViewFromImage(away) <= mm
    return result
