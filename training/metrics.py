"""How well a label map agrees with the truth: overlap, surface, lesions, calibration."""

from __future__ import annotations

import warnings

import numpy as np
from wpunet.bodies import bodies, bounding_box, grown
from wpunet.contour import hulls
from wpunet.labels import TUMOR

SURFACE_MM = 2.0  # a contour within 2 mm counts as right
SIZES_MM = (25.0, 40.0)  # small, medium and large tumors, by the diameter of a ball of their volume
KIDNEY_ML = 20.0  # a smaller body of a mask is a piece
Spacing = tuple[float, float, float]


def dice(found: np.ndarray, truth: np.ndarray) -> float | None:
    """Dice of two boolean arrays of one shape; None where both are empty, so that it does not count as success."""
    total = np.count_nonzero(found) + np.count_nonzero(truth)
    return 2 * np.count_nonzero(found & truth) / total if total else None


def kits_dice(found: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    """KiTS19's figures for label maps of one shape: kidney-or-tumor, tumor, and their mean, the composite.

    Tumor and composite are None where the truth has no tumor.
    """
    both = dice(found > 0, truth > 0)
    tumor = dice(found == TUMOR, truth == TUMOR) if (truth == TUMOR).any() else None
    composite = (both + tumor) / 2 if both is not None and tumor is not None else None
    return {"kidney_or_tumor": both, "tumor": tumor, "composite": composite}


def surface(found: np.ndarray, truth: np.ndarray, spacing: Spacing) -> dict[str, float | None]:
    """Surface Dice at 2 mm and 95 % Hausdorff distance in mm (MONAI's) of boolean volumes (slice, row, column).

    None where one of them is empty.
    """
    box = bounding_box(found | truth)
    if box is None or not found.any() or not truth.any():
        return {"surface_dice": None, "hd95_mm": None}
    import torch
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    box = grown(box, max(spacing), spacing, found.shape)
    f, t = (torch.from_numpy(one[box].astype(np.uint8))[None, None] for one in (found, truth))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of MONAI about itself
        within = compute_surface_dice(f, t, [SURFACE_MM], include_background=True, spacing=spacing)
        hd95 = compute_hausdorff_distance(f, t, include_background=True, percentile=95, spacing=spacing)
    return {"surface_dice": float(within), "hd95_mm": float(hd95)}


def lesions(found: np.ndarray, truth: np.ndarray, voxel_ml: float) -> dict[str, int]:
    """How many tumors were found, missed and invented; arrays are boolean.

    A true tumor is found when a tenth of it is marked; a marked body that touches no true tumor is false. True
    tumors are counted by size: small under 25 mm, medium under 40 mm, large.
    """
    counts = dict.fromkeys(("found", "missed", "false"), 0)
    counts |= {f"{size}_{what}": 0 for size in ("small", "medium", "large") for what in ("found", "missed")}
    true = bodies(truth)
    for number, box in enumerate(true.boxes, 1):
        mask = true.numbers[box] == number
        diameter = 2 * (mask.sum() * voxel_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
        size = ("small", "medium", "large")[sum(diameter >= limit for limit in SIZES_MM)]
        what = "found" if (found[box] & mask).sum() >= 0.1 * mask.sum() else "missed"
        counts[what] += 1
        counts[f"{size}_{what}"] += 1
    marked = bodies(found)
    touching = np.unique(marked.numbers[truth])
    counts["false"] = len(marked) - int((touching > 0).sum())
    return counts


def kidneys_missed(found: np.ndarray, truth: np.ndarray, voxel_ml: float) -> int:
    """How many true bodies of kidney size are covered to less than a half; arrays are boolean."""
    true = bodies(truth)
    missed = 0
    for number, box in enumerate(true.boxes, 1):
        mask = true.numbers[box] == number
        if mask.sum() * voxel_ml >= KIDNEY_ML:
            missed += int((found[box] & mask).sum() < 0.5 * mask.sum())
    return missed


def surplus(found: np.ndarray, truth: np.ndarray, voxel_ml: float) -> dict[str, float]:
    """How much was found that is not true, and how much of it lies in the hollow of a true body: the renal sinus.

    found, truth: boolean volumes (slice, row, column). The hollow is what a slice's convex hull of the body adds to it.
    """
    too_much = found & ~truth
    true, hollow = bodies(truth), np.zeros(truth.shape, bool)
    for number, box in enumerate(true.boxes, 1):
        if true.voxels[number - 1] * voxel_ml >= KIDNEY_ML:
            hollow[box] |= hulls(true.numbers[box] == number)
    ml = (np.count_nonzero(one) * voxel_ml for one in (too_much, too_much & hollow))
    return {
        name: round(float(value), 1) for name, value in zip(("surplus_ml", "surplus_in_hollow_ml"), ml, strict=True)
    }


def calibration(certainty: np.ndarray, right: np.ndarray, bins: int = 10) -> dict[str, list[float] | float]:
    """Expected calibration error, and how often each band of certainty (0 to 1) is right."""
    band = np.minimum((certainty * bins).astype(int), bins - 1)
    count = np.bincount(band, minlength=bins)
    there = np.maximum(count, 1)
    mean, hit = (np.bincount(band, values, minlength=bins) / there for values in (certainty, right.astype(float)))
    error = float((np.abs(mean - hit) * count).sum() / max(1, count.sum()))
    return {"error": error, "certainty": [round(float(v), 4) for v in mean], "right": [round(float(v), 4) for v in hit]}


def temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """What the logits of a yes-or-no answer should be divided by, so that its certainty is how often it is right.

    Guo et al., "On calibration of modern neural networks", ICML 2017: the least cross-entropy. 1 where there are none.
    """
    from scipy.optimize import minimize_scalar

    if not len(logits):
        return 1.0
    agreeing = np.where(truth, logits, -logits).astype(np.float64)

    def cross_entropy(log: float) -> float:
        return float(np.logaddexp(0, -agreeing / np.exp(log)).mean())

    found = minimize_scalar(cross_entropy, bounds=(-2, 3), method="bounded")
    return round(float(np.exp(found.x)), 2)


def slice_scores(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The paper's figures, over all pixels of slices (n, row, column): accuracy, mean IoU, mean Dice of the classes.

    Classes are background, kidney and tumor: call a cyst kidney before (``labels.together``).
    """
    classes = [k for k in range(3) if (truth == k).any()]
    both = [np.count_nonzero((found == k) & (truth == k)) for k in classes]
    total = [np.count_nonzero(found == k) + np.count_nonzero(truth == k) for k in classes]
    return {
        "accuracy": float((found == truth).mean()),
        "mean_iou": float(np.mean([b / (t - b) for b, t in zip(both, total, strict=True)])),
        "mean_dice": float(np.mean([2 * b / t for b, t in zip(both, total, strict=True)])),
    }


def summary(values: list[float | None]) -> dict[str, float]:
    """Mean, standard deviation, median, worst (lowest) and count of what is there."""
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
