"""Functions of PyTorch that its CPU kernels compute slowly, from faster ones; elsewhere by its own.

What is computed is the same on every device but for rounding: which sums are formed, and in what order, is a question
of the processor. A processor pays for multiplications, a GPU for passes over its memory. Feature maps are (B, C, H, W).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function


def _on_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu"


# ------------------------------------------------------------------------------------------- instance norm


def instance_norm_kernel(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Mean 0 and (biased) variance 1 over each image's channel, eps 1e-5; then times `weight`, plus `bias`, (C,) each.

    On the CPU as the group norm of as many groups as channels, whose kernel is three times as fast.
    """
    if _on_cpu(x):
        return F.group_norm(x, x.shape[1], weight, bias)
    return F.instance_norm(x, weight=weight, bias=bias)


def adaptive_instance_norm_kernel(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """scale * IN(x) + shift, with (B, C) of each."""
    if _on_cpu(x):  # every image's channels side by side, as channels of one image
        weight, bias = (each.flatten().to(x.dtype) for each in (scale, shift))
        return instance_norm_kernel(x.flatten(0, 1)[None], weight, bias).view_as(x)
    return scale[:, :, None, None] * instance_norm_kernel(x) + shift[:, :, None, None]


class InstanceNorm(nn.InstanceNorm2d):
    """`nn.InstanceNorm2d` without running statistics, by `instance_norm_kernel`."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same."""
        return instance_norm_kernel(x, self.weight, self.bias)


# ------------------------------------------------------------------------------------------------- resampling


def halve_kernel(x: Tensor) -> Tensor:
    """Means of 2x2 pixels: (B, C, H, W) -> (B, C, H/2, W/2), H and W even."""
    if not _on_cpu(x):
        return F.avg_pool2d(x, 2)
    upper, lower = x.unflatten(2, (-1, 2)).unbind(3)
    left, right = (upper + lower).unflatten(3, (-1, 2)).unbind(4)
    return (left + right) / 4


def conv_pool_kernel(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """avg_pool2d(convolution(x), 2) for a padded 3x3 `convolution`, H and W even.

    Pooling sums every 2x2 and keeps every other sum. Sums commute with the convolution, and so its kernel, of stride 2,
    may come after them: a quarter of the multiplications. On a GPU 4/9 of them, with both kernels in one.
    """
    weight, bias = convolution.weight / 4, convolution.bias
    if _on_cpu(x):
        return F.conv2d(_PaddedSums.apply(x), weight, bias, stride=2)
    return F.conv2d(x, widened_kernel(weight), bias, stride=2, padding=1)


def upsample_conv_kernel(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """convolution(x upsampled by 2, nearest) for a padded 3x3 `convolution`: `conv_pool_kernel` in reverse."""
    weight, bias = convolution.weight.flip(2, 3).transpose(0, 1), convolution.bias
    if _on_cpu(x):
        y = _Sums.apply(F.conv_transpose2d(x, weight, stride=2))  # (B, c_out, 2H + 1, 2W + 1), then 2H, 2W
        return y if bias is None else y + bias[:, None, None]
    return F.conv_transpose2d(x, widened_kernel(weight), bias, stride=2, padding=1)


def widened_kernel(weight: Tensor) -> Tensor:
    """A 3x3 kernel (.., 3, 3) convolved with a 2x2 kernel of ones: (.., 4, 4)."""
    pads = ((0, 1, 0, 1), (1, 0, 0, 1), (0, 1, 1, 0), (1, 0, 1, 0))
    return torch.stack([F.pad(weight, pad) for pad in pads]).sum(0)


def _sums(x: Tensor) -> Tensor:
    rows = x[:, :, 1:] + x[:, :, :-1]
    return rows[..., 1:] + rows[..., :-1]


class _Sums(Function):
    """Sums of every 2x2 neighbours, (B, C, H, W) -> (B, C, H - 1, W - 1).

    The gradient is `_PaddedSums` of the gradient; what autograd makes of the slices takes longer than the sums.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _sums(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _PaddedSums.apply(gradient)


class _PaddedSums(Function):
    """The same after padding by zeros, (B, C, H, W) -> (B, C, H + 1, W + 1): each is the other's transpose."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _sums(F.pad(x, (1, 1, 1, 1)))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Sums.apply(gradient)


# ------------------------------------------------------------------------------------------ one pixel of output


class WholeMapConv(nn.Conv2d):
    """A convolution without padding, its kernel as large as its input: a matrix product, and faster as one."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, k, k) -> (B, C', 1, 1). Raises RuntimeError for maps of another size."""
        return F.linear(x.flatten(1), self.weight.flatten(1), self.bias)[:, :, None, None]
