"""The sample: a generated abdomen with exact truth, so that nothing has to be downloaded to try the module."""

from __future__ import annotations

from typing import Any

import slicer
from wpunet import phantom

SHAPE = (100, 256, 256)
SIZE_MM = (300.0, 410.0, 410.0)
WINDOW_HU = (-160, 240)


def add_phantom(name: str) -> Any:
    """A vtkMRMLScalarVolumeNode of ``SHAPE`` (slices, rows, columns) with two kidneys and a tumor of 30 mm."""
    slices, rows, columns = (mm / n for mm, n in zip(SIZE_MM, SHAPE))
    made = phantom.make(seed=1, shape=SHAPE, spacing=(slices, rows, columns))
    ijk_to_ras = made.affine[:, [2, 1, 0, 3]]  # Slicer's first index runs along the rows
    volume = slicer.util.addVolumeFromArray(made.hu, ijk_to_ras, slicer.mrmlScene.GenerateUniqueName(name))
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevelMinMax(*WINDOW_HU)
    return volume
