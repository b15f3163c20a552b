"""How far the visible edge of kidneys is from their outline: python -m training.edge FOLDER...

Each folder is a case in KiTS19's layout. Readers differ in where they draw an edge that fades into fat: at its middle,
inside or outside of it. A network learns their habit, and its volumes with it. The visible edge is where HU are half
way between kidney and fat, looked for along the outline's normal within each slice.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy import ndimage
from wpunet.errors import InputError

from training.command import command
from training.tables import markdown_table
from training.truth import pair, read_pair

REACH_MM, STEP_MM = 5.0, 0.5  # how far along the normal, and from look to look
BESIDE_MM = 3.5  # beyond that the tissue counts as kidney or fat
KIDNEY_HU, FAT_HU = (60.0, 300.0), (-140.0, -50.0)  # of the two ends; elsewhere another organ or bone is near
LEAST_MM2 = 300.0  # of kidney in a slice
LEAST_POINTS = 50  # of a case; noise makes a few without contrast agent, too


def edge_mm(hu: np.ndarray, marked: np.ndarray, pixel_mm: float) -> np.ndarray:
    """How far outside the outline the visible edge is at each of its points that tell, mm, (n,).

    hu, marked: (row, column), the second bool. Where HU do not fall from kidney to fat in one step nothing is told.
    """
    if marked.sum() * pixel_mm**2 < LEAST_MM2:
        return np.zeros(0)
    inside, outside = (ndimage.distance_transform_edt(one, sampling=pixel_mm) for one in (marked, ~marked))
    away = np.where(marked, pixel_mm / 2 - inside, outside - pixel_mm / 2)  # 0 on the outline, larger outside
    normal = np.stack(np.gradient(ndimage.gaussian_filter(away, 1.0)))
    normal /= np.linalg.norm(normal, axis=0) + 1e-6
    rim = np.nonzero(marked & (away >= -0.51 * pixel_mm))
    at = np.arange(-REACH_MM, REACH_MM + STEP_MM / 2, STEP_MM)
    points = np.stack(rim)[:, None] + normal[:, rim[0], rim[1]][:, None] * ((at + pixel_mm / 2) / pixel_mm)[:, None]
    values = ndimage.map_coordinates(hu, points, order=1)  # (along the normal, point of the rim)
    kidney, fat = values[at <= -BESIDE_MM].mean(0), values[at >= BESIDE_MM].mean(0)
    above = values >= (kidney + fat) / 2
    falls = above[:-1] & ~above[1:]
    tells = (falls.sum(0) == 1) & _within(kidney, KIDNEY_HU) & _within(fat, FAT_HU)
    last, which = falls[:, tells].argmax(0), np.flatnonzero(tells)
    here, next_ = values[last, which], values[last + 1, which]
    return at[last] + STEP_MM * (here - (kidney + fat)[which] / 2) / (here - next_)


def _within(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (values > limits[0]) & (values < limits[1])


def of_case(folder: Path) -> np.ndarray:
    """``edge_mm`` of all slices of a case; raises InputError where image and mask do not fit, or nothing tells."""
    volume, labels = read_pair(*pair(folder))
    pairs = zip(volume.hu.astype(np.float32), labels > 0, strict=True)
    found = np.concatenate([edge_mm(hu, marked, volume.spacing[1]) for hu, marked in pairs])
    if len(found) < LEAST_POINTS:
        raise InputError(f"{folder} has no edge between a kidney with contrast and fat; give another case.")
    return found


@command("edge")
def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folders", type=Path, nargs="+")
    given = arguments.parse_args()
    rows = []
    for folder in given.folders:
        found = of_case(folder)
        rows.append([folder.name, str(len(found)), f"{np.median(found):+.2f}"])
    print("\n".join(markdown_table(("case", "points", "visible edge outside the outline, mm"), rows)))
    print(f"\nMean of the cases: {np.mean([float(row[2]) for row in rows]):+.2f} mm")
    return 0


if __name__ == "__main__":
    sys.exit(main())
