"""A few small slices of DICOM: every number is the one that was stored; what makes no stack is told as what it is."""

import numpy as np
import pytest
from pydicom.uid import RLELossless
from wpunet import files
from wpunet.errors import InputError

from Testing.wpunet import patient
from Testing.wpunet.slices import UID, enhanced, store, write_series
from Testing.wpunet.test_geometry import turned

HU = np.random.default_rng(0).integers(-1000, 1000, (5, 20, 24)).astype(np.int16)  # from the feet up
PAD = np.s_[:, 3:6, 7:9]


def read(folder, change=lambda ds, k: None, hu=HU, **more):
    return files.read(write_series(folder / "series", change, hu=hu, **more))


def numbers(*given, **more):
    """HU (slice, row, column) from the feet up, as they were written."""
    return read(*given, **more).hu[::-1]


def test_pixels_that_are_no_squares_have_their_own_spacing(tmp_path):
    matrix = patient.affine_lps() @ np.diag([1.0, 0.5, 1.0, 1.0])
    assert read(tmp_path, matrix=matrix).spacing == pytest.approx((5.0, 1.5, 3.0))


def test_twelve_bits_may_lie_above_four_others(tmp_path):
    def change(ds, k):
        store(ds, HU[k], "<u2")
        raw = np.frombuffer(ds.PixelData, "<u2")
        ds.BitsStored, ds.HighBit, ds.PixelData = 12, 15, (raw << 4 | k).astype("<u2").tobytes()

    assert np.array_equal(numbers(tmp_path, change), HU)


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, -1024.6), (0.5, -1000.3)])
def test_a_rescale_in_fractions_is_rounded_once(tmp_path, slope, intercept):
    stored = np.rint((HU - intercept) / slope)
    found = numbers(tmp_path, lambda ds, k: store(ds, HU[k], "<u2", intercept, slope))
    assert np.array_equal(found, np.rint(stored * slope + intercept))


@pytest.mark.parametrize(
    ("kind", "number", "stated", "limit", "is_padding"),
    [
        ("<i2", -2000, 63536, None, True),  # of signed pixels, written unsigned
        ("<i2", -2000, -2000, None, True),
        ("<i2", -32768, 32768, None, True),  # the lowest that there is
        ("<u2", 64005, 64000, 64010, True),
        ("<u2", 64005, 64010, 64000, True),
        ("<u2", 64011, 64000, 64010, False),
        ("<u2", 64010, None, 64010, False),  # an end without a beginning
    ],
)
def test_padding_becomes_air(tmp_path, kind, number, stated, limit, is_padding):
    def change(ds, k):
        store(ds, HU[k], kind)
        raw = np.frombuffer(ds.PixelData, kind).reshape(HU[k].shape).copy()
        raw[PAD[1:]] = number
        ds.PixelData = raw.tobytes()
        for tag, value in ((0x00280120, stated), (0x00280121, limit)):
            if value is not None:
                ds.add_new(tag, "SS" if value < 0 else "US", value)

    expected = HU.copy()
    expected[PAD] = -1024 if is_padding else min(number - 1024, 32767)
    assert np.array_equal(numbers(tmp_path, change), expected)


def test_padding_of_packed_slices_becomes_air(tmp_path):
    """ITK has brought them to HU: so has to be what is stated of them."""

    def change(ds, k):
        store(ds, HU[k], "<u2", -1000, 2.0)
        raw = np.frombuffer(ds.PixelData, "<u2").reshape(HU[k].shape).copy()
        raw[PAD[1:]] = 3000
        ds.PixelData = raw.tobytes()
        ds.add_new(0x00280120, "US", 3000)
        ds.compress(RLELossless, encoding_plugin="pydicom")

    expected = np.rint((HU.astype(float) + 1000) / 2) * 2 - 1000
    expected[PAD] = -1024
    assert np.array_equal(numbers(tmp_path, change), expected)


def moved(which, mm):
    def change(ds, k):
        if k == which:
            x, y, z = ds.ImagePositionPatient
            ds.ImagePositionPatient = [x, y, float(z) + mm]

    return change


def test_a_tenth_of_their_distance_is_how_uneven_slices_may_lie(tmp_path):
    assert read(tmp_path / "even", moved(2, 0.45)).spacing[0] == pytest.approx(5.0)
    with pytest.raises(InputError, match="unevenly spaced"):
        read(tmp_path / "uneven", moved(2, 0.55))


def test_slices_may_lie_a_millimetre_beside_the_line_of_the_others(tmp_path):
    def aside(mm):
        def change(ds, k):
            if k == 2:
                x, y, z = ds.ImagePositionPatient
                ds.ImagePositionPatient = [float(x) + mm, y, z]

        return change

    assert np.array_equal(numbers(tmp_path / "near", aside(0.9)), HU)
    with pytest.raises(InputError, match=r"lies 1\.1 mm beside the line"):
        read(tmp_path / "far", aside(1.1))


def test_a_series_without_a_modality_may_be_a_ct(tmp_path):
    assert np.array_equal(numbers(tmp_path / "none", lambda ds, k: delattr(ds, "Modality")), HU)
    with pytest.raises(InputError, match="holds MR, not CT"):
        read(tmp_path / "other", lambda ds, k: setattr(ds, "Modality", "MR"))


def test_slices_next_to_each_other_by_a_hundredth_of_their_distance_lie_at_one_place(tmp_path):
    with pytest.raises(InputError, match=r"lie at the same position \(2 slices do\)"):
        read(tmp_path, moved(2, -4.97))


@pytest.mark.parametrize("other", ["rescale", "acquisition"])
def test_the_same_bytes_at_one_place_may_be_another_picture(tmp_path, other):
    folder = write_series(tmp_path / "series", lambda ds, k: setattr(ds, "AcquisitionNumber", 1), hu=HU)

    def change(ds, k):
        if k != 2:
            return False
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID + ".1.99"
        ds.AcquisitionNumber = 2 if other == "acquisition" else 1
        ds.RescaleIntercept = -1000 if other == "rescale" else -1024
        return None

    with pytest.raises(InputError, match="same position" if other == "rescale" else "2 acquisitions"):
        files.read(write_series(folder, change, hu=HU, name="X{}.dcm"))


def test_a_series_of_localizers_is_not_taken_for_the_ct(tmp_path):
    folder = write_series(tmp_path / "series", hu=HU)
    kind = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    write_series(folder, lambda ds, k: setattr(ds, "ImageType", kind), hu=HU, series=".2", name="L{}.dcm")
    assert files.read(folder).series == UID + ".1"


def test_a_frame_lies_where_it_says_itself(tmp_path):
    ds = enhanced(change=lambda frame, k: delattr(frame, "PlanePositionSequence"))
    ds.ImagePositionPatient = [0, 0, 0]  # of the file
    ds.save_as(tmp_path / "multi.dcm", enforce_file_format=True)
    with pytest.raises(InputError, match="no valid Image Position"):
        files.read(tmp_path)


@pytest.mark.parametrize(("stated", "turn", "told"), [(14.0, 0, True), (46.0, 0, False), (14.0, 14, False)])
def test_a_tilt_that_is_stated_alone_is_told_where_it_can_be_one(tmp_path, stated, turn, told):
    """The slices of a body that is turned lie one behind the other all the same."""
    matrix = turned(turn, (1, 0, 0)) @ patient.affine_lps()
    volume = read(tmp_path, lambda ds, k: setattr(ds, "GantryDetectorTilt", stated), matrix=matrix)
    assert any("degrees is stated, but" in one for one in volume.warnings) == told
