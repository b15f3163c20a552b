"""Slicer opens the DICOM segmentation as its own extension does: dcmqi unpacks it, the core reads each segment."""

import numpy as np
import pytest
from wpunet import files

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
