"""A DICOM segmentation lies voxel for voxel on its CT, says what each segment is, and other programs read it so."""

import importlib.util
import json
import shutil
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from wpunet import batch, files, outputs
from wpunet import volume as geometry
from wpunet.errors import InputError, InstallError
from wpunet.labels import CYST, LEFT_KIDNEY, RIGHT_KIDNEY, TUMOR

from Testing.wpunet import ct_series, patient
from Testing.wpunet.results import blocks, result_of
from Testing.wpunet.slices import enhanced

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")
dicom_seg = importlib.import_module("wpunet.dicom_seg")

SPACING = (5.0, 4.0, 3.0)
VALUES = {"kidney_right": RIGHT_KIDNEY, "kidney_left": LEFT_KIDNEY, "tumor": TUMOR, "cyst": CYST}


def ct(folder, directions=ct_series.AXIAL, **changes):
    hu = np.random.default_rng(2).integers(-100, 200, (20, 30, 40)).astype(np.int16)
    return files.read(ct_series.write(folder, hu, SPACING, directions, **changes))


@pytest.fixture
def result(tmp_path):
    volume = ct(tmp_path / "ct")
    return result_of(volume, blocks(volume.hu.shape))


def test_files_without_the_bytes_in_front_get_an_object_too(tmp_path):
    folder = tmp_path / "ct"
    ct(folder)
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        del image.file_meta
        image.save_as(path, implicit_vr=True, little_endian=True)
    volume = files.read(folder)
    path = written(tmp_path, result_of(volume, blocks(volume.hu.shape)))
    assert pydicom.dcmread(path).StudyInstanceUID == image.StudyInstanceUID


def written(tmp_path, result, **options):
    path = tmp_path / "made.dcm"
    dicom_seg.write(path, dicom_seg.segmentation(result, **options))
    return path


def places(affine, mask):
    """The voxels of a mask as patient coordinates, RAS, rounded, as a set."""
    return set(map(tuple, np.round(np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3], 2).tolist()))


def places_in_object(path):
    """By segment: the places of its pixels as the file alone tells them, RAS, and the place of each frame's image."""
    made = pydicom.dcmread(path)
    pixels = np.atleast_3d(made.pixel_array) if made.NumberOfFrames == 1 else made.pixel_array
    shared = made.SharedFunctionalGroupsSequence[0]
    across, down = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient).reshape(2, 3)
    row_mm, column_mm = shared.PixelMeasuresSequence[0].PixelSpacing
    found = {}
    for frame, groups in zip(pixels, made.PerFrameFunctionalGroupsSequence, strict=True):
        first = np.array(groups.PlanePositionSequence[0].ImagePositionPatient)
        lps = first + np.argwhere(frame) @ np.array([down * row_mm, across * column_mm])
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found.setdefault(number, set()).update(map(tuple, np.round(lps * [-1, -1, 1], 2).tolist()))
    return found


@pytest.mark.parametrize("kind", ["turned", "tilted"])
def test_an_oblique_ct_gets_its_labels_on_its_own_slices(tmp_path, kind):
    cosine, sine = np.cos(np.radians(15)), np.sin(np.radians(15))
    turned = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]]) @ ct_series.AXIAL
    tilted = np.column_stack([ct_series.AXIAL[:, :2], [0, sine, -cosine]])  # a tilted gantry: slices lie askew
    volume = ct(tmp_path / "ct", turned if kind == "turned" else tilted)
    assert not volume.grid.upright
    result = result_of(volume, blocks(volume.hu.shape))
    found = places_in_object(written(tmp_path, result))
    own = geometry.to_source(result.labels, volume)
    for number, value in ((1, RIGHT_KIDNEY), (2, LEFT_KIDNEY)):
        expected = places(volume.grid.affine, own == value)
        assert len(found[number] ^ expected) < 0.05 * len(expected)  # where two segments meet they may differ
        centres = [np.mean(list(one), axis=0) for one in (found[number], places(volume.affine, result.labels == value))]
        assert np.allclose(*centres, atol=1.5)


@pytest.mark.parametrize("directions", ["AXIAL", "AXIAL_UPWARDS", "CORONAL", "SAGITTAL"])
@pytest.mark.parametrize("fractional", [False, True])
def test_every_voxel_lies_where_it_lay(tmp_path, directions, fractional):
    volume = ct(tmp_path / "ct", getattr(ct_series, directions))
    labels = blocks(volume.hu.shape)
    found = places_in_object(written(tmp_path, result_of(volume, labels), fractional=fractional))
    for number, value in ((1, RIGHT_KIDNEY), (2, LEFT_KIDNEY)):
        assert found[number] == places(volume.affine, labels == value)
    assert found[3] | found[4] == places(volume.affine, labels == TUMOR)
    assert len(found[3]) > len(found[4]) > 0  # the larger tumor first, as in the report


def test_it_belongs_to_the_study_and_each_frame_to_its_image(tmp_path, result):
    made = pydicom.dcmread(written(tmp_path, result))
    images = {one.SOPInstanceUID: one for one in map(pydicom.dcmread, (tmp_path / "ct").iterdir())}
    one = next(iter(images.values()))
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName", "AccessionNumber"):
        assert made[keyword].value == one[keyword].value
    assert made.SeriesInstanceUID != one.SeriesInstanceUID
    assert (made.Modality, made.SegmentationType) == ("SEG", "BINARY")
    for groups in made.PerFrameFunctionalGroupsSequence:
        source = images[groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        assert source.ImagePositionPatient == groups.PlanePositionSequence[0].ImagePositionPatient


def test_segments_are_the_structures_of_the_report_with_codes_and_maker(tmp_path, result):
    made = pydicom.dcmread(written(tmp_path, result))
    assert [one.SegmentLabel for one in made.SegmentSequence] == [one.name for one in result.report.structures]
    right, left, tumor = made.SegmentSequence[:3]
    for kidney, side in ((right, "Right"), (left, "Left")):
        kind = kidney.SegmentedPropertyTypeCodeSequence[0]
        assert (kind.CodingSchemeDesignator, kind.CodeValue) == ("SCT", "64033007")
        assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == side
    assert tumor.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Mass"
    region = tumor.AnatomicRegionSequence[0]
    assert (region.CodeMeaning, region.AnatomicRegionModifierSequence[0].CodeMeaning) == ("Kidney", "Left")
    maker = right.SegmentationAlgorithmIdentificationSequence[0]
    assert (right.SegmentAlgorithmType, maker.AlgorithmName) == ("AUTOMATIC", "WPUNetSegment")
    assert result.report.network_sha256 in maker.AlgorithmParameters
    assert len({one.TrackingUID for one in made.SegmentSequence}) == len(made.SegmentSequence)


def test_who_has_had_a_hand_in_it_is_told(tmp_path, result):
    """The network alone, a person with it; of a file that was opened no program is named as the maker."""
    of_file = replace(result.report, network="", network_sha256="", opened_from="x.nii.gz", corrected=None)
    for report, kind, described in (
        (result.report, "AUTOMATIC", "WP-UNet"),
        (replace(result.report, corrected=True), "SEMIAUTOMATIC", "WP-UNet"),
        (of_file, "MANUAL", "from a file"),
        (replace(of_file, corrected=True), "MANUAL", "from a file"),
    ):
        made = pydicom.dcmread(written(tmp_path, replace(result, report=report)))
        assert {one.SegmentAlgorithmType for one in made.SegmentSequence} == {kind}
        assert described in made.SeriesDescription
        named = any("SegmentationAlgorithmIdentificationSequence" in one for one in made.SegmentSequence)
        assert named == (kind != "MANUAL")


def test_kidneys_without_their_sinus_say_so(tmp_path, result):
    made = pydicom.dcmread(written(tmp_path, result))
    assert not any("SegmentDescription" in one for one in made.SegmentSequence)
    alone = replace(result, report=replace(result.report, options={"parenchyma": True}))
    path = written(tmp_path, alone)
    assert outputs.holds_parenchyma(path)
    made = pydicom.dcmread(path)
    told = {one.SegmentLabel: one.get("SegmentDescription") for one in made.SegmentSequence}
    assert told["right kidney"] == told["left kidney"] == "Parenchyma alone, without the renal sinus"
    assert {told[name] for name in told if "kidney" not in name} == {None}


@pytest.mark.parametrize("fractional", [False, True])
def test_a_single_structure_is_written(tmp_path, fractional):
    """As where a CT shows one kidney: the program that makes the objects writes its number once, and scales it."""
    volume = ct(tmp_path / "ct")
    labels = np.zeros(volume.hu.shape, np.uint8)
    labels[4:9, 5:20, 5:15] = RIGHT_KIDNEY
    made = pydicom.dcmread(written(tmp_path, result_of(volume, labels), fractional=fractional))
    assert set(np.unique(made.pixel_array)) == {0, 204 if fractional else 1}
    assert np.count_nonzero(made.pixel_array) == np.count_nonzero(labels)


def test_fractional_of_an_oblique_ct_is_interpolated_as_numbers(tmp_path):
    """As labels, values in between came out as one of their neighbours."""
    turn = np.array([[np.cos(0.4), -np.sin(0.4), 0], [np.sin(0.4), np.cos(0.4), 0], [0, 0, 1]])
    volume = ct(tmp_path / "ct", turn @ ct_series.AXIAL)
    assert not volume.grid.upright
    labels = np.full(volume.hu.shape, RIGHT_KIDNEY, np.uint8)
    across = np.linspace(0, 200, volume.hu.shape[2])
    doubt = np.broadcast_to(across, volume.hu.shape).round().astype(np.uint8)
    made = pydicom.dcmread(written(tmp_path, result_of(volume, labels, doubt=doubt), fractional=True))
    wanted = 255 - geometry.to_source(doubt.astype(np.float32), volume)
    frames = np.stack([frame.T for frame in made.pixel_array], -1)
    inside = (wanted < 250) & (frames > 1)
    assert inside.mean() > 0.5
    assert np.abs(frames - wanted)[inside].max() < 1


def test_fractional_holds_the_certainty_and_the_same_voxels(tmp_path, result):
    doubt = np.random.default_rng(5).integers(0, 256, result.labels.shape).astype(np.uint8)
    doubt[10] = 255  # no certainty at all, and yet the segment's
    path = written(tmp_path, replace(result, uncertainty=doubt), fractional=True)
    made, sure = pydicom.dcmread(path), 255 - doubt
    assert (made.SegmentationFractionalType, made.MaximumFractionalValue) == ("PROBABILITY", 255)
    for frame, groups in zip(made.pixel_array, made.PerFrameFunctionalGroupsSequence, strict=True):
        if groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber > 1:
            continue
        z = groups.PlanePositionSequence[0].ImagePositionPatient[2]
        k = round((100.0 - z) / SPACING[0])
        assert np.array_equal(frame, np.where(result.labels[k] == RIGHT_KIDNEY, np.maximum(sure[k], 1), 0))


def test_frames_of_one_file_in_any_order(tmp_path):
    order = np.random.default_rng(3).permutation(len(patient.hu()))
    path = tmp_path / "frames.dcm"
    enhanced(order=order).save_as(path, enforce_file_format=True)
    volume = files.read(path)
    labels = blocks(volume.hu.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a name without a comma, say, is nothing to tell the user
        made = written(tmp_path, result_of(volume, labels))
    assert places_in_object(made)[1] == places(volume.affine, labels == RIGHT_KIDNEY)
    source, frames = pydicom.dcmread(path), pydicom.dcmread(made).PerFrameFunctionalGroupsSequence
    for groups in frames:
        image = groups.DerivationImageSequence[0].SourceImageSequence[0]
        assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
        origin = source.PerFrameFunctionalGroupsSequence[image.ReferencedFrameNumber - 1].PlanePositionSequence[0]
        assert origin.ImagePositionPatient == groups.PlanePositionSequence[0].ImagePositionPatient


def test_nothing_found_makes_two_empty_kidneys(tmp_path):
    volume = ct(tmp_path / "ct")
    made = pydicom.dcmread(written(tmp_path, result_of(volume, np.zeros(volume.hu.shape, np.uint8))))
    assert [one.SegmentLabel for one in made.SegmentSequence] == ["right kidney", "left kidney"]
    assert not made.pixel_array.any()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"FrameOfReferenceUID": None}, "no UID of the frame of reference"),
        ({"StudyInstanceUID": ""}, "no UID of the study"),
        ({"SOPInstanceUID": "1.2.3"}, "several images have the same UID"),
        ({"Rows": 7}, "lack what a DICOM result needs"),
    ],
)
def test_what_an_object_cannot_be_made_for_is_refused(tmp_path, changes, says):
    volume = ct(tmp_path / "ct")
    for path in (tmp_path / "ct").iterdir():
        image = pydicom.dcmread(path)
        for keyword, value in changes.items():
            setattr(image, keyword, value) if value is not None else delattr(image, keyword)
        image.save_as(path)
    with pytest.raises(InputError, match=says):
        dicom_seg.segmentation(result_of(volume, blocks(volume.hu.shape)))


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_headers_that_lack_what_may_be_empty_do(tmp_path, result):
    for path in (tmp_path / "ct").iterdir():
        image = pydicom.dcmread(path)
        for keyword in ("PatientName", "PatientBirthDate", "StudyID", "AccessionNumber", "ReferringPhysicianName"):
            delattr(image, keyword)
        image.PatientSex = "female"
        image.save_as(path)
    made = pydicom.dcmread(written(tmp_path, result))
    assert (made.PatientSex, str(made.PatientName), made.StudyID) == ("", "", "")


def test_no_dicom_no_object(tmp_path, monkeypatch):
    job = batch.Job(ct=Path("a.nii.gz"), name="a", labels=tmp_path / "a.dcm")
    with pytest.raises(InputError, match=r"a\.nii\.gz is no DICOM.*write \.nii\.gz"):
        job.run(None, None, None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InstallError, match="pip install highdicom"):
        job.run(None, None, None)


# Other programs


def valid(path):
    """What Debian's dciodvfy has against a file."""
    checked = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
    return [line for line in (checked.stdout + checked.stderr).splitlines() if line.startswith("Error")]


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="needs dciodvfy of Debian's dicom3tools")
@pytest.mark.parametrize("kind", ["binary", "fractional", "empty"])
def test_dciodvfy_finds_no_error(tmp_path, result, kind):
    if kind == "empty":
        result = result_of(result.volume, np.zeros_like(result.labels))
    path = written(tmp_path, result, fractional=kind == "fractional")
    assert valid(path) == []
    broken = pydicom.dcmread(path)
    del broken.SegmentSequence
    broken.save_as(path)
    assert valid(path)  # it does look


def unpacked(path, folder):
    """The file that dcmqi writes of each segment, by the segment's label."""
    folder.mkdir()
    program = Path(importlib.util.find_spec("dcmqi").origin).parent / "bin" / "segimage2itkimage"
    command = [program, "--inputDICOM", path, "--outputDirectory", folder, "--outputType", "nrrd"]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    told = json.loads((folder / "meta.json").read_text())["segmentAttributes"]
    return {one["SegmentLabel"]: folder / f"{number}.nrrd" for number, group in enumerate(told, 1) for one in group}


@pytest.mark.skipif(not importlib.util.find_spec("dcmqi"), reason="needs the package dcmqi")
@pytest.mark.parametrize("fractional", [False, True])
@pytest.mark.parametrize("directions", ["AXIAL", "CORONAL"])
def test_dcmqi_reads_the_same_voxels(tmp_path, directions, fractional):
    volume = ct(tmp_path / "ct", getattr(ct_series, directions))
    result = result_of(volume, blocks(volume.hu.shape))
    read = unpacked(written(tmp_path, result, fractional=fractional), tmp_path / "read")
    assert list(read) == [one.name for one in result.report.structures]
    numbers = dicom_seg.segment_numbers(result.labels, volume.affine)
    for number, file in enumerate(read.values(), 1):
        back = files.from_itk(sitk.ReadImage(str(file)), file)
        assert places(back.affine, back.hu > 0) == places(volume.affine, numbers == number)


def test_a_real_series(data, tmp_path):
    folder = data / "dicom" / "abdomen_noncontrast"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    volume = files.read(folder)
    result = result_of(volume, blocks(volume.hu.shape))
    path = written(tmp_path, result)
    found = places_in_object(path)
    assert found[1] == places(volume.affine, result.labels == RIGHT_KIDNEY)
    assert not shutil.which("dciodvfy") or valid(path) == []


def test_the_command_line_writes_it_as_the_only_or_a_further_result(tmp_path, segment_blocks):
    volume = ct(tmp_path / "ct")
    out, beside, plain = tmp_path / "out.dcm", tmp_path / "beside.dcm", tmp_path / "plain.nii.gz"
    assert segment_blocks(tmp_path / "ct", "-o", out) == 0
    assert segment_blocks(tmp_path / "ct", "-o", plain, "--dicom-seg", beside, "--fractional", "--sides") == 0
    for path, kind in ((out, "BINARY"), (beside, "FRACTIONAL")):
        made = pydicom.dcmread(path)
        assert made.SegmentationType == kind
        assert (made.pixel_array > 0).sum() == (blocks(volume.hu.shape) > 0).sum()
    assert plain.exists()
    assert not list(tmp_path.glob(".wpunet-*"))


def test_it_falls_on_no_slice_and_no_other_result(tmp_path, segment_blocks, capsys):
    ct(tmp_path / "ct")
    slices = {path: path.read_bytes() for path in (tmp_path / "ct").iterdir()}
    one = next(iter(slices))
    assert (
        segment_blocks(tmp_path / "ct", "-o", one)
        == segment_blocks(tmp_path / "ct", "-o", "a.nii.gz", "--dicom-seg", one)
        == 2
    )
    assert "would overwrite" in capsys.readouterr().err
    assert segment_blocks(tmp_path / "ct", "-o", tmp_path / "a.dcm", "--dicom-sr", tmp_path / "a.dcm") == 2
    capsys.readouterr()
    assert segment_blocks(tmp_path / "ct", "-o", tmp_path / "a.dcm", "--dicom-seg", tmp_path / "b.dcm") == 2
    assert "a.dcm is the DICOM segmentation already; leave --dicom-seg out." in capsys.readouterr().err
    assert not (tmp_path / "a.dcm").exists()
    assert {path: path.read_bytes() for path in (tmp_path / "ct").iterdir()} == slices


def test_a_result_in_the_folder_of_the_slices_is_no_slice_next_time(tmp_path, segment_blocks):
    ct(tmp_path / "ct")
    out = tmp_path / "ct" / "kidneys.dcm"
    for _ in range(2):
        assert segment_blocks(tmp_path / "ct", "-o", out) == 0
        assert files.read(tmp_path / "ct").hu.shape == (20, 30, 40)
