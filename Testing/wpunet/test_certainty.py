"""A structure is as certain as the network's calibrated chances of it say."""

from dataclasses import replace

import numpy as np
import pytest
from wpunet.certainty import Certain, features, logits_of
from wpunet.locate import whole
from wpunet.measure import Body
from wpunet.predict import Maps
from wpunet.preprocess import InPlaneGrid
from wpunet.volume import from_array

SHAPE = (12, 32, 32)


def maps(foreground, tumor, cyst=None, slice_mm=3.0):
    """What a network says of a CT of 3 mm voxels; numbers are said everywhere alike."""
    affine = np.diag([-3.0, -3.0, -slice_mm, 1.0])
    ct = from_array(np.zeros(SHAPE[::-1], np.int16), affine)
    grid = InPlaneGrid(SHAPE[1:], ct.spacing[1:], 3.0)
    told = [
        None if one is None else np.full((SHAPE[0], *grid.network_shape), one, np.float16)
        for one in (foreground, tumor, cyst)
    ]
    return Maps(whole(ct), grid, 1, slice_mm, *told), ct.affine


def body(kind, affine, slices=slice(2, 9)):
    box = (slices, slice(5, 20), slice(6, 18))
    return Body(kind, "", np.ones([side.stop - side.start for side in box], bool), box, affine)


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


def test_a_tumors_chance_is_told_by_its_surest_tenth_their_mean_and_its_size():
    said, affine = maps(20.0, np.arange(32) / 4)  # the same in all slices and rows
    largest_mm2 = 15 * 12 * 9.0
    expected = (16 / 4, np.arange(6, 18).mean() / 4, np.log(2 * np.sqrt(largest_mm2 / np.pi)))
    assert features(said, body("tumor", affine)) == pytest.approx(expected, abs=0.02)


def test_logits_are_told_where_a_voxel_lies_whatever_the_grids():
    """Slabs of two slices, pixels of 2 mm for voxels of 3 mm; logits tell how many mm it is from the border."""
    said, affine = maps(0.0, 0.0)
    grid = InPlaneGrid(SHAPE[1:], (3.0, 3.0), 2.0)
    mm = [(np.arange(n) + 0.5) * step for n, step in zip((6, *grid.network_shape), (6.0, 2.0, 2.0), strict=True)]
    ramp = mm[0][:, None, None] / 4 + mm[1][:, None] / 16 + mm[2] / 8
    found = logits_of(replace(said, grid=grid, step=2, foreground=ramp, tumor=ramp), body("tumor", affine))[0]
    k, row, column = ((np.indices((7, 15, 12)).reshape(3, -1).T + [2, 5, 6] + 0.5) * 3.0).T
    assert found == pytest.approx(k / 4 + row / 16 + column / 8, abs=1e-3)


@pytest.mark.parametrize(("slice_mm", "tumor"), [(30.0, 5.0), (1.0, -3.7)])
def test_neighbouring_slabs_have_a_say_by_how_far_away_they_are(slice_mm, tumor):
    """One slab says tumor, the others kidney: it stands alone where it is as thick as a tumor."""
    alone = np.where(np.arange(12) == 5, 5.0, -5.0)[:, None, None]
    said, affine = maps(20.0, alone, slice_mm=slice_mm)
    assert logits_of(said, body("tumor", affine, slice(5, 6)))[1].mean() == pytest.approx(tumor, abs=0.1)
