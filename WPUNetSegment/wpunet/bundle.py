"""The weights file: what network it belongs to, its numbers, and the proof that they are the published ones.

A bundle is two files beside each other: ``NAME.safetensors`` (numbers and a few words of metadata; nothing in it is
ever executed) and ``NAME.json``, the card, which holds the SHA-256 of the first.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from .errors import WeightsError

BUNDLED = Path(__file__).parent / "weights" / "wpunet.safetensors"
NORM_EPSILON = 1e-5  # of the batch normalisation in training


@dataclass(frozen=True)
class NetworkSpec:
    """What a weights file says about the network it belongs to.

    widths:  channels of the encoder's five levels
    classes: output channels; 3 are background, kidney, tumor
    inputs:  input channels; 1 is the slice itself
    norms:   batch normalisations in a block: 1 as in the paper (after the second convolution), 2 after each
    parenchyma: channels of the part that tells a kidney's parenchyma from its sinus and rim; 0 without it
    """

    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    classes: int = 3
    inputs: int = 1
    norms: int = 1
    parenchyma: int = 0

    def as_dict(self) -> dict:
        return asdict(self) | {"widths": list(self.widths)}

    @classmethod
    def from_dict(cls, values: dict) -> NetworkSpec:
        return cls(**values | {"widths": tuple(values["widths"])})


@dataclass(frozen=True)
class Weights:
    """A loaded bundle.

    tensors:     the state of ``network.WPUNet``, float32, by PyTorch's names
    pixel_mm:    the pixel size the network was trained at
    temperature: divides the logits before they become probabilities (calibration)
    card:        the whole card, {} where there is none
    """

    path: Path
    spec: NetworkSpec
    tensors: dict[str, np.ndarray]
    pixel_mm: float
    temperature: float
    sha256: str
    card: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.card.get('name', self.path.stem)} {self.card.get('version', '')}".strip()


def sha256(path: Path) -> str:
    """Of a weights file, in hexadecimal; raises WeightsError when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        message = f"Weights file {path} cannot be read ({error.strerror}); give another one or reinstall the package."
        raise WeightsError(message) from error


def load(path: Path | str | None = None) -> Weights:
    """Read and verify a weights file (by default the bundled one).

    Raises WeightsError when it is missing, damaged, not what its card says, or of another network.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path) if path else BUNDLED
    digest = sha256(path)
    card = _card(path)
    if card.get("sha256", digest) != digest:
        raise WeightsError(f"Weights file {path} is not the one its card describes; copy or download both again.")
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
        spec = NetworkSpec.from_dict(json.loads(metadata["spec"]))
        weights = Weights(
            path=path,
            spec=spec,
            tensors=tensors,
            pixel_mm=float(metadata["pixel_mm"]),
            temperature=float(metadata.get("temperature", 1.0)),
            sha256=digest,
            card=card,
        )
    except (SafetensorError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise WeightsError(
            f"{path} is not a WP-UNet weights file ({error}); give one that training.export wrote."
        ) from error
    _match(weights)
    return weights


def _card(path: Path) -> dict:
    card = path.with_suffix(".json")
    if not card.exists():
        return {}
    try:
        return dict(json.loads(card.read_text("utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise WeightsError(f"The card {card} cannot be read ({error}); copy or download it again.") from error


def _match(weights: Weights) -> None:
    """Every convolution that the spec promises is there in the promised shape, and every number is finite."""
    expected = expected_shapes(weights.spec)
    found = {name: tensor.shape for name, tensor in weights.tensors.items()}
    if found != expected:
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise WeightsError(
            f"Weights file {weights.path} belongs to another network ({wrong[0]} and {len(wrong) - 1} more do not fit);"
            " give one that training.export wrote."
        )
    if not all(np.isfinite(tensor).all() for tensor in weights.tensors.values()):
        raise WeightsError(f"Weights file {weights.path} holds numbers that are not finite; export it again.")


def expected_shapes(spec: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that the network of ``spec`` has (see network.py, which a test compares)."""
    shapes: dict[str, tuple[int, ...]] = {}

    def separable(name: str, i: int, o: int) -> None:
        shapes[f"{name}.depthwise.weight"] = (i, 1, 3, 3)
        shapes[f"{name}.pointwise.weight"] = (o, i, 1, 1)
        shapes[f"{name}.pointwise.bias"] = (o,)

    def block(name: str, i: int, o: int, norms: int = spec.norms) -> None:
        separable(f"{name}.first", i, o)
        separable(f"{name}.second", o, o)
        for norm in ("first_norm", "second_norm")[2 - norms :]:
            shapes.update({f"{name}.{norm}.{part}": (o,) for part in ("weight", "bias", "running_mean", "running_var")})

    widths = spec.widths
    shapes["stem.weight"], shapes["stem.bias"] = (widths[0], spec.inputs, 3, 3), (widths[0],)
    for level, width in enumerate(widths):
        block(f"encoder.{level}", widths[max(level - 1, 0)], width)
    for step, (below, level) in enumerate(zip(widths[:0:-1], widths[-2::-1], strict=True)):
        separable(f"up.{step}", below, level)
        block(f"decoder.{step}", 2 * level, level)
    shapes["head.weight"], shapes["head.bias"] = (spec.classes, widths[0], 1, 1), (spec.classes,)
    if spec.parenchyma:
        own = spec.parenchyma
        for step, level in enumerate(widths[-2::-1]):
            shapes[f"parenchyma.level.{step}.weight"] = (own, level, 1, 1)
            shapes[f"parenchyma.level.{step}.bias"] = (own,)
        block("parenchyma.block", own, own, 2)
        shapes["parenchyma.head.weight"], shapes["parenchyma.head.bias"] = (1, own, 1, 1), (1,)
    return shapes
