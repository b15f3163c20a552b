"""The module as Slicer loads it: what it says of itself, the sample, the self-test, and the real engine behind it."""

from __future__ import annotations

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
