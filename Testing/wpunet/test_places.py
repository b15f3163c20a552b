"""Where the network was least certain."""

import numpy as np
import pytest
from wpunet.places import uncertain_places

AFFINE = np.array([[0, 0, -1.0, 7], [0, -2.0, 0, 8], [-4.0, 0, 0, 9], [0, 0, 0, 1]])  # cubes of 2 x 4 x 8 voxels


def of_cubes(cubes):
    return uncertain_places(cubes.repeat(2, 0).repeat(4, 1).repeat(8, 2), AFFINE)


def test_the_least_certain_comes_first_and_what_belongs_to_it_is_no_place_of_its_own():
    cubes = np.zeros((10, 10, 20), np.uint8)
    cubes[7, 7, 17] = 220
    cubes[2, 3, 4:8] = 200, 150, 140, 130  # falls off over more than the distance that places have
    cubes[2, 5, 4] = 120  # a peak as well, but near
    (most, _), (second, place) = of_cubes(cubes)
    assert (most, second) == (220, 200)
    assert place == (7 - 35.5, 8 - 2 * 13.5, 9 - 4 * 4.5)


def test_no_more_than_ten_places_are_told():
    cubes = np.zeros((10, 10, 20), np.uint8)
    cubes[::4, ::4, ::4] = 9
    assert len(of_cubes(cubes)) == 10


def test_a_place_lies_within_a_scan_that_is_thinner_than_a_cube():
    values = np.zeros((3, 40, 40), np.float32)
    values[:, 12:16, 16:20] = 0.5
    ((how, place),) = uncertain_places(values, np.diag([2.0, 2, 2, 1]))
    assert how == 0.5
    assert place == pytest.approx((2 * 1, 2 * 13.5, 2 * 17.5))


def test_a_place_is_the_middle_of_what_is_uncertain():
    """Voxels of 2 mm: four of them are a cube of 8 mm, over which uncertainty is averaged."""
    values = np.zeros((40, 40, 40), np.float32)
    values[8:12, 12:16, 16:20] = 0.5
    affine = np.array([[0, 0, -2.0, 7], [0, -2.0, 0, 8], [-2.0, 0, 0, 9], [0, 0, 0, 1]])
    ((how, place),) = uncertain_places(values, affine)
    assert how == 0.5
    assert place == pytest.approx((7 - 2 * 17.5, 8 - 2 * 13.5, 9 - 2 * 9.5))
