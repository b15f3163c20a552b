"""Lengths, surfaces and volumes against exact truth: ellipsoids turned at will, on even, flat and sheared voxels."""

import numpy as np
import pytest
from wpunet import extent
from wpunet.labels import CYST, RIGHT_KIDNEY, TUMOR
from wpunet.measure import measure

EVEN = np.array([[0, 0, -1.0], [0, -1.0, 0], [-1.0, 0, 0]])
FLAT = EVEN * [3.0, 0.8, 0.8]  # columns: slices, rows, columns
SHEARED = FLAT + np.array([[0, 0, 0], [0.7, 0, 0], [0, 0, 0]])  # each slice lies 0.7 mm farther to the front
GRIDS = {"even": EVEN, "flat": FLAT, "sheared": SHEARED}
TURNS = ((0, 0, 0), (20, 0, 0), (35, -25, 15))


def turn(degrees):
    x, y, z = np.radians(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def grid(axes, reach_mm):
    """RAS mm of voxels (..., 3) around 0, and their affine."""
    corners = np.linalg.inv(axes) @ (np.array(np.meshgrid(*[(-1, 1)] * 3)).reshape(3, -1) * reach_mm)
    shape = tuple(2 * int(n) + 3 for n in np.ceil(np.abs(corners).max(1)))
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = -axes @ ((np.array(shape) - 1) / 2)
    index = np.moveaxis(np.indices(shape), 0, -1)
    return index @ axes.T + affine[:3, 3], affine


def ellipsoid(ras, half_axes, turned):
    return (((ras @ turned) / half_axes) ** 2).sum(-1) <= 1


def close(mm, truth, axes):
    """Within one voxel's diagonal, or 2 %."""
    allowed = max(np.linalg.norm(axes.sum(1)), 0.02 * truth)
    return mm == pytest.approx(truth, abs=allowed)


@pytest.mark.parametrize("axes", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("degrees", TURNS, ids=str)
def test_a_kidney(axes, degrees):
    half = np.array([22.0, 29.0, 56.0])
    ras, affine = grid(axes, 60)
    labels = np.where(ellipsoid(ras, half, turn(degrees)), RIGHT_KIDNEY, 0).astype(np.uint8)
    (one,) = measure(labels, np.zeros(labels.shape, np.int16), affine)
    assert one.volume_ml == pytest.approx(4 / 3 * np.pi * half.prod() / 1000, rel=0.01)
    for line, truth in ((one.length, 112.0), (one.width, 58.0), (one.thickness, 44.0)):
        assert close(line.mm, truth, axes)
    along = np.subtract(*one.length.ends_ras_mm) / one.length.mm
    assert abs(along @ turn(degrees)[:, 2]) > np.cos(np.radians(8))  # a pole is flat over a slice of 3 mm
    across = np.subtract(*one.width.ends_ras_mm) / one.width.mm
    assert abs(along @ across) < 1e-6
    assert abs(across @ np.subtract(*one.thickness.ends_ras_mm)) < 1e-6


@pytest.mark.parametrize("axes", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("degrees", TURNS, ids=str)
def test_a_tumor(axes, degrees):
    """Widths of an ellipsoid along a direction and in a plane are known: through its matrix."""
    half, turned = np.array([14.0, 18.0, 24.0]), turn(degrees)
    ras, affine = grid(axes, 30)
    labels = np.where(ellipsoid(ras, half, turned), TUMOR, 0).astype(np.uint8)
    (one,) = measure(labels, np.zeros(labels.shape, np.int16), affine)
    assert one.volume_ml == pytest.approx(4 / 3 * np.pi * half.prod() / 1000, rel=0.01)
    assert close(one.diameter.mm, 48.0, axes)
    assert close(one.craniocaudal.mm, 2 * np.sqrt(((turned[2] * half) ** 2).sum()), axes)
    matrix = turned @ np.diag(half**-2.0) @ turned.T
    in_plane = 2 / np.sqrt(np.linalg.eigvalsh(matrix[:2, :2]))  # of the slice through the middle: the long axis first
    if axes is not SHEARED:  # a sheared slice is a parallel plane all the same
        assert np.ptp([end[2] for end in one.axial_diameter.ends_ras_mm]) == pytest.approx(0, abs=1e-9)
    assert close(one.axial_diameter.mm, in_plane.max(), axes)
    assert close(one.axial_perpendicular.mm, in_plane.min(), axes)
    assert np.subtract(*one.axial_diameter.ends_ras_mm) @ np.subtract(
        *one.axial_perpendicular.ends_ras_mm
    ) == pytest.approx(0, abs=1e-6)
    for line in (one.diameter, one.axial_diameter, one.axial_perpendicular):  # both ends lie on the surface
        inside = [np.linalg.norm(np.array(end) @ turned / half) for end in line.ends_ras_mm]
        assert inside == pytest.approx([1, 1], abs=0.25)


@pytest.mark.parametrize("axes", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("degrees", TURNS, ids=str)
def test_the_surface_shared_with_the_kidney(axes, degrees):
    """Half a ball on a plane of kidney, with a cyst around the rest of it, and a ball within it."""
    ras, affine = grid(axes, 36)
    up = ras @ turn(degrees)[:, 2]
    ball = (ras**2).sum(-1) <= 20.0**2
    block = (np.abs(ras) <= 33).all(-1)
    for tissue, tumor, mm2, allowed in (
        (block & (up < 0), ball & (up >= 0), np.pi * 20.0**2, 0.1),  # the disc's rim is one voxel wide
        (block, ball, 4 * np.pi * 20.0**2, 0.06),
    ):
        labels = np.zeros(ras.shape[:3], np.uint8)
        labels[block], labels[tissue], labels[tumor] = CYST, RIGHT_KIDNEY, TUMOR
        found = measure(labels, np.zeros(labels.shape, np.int16), affine)[1]
        assert found.contact_cm2 == pytest.approx(mm2 / 100, rel=allowed)


def test_a_kidneys_thickness_is_that_of_its_widest_section():
    poles = [(0, 0, 0), (0, 0, 100)]
    widest = [(30, 0, 50), (-30, 0, 50), (0, 5, 50), (0, -5, 50)]
    round_one = [(20, 0, 20), (-20, 0, 20), (0, 20, 20), (0, -20, 20)]
    lines = extent.kidney(np.array([*poles, *widest, *round_one], float))
    assert [line.mm for line in lines] == pytest.approx([100, 60, 10])


def test_a_tumor_apart_shares_no_surface():
    ras, affine = grid(EVEN, 30)
    labels = np.zeros(ras.shape[:3], np.uint8)
    labels[ras[..., 0] < -10] = RIGHT_KIDNEY
    labels[((ras - [10, 0, 0]) ** 2).sum(-1) <= 100] = TUMOR
    assert measure(labels, np.zeros(labels.shape, np.int16), affine)[-1].contact_cm2 == 0
