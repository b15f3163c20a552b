"""A scene of slicer-core's for each test, and CTs in it whose truth is known in patient space."""

from __future__ import annotations

import numpy as np
import pytest

from Testing.slicer import core, places

# Balls in the CT's own coordinates, RAS mm: name, centre, radius. Right is where R grows.
BALLS = {
    "kidney_right": ((55.0, -20.0, 10.0), 30.0),
    "kidney_left": ((-60.0, -25.0, 18.0), 28.0),
    "tumor": ((62.0, -20.0, 15.0), 14.0),
    "cyst": ((-66.0, -25.0, 18.0), 14.0),
}
UNCERTAIN = ((-20.0, 40.0, 0.0), 12.0)


@pytest.fixture
def scene(tmp_path):
    """An empty scene, at ``slicer.mrmlScene`` too; temporary files go to ``temporary``."""
    if not core.AVAILABLE:
        pytest.skip(core.MISSING)
    import slicer

    temporary = tmp_path / "temporäry files"
    temporary.mkdir()
    core.start(temporary)
    return slicer.mrmlScene


@pytest.fixture
def temporary(tmp_path):
    return tmp_path / "temporäry files"


def turned(axis, degrees):
    """(4, 4): a rotation about an axis."""
    from scipy.spatial.transform import Rotation

    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(degrees) * np.array(axis) / np.linalg.norm(axis)).as_matrix()
    return matrix


def geometry(kind):
    """(4, 4), (i, j, k, 1) -> RAS mm, and the shape (k, j, i) of a CT that holds the balls."""
    directions = {
        "axial": np.diag([-1.0, -1.0, 1.0]),
        "square": np.diag([-1.0, 1.0, 1.0]),
        "left-handed": np.diag([1.0, -1.0, 1.0]),
        "coronal": np.array([[-1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]]),
        "oblique": turned((1, 2, 3), 25)[:3, :3] @ np.diag([-1.0, -1.0, 1.0]),
        "tilted": turned((1, 0, 0), 5)[:3, :3] @ np.diag([-1.0, 1.0, -1.0]),
    }[kind]
    steps = np.array([3.2, 3.2, 4.0] if kind == "square" else [3.0, 3.5, 4.0])
    shape = np.ceil(np.array([280.0, 220.0, 200.0]) / steps).astype(int)
    if kind == "coronal":
        shape = np.ceil(np.array([280.0, 200.0, 220.0]) / steps).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = directions * steps
    affine[:3, 3] = np.array([0.0, 5.0, 10.0]) - affine[:3, :3] @ ((shape - 1) / 2)
    return affine, tuple(int(n) for n in shape[::-1])


@pytest.fixture
def add_ct(scene):
    """A function that adds a CT of the balls to the scene, under ``transform`` (4, 4), which moves all of it."""
    import slicer

    def add(kind="axial", name="CT", transform=None):
        from wpunet.labels import BY_SIDE

        from Testing.slicer.stand_in import HU, UNCERTAIN_HU

        affine, shape = geometry(kind)
        k, j, i = np.indices(shape)
        place = np.einsum("ab,bkji->akji", affine, np.stack([i, j, k, np.ones(shape)]))[:3]
        hu = np.zeros(shape, np.int16)
        hu[-4:] = -1000
        values = {label.key: HU[label.value] for label in BY_SIDE}
        for key, (centre, radius) in [*BALLS.items(), ("uncertain", UNCERTAIN)]:
            inside = ((place - np.reshape(centre, (3, 1, 1, 1))) ** 2).sum(0) <= radius**2
            hu[inside] = values.get(key, UNCERTAIN_HU)
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        slicer.util.updateVolumeFromArray(node, hu)
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
        node.CreateDefaultDisplayNodes()
        if transform is not None:
            parent = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
            parent.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(transform))
            node.SetAndObserveTransformNodeID(parent.GetID())
        return node

    return add


@pytest.fixture
def in_sequence(scene):
    """A function that makes a sequence (4D CT) of CTs."""
    return places.in_sequence


def copied_to_each_frame(segmentation):
    """Give a segmentation of a two-frame CT a sequence of its own: the browser of both, and that sequence."""
    import slicer

    copies = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "segmentations")
    for value in ("0", "1"):
        copies.SetDataNodeAtValue(segmentation, value)
    (browser,) = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
    browser.AddProxyNode(segmentation, copies, False)
    return browser, copies


@pytest.fixture
def logic(scene):
    """The module's logic with the stand-in in the engine's place."""
    from WPUNetSegmentLib.logic import WPUNetSegmentLogic

    from Testing.slicer.stand_in import Process

    return WPUNetSegmentLogic(start_engine=Process)
