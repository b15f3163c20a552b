"""The line below the button before a run: how long it will take, of which frame, and that a region is no use."""

from __future__ import annotations

import pytest
import slicer
import vtk

from Testing.slicer.places import in_sequence

from .conftest import STEP


def test_no_gpu_is_told_until_the_first_run(ready, monkeypatch):
    from WPUNetSegmentLib import outlook

    monkeypatch.setattr(outlook, "gpu_possible", lambda: False)
    ready.panel.refresh()
    assert "No graphics card" in ready.text("infoLabel")
    assert "about" in ready.text("infoLabel")
    ready.segment()
    ready.choose("segmentation", None)
    assert "No graphics card" not in ready.text("infoLabel")
    assert "40 slices" in ready.text("infoLabel")


@pytest.fixture
def took(ready, monkeypatch):
    """A function: a run with such options took so many seconds, and was learned from."""
    from WPUNetSegmentLib import outlook
    from WPUNetSegmentLib.run import RunOptions

    monkeypatch.setattr(outlook, "gpu_possible", lambda: False)

    def learn(seconds, **options):
        run = ready.panel.logic.start(ready.parameters.ct, RunOptions(**options))
        run.close()
        run.seconds["engine"] = seconds
        outlook.learn(run)
        ready.panel.refresh()

    return learn


def test_the_time_to_expect_is_that_of_this_computer(ready, took):
    took(83.0)
    assert "40 slices: about 1 min" in ready.text("infoLabel")
    took(6.0)  # its start is no part of what a slice takes
    assert "40 slices: about 5 s" in ready.text("infoLabel")


def test_the_time_to_expect_is_that_of_runs_of_the_same_kind(ready, took, monkeypatch):
    from WPUNetSegmentLib import outlook

    took(23.0)
    ready.ui.regionSelector.addNode()
    region = ready.parameters.region
    region.SetSize(400, 400, 10 * STEP)
    assert "10 slices: about 10 s" in refreshed(ready)  # as the whole CT, until it is known better
    took(33.0, region=region)
    took(203.0, full=True)
    assert "10 slices: about 35 s" in refreshed(ready)
    ready.choose("full", True)
    assert "10 slices: about 10 s" in ready.text("infoLabel")
    ready.choose("region", None)
    assert "40 slices: about 3 min" in ready.text("infoLabel")
    ready.choose("full", False)
    assert "40 slices: about 25 s" in ready.text("infoLabel")
    monkeypatch.setattr(outlook, "gpu_possible", lambda: True)
    took(1.0)
    monkeypatch.setattr(outlook, "gpu_possible", lambda: False)
    assert "40 slices: about 25 s" in refreshed(ready)


@pytest.mark.parametrize("how", ["size", "place", "transform"])
def test_a_region_that_is_dragged_is_followed_once_it_rests(ready, how, monkeypatch):
    from WPUNetSegmentLib import outlook
    from WPUNetSegmentLib.rest import REST_MS

    ready.ui.regionSelector.addNode()
    region, transform = ready.parameters.region, slicer.vtkMRMLLinearTransformNode()
    slicer.mrmlScene.AddNode(transform)
    region.SetAndObserveTransformNodeID(transform.GetID())
    ready.desktop.wait(2 * REST_MS)
    words, told = outlook.words, []
    monkeypatch.setattr(outlook, "words", lambda *given: told.append(given) or words(*given))
    shift = vtk.vtkMatrix4x4()
    for step in range(10, 31):
        shift.SetElement(2, 3, step * STEP)
        if how == "size":
            region.SetSize(400, 400, (40 - step) * STEP)
        elif how == "place":
            region.SetCenterWorld(0, 0, step * STEP)
        else:
            transform.SetMatrixTransformToParent(shift)
        ready.desktop.settle()
    assert told == []  # each would take its time from the views
    ready.desktop.wait(2 * REST_MS)
    assert len(told) == 1
    assert "10 slices: " in ready.text("infoLabel")
    ready.choose("region", None)
    region.SetSize(1, 1, 1)
    told.clear()
    ready.desktop.wait(2 * REST_MS)
    assert told == []


def test_of_a_sequence_the_frame_is_named_before_and_after_a_run(panel, add_ct):
    from WPUNetSegmentLib.rest import REST_MS

    ct, show = in_sequence(add_ct("first"), add_ct("second"))
    panel.choose("ct", ct)
    assert "frame 1 of 2, 40 slices: " in panel.text("infoLabel")
    show(2)
    panel.desktop.wait(2 * REST_MS)
    assert "frame 2 of 2, 40 slices: " in panel.text("infoLabel")
    panel.segment()
    assert panel.text("resultsSection") == "Results of frame 2 of 2"
    show(1)
    panel.desktop.wait(2 * REST_MS)
    assert panel.text("resultsSection") == "Results of frame 2 of 2"
    panel.choose("segmentation", None)
    assert panel.text("resultsSection") == "Results"
    assert "frame 1 of 2, 40 slices: " in panel.text("infoLabel")


def test_a_region_beside_the_ct_is_told_before_the_run(ready):
    ready.ui.regionSelector.addNode()
    ready.parameters.region.SetCenterWorld(9999, 0, 0)
    assert "lies beside CT" in refreshed(ready)


def refreshed(panel):
    panel.panel.refresh()
    return panel.text("infoLabel")
