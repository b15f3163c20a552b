"""Train WP-UNet on single slices: python -m training.train --config training/configs/first.toml --data DATA --run RUN

Stop it at any time; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from wpunet.bundle import NetworkSpec
from wpunet.network import WPUNet

from training import checkpoint
from training.augment import Sampler
from training.data import read_kidney_free, read_slices, split_patients, write_split
from training.phantoms import phantom_slices

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy and half of the soft Dice losses of kidney-or-tumor and of tumor; logits (n, 3, h, w)."""
    probabilities = logits.softmax(1)
    loss = F.cross_entropy(logits, labels)
    pairs = ((probabilities[:, 1] + probabilities[:, 2], labels > 0), (probabilities[:, 2], labels == 2))
    for predicted, truth in pairs:
        both = (predicted * truth).sum()
        loss = loss + 0.5 * (1 - (2 * both + 50) / (predicted.sum() + truth.sum() + 50))
    return loss


def learning_rate_at(step: int, config: dict[str, Any]) -> float:
    """A short warm-up, then half a cosine down to almost nothing."""
    warm = min(1.0, (step + 1) / 300)
    return config["learning_rate"] * warm * (0.5 * (1 + math.cos(math.pi * step / config["steps"])) + 0.005)


class Run:
    """A training run in a folder: networks, optimizer, sampler, and where it stands."""

    def __init__(self, config: dict[str, Any], data: Path, folder: Path) -> None:
        self.config, self.folder = config, folder
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config["seed"])
        self.spec = NetworkSpec(tuple(config["widths"]), norms=config["norms"])
        self.network = WPUNet(self.spec, config["dropout"])
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = WPUNet(self.spec)
        self.average.load_state_dict(self.network.state_dict())
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), config["learning_rate"], weight_decay=config["weight_decay"]
        )
        slices = read_slices(data / "slices")
        training, held_out = split_patients({item.case for item in slices}, config["held_out"])
        write_split(folder / "split.json", training, held_out)
        self.sampler = Sampler(
            [item for item in slices if item.case in set(training)],
            read_kidney_free(data / "unlabelled"),
            phantom_slices(config["phantoms"], seed=1000),
            config["pixel_mm"],
            config["size"],
            generator=np.random.default_rng(config["seed"]),
        )
        self.step = 0
        if self.checkpoint.exists():
            self._resume()

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    def save(self) -> None:
        """The checkpoint, and beside it the averaged weights alone."""
        networks = {"network": self.network, "average": self.average}
        tensors = {f"{key}.{name}": t for key, net in networks.items() for name, t in net.state_dict().items()}
        tensors |= checkpoint.optimizer_tensors(self.optimizer) | {"random": torch.get_rng_state()}
        facts = {"step": self.step, "sampler": checkpoint.generator_state(self.sampler.generator)}
        checkpoint.save(self.checkpoint, tensors, facts)
        about = {"spec": self.spec.as_dict(), "pixel_mm": self.config["pixel_mm"], "step": self.step}
        checkpoint.save(self.folder / "average.safetensors", dict(self.average.state_dict()), about)

    def _resume(self) -> None:
        tensors, facts = checkpoint.load(self.checkpoint)
        for key, network in (("network.", self.network), ("average.", self.average)):
            network.load_state_dict({k.removeprefix(key): v for k, v in tensors.items() if k.startswith(key)})
        checkpoint.restore_optimizer(self.optimizer, tensors)
        torch.set_rng_state(tensors["random"])
        checkpoint.restore_generator(self.sampler.generator, facts["sampler"])
        self.step = facts["step"]

    def one_step(self) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(self.step, self.config)
        inputs, labels = self.sampler.batch(self.config["batch"])
        self.network.train()
        x = torch.from_numpy(inputs).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network(x)
        loss = loss_of(logits.float(), torch.from_numpy(labels))
        if not torch.isfinite(loss):
            raise FloatingPointError(f"The loss is {float(loss)} at step {self.step}; the last checkpoint is good.")
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5)
        self.optimizer.step()
        self._average_weights()
        self.step += 1
        return float(loss.detach())

    @torch.no_grad()
    def _average_weights(self) -> None:
        """Moving average over about the last thousand steps."""
        keep = min(0.999, (self.step + 1) / (self.step + 10))
        for mean, now in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - keep)
            else:
                mean.copy_(now)


def train(config: dict[str, Any], data: Path, folder: Path) -> None:
    """Run or go on to the end of the schedule."""
    run = Run(config, data, folder)
    saved, start, losses = time.monotonic(), time.monotonic(), []
    with (folder / "log.csv").open("a", newline="") as log:
        table = csv.writer(log)
        while run.step < config["steps"]:
            losses.append(run.one_step())
            if run.step % 100 == 0:
                table.writerow([run.step, f"{np.mean(losses):.4f}", f"{time.monotonic() - start:.0f}"])
                log.flush()
                losses.clear()
            if time.monotonic() - saved > config["checkpoint_minutes"] * 60:
                run.save()
                saved = time.monotonic()
    run.save()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--config", type=Path, required=True)
    arguments.add_argument("--data", type=Path, required=True, help="folder with slices/ and unlabelled/")
    arguments.add_argument("--run", type=Path, required=True, help="folder for checkpoints and logs")
    given = arguments.parse_args()
    train(tomllib.loads(given.config.read_text()), given.data, given.run)


if __name__ == "__main__":
    main()
