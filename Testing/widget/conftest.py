"""A desktop for each test, the panel on it, a CT of balls, and an engine that goes on when the test says so."""

from __future__ import annotations

import os

import numpy as np
import pytest

from Testing.slicer.core import AVAILABLE, MISSING

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ABSENT = "" if AVAILABLE else MISSING
try:
    from PySide6 import QtWidgets
except ImportError as error:
    ABSENT = f"needs PySide6-Essentials and what it loads (libegl1, libxkbcommon0): {error}"


class _Skipped(pytest.Module):
    """A file of tests that cannot even be imported here."""

    def collect(self):
        pytest.skip(ABSENT, allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    """All files of this folder are skipped, saying so, where Qt or Slicer's core is absent."""
    return _Skipped.from_parent(parent, path=module_path) if ABSENT else None


# Balls in the CT's own coordinates, RAS mm: label, centre, radius. Two tumors, the larger one in the right kidney.
BALLS = (
    ("kidney_right", (55.0, -20.0, 10.0), 30.0),
    ("kidney_left", (-60.0, -25.0, 18.0), 28.0),
    ("tumor", (62.0, -20.0, 15.0), 14.0),
    ("tumor", (-62.0, -20.0, 15.0), 9.0),
)
CYST = ("cyst", (-62.0, -26.0, 6.0), 9.0)
UNCERTAIN = ((-20.0, 40.0, 0.0), 12.0)
SHAPE, STEP = (40, 50, 64), 4.0


@pytest.fixture
def desktop(tmp_path):
    """Slicer's scene, Qt in PythonQt's manner, and the application's dialogs."""
    from .desktop import Desktop

    running = Desktop(tmp_path)
    yield running
    running.close()


@pytest.fixture
def module(desktop):
    """The file WPUNetSegment.py, loaded as Slicer loads it."""
    return desktop.load_module()


@pytest.fixture
def add_ct(desktop):
    """A function that adds a CT of the balls, with a cyst in the left kidney or
    moved by ``move`` mm by a transform above it where that is wanted."""
    import slicer

    def add(name="CT", move=None, cyst=False):
        from wpunet.labels import BY_SIDE

        from Testing.slicer.stand_in import HU, UNCERTAIN_HU

        affine = np.diag([-STEP, -STEP, STEP, 1.0])
        affine[:3, 3] = -affine[:3, :3] @ (np.array(SHAPE[::-1]) - 1) / 2
        k, j, i = np.indices(SHAPE)
        place = np.einsum("ab,bkji->akji", affine, np.stack([i, j, k, np.ones(SHAPE)]))[:3]
        values = {label.key: HU[label.value] for label in BY_SIDE} | {"uncertain": UNCERTAIN_HU}
        hu = (np.indices(SHAPE).sum(0) % 2).astype(np.int16)  # tissue: one number from edge to edge is padding
        hu[-3:] = -1000
        for key, centre, radius in (*BALLS, *([CYST] if cyst else []), ("uncertain", *UNCERTAIN)):
            hu[((place - np.reshape(centre, (3, 1, 1, 1))) ** 2).sum(0) <= radius**2] = values[key]
        node = slicer.util.addVolumeFromArray(hu, affine, name)
        if move is not None:
            matrix = np.eye(4)
            matrix[:3, 3] = move
            transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
            transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
            node.SetAndObserveTransformNodeID(transform.GetID())
        return node

    return add


@pytest.fixture
def engine(desktop):
    """The stand-in engine, held until ``engine.go()``; ``engine.last`` is the process that was started last."""
    from .engine import Engine

    return Engine()


@pytest.fixture
def panel(desktop, module, engine):
    """The panel with a fresh scene, the licence acknowledged, and the stand-in in the engine's place."""
    from .desk import Desk

    shown = Desk(desktop, module, engine)
    yield shown
    shown.widget.cleanup()


@pytest.fixture
def ready(panel, add_ct):
    """The panel with a CT chosen."""
    panel.choose("ct", add_ct())
    return panel


@pytest.fixture
def done(ready):
    """The panel after a run."""
    ready.segment()
    return ready


@pytest.fixture(scope="session", autouse=True)
def _application():
    """One QApplication for all tests of a process."""
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
