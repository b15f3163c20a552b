"""What cannot be a CT is refused or told; what can be put right is."""

import numpy as np
import pytest
from wpunet import check, files, pixels
from wpunet.errors import InputError
from wpunet.volume import from_array

from Testing import phantom


@pytest.fixture(scope="module")
def made():
    return phantom.make(seed=5, shape=(24, 128, 128), spacing=(8.0, 3.0, 3.0))


def volume_of(made, hu=None, spacing=None):
    affine = made.affine.copy()
    if spacing:
        affine[:3, :3] *= np.array(spacing) / np.linalg.norm(affine[:3, :3], axis=0)
    return from_array(made.hu if hu is None else hu, affine, "ct.nii.gz")


def warnings_of(*arguments, **named):
    return " ".join(check.check(volume_of(*arguments, **named))[1])


def test_a_ct_passes_without_a_word(made):
    volume, warnings = check.check(volume_of(made))
    assert warnings == ()
    assert volume.hu is not None
    assert np.array_equal(volume.hu, made.hu)


def test_an_offset_of_1024_is_taken_away(made):
    stored, _ = pixels.to_int16((made.hu.astype(np.int32) + 1024).clip(0).astype(np.uint16), "ct")
    volume, warnings = check.check(volume_of(made, stored))
    assert "1024 was subtracted" in warnings[0]
    assert np.array_equal(volume.hu, made.hu.clip(-1024))


def test_a_windowed_picture_is_refused(made):
    grey = np.interp(made.hu, [-160, 240], [0, 255]).astype(np.int16)
    with pytest.raises(InputError, match="grey values from 0 to 255"):
        check.check(volume_of(made, grey))


def test_one_value_only_is_refused(made):
    with pytest.raises(InputError, match=r"one value only \(7\)"):
        check.check(volume_of(made, np.full_like(made.hu, 7)))


def test_a_single_bright_voxel_is_not_one_value(made):
    hu = np.full_like(made.hu, -1000)
    hu[1, 1, 1] = 50
    with pytest.raises(InputError, match="fat and soft tissue are not where they are in HU"):
        check.check(volume_of(made, hu))


def test_no_air_is_told(made):
    assert "no air" in warnings_of(made, made.hu.clip(-150))


@pytest.mark.parametrize(
    ("shape", "says"), [((1, 96, 96), "1 slices"), ((2, 96, 96), "2 slices"), ((3, 3, 3), "too small")]
)
def test_what_is_too_small_is_refused(shape, says):
    with pytest.raises(InputError, match=says):
        check.check(from_array(np.zeros(shape, np.int16), np.diag([-1.0, -1, -1, 1])[[2, 1, 0, 3]], "ct"))


@pytest.mark.parametrize(
    ("spacing", "says"),
    [
        ((10.0, 3.0, 3.0), "10.0 mm apart"),
        ((8.0, 0.1, 0.1), "too small"),
        ((8.0, 5.0, 5.0), "unusual for a CT"),
        ((8.0, 12.0, 12.0), "field of view of 1536 mm"),
    ],
)
def test_odd_spacing_is_told(made, spacing, says):
    if says == "too small":
        with pytest.raises(InputError, match=says):
            warnings_of(made, spacing=spacing)
    else:
        assert says in warnings_of(made, spacing=spacing)


def test_a_picture_upside_down_is_told():
    made = phantom.make(seed=5, shape=(24, 200, 200), spacing=(8.0, 1.9, 1.9))
    assert "flipped" not in warnings_of(made)
    assert "flipped" in warnings_of(made, np.ascontiguousarray(made.hu[:, ::-1]))


def test_real_ct_are_told_from_flipped_ones(data):
    cts = [*sorted((data / "unlabelled").glob("*.nii.gz")), *(data / "test_only").glob("*.nii.gz")]
    cts += [data / "ct_3mm" / "imaging.nii.gz", data / "dicom" / "abdomen_noncontrast"]
    cts += [data / "kits19" / "data" / "case_00166" / "imaging.nii.gz"]
    told = {True: 0, False: 0}
    for path in cts:
        volume = files.read(path)
        for flipped in told:
            hu = np.ascontiguousarray(volume.hu[:, ::-1]) if flipped else volume.hu
            told[flipped] += "flipped" in " ".join(check.check(volume.with_hu(hu))[1])
    assert len(cts) == 9
    assert told[False] == 0
    assert told[True] >= 6


def test_numbers_that_are_none_become_air():
    values = np.full((4, 20, 20), 40.0, np.float32)
    values[0, 0, :3] = (np.nan, np.inf, -np.inf)
    hu, warnings = pixels.to_int16(values, "ct")
    assert hu.dtype == np.int16
    assert hu[0, 0].tolist() == [-1024] * 3 + [40] * 17
    assert "3 voxels are not numbers" in warnings[0]


@pytest.mark.filterwarnings("error")  # NumPy's own words are nobody's business
def test_an_array_becomes_hu_as_a_file_does(made):
    values = made.hu.astype(np.float32)
    values[5, 3:6] = np.nan
    volume, warnings = check.check(volume_of(made, values))
    assert f"{3 * made.hu.shape[2]} voxels are not numbers" in warnings[0]
    assert volume.hu.dtype == np.int16
    assert (volume.hu[5, 3:6] == -1024).all()
    assert np.array_equal(np.delete(volume.hu, 5, 0), np.delete(made.hu, 5, 0))
    volume, warnings = check.check(volume_of(made, made.hu.astype(np.uint16)))  # negative numbers read as unsigned
    assert np.array_equal(volume.hu, made.hu)
    assert "unsigned" in warnings[0]


def test_mostly_no_numbers_is_refused():
    values = np.full((4, 20, 20), np.nan)
    values[0] = 1
    with pytest.raises(InputError, match="mostly not a number"):
        pixels.to_int16(values, "ct")
    with pytest.raises(InputError, match="plain numbers"):
        pixels.to_int16(np.zeros((2, 2, 2), complex), "ct")


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.float32, np.float64, bool])
def test_all_number_types_become_hu(dtype):
    hu, warnings = pixels.to_int16(np.ones((2, 2, 2), dtype), "ct")
    assert hu.dtype == np.int16
    assert (hu == 1).all()
    assert warnings == ()


def test_values_beyond_int16_are_clipped():
    hu, _ = pixels.to_int16(np.array([-1e9, -99999, 0.6, 99999, 1e9]), "ct")
    assert hu.tolist() == [pixels.LOWEST_HU, pixels.LOWEST_HU, 1, pixels.HIGHEST_HU, pixels.HIGHEST_HU]


@pytest.mark.parametrize(
    ("which", "count"), [(slice(10, 12), 2), (slice(0, 1), 1), (slice(22, None), 2), (slice(5, 18, 8), 2)]
)
def test_slices_with_a_scale_of_their_own_are_told(made, which, count):
    hu = made.hu.copy()
    hu[which] += 1024
    warnings = " ".join(check.check(volume_of(made, hu))[1])
    assert f"{count} slice(s) have numbers that differ from those of the others by a constant" in warnings


def test_where_many_slices_have_a_scale_of_their_own_the_refusal_says_so(made):
    hu = made.hu.copy()
    hu[1::2] += 1024
    with pytest.raises(InputError, match=r"not where they are in HU.* 12 slice\(s\) have numbers that differ"):
        check.check(volume_of(made, hu))


def test_blank_slices_have_no_scale(made):
    hu = made.hu.copy()
    hu[:3], hu[12:14] = -1024, 0
    assert "by a constant" not in warnings_of(made, hu)
