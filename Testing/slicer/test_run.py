"""Runs with real child processes: cancelled, crashed, two at once, and a scene that changes under them."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from wpunet import child
from wpunet.child import EngineProcess
from wpunet.errors import Cancelled, InputError, InstallError, OutputError, WpunetError
from wpunet.progress import WORDS

from Testing.slicer.stand_in import marked

# An engine that reports, waits until it is allowed to go on, and then does what the stand-in does.
CODE = """
import json, os, sys, time
sys.path.insert(0, {root!r})
from Testing.slicer.stand_in import Process
def tell(**event): print(json.dumps(event), flush=True)
arguments = sys.argv[3:-3]
tell(event="progress", stage="predict", done=1, total=2, fraction=0.5, pid=os.getpid())
{act}
for event in Process(arguments, ".").poll(): tell(**event)
"""
WAIT = "while not os.path.exists({flag!r}): time.sleep(0.02)"
FOLLOW = "import threading; threading.Thread(target=lambda: (sys.stdin.read(), os._exit(130)), daemon=True).start()\n"


@pytest.fixture
def engine(tmp_path):
    """A function that gives a ``start_engine`` whose child does ``act``, and waits for the file ``go`` by default."""

    def make(act=None):
        act = act or FOLLOW + WAIT.format(flag=str(tmp_path / "go"))
        script, python = tmp_path / "engine.py", tmp_path / "python"
        script.write_text(CODE.format(root=str(Path(__file__).parents[2]), act=act), "utf-8")
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n', "utf-8")
        python.chmod(python.stat().st_mode | stat.S_IXUSR)
        return lambda arguments, folder: EngineProcess(arguments, python=str(python), folder=folder)

    return make


@pytest.fixture
def slow_logic(scene, engine):
    from WPUNetSegmentLib.logic import WPUNetSegmentLogic

    return WPUNetSegmentLogic(start_engine=engine())


def until(run, condition, seconds=180.0):
    stop = time.monotonic() + seconds
    while not condition(run.poll()):
        assert time.monotonic() < stop, (run.state, run.message, run.log)
        time.sleep(0.02)


def at_half(progress):
    return progress.fraction == 0.5


def ended(run):
    from WPUNetSegmentLib.run import State

    return lambda progress: run.state is not State.RUNNING


def gone(pid):
    stop = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and time.monotonic() < stop:
        time.sleep(0.02)
    return not Path(f"/proc/{pid}").exists()


def test_the_shipped_engine_segments_a_phantom_in_the_scene(scene, abdomen, temporary):
    """The whole way with the real network: scene, child process, segments."""
    import slicer
    from WPUNetSegmentLib.logic import WPUNetSegmentLogic
    from WPUNetSegmentLib.run import RunOptions

    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Phantöm")
    slicer.util.updateVolumeFromArray(volume, abdomen.hu)
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(abdomen.affine[:, [2, 1, 0, 3]]))
    seen = []
    options = RunOptions(device="cpu", min_tumor_ml=0.0, threads=1)
    segmentation = WPUNetSegmentLogic().process(volume, options=options, progress=seen.append)
    found = np.zeros(abdomen.labels.shape, bool)
    for key in segmentation.GetSegmentation().GetSegmentIDs():
        found |= slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, key, volume) > 0
    truth = abdomen.labels > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.85
    fractions = [at.fraction for at in seen]
    assert fractions == sorted(fractions)
    texts = {at.text for at in seen}
    assert "Segmenting" in texts
    assert len(texts & set(WORDS.values())) > 1  # not all: a stage may be over before anybody looks
    assert any(at.seconds_left for at in seen)
    assert list(temporary.iterdir()) == []


def test_a_cancelled_run_leaves_the_scene_as_it_was(slow_logic, add_ct, scene, temporary):
    volume = add_ct()
    nodes = scene.GetNumberOfNodes()
    run = slow_logic.start(volume)
    until(run, at_half)
    run.cancel()
    assert run.poll().text == "Stopping"
    until(run, ended(run))
    assert (run.state.value, run.message, run.result) == ("cancelled", "Cancelled.", None)
    assert scene.GetNumberOfNodes() == nodes
    assert list(temporary.iterdir()) == []
    assert gone(run._process.pid)


def test_a_run_that_does_not_listen_is_killed(scene, engine, add_ct, monkeypatch, temporary):
    from WPUNetSegmentLib.run import Run

    monkeypatch.setattr(child, "GRACE_SECONDS", 0.2)
    run = Run(add_ct(), start=engine("time.sleep(60)"))
    until(run, at_half)
    run.cancel()
    until(run, ended(run))
    assert run.state.value == "cancelled"
    assert list(temporary.iterdir()) == []


def test_a_window_that_closes_leaves_no_process_and_no_file(slow_logic, add_ct, temporary):
    run = slow_logic.start(add_ct())
    until(run, at_half)
    assert len(list(temporary.iterdir())) == 1
    run.close()
    assert gone(run._process.pid)
    assert list(temporary.iterdir()) == []
    run.close()


@pytest.mark.parametrize(
    ("act", "told"),
    [
        ("print('a stack of calls', file=sys.stderr); sys.exit(1)", "ended unexpectedly (exit status 1)"),
        ("import signal; os.kill(os.getpid(), signal.SIGKILL)", "lack of memory"),
        ("sys.exit(0)", "ended unexpectedly (exit status 0)"),
        ("tell(event='result', report={'structures': []}); sys.exit(3)", "ended unexpectedly (exit status 3)"),
        ("tell(event='error', text=arguments[1] + ' is cut short.'); sys.exit(2)", "Müller is cut short."),
        ("tell(event='error', case='CT', text='CT holds colours; give HU.', status=2); sys.exit(2)", "give HU."),
    ],
)
def test_a_crash_is_told_and_leaves_nothing(scene, engine, add_ct, temporary, monkeypatch, act, told):
    from WPUNetSegmentLib.logic import WPUNetSegmentLogic

    volume = add_ct(name="Müller")
    nodes, logic, runs = scene.GetNumberOfNodes(), WPUNetSegmentLogic(engine(act)), []
    monkeypatch.setattr(logic, "start", lambda *given: runs.append(type(logic).start(logic, *given)) or runs[0])
    with pytest.raises(WpunetError) as error:
        logic.process(volume)
    assert told in str(error.value)
    assert "/" not in str(error.value)
    assert runs[0].state.value == "failed"
    assert ("a stack of calls" in runs[0].log) == ("stack" in act)
    assert scene.GetNumberOfNodes() == nodes
    assert list(temporary.iterdir()) == []


def test_a_result_that_is_not_there_is_told(scene, engine, add_ct, temporary):
    from WPUNetSegmentLib.run import Run

    run = Run(add_ct(), start=engine("tell(event='result', report={'structures': []}); sys.exit(0)"))
    until(run, ended(run))
    assert run.state.value == "failed"
    assert "result cannot be read" in run.message
    assert list(temporary.iterdir()) == []


def test_the_engines_message_names_the_ct_and_not_our_file(scene, add_ct):
    """From the real engine: grey values instead of HU."""
    import slicer
    from WPUNetSegmentLib.logic import WPUNetSegmentLogic

    volume = add_ct(name="Müller abdomen")
    slicer.util.arrayFromVolume(volume)[:] = 7
    with pytest.raises(WpunetError) as error:
        WPUNetSegmentLogic().process(volume)
    assert str(error.value) == "Müller abdomen holds one value only (7); it is no CT."


def test_two_runs_at_once_do_not_mix(scene, slow_logic, add_ct, tmp_path):
    import slicer

    volumes = [add_ct("axial", "first"), add_ct("coronal", "second")]
    array = slicer.util.arrayFromVolume(volumes[1])
    array[array == 300] = 150
    runs = [slow_logic.start(volume) for volume in volumes]
    for run in runs:
        until(run, at_half)
    (tmp_path / "go").touch()
    for run in runs:
        until(run, ended(run))
    for run, volume in zip(runs, volumes, strict=True):
        assert np.array_equal(run.result.labels, marked(slicer.util.arrayFromVolume(volume)))
        segmentation = slow_logic.finish(run)
        assert segmentation.GetName() == f"{volume.GetName()} kidneys"


def test_one_of_two_runs_can_be_cancelled(scene, slow_logic, add_ct, tmp_path):
    runs = [slow_logic.start(add_ct("axial", name)) for name in ("first", "second")]
    for run in runs:
        until(run, at_half)
    runs[0].cancel()
    until(runs[0], ended(runs[0]))
    (tmp_path / "go").touch()
    until(runs[1], ended(runs[1]))
    assert [run.state.value for run in runs] == ["cancelled", "done"]


@pytest.mark.parametrize("how", ["closed", "removed"])
def test_a_scene_closed_during_a_run_ends_it(scene, slow_logic, add_ct, temporary, how):
    volume = add_ct()
    run = slow_logic.start(volume)
    until(run, at_half)
    if how == "closed":
        scene.Clear(False)
    else:
        scene.RemoveNode(volume)
    until(run, ended(run))
    assert (run.state.value, run.message) == ("cancelled", "The CT is no longer in the scene.")
    assert list(temporary.iterdir()) == []


def test_a_scene_closed_after_the_run_is_told(scene, logic, add_ct):
    run = logic.start(add_ct())
    until(run, ended(run))
    scene.Clear(False)
    with pytest.raises(WpunetError, match="no longer in the scene"):
        logic.finish(run)


def test_a_segmentation_removed_during_the_run_is_made_anew(scene, logic, add_ct):
    volume = add_ct()
    segmentation = logic.process(volume)
    run = logic.start(volume)
    scene.RemoveNode(segmentation)
    until(run, ended(run))
    assert logic.finish(run, segmentation) is not segmentation


def test_a_ct_changed_or_moved_during_the_run_keeps_the_result_in_place(scene, slow_logic, add_ct, tmp_path):
    """What was handed over counts, where the CT is now: a transform moves both, new voxels change nothing."""
    import slicer

    volume = add_ct()
    wanted = marked(slicer.util.arrayFromVolume(volume))
    run = slow_logic.start(volume)
    until(run, at_half)
    moved = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, 3] = 50, 60, 70
    moved.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    volume.SetAndObserveTransformNodeID(moved.GetID())
    slicer.util.arrayFromVolume(volume)[:] = 0
    (tmp_path / "go").touch()
    until(run, ended(run))
    segmentation = slow_logic.finish(run)
    found = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "tumor", volume) > 0
    assert np.array_equal(found, wanted == 2)


def test_process_stops_when_its_progress_says_so(slow_logic, add_ct, temporary):
    def impatient(progress):
        if progress.fraction:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        slow_logic.process(add_ct(), progress=impatient)
    assert list(temporary.iterdir()) == []


def test_a_run_stopped_from_outside_raises_cancelled(scene, engine, add_ct):
    from WPUNetSegmentLib.logic import WPUNetSegmentLogic

    with pytest.raises(Cancelled):
        WPUNetSegmentLogic(engine("sys.exit(130)")).process(add_ct())


@pytest.mark.parametrize("kind", ["nothing", "label map", "empty"])
def test_what_is_no_ct_is_refused_before_the_engine_starts(scene, logic, kind):
    import slicer
    from WPUNetSegmentLib.measurement import measure_segments

    node, segmentation = None, scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    if kind == "label map":
        node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
        slicer.util.updateVolumeFromArray(node, np.ones((4, 4, 4), np.uint8))
    elif kind == "empty":
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    for act in (lambda: logic.start(node), lambda: measure_segments(node, segmentation)):  # its file was not found
        with pytest.raises(InputError, match={"nothing": "No CT", "label map": "label map", "empty": "no image"}[kind]):
            act()


def test_a_region_beside_the_ct_is_refused(scene, logic, add_ct, temporary):
    from WPUNetSegmentLib.run import RunOptions

    region = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    region.SetSize(10, 10, 10)
    region.SetCenter(1000, 0, 0)
    with pytest.raises(InputError, match="box lies beside CT"):
        logic.start(add_ct(), RunOptions(region=region))
    assert list(temporary.iterdir()) == []


def test_a_full_disk_is_told(scene, add_ct, temporary):
    """A file system of 1 MB for Slicer's temporary files."""
    import slicer
    from WPUNetSegmentLib.run import Run

    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "none", str(temporary)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        slicer.app.temporaryPath = str(temporary)
        with pytest.raises(OutputError, match="no room"):
            Run(add_ct())
        assert list(temporary.iterdir()) == []
    finally:
        subprocess.run(["umount", str(temporary)], check=True)


def test_no_temporary_folder_is_told(scene, logic, add_ct):
    import slicer

    slicer.app.temporaryPath = "/nowhere/at all"
    with pytest.raises(OutputError, match="No temporary folder"):
        logic.start(add_ct())


def test_what_a_killed_slicer_left_behind_is_taken_away(scene, logic, add_ct, temporary):
    old, young, other = temporary / "WPUNetSegment-old", temporary / "WPUNetSegment-young", temporary / "other"
    for folder in (old, young, other):
        folder.mkdir()
        (folder / "CT.nrrd").write_bytes(b"x")
    for folder in (old, other):
        os.utime(folder, (0, 0))
    gone = temporary / "WPUNetSegment-gone"  # by another Slicer, between a look at the folder and one at this
    gone.symlink_to("nowhere")
    logic.process(add_ct())
    assert sorted(temporary.iterdir()) == sorted([young, other, gone])


def test_the_folder_of_temporary_files_may_have_been_cleaned_away(scene, logic, add_ct, temporary):
    temporary.rmdir()
    logic.process(add_ct())
    assert list(temporary.iterdir()) == []


def test_an_engine_that_cannot_be_started_is_told(scene, add_ct, temporary):
    from WPUNetSegmentLib.run import Run

    def start(arguments, folder):
        raise FileNotFoundError("PythonSlicer")

    with pytest.raises(OutputError, match="cannot be started"):
        Run(add_ct(), start=start)
    assert list(temporary.iterdir()) == []


def test_without_its_packages_no_engine_is_started(scene, add_ct, monkeypatch):
    from WPUNetSegmentLib import install
    from WPUNetSegmentLib.logic import WPUNetSegmentLogic

    monkeypatch.setattr(install, "_installed", lambda name: None)
    with pytest.raises(InstallError, match="openvino"):
        WPUNetSegmentLogic().start(add_ct())
