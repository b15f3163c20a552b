"""Teach trained weights what of a kidney is parenchyma: python -m training.parenchyma --run RUN --data PREPARED ...

KiTS19's readers count the renal sinus as kidney and draw the outer edge wide; others leave the sinus out and draw on
the edge that one sees. A small part beside the network's last layer learns from these what to leave out of the kidney.
All else stays as it is, so the answer for whole kidneys is the same, bit for bit. The result is a run like any other;
it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from wpunet.errors import InputError
from wpunet.network import Parenchyma, WPUNet
from wpunet.predict import parenchyma_alone

from training.command import at_least, command
from training.config import Config
from training.data import Case, read_prepared
from training.losses import parenchyma_loss
from training.networks import AVERAGE, default_device, load_trained
from training.train import Run, train

# Masks with tumors and generated ones are of readers who count the sinus
ALONE = {"tumor_free": 1.0, "kidney_free": 0.0, "generated": 0.0, "foreign": 0.0}


class ParenchymaRun(Run):
    """A training of that part alone, on CT without tumors; the rest of the network answers as in use."""

    network: WPUNet
    average: WPUNet

    def learning(self) -> Parenchyma:
        self.network.requires_grad_(False)
        return self.network.parenchyma.requires_grad_(True)

    def held_out_cases(self, data: Path) -> list[Case]:
        return [case for case in read_prepared(data, "tumor_free", self.held_out) if self.drawn(case)]

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        self.network.eval().parenchyma.train()
        with self.mixed_precision():
            logits, parenchyma = self.network.told(x)
        return parenchyma_loss(logits.float(), parenchyma.float(), labels)

    def answer(self, x: Tensor) -> Tensor:
        with self.mixed_precision():
            return parenchyma_alone(*self.average.told(x))


def teach(run: Path, data: Path, output: Path, config: Config) -> None:
    """Train the part of ``run``'s averaged network by ``config`` in ``output``, kept from whom ``run`` was."""
    train(begin(run, data, output, config))


def begin(run: Path, data: Path, output: Path, config: Config) -> ParenchymaRun:
    """That training, as far as it got.

    Widths, normalisations, classes and pixels are those of ``run``, whatever the config says.
    Raises InputError when the config is not for it or has no CT to learn from, and when ``output`` was begun with
    another run.
    """
    network, facts = load_trained(run)
    _check(config)
    config, spec = config.kept_from_whom(run), network.spec
    recipe = replace(config, widths=spec.widths, norms=spec.norms, classes=spec.classes, pixel_mm=facts["pixel_mm"])
    recipe = replace(recipe, fused=False, mixture=replace(config.mixture, **ALONE))
    taught = ParenchymaRun(recipe, data, output, default_device(), run / "split.json")
    if not any(taught.drawn(case) for case in taught.sampler.shelves["tumor_free"].cases):
        raise InputError(f"{data} holds no CT without tumor of a source with a share; see [sources] in the config.")
    known = {name: t for name, t in network.state_dict().items() if not name.startswith("parenchyma.")}
    if taught.step == 0:
        taught.inherit(run / AVERAGE)
        for one in (taught.network, taught.average):
            one.load_state_dict(known, strict=False)
    began = taught.average.state_dict()
    if any(not torch.equal(began[name].cpu(), t) for name, t in known.items()):
        raise InputError(f"{output} was begun with other weights than those of {run}; choose another folder.")
    return taught


def _check(recipe: Config) -> None:
    if not recipe.parenchyma:
        raise InputError("The config has parenchyma = 0, so there is nothing to teach; see configs/parenchyma.toml.")
    if not recipe.augment or not recipe.sources:
        raise InputError("The config must name the sources whose readers left the sinus out ([sources]; no augment).")


@command("parenchyma")
def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = arguments.add_argument
    add("--run", type=Path, required=True, help="the trained run, pruned already")
    add("--data", type=Path, required=True, help="the prepared set")
    add("--config", type=Path, required=True, help="the recipe, as configs/parenchyma.toml")
    add("--output", type=Path, required=True)
    add("--steps", type=int, help="another length of the schedule than the config's")
    given = arguments.parse_args()
    at_least(1, steps=given.steps)
    teach(given.run, given.data, given.output, Config.read(given.config, steps=given.steps))
    return 0


if __name__ == "__main__":
    sys.exit(main())
