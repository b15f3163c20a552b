"""Healthy kidneys without contrast followed along their edge."""

import numpy as np
import pytest
from scipy import ndimage
from wpunet.volume import AXES_RAS, from_array

from training import outline
from training.metrics import dice


@pytest.fixture(scope="module")
def plain():
    """Two kidneys in fat beside a psoas muscle that touches one of them: volume and truth."""
    z, y, x = np.mgrid[:30, :90, :120]
    kidneys = [((z - 15) / 12) ** 2 + ((y - 45) / 16) ** 2 + ((x - at) / 13) ** 2 < 1 for at in (32, 88)]
    truth = kidneys[0] | kidneys[1]
    hu = np.where(truth, 33.0, -100.0)
    hu[:, 38:55, 46:60] = np.where(truth[:, 38:55, 46:60], 33.0, 60.0)
    hu = ndimage.gaussian_filter(hu, 0.6) + np.random.default_rng(0).normal(0, 8, hu.shape)
    affine = np.eye(4)
    affine[:3, :3] = AXES_RAS.T * (4.0, 1.9, 1.9)
    return from_array(hu.astype(np.int16), affine), truth


def test_a_kidney_marked_in_part_is_outlined_whole(plain):
    volume, truth = plain
    marked = ndimage.binary_erosion(truth, iterations=2)
    marked[:11] = False  # the upper poles were missed
    marked[:, 40:44, 28:36] = False  # and a hole left in one
    assert dice(marked, truth) < 0.7
    followed = outline.follow(volume, marked)
    assert dice(followed, truth) > 0.9
    assert np.abs(np.flatnonzero(followed.any((1, 2)))[[0, -1]] - np.flatnonzero(truth.any((1, 2)))[[0, -1]]).max() <= 2


def test_nothing_marked_gives_nothing(plain):
    volume, truth = plain
    assert not outline.follow(volume, np.zeros_like(truth)).any()
