"""The module as Slicer loads it: what it says of itself, the sample, the self-test, and the real engine behind it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
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


def test_a_slicer_whose_python_is_too_old_gets_a_sentence_and_no_panel(module, desktop, monkeypatch):
    from PySide6 import QtWidgets
    from WPUNetSegmentLib import install

    monkeypatch.setattr(install.require_python, "__defaults__", ((3, 9),))
    monkeypatch.setitem(sys.modules, "WPUNetSegmentLib.panel", None)  # such a Python cannot import it
    top = desktop.module_window()
    widget = module.WPUNetSegmentWidget(top)
    widget.setup()
    for act in (widget.enter, widget.exit, widget.cleanup):
        act()
    (label,) = top._real.findChildren(QtWidgets.QLabel)
    assert "use Slicer 5.10 or later" in label.text()


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
desk.click("sampleButton")
assert desk.ui.segmentButton.isEnabled()
desk.widget.cleanup()
desktop.close()
print("opened")
"""
    root = MODULE.parents[1]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join((str(root), str(MODULE.parent)))}
    told = subprocess.run([sys.executable, "-c", code], env=paths, capture_output=True, text=True, timeout=120)
    assert told.stdout.endswith("opened\n"), told.stderr


def sources():
    from SampleData import SampleDataLogic
    from WPUNetSegmentLib import sample

    return SampleDataLogic.sampleDataSourcesByCategory(sample.CATEGORY)


def test_the_sample_is_registered_when_slicer_has_started_and_made_here(module, desktop, small_sample):
    assert not sources()
    module.WPUNetSegment(types.SimpleNamespace(path=str(MODULE)))
    desktop.at_start[-1]()
    (source,) = sources()
    assert source.sampleName == "WPUNetPhantom"
    assert Path(source.thumbnailFileName).is_file()
    (ct,) = source.customDownloader(source)
    assert ct is slicer.util.getNode("WPUNetPhantom")
    assert ct.GetDisplayNode().GetWindowLevelMax() == 240


def test_so_it_is_in_a_module_that_is_added_while_slicer_runs_and_only_once(panel, module, desktop, engine):
    assert len(sources()) == 1
    module.WPUNetSegment(types.SimpleNamespace(path=str(MODULE)))
    desktop.at_start[-1]()
    Desk(desktop, module, engine).widget.cleanup()
    assert len(sources()) == 1


def test_a_slicer_without_sample_data_starts_all_the_same(module, desktop, monkeypatch):
    monkeypatch.setitem(sys.modules, "SampleData", None)
    module.WPUNetSegment(types.SimpleNamespace(path=str(MODULE)))
    desktop.at_start[-1]()


def test_the_sample_is_shown_in_the_slice_views(panel, small_sample):
    view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "Red")
    panel.click("sampleButton")
    assert view.GetBackgroundVolumeID() == panel.parameters.ct.GetID()
    assert panel.ui.segmentButton.isEnabled()
    assert not panel.shown("sampleButton")


def test_the_sample_lies_as_a_patient_does(module, small_sample):
    """Liver on the right, table behind, and the spine between the kidneys."""
    from wpunet import phantom
    from WPUNetSegmentLib import sample
    from WPUNetSegmentLib.sample import SIZE_MM

    ct = sample.load()
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


def test_the_self_test_leaves_the_processor_to_the_engine(desktop, module, small_sample, monkeypatch):
    """It looks some twenty times a second, and no more."""
    from WPUNetSegmentLib import self_test

    from .engine import Engine

    looks = []
    engine = Engine()
    desk = Desk(desktop, module, engine)
    monkeypatch.setattr(slicer.app, "processEvents", lambda: looks.append(time.monotonic()), raising=False)
    monkeypatch.setattr(self_test.SelfTest, "SECONDS", 0.5)
    test = module.WPUNetSegmentTest()
    with pytest.raises(AssertionError, match="did not end in time"):
        test.test_panel()
    desk.widget.cleanup()
    assert 2 < len(looks) < 15


IMPORT = """
import sys, time
from pathlib import Path
from Testing.widget.desktop import Desktop
desktop = Desktop(Path({folder!r}))
import numpy, vtk.util.numpy_support, importlib.resources, multiprocessing.queues  # Slicer has imported them itself
before, began = set(sys.modules), time.process_time()
desktop.load_module()
took = time.process_time() - began
heavy = {{"scipy", "SimpleITK", "openvino", "cc3d", "torch", "nibabel", "PIL", "pydicom"}}
print(took, *sorted(heavy & {{name.partition(".")[0] for name in set(sys.modules) - before}}))
desktop.close()
"""


def test_importing_the_module_costs_slicers_start_nothing(tmp_path):
    """Slicer imports every module when it starts, whether it is opened or not."""
    root = MODULE.parents[1]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join((str(root), str(MODULE.parent)))}
    code = IMPORT.format(folder=str(tmp_path))
    took = []
    for _ in range(3):  # the least counts: what else the machine does only adds to it
        told = subprocess.run([sys.executable, "-c", code], env=paths, capture_output=True, text=True, timeout=120)
        seconds, *heavy = told.stdout.split()
        assert heavy == [], told.stderr
        took.append(float(seconds))
    assert min(took) < 0.1


def test_reload_takes_all_of_the_modules_code_anew(done, module, monkeypatch):
    """Slicer itself reloads WPUNetSegment.py alone."""
    kept = {
        name: part for name, part in sys.modules.items() if name.partition(".")[0] in ("WPUNetSegmentLib", "wpunet")
    }
    assert {"WPUNetSegmentLib.panel", "wpunet.labels"} <= set(kept)
    reloaded = []
    monkeypatch.setattr(slicer.util, "reloadScriptedModule", reloaded.append)
    try:
        done.widget.onReload()
        assert reloaded == ["WPUNetSegment"]
        assert not [name for name in sys.modules if name.partition(".")[0] in ("WPUNetSegmentLib", "wpunet")]
        from WPUNetSegmentLib import messages

        assert messages is not kept["WPUNetSegmentLib.messages"]
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("WPUNetSegmentLib", "wpunet")]:
            del sys.modules[name]
        sys.modules.update(kept)


def test_what_slicer_still_tells_a_module_that_was_unloaded_does_nothing(done, add_ct):
    done.widget.cleanup()
    done.widget.enter()
    add_ct("another")
    done.desktop.settle()
    slicer.mrmlScene.Clear()
    done.desktop.settle()
    done.widget.exit()
    done.widget.cleanup()


class TestManyNodes:
    def test_300_models_without_a_ct_take_no_time(self, panel, module):
        from WPUNetSegmentLib import parameters

        made = []
        wrapper = parameters.Parameters
        parameters.Parameters = lambda node: made.append(node) or wrapper(node)
        try:
            began = time.process_time()
            for number in range(300):
                slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", f"model {number}")
            panel.desktop.settle()
            took = time.process_time() - began
        finally:
            parameters.Parameters = wrapper
        assert made == []
        assert took < 0.5

    def test_several_volumes_at_once_are_looked_at_once(self, panel, monkeypatch):
        seen = []
        follow = type(panel.widget)._follow
        monkeypatch.setattr(type(panel.widget), "_follow", lambda widget: seen.append(1) or follow(widget))
        for number in range(20):
            slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"volume {number}")
        panel.desktop.wait(20)
        assert len(seen) == 1
        assert panel.parameters.ct.GetName() == "volume 0"

    def test_what_is_added_while_another_module_is_shown_waits(self, panel, add_ct):
        panel.widget.exit()
        ct = add_ct()
        panel.desktop.wait(20)
        assert panel.parameters.ct is None
        panel.widget.enter()
        assert panel.parameters.ct is ct

    def test_200_visits_leave_one_wrapper(self, panel, module):
        from WPUNetSegmentLib.parameters import Parameters

        gc.collect()
        before = sum(isinstance(one, Parameters) for one in gc.get_objects())
        observers = observers_so_far(panel.parameters.parameterNode)
        for _ in range(200):
            panel.widget.exit()
            panel.widget.enter()
        gc.collect()
        assert sum(isinstance(one, Parameters) for one in gc.get_objects()) == before == 1
        assert observers_so_far(panel.parameters.parameterNode) == observers + 1

    def test_a_scene_that_is_closed_keeps_the_wrapper(self, panel, add_ct):
        wrapper = panel.parameters
        panel.choose("ct", add_ct())
        slicer.mrmlScene.Clear()
        panel.desktop.settle()
        assert panel.parameters is wrapper
        assert wrapper.ct is None
        panel.choose("ct", add_ct("another"))
        assert panel.ui.ctSelector.currentNode().GetName() == "another"


def observers_so_far(node):
    """How many observers a node was ever given: their tags count upwards."""
    tag = node.AddObserver("ModifiedEvent", lambda *_: None)
    node.RemoveObserver(tag)
    return tag
