"""Label maps with kidneys of known size, for rules and measurements; (slice, row, column), 2 mm voxels."""

import numpy as np

SPACING = (2.0, 2.0, 2.0)
SHAPE = (90, 100, 160)
RIGHT, LEFT = (45, 60, 45), (45, 60, 115)  # columns run to the patient's left
AFFINE = np.array([[0, 0, -2.0, 160], [0, -2.0, 0, 100], [-2.0, 0, 0, 90], [0, 0, 0, 1]])


def empty():
    return np.zeros(SHAPE, np.uint8)


def put(labels, value, centre, radii):
    """An ellipsoid; centre and radii in voxels."""
    grids = np.ogrid[tuple(slice(0, n) for n in labels.shape)]
    inside = sum(((grid - c) / r) ** 2 for grid, c, r in zip(grids, centre, radii, strict=True)) <= 1
    labels[inside] = value
    return labels


def kidneys(*, right=True, left=True):
    """Both kidneys, some 140 ml each, 112 mm long."""
    labels = empty()
    for there, centre in ((right, RIGHT), (left, LEFT)):
        if there:
            put(labels, 1, centre, (28, 13, 13))
    return labels


def body(spine_column=80):
    """HU of a body with a spine, nothing else."""
    hu = np.full(SHAPE, -1000, np.int16)
    hu[:, 10:90, 10:150] = 40
    hu[:, 66:82, spine_column - 8 : spine_column + 8] = 400
    return hu


def ml(mask):
    return mask.sum() * np.prod(SPACING) / 1000
