"""WP-UNet: a U-Net of depth-wise separable convolutions.

Rao, Chatterjee, Sharma, "Weight pruning-UNet", J Med Signals Sens 2022;12:108-113, doi 10.4103/jmss.jmss_108_21.
Shapes below are (batch, channel, row, column) for the default widths and a 256x256 slice; any size that 16 divides
works. Where the paper leaves a choice open, the argument says how we read it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .bundle import NetworkSpec


class SeparableConv(nn.Sequential):
    """A 3x3 convolution in each channel, then a 1x1 convolution across channels: (n, i, h, w) -> (n, o, h, w)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels_in, channels_in, 3, padding=1, groups=channels_in, bias=False)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1)


def twice(x: Tensor) -> Tensor:
    """Bilinear up-sampling: (n, c, h, w) -> (n, c, 2h, 2w)."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Block(nn.Module):
    """The WP-UNet block: two separable convolutions, two activations: (n, i, h, w) -> (n, o, h, w)."""

    def __init__(self, channels_in: int, channels_out: int, norms: int = 1) -> None:
        super().__init__()
        self.first = SeparableConv(channels_in, channels_out)
        self.first_norm = nn.BatchNorm2d(channels_out) if norms == 2 else nn.Identity()
        self.second = SeparableConv(channels_out, channels_out)
        self.second_norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(x)))


class Parenchyma(nn.Module):
    """Tells a kidney's parenchyma from the rest of what counts as kidney: its sinus, and a rim that is drawn too wide.

    From the decoder's features, coarse to fine (n, 512, 32, 32) ... (n, 64, 256, 256), to the logit (n, 1, 256, 256) of
    parenchyma: each level's channels become as few, and are added from level to level as in a feature pyramid (Lin et
    al., CVPR 2017). Not in the paper, whose KiTS19 counts the sinus as kidney.
    """

    def __init__(self, widths: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.level = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths[-2::-1])
        self.block = Block(channels, channels, norms=2)
        self.head = nn.Conv2d(channels, 1, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        x, *finer = [level(one) for level, one in zip(self.level, features, strict=True)]
        for one in finer:
            x = one + twice(x)
        return self.head(self.block(F.relu(x)))


class WPUNet(nn.Module):
    """Slices in, logits out: (n, inputs, h, w) -> (n, classes, h, w); 16 divides h and w.

    Up-sampling is bilinear with a separable convolution that halves the channels, where the vanilla U-Net has an
    up-convolution. With widths 64..1024 and two classes that makes 3,921,730 weights, of which the paper's
    1,297,441 are a third. Dropout acts on the bottleneck, before up-sampling.
    """

    def __init__(self, spec: NetworkSpec | None = None, dropout: float = 0.5) -> None:
        super().__init__()
        self.spec = spec = spec or NetworkSpec()
        widths = spec.widths
        self.stem = nn.Conv2d(spec.inputs, widths[0], 3, padding=1)  # the one standard convolution
        inner = (widths[0], *widths[:-1])
        self.encoder = nn.ModuleList(Block(i, o, spec.norms) for i, o in zip(inner, widths, strict=True))
        self.dropout = nn.Dropout(dropout)
        outward = list(zip(widths[:0:-1], widths[-2::-1], strict=True))  # (1024, 512) ... (128, 64)
        self.up = nn.ModuleList(SeparableConv(below, level) for below, level in outward)
        self.decoder = nn.ModuleList(Block(2 * level, level, spec.norms) for _, level in outward)
        self.head = nn.Conv2d(widths[0], spec.classes, 1)
        if spec.parenchyma:
            self.parenchyma = Parenchyma(widths, spec.parenchyma)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x)[-1])  # (n, 3, 256, 256)

    def told(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and (n, 1, h, w) that of parenchyma; only where ``spec`` has that part."""
        features = self.features(x)
        return self.head(features[-1]), self.parenchyma(features)

    def features(self, x: Tensor) -> list[Tensor]:
        """What each level of the decoder makes of slices: (n, 512, 32, 32) ... (n, 64, 256, 256)."""
        x = F.relu(self.stem(x))  # (n, 64, 256, 256)
        skips = []
        for level, block in enumerate(self.encoder):
            if level:
                x = F.max_pool2d(x, 2)  # 128, 64, 32, 16 pixels
            x = block(x)  # (n, 64, 256, 256) ... (n, 1024, 16, 16)
            skips.append(x)
        x = self.dropout(skips.pop())
        features = []
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(torch.cat([up(twice(x)), skips.pop()], dim=1))
            features.append(x)
        return features


def folded(network: WPUNet) -> WPUNet:
    """A network in inference, each batch normalisation folded into the 1x1 convolution before it: less to do."""
    for block in (module for module in network.modules() if isinstance(module, Block)):
        for part in ("first", "second"):
            norm, convolutions = getattr(block, f"{part}_norm"), getattr(block, part)
            if isinstance(norm, nn.BatchNorm2d):
                convolutions.pointwise = fuse_conv_bn_eval(convolutions.pointwise, norm)
                setattr(block, f"{part}_norm", nn.Identity())
    return network


@dataclass(frozen=True)
class Cost:
    """weights: all; nonzero: those that pruning left; multiply_adds: of one slice."""

    weights: int
    nonzero: int
    multiply_adds: int


def cost(network: nn.Module, size: tuple[int, int] = (256, 256)) -> Cost:
    """Count the weights of ``network`` and, with PyTorch's own counter, the multiply-adds of one slice of ``size``."""
    from torch.utils.flop_counter import FlopCounterMode

    inputs = next(m for m in network.modules() if isinstance(m, nn.Conv2d)).in_channels
    first = next(network.parameters())
    slices = torch.zeros(1, inputs, *size, dtype=first.dtype, device=first.device)
    training = network.training
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network.eval()(slices)
    network.train(training)
    parameters = list(network.parameters())
    return Cost(
        weights=sum(p.numel() for p in parameters),
        nonzero=sum(int(torch.count_nonzero(p)) for p in parameters),
        multiply_adds=counter.get_total_flops() // 2,
    )
