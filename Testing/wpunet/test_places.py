"""Where the network was least certain."""

import numpy as np
import pytest
from wpunet.places import uncertain_places


def test_a_place_is_the_middle_of_what_is_uncertain():
    """Voxels of 2 mm: four of them are a cube of 8 mm, over which uncertainty is averaged."""
    values = np.zeros((40, 40, 40), np.float32)
    values[8:12, 12:16, 16:20] = 0.5
    affine = np.array([[0, 0, -2.0, 7], [0, -2.0, 0, 8], [-2.0, 0, 0, 9], [0, 0, 0, 1]])
    ((how, place),) = uncertain_places(values, affine)
    assert how == 0.5
    assert place == pytest.approx((7 - 2 * 17.5, 8 - 2 * 13.5, 9 - 2 * 9.5))
