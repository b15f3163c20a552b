"""A small patient on any grid, and an engine that needs no network to find its kidneys: for tests of all around it.

The anatomy is a function of the position in mm (LPS), so a tilted, turned or cut grid shows the very same patient.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy import ndimage
from wpunet import files
from wpunet.bodies import bodies
from wpunet.bundle import BUNDLED, NetworkSpec, Weights, sha256
from wpunet.labels import KIDNEY, TUMOR
from wpunet.locate import whole
from wpunet.predict import Maps
from wpunet.preprocess import InPlaneGrid
from wpunet.segment import Segmenter

SHAPE, SPACING = (44, 90, 118), (5.0, 3.0, 3.0)  # slices from the feet up, rows to the back, columns to the left
ORIGIN = (-175.5, -133.5, -107.5)  # LPS mm of the first pixel of the lowest slice
RIGHT, LEFT, MASS = (-62.0, 42.0, -8.0), (62.0, 42.0, 12.0), (-84.0, 42.0, -8.0)
RIGHT_RADII, LEFT_RADII, MASS_RADIUS = (27.0, 25.0, 52.0), (24.0, 22.0, 46.0), 14.0
WEIGHTS = Weights(Path("stand-in"), NetworkSpec(), {}, 1.6, 1.0, sha256(BUNDLED), {"name": "stand-in"})


def affine_lps(step=(0.0, 0.0, SPACING[0]), origin=ORIGIN, turn=None):
    """(column, row, slice, 1) -> LPS mm; ``step`` leads from one slice to the next."""
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = (SPACING[2], 0, 0), (0, SPACING[1], 0), step
    matrix[:3, 3] = origin
    return matrix if turn is None else turn @ matrix


def hu(matrix=None, shape=SHAPE, seed=0):
    """HU (slice, row, column) of the patient on a grid given by ``affine_lps``."""
    matrix = affine_lps() if matrix is None else matrix
    k, j, i = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij")
    x, y, z = (matrix[a, 0] * i + matrix[a, 1] * j + matrix[a, 2] * k + matrix[a, 3] for a in range(3))
    random = np.random.default_rng(seed)
    values = np.full(shape, -1000.0, np.float32)

    def fill(value, inside):
        values[inside] = value

    def ball(centre, radii):
        return sum(((p - c) / r) ** 2 for p, c, r in zip((x, y, z), centre, radii, strict=True)) < 1

    body = (x / 150) ** 2 + (y / 105) ** 2
    fill(-105.0, body < 1)
    fill(50.0, body < 0.72)
    fill(-100.0, body < 0.58)
    fill(60.0, ball((-75, -25, 70), (55, 50, 60)) | ball((0, -30, -20), (45, 25, 200)))  # liver, bowel
    for out in (-1, 1):
        fill(55.0, (np.hypot(x - out * 32, y - 55) < 11) | (np.hypot(x - out * 30, y - 82) < 14))
    level = np.mod(z, 36.0)
    spine = np.hypot(x, (y - 58) * 1.15)
    fill(np.where(level < 8, 80.0, 230.0 + 90 * np.sin(7 * z + 3 * x))[spine < 21], spine < 21)
    fill(650.0, (spine < 21) & (spine > 17) & (level >= 8))
    fill(30.0, np.hypot(x, y - 82) < 8)
    fill(600.0, (np.hypot(x, (y - 84)) < 12) & (np.hypot(x, y - 82) >= 8) & (level > 14))
    fill(190.0, ball(RIGHT, RIGHT_RADII) | ball(LEFT, LEFT_RADII))
    fill(100.0, ball(MASS, (MASS_RADIUS,) * 3))
    noise = random.normal(0, 9, shape) * (values > -900) + random.normal(0, 4, shape) * (values <= -900)
    return np.clip(np.rint(values + noise), -1024, 3071).astype(np.int16)


class StandIn(Segmenter):
    """The engine but for its network: what has the HU of the patient's kidneys and tumor is taken for these."""

    def __init__(self, *_):
        self.read = files.read
        self.weights = WEIGHTS
        self.runtime = SimpleNamespace(description="thresholds", warnings=[], batch=1)

    def _network(self, volume, options, monitor):
        monitor.at("predict", 0, 1)
        smooth = ndimage.uniform_filter(volume.hu.astype(np.float32), 3)
        labels = np.zeros(volume.hu.shape, np.uint8)
        for value, low, high in ((KIDNEY, 150, 230), (TUMOR, 85, 125)):
            mask = (volume.hu > low) & (volume.hu < high) & (smooth > low - 70) & (smooth < high + 30)
            labels[ndimage.binary_opening(mask, np.ones((3, 3, 3)))] = value
        found = bodies(labels > 0)  # rims of bone are thin and small
        small = np.flatnonzero(found.voxels * volume.voxel_ml < 15) + 1
        labels[np.isin(found.numbers, small)] = 0
        grid = InPlaneGrid(volume.hu.shape[1:], volume.spacing[1:], 1.6)
        sure = np.full((1, 1, 1), 4.0, np.float16)
        maps = Maps(whole(volume), grid, 1, volume.spacing[0], sure, np.zeros_like(sure), None)
        return labels, np.zeros(labels.shape, np.uint8), maps


def measures(report):
    """{name: (ml, centre)} of a report as a dictionary; RAS mm."""
    return {f"{one['side']} {one['kind']}": (one["volume_ml"], one["centre"]["ras_mm"]) for one in report["structures"]}


def same_patient(report, truth, ml=0.05, mm=3.0):
    """Whether two reports tell of the same kidneys and tumor at the same places.

    Of the tumor, of which the stand-in's threshold keeps the core only, the place counts.
    """
    one, other = measures(report), measures(truth)
    return one.keys() == other.keys() and all(
        np.abs(np.subtract(one[name][1], other[name][1])).max() <= (mm if name.endswith("kidney") else 2 * mm)
        and (not name.endswith("kidney") or abs(one[name][0] - other[name][0]) <= ml * other[name][0])
        for name in other
    )
