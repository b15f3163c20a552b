"""How fast and how large: python -m Testing.benchmark [--ct CT] [--peers FOLDER] [--output FOLDER]

Two tables. Volumes: each in a process of its own, start-up and files included, with seconds per stage and peak memory.
Networks: seconds per slice on the processor, through the same runtime, taking turns so that a busy machine is unfair to
none: WP-UNet, a dense U-Net of the same widths and, where they are, other public networks at their own input sizes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from Testing import phantom

PHANTOMS = {  # slices, rows, columns; mm
    "phantom, small": ((60, 160, 160), (5.0, 2.2, 2.2), 1),
    "phantom, medium": ((140, 320, 320), (2.5, 1.2, 1.2), 1),
    "phantom, large": ((611, 512, 512), (0.6, 0.75, 0.75), 4),  # painted at a quarter of the size, then enlarged
}
PEERS = {  # file: input shape for one slice (a whole scan for the last)
    "openvino-kits19-basicunet/unet_kits19.xml": (1, 1, 512, 512),
    "openvino-kits19-basicunet/quantized_unet_kits19.xml": (1, 1, 512, 512),
    "openvino-kits19-unet44/unet44.onnx": (1, 1, 512, 512),
    "santiagom99-unetv2-2d/model.onnx": (1, 1, 256, 256),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--ct", type=Path, help="a real CT to add to the phantoms")
    arguments.add_argument("--peers", type=Path, help="folder of other networks")
    arguments.add_argument("--weights", type=Path)
    arguments.add_argument("--repeat", type=int, default=3, help="runs of each volume; the median is told")
    arguments.add_argument("--output", type=Path, help="folder for benchmark.json and benchmark.md")
    arguments.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # the child process
    given = arguments.parse_args()
    if given.one:
        print(json.dumps(segment_once(given.one, given.weights)))
        return
    figures = {
        "volumes": volumes(given.ct, given.weights, given.repeat),
        "networks": networks(given.weights, given.peers),
    }
    text = markdown(figures)
    print(text)
    if given.output:
        given.output.mkdir(parents=True, exist_ok=True)
        (given.output / "benchmark.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
        (given.output / "benchmark.md").write_text(text, "utf-8")


def segment_once(ct: Path, weights: Path | None) -> dict:
    """Stages, region and peak memory of this process."""
    import resource

    from wpunet import cli

    with tempfile.TemporaryDirectory() as folder:
        out, report = Path(folder) / "labels.nii.gz", Path(folder) / "report.json"
        chosen = ["--weights", str(weights)] if weights else []
        status = cli.main(["segment", str(ct), "-o", str(out), "--report", str(report), "--progress", "none", *chosen])
        if status:
            raise SystemExit(status)
        told = json.loads(report.read_text("utf-8"))
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    voxels = int(np.prod(told["input"]["shape"]))
    return {"shape": told["input"]["shape"], "seconds": told["seconds"], "peak_gb": peak, "volume_gb": voxels * 2 / 1e9}


def volumes(ct: Path | None, weights: Path | None, repeat: int) -> dict[str, dict]:
    """Wall-clock seconds, stages and memory of each volume: the run of median duration."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: _write(name, Path(folder)) for name in PHANTOMS}
        if ct:
            paths[ct.parent.name if ct.name.startswith("imaging") else ct.name] = ct
        for name, path in paths.items():
            runs = [_run(path, weights) for _ in range(repeat)]
            found[name] = sorted(runs, key=lambda run: run["wall"])[len(runs) // 2]
    return found


def _write(name: str, folder: Path) -> Path:
    (shape, spacing, factor), path = PHANTOMS[name], folder / f"{name.split()[-1]}.nii.gz"
    small = (-(-shape[0] // factor), shape[1] // factor, shape[2] // factor)
    mm = (spacing[0] * factor, spacing[1] * factor, spacing[2] * factor)
    made = phantom.make(seed=1, shape=small, spacing=mm)
    hu = made.hu
    for axis in range(3):
        hu = np.repeat(hu, factor, axis=axis)
    phantom.save_nifti(hu[: shape[0]], made.affine @ np.diag([1 / factor] * 3 + [1]), path)
    return path


def _run(path: Path, weights: Path | None) -> dict:
    command = [sys.executable, "-m", "Testing.benchmark", "--one", str(path)]
    command += ["--weights", str(weights)] if weights else []
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {"wall": time.perf_counter() - start, **json.loads(done.stdout.splitlines()[-1])}


def networks(weights_file: Path | None, peers: Path | None, rounds: int = 9) -> dict[str, dict]:
    """Median seconds per slice of each network, all in turn."""
    import openvino as ov
    import torch
    from wpunet import bundle
    from wpunet.network import WPUNet, cost
    from wpunet.openvino_graph import build

    from training.networks import UNet

    core, weights = ov.Core(), bundle.load(weights_file)
    bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    config = {"INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32", "PERFORMANCE_HINT": "LATENCY"}
    shape = (1, weights.spec.inputs, 256, 256)
    unet = UNet(weights.spec).eval()
    dense = ov.convert_model(unet, example_input=torch.zeros(shape))
    ours = build(weights)
    for graph in (ours, dense):
        graph.reshape(shape)
    graphs = {
        f"WP-UNet {weights.spec.widths[0]}..{weights.spec.widths[-1]}": (ours, shape),
        f"dense U-Net {weights.spec.widths[0]}..{weights.spec.widths[-1]}": (dense, shape),
    }
    for name, size in PEERS.items() if peers else ():
        if (peers / name).exists():
            graph = core.read_model(peers / name)
            graph.reshape(size)
            graphs[name] = (graph, size)
    compiled = {name: (core.compile_model(graph, "CPU", config), size) for name, (graph, size) in graphs.items()}
    seconds = _taking_turns(compiled, rounds)
    wp = next(iter(seconds.values()))
    found = {
        name: {"input": list(size), "seconds": seconds[name], "ratio": seconds[name] / wp}
        for name, (_, size) in compiled.items()
    }
    for name, network in zip(graphs, (WPUNet(weights.spec), unet), strict=False):
        counted = cost(network)
        found[name] |= {"weights": counted.weights, "multiply_adds": counted.multiply_adds}
    return found


def _taking_turns(compiled: dict, rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in compiled}
    generator = np.random.default_rng(0)
    slices = {name: generator.normal(size=size).astype(np.float32) for name, (_, size) in compiled.items()}
    for number in range(rounds + 1):
        for name, (network, _) in compiled.items():
            start = time.perf_counter()
            for _ in range(3):
                network(slices[name])
            if number:  # the first round warms up
                times[name].append((time.perf_counter() - start) / 3)
    return {name: median(values) for name, values in times.items()}


def markdown(figures: dict) -> str:
    """Both tables."""
    stages = list(next(iter(figures["volumes"].values()))["seconds"])
    lines = [
        f"| volume | shape | s, all in | {' | '.join(stages)} | peak memory GB | of that, the CT |",
        "|---" * (len(stages) + 5) + "|",
    ]
    for name, one in figures["volumes"].items():
        seconds = " | ".join(f"{one['seconds'].get(stage, 0):.1f}" for stage in stages)
        size = "x".join(map(str, one["shape"]))
        lines.append(
            f"| {name} | {size} | {one['wall']:.1f} | {seconds} | {one['peak_gb']:.2f} | {one['volume_gb']:.2f} |"
        )
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
