"""What is here: versions, weights, devices."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from . import __version__, bundle, runtime

LIBRARIES = ("openvino", "torch", "numpy", "scipy", "SimpleITK", "nibabel")
SAID = ("name", "version", "sha256")  # of the card, above it


def describe(weights_file: Path | None = None) -> str:
    """A page for a person; raises WeightsError when the weights cannot be used."""
    weights = bundle.load(weights_file)
    lines = [
        f"wpunet {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        "For research only: not a medical device.",
        "",
        f"weights   {weights.name}, {weights.path}",
        f"          SHA-256 {weights.sha256}",
        f"network   WP-UNet, widths {', '.join(map(str, weights.spec.widths))}; pixels of {weights.pixel_mm:g} mm",
    ]
    told = {key: value for key, value in weights.card.items() if isinstance(value, str | int | float)}
    lines += [f"          {key.replace('_', ' ')}: {value}" for key, value in told.items() if key not in SAID]
    lines += ["", *(f"{name:9} {_version(name)}" for name in LIBRARIES), ""]
    lines += [f"device    {device}: {name}" for device, name in runtime.torch_gpus()]
    lines.append(f"device    cpu: {platform.processor() or platform.machine()}")
    return "\n".join(lines)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
