"""Processor seconds of a training step with and without fused kernels:

python -m training.fused.bench --config training/configs/last.toml

Steps of the two take turns, so that a busy machine is unfair to neither.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import median

import torch
from torch import nn
from wpunet.errors import InputError

from training.config import Config
from training.fused import fuse, why_not
from training.losses import LOSSES
from training.networks import ARCHITECTURES, channels_last


class Trainer:
    """A network of the recipe's, and the step that a training makes of it, less the making of the samples."""

    def __init__(self, config: Config) -> None:
        torch.manual_seed(config.seed)
        self.loss = LOSSES[config.loss]
        self.network = channels_last(ARCHITECTURES[config.architecture](config.spec, config.dropout)).train()
        if config.fused:
            fuse(self.network)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), config.learning_rate)

    def seconds(self, x: torch.Tensor, labels: torch.Tensor) -> float:
        """A step on x (n, 1, h, w), labels (n, h, w): seconds of the processor, of all threads together."""
        start = time.process_time()
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network(x.to(memory_format=torch.channels_last))
        loss = self.loss(logits.float(), labels)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5)
        self.optimizer.step()
        return time.process_time() - start


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--config", type=Path, required=True)
    arguments.add_argument("--rounds", type=int, default=7)
    given = arguments.parse_args()
    torch.set_num_threads(1)
    try:
        values = Config.read(given.config).as_dict()
    except InputError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    configs = {name: Config.of(values | {"fused": name == "fused"}, str(given.config)) for name in ("PyTorch", "fused")}
    c = configs["fused"]
    if why := why_not(c.spec, c.batch, c.size, c.size):
        print(f"bench: no fused kernels: {why}", file=sys.stderr)
        return 2
    random = torch.Generator().manual_seed(c.seed)
    x = torch.randn(c.batch, 1, c.size, c.size, generator=random)
    labels = torch.randint(0, c.classes, (c.batch, c.size, c.size), generator=random)
    trainers = {name: Trainer(config) for name, config in configs.items()}
    times: dict[str, list[float]] = {name: [] for name in trainers}
    for number in range(given.rounds + 2):
        for name, trainer in trainers.items():
            seconds = trainer.seconds(x, labels)
            if number > 1:  # the first two warm up
                times[name].append(seconds)
    for name, of in times.items():
        print(f"{name}: median {median(of):.3f} s, {min(of):.3f} to {max(of):.3f}")
    ratio = median(times["PyTorch"]) / median(times["fused"])
    print(
        f"{ratio:.2f} times as fast: {c.batch} x {c.size} x {c.size}, widths {c.widths}, {given.rounds} steps of each"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
