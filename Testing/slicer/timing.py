"""Time from the click to segments on the screen: python -m Testing.slicer.timing CT.nii.gz [--device D] [--no-flips]

On slicer-core's scene, with the shipped engine as a child process, as in the panel; drawing is not in it.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

from Testing.slicer import core


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("ct", type=Path)
    arguments.add_argument("--device", default="auto")
    arguments.add_argument("--no-flips", dest="flips", action="store_false")
    arguments.add_argument("--uncertainty", action="store_true")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        core.start(Path(folder))
        print(measured(given))
    return 0


def measured(given: argparse.Namespace) -> str:
    import slicer
    from WPUNetSegmentLib.logic import RunOptions, WPUNetSegmentLogic
    from WPUNetSegmentLib.run import State

    volume = slicer.util.loadVolume(given.ct)
    before = memory(resource.RUSAGE_SELF)
    options = RunOptions(device=given.device, flips=given.flips, uncertainty=given.uncertainty, surface=True)
    logic = WPUNetSegmentLogic()
    clicked, worked = time.monotonic(), time.process_time()
    run = logic.start(volume, options)
    while run.state is State.RUNNING:
        run.poll()
        time.sleep(0.05)
    if run.result is None:
        raise SystemExit(run.message)
    logic.finish(run)
    total, worked = time.monotonic() - clicked, time.process_time() - worked
    engine = resource.getrusage(resource.RUSAGE_CHILDREN)
    size = "x".join(map(str, volume.GetImageData().GetDimensions()))
    lines = [f"{given.ct}   {size}   {run.result.report['runtime']}"]
    lines += [f"  {part:10} {seconds:6.2f} s" for part, seconds in run.seconds.items()]
    lines += [f"  {'in all':10} {total:6.2f} s"]
    lines += [f"  processor: {worked:.1f} s here, {engine.ru_utime + engine.ru_stime:.1f} s in the engine"]
    lines += [f"  memory: the CT loaded {before} MB, highest here {memory(resource.RUSAGE_SELF)} MB,"]
    lines += [f"          highest in the engine {memory(resource.RUSAGE_CHILDREN)} MB"]
    return "\n".join(lines)


def memory(whose: int) -> int:
    """The most that was in use, in MB."""
    return resource.getrusage(whose).ru_maxrss // (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    sys.exit(main())
