"""WP-UNet whose training forward runs on the kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from wpunet.bundle import NetworkSpec
from wpunet.network import WPUNet

from training.fused import build, layers


def why_not(spec: NetworkSpec, batch: int, rows: int, columns: int) -> str | None:
    """Why the kernels cannot train a WP-UNet on batches of (batch, 1, rows, columns); None where they can."""
    if spec.inputs != 1 or spec.norms != 2 or not 2 <= spec.classes <= 5:
        return "they are for one input, two normalisations a block and 2 to 5 classes"
    if any(width % 32 for width in spec.widths):
        return "they are for widths that 32 divides"
    if rows % 16 or columns % 16 or batch * (rows // 16) * (columns // 16) % 32:
        return f"they are not for {batch} x {rows} x {columns} pixels: 32 has to divide those of the lowest level"
    return build.missing()


class FusedWPUNet(WPUNet):
    """A WP-UNet that trains on the kernels where they can, under bfloat16 autocast on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        if not self._fits(x):
            return super().forward(x)
        x = layers.stem(self.stem, x)
        skips: list[Tensor] = []
        encoder: Any = self.encoder  # of blocks, which PyTorch's types do not say
        decoder: Any = zip(self.up, self.decoder, strict=True)
        for level, block in enumerate(encoder):
            if level:
                x, skip = layers.pool(x)
                skips.append(skip)
            x = layers.block(block, x)
        x = self.dropout(x)
        for up, block in decoder:
            x = layers.block(block, layers.upsampled_separable(up, x), skips.pop())
        return layers.head(self.head, x)

    def _fits(self, x: Tensor) -> bool:
        if not self.training or not torch.is_grad_enabled() or x.requires_grad or x.device.type != "cpu":
            return False
        if not torch.is_autocast_enabled("cpu") or torch.get_autocast_dtype("cpu") != torch.bfloat16:
            return False
        if any(p.dtype != torch.float32 or p.device.type != "cpu" or not p.requires_grad for p in self.parameters()):
            return False
        if any(_is_another_layer(module) for module in self.modules() if module is not self):
            return False
        return why_not(self.spec, x.shape[0], *x.shape[2:]) is None


def _is_another_layer(module: Any) -> bool:
    """Whether a layer does more or something else than the kernels know."""
    if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks:
        return True  # which would not be called
    if isinstance(module, nn.BatchNorm2d):
        usual = module.affine and module.track_running_stats and module.momentum and module.training
        return type(module) is not nn.BatchNorm2d or not usual
    return False


def fuse(network: nn.Module) -> nn.Module:
    """The network itself; a WP-UNet now trains on the kernels, whatever else stays as it is."""
    if type(network) is WPUNet:
        network.__class__ = FusedWPUNet
    return network
