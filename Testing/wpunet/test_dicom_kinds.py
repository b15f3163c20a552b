"""DICOM folders: every slice by its own statements, what is no CT left out by name, what is unclear refused."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import RLELossless

from Testing.wpunet import patient
from Testing.wpunet.slices import UID, enhanced, one_slice, store, write_series

HU = patient.hu()


def same(report, truth):
    return patient.same_patient(report, truth, ml=0.02, mm=1.0)


@pytest.mark.parametrize("which", [(0,), (20, 21), range(0, 44, 2)])
@pytest.mark.parametrize(
    ("kind", "intercept", "slope"),
    [("<u2", -1024, 1), ("<i2", 0, 1), ("<i2", -1000, 2.0), ("<u2", -1024.0, 0.0444), ("<i4", 0, 1), ("<u1", -100, 2)],
)
def test_each_slice_has_its_own_numbers(told, truth, tmp_path, which, kind, intercept, slope):
    if kind == "<u1" and tuple(which) != (0,):
        pytest.skip("eight bits hold no whole CT")

    def change(ds, k):
        if k in which:
            store(ds, HU[k], kind, intercept, slope)

    assert same(told(write_series(tmp_path / "series", change)), truth)


def test_twelve_bits_with_an_overlay_in_the_others(told, truth, tmp_path):
    def change(ds, k):
        store(ds, HU[k].clip(-1024, 3071), "<u2")
        raw = np.frombuffer(ds.PixelData, "<u2") | 0xF000 * (np.arange(HU[k].size) % 3 == 0)
        ds.BitsStored, ds.HighBit, ds.PixelData = 12, 11, raw.astype("<u2").tobytes()

    assert same(told(write_series(tmp_path / "series", change)), truth)


def test_signed_numbers_of_twelve_bits(told, truth, tmp_path):
    def change(ds, k):
        store(ds, HU[k].clip(-1024, 2047), "<i2", 0)
        raw = np.frombuffer(ds.PixelData, "<u2") & 0x0FFF
        ds.BitsStored, ds.HighBit, ds.PixelData = 12, 11, raw.tobytes()

    assert same(told(write_series(tmp_path / "series", change)), truth)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("stated", [63536, -2000])
def test_padding_is_no_tissue(told, truth, tmp_path, signed, stated):
    y, x = np.mgrid[: HU.shape[1], : HU.shape[2]]
    outside = np.hypot(y - 44.5, x - 58.5) > 52

    def change(ds, k):
        store(ds, HU[k], "<i2" if signed else "<u2")
        raw = np.frombuffer(ds.PixelData, "<u2").reshape(outside.shape).copy()
        raw[outside] = 63536
        ds.PixelData = raw.tobytes()
        kind = "SS" if stated < 0 else "US"
        ds.add_new(0x00280120, kind, stated)

    assert same(told(write_series(tmp_path / "series", change)), truth)


def test_a_range_of_padding(told, truth, tmp_path):
    def change(ds, k):
        store(ds, HU[k], "<u2")
        raw = np.frombuffer(ds.PixelData, "<u2").reshape(HU[k].shape).copy()
        raw[:6], raw[-4:] = 64000, 64010
        ds.PixelData = raw.tobytes()
        ds.add_new(0x00280120, "US", 64000)
        ds.add_new(0x00280121, "US", 64020)

    assert same(told(write_series(tmp_path / "series", change)), truth)


def test_inverted_slices_are_refused_and_others_of_that_kind_are_not(told, truth, tmp_path):
    def label_only(ds, k):
        ds.PhotometricInterpretation = "MONOCHROME1"

    def inverted(ds, k):
        if k == 9:
            store(ds, 1000 - HU[k])
            ds.PhotometricInterpretation = "MONOCHROME1"

    assert same(told(write_series(tmp_path / "label", label_only)), truth)
    assert "IM0009.dcm is stored inverted (MONOCHROME1)" in told(write_series(tmp_path / "inverted", inverted))


@pytest.mark.parametrize(
    ("tag", "value", "says"),
    [
        ("RescaleSlope", None, "states no rescale"),
        ("RescaleSlope", 0, "states no rescale"),
        ("RescaleIntercept", "delete", "states no rescale"),
        ("RescaleType", "MGML", "holds MGML, not HU"),
    ],
)
def test_a_slice_without_its_scale_is_refused(told, tmp_path, tag, value, says):
    def change(ds, k):
        if k == 7:
            if value == "delete":
                delattr(ds, tag)
            else:
                setattr(ds, tag, value)

    line = told(write_series(tmp_path / "series", change))
    assert says in line
    assert "IM0007.dcm" in line


@pytest.mark.parametrize("form", ["RLE", "big endian", "implicit", "deflated"])
def test_transfer_syntaxes(told, truth, tmp_path, form):
    from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

    folder = tmp_path / "series"
    folder.mkdir()
    for k, pixels in enumerate(HU):
        ds = one_slice(pixels, k)
        if form == "RLE":
            ds.compress(RLELossless, encoding_plugin="pydicom")
        elif form == "deflated":
            ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        elif form == "implicit":
            ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        else:
            ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
            ds.PixelData = np.frombuffer(ds.PixelData, "<i2").astype(">i2").tobytes()
        ds.save_as(folder / f"{k}", enforce_file_format=True)
    assert same(told(folder), truth)


def test_files_without_preamble(told, truth, tmp_path):
    folder = tmp_path / "bare"
    folder.mkdir()
    for k, pixels in enumerate(HU):
        ds = one_slice(pixels, k)
        del ds.file_meta
        ds.save_as(folder / f"IM{k:04d}", implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert same(told(folder), truth)


def test_enhanced_ct(told, truth, tmp_path, segment):
    order = np.random.default_rng(0).permutation(len(HU)).tolist()
    scales = [(1.0, -1024.0), (0.5, -1024.0), (2.0, -1000.0)]
    kinds = {
        "in order": enhanced(),
        "from the head": enhanced(order=range(len(HU))[::-1]),
        "shuffled": enhanced(order=order),
        "own rescale": enhanced(rescale=lambda k: scales[k % 3]),
        "shuffled, own rescale": enhanced(order=order, rescale=lambda k: scales[k % 3]),
    }
    for name, ds in kinds.items():
        folder = tmp_path / name
        folder.mkdir()
        ds.save_as(folder / "multi.dcm", enforce_file_format=True)
        assert patient.same_patient(told(folder), truth, ml=0.03, mm=1.0), name
    file = tmp_path / "shuffled" / "multi.dcm"
    file.rename(tmp_path / "one")  # a file, too
    assert same(told(tmp_path / "one"), truth)


def test_an_enhanced_ct_that_cannot_be_honoured_is_refused(told, tmp_path):
    def without(name):
        return lambda frame, k: delattr(frame, name)

    kinds = {
        "missing or unevenly": enhanced(order=[k for k in range(len(HU)) if k != 20]),
        "same position": enhanced(order=[*range(len(HU)), 7]),
        "no valid Image Position": enhanced(change=without("PlanePositionSequence")),
        "states no rescale": enhanced(
            change=lambda frame, k: delattr(frame, "PixelValueTransformationSequence") if k == 3 else None
        ),
    }
    for says, ds in kinds.items():
        folder = tmp_path / says.replace(" ", "_")
        folder.mkdir()
        ds.save_as(folder / "multi.dcm", enforce_file_format=True)
        assert says in told(folder), says


def in_frame(sequence, keyword, values):
    """Frames of which each states something in a sequence of its own, the first half ``values[0]``."""

    def change(frame, k):
        item = Dataset()
        first = not getattr(change, "seen", set()) & {k}
        change.seen = getattr(change, "seen", set()) | {k}
        setattr(item, keyword, values[0 if first else 1])
        setattr(frame, sequence, Sequence([item]))

    return change


@pytest.mark.parametrize(
    ("sequence", "keyword", "values", "says"),
    [
        ("FrameContentSequence", "TemporalPositionIndex", (1, 2), "2 time points: 1 (44 slices), 2 (44 slices)"),
        ("FrameContentSequence", "FrameAcquisitionNumber", (1, 2), "2 acquisitions: 1 (44 slices), 2 (44 slices)"),
        ("FrameContentSequence", "StackID", ("A", "B"), "2 stacks: A (44 slices), B (44 slices)"),
        ("CTReconstructionSequence", "ConvolutionKernel", ("B30f", "B70f"), "2 reconstructions: B30f (44 slices)"),
        (
            "CTImageFrameTypeSequence",
            "FrameType",
            (["DERIVED", "PRIMARY", "VOLUME", "ADD"], ["DERIVED", "PRIMARY", "VOLUME", "SUBTRACT"]),
            "2 kinds of picture",
        ),
        (
            "FrameContentSequence",
            "FrameComments",
            ("x", "y"),
            "frame 1 and multi.dcm, frame 45 lie at the same position",
        ),
    ],
)
def test_frames_of_two_pictures_are_named_by_what_tells_them_apart(told, tmp_path, sequence, keyword, values, says):
    ds = enhanced(order=[*range(len(HU))] * 2, change=in_frame(sequence, keyword, values))
    pixels = np.frombuffer(ds.PixelData, "<i2").reshape(2, -1) + np.array([[0], [7]], "<i2")
    ds.PixelData = pixels.astype("<i2").tobytes()
    save(ds, tmp_path / "multi.dcm")
    line = told(tmp_path)
    assert says in line
    assert "remove one" not in line


@pytest.mark.parametrize("stated", [30, 1, 60])
@pytest.mark.parametrize("packed", [False, True])
def test_frames_that_are_not_as_many_as_stated_are_refused(told, tmp_path, stated, packed):
    ds = enhanced()
    if packed:
        ds.compress(RLELossless, encoding_plugin="pydicom")
    ds.NumberOfFrames = stated
    ds.save_as(tmp_path / "multi.dcm", enforce_file_format=True)
    assert f"it states {stated} frames and describes 44" in told(tmp_path / "multi.dcm")


def test_slices_at_one_place_are_counted_once(told, tmp_path):
    folder = write_series(tmp_path / "series")
    for number in range(1, 4):
        ds = one_slice(HU[20] + number, 20)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{UID}.1.{5000 + number}"
        save(ds, folder / f"other{number}.dcm")
    assert "(4 slices do); remove all but one of each" in told(folder)


def test_all_slices_at_one_place_are_told_so(told, tmp_path):
    def change(ds, k):
        ds.ImagePositionPatient, ds.AcquisitionNumber = [0, 0, 0], k % 3

    assert "all 44 slices lie at the same position" in told(write_series(tmp_path / "series", change))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda ds: delattr(ds, "ImagePositionPatient"), "Left out: IM0020.dcm, without a valid Image Position"),
        (lambda ds: setattr(ds, "PixelSpacing", ["1", "1"]), "Left out: IM0020.dcm, of other pixel spacings"),
        (lambda ds: setattr(ds, "PhotometricInterpretation", "RGB"), "Left out: IM0020.dcm, in colours"),
    ],
)
def test_a_gap_is_told_with_what_was_left_out(told, tmp_path, change, says):
    line = told(write_series(tmp_path / "series", lambda ds, k: change(ds) if k == 20 else None))
    assert "slices are missing" in line
    assert says in line


def test_a_packed_slice_that_is_cut_short_is_refused_in_our_words(told, tmp_path):
    def change(ds, k):
        ds.compress(RLELossless, encoding_plugin="pydicom")

    folder = write_series(tmp_path / "series", change)
    path = folder / "IM0020.dcm"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    line = told(folder)
    assert "IM0020.dcm cannot be read" in line
    assert "sitk" not in line


def save(ds, path):
    ds.save_as(path, enforce_file_format=True)


def without_picture(modality):
    ds = one_slice(HU[0], 0, series=".7")
    for tag in ("PixelData", "Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        del ds[tag]
    ds.Modality = modality
    return ds


@pytest.mark.parametrize("modality", ["RTSTRUCT", "SR", "PR"])
def test_what_is_no_picture_needs_no_word(told, truth, tmp_path, modality):
    folder = write_series(tmp_path / "series")
    save(without_picture(modality), folder / "A.dcm")
    report = told(folder)
    assert same(report, truth)
    assert report["warnings"] == truth_warnings(truth)


def truth_warnings(truth):
    return [one["text"] for one in truth["warnings"]]


def test_a_localizer_is_left_out_by_name(told, truth, tmp_path):
    folder = write_series(tmp_path / "series")
    ds = one_slice(HU[0], 0)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 0, -1], [0, 180, 0]
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID + ".1.5000"
    save(ds, folder / "IM9999.dcm")
    report = told(folder)
    assert same(report, truth)
    assert report["warnings"][0] == "Left out: IM9999.dcm, a localizer."


@pytest.mark.parametrize("new_uid", [False, True])
def test_a_copied_slice_is_left_out_by_name(told, truth, tmp_path, new_uid):
    folder = write_series(tmp_path / "series")
    ds = one_slice(HU[20], 20)
    if new_uid:
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID + ".1.5000"
    save(ds, folder / "IM0020 (1).dcm")
    report = told(folder)
    assert same(report, truth)
    assert "copied from other slices" in report["warnings"][0]
    assert "IM0020" in report["warnings"][0]


def test_two_pictures_of_one_place_are_refused_by_name(told, tmp_path):
    folder = write_series(tmp_path / "series")
    ds = one_slice(HU[20] + 7, 20)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID + ".1.5000"
    save(ds, folder / "other.dcm")
    line = told(folder)
    assert "IM0020.dcm and other.dcm lie at the same position" in line


def acquisition(number, first, hu=HU):
    def change(ds, k):
        ds.AcquisitionNumber = number
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{UID}.1.{first + k}"
        store(ds, hu[k])

    return change


def test_two_acquisitions_are_named(told, tmp_path):
    folder = write_series(tmp_path / "series", acquisition(1, 1000))
    write_series(folder, acquisition(2, 2000, HU + 20), name="P{:04d}.dcm")
    assert "holds slices of 2 acquisitions: 1 (44 slices), 2 (44 slices)" in told(folder)


def test_a_test_shot_beside_the_ct_is_left_out(told, truth, tmp_path):
    folder = write_series(tmp_path / "series", acquisition(2, 1000))
    ds = one_slice(HU[20], 20)
    acquisition(1, 5000, HU + 30)(ds, 20)
    save(ds, folder / "A.dcm")
    report = told(folder)
    assert same(report, truth)
    assert "Left out: A.dcm, of other acquisitions than the rest" in report["warnings"][0]


def test_acquisitions_that_lie_between_each_other_are_no_stack(told, truth, tmp_path):
    def every_second(ds, k):
        ds.AcquisitionNumber = k % 2 + 1

    def one_after_the_other(ds, k):
        ds.AcquisitionNumber = k // 4 + 1 if k != 20 else ""

    folder = write_series(tmp_path / "series", every_second)
    assert "holds slices of 2 acquisitions: 1 (22 slices), 2 (22 slices)" in told(folder)
    assert same(told(write_series(tmp_path / "steps", one_after_the_other)), truth)


def test_two_matrix_sizes_are_named(told, tmp_path):
    def change(ds, k):
        if k >= 30:
            ds.Rows, ds.Columns = HU.shape[1] // 2, HU.shape[2] // 2
            ds.PixelSpacing = ["6", "6"]
            store(ds, HU[k][::2, ::2])

    assert "2 matrix sizes: 118x90 (30 slices), 59x45 (14 slices)" in told(write_series(tmp_path / "series", change))


def test_a_slice_that_lies_beside_the_others_is_refused(told, tmp_path):
    def change(ds, k):
        if k == 12:
            ds.ImagePositionPatient = [*(float(v) + 9 for v in ds.ImagePositionPatient[:2]), ds.ImagePositionPatient[2]]

    assert "IM0012.dcm lies" in told(write_series(tmp_path / "series", change))
