"""Make the bundle that the engine ships: python -m training.export --run RUN --name NAME --version V

Takes the averaged weights of a run, stores them in half precision, writes the card with their hash, and proves that the
engine's answer with the bundle is the training network's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from wpunet import bundle
from wpunet.bundle import NetworkSpec
from wpunet.network import WPUNet, cost
from wpunet.runtime import OpenVINORuntime

from training import checkpoint

LICENCE = "CC BY-NC-SA 4.0 (non-commercial, share-alike; credit: Heller et al., KiTS19)"
TOLERANCE = 0.02  # of the largest logit: half precision of the weights, float32 arithmetic


def export(weights: Path, output: Path, card: dict[str, Any]) -> dict[str, Any]:
    """Write ``output`` and its card; returns the card. Raises ValueError when the engine would answer otherwise."""
    tensors, facts = checkpoint.load(weights)
    spec = NetworkSpec.from_dict(facts["spec"])
    network = WPUNet(spec)
    network.load_state_dict(tensors)
    halves = {name: t.half().contiguous() for name, t in tensors.items() if "num_batches" not in name}
    checkpoint.save(output, halves, {"spec": spec.as_dict(), "pixel_mm": facts["pixel_mm"], "temperature": 1.0})
    output.with_suffix(".json").unlink(missing_ok=True)
    _prove(network, output)
    counted = cost(network)
    card = {
        **card,
        "sha256": hashlib.sha256(output.read_bytes()).hexdigest(),
        "licence": LICENCE,
        "weights": counted.weights,
        "nonzero_weights": counted.nonzero,
        "multiply_adds_256x256": counted.multiply_adds,
        "steps": facts.get("step"),
    }
    output.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", "utf-8")
    return card


def _prove(network: WPUNet, output: Path) -> None:
    slices = np.random.default_rng(0).uniform(-1, 1, (1, network.spec.inputs, 96, 128)).astype(np.float32)
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(slices)).numpy()
    difference = float(np.abs(OpenVINORuntime(bundle.load(output), precision="f32")(slices) - expected).max())
    if difference > TOLERANCE * np.abs(expected).max():
        output.unlink()
        raise ValueError(
            f"The engine's logits differ by {difference:.3g} from the training network's; nothing exported."
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--run", type=Path, required=True)
    arguments.add_argument("--output", type=Path, default=bundle.BUNDLED)
    arguments.add_argument("--name", default="WP-UNet")
    arguments.add_argument("--version", required=True)
    given = arguments.parse_args()
    split = json.loads((given.run / "split.json").read_text())
    card = {
        "name": given.name,
        "version": given.version,
        "trained_on": f"KiTS19: single slices of {len(split['training'])} patients; kidney-free levels of two other CT",
        "held_out_patients": split["held_out"],
    }
    print(json.dumps(export(given.run / "average.safetensors", given.output, card), indent=2))


if __name__ == "__main__":
    main()
