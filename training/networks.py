"""The networks that can be trained here: WP-UNet, and those it is measured against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from wpunet.bundle import NetworkSpec
from wpunet.errors import DeviceError, InputError, reason
from wpunet.network import WPUNet

from training import checkpoint

HALVINGS = {"basic_unet": 4, "nnunet_2d": 6}  # of networks that normalise each sample by itself
AVERAGE = "average.safetensors"  # of a run, what it is used and gone on with by


def default_device() -> torch.device:
    """A GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_called(name: str) -> torch.device:
    """The device of this name; raises DeviceError where there is none."""
    try:
        device = torch.device(name)
    except RuntimeError as error:  # it would list all that PyTorch knows
        raise DeviceError(f"There is no device '{name}'; give cpu or cuda.") from error
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"There is no device '{name}' here ({reason(error)}); give cpu or cuda.") from error
    return device


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 makes a training faster there; where it does not, PyTorch makes it many times slower."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # where PyTorch is built without oneDNN, the question does not exist either
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def channels_last(network: nn.Module) -> nn.Module:
    """The network itself, its weights in the layout that convolutions are fastest in."""
    to: Any = network.to  # older versions of PyTorch do not declare this argument
    return to(memory_format=torch.channels_last)


def _block(channels_in: int, channels_out: int) -> nn.Sequential:
    """(n, i, h, w) -> (n, o, h, w): two 3x3 convolutions, each with batch normalisation as is usual today."""
    layers: list[nn.Module] = []
    for inputs in (channels_in, channels_out):
        layers += [
            nn.Conv2d(inputs, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """The U-Net (Ronneberger et al. 2015): WP-UNet's plan with dense convolutions.

    Slices in, logits out: (n, inputs, h, w) -> (n, classes, h, w); 16 divides h and w.
    """

    def __init__(self, spec: NetworkSpec | None = None, dropout: float = 0.5) -> None:
        super().__init__()
        self.spec = spec = spec or NetworkSpec()
        widths = spec.widths
        self.encoder = nn.ModuleList(_block(i, o) for i, o in zip((spec.inputs, *widths), widths, strict=False))
        self.dropout = nn.Dropout(dropout)
        outward = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(below, level, 2, stride=2) for below, level in outward)
        self.decoder = nn.ModuleList(_block(2 * level, level) for _, level in outward)
        self.head = nn.Conv2d(widths[0], spec.classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for level, block in enumerate(self.encoder):
            if level:
                x = F.max_pool2d(x, 2)
            x = block(x)
            skips.append(x)
        x = self.dropout(skips.pop())
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(torch.cat([up(x), skips.pop()], dim=1))
        return self.head(x)


def basic_unet(spec: NetworkSpec, dropout: float = 0.0) -> nn.Module:
    """MONAI's BasicUNet."""
    from monai.networks.nets import BasicUNet

    return BasicUNet(spatial_dims=2, in_channels=spec.inputs, out_channels=spec.classes, dropout=dropout)


def nnunet_2d(spec: NetworkSpec, dropout: float = 0.0) -> nn.Module:  # noqa: ARG001
    """nnU-Net's 2D plan for slices of 256x256: seven stages, two convolutions each, instance normalisation."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    features = [32, 64, 128, 256, 512, 512, 512]
    return PlainConvUNet(
        input_channels=spec.inputs,
        n_stages=len(features),
        features_per_stage=features,
        conv_op=nn.Conv2d,
        kernel_sizes=3,
        strides=[1] + [2] * (len(features) - 1),
        n_conv_per_stage=2,
        num_classes=spec.classes,
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=nn.InstanceNorm2d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )


def load_trained(run: Path) -> tuple[WPUNet, dict[str, Any]]:
    """The averaged WP-UNet of a run and the facts beside it; raises InputError when there is none."""
    try:
        tensors, facts = checkpoint.load(run / AVERAGE)
        network = WPUNet(NetworkSpec.from_dict(facts["spec"]))
        network.load_state_dict(tensors)
    except (OSError, KeyError, RuntimeError, checkpoint.SafetensorError) as error:
        raise InputError(f"{run} holds no trained WP-UNet ({' '.join(str(error).split())[:160]}).") from error
    return network, facts


def check_size(architecture: str, size: int, path: str) -> None:
    """Raises InputError, which begins with ``path``, where a network cannot be trained at ``size`` pixels.

    Each stage halves them, and a normalisation of single samples needs more than one in the last.
    """
    part = 2 ** HALVINGS.get(architecture, 0)
    if size % part or size == part:
        raise InputError(f"{path}: size is {size}; {architecture} needs a multiple of {part} above {part}.")


def steps_in_all(facts: dict[str, Any]) -> int:
    """How many steps weights were trained for, by the facts beside them: of their run and of those before it."""
    return int(facts.get("steps_in_all", facts.get("step", 0)))


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "wpunet": WPUNet,
    "unet": UNet,
    "basic_unet": basic_unet,
    "nnunet_2d": nnunet_2d,
}
