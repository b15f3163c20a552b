"""Make the bundle that the engine ships: python -m training.export --run RUN --name NAME --version V [--output FILE]

Takes the averaged weights of a run, stores them in half precision, writes the card with their hash, and proves that the
engine's answer with the bundle is the training network's.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from wpunet import bundle, outputs
from wpunet.errors import InputError
from wpunet.network import WPUNet, cost
from wpunet.runtime import OpenVINORuntime

from training import checkpoint
from training.command import command
from training.data import read_split
from training.networks import AVERAGE, load_trained, steps_in_all
from training.past import begun_with
from training.patients import known_by
from training.tables import write_text

LICENCE = "CC BY-NC-SA 4.0 (non-commercial, share-alike; credit: Heller et al., KiTS19 and KiTS23)"
TOLERANCE = 0.02  # of the largest logit: half precision of the weights, float32 arithmetic


def as_bundle(network: WPUNet, pixel_mm: float, output: Path, temperature: float = 1.0) -> Path:
    """Write a network's numbers in half precision, without a card."""
    halves = {name: t.half() for name, t in network.state_dict().items() if "num_batches" not in name}
    about = {"spec": network.spec.as_dict(), "pixel_mm": pixel_mm, "temperature": temperature}
    output.with_suffix(".json").unlink(missing_ok=True)
    checkpoint.save(output, halves, about)
    return output


def export(run: Path, output: Path, card: dict[str, Any], temperature: float = 1.0) -> dict[str, Any]:
    """Write the bundle of a run and its card; returns the card. What was there stays until the new one is proven.

    Raises InputError when the run has no weights of a WP-UNet, or the engine would answer otherwise than the network.
    """
    if output.suffix == ".json":
        raise InputError(f"{output} would be the name of the card, too; give one that ends in .safetensors.")
    if not 0 < temperature < np.inf:
        raise InputError(f"The temperature is {temperature}; it must be a number above 0.")
    network, facts = load_trained(run)
    _, held_out = read_split(run / "split.json")
    known, before = known_by(run / AVERAGE)[0], begun_with(run / AVERAGE)
    outlined = f"{len(known)} patients with kidneys and tumors outlined"
    output.parent.mkdir(parents=True, exist_ok=True)
    outputs.require_right(output.parent)
    with TemporaryDirectory(prefix=".", dir=output.parent) as folder:
        made = as_bundle(network, facts["pixel_mm"], Path(folder) / output.name, temperature)
        difference = _difference(network, made)
        output.with_suffix(".json").unlink(missing_ok=True)  # which would deny the new weights
        outputs.take_place(made, output)
    counted = cost(network)
    parenchyma = sum(tensor.numel() for name, tensor in network.named_parameters() if name.startswith("parenchyma."))
    own_steps = facts["step"] if parenchyma else 0
    card = {
        **card,
        "trained_on": f"{outlined}, from {before}" if before else outlined,
        "held_out_patients": held_out,
        "sha256": bundle.sha256(output),
        "licence": LICENCE,
        "weights": counted.weights - parenchyma,
        "nonzero_weights": counted.nonzero - parenchyma,
        "parenchyma_weights": parenchyma,
        "multiply_adds_256x256": counted.multiply_adds,
        "steps": steps_in_all(facts) - own_steps,
        "parenchyma_steps": own_steps,
        "largest_difference_of_logits": f"{difference:.2g} of the largest",
    }
    write_text(json.dumps(card, indent=2) + "\n", output.with_suffix(".json"))
    return card


def _difference(network: WPUNet, output: Path) -> float:
    """The largest difference between the engine's and the network's logits, as a share of the largest logit."""
    slices = np.random.default_rng(0).uniform(-1, 1, (1, network.spec.inputs, 96, 128)).astype(np.float32)
    with torch.no_grad():
        expected = {False: network.eval()(torch.from_numpy(slices)).numpy()}
        if network.spec.parenchyma:
            expected[True] = torch.cat(network.told(torch.from_numpy(slices)), 1).numpy()
    differences = []
    for parenchyma, logits in expected.items():
        found = OpenVINORuntime(bundle.load(output), precision="f32", parenchyma=parenchyma)(slices)
        differences.append(np.abs(found - logits).max() / np.abs(logits).max())
    difference = float(np.max(differences))  # not a number where an answer is none
    if not difference <= TOLERANCE:
        raise InputError(f"The engine's logits differ by {difference:.2g} from the network's; nothing was exported.")
    return difference


@command("export")
def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = arguments.add_argument
    add("--run", type=Path, required=True)
    add("--output", type=Path, default=bundle.BUNDLED)
    add("--name", default="WP-UNet")
    add("--version", required=True)
    add("--temperature", type=float, default=1.0, help="divides the logits before they become probabilities")
    given = arguments.parse_args()
    card = {"name": given.name, "version": given.version}
    print(json.dumps(export(given.run, given.output, card, given.temperature), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
