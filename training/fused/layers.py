"""The layers that the kernels compute, as functions with gradients.

All that is kept between layers is bfloat16 in channels-last memory: (n, c, h, w) as PyTorch counts, (n, h, w, c) in
memory. Weights, statistics and their gradients are float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from wpunet.network import Block, SeparableConv

from training.fused.build import library

PLAIN, NORM, UPSAMPLE = range(3)  # how the first input is given, see separable.cpp


def stem(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """ReLU of the first convolution: (n, 1, h, w) -> (n, o, h, w)."""
    return _Stem.apply(x, layer.weight, layer.bias)


def block(layer: Block, x: Tensor, skip: Tensor | None = None) -> Tensor:
    """The block, of one input or of two side by side: (n, i, h, w), (n, j, h, w) -> (n, o, h, w)."""
    a, b, u, v = layer.first, layer.second, layer.first_norm, layer.second_norm
    return _Block.apply(
        x, skip, layer, a.depthwise.weight, a.pointwise.weight, a.pointwise.bias, u.weight, u.bias,
        b.depthwise.weight, b.pointwise.weight, b.pointwise.bias, v.weight, v.bias,
    )  # fmt: skip


def pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of 2x2 of what is not negative, (n, c, h / 2, w / 2), and x itself for the skip."""
    return _Pool.apply(x)


def separable(layer: SeparableConv, x: Tensor) -> Tensor:
    """(n, i, h, w) -> (n, o, h, w)."""
    return _Separable.apply(x, PLAIN, layer.depthwise.weight, layer.pointwise.weight, layer.pointwise.bias)


def upsampled_separable(layer: SeparableConv, x: Tensor) -> Tensor:
    """The separable convolution of x made twice as large: (n, i, h, w) -> (n, o, 2 h, 2 w)."""
    return _Separable.apply(x, UPSAMPLE, layer.depthwise.weight, layer.pointwise.weight, layer.pointwise.bias)


def head(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Logits in float32: (n, i, h, w) -> (n, o, h, w)."""
    return _Head.apply(x, layer.weight, layer.bias)


def _new(n: int, c: int, h: int, w: int) -> Tensor:
    return torch.empty((n, c, h, w), dtype=torch.bfloat16, memory_format=torch.channels_last)


def _at(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _as_kept(tensor: Tensor) -> Tensor:
    return tensor.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)


def _matrix(weight: Tensor) -> Tensor:
    return weight.detach().float().reshape(weight.shape[0], -1).contiguous()


def _forward(
    x: Tensor,
    mode: int,
    constants: Tensor | None,
    skip: Tensor | None,
    depthwise: Tensor,
    pointwise: Tensor,
    bias: Tensor,
    sums: Tensor | None,
) -> Tensor:
    n, c, h, w = x.shape
    if mode == UPSAMPLE:
        h, w = 2 * h, 2 * w
    other, out = 0 if skip is None else skip.shape[1], pointwise.shape[0]
    y = _new(n, out, h, w)
    library().separable_forward(
        _at(x), c, mode, _at(constants), _at(skip), other, _at(depthwise), _at(pointwise), _at(bias), n, h, w, out,
        _at(y), _at(sums),
    )  # fmt: skip
    return y


def _backward(
    g: Tensor,
    normed: tuple[Tensor, Tensor, Tensor] | None,
    x: Tensor,
    mode: int,
    constants: Tensor | None,
    skip: Tensor | None,
    weights: tuple[Tensor, Tensor],
    g_bias: Tensor | None,
    sums: Tensor | None,
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """The gradients of x, skip and weights. normed: what was normalised, its constants, and those of norm_gradients."""
    (n, out, h, w), c1 = g.shape, x.shape[1]
    c2 = 0 if skip is None else skip.shape[1]
    c, (y, y_constants, back) = c1 + c2, normed or (None, None, None)
    g_x, g_skip = torch.empty_like(x), None if skip is None else torch.empty_like(skip)
    # the layout that channels-last weights have
    g_depthwise = torch.empty_strided((c, 1, 3, 3), (9, 1, 3, 1))
    g_pointwise = torch.empty_strided((out, c, 1, 1), (c, 1, c, c))
    library().separable_backward(
        _at(g), _at(y), _at(y_constants), _at(back), _at(x), c1, mode, _at(constants), _at(skip), c2, _at(weights[0]),
        _at(weights[1]), n, h, w, out, _at(g_x), _at(g_skip), _at(g_depthwise), _at(g_pointwise), _at(g_bias),
        _at(sums),
    )  # fmt: skip
    return g_x, g_skip, g_depthwise, g_pointwise


def _constants(sums: Tensor, norm: Any, pixels: int) -> Tensor:
    """What a batch normalisation multiplies by and adds; its running statistics go on, too."""
    c = norm.num_features
    constants = torch.empty(4, c)
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    library().norm_constants(
        _at(sums), c, pixels, _at(norm.weight), _at(norm.bias), norm.eps, norm.momentum, _at(norm.running_mean),
        _at(norm.running_var), _at(constants),
    )  # fmt: skip
    return constants


def _norm_gradients(sums: Tensor, pixels: int, constants: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    c = constants.shape[1]
    g_weight, g_bias, back = torch.empty(c), torch.empty(c), torch.empty(3, c)
    library().norm_gradients(_at(sums), c, pixels, _at(constants), _at(g_weight), _at(g_bias), _at(back))
    return g_weight, g_bias, back


class _Block(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, skip: Tensor | None, layer: Block, *parameters: Tensor) -> Tensor:
        n, _, h, w = x.shape
        dw1, pw1, bias1, _, _, dw2, pw2, bias2, _, _ = parameters
        pixels, out = n * h * w, pw1.shape[0]
        weights = dw1, pw1, dw2, pw2 = _matrix(dw1), _matrix(pw1), _matrix(dw2), _matrix(pw2)
        sums = torch.zeros(2, out, dtype=torch.float64)
        p1 = _forward(x, PLAIN, None, skip, dw1, pw1, bias1, sums)
        k1 = _constants(sums, layer.first_norm, pixels)
        sums.zero_()
        p2 = _forward(p1, NORM, k1, None, dw2, pw2, bias2, sums)
        k2 = _constants(sums, layer.second_norm, pixels)
        y = torch.empty_like(p2)
        library().norm_relu_forward(_at(p2), out, pixels, _at(k2), _at(y))
        ctx.save_for_backward(x, skip, p1, k1, p2, k2, *weights)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, skip, p1, k1, p2, k2, dw1, pw1, dw2, pw2 = ctx.saved_tensors
        g = _as_kept(g)
        n, out, h, w = g.shape
        pixels = n * h * w
        sums = torch.zeros(2, out, dtype=torch.float64)
        library().norm_sums_backward(_at(g), _at(p2), out, pixels, _at(k2), _at(sums))
        g_norm2, g_shift2, back = _norm_gradients(sums, pixels, k2)
        sums.zero_()
        g, _, g_dw2, g_pw2 = _backward(g, (p2, k2, back), p1, NORM, k1, None, (dw2, pw2), None, sums)
        g_norm1, g_shift1, back = _norm_gradients(sums, pixels, k1)
        g_x, g_skip, g_dw1, g_pw1 = _backward(g, (p1, k1, back), x, PLAIN, None, skip, (dw1, pw1), None, None)
        none = torch.zeros(out)  # a bias that batch normalisation takes away again has no gradient
        first = g_dw1, g_pw1, none, g_norm1, g_shift1
        return g_x, g_skip, None, *first, g_dw2, g_pw2, none.clone(), g_norm2, g_shift2


class _Separable(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mode: int, depthwise: Tensor, pointwise: Tensor, bias: Tensor) -> Tensor:
        weights = _matrix(depthwise), _matrix(pointwise)
        ctx.save_for_backward(x, *weights)
        ctx.mode = mode
        return _forward(x, mode, None, None, *weights, bias, None)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, depthwise, pointwise = ctx.saved_tensors
        g_bias = torch.empty(pointwise.shape[0])
        g = _as_kept(g)
        g_x, _, g_depthwise, g_pointwise = _backward(
            g, None, x, ctx.mode, None, None, (depthwise, pointwise), g_bias, None
        )
        return g_x, None, g_depthwise, g_pointwise, g_bias


class _Pool(torch.autograd.Function):
    """Pooling and skip in one: their gradients are added in one pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        n, c, h, w = x.shape
        y = _new(n, c, h // 2, w // 2)
        library().pool_forward(_at(x), c, n * (h // 2), w // 2, _at(y))
        ctx.save_for_backward(x, y)
        return y, x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor, g_skip: Tensor) -> Tensor:
        x, y = ctx.saved_tensors
        n, c, h, w = y.shape
        g, g_skip, g_x = _as_kept(g), _as_kept(g_skip), torch.empty_like(x)
        library().pool_backward(_at(x), _at(y), _at(g), _at(g_skip), c, n * h, w, _at(g_x))
        return g_x


class _Stem(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        n, _, h, w = x.shape
        x, out = x.float().contiguous(), weight.shape[0]
        y, flat = _new(n, out, h, w), _matrix(weight)
        library().stem_forward(_at(x), _at(flat), _at(bias), n, h, w, out, _at(y))
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, y = ctx.saved_tensors
        n, out, h, w = y.shape
        g, g_weight, g_bias = _as_kept(g), torch.empty(out, 1, 3, 3), torch.empty(out)
        library().stem_backward(_at(x), _at(y), _at(g), n, h, w, out, _at(g_weight), _at(g_bias))
        return None, g_weight, g_bias


class _Head(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        n, c, h, w = x.shape
        flat, out = _matrix(weight), weight.shape[0]
        y = torch.empty(n, out, h, w)
        library().head_forward(_at(x), c, _at(flat), _at(bias), n, h * w, out, _at(y))
        ctx.save_for_backward(x, flat)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, flat = ctx.saved_tensors
        (n, c, h, w), out = x.shape, flat.shape[0]
        g, g_x = g.float().contiguous(), torch.empty_like(x)
        g_weight, g_bias = torch.empty(out, c, 1, 1), torch.empty(out)
        library().head_backward(
            _at(x), c, _at(flat), _at(g), n, h * w, out, _at(g_x), _at(g_weight), _at(g_bias)
        )  # fmt: skip
        return g_x, g_weight, g_bias
