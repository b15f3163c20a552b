"""How fast and how large: python -m Testing.benchmark [--ct CT] [--peers FOLDER] [--output FOLDER]

Volumes: each in a process of its own, start-up, label map, report and preview included: seconds of the clock and of
all processor cores for each stage, and peak memory. With --ct that CT too, cut or repeated to other numbers of slices,
a folder of eight of it, and other public networks over all its slices, from file to label map.
Networks: seconds per slice on the processor, through the same runtime, taking turns so that a busy machine is unfair to
none: WP-UNet, a dense U-Net of the same widths and, where they are, other public networks at their own input sizes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from Testing import phantom
from training.timing import precision

PHANTOMS = {  # slices, rows, columns; mm
    "phantom, small": ((60, 160, 160), (5.0, 2.2, 2.2), 1),
    "phantom, medium": ((140, 320, 320), (2.5, 1.2, 1.2), 1),
    "phantom, large": ((611, 512, 512), (0.6, 0.75, 0.75), 4),  # painted at a quarter of the size, then enlarged
}
PEERS = {  # file: input shape for one slice
    "openvino-kits19-basicunet/unet_kits19.xml": (1, 1, 512, 512),
    "openvino-kits19-basicunet/quantized_unet_kits19.xml": (1, 1, 512, 512),
    "openvino-kits19-unet44/unet44.onnx": (1, 1, 512, 512),
    "santiagom99-unetv2-2d/model.onnx": (1, 1, 256, 256),
}
LENGTHS = (150, 300, 611, 1222)  # slices
FOLDER = 8  # CTs


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--ct", type=Path, help="a real CT to add to the phantoms")
    arguments.add_argument("--peers", type=Path, help="folder of other networks")
    arguments.add_argument("--weights", type=Path)
    arguments.add_argument("--repeat", type=int, default=3, help="runs of each volume; the median is told")
    arguments.add_argument("--output", type=Path, help="folder for benchmark.json and benchmark.md")
    arguments.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # the child process
    arguments.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.one:
        print(json.dumps(peer_once(given.one, given.peer) if given.peer else segment_once(given.one, given.weights)))
        return
    figures = {
        "volumes": volumes(given),
        "networks": networks(given.weights, given.peers),
    }
    text = markdown(figures)
    print(text)
    if given.output:
        given.output.mkdir(parents=True, exist_ok=True)
        (given.output / "benchmark.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
        (given.output / "benchmark.md").write_text(text, "utf-8")


# In a child process


def segment_once(ct: Path, weights: Path | None) -> dict:
    """What the command line does with one CT, and what each stage took."""
    from wpunet.batch import Job
    from wpunet.monitor import Monitor
    from wpunet.reading import ReadAhead

    read = ReadAhead([(ct, None)])
    from wpunet.segment import Options, Segmenter

    segmenter, monitor = Segmenter(weights), Monitor()
    segmenter.read = read
    with tempfile.TemporaryDirectory() as folder:
        labels, report, preview = (Path(folder) / name for name in ("labels.nii.gz", "report.json", "preview.png"))
        result = Job(ct=ct, name="benchmark", labels=labels, report=report, preview=preview).run(
            segmenter, Options(), monitor
        )
    return {
        "shape": list(result.volume.grid.shape),
        "seconds": monitor.seconds,
        "processor_seconds": monitor.processor_seconds,
    }


def peer_once(ct: Path, peer: Path) -> dict:
    """Another network over every slice of a CT, as its authors show it slices, and its label map as a file."""
    import openvino as ov
    from wpunet import files
    from wpunet.labels import TOGETHER

    size = PEERS["/".join(peer.parts[-2:])]
    core = ov.Core()
    graph = core.read_model(peer)
    graph.reshape(size)
    network = core.compile_model(graph, "CPU", precision(core))
    volume = files.read(ct)
    labels = np.zeros(volume.hu.shape, np.uint8)
    for k in range(len(labels)):
        grey = _resized(np.clip(volume.hu[k].astype(np.float32), -125, 225), size[2:])
        grey = np.floor((grey - grey.min()) / max(1.0, np.ptp(grey)) * 255)
        logits = network(grey.T[None, None])[0][0]
        found = logits[0] > 0 if len(logits) == 1 else logits.argmax(0) > 0
        labels[k] = _resized(found.T, labels.shape[1:])
    with tempfile.TemporaryDirectory() as folder:
        files.write_labels(Path(folder) / "labels.nii.gz", labels, volume, TOGETHER)
    return {"shape": list(volume.grid.shape)}


def _resized(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The nearest pixel's value."""
    rows, columns = (np.arange(new) * old // new for old, new in zip(values.shape, shape, strict=True))
    return values if values.shape == tuple(shape) else values[rows][:, columns]


# In the parent


def volumes(given: argparse.Namespace) -> dict[str, dict]:
    """Seconds, stages and memory of each volume: the run of median duration."""
    found = {}
    # Made in another process: the peak of a child is never told lower than what its parent held when it began.
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(1, get_context("spawn")) as other:
        paths = {name: other.submit(_write, name, Path(folder)).result() for name in PHANTOMS}
        if given.ct:
            name = given.ct.parent.name if given.ct.name.startswith("imaging") else given.ct.name
            paths[name] = given.ct
            for n in LENGTHS:
                paths[f"{name}, {n} slices"] = other.submit(_of_length, given.ct, n, Path(folder)).result()
        weights = ["--weights", str(given.weights)] if given.weights else []
        for name, path in paths.items():
            runs = [_run(["-m", "Testing.benchmark", "--one", str(path), *weights]) for _ in range(given.repeat)]
            found[name] = sorted(runs, key=lambda run: run["wall"])[len(runs) // 2]
        if given.ct:
            found[f"a folder of {FOLDER}, a CT"] = _folder(given.ct, weights, Path(folder))
        for peer in PEERS if given.ct and given.peers else ():
            if (given.peers / peer).exists():
                command = ["-m", "Testing.benchmark", "--one", str(given.ct), "--peer", str(given.peers / peer)]
                found[peer] = _run(command)
    return found


def _write(name: str, folder: Path) -> Path:
    path = folder / f"{name.split()[-1]}.nii.gz"
    phantom.save_nifti(*painted(name), path)
    return path


def painted(name: str) -> tuple[np.ndarray, np.ndarray]:
    """HU (slice, row, column) of a phantom and its affine to RAS mm."""
    shape, spacing, factor = PHANTOMS[name]
    small = (-(-shape[0] // factor), shape[1] // factor, shape[2] // factor)
    mm = (spacing[0] * factor, spacing[1] * factor, spacing[2] * factor)
    made = phantom.make(seed=1, shape=small, spacing=mm)
    hu = made.hu
    for axis in range(3):
        hu = np.repeat(hu, factor, axis=axis)
    return hu[: shape[0]], made.affine @ np.diag([1 / factor] * 3 + [1])


def _of_length(ct: Path, slices: int, folder: Path) -> Path:
    """The middle slices of a CT, or all of them again and again, every other time upside down."""
    from wpunet import files
    from wpunet.volume import contiguous

    volume = files.read(ct)
    hu, length = contiguous(volume.hu), len(volume.hu)
    first = max(0, (length - slices) // 2)
    at = np.arange(first, first + slices) % (2 * length)
    path = folder / f"{slices}.nii.gz"
    phantom.save_nifti(hu[np.where(at < length, at, 2 * length - 1 - at)], volume.affine, path)
    return path


def _folder(ct: Path, weights: list[str], folder: Path) -> dict:
    """A folder of the same CT several times; figures for each."""
    cts = folder / "cts"
    for number in range(FOLDER):
        case = cts / f"case_{number:05}"
        case.mkdir(parents=True)
        shutil.copyfile(ct, case / "imaging.nii.gz")  # a link would be the same CT, given twice
    run = _run(["-m", "wpunet", "segment", str(cts), "-o", str(folder / "results"), "--progress", "none", *weights])
    return run | {"wall": run["wall"] / FOLDER, "processor": run["processor"] / FOLDER, "shape": [FOLDER]}


def _run(command: list[str]) -> dict:
    """A Python process' seconds of the clock and of all processor cores, its peak memory, and what it tells."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # as the command line has it
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as told:
        child = subprocess.Popen([sys.executable, *command], stdout=told, env=environment)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
        told.seek(0)
        lines = told.read().splitlines()
    unit = 1 if sys.platform == "darwin" else 1024
    figures = {"wall": wall, "processor": used.ru_utime + used.ru_stime, "peak_gb": used.ru_maxrss * unit / 1e9}
    return figures | (json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {})


def networks(weights_file: Path | None, peers: Path | None, rounds: int = 9) -> dict[str, dict]:
    """Median seconds per slice of each network, all in turn."""
    import openvino as ov
    import torch
    from wpunet import bundle
    from wpunet.network import WPUNet, cost
    from wpunet.openvino_graph import build

    from training.networks import UNet
    from training.timing import graph_of, taking_turns

    core, weights = ov.Core(), bundle.load(weights_file)
    config = precision(core)
    shape = (1, weights.spec.inputs, 256, 256)
    unet = UNet(weights.spec).eval()
    ours, dense = build(weights), graph_of(unet, torch.zeros(shape))
    ours.reshape(shape)
    graphs = {
        f"WP-UNet {weights.spec.widths[0]}..{weights.spec.widths[-1]}": (ours, shape),
        f"dense U-Net {weights.spec.widths[0]}..{weights.spec.widths[-1]}": (dense, shape),
    }
    for name, size in PEERS.items() if peers else ():
        if (peers / name).exists():
            graph = core.read_model(peers / name)
            graph.reshape(size)
            graphs[name] = (graph, size)
    compiled = {}
    for name, (graph, size) in graphs.items():
        x = np.random.default_rng(0).normal(size=size).astype(np.float32)
        compiled[name] = core.compile_model(graph, "CPU", config), x
    seconds = taking_turns(compiled, rounds)
    wp = next(iter(seconds.values()))
    found = {
        name: {"input": list(size), "seconds": seconds[name], "ratio": seconds[name] / wp}
        for name, (_, size) in graphs.items()
    }
    for name, network in zip(graphs, (WPUNet(weights.spec), unet), strict=False):
        counted = cost(network)
        found[name] |= {"weights": counted.weights, "multiply_adds": counted.multiply_adds}
    return found


def markdown(figures: dict) -> str:
    """Both tables."""
    stages = list(next(iter(figures["volumes"].values()))["seconds"])
    cores = os.cpu_count() or 1
    lines = [
        f"Seconds of the clock (of {cores} cores' work). Idle: the share of the cores' time in which they did nothing.",
        "",
        f"| volume | shape | all in | {' | '.join(stages)} | idle | CTs an hour | peak memory GB |",
        "|---" * (len(stages) + 6) + "|",
    ]
    for name, one in figures["volumes"].items():
        parts = [f"{one['wall']:.1f} ({one['processor']:.1f})"]
        for stage in stages:
            there = stage in one.get("seconds", {})
            parts.append(f"{one['seconds'][stage]:.1f} ({one['processor_seconds'][stage]:.1f})" if there else "")
        idle = 1 - one["processor"] / one["wall"] / cores
        size = "x".join(map(str, one["shape"]))
        rest = f"{max(0.0, idle):.0%} | {3600 / one['wall']:.0f} | {one['peak_gb']:.2f}"
        lines.append(f"| {name} | {size} | {' | '.join(parts)} | {rest} |")
    lines += [
        "",
        "| network | weights | multiply-adds | input | ms a slice | times WP-UNet's |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in figures["networks"].items():
        weights = f"{one['weights']:,}" if "weights" in one else ""
        adds = f"{one['multiply_adds'] / 1e9:.2f} G" if "weights" in one else ""
        size = "x".join(map(str, one["input"][-2:]))
        lines.append(f"| {name} | {weights} | {adds} | {size} | {one['seconds'] * 1000:.1f} | {one['ratio']:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
