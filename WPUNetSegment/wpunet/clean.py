"""What the anatomy of kidneys says about the network's answer: rules in 3D, each with its reason and its off switch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from . import kidneys
from .bodies import Bodies, Box, Removed, bodies, bounding_box, grown, within
from .boxes import blank
from .contrast import is_plain
from .errors import InputError
from .labels import BACKGROUND, CYST, KIDNEY, TUMOR
from .sides import midline

BLUR_MM = 2.5
FAT_HU = (-200.0, -30.0)  # that of a sinus, with what the edge of a small hole adds; less is gas


@dataclass(frozen=True)
class CleanRules:
    """The rules; False switches one off.

    holes:   a hole inside a kidney or tumor in a slice is filled, but one of fat in a kidney, which is its sinus
    islands: a body of less than ``min_body_ml`` or shorter than ``min_body_mm`` from head to feet is no kidney (the
             smallest adult kidneys have some 40 ml and 60 mm); a body cut by the edge of the scan may be smaller
    pair:    people have two kidneys, one on each side: kidneys.py tells which bodies they are; these stay, and what
             lies within ``reach_mm`` of them
    orphans: a tumor farther than ``reach_mm`` from any kidney tissue is no kidney tumor
    watery:  in a CT with contrast, where solid tissue is brighter, a tumor whose inside has ``water_hu`` is a cyst: 0
             to 20 HU are those of a simple one (Bosniak, Radiology 1986;158:1-10); less is fat, as of an angiomyolipoma
    doubtful: in a CT without contrast, where healthy poles look like tumors, a tumor whose mean uncertainty is above
             ``most_doubt`` counts as kidney; 0.1 is that of a yes or no at nine to one
    faint:   a tumor whose surest tenth is more uncertain than ``faintest`` (0.25, that of a yes or no at three to one)
             is nowhere more than a guess and counts as kidney
    unseen:  a body that the network sees next to nothing of at wider pixels is none (predict.py, before these rules)
    specks:  a tumor or a cyst of less than ``min_tumor_ml`` is noise and counts as kidney
    """

    holes: bool = True
    islands: bool = True
    pair: bool = True
    orphans: bool = True
    watery: bool = True
    doubtful: bool = True
    faint: bool = True
    specks: bool = True
    unseen: bool = True
    min_body_ml: float = 8.0
    min_body_mm: float = 20.0
    min_cut_body_ml: float = 2.0
    reach_mm: float = 5.0
    min_tumor_ml: float = 0.2
    most_doubt: float = 0.1
    faintest: float = 0.25
    water_hu: tuple[float, float] = (-15.0, 25.0)

    def without(self, names: list[str]) -> CleanRules:
        """These rules less those named; "all" names every one. Raises InputError for a name that is no rule."""
        rules = [name for name, value in vars(self).items() if isinstance(value, bool)]
        unknown = sorted(set(names) - {*rules, "all"})
        if unknown:
            raise InputError(f"There is no rule '{unknown[0]}'; the rules are {', '.join(rules)} and all.")
        off: dict[str, Any] = dict.fromkeys(rules if "all" in names else names, False)
        return replace(self, **off)


class Cleaned(NamedTuple):
    """Labels uint8 (slice, row, column) after the rules, a sentence for each thing done, the bodies taken away."""

    labels: np.ndarray
    notes: tuple[str, ...] = ()
    removed: tuple[Removed, ...] = ()


def clean(
    labels: np.ndarray,
    spacing: tuple[float, float, float],
    rules: CleanRules = CleanRules(),
    hu: np.ndarray | None = None,
    uncertainty: np.ndarray | None = None,
    within: Box | None = None,
    looked_at: Box | None = None,
) -> Cleaned:
    """Labels (slice, row, column) after the rules, as a new array, and what was done.

    spacing: mm between slices, rows, columns
    hu, uncertainty: of the labels' shape, the CT and what ``predict.decide`` tells; no doubt without them
    within: a box outside of which nothing is marked; looked_at: the part that was looked at, if not the whole
    """
    given, labels = labels, blank(labels.shape, labels.dtype)
    box = bounding_box(given, within)
    if box is None:
        return Cleaned(labels)
    labels[box] = given[box]
    middle = labels.shape[2] / 2 if hu is None else midline(hu, box[0])
    ends = looked_at[0] if looked_at else slice(0, len(labels))
    scene = _Scene(labels[box], spacing, (ends.start - box[0].start, ends.stop - box[0].start), rules)
    doubt = None if uncertainty is None else uncertainty[box]
    if rules.holes:
        scene.fill_holes(None if hu is None else hu[box])
    scene.keep_kidneys(doubt, middle - box[2].start)
    if rules.orphans:
        scene.drop_orphans()
    if hu is not None and is_plain(hu[box], scene.labels):
        if rules.doubtful and doubt is not None:
            scene.absorb_doubtful(doubt)
    elif hu is not None and rules.watery:
        scene.rename_watery(hu[box])
    if rules.faint and doubt is not None:
        scene.absorb_faint(doubt)
    if rules.specks:
        scene.absorb_specks()
    at = [side.start for side in box]
    removed = (Removed(ml, tuple(np.add(at, centre).tolist())) for ml, centre in scene.removed)
    return Cleaned(labels, tuple(scene.notes), tuple(removed))


class _Scene:
    """The part of a label map that holds anything, worked on in place."""

    def __init__(
        self, labels: np.ndarray, spacing: tuple[float, float, float], ends: tuple[int, int], rules: CleanRules
    ) -> None:
        self.labels, self.spacing, self.rules = labels, spacing, rules
        self.ends = ends  # the first slice that was looked at, and one past the last
        self.voxel_ml = float(np.prod(spacing)) / 1000.0
        self.reach_mm = max(rules.reach_mm, *spacing)  # neighbours are near, be slices thicker than that
        self.notes: list[str] = []
        self.removed: list[Removed] = []

    def fill_holes(self, hu: np.ndarray | None) -> None:
        """Holes that a slice encloses; those inside a tumor become tumor, others kidney unless they are fat."""
        for k, one in enumerate(self.labels):
            if not one.any():
                continue
            tumor = one == TUMOR
            if tumor.any():
                one[(_holes(tumor) > 0) & (one == BACKGROUND)] = TUMOR
            holes = _holes(one > 0)
            if hu is not None and holes.any():
                mean = ndimage.mean(hu[k], holes, np.arange(1, holes.max() + 1))
                holes[np.isin(holes, 1 + np.flatnonzero((mean > FAT_HU[0]) & (mean < FAT_HU[1])))] = 0
            one[holes > 0] = KIDNEY

    def keep_kidneys(self, doubt: np.ndarray | None, middle: float) -> None:
        """Islands go, and of the bodies that are left the kidneys stay with what lies close to them.

        doubt: uint8 of the labels' shape; middle: the column of the spine
        """
        found = bodies(self.labels > 0)
        ml = found.voxels * self.voxel_ml
        kept = set(range(len(found)))
        if self.rules.islands:
            kept = {k for k in kept if self._is_body(found.boxes[k], ml[k])}
        if self.rules.pair and len(kept) > 1:
            told = kidneys.describe(found, sorted(kept), self.labels, doubt, middle, self.spacing)
            kept = {number - 1 for number in kidneys.choose(told, found, self.spacing)}
        kept |= {k for k in set(range(len(found))) - kept if self._is_near(found, k, kept)}
        gone = sorted(set(range(len(found))) - kept)
        for k in gone:
            places = np.argwhere(found.numbers[found.boxes[k]] == k + 1).mean(0)
            centre = places + [side.start for side in found.boxes[k]]
            self.removed.append(Removed(float(ml[k]), tuple(centre.tolist())))
        if gone:
            self.labels[np.isin(found.numbers, np.array(gone) + 1)] = BACKGROUND
            self.notes.append(f"{len(gone)} piece(s) away from the kidneys, {ml[gone].sum():.1f} ml, were taken away.")

    def _is_body(self, box: Box, ml: float) -> bool:
        if box[0].start <= self.ends[0] or box[0].stop >= self.ends[1]:  # cut
            return bool(ml >= self.rules.min_cut_body_ml)
        return bool(
            ml >= self.rules.min_body_ml and (box[0].stop - box[0].start) * self.spacing[0] >= self.rules.min_body_mm
        )

    def _is_near(self, found: Bodies, k: int, kept: set[int]) -> bool:
        box = grown(found.boxes[k], self.reach_mm, self.spacing, self.labels.shape)
        numbers = found.numbers[box]
        others = np.isin(numbers, np.array(sorted(kept)) + 1)
        return within(self.reach_mm, numbers == k + 1, others, self.spacing)

    def drop_orphans(self) -> None:
        """Tumors without kidney tissue nearby go; with no kidney tissue at all a tumor may have replaced it."""
        if not (self.labels == KIDNEY).any():
            return
        found = bodies(self.labels == TUMOR)
        lost = 0
        for k, box in enumerate(found.boxes, 1):
            around = grown(box, self.reach_mm, self.spacing, self.labels.shape)
            tumor = found.numbers[around] == k
            if not within(self.reach_mm, tumor, self.labels[around] == KIDNEY, self.spacing):
                self.labels[around][tumor] = BACKGROUND
                lost += int(found.voxels[k - 1])
        if lost:
            self.notes.append(f"{lost * self.voxel_ml:.1f} ml of tumor far from any kidney were taken away.")

    def absorb_doubtful(self, uncertainty: np.ndarray) -> None:
        """Tumors that are too uncertain on average become kidney; uncertainty: uint8 of the labels' shape."""
        found = bodies(self.labels == TUMOR)
        mean = ndimage.mean(uncertainty, found.numbers, np.arange(1, len(found) + 1))
        doubtful = np.flatnonzero(np.asarray(mean) > 255 * self.rules.most_doubt)
        self._absorb(found, doubtful)
        if len(doubtful):
            ml = found.voxels[doubtful].sum() * self.voxel_ml
            self.notes.append(f"{ml:.1f} ml of doubtful tumor count as kidney, since the CT is without contrast.")

    def rename_watery(self, hu: np.ndarray) -> None:
        """Tumors with the density of water become cysts; hu: of the labels' shape."""
        found = bodies(self.labels == TUMOR)
        low, high = self.rules.water_hu
        watery = [k for k in range(len(found)) if low <= self._inside_hu(found, k, hu) <= high]
        self._rename(found, np.array(watery, int), CYST)
        if watery:
            ml = found.voxels[watery].sum() * self.voxel_ml
            self.notes.append(f"{ml:.1f} ml have the density of water and count as cyst, not as tumor.")

    def _inside_hu(self, found: Bodies, k: int, hu: np.ndarray) -> float:
        """The mean HU of a body without its rim, which tissue around it blurs into."""
        body = np.pad(found.numbers[found.boxes[k]] == k + 1, 1)
        away = ndimage.distance_transform_edt(body, self.spacing)[1:-1, 1:-1, 1:-1]
        inside = away > min(BLUR_MM, 0.7 * float(away.max()))
        return float(hu[found.boxes[k]][inside].mean())

    def absorb_faint(self, uncertainty: np.ndarray) -> None:
        """Tumors that are certain nowhere become kidney; uncertainty: uint8 of the labels' shape."""
        found = bodies(self.labels == TUMOR)
        surest = [np.quantile(uncertainty[box][found.numbers[box] == k], 0.1) for k, box in enumerate(found.boxes, 1)]
        faint = np.flatnonzero(np.array(surest) > 255 * self.rules.faintest)
        self._absorb(found, faint)
        if len(faint):
            ml = found.voxels[faint].sum() * self.voxel_ml
            self.notes.append(f"{ml:.1f} ml of tumor, certain nowhere, count as kidney.")

    def absorb_specks(self) -> None:
        for lesion in (TUMOR, CYST):
            found = bodies(self.labels == lesion)
            self._absorb(found, np.flatnonzero(found.voxels * self.voxel_ml < self.rules.min_tumor_ml))

    def _absorb(self, found: Bodies, which: np.ndarray) -> None:
        self._rename(found, which, KIDNEY)

    def _rename(self, found: Bodies, which: np.ndarray, value: int) -> None:
        for k in which.tolist():
            self.labels[found.boxes[k]][found.numbers[found.boxes[k]] == k + 1] = value


def _holes(mask: np.ndarray) -> np.ndarray:
    """What a mask (row, column) encloses, numbered from 1; some times as fast as SciPy's binary_fill_holes."""
    numbers, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
    return (numbers - 1).clip(0)[1:-1, 1:-1]  # the outside is met first
