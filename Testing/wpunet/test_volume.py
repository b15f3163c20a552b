"""Whatever order voxels come in, the engine sees the same patient, and labels go back where they belong."""

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from wpunet import volume as geometry
from wpunet.errors import InputError

CODES = [
    "".join(axis[flip] for axis, flip in zip(order, flips, strict=True))
    for order in permutations(("RL", "AP", "SI"))
    for flips in product((0, 1), repeat=3)
]
SHAPE, SPACING = (7, 9, 11), (5.0, 0.8, 1.1)  # head to feet, to the back, to the left


@pytest.fixture
def upright():
    """An array in the engine's own order and its affine; all values differ."""
    array = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    affine = np.eye(4)
    affine[:3, :3] = geometry.AXES_RAS.T * SPACING
    affine[:3, 3] = (30, -20, 400)
    return array, affine


def turned(angle_degrees, axis):
    """Rotation about one of the patient's axes."""
    from scipy.spatial.transform import Rotation

    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz"[axis], angle_degrees, degrees=True).as_matrix()
    return matrix


def reoriented(array, affine, codes):
    image = nib.Nifti1Image(array, affine)
    wanted = nib.orientations.axcodes2ornt(tuple(codes))
    image = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(affine), wanted))
    return np.asarray(image.dataobj), image.affine


def test_there_are_48_orientations():
    assert len(set(CODES)) == 48


@pytest.mark.parametrize("codes", CODES)
def test_every_orientation_is_the_same_patient(upright, codes):
    array, affine = upright
    theirs, their_affine = reoriented(array, affine, codes)
    volume = geometry.from_array(theirs, their_affine)
    assert np.array_equal(volume.hu, array)
    assert np.allclose(volume.affine, affine)
    assert volume.spacing == pytest.approx(SPACING)
    labels = (array % 3).astype(np.uint8)
    back = geometry.to_source(labels, volume)
    assert np.array_equal(back, reoriented(labels, affine, codes)[0])


@pytest.mark.parametrize("axis", range(3))
def test_a_small_tilt_keeps_the_voxels(upright, axis):
    array, affine = upright
    tilted = turned(5, axis) @ affine
    volume = geometry.from_array(array, tilted)
    assert np.shares_memory(volume.hu, array)
    assert np.array_equal(volume.hu, array)
    assert np.allclose(volume.affine, tilted)


@pytest.mark.parametrize(("turn", "lean", "keeps"), [(7.9, 0, True), (8.1, 0, False), (0, 0.9, True), (0, 1.1, False)])
def test_voxels_are_kept_up_to_8_degrees_of_tilt_and_1_of_skew(upright, turn, lean, keeps):
    array, affine = upright
    affine[:3, 0] += np.linalg.norm(affine[:3, 0]) * np.tan(np.radians(lean)) * np.array([0, 1, 0])
    assert geometry.from_array(array, turned(turn, 0) @ affine).grid.upright == keeps


@pytest.mark.parametrize("codes", ["LPS", "RAS", "IPL", "ASR"])
def test_an_oblique_volume_is_seen_upright_and_labels_come_back(codes):
    size = 60
    axes = np.indices((size,) * 3) - size / 2
    ball = (axes[0] ** 2 + (axes[1] - 8) ** 2 + (axes[2] + 5) ** 2) < 12**2
    affine = np.eye(4)
    affine[:3, :3] = geometry.AXES_RAS.T * 2.0
    affine[:3, 3] = -affine[:3, :3] @ np.full(3, size / 2)
    array, oblique = reoriented((ball * 500).astype(np.int16), turned(25, 0) @ affine, codes)
    volume = geometry.from_array(array, oblique)
    directions = volume.affine[:3, :3] / volume.spacing
    assert np.allclose(directions, geometry.AXES_RAS.T)
    seen = volume.hu > 250
    centre = volume.affine[:3, :3] @ np.array(np.nonzero(seen)).mean(1) + volume.affine[:3, 3]
    truth = oblique[:3, :3] @ np.array(np.nonzero(array > 250)).mean(1) + oblique[:3, 3]
    assert np.abs(centre - truth).max() < 0.5  # mm
    back = geometry.to_source(seen.astype(np.uint8), volume)
    assert back.shape == array.shape
    truth = array > 250
    assert 2 * (back.astype(bool) & truth).sum() / (back.sum() + truth.sum()) > 0.95


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_oblique_volume_gets_the_numbers_back_that_it_was_given(dtype):
    """Of so many structures that a byte holds not all, two beside each other do not make a third one's."""
    volume = geometry.from_array(np.zeros((20, 20, 20), np.int16), turned(25, 0) @ np.diag([-1.0, -1, 1, 1]))
    numbers = np.full(volume.hu.shape, 3, dtype)
    numbers[volume.hu.shape[0] // 2 :] = 300 % (np.iinfo(dtype).max + 1)
    found = np.unique(geometry.to_source(numbers, volume))
    assert set(found.tolist()) == set(np.unique(numbers).tolist())


@pytest.mark.parametrize("broken", ["zero", "nan", "flat"])
def test_a_broken_affine_is_refused(upright, broken):
    array, affine = upright
    if broken == "zero":
        affine[:3, 1] = 0
    elif broken == "nan":
        affine[0, 0] = np.nan
    else:
        affine[:3, 1] = affine[:3, 2]
    with pytest.raises(InputError, match="broken affine"):
        geometry.from_array(array, affine, "case 7")


def test_axes_that_almost_lie_on_each_other_are_refused(upright):
    """An upright grid that tells its voxels apart would take the memory of thousands of CT."""
    array, affine = upright
    affine[:3, 1:3] = affine[:3, [0, 0]] + 0.5 * affine[:3, 1:3]
    with pytest.raises(InputError, match="far from right angles"):
        geometry.from_array(np.broadcast_to(array[:1, :1, :1], (200, 200, 200)), affine, "case 7")


def test_voxel_volume(upright):
    assert geometry.from_array(*upright).voxel_ml == pytest.approx(5.0 * 0.8 * 1.1 / 1000)


def test_a_volume_lies_slice_by_slice_whatever_the_order_in_the_file():
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    slices_last = np.asfortranarray(values)  # as KiTS19 has it: the slice runs fastest
    assert np.array_equal(geometry.by_slices(slices_last), values)
    assert geometry.by_slices(slices_last).flags.c_contiguous
    flipped = values[::-1, :, ::-1]
    assert geometry.by_slices(flipped) is flipped


def test_numbers_are_rounded_where_a_grid_is_resampled_not_cut_off():
    """A ramp of 3 HU a voxel: cut off, all would be half a HU too low."""
    ramp = np.broadcast_to(np.arange(64, dtype=np.int16)[:, None, None] * 3, (64, 64, 64))
    affine = turned(20, 0) @ turned(15, 1) @ np.diag([-1.0, -1.0, 1.0, 1.0])
    volume = geometry.from_array(ramp, affine, "ramp")
    assert not volume.grid.upright
    to_input = np.linalg.inv(affine) @ volume.affine
    ours = np.stack([*np.indices(volume.hu.shape), np.ones(volume.hu.shape)])
    theirs = np.einsum("ab,bijk->aijk", to_input, ours)[:3]
    inside = ((theirs >= 0) & (theirs <= 63)).all(0)
    error = (volume.hu - 3 * theirs[0])[inside]
    assert abs(error.mean()) < 0.02
    assert np.abs(error).max() < 0.51
