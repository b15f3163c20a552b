"""The engine as Slicer's Python starts it: behind a launcher, in a folder whose name may be anything."""

import sys
from pathlib import Path

import pytest
from wpunet.child import EngineProcess

from Testing.slicer.stand_in import Process
from Testing.slicer.test_run import CODE, ended, until

LAUNCHER = """#!/bin/sh
exec "{python}" -c "
import subprocess, sys
child = subprocess.run([{python!r}, {script!r}, *sys.argv[1:]])
if child.returncode < 0:
    print('[' + {python!r} + '] exit abnormally - Report the problem.', file=sys.stderr, flush=True)
    sys.exit(1)
sys.exit(child.returncode)
" "$@"
"""


@pytest.mark.parametrize(
    ("act", "told"),
    [
        ("import signal; os.kill(os.getpid(), signal.SIGKILL)", "lack of memory"),
        ("sys.exit(1)", "ended unexpectedly (exit status 1)"),
    ],
)
def test_an_engine_that_is_killed_behind_slicers_launcher_is_told(scene, add_ct, tmp_path, act, told):
    """PythonSlicer starts the real Python, forwards its pipes, and answers 1 when that is killed."""
    from WPUNetSegmentLib.run import Run

    script, launcher = tmp_path / "engine.py", tmp_path / "PythonSlicer"
    script.write_text(CODE.format(root=str(Path(__file__).parents[2]), act=act), "utf-8")
    launcher.write_text(LAUNCHER.format(python=sys.executable, script=str(script)), "utf-8")
    launcher.chmod(0o755)
    run = Run(add_ct(), start=lambda words, folder: EngineProcess(words, python=str(launcher), folder=folder))
    until(run, ended(run))
    assert told in run.message
    assert run.state.value == "failed"


def test_the_engine_is_given_names_in_its_folder_and_no_path(scene, add_ct, temporary):
    """A Windows user's name may hold what SimpleITK cannot open in Slicer's Python, which does not use UTF-8 there."""
    from WPUNetSegmentLib.run import Run, RunOptions

    started = []

    def start(arguments, folder):
        started.append((arguments, folder))
        return Process(arguments, folder)

    run = Run(add_ct(), RunOptions(uncertainty=True), start=start)
    until(run, ended(run))
    assert run.state.value == "done"
    ((arguments, folder),) = started
    assert folder.parent == temporary
    assert "ä" in str(folder)
    for word in arguments:
        assert word.isascii()
        assert "/" not in word
