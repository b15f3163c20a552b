"""The kidney's own contour, its sinus and its hilum, told from the hulls of its axial slices.

As for the KiTS patients (Heller et al., J Urol 2022;207:1105, and their published code): the contour of a slice is the
convex hull of its kidney tissue; what is fat inside it, or not marked as kidney, is sinus where it hangs together; so
is what lies between (vessels and the collecting system), told by the hull of that fat in each slice. Beyond theirs,
urine counts like fat, in a kidney with contrast: a sinus without fat was passed over else. All is done on every n-th
voxel, some 1.5 mm apart: lengths of millimetres are wanted, and a report should not wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, KDTree, QhullError

from .bodies import Bodies, bodies
from .boxes import Box
from .contrast import ENHANCED_HU
from .extent import faces

STEP_MM = 1.5  # of the voxels that are looked at
FAT_HU = -30.0  # and less, of HU blurred over 1 mm
URINE_HU, EXCRETED_HU = 15.0, 400.0  # less than the one or more than the other, in a kidney with contrast
URINE_COUNTS = 0.25  # as much as fat, where groups are compared: a cyst looks like urine
RIM_MM = 1.5  # inside of the contour where fat may be that around the kidney
SPECK_MM3 = 30.0  # less is noise
GAP_MM = 5.0  # fat this close to other fat, from edge to edge, or with one slice between them, is one sinus
LIP_MM = 6.0  # of tissue between sinus and outside: where there is less, the sinus opens
LEAST_SINUS_ML = 0.5  # less is no sinus


@dataclass(frozen=True)
class Contour:
    """A kidney on its coarse grid; arrays are bool (slice, row, column).

    tissue: its tissue; lesions: its tumors and cysts; inside: its contour, lesions within it counted
    sinus:  with vessels and collecting system; hilum: what of the sinus is close to its opening
    affine: (4, 4), (slice, row, column, 1) of these arrays -> RAS mm
    steps:  of the CT's voxels, along each axis; box: of the CT
    """

    tissue: np.ndarray
    lesions: np.ndarray
    inside: np.ndarray
    sinus: np.ndarray
    hilum: np.ndarray
    affine: np.ndarray
    steps: tuple[int, int, int]
    box: Box

    @cached_property
    def voxel_ml(self) -> float:
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @cached_property
    def has_sinus(self) -> bool:
        return bool(np.count_nonzero(self.sinus) * self.voxel_ml >= LEAST_SINUS_ML)

    def thinned(self, mask: np.ndarray, box: Box) -> np.ndarray:
        """A mask of a part of the CT on this grid."""
        whole = np.zeros([side.stop - side.start for side in self.box], bool)
        here, there = [], []
        for mine, theirs in zip(self.box, box, strict=True):
            low, high = max(mine.start, theirs.start), min(mine.stop, theirs.stop)
            here.append(slice(low - mine.start, max(low, high) - mine.start))
            there.append(slice(low - theirs.start, max(low, high) - theirs.start))
        whole[tuple(here)] = mask[tuple(there)]
        return whole[tuple(slice(step // 2, None, step) for step in self.steps)]


def contour(box: Box, tissue: np.ndarray, lesions: np.ndarray, hu: np.ndarray, affine: np.ndarray) -> Contour:
    """The contour of a kidney.

    box:    the part of the CT that tissue, lesions and hu (slice, row, column) are
    affine: (4, 4), (slice, row, column, 1) of the CT -> RAS mm
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    levels, rows, columns = (max(1, int(STEP_MM / mm + 0.25)) for mm in spacing)
    steps = levels, rows, columns
    thin = tuple(slice(step // 2, None, step) for step in steps)
    soft = ndimage.gaussian_filter(_slabs(hu, levels), [0.0, *(1.0 / spacing[1:])], truncate=2.0)[:, thin[1], thin[2]]
    tissue, lesions = tissue[thin], lesions[thin]
    coarse = affine @ np.diag([*steps, 1.0])
    coarse[:3, 3] = affine[:3, :3] @ [s.start + step // 2 for s, step in zip(box, steps, strict=True)] + affine[:3, 3]
    mm = np.linalg.norm(coarse[:3, :3], axis=0)
    own = hulls(tissue)
    inside = own | tissue
    organ = inside | lesions
    depth = np.stack([ndimage.distance_transform_edt(np.pad(one, 1), mm[1:])[1:-1, 1:-1] for one in organ])
    free = inside & ~lesions & (depth > max(RIM_MM, float(mm[1:].max()) + 0.01))  # the outermost ones in any case
    fat = free & ((soft < FAT_HU) | ~tissue)
    urine = np.zeros_like(fat)
    if tissue.any() and np.median(soft[tissue]) >= ENHANCED_HU:
        urine = free & ~fat & ((soft < URINE_HU) | (soft > EXCRETED_HU))
    sinus = hulls(_main(fat, urine, mm)) & organ & ~lesions
    return Contour(tissue, lesions, inside, sinus, sinus & (depth <= LIP_MM), coarse, steps, box)


def _slabs(hu: np.ndarray, count: int) -> np.ndarray:
    """The mean of ``count`` slices around every slice that the coarse grid keeps, float32."""
    middles = np.arange(count // 2, len(hu), count)
    return np.stack([hu[k - count // 2 : k - count // 2 + count].mean(0, dtype=np.float32) for k in middles])


def hulls(mask: np.ndarray) -> np.ndarray:
    """The convex hull of each slice of a mask (slice, row, column)."""
    found = np.zeros_like(mask)
    for k, one in enumerate(mask):
        rows, columns = np.flatnonzero(one.any(1)), np.flatnonzero(one.any(0))
        if not len(rows):
            continue
        at = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        found[k][at] = _hull(one[at])
    return found


def _hull(mask: np.ndarray) -> np.ndarray:
    edge = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    try:
        sides = ConvexHull(edge).equations
    except (QhullError, ValueError):  # a line or less is its own hull
        return mask
    rows, columns = np.indices(mask.shape, np.float32)
    inside = np.ones(mask.shape, bool)
    for a, b, c in sides.astype(np.float32):
        inside &= a * rows + b * columns <= -c + 1e-3
    return inside


def _main(fat: np.ndarray, urine: np.ndarray, mm: np.ndarray) -> np.ndarray:
    """Fat and urine of the group with most of it; parts no farther apart than GAP_MM are one group."""
    found = bodies(fat | urine)
    large = found.voxels * float(np.prod(mm)) >= SPECK_MM3
    either = np.concatenate([[False], large])[found.numbers]
    if not either.any():
        return either
    found = bodies(either)
    group = _groups(found, mm)
    of_body = ndimage.sum_labels(fat + URINE_COUNTS * urine, found.numbers, np.arange(1, len(found) + 1))
    main = np.bincount(group, weights=of_body).argmax()
    return np.asarray(np.isin(found.numbers, 1 + np.flatnonzero(group == main)))


def _groups(found: Bodies, mm: np.ndarray) -> np.ndarray:
    """For each body the number of its group."""
    limit = max(GAP_MM, float(mm.max())) + 1e-6
    outlines = [
        (faces(found.numbers[box] == k) + [side.start for side in box]) * mm for k, box in enumerate(found.boxes, 1)
    ]
    trees = [KDTree(one) for one in outlines]
    near = np.zeros((len(found), len(found)), bool)
    for k, outline in enumerate(outlines):
        for other in range(k):
            near[k, other] = np.isfinite(trees[other].query(outline, distance_upper_bound=limit)[0]).any()
    return np.asarray(connected_components(near, directed=False)[1])
