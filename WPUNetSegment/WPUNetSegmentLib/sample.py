"""The sample: a generated abdomen with exact truth, so that nothing has to be downloaded to try the module."""

from __future__ import annotations

from typing import Any

import slicer
from wpunet import phantom

WINDOW_HU = (-160, 240)


def add_phantom(name: str, shape: tuple[int, int, int] = (100, 256, 256)) -> Any:
    """A vtkMRMLScalarVolumeNode of ``shape`` (slices, rows, columns) with two kidneys and a tumor of 30 mm."""
    spacing = (300.0 / shape[0], 410.0 / shape[1], 410.0 / shape[2])
    made = phantom.make(seed=1, shape=shape, spacing=spacing)
    ijk_to_ras = made.affine[:, [2, 1, 0, 3]]  # Slicer's first index runs along the rows
    volume = slicer.util.addVolumeFromArray(made.hu, ijk_to_ras, slicer.mrmlScene.GenerateUniqueName(name))
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevelMinMax(*WINDOW_HU)
    return volume
