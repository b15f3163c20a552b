"""The quick pass leaves nothing out that the close look would find."""

import nibabel as nib
import numpy as np
import pytest
from wpunet import files, locate
from wpunet.errors import InputError
from wpunet.volume import from_array

from Testing import phantom
from Testing.wpunet.oracle import Oracle, Recorder, volume_with_ball


def found(volume, runtime=None):
    return locate.locate(volume, runtime or Oracle(), 1.6, Recorder())


@pytest.mark.parametrize("spacing", [(0.5, 2.0, 2.0), (2.0, 2.0, 2.0), (5.0, 2.0, 2.0), (12.0, 2.0, 2.0)])
def test_the_box_holds_the_ball_with_32_mm_to_spare(spacing):
    shape = (int(300 / spacing[0]), 120, 140)
    centre = (shape[0] // 2, 60, 70)
    region = found(volume_with_ball(shape, spacing, centre, 24))
    for side, middle, step in zip(region.box, centre, spacing, strict=True):
        assert (middle - side.start) * step >= 24 + 32 - 8 - step
        assert (side.stop - middle) * step >= 24 + 32 - 8 - step
        assert (side.stop - side.start) * step < 2 * (24 + 32) + 3 * max(8, step)


def test_the_box_reaches_32_mm_beyond_the_first_and_the_last_slice_that_show_a_kidney():
    volume = volume_with_ball((30, 40, 60), (5.0, 2.0, 2.0), (15, 20, 30), radius_mm=29)
    assert found(volume).slices == slice(4, 27)  # seen at every other slice from 11 to 19; 32 mm are 6.4 slices


@pytest.mark.parametrize(("side_mm", "seen"), [(4, False), (8, True)])
def test_what_is_less_than_40_mm2_in_a_slice_is_a_speck(side_mm, seen):
    volume = volume_with_ball((11, 60, 200), (4.0, 1.0, 1.0), radius_mm=0, hu=30)
    volume.hu[:, 20 : 20 + side_mm, 30 : 30 + side_mm] = 150
    assert (found(volume) != locate.whole(volume)) == seen


def test_a_quick_pass_looks_every_8_mm():
    runtime = Oracle()
    found(volume_with_ball((400, 40, 40), (0.5, 2.0, 2.0), (200, 20, 20)), runtime)
    assert runtime.slices == 25


def test_the_box_ends_with_the_scan():
    region = found(volume_with_ball(centre=(0, 5, 99)))
    assert (region.slices.start, region.rows.start, region.columns.stop) == (0, 0, 100)


def test_a_scan_thinner_than_a_step_is_looked_at():
    volume = volume_with_ball((3, 60, 200), (0.5, 2.0, 2.0), (1, 30, 40), 24)
    assert found(volume).columns.stop < 100


def test_where_nothing_is_seen_all_is_looked_at():
    volume = volume_with_ball(radius_mm=0, hu=30)
    assert found(volume) == locate.whole(volume)


@pytest.mark.parametrize("case", ["case_00000", "case_00166"])
def test_no_kidney_of_a_real_patient_is_left_out(segmenter, data, case):
    folder = data / "kits19" / "data" / case
    volume, truth = files.read(folder / "imaging.nii.gz"), files.read(folder / "segmentation.nii.gz").hu
    region = found(volume, segmenter.runtime)
    assert np.count_nonzero(truth[region.box]) == np.count_nonzero(truth)
    assert np.prod(region.shape) < 0.8 * truth.size


@pytest.mark.parametrize("seed", range(4))
def test_no_kidney_of_a_phantom_is_left_out(segmenter, seed):
    made = phantom.make(seed=seed, shape=(80, 128, 144), spacing=(6.0, 2.8, 2.8), phase=list(phantom.PHASES)[seed])
    region = found(from_array(made.hu, made.affine), segmenter.runtime)
    assert np.count_nonzero(made.labels[region.box]) == np.count_nonzero(made.labels)


@pytest.mark.parametrize("codes", ["RAS", "LPI", "SAR", "PIL"])
def test_a_box_in_the_files_own_voxels_becomes_that_region(codes):
    array = np.zeros((40, 50, 60), np.int16)
    array[5:12, 20:33, 41:60] = 100
    affine = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(tuple(codes)), array.shape) @ np.diag(
        [2.0, 2.0, 2.0, 1.0]
    )
    volume = from_array(array, affine)
    region = locate.within(volume, ((5, 12), (20, 33), (41, 99)))
    assert (volume.hu[region.box] == 100).all()
    assert np.prod(region.shape) == 7 * 13 * 19


def test_a_box_in_an_oblique_ct_lies_within_its_region():
    array = np.zeros((60, 60, 60), np.int16)
    array[20:30, 25:35, 10:50] = 1000
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]]
    volume = from_array(array, turn @ np.diag([2.0, 2.0, 2.0, 1.0]))
    region = locate.within(volume, ((20, 30), (25, 35), (10, 50)))
    assert np.count_nonzero(volume.hu[region.box] > 500) == np.count_nonzero(volume.hu > 500)
    assert np.prod(region.shape) < 0.1 * volume.hu.size


@pytest.mark.parametrize("box", [((5, 5), (0, 9), (0, 9)), ((0, 9), (0, 9), (200, 300)), ((-9, 0), (0, 9), (0, 9))])
def test_a_box_beside_the_ct_is_told(box):
    volume = from_array(np.zeros((40, 50, 60), np.int16), np.eye(4), "the CT")
    with pytest.raises(InputError, match="holds nothing of the CT"):
        locate.within(volume, box)


@pytest.mark.parametrize("box", [((0, 9), (0, 9)), ((0, 9),) * 4, ((0, 9), (0, 9), (0, 9, 1)), (0, 9, 0)])
def test_a_box_of_other_than_three_ranges_is_told(box):
    volume = from_array(np.zeros((40, 50, 60), np.int16), np.eye(4))
    with pytest.raises(
        InputError, match=r"is no box; give three ranges of voxels: \(\(0, 512\), \(100, 400\), \(20, 90\)\)"
    ):
        locate.within(volume, box)
