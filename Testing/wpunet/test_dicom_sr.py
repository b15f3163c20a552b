"""The DICOM report holds the measures of the JSON report, refers to the segmentation, and other programs read it."""

import importlib.util
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from wpunet import files, table
from wpunet.labels import CYST
from wpunet.structure import OF_KIDNEY, OF_LESION, Caution, Nephrometry, Part

from Testing.wpunet import ct_series
from Testing.wpunet.results import blocks, result_of
from Testing.wpunet.test_dicom_seg import SPACING, valid

pydicom = pytest.importorskip("pydicom")
hd = pytest.importorskip("highdicom")
dicom_seg, dicom_sr = (importlib.import_module(f"wpunet.{name}") for name in ("dicom_seg", "dicom_sr"))

HU = np.random.default_rng(2).integers(-100, 200, (20, 30, 40)).astype(np.int16)
SCORE = Nephrometry(
    *(Part(1, 34.0, "mm"), Part(2, 30.0, "%"), Part(3, 2.0, "mm"), Part("a", 9.0, "mm"), Part(2, 20.0, "%")),
    *(Part("h", 1.0, "mm"), 2.25),
)


@pytest.fixture
def result(tmp_path):
    volume = files.read(ct_series.write(tmp_path / "ct", HU, SPACING))
    labels = blocks(volume.hu.shape)
    labels[10:12, 12:15, 5:9] = CYST
    made = result_of(volume, labels)
    structures = tuple(
        replace(one, nephrometry=SCORE) if one.name == "left tumor 1" else one for one in made.report.structures
    )
    warnings = (Caution("contrast", "Probably ohne Kontrast: prüfen."), Caution("doubt", "Look twice.", "left tumor 2"))
    return replace(made, report=replace(made.report, structures=structures, warnings=warnings, notes=("A note.",)))


def written(tmp_path, result):
    """The segmentation and the report as files."""
    made = dicom_seg.segmentation(result)
    told = dicom_sr.measurement_report(result, made)
    for name, one in (("seg.dcm", made), ("sr.dcm", told)):
        dicom_seg.write(tmp_path / name, one)
    return tmp_path / "seg.dcm", tmp_path / "sr.dcm"


def groups(path):
    """(name of the structure, group of its segment, group of its lengths) of each structure."""
    report = hd.sr.srread(path).content
    of_segments = report.get_volumetric_roi_measurement_groups()
    of_lengths = report.get_image_measurement_groups()
    return [(one.tracking_identifier, one, other) for one, other in zip(of_segments, of_lengths, strict=True)]


def texts(dataset):
    """All free text in an object or a part of it."""
    return [element.value for element in dataset.iterall() if element.keyword == "TextValue"]


def test_each_structure_has_its_measures(tmp_path, result):
    _, path = written(tmp_path, result)
    found = groups(path)
    assert [name for name, *_ in found] == [one.name for one in result.report.structures]
    for one, (_, of_segment, of_lengths) in zip(result.report.structures, found, strict=True):
        values = {
            (m.name.meaning, m.derivation and m.derivation.meaning): m.value for m in of_segment.get_measurements()
        }
        assert values["Volume", None] == pytest.approx(one.volume_ml, abs=1e-3)
        assert values["Attenuation Coefficient", "Mean"] == pytest.approx(one.mean_hu, abs=1e-3)
        assert values["Probability", None] == pytest.approx(100 * one.certainty, abs=0.1)
        lengths = {m.name.meaning: m.value for m in of_lengths.get_measurements()}
        key, line = ("Length", one.length) if one.kind == "kidney" else ("Long Axis", one.axial_diameter)
        assert {name.lower(): mm for name, mm in lengths.items()}[key.lower()] == pytest.approx(line.mm, abs=0.01)


def test_no_measure_of_the_json_report_is_left_out_here_or_in_the_table():
    measures = {*OF_KIDNEY, *OF_LESION} - {"nephrometry"}
    assert {name for name, *_ in (*dicom_sr.NUMBERS, *dicom_sr.LENGTHS)} >= measures
    assert {*table.NUMBERS, *table.LINES, *table.WAYS} >= measures


def test_lengths_have_their_ends_where_they_are(tmp_path, result):
    _, path = written(tmp_path, result)
    for one, (_, _, of_lengths) in zip(result.report.structures, groups(path), strict=True):
        line = one.length or one.diameter
        drawn = of_lengths.get_measurements()[0].referenced_coordinates[0]
        assert drawn.frame_of_reference_uid == pydicom.dcmread(next((tmp_path / "ct").iterdir())).FrameOfReferenceUID
        assert np.allclose(drawn.value * [-1, -1, 1], line.ends_ras_mm, atol=1e-3)
        assert np.linalg.norm(np.subtract(*drawn.value)) == pytest.approx(line.mm, abs=0.01)


def test_it_refers_to_segments_and_study(tmp_path, result):
    object_path, path = written(tmp_path, result)
    made, told = pydicom.dcmread(object_path), pydicom.dcmread(path)
    assert told.StudyInstanceUID == made.StudyInstanceUID
    assert str(told.PatientName) == "Müller^Anna"
    for number, (_, of_segment, of_lengths) in enumerate(groups(path), 1):
        segment = made.SegmentSequence[number - 1]
        item = of_segment._referenced_segment_item
        assert item.referenced_sop_instance_uid == made.SOPInstanceUID
        assert item.referenced_segment_numbers == [number]
        assert of_segment.tracking_uid == of_lengths.tracking_uid == segment.TrackingUID


def test_score_warnings_and_notes_are_told(tmp_path, result):
    _, path = written(tmp_path, result)
    scored = {name: group for name, group, _ in groups(path)}["left tumor 1"]
    values = {m.name.meaning: m.value for m in scored.get_measurements()}
    assert values["R.E.N.A.L. nephrometry score"] == 8
    assert values["R.E.N.A.L. points for nearness"] == 3
    assert values["C-index"] == 2.25
    assert [one.value.meaning for one in scored.get_qualitative_evaluations() if one.name.value == "renal"] == [
        "8ah (computed, to be checked)"
    ]
    assert texts(pydicom.dcmread(path))[-2:] == ["Probably ohne Kontrast: prüfen.", "A note."]
    doubted = {name: group for name, group, _ in groups(path)}["left tumor 2"]
    assert "Look twice." in texts(doubted[0])
    assert "Look twice." not in texts(scored[0])


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="needs dciodvfy of Debian's dicom3tools")
@pytest.mark.parametrize("empty", [False, True])
def test_dciodvfy_finds_no_error(tmp_path, result, empty):
    if empty:
        result = result_of(result.volume, np.zeros_like(result.labels))
    _, path = written(tmp_path, result)
    assert valid(path) == []


@pytest.mark.skipif(not importlib.util.find_spec("dcmqi"), reason="needs the package dcmqi")
def test_dcmqi_reads_the_measures(tmp_path, result):
    _, path = written(tmp_path, result)
    program = Path(importlib.util.find_spec("dcmqi").origin).parent / "bin" / "tid1500reader"
    out = tmp_path / "read.json"
    subprocess.run([program, "--inputDICOM", path, "--outputMetadata", out], check=True, capture_output=True)
    read = json.loads(out.read_text())["Measurements"]
    volumes = {
        group["TrackingIdentifier"]: float(item["value"])
        for group in read
        for item in group["measurementItems"]
        if item["quantity"]["CodeMeaning"] == "Volume"
    }
    assert volumes == {one.name: pytest.approx(one.volume_ml, abs=1e-3) for one in result.report.structures}
    assert sum("ReferencedSegment" in group for group in read) == len(volumes) == len(read) / 2


def test_the_command_line_writes_it_beside_the_segmentation(tmp_path, result, segment_blocks, capsys):
    told, made, report = tmp_path / "sr.dcm", tmp_path / "out.dcm", tmp_path / "report.json"
    assert segment_blocks(tmp_path / "ct", "-o", tmp_path / "out.nii.gz", "--dicom-sr", told) == 2
    assert "refers to a DICOM segmentation" in capsys.readouterr().err
    assert segment_blocks(tmp_path / "ct", "-o", made, "--dicom-sr", told, "--report", report) == 0
    expected = {one["name"]: one["volume_ml"] for one in json.loads(report.read_text())["structures"]}
    found = {name: group.get_measurements()[0].value for name, group, _ in groups(told)}
    assert found == pytest.approx(expected, abs=2e-3)


def test_a_folder_of_dicom_gives_both_of_each(tmp_path, segment_blocks):
    for name in ("a", "b"):
        ct_series.write(tmp_path / "cts" / name, HU, SPACING)
    out = tmp_path / "out"
    assert segment_blocks(tmp_path / "cts", "-o", out, "--format", "dcm") == 0
    kinds = {path.name: pydicom.dcmread(path).Modality for path in sorted(out.glob("*.dcm"))}
    assert kinds == {"a.dcm": "SEG", "a_measures.dcm": "SR", "b.dcm": "SEG", "b_measures.dcm": "SR"}
