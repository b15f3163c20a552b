"""A structure is as certain as the network's calibrated chances of it say."""

import numpy as np
import pytest
from wpunet.certainty import Certain
from wpunet.locate import whole
from wpunet.measure import Body
from wpunet.predict import Maps
from wpunet.preprocess import InPlaneGrid
from wpunet.volume import from_array

SHAPE = (12, 32, 32)


def maps(foreground, tumor, cyst=None):
    """What a network says everywhere alike of a CT of 3 mm voxels."""
    affine = np.diag([-3.0, -3.0, -3.0, 1.0])
    ct = from_array(np.zeros(SHAPE[::-1], np.int16), affine)
    grid = InPlaneGrid(SHAPE[1:], ct.spacing[1:], 3.0)
    told = [
        None if one is None else np.full((SHAPE[0], *grid.network_shape), one, np.float16)
        for one in (foreground, tumor, cyst)
    ]
    return Maps(whole(ct), grid, 1, 3.0, *told), ct.affine


def body(kind, affine):
    box = (slice(2, 9), slice(5, 20), slice(6, 18))
    return Body(kind, "", np.ones((7, 15, 12), bool), box, affine)


def chance(logit):
    return 1 / (1 + np.exp(-logit))


@pytest.mark.parametrize("cyst", [None, 1.5, -2.0])
def test_kidney_and_cyst_share_what_is_no_tumor(cyst):
    said, affine = maps(4.0, -3.0, cyst)
    benign = chance(4.0) * chance(3.0)
    certain = Certain(said, None)
    share = 1.0 if cyst is None else chance(-cyst)
    assert certain(body("kidney", affine)) == pytest.approx(benign * share, abs=1e-3)
    if cyst == 1.5:
        assert certain(body("cyst", affine)) == pytest.approx(benign * chance(cyst), abs=1e-3)
    else:  # a cyst by its density, not by the network
        assert certain(body("cyst", affine)) is None
    assert certain(body("tumor", affine)) is None  # without a model of a whole tumor's chance
