"""Volumes, lengths and places of shapes whose measures are known."""

import numpy as np
import pytest
from scipy import ndimage
from wpunet.labels import CYST, LEFT_KIDNEY, RIGHT_KIDNEY, TUMOR
from wpunet.measure import measure
from wpunet.sides import split_sides

from Testing.wpunet.anatomy import AFFINE, LEFT, RIGHT, body, empty, kidneys, put


@pytest.fixture(scope="module")
def found():
    labels = put(kidneys(), TUMOR, (40, 48, 115), (6, 6, 6))
    labels = put(labels, TUMOR, (60, 60, 40), (3, 3, 3))
    labels, _ = split_sides(labels, body())
    hu = body()
    hu[labels == LEFT_KIDNEY] = 180
    hu[labels == RIGHT_KIDNEY] = 160
    hu[labels == TUMOR] = 70
    hu[40, 48, 115] = 70 + 905  # the larger tumor has 905 voxels: its mean rises by 1
    return measure(labels, hu, AFFINE), labels


def test_kidneys_come_first_then_tumors_by_size_each_with_a_name_of_its_own(found):
    assert [one.name for one in found[0]] == ["right kidney", "left kidney", "left tumor 1", "right tumor 2"]


def test_volume_and_hu(found):
    structures, labels = found
    right, left, large, small = structures
    assert right.volume_ml == pytest.approx((labels == RIGHT_KIDNEY).sum() * 0.008)
    assert left.with_lesions_ml == pytest.approx(left.volume_ml + large.volume_ml)
    assert right.split_percent + left.split_percent == pytest.approx(100)
    assert right.split_percent / left.split_percent == pytest.approx(right.volume_ml / left.volume_ml)
    assert left.mean_hu == 180
    assert left.sd_hu == 0
    assert large.volume_ml == pytest.approx(4 / 3 * np.pi * 12**3 / 1000, rel=0.03)
    assert large.mean_hu == pytest.approx(70 + 905 / (labels == TUMOR).sum(), rel=0.1)
    assert small.mean_hu == 70
    assert small.hu_against_kidney == 70 - 160
    assert large.hu_against_kidney == large.mean_hu - 180


def test_places(found):
    large = found[0][2]
    assert large.centre_ras_mm == pytest.approx((160 - 230, 100 - 96, 90 - 80))
    assert {end[2] for end in large.axial_diameter.ends_ras_mm} <= {8.0, 10.0, 12.0}
    for name in ("diameter", "axial_diameter", "axial_perpendicular", "craniocaudal"):
        line = getattr(large, name)
        first, second = map(np.array, line.ends_ras_mm)
        assert line.mm == pytest.approx(np.linalg.norm(second - first))
        assert line.mm == pytest.approx(24, abs=2)


def test_certainty_is_what_the_network_knows_of_a_body(found):
    labels = found[1]
    structures = measure(labels, body(), AFFINE, lambda body: body.ml / 1000)
    assert [one.certainty for one in structures] == [one.volume_ml / 1000 for one in structures]
    assert {one.certainty for one in found[0]} == {None}


def test_a_box_has_the_extents_of_its_sides():
    labels = empty()
    labels[20:30, 30:33, 50:54] = TUMOR  # 20 x 6 x 8 mm
    (one,) = measure(labels, body(), AFFINE)
    assert one.craniocaudal.mm == pytest.approx(20)
    assert 8 <= one.axial_diameter.mm <= 10
    assert not one.touches_border
    assert one.side == ""


def test_a_single_voxel_can_be_measured():
    labels = empty()
    labels[20, 30, 50] = TUMOR
    (one,) = measure(labels, body(), AFFINE)
    assert one.diameter.mm == one.axial_diameter.mm == one.axial_perpendicular.mm == pytest.approx(2)


def test_hu_are_told_by_their_mean_and_standard_deviation():
    labels, hu = empty(), body()
    labels[20, 30, 50:54] = TUMOR
    hu[20, 30, 50:54] = 10, 10, 20, 40
    (one,) = measure(labels, hu, AFFINE)
    assert (one.mean_hu, one.sd_hu) == (20, pytest.approx(150**0.5))


def test_a_kidney_of_one_slice_can_be_measured():
    labels = empty()
    labels[20, 30:40, 50:54] = RIGHT_KIDNEY
    (one,) = measure(labels, body(), AFFINE)
    assert one.length.mm == pytest.approx(20, abs=1)


@pytest.mark.parametrize("end", [0, -1])
def test_what_reaches_the_edge_of_the_scan_is_told(end):
    labels = kidneys()
    labels[end, RIGHT[1], RIGHT[2]] = RIGHT_KIDNEY
    assert measure(labels, body(), AFFINE)[0].touches_border


def test_a_tumor_takes_the_side_of_the_kidney_next_to_it():
    labels, _ = split_sides(kidneys(), body())
    labels = put(labels, TUMOR, (LEFT[0], LEFT[1], LEFT[2] + 15), (6, 6, 6))
    assert measure(labels, body(), AFFINE)[-1].name == "left tumor"


def test_nothing_measures_nothing():
    assert measure(empty(), body(), AFFINE) == ()


def test_a_cyst_is_a_structure_of_its_own_after_the_tumors(found):
    labels = put(found[1].copy(), CYST, (60, 60, 115), (4, 4, 4))
    names = [one.name for one in measure(labels, body(), AFFINE)]
    assert names[2:] == ["left tumor 1", "right tumor 2", "left cyst"]
    labels = put(labels, CYST, (30, 60, 45), (3, 3, 3))
    assert [one.name for one in measure(labels, body(), AFFINE)][4:] == ["left cyst 1", "right cyst 2"]


def test_only_the_same_voxels_have_the_same_fingerprint(found):
    labels = found[1]
    before = [one.fingerprint for one in measure(labels, body(), AFFINE)]
    assert [one.fingerprint for one in measure(labels, body() + 5, AFFINE)] == before
    painted = labels.copy()
    painted[LEFT[0], LEFT[1], LEFT[2] - 13] = 0  # one voxel off the left kidney, another one on it
    assert labels[LEFT[0], LEFT[1], LEFT[2] - 13] == LEFT_KIDNEY
    painted[LEFT[0] + 1, LEFT[1] + 13, LEFT[2] + 1] = LEFT_KIDNEY
    after = [one.fingerprint for one in measure(painted, body(), AFFINE)]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True, True]
    shifted = np.roll(labels, 1, axis=2)
    assert not set(before) & {one.fingerprint for one in measure(shifted, body(), AFFINE)}


def test_a_lesion_belongs_to_the_kidney_that_it_touches_else_to_the_nearer_one():
    labels, _ = split_sides(kidneys(), body())
    labels[:, :, 70:] = 0  # the right one alone, and a small left one
    labels = put(labels, LEFT_KIDNEY, (45, 60, 115), (8, 8, 8))
    touching = put(labels.copy(), TUMOR, (45, 60, 104), (4, 4, 4))
    beside = put(labels.copy(), TUMOR, (45, 60, 96), (4, 4, 4))  # 14 mm from the small kidney, 68 mm from the large one
    far = put(labels.copy(), TUMOR, (45, 60, 70), (4, 4, 4))
    for marked, side in ((touching, "left"), (beside, "left"), (far, "right")):
        assert measure(marked, body(), AFFINE)[-1].side == side


def test_a_lesion_between_two_kidneys_is_of_the_one_that_it_touches_more():
    labels = empty()
    labels[14, 40:50, 50:60], labels[10:14, 40:50, 62:70] = RIGHT_KIDNEY, LEFT_KIDNEY
    labels[10:15, 40:50, 60:62] = TUMOR  # it begins where all that is marked begins
    assert measure(labels, body(), AFFINE)[-1].side == "left"


def test_what_lies_around_a_lesion_is_told_in_mm():
    labels, hu = np.zeros((30, 30, 30), np.uint8), np.full((30, 30, 30), -100, np.int16)
    labels[10:13, 10:15, 10:15] = TUMOR
    hu[14:] = -800
    one_mm, thick = (np.diag([-1.0, -1.0, -mm, 1.0])[[2, 1, 0, 3]].T for mm in (1.0, 5.0))
    assert measure(labels, hu, one_mm)[0].gas_percent > 20
    assert measure(labels, hu, thick)[0].gas_percent == 0  # 10 mm away


def test_without_a_kidney_a_lesion_has_no_side():
    (one,) = measure(put(empty(), TUMOR, (45, 60, 45), (4, 4, 4)), body(), AFFINE)
    assert one.side == ""


@pytest.mark.parametrize(("slice_mm", "pixel_mm"), [(1.0, 1.0), (5.0, 0.9), (2.5, 2.5), (1.0, 3.0)])
def test_voxels_at_the_edge_are_no_core_however_large(slice_mm, pixel_mm):
    """They are a mixture with what lies around: here 200 HU brighter than the ball of 10 mm."""
    spacing = np.array([slice_mm, pixel_mm, pixel_mm])
    places = np.stack(np.indices((35, 35, 35)), -1) - 17
    ball = ((places * spacing) ** 2).sum(-1) <= 10.0**2
    hu = np.where(ball & ~ndimage.binary_erosion(ball), 205, 5).astype(np.int16)
    (one,) = measure(np.where(ball, CYST, 0).astype(np.uint8), hu, np.diag([*-spacing, 1.0])[[2, 1, 0, 3]])
    assert one.core_hu == 5


def test_the_core_is_what_lies_deeper_than_the_rim_and_soft_tissue_beside_starts_behind_the_edge():
    """Voxels of 1 mm. A ball of 3 mm has no inside of CORE_MM: there the core is the deeper half."""
    labels, hu = np.zeros((40, 40, 40), np.uint8), np.full((40, 40, 40), -100, np.int16)
    places = np.stack(np.indices(labels.shape)) - 20
    away = np.sqrt((places**2).sum(0))
    labels[away <= 3] = TUMOR
    hu[away <= 3], hu[away <= 1.5] = 40, 90
    hu[(away > 3) & (away <= 4.5)] = 50  # an edge, no soft tissue beside
    affine = np.diag([-1.0, -1.0, -1.0, 1.0])[[2, 1, 0, 3]]
    (one,) = measure(labels, hu, affine)
    deep = ndimage.distance_transform_edt(labels == TUMOR)
    assert one.core_hu == pytest.approx(hu[deep > deep.max() / 2].mean())
    assert one.soft_percent == 0
    hu[away > 3] = 50
    assert measure(labels, hu, affine)[0].soft_percent == 100
    outside = ndimage.distance_transform_edt(labels != TUMOR)
    near, gas = (outside > 0) & (outside <= 8), outside >= 7
    hu[gas] = -800
    assert measure(labels, hu, affine)[0].gas_percent == pytest.approx(100 * (near & gas).sum() / near.sum())
