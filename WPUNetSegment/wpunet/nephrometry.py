"""R.E.N.A.L. nephrometry and C-index of a tumor, from its voxels and its kidney's contour and sinus.

R.E.N.A.L.: Kutikov and Uzzo, J Urol 2009;182:844, computed as for the KiTS patients (Heller et al., J Urol
2022;207:1105). C-index: Simmons et al., J Urol 2010;183:1708. Where a method leaves a choice, this is the reading:

- Radius: the largest diameter in any direction, not in axial slices alone.
- Exophytic: the share of the tumor's volume outside the hulls of the kidney tissue in axial slices; under 1 % is none.
  A hull goes straight across a tumor's bed, so that a share near the half comes out some percent high.
- Nearness: from edge to edge, to sinus fat, vessels and collecting system alike, whichever is nearest.
- Anterior or posterior: the tumor's centre against that of the kidney with its lesions; less than 10 mm is neither.
- Location: the polar lines are the first and the last axial slice in which the sinus comes within 6 mm of the
  contour, so that the medial lip is interrupted; the midline is half way between them; shares are of volume.
- Hilar: the tumor is within 2 mm of the sinus at its opening. Main renal vessels are not marked: they run there.
- Where the sinus opens nowhere, as when a tumor fills its opening, there are no polar lines and no hilum to tell by.
- C-index: centres of area in the middle slice of the kidney with its lesions and in the tumor's largest slice; the
  radius is half the longest axial distance.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from . import extent
from .contour import Contour
from .structure import Line, Nephrometry, Part

NONE_PERCENT = 1.0  # a tumor with less of it outside is endophytic
NEITHER_MM = 10.0
HILAR_MM = 2.0


def score(
    kidney: Contour, tumor: np.ndarray, diameter_mm: float, axial_mm: float, outside_percent: float, way: Line | None
) -> Nephrometry:
    """The score of one tumor.

    tumor: bool, on the grid of ``kidney``; diameter_mm: its largest, axial_mm: in an axial slice;
    outside_percent: of its volume; way: to the sinus
    """
    opens = bool(kidney.hilum.any())
    missing = "" if opens else "the sinus has no opening" if kidney.has_sinus else "no renal sinus was found"
    hilum = _way(kidney, tumor, kidney.hilum)
    return Nephrometry(
        radius=Part(1 if diameter_mm <= 40 else 2 if diameter_mm < 70 else 3, diameter_mm, "mm"),
        exophytic=Part(
            1 if outside_percent >= 50 else 2 if outside_percent >= NONE_PERCENT else 3, outside_percent, "percent"
        ),
        nearness=None if way is None else Part(1 if way.mm >= 7 else 2 if way.mm > 4 else 3, way.mm, "mm"),
        face=_face(kidney, tumor),
        location=_location(kidney, tumor) if kidney.has_sinus and opens else None,
        hilar=None if hilum is None else Part("h" if hilum.mm <= HILAR_MM else "", hilum.mm, "mm"),
        c_index=_c_index(kidney, tumor, axial_mm / 2),
        missing=missing,
    )


def to_sinus(kidney: Contour, lesion: np.ndarray) -> Line | None:
    """The shortest way from a lesion to the sinus, 0 mm where they touch; None where no sinus was found."""
    return _way(kidney, lesion, kidney.sinus)


def to_surface(kidney: Contour, lesion: np.ndarray) -> Line | None:
    """The shortest way from a lesion to what lies outside the kidney, 0 mm where it bulges."""
    return _shortest(kidney, extent.faces(lesion), extent.faces(kidney.inside | kidney.lesions))


def _way(kidney: Contour, lesion: np.ndarray, part: np.ndarray) -> Line | None:
    if not kidney.has_sinus or not part.any():
        return None
    return _shortest(kidney, extent.faces(lesion), extent.faces(part))


def _shortest(kidney: Contour, first: np.ndarray, second: np.ndarray) -> Line | None:
    """Between two outlines (n, 3) in voxels of the coarse grid."""
    if not len(first) or not len(second):
        return None
    here, there = extent.to_ras(first, kidney.affine), extent.to_ras(second, kidney.affine)
    mm, at = KDTree(there).query(here)
    best = int(np.argmin(mm))
    return extent.line(here[best], there[at[best]])


def _face(kidney: Contour, tumor: np.ndarray) -> Part:
    """RAS: the second coordinate grows to the front."""
    mm = float((_centre(kidney, tumor) - _centre(kidney, kidney.tissue | kidney.lesions))[1])
    return Part("x" if abs(mm) < NEITHER_MM else "a" if mm > 0 else "p", mm, "mm")


def _location(kidney: Contour, tumor: np.ndarray) -> Part:
    lines = np.flatnonzero(kidney.hilum.any((1, 2)))
    first, last = int(lines[0]), int(lines[-1])
    count = np.count_nonzero(tumor, axis=(1, 2))
    percent = 100.0 * float(count[first : last + 1].sum()) / float(count.sum())
    there = np.flatnonzero(count)
    across = there[0] <= (first + last) / 2 <= there[-1]
    return Part(1 if percent == 0 else 3 if percent > 50 or across else 2, percent, "percent")


def _c_index(kidney: Contour, tumor: np.ndarray, radius_mm: float) -> float:
    organ = kidney.tissue | kidney.lesions
    there = np.flatnonzero(organ.any((1, 2)))
    middle = int(there[np.abs(there - (there[0] + there[-1]) / 2).argmin()])
    largest = int(np.count_nonzero(tumor, axis=(1, 2)).argmax())
    ways = [_centre(kidney, _only(one, k)) for one, k in ((organ, middle), (tumor, largest))]
    return float(np.linalg.norm(ways[0] - ways[1]) / max(radius_mm, 1e-9))


def _only(mask: np.ndarray, k: int) -> np.ndarray:
    """A mask with its slice ``k`` alone."""
    one = np.zeros_like(mask)
    one[k] = mask[k]
    return one


def _centre(kidney: Contour, mask: np.ndarray) -> np.ndarray:
    """RAS mm."""
    return extent.to_ras(np.argwhere(mask).mean(0)[None], kidney.affine)[0]
