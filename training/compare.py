"""The paper's tables, measured here: python -m training.compare --data PREPARED --output FOLDER [--peers FOLDER]

Trains every network on the same patients for the same number of steps with the same batches, then measures in one run:
weights, multiply-adds, file size, milliseconds a slice in turns, Dice of the held-out patients. Other people's networks
in ``--peers`` are measured as they are. What is trained already is not trained again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from wpunet.errors import InputError
from wpunet.network import WPUNet, cost

from training import metrics
from training.augment import Sampler
from training.command import at_least, command
from training.config import Config
from training.data import Case, read_prepared, read_split
from training.mixture import PLAIN
from training.networks import channels_last, check_size, computes_in_bfloat16, default_device
from training.peers import PEER_SIZE, measure_peers
from training.pictures import plot_runs
from training.prune import METHODS, prune, remaining
from training.tables import markdown_table, write_csv, write_json, write_text
from training.timing import graph_of, precision, processor, taking_turns
from training.train import Run, train

SIZE = 256  # pixels of the slice that costs are counted for, the paper's
NAMES = {"wpunet": "WP-UNet", "unet": "U-Net", "basic_unet": "BasicUNet (MONAI)", "nnunet_2d": "nnU-Net 2D plan"}


@dataclass
class Entry:
    """A network of the table."""

    name: str
    network: nn.Module
    trained: str


def train_all(config: Config, data: Path, output: Path, weights: int, device: torch.device) -> list[Entry]:
    """Every network after equal training, and the first one pruned each way with a fifth of the steps more.

    What single weights were taken from goes on in small steps (those of the training undo more than the pruning did);
    without whole channels it has to be learned anew.
    """
    entries = []
    for architecture, name in NAMES.items():
        recipe = replace(config, architecture=architecture)
        run = Run(recipe, data, output / architecture, device)
        print(f"{name}: {config.steps - run.step} steps to train", flush=True)
        train(run)
        entries.append(Entry(name, run.average.cpu(), f"{config.steps} steps"))
    more = max(1, config.steps // 20)
    for method in METHODS:
        rate = config.learning_rate / (1 if method == "channels" else 10)
        recipe = replace(config, steps=more, learning_rate=rate)
        fine = prune(output / "wpunet", data, output / f"wpunet_{method}", recipe, method, weights, rounds=4)
        entries.append(Entry(f"WP-UNet pruned by {method}", fine.average.cpu(), f"{config.steps} + {4 * more} steps"))
    return entries


def measure(entries: list[Entry], cases: list[Case], config: Config, at_most: int) -> list[dict[str, Any]]:
    """One row for each network."""
    # Dice at the size that was trained: instance normalisation answers otherwise in a wider field
    sampler = Sampler({"labelled": cases}, PLAIN, config.pixel_mm, config.size, 0)
    slices = [sampler.batch(0, k, k + 1) for k in range(min(at_most, 2 * sum(len(case.labels) for case in cases)))]
    empty = torch.zeros(1, config.spec.inputs, SIZE, SIZE)
    graphs = {entry.name: _compiled(entry.network, config.spec.inputs) for entry in entries}
    seconds = taking_turns({name: (compiled, empty.numpy()) for name, (compiled, _) in graphs.items()})
    on_gpu = _on_gpu(entries, empty) if torch.cuda.is_available() else {}
    rows = []
    for entry in entries:
        counted = cost(entry.network, (SIZE, SIZE))
        _, size = graphs[entry.name]
        found, truth = _answers(entry.network, slices)
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


@torch.no_grad()
def _answers(network: nn.Module, slices: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[np.ndarray, np.ndarray]:
    """Labels found and true, (slice, row, column)."""
    network.eval()
    found = []
    for x, _ in slices:
        with torch.autocast("cpu", torch.bfloat16, enabled=computes_in_bfloat16(torch.device("cpu"))):
            found.append(network(x).argmax(1).numpy())
    return np.concatenate(found), np.concatenate([y.numpy() for _, y in slices])


def _compiled(network: nn.Module, inputs: int) -> tuple[Any, int]:
    """The network in OpenVINO, and how many bytes its compressed numbers take as half-precision floats."""
    import gzip

    import openvino as ov

    graph = graph_of(network, torch.zeros(1, inputs, SIZE, SIZE))
    core = ov.Core()
    numbers = b"".join(p.detach().half().numpy().tobytes() for p in network.parameters())
    return core.compile_model(graph, "CPU", precision(core)), len(gzip.compress(numbers, 6))


def _on_gpu(entries: list[Entry], x: torch.Tensor, batch: int = 16) -> dict[str, float]:
    """Milliseconds a slice in half precision, channels last, batches of 16."""
    found = {}
    slices = x.expand(batch, -1, -1, -1).cuda().half().to(memory_format=torch.channels_last)
    for entry in entries:
        network = channels_last(entry.network.eval().cuda().half())
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


OURS: dict[str, Callable[[Any], str]] = {
    "network": str,
    "weights": "{:,}".format,
    "nonzero": "{:,}".format,
    "multiply_adds": lambda adds: f"{adds / 1e9:.2f} G",
    "file_mb": str,
    "cpu_ms": str,
    "gpu_ms": str,
    "trained": str,
    "kidney_or_tumor": "{:.3f}".format,
    "tumor": "{:.3f}".format,
}
THEIRS = {key: OURS[key] for key in ("network", "weights", "multiply_adds", "file_mb", "cpu_ms", "kidney_or_tumor")}
THEIRS |= {"wpunet_there": "{:.3f}".format, "unseen_patients": str}


def markdown(rows: list[dict[str, Any]], peers: list[dict[str, Any]]) -> str:
    """The tables, in words that need no further explanation."""
    text = f"Slices of {SIZE}x{SIZE}; milliseconds a slice on {processor()}. MB: half precision, compressed.\n\n"
    text += _table(rows, OURS)
    if peers:
        text += f"\nPublished networks as they are, at {PEER_SIZE}x{PEER_SIZE}; Dice of held-out patients that neither "
        text += "they nor WP-UNet have seen:\n\n" + _table(peers, THEIRS)
    return text


def _table(rows: list[dict[str, Any]], columns: dict[str, Callable[[Any], str]]) -> str:
    body = (["" if row.get(name) is None else text(row[name]) for name, text in columns.items()] for row in rows)
    return "\n".join(markdown_table(columns, body)) + "\n"


@command("compare")
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
    at_least(1, steps=given.steps)
    config = Config.read(given.config, steps=given.steps)
    if not config.held_out:
        raise InputError(f"{given.config}: held_out is 0; the tables are of patients who are held out.")
    for architecture in NAMES:
        check_size(architecture, config.size, str(given.config))
    device = default_device()
    entries = train_all(config, given.data, given.output, given.weights, device)
    _, held_out = read_split(given.output / "wpunet" / "split.json")
    cases = read_prepared(given.data, "labelled", held_out)
    rows = measure(entries, cases, config, given.slices)
    dense = entries[0].network
    assert isinstance(dense, WPUNet)
    peers = measure_peers(given.peers, dense, config.pixel_mm, cases) if given.peers else []
    text = markdown(rows, peers)
    write_json({"networks": rows, "peers": peers}, given.output / "compare.json")
    write_csv([*rows, *peers], given.output / "compare.csv")
    write_text(text, given.output / "compare.md")
    logs = {NAMES[name]: given.output / name / "log.csv" for name in NAMES}
    plot_runs(logs, given.output / "convergence.png")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
