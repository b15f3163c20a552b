"""HU by the landmarks of the histogram: what is certain is put right and told, what cannot be told is refused."""

import gzip

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage, signal
from wpunet import check, files, hu_scale, pixels
from wpunet.errors import InputError
from wpunet.volume import from_array

from Testing import phantom
from Testing.wpunet import patient

RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
HU = patient.hu()
WINDOW = np.clip((HU + 160.0) / 400, 0, 1)  # what is shown from -160 to 240 HU


def write(path, values, kind=np.int16):
    image = nib.Nifti1Image(np.ascontiguousarray(np.asarray(values).astype(kind).T), RAS @ patient.affine_lps())
    path.write_bytes(gzip.compress(image.to_bytes(), 1, mtime=0))
    return path


def spoiled(values, number, every=37):
    values = values.astype(np.int32)
    values[::7, ::every, ::every] = number
    return values


def padded(values, number, radius=50):
    """The corners outside a round field of view hold one number."""
    values = values.astype(np.int32)
    y, x = np.mgrid[: HU.shape[1], : HU.shape[2]]
    values[:, np.hypot(y - 44.5, x - 58.5) > radius] = number
    return values


RIGHTED = {
    "offset 1024": (HU.astype(int) + 1024, np.int16, "1024 was subtracted"),
    "offset 1024, unsigned": ((HU.astype(int) + 1024).clip(0), np.uint16, "1024 was subtracted"),
    "offset 1000": (HU.astype(int) + 1000, np.int16, "1000 was subtracted"),
    "offset and padding of -2000": (padded(HU.astype(int) + 1024, -2000), np.int16, "1024 was subtracted"),
    "offset and padding of -3024": (padded(HU.astype(int) + 1024, -3024), np.int16, "1024 was subtracted"),
    "offset and padding of -1024": (padded(HU.astype(int) + 1024, -1024), np.int16, "1024 was subtracted"),
    "offset and padding of -1000": (padded(HU.astype(int) + 1024, -1000), np.int16, "1024 was subtracted"),
    "offset and padding of -500": (padded(HU.astype(int) + 1024, -500), np.int16, "1024 was subtracted"),
    "offset and padding of 0": (padded(HU.astype(int) + 1024, 0), np.int16, "1024 was subtracted"),
    "offset and a few below 0": (spoiled(HU.astype(int) + 1024, -3), np.int16, "1024 was subtracted"),
    "offset and metal": (spoiled(HU.astype(int) + 1024, 30000), np.int16, "1024 was subtracted"),
    "wrapped": (HU.view(np.uint16), np.uint16, "read as unsigned"),
    "wrapped, as floats": (HU.view(np.uint16), np.float32, "read as unsigned"),
    "air at 0": (np.where(HU < -300, 0, HU), np.int16, "Air had 0"),
}
QUIET = {
    "as it is": (HU, np.int16),
    "floats": (HU, np.float32),
    "padding of -2000": (padded(HU, -2000), np.int16),
    "padding of -3024": (padded(HU, -3024), np.int16),
    "padding of 0": (padded(HU, 0), np.int16),
    "a few far below": (spoiled(HU, -8000), np.int16),
    "metal": (spoiled(HU, 30000), np.int16),
    "air cut off at -512": (HU.clip(-512), np.int16),
    "air cut off at -512, a round field of view": (padded(HU.clip(-512), -1024, 36), np.int16),
    "in steps of 8": (np.round(HU / 8.0) * 8, np.int16),
}
REFUSED = {
    "window to 0..255": (WINDOW * 255, np.uint8),
    "window to 0..1000": (WINDOW * 1000, np.int16),
    "window to 0..4095": (WINDOW * 4095, np.int16),
    "window to 0..65535": (WINDOW * 65535, np.uint16),
    "window to -128..127": (WINDOW * 255 - 128, np.int16),
    "window to 0..1": (WINDOW, np.float32),
    "window to -1..1": (WINDOW * 2 - 1, np.float32),
    "all of it to 0..1000": (np.clip((HU + 1000) / 2000, 0, 1) * 1000, np.int16),
    "twice": (HU * 2.0, np.int16),
    "half": (HU / 2.0, np.int16),
    "inverted": (-HU, np.int16),
    "shifted by 300": (HU + 300, np.int16),
    "12 bits, wrapped": (HU & 4095, np.int16),
    "labels": (HU > 100, np.int16),
    "noise": (np.random.default_rng(0).integers(-1000, 1500, HU.shape), np.int16),
}


@pytest.mark.parametrize("kind", RIGHTED)
def test_what_is_certain_is_put_right_and_told(told, truth, tmp_path, kind):
    values, dtype, says = RIGHTED[kind]
    report = told(write(tmp_path / "ct.nii.gz", values, dtype))
    assert says in " ".join(report["warnings"])
    assert patient.same_patient(report, truth)
    kidney = report["structures"][0]
    assert abs(kidney["mean_hu"] - truth["structures"][0]["mean_hu"]) < 3


@pytest.mark.parametrize("kind", QUIET)
def test_hu_stay_as_they_are(told, truth, tmp_path, kind):
    report = told(write(tmp_path / "ct.nii.gz", *QUIET[kind]))
    assert patient.same_patient(report, truth, ml=0.07)
    assert not any("subtracted" in text or "put right" in text for text in report["warnings"])


@pytest.mark.parametrize("kind", REFUSED)
def test_a_scale_that_cannot_be_told_is_refused(told, tmp_path, kind):
    line = told(write(tmp_path / "ct.nii.gz", *REFUSED[kind]))
    assert "HU" in line
    assert "give the CT" in line


def turned(values, degrees=15.0):
    """The phantom's numbers on a grid that lies obliquely, as ``from_array`` is given them, and put right."""
    angle = np.radians(degrees)
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return check.check(from_array(values, rotation @ MADE.affine, "ct"))


MADE = phantom.make(seed=5, shape=(24, 128, 128), spacing=(8.0, 3.0, 3.0))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (MADE.hu, ""),
        (MADE.hu.astype(np.int32) + 1024, "1024 was subtracted"),
        ((MADE.hu.astype(np.int64) + 1000).astype(np.uint32), "1000 was subtracted"),
        (np.where(MADE.hu < -300, 0, MADE.hu), "Air had 0"),
        (MADE.hu.view(np.uint16), "read as unsigned"),
        *((MADE.hu.astype(dtype), "") for dtype in (">i2", ">i4", ">f4", ">f8", np.float64)),
    ],
)
def test_the_same_holds_on_a_grid_that_is_resampled(values, says):
    wanted, _ = turned(MADE.hu)
    found, warnings = turned(values)
    assert found.hu.dtype == np.int16
    assert says in " ".join(warnings)
    assert bool(warnings) == bool(says)
    tissue = (wanted.hu > -120) & (found.hu > -120)  # in between, air that was cut off is interpolated otherwise
    assert tissue.mean() > 0.9 * (wanted.hu > -120).mean()
    assert np.median(np.abs(found.hu[tissue] - wanted.hu[tissue])) <= 1
    assert found.hu.min() >= -1100


@pytest.mark.parametrize("window", [(-160, 240), (-1000, 1000)])
def test_a_windowed_picture_is_refused_on_a_grid_that_is_resampled(window):
    grey = np.interp(MADE.hu, window, [0, 255]).astype(np.int16)
    with pytest.raises(InputError, match="HU"):
        turned(grey)


@pytest.mark.parametrize("phase", phantom.PHASES)
def test_contrast_does_not_matter(phase):
    made = phantom.make(seed=5, shape=(24, 128, 128), spacing=(8.0, 3.0, 3.0), phase=phase)
    for offset in (0, 1000, 1024):
        found, warnings = hu_scale.to_hu((made.hu.astype(np.int32) + offset).astype(np.int16), "ct")
        assert np.array_equal(found, made.hu)
        assert bool(warnings) == bool(offset)


def test_single_voxels_of_tissue_are_no_air():
    values = np.where(HU < -300, 0, HU)
    before = values.copy()
    found, _ = hu_scale.to_hu(values, "ct")
    assert np.array_equal(values, before)
    tissue = HU > -300
    assert (found[HU < -900] == hu_scale.AIR_HU).mean() > 0.97
    assert (found[tissue] == values[tissue]).mean() > 0.999


def test_a_slice_of_another_scale_is_told_by_its_number_behind_blank_ones():
    hu = np.random.default_rng(0).integers(-20, 20, (8, 16, 16)).astype(np.int16)
    hu[:2] = -1024
    hu[5] += 1000
    assert pixels.odd_slices(hu).tolist() == [5]


def test_real_ct_are_hu_and_their_distortions_are_not(data):
    cts = [*sorted((data / "unlabelled").glob("*.nii.gz")), *(data / "test_only").glob("*.nii.gz")]
    cts += [data / "ct_3mm" / "imaging.nii.gz", data / "kits19" / "data" / "case_00166" / "imaging.nii.gz"]
    for path in cts:
        hu = files.read(path).hu
        assert hu_scale.to_hu(hu, "ct") == (hu, ())
        air = np.where(hu <= -500, -1000, hu)
        for offset in (1000, 1024):
            found, warnings = hu_scale.to_hu((air + offset).astype(np.int16), "ct")
            assert f"{offset} was subtracted" in warnings[0], path
            assert np.array_equal(found, air)
        window = np.clip((hu + 160.0) / 400, 0, 1)
        for top in (255, 1000, 30000):
            with pytest.raises(InputError):
                hu_scale.to_hu(np.rint(window * top).astype(np.int16), "ct")


@pytest.mark.parametrize("seed", range(20))
def test_peaks_are_those_of_scipy(seed):
    random = np.random.default_rng(seed)
    curve = ndimage.gaussian_filter1d(random.random(400) ** random.integers(1, 9), random.choice([0.5, 2.5, 9.0]))
    curve = np.concatenate([[0.0], curve * 1000, [0.0]])
    for least in (1e-9, 1.0, 20.0, 200.0):
        assert np.array_equal(hu_scale.prominent(curve, least), signal.find_peaks(curve, prominence=least)[0])
