"""The mean of two trained networks' weights: python -m training.blend --runs EARLY LATE --output RUN

A run that went on from another with harder samples knows more of what these show and has forgotten some of the rest;
half way between them a network keeps most of both. After Wortsman et al., "Robust fine-tuning of zero-shot models",
CVPR 2022. It serves only where one run started from the other, or both from the same weights.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from wpunet.errors import InputError
from wpunet.network import WPUNet

from training import checkpoint
from training.command import command
from training.config import Config
from training.data import read_split, write_split
from training.networks import AVERAGE, load_trained
from training.patients import known_by, told_by
from training.train import CHECKPOINT


def blend(early: WPUNet, late: WPUNet, share: float = 0.5) -> WPUNet:
    """A network with ``share`` of the late one's weights and the rest of the early one's; raises InputError."""
    if early.spec != late.spec:
        raise InputError(f"Networks cannot be blended that differ: {early.spec}, {late.spec}.")
    if late.spec.parenchyma:
        raise InputError("Networks that tell parenchyma cannot be blended; blend them before they are taught that.")
    mean = WPUNet(early.spec)
    old, new = early.state_dict(), late.state_dict()
    mean.load_state_dict(
        {name: old[name].lerp(new[name], share) if old[name].is_floating_point() else new[name] for name in old}
    )
    return mean


@command("blend")
def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = arguments.add_argument
    add("--runs", type=Path, nargs=2, required=True, metavar=("EARLY", "LATE"))
    add("--output", type=Path, required=True, help="a run to prune or export; holds out whom LATE does")
    given = arguments.parse_args()
    (early, begun), (late, facts) = map(load_trained, given.runs)
    if begun["pixel_mm"] != facts["pixel_mm"]:
        raise InputError(f"Pixels of {begun['pixel_mm']} and {facts['pixel_mm']} mm cannot be blended.")
    training, held_out = read_split(given.runs[1] / "split.json")
    away = {*held_out, *Config.of_run(given.runs[1]).sealed}
    known, unseen = zip(*(known_by(run / AVERAGE) for run in given.runs), strict=True)
    leaked = sorted(known[0] & away)
    if leaked:
        raise InputError(f"{given.runs[0]} was trained on {leaked[0]}, whom {given.runs[1]} was kept from.")
    if (given.output / CHECKPOINT).exists():
        raise InputError(f"{given.output} is a run of its own, which would be lost; choose another folder.")
    given.output.mkdir(parents=True, exist_ok=True)
    unsure = [names for names in unseen if names is not None]
    facts |= told_by(set.union(*known), set.intersection(*unsure) if unsure else None)
    checkpoint.save(given.output / AVERAGE, dict(blend(early, late).state_dict()), facts)
    write_split(given.output / "split.json", training, held_out)
    shutil.copyfile(given.runs[1] / "config.json", given.output / "config.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
