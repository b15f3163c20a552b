"""A DICOM segmentation is read back as it was written, on the CT that it refers to and on no other."""

import numpy as np
import pytest
from wpunet import files, label_maps
from wpunet.errors import InputError
from wpunet.labels import CYST, KIDNEY, LEFT_KIDNEY, RIGHT_KIDNEY, TUMOR
from wpunet.volume import from_array

from Testing.wpunet import ct_series, patient
from Testing.wpunet.results import blocks, result_of
from Testing.wpunet.slices import enhanced
from Testing.wpunet.test_dicom_seg import ct, pydicom, written


@pytest.fixture
def made(tmp_path):
    """A CT, what is marked in it, and the path of the object."""
    volume = ct(tmp_path / "ct")
    labels = blocks(volume.hu.shape)
    labels[0, 20:25, 20:25] = CYST  # in the first slice
    return volume, labels, written(tmp_path, result_of(volume, labels))


def changed(path, change):
    """The object with something else in it."""
    data = pydicom.dcmread(path)
    change(data)
    data.save_as(path)


@pytest.mark.parametrize("directions", ["AXIAL", "AXIAL_UPWARDS", "CORONAL", "SAGITTAL"])
@pytest.mark.parametrize("only", [(), (RIGHT_KIDNEY,), (LEFT_KIDNEY, TUMOR)])
def test_what_was_written_is_read_as_it_was(tmp_path, directions, only):
    volume = ct(tmp_path / "ct", getattr(ct_series, directions))
    labels = blocks(volume.hu.shape)
    labels[~np.isin(labels, only or np.unique(labels))] = 0
    path = written(tmp_path, result_of(volume, labels))
    assert label_maps.is_label_map(path)
    assert not label_maps.is_label_map(next((tmp_path / "ct").iterdir()))
    opened = label_maps.read(path, volume)
    assert np.array_equal(opened.labels, labels)
    assert opened.labels.dtype == np.uint8
    assert (opened.warnings, opened.parenchyma) == ((), False)
    assert np.array_equal(label_maps.as_marked(path, volume), labels)


def test_frames_of_one_file_are_told_apart(tmp_path):
    enhanced(order=np.random.default_rng(3).permutation(len(patient.hu()))).save_as(
        tmp_path / "frames.dcm", enforce_file_format=True
    )
    volume = files.read(tmp_path / "frames.dcm")
    labels = blocks(volume.hu.shape)
    assert np.array_equal(label_maps.read(written(tmp_path, result_of(volume, labels)), volume).labels, labels)


def test_a_frame_need_not_fill_whole_bytes(tmp_path):
    labels = np.zeros((6, 15, 17), np.uint8)
    labels[1:4, 3:9, 2:6], labels[2:5, 4:14, 9:17] = RIGHT_KIDNEY, LEFT_KIDNEY
    volume = files.read(ct_series.write(tmp_path / "ct", labels.astype(np.int16), (5.0, 4.0, 3.0)))
    assert np.array_equal(label_maps.read(written(tmp_path, result_of(volume, labels)), volume).labels, labels)


def test_nothing_and_kidneys_without_a_side(tmp_path, made):
    volume, labels, path = made

    def without_side(data):
        for one in data.SegmentSequence[:2]:
            del one.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence

    changed(path, without_side)
    assert np.array_equal(label_maps.as_marked(path, volume), np.where(labels == LEFT_KIDNEY, KIDNEY, labels))
    nothing = np.zeros_like(labels)
    assert not label_maps.read(written(tmp_path, result_of(volume, nothing)), volume).labels.any()


def named(data):
    kidney = data.SegmentSequence[0]
    kidney.SegmentedPropertyTypeCodeSequence[0].CodeValue, kidney.SegmentLabel = "10200004", "Liver"


def elsewhere(data):
    data.SegmentSequence[2].AnatomicRegionSequence[0].CodeValue = "10200004"


def moved(data):
    data.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence[0].ImagePositionPatient[2] += 1


def layered(data):
    for groups in data.PerFrameFunctionalGroupsSequence:
        if groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 3:
            groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 2
    data.PixelData = b"\xff" * len(data.PixelData)


def cut(data):
    data.PixelData = data.PixelData[: len(data.PixelData) // 4 * 2]


def without_place(data):
    del data.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (named, r"none of ours \(Liver\); leave only right kidney"),
        (elsewhere, r"none of ours \(.*tumor.*\)"),
        (moved, "of another CT or series"),
        (layered, "segments that overlap"),
        (cut, "cannot be read; save or copy it again"),
        (without_place, "cannot be read; save or copy it again"),
    ],
)
def test_what_cannot_be_opened_is_said_in_a_sentence(made, change, says):
    volume, _, path = made
    changed(path, change)
    with pytest.raises(InputError, match=says) as caught:
        label_maps.read(path, volume)
    assert str(caught.value).startswith(f"{path} ")


def test_certainties_and_other_cts_are_refused(tmp_path, made):
    volume, labels, path = made
    with pytest.raises(InputError, match="of another CT or series"):
        label_maps.read(path, ct(tmp_path / "other"))  # the same grid, another series
    with pytest.raises(InputError, match="open its CT as DICOM"):
        label_maps.read(path, from_array(volume.hu, volume.affine, "a.nii.gz"))
    fractional = written(tmp_path, result_of(volume, labels), fractional=True)
    assert label_maps.is_label_map(fractional)
    with pytest.raises(InputError, match="of the type FRACTIONAL"):
        label_maps.read(fractional, volume)
