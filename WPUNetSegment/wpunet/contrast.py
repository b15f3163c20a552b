"""Whether a CT was taken with contrast agent: the kidneys themselves tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from .boxes import Box, bounding_box
from .labels import LEFT_KIDNEY, RIGHT_KIDNEY
from .structure import Structure

ENHANCED_HU = 75.0  # kidney tissue without contrast has 20 to 45 HU, with contrast 100 to 250
PLAIN, CORTICOMEDULLARY, NEPHROGRAPHIC, EXCRETORY = "plain", "corticomedullary", "nephrographic", "excretory"
CORTEX_MM, MEDULLA_MM = (1.0, 5.0), (8.0, 14.0)  # below the kidney's surface
BRIGHTER_HU = 40.0  # the cortex than the medulla, while contrast has not come there
EXCRETED_HU, EXCRETED_PERCENT = 350.0, 0.3  # contrast in the collecting system, as a share of the kidney


def kidney_hu(hu: np.ndarray, labels: np.ndarray, within: Box | None = None) -> float | None:
    """The median HU of kidney tissue, tumors not counted; arrays (slice, row, column); None without any.

    within: a box outside of which nothing is marked
    """
    box = bounding_box(labels, within)
    tissue = np.isin(labels[box], (RIGHT_KIDNEY, LEFT_KIDNEY)) if box else np.zeros(0, bool)
    return float(np.median(hu[box][tissue])) if tissue.any() else None


def is_plain(hu: np.ndarray, labels: np.ndarray) -> bool:
    """Whether kidney tissue was found and looks as without contrast."""
    median = kidney_hu(hu, labels)
    return median is not None and median < ENHANCED_HU


def layers(mask: np.ndarray, hu: np.ndarray, spacing: tuple[float, float, float]) -> tuple[float, float, float]:
    """Median HU of a kidney's cortex and of its medulla, and the percent of it that is excreted contrast.

    mask: bool (slice, row, column); hu: of the same shape; spacing in mm. Told from every n-th voxel, some 2 mm apart.
    """
    steps = [max(1, int(2.0 / mm)) for mm in spacing]
    thin = tuple(slice(None, None, step) for step in steps)
    inside, values = np.pad(mask[thin], 1), np.pad(hu[thin], 1)
    depth = ndimage.distance_transform_edt(inside, [mm * step for mm, step in zip(spacing, steps, strict=True)])
    found = []
    for low, high in (CORTEX_MM, MEDULLA_MM):
        layer = (depth > low) & (depth <= high)
        found.append(float(np.median(values[layer if layer.any() else inside])) if inside.any() else 0.0)
    excreted = 100.0 * float(np.count_nonzero(values[inside] > EXCRETED_HU)) / max(1, int(np.count_nonzero(inside)))
    return found[0], found[1], excreted


def phase(structures: Sequence[Structure], plain: bool) -> str:
    """The contrast phase, told by the kidneys; empty without any. plain: whether ``is_plain``."""
    kidneys = [one for one in structures if one.kind == "kidney"]
    if not kidneys:
        return ""
    share = [one.voxels for one in kidneys]
    cortex, medulla, excreted = (
        float(np.average([getattr(one, name) or 0.0 for one in kidneys], weights=share))
        for name in ("cortex_hu", "medulla_hu", "excreted_percent")
    )
    if plain:  # before excreted contrast: a stone is as bright
        return PLAIN
    if excreted >= EXCRETED_PERCENT:
        return EXCRETORY
    return CORTICOMEDULLARY if cortex - medulla >= BRIGHTER_HU else NEPHROGRAPHIC
