"""The U-Net that WP-UNet is measured against (Ronneberger et al. 2015): the same plan with dense convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from wpunet.bundle import NetworkSpec


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
    """Slices in, logits out: (n, inputs, h, w) -> (n, classes, h, w); 16 divides h and w."""

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
