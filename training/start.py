"""What a run starts from: other weights of the same network, or of a narrower WP-UNet, which is widened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn
from wpunet.bundle import NetworkSpec
from wpunet.errors import InputError, reason
from wpunet.network import WPUNet

from training import checkpoint
from training.config import Config
from training.widen import widen, with_cyst

DAMAGED = (OSError, ValueError, KeyError, TypeError, RuntimeError, checkpoint.SafetensorError)
GIVE = "give the average.safetensors of a run, or a bundle"


def check_start(weights: Path, config: Config) -> NetworkSpec:
    """The network that ``weights`` are of; raises InputError where that cannot become the one of ``config``."""
    try:
        facts = checkpoint.facts(weights)
        spec = NetworkSpec.from_dict(facts["spec"])
    except KeyError as error:
        raise InputError(
            f"Training cannot start from {weights}: it does not say what network it is of; {GIVE}."
        ) from error
    except DAMAGED as error:
        raise InputError(f"Training cannot start from {weights} ({reason(error)}); {GIVE}.") from error
    has = {"architecture": facts.get("architecture", "wpunet")} | spec.as_dict()
    says = {"architecture": config.architecture} | config.spec.as_dict()
    asked = says if config.architecture == "wpunet" else ("architecture",)  # the others have not all of these settings
    wrong = [name for name in asked if has[name] != says[name] and not _grows(name, has[name], says[name])]
    if wrong:
        raise InputError(
            f"Training cannot start from {weights}: its network has {_told(has, wrong)}, but the config says "
            f"{_told(says, wrong)}; write into the config what the file has (configs/own.toml has what the weights "
            "that ship have)."
        )
    return spec


def _grows(name: str, has: int | list[int], says: int | list[int]) -> bool:
    """Whether a WP-UNet that ``has`` that much of something can be made one that has what the config ``says``."""
    if isinstance(has, list) and isinstance(says, list):
        return len(has) == len(says) and all(old <= new for old, new in zip(has, says, strict=True))
    return name == "parenchyma" or (name == "classes" and (has, says) == (3, 4))


def _told(values: dict[str, object], names: list[str]) -> str:
    return ", ".join(f"{name} = {values[name]}" for name in names)


def fill_from(weights: Path, config: Config, networks: tuple[nn.Module, ...]) -> None:
    """Give fresh ``networks`` of ``config`` the numbers of ``weights``.

    Raises InputError when they do not fit or are damaged.
    """
    spec = check_start(weights, config)
    try:
        tensors, _ = checkpoint.load(weights)
        tensors = {name: tensor.float() for name, tensor in tensors.items() if "num_batches" not in name}
        if config.architecture == "wpunet":
            tensors = _grown(tensors, spec, config.spec)
        for network in networks:
            _fill(network, tensors)
    except DAMAGED as error:
        raise InputError(f"Training cannot start from {weights} ({reason(error)}); {GIVE}.") from error


def _grown(tensors: dict[str, Tensor], spec: NetworkSpec, wanted: NetworkSpec) -> dict[str, Tensor]:
    """The numbers of a WP-UNet made those of ``wanted``; parenchyma is trained anew when all else is."""
    network = WPUNet(replace(spec, parenchyma=0))
    _fill(network, {name: tensor for name, tensor in tensors.items() if not name.startswith("parenchyma.")})
    if spec.classes < wanted.classes:
        network = with_cyst(network)
    if spec.widths != wanted.widths:
        network = widen(network, wanted.widths)
    return network.state_dict()


def _fill(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    missing, unexpected = network.load_state_dict(tensors, strict=False)
    if unexpected or any("num_batches" not in name for name in missing):
        raise ValueError("its tensors are not those of such a network")
