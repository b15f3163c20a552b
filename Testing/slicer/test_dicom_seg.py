"""Slicer opens the DICOM segmentation as its own extension does: dcmqi unpacks it, the core reads each segment."""

import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from wpunet import files

from Testing.slicer.places import kept_keys, mask, paint
from Testing.slicer.sources import SOURCE
from Testing.wpunet import ct_series
from Testing.wpunet.results import blocks, result_of

pytest.importorskip("highdicom")
pytest.importorskip("dcmqi")


def test_segments_lie_where_they_were_found(scene, tmp_path):
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    from Testing.wpunet.test_dicom_seg import SPACING, dicom_seg, places, unpacked, written

    hu = np.random.default_rng(2).integers(-100, 200, (20, 30, 40)).astype(np.int16)
    volume = files.read(ct_series.write(tmp_path / "ct", hu, SPACING))
    result = result_of(volume, blocks(volume.hu.shape))
    numbers = dicom_seg.segment_numbers(result.labels, volume.affine)
    read = unpacked(written(tmp_path, result), tmp_path / "read")
    assert list(read) == [one.name for one in result.report.structures]
    for number, path in enumerate(read.values(), 1):
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        storage = slicer.vtkMRMLSegmentationStorageNode()
        scene.AddNode(storage)
        storage.SetFileName(str(path))
        assert storage.ReadData(node)
        assert node.GetSegmentation().GetNumberOfSegments() == 1
        image, matrix = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
        node.GetBinaryLabelmapRepresentation(node.GetSegmentation().GetNthSegmentID(0), image)
        image.GetImageToWorldMatrix(matrix)
        affine = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
        first = image.GetExtent()[::2]
        mask = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1]).T > 0
        affine[:3, 3] += affine[:3, :3] @ first
        assert places(affine, mask) == places(volume.affine, numbers == number)


def test_segments_say_that_a_program_made_them(add_ct, logic):
    """Slicer's export to DICOM would else call them drawn by hand."""
    from WPUNetSegmentLib.scene import report

    segmentation = logic.process(add_ct())
    versions = report(segmentation)["versions"]
    name = f"WPUNetSegment {versions['wpunet']}, network {versions['network']}"
    for key in kept_keys(segmentation):
        assert tag(segmentation, key, "DICOM.SegmentAlgorithmType") == "SEMIAUTOMATIC"
        assert tag(segmentation, key, "DICOM.SegmentAlgorithmName") == name


def tag(segmentation, key, name):
    import vtk

    value = vtk.reference("")
    assert segmentation.GetSegmentation().GetSegment(key).GetTag(name, value)
    return str(value)


EXPORT = SOURCE and SOURCE / "Modules" / "Scripted" / "DICOMPlugins" / "DICOMSegmentationPlugin.py"


@pytest.mark.skipif(not EXPORT or not EXPORT.exists(), reason="needs SLICER_SOURCE of Slicer 5.12 or later")
def test_slicers_own_export_writes_what_a_person_corrected(scene, logic, tmp_path, monkeypatch):
    import pydicom
    import slicer
    import vtk

    hu = np.zeros((30, 40, 50), np.int16)
    hu[5:15, 5:15, 5:15], hu[5:15, 5:15, 30:40], hu[8:10, 8:10, 8:10] = 150, -150, 300
    files_of_ct = sorted(ct_series.write(tmp_path / "ct", hu, (4.0, 3.0, 3.0)).glob("*"))
    names = vtk.vtkStringArray()
    for path in files_of_ct:
        names.InsertNextValue(str(path))
    volume = slicer.modules.volumes.logic().AddArchetypeVolume(names.GetValue(0), "CT", 0, names)
    paths = {str(pydicom.dcmread(path).SOPInstanceUID): str(path) for path in files_of_ct}
    volume.SetAttribute("DICOM.instanceUIDs", " ".join(paths))
    segmentation = logic.process(volume)
    before = mask(segmentation, "tumor", volume)
    paint(segmentation, "tumor", volume)
    exporter = exporters_module(monkeypatch, tmp_path, paths).DICOMSegmentationExporter(segmentation)
    exporter.export(str(tmp_path), "segments.dcm", {})
    made = pydicom.dcmread(tmp_path / "segments.dcm")
    assert [one.SegmentLabel for one in made.SegmentSequence] == ["right kidney", "left kidney", "kidney tumor"]
    assert {one.SegmentAlgorithmType for one in made.SegmentSequence} == {"SEMIAUTOMATIC"}
    frames = zip(made.PerFrameFunctionalGroupsSequence, np.atleast_3d(made.pixel_array), strict=True)
    tumor = [frame for one, frame in frames if one.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 3]
    assert np.sum(tumor) == mask(segmentation, "tumor", volume).sum() > before.sum() > 0


def exporters_module(monkeypatch, folder, paths):
    """Slicer's own DICOMSegmentationPlugin.py, with a DICOM database of ``paths`` by UID."""
    import slicer

    plugin = types.SimpleNamespace(_dcmqi_binary=lambda name: str(Path(sys.executable).with_name(name)))
    others = {"DICOMLib": {"DICOMPlugin": type("DICOMPlugin", (), vars(plugin)), "DICOMLoadable": object}}
    others |= {"qt": {}, "ctk": {}, "slicer.i18n": {"tr": str, "translate": lambda _context, text: text}}
    others |= {name: vars(slicer) for name in ("vtkSegmentationCore", "vtkSegmentationCorePython")}
    for name, members in others.items():
        module = types.ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    database = types.SimpleNamespace(fileForInstance=paths.get, fileValue=lambda _path, _tag: "5")
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    monkeypatch.setattr(slicer.util, "tempDirectory", lambda: str(folder / "ct"))
    spec = importlib.util.spec_from_file_location("DICOMSegmentationPlugin", EXPORT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
