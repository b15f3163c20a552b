"""With or without contrast agent, told by the kidneys."""

import numpy as np
import pytest
from scipy import ndimage
from wpunet.contrast import is_plain, kidney_hu, layers


@pytest.mark.parametrize(("tissue", "plain"), [(30, True), (180, False)])
def test_the_kidneys_tell_and_tumors_do_not(tissue, plain):
    labels = np.zeros((4, 10, 10), np.uint8)
    labels[1:3, 2:5, 2:5], labels[1:3, 6:9, 2:5], labels[1:3, 2:9, 5:9] = 1, 3, 2
    hu = np.where(labels == 2, 110, np.where(labels > 0, tissue, -50)).astype(np.int16)
    assert kidney_hu(hu, labels) == tissue
    assert is_plain(hu, labels) is plain


def test_without_kidneys_nothing_is_known():
    labels = np.zeros((2, 5, 5), np.uint8)
    hu = np.zeros(labels.shape, np.int16)
    assert kidney_hu(hu, labels) is None
    labels[0, 1:3] = 2
    assert kidney_hu(hu, labels) is None
    assert not is_plain(hu, labels)


def test_the_median_tells_and_not_a_few_bright_voxels():
    labels, hu = np.ones((1, 1, 9), np.uint8), np.full((1, 1, 9), 30)
    hu[..., :4] = 3000  # as of a stone
    assert kidney_hu(hu, labels) == 30


def test_cortex_and_medulla_are_told_by_their_mm_below_the_surface():
    mask = np.zeros((64, 64, 64), bool)
    mask[2:-2, 2:-2, 2:-2] = True  # 30 mm
    depth = ndimage.distance_transform_edt(mask, 0.5)
    hu = np.where(depth <= 6, 200, 100)
    hu[31, 31, 31] = 1000
    assert layers(mask, hu, (0.5, 0.5, 0.5))[:2] == (200, 100)
