"""Prune a trained run: python -m training.prune --run RUN --data PREPARED --output PRUNED --config CONFIG.toml ...

Methods: ``layer`` sets the smallest weights of each weight matrix to zero (the paper's), ``global`` the smallest of
all, ``channels`` takes whole channels out, so that the network is smaller and faster. ``--weights 1297441`` leaves as
many as the paper. Done in rounds with fine-tuning after each; PRUNED is a run like any other. With ``--curve`` it
writes accuracy against sparsity for each method instead.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.nn.utils import prune as torch_prune
from wpunet import bundle, runtime
from wpunet.errors import InputError
from wpunet.network import WPUNet

from training import asked
from training.augment import Sampler
from training.command import command
from training.config import Config
from training.data import Case, read_prepared, read_split
from training.evaluate import evaluate_slices
from training.export import as_bundle
from training.narrow import narrow, widths_for
from training.networks import AVERAGE, default_device, load_trained
from training.patients import not_known_to
from training.pictures import plot_curve
from training.tables import write_csv, write_json
from training.train import Run, train

METHODS = ("layer", "global", "channels")


def matrices(network: nn.Module) -> Iterator[tuple[nn.Conv2d | nn.ConvTranspose2d, str]]:
    """The weight matrices that may lose weights. Biases, normalisations and depth-wise kernels stay.

    Depth-wise kernels are nine weights a channel and a fiftieth of all; without some of them nothing is left of the
    network (measured), so they are kept, as by Zhu and Gupta, "To prune, or not to prune", arXiv 1710.01878.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.groups == 1:
            yield module, "weight"


def remaining(network: nn.Module) -> int:
    """Weights that are not zero, biases and normalisations included."""
    return sum(int(torch.count_nonzero(p)) for p in network.parameters())


def prune_weights(network: nn.Module, method: str, weights: int) -> None:
    """Set the smallest weights to zero until ``weights`` are left in the whole network, exactly.

    Raises InputError when biases and normalisations alone are more.
    """
    parts = list(matrices(network))
    of_matrices = sum(module.weight.numel() for module, _ in parts)
    rest = sum(p.numel() for p in network.parameters()) - of_matrices
    if not rest < weights <= rest + of_matrices:
        raise InputError(f"{weights} weights cannot be left; choose between {rest + 1} and {rest + of_matrices}.")
    remove = of_matrices - (weights - rest)
    if method == "global":
        torch_prune.global_unstructured(parts, torch_prune.L1Unstructured, amount=remove)
    else:
        left = remove
        for k, (module, name) in enumerate(parts):  # the same share of each, to the last weight
            size = module.weight.numel()
            behind = sum(m.weight.numel() for m, _ in parts[k:])
            share = round(left * size / behind)
            torch_prune.l1_unstructured(module, name, amount=share)
            left -= share


def make_permanent(network: nn.Module) -> None:
    """Take the masks away; the zeros stay."""
    for module, name in matrices(network):
        if torch_prune.is_pruned(module):
            torch_prune.remove(module, name)


class PrunedRun(Run):
    """Fine-tuning that keeps the zeros: masks lie over the network's weights and over the average's."""

    masks: Mapping[str, torch.Tensor] = MappingProxyType({})

    def one_step(self) -> float:
        loss = super().one_step()
        self.apply_masks()
        return loss

    @torch.no_grad()
    def apply_masks(self) -> None:
        for network in (self.network, self.average):
            for name, parameter in network.named_parameters():
                if name in self.masks:
                    parameter.mul_(self.masks[name])


def thin(network: WPUNet, method: str, weights: int) -> WPUNet:
    """``network`` with ``weights`` weights left; by channels the next smaller network, else itself with zeros.

    Raises InputError when so few cannot be left.
    """
    if method == "channels":
        return narrow(network, widths_for(weights, network.spec))
    prune_weights(network, method, weights)
    make_permanent(network)
    return network


@torch.no_grad()
def settle(network: nn.Module, sampler: Sampler, batches: int = 16) -> None:
    """Estimate the statistics of the batch normalisations anew: other weights make other means and variances."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over the batches
        norm.train()
    device = next(network.parameters()).device
    for step in range(batches):
        network(sampler.batch(step, 0, 8)[0].to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def prune(
    run: Path,
    data: Path,
    output: Path,
    config: Config,
    method: str,
    weights: int,
    rounds: int,
    *,
    resplit: bool = False,
) -> PrunedRun:
    """Prune the averaged network of ``run`` in ``rounds``, training ``config.steps`` steps after each.

    Returns the run of the last round, which lies in ``output``. Classes and pixels stay those of ``run``; without steps
    nothing but the weights changes. Held out and sealed are the same patients; with ``resplit``
    those that the config says.
    Raises InputError when so few weights cannot be left, when ``output`` was begun for something else, and when ``run``
    knows whom ``resplit`` holds out.
    """
    if rounds < 1 or output.resolve() == run.resolve():
        raise InputError("Prune in at least one round, and into another folder than the run's own.")
    network, facts = load_trained(run)
    before = run / AVERAGE
    if network.spec.parenchyma:
        raise InputError(
            f"{run} tells parenchyma already; prune the run that it began with, and train that part again."
        )
    asked_for = {"run": asked.digest(before), "method": method, "weights": weights}
    asked_for |= {"rounds": rounds, "steps": config.steps, "resplit": resplit}
    asked.compare(asked_for, output)
    total = sum(p.numel() for p in network.parameters())
    config = config if resplit else config.kept_from_whom(run)
    for number in range(1, rounds + 1):
        target = round(total - (total - weights) * (1 - (1 - number / rounds) ** 3))  # much at first, little at the end
        network = thin(network, method, target)
        spec = network.spec
        recipe = replace(config, widths=spec.widths, norms=spec.norms, classes=spec.classes, pixel_mm=facts["pixel_mm"])
        device = default_device()
        folder = output if number == rounds else output / f"round_{number}"
        fine = PrunedRun(recipe, data, folder, device, None if resplit else run / "split.json")
        if method != "channels":
            fine.masks = {n: (p != 0).float().to(device) for n, p in network.named_parameters() if p.ndim == 4}
        if fine.step == 0:
            if resplit:
                not_known_to(before, fine.kept_from)
            if config.steps:
                settle(network.to(device), fine.sampler)
            fine.inherit(before)
            for one in (fine.network, fine.average):
                one.load_state_dict(network.state_dict())
        asked.keep(asked_for, output)  # now that it can be done
        train(fine)
        network, facts = load_trained(folder)
        before = folder / AVERAGE
    return fine


def curve(run: Path, data: Path, output: Path, sparsities: list[float], at_most: int) -> list[dict]:
    """Held-out Dice against the share of weights removed, for each method, without fine-tuning; CSV and PNG."""
    config, (training, held_out) = Config.of_run(run), read_split(run / "split.json")
    cases = read_prepared(data, "labelled", held_out[:at_most])
    seen = {"labelled": read_prepared(data, "labelled", training[:at_most])}
    sampler = Sampler(seen, config.drawn, config.pixel_mm, config.size, config.seed)
    rows = []
    for method in METHODS:
        for sparsity in sparsities:
            network, facts = load_trained(run)
            total = sum(p.numel() for p in network.parameters())
            if sparsity:
                network = thin(network, method, round(total * (1 - sparsity)))
                settle(network, sampler)
            figures = measure(network, facts["pixel_mm"], cases)
            left = remaining(network)
            rows.append({"method": method, "sparsity": round(1 - left / total, 4), "weights": left, **figures})
            print(rows[-1], flush=True)
    write_csv(rows, output / "sparsity.csv")
    points: dict[str, list] = {method: [] for method in METHODS}
    for row in rows:
        points[str(row["method"])].append((row["sparsity"], row["kidney_or_tumor"], row["tumor"]))
    plot_curve(points, output / "sparsity.png")
    return rows


def measure(network: WPUNet, pixel_mm: float, cases: list[Case]) -> dict[str, float]:
    """Mean Dice over patients of kidney_or_tumor and tumor, through the engine's runtime."""
    with tempfile.TemporaryDirectory() as folder:
        weights = bundle.load(as_bundle(network, pixel_mm, Path(folder) / "pruned.safetensors"))
        figures = evaluate_slices(cases, runtime.create(weights, "auto"), weights)
    return {key: figures[key].get("mean", 0.0) for key in ("kidney_or_tumor", "tumor")}


def loss_of_accuracy(dense: Path, pruned: PrunedRun, at_most: int) -> dict[str, Any]:
    """Mean Dice of the held-out patients (at most so many) of two runs, and the difference; {} where none are."""
    cases = pruned.seen[:at_most]
    if not cases:
        return {}
    before, after = (
        measure(network, facts["pixel_mm"], cases) for network, facts in map(load_trained, (dense, pruned.folder))
    )
    lost = {key: round(before[key] - after[key], 4) for key in before}
    return {"held_out_patients": len(cases), "dice_before": before, "dice_after": after, "dice_lost": lost}


@command("prune")
def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = arguments.add_argument
    add("--run", type=Path, required=True, help="the trained run")
    add("--data", type=Path, required=True, help="the prepared set")
    add("--output", type=Path, required=True)
    add("--config", type=Path, help="recipe of the fine-tuning")
    add("--method", choices=METHODS, default="layer")
    add("--weights", type=int, help="how many weights are left; 1297441 is the paper's")
    add("--sparsity", type=float, help="which share is removed, instead of --weights")
    add("--rounds", type=int, default=4)
    add("--steps", type=int, help="of fine-tuning after each round, instead of the config's; 0: none")
    add("--resplit", action="store_true", help="hold out whom the config does, not whom the run did")
    add("--curve", action="store_true", help="accuracy against sparsity for each method, without fine-tuning")
    add("--patients", type=int, default=1000, help="at most so many held-out patients for the Dice")
    given = arguments.parse_args()
    if given.curve:
        curve(given.run, given.data, given.output, [0, 0.2, 0.4, 0.5, 0.6, 0.669, 0.75, 0.85, 0.92], given.patients)
        return 0
    network, _ = load_trained(given.run)
    total = sum(p.numel() for p in network.parameters())
    weights = round(total * (1 - given.sparsity)) if given.sparsity is not None else given.weights
    if weights is None or given.config is None:
        raise InputError("Say how much to prune (--weights or --sparsity) and how to fine-tune (--config).")
    config = Config.read(given.config, steps=given.steps)
    method, rounds = given.method, given.rounds
    fine = prune(given.run, given.data, given.output, config, method, weights, rounds, resplit=given.resplit)
    figures = {"method": given.method, "weights_before": total, "weights_left": remaining(fine.average)}
    figures |= loss_of_accuracy(given.run, fine, given.patients)
    write_json(figures, given.output / "pruned.json")
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
