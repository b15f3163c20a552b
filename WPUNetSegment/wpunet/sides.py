"""Which kidney is the left one: told by the spine, so that neither an off-centre scan nor half a body matters."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .bodies import Bodies, bodies, bounding_box
from .boxes import Box, blank
from .labels import KIDNEY, LEFT_KIDNEY, RIGHT_KIDNEY
from .volume import contiguous

BONE_HU = (150, 1600)  # more is metal, or a number that means no tissue
HORSESHOE_SHARE = 0.2  # of a body on its lesser side of the spine; more, and it lies across
LIKE_SIZE = 0.4  # of the larger of two bodies, that the smaller has if both may be kidneys
MIDDLE_SHARE = 0.2  # of the body's width: how far the spine is usually from its middle, at most
TEXTURE_HU = 60.0  # bone varies by more within; a bowel full of contrast does not
BETWEEN = 0.1  # of the body's width, that its middle lies away from each of two kidneys on both sides of it


def split_sides(labels: np.ndarray, hu: np.ndarray, within: Box | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels with the left kidney's voxels renamed, as a new array, and what is unusual.

    labels, hu: (slice, row, column), columns to the patient's left; within: a box outside of which nothing is marked
    A body of kidney (with its tumor) gets one side, by its centre against the spine; one that lies across the spine is
    cut there, and said to be perhaps a horseshoe kidney.
    """
    given, labels = labels, blank(labels.shape, labels.dtype)
    marked = bounding_box(given, within)
    if marked is None:
        return labels, ()
    labels[marked] = given[marked]
    notes: list[str] = []
    view, columns = labels[marked], np.arange(labels.shape[2])[marked[2]]
    found = bodies(view > 0)
    like = found.voxels >= LIKE_SIZE * found.voxels.max()
    # a piece of few slices may lie at a disc, where a kidney is brighter than the spine: all levels tell there
    levels = [box[0] if alike else slice(0, len(view)) for box, alike in zip(found.boxes, like, strict=True)]
    middles = [midline(hu, slice(marked[0].start + one.start, marked[0].start + one.stop)) for one in levels]
    shares = [_share(found, k, columns > middle) for k, middle in enumerate(middles)]
    pair = _alike_on_one_side(found, shares)
    if pair:
        outline, width = body_middle(hu[marked[0]])
        centres = [float(np.average(columns, weights=_columns(found, k))) for k in pair]
        if (
            min(abs(c - outline) for c in centres) > BETWEEN * width
            and (centres[0] - outline) * (centres[1] - outline) < 0
        ):
            for k in pair:
                middles[k], shares[k] = outline, _share(found, k, columns > outline)
            notes.append(
                "No spine was found between the kidneys: right and left were told by the body's middle; check."
            )
        else:
            side = "left" if shares[pair[0]] >= 0.5 else "right"
            notes.append(f"Two kidneys of like size lie on the {side} side (crossed ectopia?); check the sides.")
    if np.count_nonzero(like) > 2:
        notes.append(f"{np.count_nonzero(like)} bodies of a kidney's size were found (a transplant?); check them.")
    for k, box in enumerate(found.boxes):
        kidney = (found.numbers[box] == k + 1) & (view[box] == KIDNEY)
        if HORSESHOE_SHARE < shares[k] < 1 - HORSESHOE_SHARE:
            left = columns[box[2]] > middles[k]
            view[box][kidney & left[None, None, :]] = LEFT_KIDNEY
            notes.append("One body of kidney lies across the spine (a horseshoe kidney?); it was divided there.")
        else:
            view[box][kidney] = LEFT_KIDNEY if shares[k] >= 0.5 else RIGHT_KIDNEY
    return labels, tuple(notes)


def _columns(found: Bodies, k: int) -> np.ndarray:
    """How many voxels of a body each column has."""
    counts = np.zeros(found.numbers.shape[2])
    box = found.boxes[k]
    counts[box[2]] = (found.numbers[box] == k + 1).sum((0, 1))
    return counts


def _share(found: Bodies, k: int, left: np.ndarray) -> float:
    """Of a body's voxels, those in the columns ``left``."""
    counts = _columns(found, k)
    return float(counts[left].sum() / counts.sum())


def _alike_on_one_side(found: Bodies, shares: list[float]) -> list[int]:
    """The two largest bodies, if they are of like size and on one side; else nothing."""
    largest = np.argsort(-found.voxels)[:2].tolist()
    if len(largest) < 2 or found.voxels[largest[1]] < LIKE_SIZE * found.voxels[largest[0]]:
        return []
    limit = HORSESHOE_SHARE
    one_side = all(shares[k] <= limit for k in largest) or all(shares[k] >= 1 - limit for k in largest)
    return largest if one_side else []


def body_middle(part: np.ndarray) -> tuple[float, float]:
    """The column in the middle of the body's outline, and the body's width in columns; of some slices of HU."""
    columns = ((part > -300) & (part < 3000)).sum((0, 1)).astype(float)
    if not columns.any():
        return part.shape[2] / 2, float(part.shape[2])
    inside = np.flatnonzero(columns > 0.1 * columns.max())
    return float(np.average(np.arange(len(columns)), weights=columns)), float(inside[-1] - inside[0] + 1)


def midline(hu: np.ndarray, slices: slice) -> float:
    """The column of the spine over the given slices.

    The spine is bone in the back half of the body that goes on from slice to slice, varies within, and is rather near
    the body's middle: a bowel full of contrast, padding or a rib has less of that. Falls back to the middle of the
    body's outline, where there is no bone.
    """
    part = contiguous(hu[slices][:: max(1, (slices.stop - slices.start) // 16)])  # it is looked at many times
    body = (part > -300) & (part < 3000)
    rows = np.flatnonzero(body.any((0, 2)))
    if not len(rows):
        return hu.shape[2] / 2
    outline, width = body_middle(part)
    back = part[:, (rows[0] + rows[-1]) // 2 :]
    bone = (back > BONE_HU[0]) & (back < BONE_HU[1])
    if not bone.any():
        return outline
    wide = max(1.0, hu.shape[2] / 40)
    amounts = ndimage.gaussian_filter1d(bone.sum(1).astype(float), sigma=wide, axis=1)  # (slice, column)
    goes_on = (amounts > 0.25 * amounts.max(0, keepdims=True) + 0.2).mean(0)
    away = (np.arange(hu.shape[2]) - outline) / (MIDDLE_SHARE * width)
    score = amounts.sum(0) * goes_on**2 * _texture(back, bone, wide) * np.exp(-0.5 * away**2)
    return float(np.argmax(score)) if amounts.sum(0).max() > 0.5 and score.max() > 0 else outline


def _texture(back: np.ndarray, bone: np.ndarray, wide: float) -> np.ndarray:
    """For each column how much bright tissue varies within, 0.1 to 1; 1 where it is too thin to say."""
    within = ndimage.binary_erosion(bone, np.ones((1, 3, 3)))
    values = np.where(within, back, 0).astype(float)
    count, first, second = (
        ndimage.gaussian_filter1d(one.sum((0, 1)).astype(float), sigma=wide) for one in (within, values, values**2)
    )
    mean = np.divide(first, count, out=np.zeros_like(first), where=count > 1e-3)
    variance = np.divide(second, count, out=np.zeros_like(first), where=count > 1e-3) - mean**2
    texture = np.clip(np.sqrt(np.maximum(variance, 0)) / TEXTURE_HU, 0.1, 1.0)
    return np.where(count > 1e-3, texture, 1.0)
