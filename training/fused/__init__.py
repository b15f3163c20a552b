"""A cheaper training step of WP-UNet on a processor core with AMX: kernels in C++ that do several layers in one pass.

``fuse(network)`` once, after making it: parameters, buffers and their names stay, and so does the network outside of
training. Where ``why_not`` gives a reason, PyTorch computes as ever.
"""

from training.fused.network import fuse, why_not

__all__ = ["fuse", "why_not"]
