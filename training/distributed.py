"""Several processes that train one network: the same result as one process with the whole batch.

Gradients are averaged by PyTorch's DistributedDataParallel. What is not a mean over samples is summed over all
processes here: the Dice loss, and the statistics of the batch normalisation.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from training.networks import device_called


def rank() -> int:
    """This process's number; 0 where there is only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def processes(device: str) -> Iterator[torch.device]:
    """Join the others when ``torchrun`` started this process; yields the device of this one."""
    if "WORLD_SIZE" not in os.environ:
        yield device_called(device)
        return
    gpu = device.startswith("cuda")
    own = device_called(f"cuda:{os.environ['LOCAL_RANK']}" if gpu else device)  # before the others wait for it
    dist.init_process_group("nccl" if gpu else "gloo")
    if gpu:
        torch.cuda.set_device(own)
    try:
        yield own
    finally:
        dist.destroy_process_group()


def summed(value: Tensor) -> Tensor:
    """The sum over all processes; gradients flow back to each."""
    if world() == 1:
        return value
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(value)


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the batches of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(x)
        x32 = x.float()
        count = torch.full((1,), x32.numel() / x32.shape[1], device=x.device)
        totals = summed(torch.cat([x32.sum((0, 2, 3)), (x32**2).sum((0, 2, 3)), count]))
        n = totals[-1]
        mean, square = (part / n for part in totals[:-1].chunk(2))
        variance = (square - mean**2).clamp_min(0)
        with torch.no_grad():
            momentum = self.momentum or 0.1
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * n / (n - 1), momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = (variance + self.eps).rsqrt() * self.weight
        shift = self.bias - mean * scale
        return (x32 * scale[:, None, None] + shift[:, None, None]).to(x.dtype)


def share_statistics(network: nn.Module) -> None:
    """Turn every batch normalisation of ``network`` into a shared one; one process is left as it is."""
    if world() == 1:
        return
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm
