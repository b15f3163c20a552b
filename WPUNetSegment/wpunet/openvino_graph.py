"""WP-UNet as an OpenVINO graph, built straight from the weights: no PyTorch, no file in between.

Layer for layer the network of network.py in inference: batch normalisation is folded into the 1x1 convolution before
it, where nothing lies between them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from .bundle import NORM_EPSILON, Weights

Node = Any  # OpenVINO takes nodes and their outputs alike, which share no public type
_ONE_PIXEL = {"strides": [1, 1], "dilations": [1, 1]}


def build(weights: Weights, parenchyma: bool = False) -> ov.Model:
    """The graph for one slice of any size, (1, inputs, h, w), float32; its one output is logits (1, classes, h, w).

    parenchyma: its logit comes as one channel more; only for weights that have that part
    """
    graph = _Graph(weights)
    slices = ops.parameter(ov.PartialShape([1, weights.spec.inputs, -1, -1]), np.float32, name="slices")
    x = graph.relu(graph.convolution(slices, "stem", padding=1))
    skips = []
    for level in range(len(weights.spec.widths)):
        if level:
            x = ops.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)
        x = graph.block(x, f"encoder.{level}")
        skips.append(x)
    x, features = skips.pop(), []
    for step in range(len(skips)):
        x = graph.separable(graph.twice(x), f"up.{step}")
        x = graph.block(ops.concat([x, skips.pop()], 1), f"decoder.{step}")
        features.append(x)
    logits = graph.convolution(x, "head")
    if parenchyma:
        logits = ops.concat([logits, graph.parenchyma(features)], 1)
    return ov.Model([logits], [slices], "WP-UNet")


class _Graph:
    """Layers by the names that their weights have in PyTorch."""

    def __init__(self, weights: Weights) -> None:
        self.tensors = weights.tensors

    def relu(self, x: Node) -> Node:
        return ops.relu(x)

    def twice(self, x: Node) -> Node:
        """Bilinear up-sampling by two, as torch's interpolate without aligned corners."""
        scales = ops.constant(np.array([2.0, 2.0], np.float32))
        axes = ops.constant(np.array([2, 3], np.int64))
        return ops.interpolate(
            x, scales, "linear_onnx", "scales", coordinate_transformation_mode="half_pixel", axes=axes
        )

    def convolution(self, x: Node, name: str, padding: int = 0, norm: str | None = None) -> Node:
        kernel, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        if norm:
            part = {key: self.tensors[f"{norm}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")}
            scale = part["weight"] / np.sqrt(part["running_var"] + NORM_EPSILON)
            kernel = kernel * scale[:, None, None, None]
            bias = (bias - part["running_mean"]) * scale + part["bias"]
        pads = [padding, padding]
        y = ops.convolution(x, ops.constant(kernel), pads_begin=pads, pads_end=pads, **_ONE_PIXEL)
        return ops.add(y, ops.constant(bias.reshape(1, -1, 1, 1)))

    def parenchyma(self, features: list[Node]) -> Node:
        """As network.Parenchyma."""
        x, *finer = [self.convolution(one, f"parenchyma.level.{step}") for step, one in enumerate(features)]
        for one in finer:
            x = ops.add(one, self.twice(x))
        return self.convolution(self.block(self.relu(x), "parenchyma.block"), "parenchyma.head")

    def separable(self, x: Node, name: str, norm: str | None = None) -> Node:
        kernel = self.tensors[f"{name}.depthwise.weight"][:, None]  # (groups, 1, 1, 3, 3)
        x = ops.group_convolution(x, ops.constant(kernel), pads_begin=[1, 1], pads_end=[1, 1], **_ONE_PIXEL)
        return self.convolution(x, f"{name}.pointwise", norm=norm)

    def block(self, x: Node, name: str) -> Node:
        for part in ("first", "second"):
            norm = f"{name}.{part}_norm"
            x = self.relu(self.separable(x, f"{name}.{part}", norm if f"{norm}.weight" in self.tensors else None))
        return x
