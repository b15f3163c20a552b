"""Boxes of a volume and the bodies in them, and arrays of which little is written to."""

import numpy as np
import pytest
from wpunet.bodies import bodies, gap_mm
from wpunet.boxes import blank, bounding_box, bounding_box_across, grown, placed


def test_a_blank_array_is_zeros_that_can_be_written_to():
    for dtype in (np.uint8, np.float32):
        made = blank((5, 700, 600), dtype)
        assert (made.shape, made.dtype) == ((5, 700, 600), dtype)
        assert not made.any()
        made[2, 100:200, 7] = 3
        assert made.sum() == 300
    assert blank((0, 3)).shape == (0, 3)


def test_a_box_within_a_box_is_told_in_the_indices_of_the_whole():
    marks = np.zeros((9, 8, 7), bool)
    marks[3:5, 2:6, 4] = True
    box = bounding_box(marks)
    assert box == (slice(3, 5), slice(2, 6), slice(4, 5))
    assert bounding_box(marks, (slice(1, 8), slice(2, 8), slice(3, 7))) == box
    assert bounding_box(marks, (slice(0, 2), slice(0, 8), slice(0, 7))) is None


def test_a_box_is_the_same_however_the_axes_lie_in_memory():
    marks = np.zeros((9, 8, 7), bool)
    marks[3:5, 2:6, 4] = True
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        lying = np.ascontiguousarray(marks.transpose(order)).transpose(np.argsort(order))
        assert bounding_box_across(lying) == bounding_box(marks)
    assert bounding_box_across(np.zeros_like(marks)) is None


def test_a_mask_is_placed_in_a_larger_box():
    mask = np.ones((1, 2, 3), bool)
    outer = (slice(2, 6), slice(1, 5), slice(0, 9))
    made = placed(mask, (slice(3, 4), slice(2, 4), slice(4, 7)), outer)
    assert made.shape == (4, 4, 9)
    assert bounding_box(made) == (slice(1, 2), slice(1, 3), slice(4, 7))
    assert made.sum() == 6


def test_a_margin_in_mm_holds_every_voxel_that_it_reaches():
    box = (slice(5, 6), slice(1, 4), slice(8, 9))
    assert grown(box, 5.0, (2.0, 3.0, 5.0), (20, 20, 10)) == (slice(2, 9), slice(0, 6), slice(7, 10))


def test_voxels_that_share_a_corner_are_one_body():
    marks = np.zeros((4, 4, 8), bool)
    marks[0, 0, 0] = marks[1, 1, 1] = marks[1, 1, 4] = True
    assert bodies(marks).voxels.tolist() == [2, 1]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_gap_is_told_in_mm_of_its_own_axis(axis):
    one, other = np.zeros((2, 9, 9, 9), bool)
    one[4, 4, 4] = True
    other[tuple(np.eye(3, dtype=int)[axis] * 3 + 4)] = True
    assert gap_mm(one, other, (5.0, 0.7, 2.0)) == pytest.approx((15.0, 2.1, 6.0)[axis])
