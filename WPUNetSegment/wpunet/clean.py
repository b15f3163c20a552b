"""What the anatomy of kidneys says about the network's answer: rules in 3D, each with its reason and its off switch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from .errors import InputError
from .labels import BACKGROUND, KIDNEY, TUMOR

TOUCHING = ndimage.generate_binary_structure(3, 3)  # voxels that share a corner belong together


@dataclass(frozen=True)
class CleanRules:
    """The rules; False switches one off.

    holes:   a hole inside a kidney or tumor is filled: neither has air or nothing inside
    islands: a body of less than ``min_body_ml`` or shorter than ``min_body_mm`` from head to feet is no kidney (the
             smallest adult kidneys have some 40 ml and 60 mm); a body cut by the edge of the scan may be smaller
    pair:    people have two kidneys: the two largest bodies stay, and what lies within ``reach_mm`` of them
    orphans: a tumor farther than ``reach_mm`` from any kidney tissue is no kidney tumor
    specks:  a tumor of less than ``min_tumor_ml`` is noise and counts as kidney
    """

    holes: bool = True
    islands: bool = True
    pair: bool = True
    orphans: bool = True
    specks: bool = True
    min_body_ml: float = 8.0
    min_body_mm: float = 20.0
    min_cut_body_ml: float = 2.0
    reach_mm: float = 5.0
    min_tumor_ml: float = 0.2

    def without(self, names: list[str]) -> CleanRules:
        """These rules less those named; "all" names every one. Raises InputError for a name that is no rule."""
        rules = [name for name, value in vars(self).items() if isinstance(value, bool)]
        unknown = sorted(set(names) - {*rules, "all"})
        if unknown:
            raise InputError(f"There is no rule '{unknown[0]}'; the rules are {', '.join(rules)} and all.")
        return replace(self, **dict.fromkeys(rules if "all" in names else names, False))


def clean(
    labels: np.ndarray, spacing: tuple[float, float, float], rules: CleanRules = CleanRules()
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels (slice, row, column) after the rules, as a new array, and a sentence for each thing taken away.

    spacing: mm between slices, rows, columns
    """
    labels = labels.copy()
    if not labels.any():
        return labels, ()
    box = _box(labels, spacing, margin_mm=rules.reach_mm + max(spacing))
    view = labels[box]
    at_edge = (box[0].start == 0, box[0].stop == len(labels))
    notes: list[str] = []
    voxel_ml = float(np.prod(spacing)) / 1000.0
    if rules.holes:
        _fill_holes(view)
    _keep_kidneys(view, spacing, at_edge, rules, notes)
    if rules.orphans:
        _drop_orphans(view, spacing, rules, voxel_ml, notes)
    if rules.specks:
        _absorb_specks(view, rules, voxel_ml)
    return labels, tuple(notes)


def _box(labels: np.ndarray, spacing: tuple[float, float, float], margin_mm: float) -> tuple[slice, slice, slice]:
    """The box around everything marked, with a margin."""
    sides = []
    for axis, step in enumerate(spacing):
        others = tuple(a for a in range(3) if a != axis)
        marked = np.flatnonzero(labels.any(axis=others))
        margin = int(np.ceil(margin_mm / step))
        sides.append(slice(max(0, int(marked[0]) - margin), min(labels.shape[axis], int(marked[-1]) + 1 + margin)))
    return sides[0], sides[1], sides[2]


def _fill_holes(labels: np.ndarray) -> None:
    """Holes that a slice encloses; those inside a tumor become tumor, others kidney."""
    for one in labels:
        if not one.any():
            continue
        tumor = ndimage.binary_fill_holes(one == TUMOR) & (one == BACKGROUND)
        one[tumor] = TUMOR
        one[ndimage.binary_fill_holes(one > 0) & (one == BACKGROUND)] = KIDNEY


def _keep_kidneys(
    labels: np.ndarray,
    spacing: tuple[float, float, float],
    at_edge: tuple[bool, bool],
    rules: CleanRules,
    notes: list[str],
) -> None:
    """Islands go, and of the bodies that are left the two largest stay with what lies close to them."""
    bodies, count = ndimage.label(labels > 0, TOUCHING)
    if not count:
        return
    voxel_ml = float(np.prod(spacing)) / 1000.0
    ml = np.bincount(bodies.ravel(), minlength=count + 1)[1:] * voxel_ml
    kept = set(range(1, count + 1))
    if rules.islands:
        boxes = ndimage.find_objects(bodies)
        kept = {k for k in kept if _is_body(boxes[k - 1], ml[k - 1], len(labels), spacing[0], at_edge, rules)}
    if rules.pair and len(kept) > 2:
        kept = set(sorted(kept, key=lambda k: -ml[k - 1])[:2])
    if len(kept) < count:
        kept |= _near(bodies, kept, spacing, rules.reach_mm)
    gone = sorted((set(range(1, count + 1)) - kept), key=lambda k: -ml[k - 1])
    if gone:
        labels[np.isin(bodies, gone)] = BACKGROUND
        total = float(sum(ml[k - 1] for k in gone))
        notes.append(f"{len(gone)} isolated piece(s) of {total:.1f} ml in all were taken away as no kidney.")


def _is_body(
    box: tuple[slice, ...], ml: float, depth: int, slice_mm: float, at_edge: tuple[bool, bool], rules: CleanRules
) -> bool:
    cut = (at_edge[0] and box[0].start == 0) or (at_edge[1] and box[0].stop == depth)
    long_enough = (box[0].stop - box[0].start) * slice_mm >= rules.min_body_mm
    return bool(ml >= rules.min_cut_body_ml) if cut else bool(ml >= rules.min_body_ml and long_enough)


def _near(bodies: np.ndarray, kept: set[int], spacing: tuple[float, float, float], reach_mm: float) -> set[int]:
    """The bodies within reach of those that are kept."""
    if not kept:
        return set()
    distance = ndimage.distance_transform_edt(~np.isin(bodies, list(kept)), sampling=spacing)
    return {int(k) for k in np.unique(bodies[(distance <= reach_mm) & (bodies > 0)])}


def _drop_orphans(
    labels: np.ndarray, spacing: tuple[float, float, float], rules: CleanRules, voxel_ml: float, notes: list[str]
) -> None:
    tumors, count = ndimage.label(labels == TUMOR, TOUCHING)
    kidney = labels == KIDNEY
    if not count or not kidney.any():
        return  # with no kidney tissue at all a tumor may have replaced it
    distance = ndimage.distance_transform_edt(~kidney, sampling=spacing)
    nearest = ndimage.minimum(distance, tumors, range(1, count + 1))
    orphans = [k for k, mm in enumerate(nearest, 1) if mm > rules.reach_mm]
    if orphans:
        lost = np.isin(tumors, orphans)
        labels[lost] = BACKGROUND
        notes.append(f"{lost.sum() * voxel_ml:.1f} ml of tumor far from any kidney were taken away.")


def _absorb_specks(labels: np.ndarray, rules: CleanRules, voxel_ml: float) -> None:
    tumors, count = ndimage.label(labels == TUMOR, TOUCHING)
    if count:
        small = np.bincount(tumors.ravel())[1:] * voxel_ml < rules.min_tumor_ml
        labels[np.isin(tumors, np.flatnonzero(small) + 1)] = KIDNEY
