"""The sample: a generated abdomen with exact truth, so that nothing has to be downloaded to try the module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

NAME = "WPUNetPhantom"
CATEGORY = "WPUNetSegment"  # a section of the module Sample Data
ICON = Path(__file__).parents[1] / "Resources" / "Icons" / f"{NAME}.png"
SHAPE = (100, 256, 256)
SIZE_MM = (300.0, 410.0, 410.0)
WINDOW_HU = (-160, 240)


def register() -> None:
    """Put the sample into the module Sample Data; once, however often this is called.

    Slicer wants an address, a file and a node's name of each source, all or none as lists: the address is empty.
    """
    try:
        from SampleData import SampleDataLogic
    except ImportError:  # a Slicer without that module: the panel has a button of its own
        return
    SampleDataLogic.sampleDataSourcesByCategory(CATEGORY).clear()
    SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=NAME,
        uris="",
        fileNames=f"{NAME}.nrrd",
        nodeNames=NAME,
        thumbnailFileName=str(ICON),
        customDownloader=lambda _source=None: [load()],
    )


def load() -> Any:
    """Make the sample, show it in the slice views and return it: a vtkMRMLScalarVolumeNode.

    An abdomen of ``SHAPE`` (slices, rows, columns) with two kidneys and a tumor of 30 mm.
    """
    from wpunet import phantom

    slices, rows, columns = (mm / n for mm, n in zip(SIZE_MM, SHAPE))
    made = phantom.make(seed=1, shape=SHAPE, spacing=(slices, rows, columns))
    ijk_to_ras = made.affine[:, [2, 1, 0, 3]]  # Slicer's first index runs along the rows
    volume = slicer.util.addVolumeFromArray(made.hu, ijk_to_ras, slicer.mrmlScene.GenerateUniqueName(NAME))
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevelMinMax(*WINDOW_HU)
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    return volume
