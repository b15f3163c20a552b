"""The module as Slicer loads it: what it says of itself, the sample, the self-test, and the real engine behind it."""

from __future__ import annotations

import os
import subprocess
import sys
import types
import unittest
from pathlib import Path

import numpy as np
import pytest
import slicer

from .desk import Desk
from .desktop import MODULE

SHAPE = (36, 112, 112)
# What the engine and its training use and Slicer does not bring along.
ABSENT = {"cc3d", "openvino", "isal", "safetensors", "nibabel", "torch", "PIL", "tqdm", "psutil", "pandas"}


@pytest.fixture
def small_sample(module, monkeypatch):
    """The sample in fewer voxels, so that the real network takes seconds."""
    from WPUNetSegmentLib import sample

    monkeypatch.setattr(sample, "SHAPE", SHAPE)


def test_what_the_module_says_of_itself(module, desktop):
    parent = types.SimpleNamespace(path=str(MODULE))
    module.WPUNetSegment(parent)
    assert "Kidney" in parent.title
    assert parent.categories == ["Segmentation"]
    assert "research only" in parent.helpText
    assert "KiTS19" in parent.acknowledgementText


def test_the_file_stays_short():
    assert len(MODULE.read_text("utf-8").splitlines()) < 200


def test_the_panel_opens_before_anything_is_installed(tmp_path):
    """In a fresh Slicer there is what Slicer brings along, and no more, until the first click on Segment."""
    code = f"""
import sys
from pathlib import Path
class Absent:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Absent())
from Testing.widget.desktop import Desktop
desktop = Desktop(Path({str(tmp_path)!r}))
from Testing.widget.desk import Desk
desk = Desk(desktop, desktop.load_module(), engine=None)
desk.choose("ct", desk.module.make_sample())
assert desk.ui.segmentButton.isEnabled()
desk.widget.cleanup()
desktop.close()
print("opened")
"""
    root = MODULE.parents[1]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join((str(root), str(MODULE.parent)))}
    told = subprocess.run([sys.executable, "-c", code], env=paths, capture_output=True, text=True, timeout=120)
    assert told.stdout.endswith("opened\n"), told.stderr


def test_the_sample_is_registered_and_made_here(module, desktop, small_sample, monkeypatch):
    registered = []
    logic = types.SimpleNamespace(registerCustomSampleDataSource=lambda **given: registered.append(given))
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=logic))
    module.WPUNetSegment(types.SimpleNamespace(path=str(MODULE)))
    desktop.at_start[-1]()
    (given,) = registered
    assert given["sampleName"] == "WPUNetPhantom"
    assert "uris" not in given
    assert Path(given["thumbnailFileName"]).is_file()
    (ct,) = given["customDownloader"](None)
    assert ct is slicer.util.getNode("WPUNetPhantom")
    assert ct.GetDisplayNode().GetWindowLevelMax() == 240


def test_the_sample_lies_as_a_patient_does(module, small_sample):
    """Liver on the right, table behind, and the spine between the kidneys."""
    from wpunet import phantom
    from WPUNetSegmentLib.sample import SIZE_MM

    ct = module.make_sample()
    made = phantom.make(seed=1, shape=SHAPE, spacing=[mm / n for mm, n in zip(SIZE_MM, SHAPE, strict=True)])
    ras = np.append(made.facts["tumors"][0]["centre_ras_mm"], 1.0)
    matrix = slicer.util.arrayFromVTKMatrix(_ras_to_ijk(ct))
    i, j, k = np.round(matrix @ ras)[:3].astype(int)
    assert (slicer.util.arrayFromVolume(ct)[k, j, i], made.labels[k, j, i]) == (made.hu[k, j, i], 2)


def _ras_to_ijk(ct):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    ct.GetRASToIJKMatrix(matrix)
    return matrix


def test_the_self_test_passes_with_the_real_engine(desktop, module, small_sample):
    desk = Desk(desktop, module, engine=None)
    slicer.app.processEvents = lambda: desktop.wait(50)
    module.WPUNetSegmentTest().runTest()
    desk.widget.cleanup()


def test_the_self_test_is_skipped_where_the_engine_is_not_installed(desktop, module, monkeypatch):
    from WPUNetSegmentLib import install

    monkeypatch.setattr(install, "missing", lambda *_: install.Missing(("openvino>=2024.4",)))
    with pytest.raises(unittest.SkipTest, match="openvino"):
        module.WPUNetSegmentTest().runTest()


def test_the_self_test_fails_on_a_wrong_result(desktop, module, small_sample, monkeypatch):
    from WPUNetSegmentLib import measurement

    desk = Desk(desktop, module, engine=None)
    monkeypatch.setattr(measurement, "measure_segments", lambda *_: ())
    monkeypatch.setattr(module.WPUNetSegmentLogic, "process", lambda *_: None)
    monkeypatch.setattr(module.WPUNetSegmentTest, "test_panel", lambda self: None)
    with pytest.raises(AssertionError, match="right"):
        module.WPUNetSegmentTest().runTest()
    desk.widget.cleanup()
