"""HU to the network's input and back: the numbers a training and a run must agree on."""

import numpy as np
import pytest
from wpunet.preprocess import InPlaneGrid, normalise, resampling_matrix


def test_the_window_reaches_from_fat_to_contrast():
    assert np.allclose(normalise(np.array([-1000, -160, 90, 340, 3000], np.int16)), [-1, -1, 0, 1, 1])


@pytest.mark.parametrize(
    ("size", "step", "new", "new_step"), [(512, 0.92, 304, 1.6), (100, 3.0, 192, 1.6), (7, 1, 7, 1)]
)
def test_resampling_keeps_a_ramp_a_ramp(size, step, new, new_step):
    matrix = resampling_matrix(size, step, new, new_step)
    ramp = matrix @ ((np.arange(size) + 0.5) * step)
    centres = (np.arange(new) + 0.5) * new_step
    inside = (centres > max(step, new_step)) & (centres < size * step - max(step, new_step))
    assert np.abs(ramp[inside] - centres[inside]).max() < 0.1  # mm


def test_beyond_the_border_there_is_nothing_or_the_edge_again():
    assert resampling_matrix(4, 1.0, 6, 1.0)[4:].sum() == 0
    assert np.array_equal(resampling_matrix(4, 1.0, 6, 1.0, repeat_edge=True)[4:, 3], [1, 1])


def test_shrinking_does_not_alias():
    stripes = np.tile([-1.0, -1.0, 1.0, 1.0], 64)  # a fine triangle would see their edges alone
    shifted = np.roll(stripes, 1)
    for one in (stripes, shifted):
        assert np.abs(resampling_matrix(256, 0.5, 64, 2.0) @ one)[1:-1].max() < 0.01


@pytest.mark.parametrize("spacing", [(0.92, 0.92), (3.0, 3.0), (0.7, 5.0), (1.6, 1.6)])
def test_a_blob_comes_back_where_it_was(spacing):
    shape = tuple(int(200 / step) for step in spacing)
    rows, columns = np.meshgrid(*((np.arange(n) + 0.5) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij")
    hu = 200 * np.exp(-((rows - 90) ** 2 + (columns - 120) ** 2) / (2 * 15.0**2)) - 100
    grid = InPlaneGrid(shape, spacing, 1.6)
    seen = grid.to_network(hu[None])
    assert seen.shape[-2:] == grid.network_shape
    weights = np.clip(grid.to_ct(seen[0])[0] - normalise(np.array(-95.0)), 0, None)
    row, column = (np.average(axis, weights=weights) for axis in (rows, columns))
    assert max(abs(row - 90), abs(column - 120)) < 0.2  # mm


def test_padding_is_air():
    seen = InPlaneGrid((100, 100), (1.6, 1.6), 1.6).to_network(np.full((1, 100, 100), 90, np.int16))[0, 0]
    assert seen.shape == (112, 112)
    assert np.allclose(seen[:100, :100], 0.0, atol=1e-5)
    assert (seen[100:] == -1).all()


@pytest.mark.parametrize("spacing", [(0.92, 0.92), (3.0, 3.0), (0.7, 5.0), (1.6, 1.6)])
@pytest.mark.parametrize("seat", [(10, 12), (0, 0), (-3, -4)])
def test_a_part_comes_back_as_from_the_whole(spacing, seat):
    """Beyond the part nothing is above the limit, within it all is as without it."""
    grid = InPlaneGrid((int(200 / spacing[0]), int(160 / spacing[1])), spacing, 1.6)
    maps = np.random.default_rng(0).uniform(-9, -7, grid.network_shape).astype(np.float32)
    maps[seat[0] :, seat[1] :][:3, :4] = 9.0
    whole = grid.to_ct(maps)
    part = grid.part(maps > -6)
    assert np.allclose(grid.to_ct(maps[part.network], part), whole[part.ct], atol=1e-5)
    whole[part.ct] = -10
    assert (whole < -6).all()
    assert grid.part(np.zeros(grid.network_shape, bool)) is None


def test_maps_go_from_one_grid_to_another_of_the_same_region():
    """A slope stays a slope, whichever pixels it is told in."""
    coarse, fine = (InPlaneGrid((100, 120), (1.0, 1.0), mm) for mm in (2.0, 1.6))
    rows, columns = (np.arange(n) * 2.0 + 1.0 for n in coarse.network_shape)
    moved = coarse.to_grid((rows[:, None] + 3 * columns)[None], fine)
    rows, columns = (np.arange(n) * 1.6 + 0.8 for n in fine.network_shape)
    assert moved.shape == (1, *fine.network_shape)
    inside = np.s_[0, 1:60, 1:70]  # at the border the outermost sample repeats
    assert np.allclose(moved[inside], (rows[:, None] + 3 * columns)[inside[1:]], atol=1e-3)
