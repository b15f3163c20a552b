"""The paper's tables, measured here: python -m training.compare --data PREPARED --output FOLDER [--peers FOLDER]

Trains every network on the same patients for the same number of steps with the same batches, then measures in one run:
weights, multiply-adds, file size, seconds per slice taking turns, Dice of the held-out patients. Other people's
networks in ``--peers`` are measured as they are. What is trained already is not trained again.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn
from wpunet.errors import WpunetError
from wpunet.network import cost

from training import metrics
from training.augment import PLAIN, Sampler
from training.config import Config
from training.data import Case, read_prepared, read_split
from training.pictures import plot_runs
from training.prune import METHODS, PrunedRun, prune, remaining
from training.train import Run, train

SIZE = 256  # pixels of the slice that costs are counted for, the paper's
PEERS = {  # name: file in the peers' folder; both mark kidney with tumor as one
    "peer: BasicUNet of the OpenVINO notebooks": "openvino-kits19-basicunet/unet_kits19.xml",
    "peer: U-Net 44": "openvino-kits19-unet44/unet44.onnx",
}


NAMES = {"wpunet": "WP-UNet", "unet": "U-Net", "basic_unet": "BasicUNet (MONAI)", "nnunet_2d": "nnU-Net 2D plan"}


@dataclass
class Entry:
    """A network of the table."""

    name: str
    network: nn.Module
    trained: str


def train_all(config: Config, data: Path, output: Path, weights: int, device: torch.device) -> list[Entry]:
    """Every network after equal training, and the first one pruned each way with a quarter of the steps more."""
    entries = []
    for architecture, name in NAMES.items():
        recipe = replace(config, architecture=architecture)
        run = Run(recipe, data, output / architecture, device)
        print(f"{name}: {config.steps - run.step} steps to train", flush=True)
        train(run)
        entries.append(Entry(name, run.average.cpu(), f"{config.steps} steps"))
    more = max(1, config.steps // 16)
    for method in METHODS:
        fine: Run = prune(
            output / "wpunet", data, output / f"wpunet_{method}", replace(config, steps=more), method, weights, rounds=4
        )
        assert isinstance(fine, PrunedRun)
        entries.append(Entry(f"WP-UNet pruned by {method}", fine.average.cpu(), f"{config.steps} + {4 * more} steps"))
    return entries


def measure(entries: list[Entry], cases: list[Case], config: Config, at_most: int) -> list[dict[str, Any]]:
    """One row for each network."""
    sampler = Sampler({"labelled": cases}, PLAIN, config.pixel_mm, SIZE, 0)
    slices = [sampler.batch(0, k, k + 1) for k in range(min(at_most, 2 * sum(len(case.labels) for case in cases)))]
    graphs = {entry.name: _compiled(entry.network, config.spec.inputs) for entry in entries}
    seconds = _taking_turns({name: compiled for name, (compiled, _) in graphs.items()}, slices[0][0].numpy())
    on_gpu = _on_gpu(entries, slices[0][0]) if torch.cuda.is_available() else {}
    rows = []
    for entry in entries:
        counted = cost(entry.network, (SIZE, SIZE))
        compiled, size = graphs[entry.name]
        found = np.concatenate([compiled(x.numpy())[0].argmax(1) for x, _ in slices])
        truth = np.concatenate([y.numpy() for _, y in slices])
        rows.append(
            {
                "network": entry.name,
                "weights": counted.weights,
                "nonzero": remaining(entry.network),
                "multiply_adds": counted.multiply_adds,
                "file_mb": round(size / 1e6, 2),
                "cpu_ms": round(seconds[entry.name] * 1000, 1),
                "gpu_ms": on_gpu.get(entry.name),
                "trained": entry.trained,
                "kidney_or_tumor": round(metrics.dice(found > 0, truth > 0) or 0.0, 4),
                "tumor": round(metrics.dice(found == 2, truth == 2) or 0.0, 4),
            }
        )
    return rows


def _compiled(network: nn.Module, inputs: int) -> tuple[Any, int]:
    """The network in OpenVINO, and how many bytes its compressed numbers take as half-precision floats."""
    import gzip

    import openvino as ov

    network.eval()
    graph = ov.convert_model(network, example_input=torch.zeros(1, inputs, SIZE, SIZE))
    graph.reshape((1, inputs, SIZE, SIZE))
    core = ov.Core()
    numbers = b"".join(p.detach().half().numpy().tobytes() for p in network.parameters())
    return core.compile_model(graph, "CPU", _precision(core)), len(gzip.compress(numbers, 6))


def _precision(core: Any) -> dict[str, str]:
    bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return {"INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32", "PERFORMANCE_HINT": "LATENCY"}


def _taking_turns(compiled: dict[str, Any], x: np.ndarray, rounds: int = 7) -> dict[str, float]:
    """Median seconds per slice of each, all in turn, so that a busy machine is unfair to none."""
    times: dict[str, list[float]] = {name: [] for name in compiled}
    for number in range(rounds + 1):
        for name, network in compiled.items():
            start = time.perf_counter()
            for _ in range(3):
                network(x)
            if number:  # the first round warms up
                times[name].append((time.perf_counter() - start) / 3)
    return {name: median(values) for name, values in times.items()}


def _on_gpu(entries: list[Entry], x: torch.Tensor, batch: int = 16) -> dict[str, float]:
    """Milliseconds a slice in half precision, channels last, batches of 16."""
    found = {}
    slices = x.expand(batch, -1, -1, -1).cuda().half().to(memory_format=torch.channels_last)
    for entry in entries:
        network = entry.network.eval().cuda().half().to(memory_format=torch.channels_last)
        with torch.inference_mode():
            for repeat in (10, 50):
                torch.cuda.synchronize()
                start = time.perf_counter()
                for _ in range(repeat):
                    network(slices)
                torch.cuda.synchronize()
        found[entry.name] = round((time.perf_counter() - start) / repeat / batch * 1000, 3)
        entry.network.cpu().float()
    return found


def measure_peers(peers: Path, cases: list[Case], at_most: int) -> list[dict[str, Any]]:
    """Other people's networks as they are, at their own 512x512; Dice of kidney-or-tumor on the same patients' slices.

    The slices are crops, which these networks were not trained on, and most patients are among their training cases.
    """
    import openvino as ov

    core, rows = ov.Core(), []
    for name, file in PEERS.items():
        if not (peers / file).exists():
            continue
        graph = core.read_model(peers / file)
        graph.reshape((1, 1, 512, 512))
        weights = sum(int(np.prod(op.shape)) for op in graph.get_ops() if op.get_type_name() == "Constant")
        network = core.compile_model(graph, "CPU", _precision(core))
        seconds = _taking_turns({name: network}, np.zeros((1, 1, 512, 512), np.float32))[name]
        rows.append(
            {
                "network": name,
                "weights": weights,
                "nonzero": weights,
                "file_mb": round((peers / file).with_suffix(".bin").stat().st_size / 1e6, 2)
                if file.endswith(".xml")
                else round((peers / file).stat().st_size / 1e6, 2),
                "cpu_ms": round(seconds * 1000, 1),
                "trained": "as published",
                "kidney_or_tumor": round(_peer_dice(network, name, cases, at_most), 4),
            }
        )
    return rows


def _peer_dice(network: Any, name: str, cases: list[Case], at_most: int) -> float:
    """Preprocessing as in their cards: [-125, 225] HU, each slice from 0 to 255, for the BasicUNet transposed."""
    found, truth = [], []
    slices = [(case.hu[k], case.labels[k]) for case in cases for k in range(len(case.labels))]
    for hu, labels in slices[:: max(1, len(slices) // at_most)]:
        side = np.full((512, 512), -1000.0, np.float32)
        rows, columns = (512 - hu.shape[0]) // 2, (512 - hu.shape[1]) // 2
        side[rows : rows + hu.shape[0], columns : columns + hu.shape[1]] = hu
        clipped = np.clip(side, -125, 225)
        grey = np.floor((clipped - clipped.min()) / max(1.0, np.ptp(clipped)) * 255)
        x = grey.T if "BasicUNet" in name else grey
        logits = network(np.ascontiguousarray(x[None, None], np.float32))[0][0, 0]
        logits = logits.T if "BasicUNet" in name else logits
        found.append((logits > 0)[rows : rows + hu.shape[0], columns : columns + hu.shape[1]].ravel())
        truth.append((labels > 0).ravel())
    return metrics.dice(np.concatenate(found), np.concatenate(truth)) or 0.0


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table."""
    columns = ("network", "weights", "not zero", "multiply-adds", "MB", "ms a slice, CPU", "ms, GPU", "trained")
    lines = [f"| {' | '.join(columns)} | kidney or tumor | tumor |", "|---" * 10 + "|"]
    for row in rows:
        adds = f"{row['multiply_adds'] / 1e9:.2f} G" if "multiply_adds" in row else ""
        gpu = "" if row.get("gpu_ms") is None else row["gpu_ms"]
        tumor = "" if "tumor" not in row else f"{row['tumor']:.3f}"
        lines.append(
            f"| {row['network']} | {row['weights']:,} | {row['nonzero']:,} | {adds} | {row['file_mb']} "
            f"| {row['cpu_ms']} | {gpu} | {row['trained']} | {row['kidney_or_tumor']:.3f} | {tumor} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = arguments.add_argument
    add("--data", type=Path, required=True, help="the prepared set")
    add("--output", type=Path, required=True)
    add("--config", type=Path, default=Path(__file__).parent / "configs" / "compare.toml")
    add("--steps", type=int, help="of each network, instead of the config's")
    add("--weights", type=int, default=1_297_441, help="left after pruning")
    add("--slices", type=int, default=300, help="held-out slices to measure Dice on")
    add("--peers", type=Path, help="folder of other networks")
    given = arguments.parse_args()
    try:
        config = Config.read(given.config, steps=given.steps)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        entries = train_all(config, given.data, given.output, given.weights, device)
        _, held_out = read_split(given.output / "wpunet" / "split.json")
        cases = read_prepared(given.data, "labelled", held_out)
        rows = measure(entries, cases, config, given.slices)
        rows += measure_peers(given.peers, cases, given.slices) if given.peers else []
    except WpunetError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    (given.output / "compare.json").write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    (given.output / "compare.md").write_text(markdown(rows), "utf-8")
    with (given.output / "compare.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    logs = {NAMES[name]: given.output / name / "log.csv" for name in NAMES}
    plot_runs(logs, given.output / "convergence.png")
    print(markdown(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
