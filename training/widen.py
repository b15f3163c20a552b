"""Go on with more channels: a wider WP-UNet that answers as the narrow one did.

The channels that come with the width start from random numbers, and nothing listens to them yet (the weights of their
way on are zero), so the answer stays; training then finds use for them. In the spirit of Net2Net (Chen, Goodfellow,
Shlens, "Net2Net: accelerating learning via knowledge transfer", ICLR 2016), without copies that would have to part.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from wpunet.errors import InputError
from wpunet.network import WPUNet

RARE = 3.0  # logit; of twenty kidney pixels one is a cyst's


def widen(network: WPUNet, widths: tuple[int, ...]) -> WPUNet:
    """``network`` with new channels besides its own; ``widths`` are those of the five levels afterwards.

    Raises InputError when a level has more already.
    """
    spec = network.spec
    if len(widths) != len(spec.widths) or any(n < o for n, o in zip(widths, spec.widths, strict=True)):
        raise InputError(f"Widths {spec.widths} cannot be widened to {widths}.")
    wider = WPUNet(replace(spec, widths=widths), network.dropout.p)
    state = wider.state_dict()
    for name, old in network.state_dict().items():
        new = state[name]
        if name.endswith("depthwise.weight"):
            new[_places(name, len(old), len(new))] = old
        elif old.dim() == 4:
            new[: len(old)] = 0
            new[: len(old), _places(name, old.shape[1], new.shape[1])] = old
        elif old.dim() == 1:
            new[: len(old)] = old
        else:
            new.copy_(old)
    wider.load_state_dict(state)
    return wider


def with_cyst(network: WPUNet) -> WPUNet:
    """``network`` of three classes with a fourth, the cyst: it looks for what a kidney looks like, but is rare.

    So the answer on kidney-or-tumor stays nearly as it was, and training finds what tells a cyst from a kidney.
    """
    more = WPUNet(replace(network.spec, classes=network.spec.classes + 1), network.dropout.p)
    state = network.state_dict()
    kidney = 1
    state["head.weight"] = torch.cat([state["head.weight"], state["head.weight"][kidney : kidney + 1]])
    state["head.bias"] = torch.cat([state["head.bias"], state["head.bias"][kidney : kidney + 1] - RARE])
    more.load_state_dict(state)
    return more


def _places(name: str, old: int, new: int) -> Tensor:
    """Where the old input channels are among the new: first, but in a decoder's entrance, which joins two halves."""
    channels = torch.arange(old)
    if name.startswith("decoder.") and ".first." in name:
        return torch.where(channels < old // 2, channels, channels - old // 2 + new // 2)
    return channels
