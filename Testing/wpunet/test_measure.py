"""Volumes, diameters and places of shapes whose measures are known."""

import numpy as np
import pytest
from wpunet.labels import CYST, LEFT_KIDNEY, RIGHT_KIDNEY, TUMOR
from wpunet.measure import measure, names
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
    return measure(labels, hu, AFFINE, np.full(labels.shape, 51, np.uint8)), labels


def test_kidneys_come_first_then_tumors_by_size(found):
    assert [one.name for one in found[0]] == ["right kidney", "left kidney", "left tumor", "right tumor"]


def test_volume_and_hu(found):
    structures, labels = found
    right, left, large, small = structures
    assert right.volume_ml == pytest.approx((labels == RIGHT_KIDNEY).sum() * 0.008)
    assert left.mean_hu == 180
    assert left.sd_hu == 0
    assert large.volume_ml == pytest.approx(4 / 3 * np.pi * 12**3 / 1000, rel=0.03)
    assert large.mean_hu == pytest.approx(70 + 905 / (labels == TUMOR).sum(), rel=0.1)
    assert small.mean_hu == 70


def test_extent_diameter_and_centre(found):
    right, _, large, _ = found[0]
    assert right.extent_mm == (54.0, 54.0, 114.0)  # right to left, front to back, head to feet
    assert large.axial_diameter_mm == pytest.approx(26, abs=2)  # 13 voxels across, corner to corner
    assert large.diameter_slice in (39, 40, 41)
    assert large.centre_index == (40, 48, 115)
    assert large.centre_ras_mm == pytest.approx((160 - 230, 100 - 96, 90 - 80))


def test_certainty_is_one_less_mean_entropy(found):
    assert {round(one.certainty, 6) for one in found[0]} == {0.8}
    assert measure(kidneys(), body(), AFFINE)[0].certainty is None


def test_a_box_has_the_diameter_of_its_diagonal():
    labels = empty()
    labels[20:30, 30:33, 50:54] = TUMOR  # 6 x 8 mm: diagonal 10
    (one,) = measure(labels, body(), AFFINE)
    assert one.axial_diameter_mm == pytest.approx(10)
    assert one.extent_mm == (8, 6, 20)
    assert not one.touches_border
    assert one.side == ""


def test_a_single_voxel_can_be_measured():
    labels = empty()
    labels[20, 30, 50] = TUMOR
    (one,) = measure(labels, body(), AFFINE)
    assert one.axial_diameter_mm == pytest.approx(np.sqrt(8))


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


def test_several_tumors_have_names_of_their_own(found):
    structures, _ = found
    assert names(structures) == ["right kidney", "left kidney", "left tumor 1", "right tumor 2"]
    assert names(structures[:3]) == ["right kidney", "left kidney", "left tumor"]
    assert names([*structures[:3], structures[2]])[2:] == ["left tumor 1", "left tumor 2"]


def test_a_cyst_is_a_structure_of_its_own_on_the_side_of_its_kidney():
    labels = put(kidneys(), TUMOR, (40, 48, 115), (6, 6, 6))
    labels = put(put(labels, CYST, (60, 60, 40), (3, 3, 3)), CYST, (50, 48, 105), (4, 4, 4))
    labels, _ = split_sides(labels, body())
    structures = measure(labels, body(), AFFINE)
    assert names(structures) == ["right kidney", "left kidney", "left tumor", "left cyst 1", "right cyst 2"]
    assert structures[3].volume_ml == pytest.approx((labels[:, :, 80:] == CYST).sum() * 0.008)
