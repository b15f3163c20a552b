"""The network's part on a GPU against the CPU: python -m Testing.gpu [--device cuda] [--slices 96]

Needs PyTorch, NumPy, SciPy and safetensors only. On the large phantom (611x512x512): seconds of the search, the network
and the decision on the device, the first time, when its libraries are loaded, and again; then both devices decide on
the middle slices, the CPU in float32, and the labels are compared. Exit status 1 where more than one in a thousand
labelled voxels differs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from wpunet import bundle, predict
from wpunet.locate import locate, whole
from wpunet.monitor import Monitor
from wpunet.runtime import TorchRuntime
from wpunet.volume import Region, Volume, from_array

from Testing.benchmark import painted

MOST = 1e-3  # of the labelled voxels may differ: float16 against float32


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--phantom", default="phantom, large", help="as Testing.benchmark names it")
    arguments.add_argument("--slices", type=int, default=96, help="that the CPU decides on, too")
    arguments.add_argument("--weights", type=Path)
    given = arguments.parse_args()
    weights = bundle.load(given.weights)
    hu, affine = painted(given.phantom)
    source = from_array(hu, affine, given.phantom)
    device, cpu = TorchRuntime(weights, given.device), TorchRuntime(weights)
    for which in ("first", "again"):
        monitor = Monitor()
        with monitor.stage("locate"):
            region = locate(source, device, weights.pixel_mm, monitor)
        found, maps = segmented(source, region, device, weights, monitor)
        total = sum(monitor.seconds.values())
        stages = ", ".join(f"{stage} {seconds:.3f} s" for stage, seconds in monitor.seconds.items())
        print(f"{which}: {stages}, together {total:.3f} s, {len(source.hu) / total:.0f} slices a second")
    print(f"{device.description}: {source.hu.shape} voxels, region {region.shape}, {len(maps.foreground)} slabs")
    print(f"{np.count_nonzero(found)} voxels labelled")
    if device.device.type == "cuda":
        print(f"peak memory on the device {torch.cuda.max_memory_allocated() / 1e9:.2f} GB")

    middle = part(source, given.slices)
    ours = segmented(source, middle, device, weights, Monitor())[0]
    theirs = segmented(source, middle, cpu, weights, Monitor())[0]
    differ, labelled = np.count_nonzero(ours != theirs), np.count_nonzero(theirs)
    print(f"{given.slices} slices by {cpu.description}: {differ} of {labelled} labelled voxels differ")
    return int(not labelled or differ > MOST * labelled)


def part(volume: Volume, slices: int) -> Region:
    """The middle slices."""
    every = whole(volume)
    first = max(0, (len(volume.hu) - slices) // 2)
    return Region(slice(first, min(len(volume.hu), first + slices)), every.rows, every.columns)


def segmented(
    volume: Volume, region: Region, runtime: TorchRuntime, weights: bundle.Weights, monitor: Monitor
) -> tuple[np.ndarray, predict.Maps]:
    """Labels and logits, as the engine makes them."""
    with monitor.stage("predict"):
        maps = predict.predict(volume, region, runtime, weights.pixel_mm, weights.temperature, True, monitor)
    with monitor.stage("decide"):
        labels, _ = predict.decide(maps, volume.hu.shape, monitor)
    return labels, maps


if __name__ == "__main__":
    sys.exit(main())
