"""Building blocks and initialisations that several methods share.

The residual blocks, the AdaIN and the discriminator trunk are those of StarGAN v2 (Choi et al. 2020, appendix), which
CatS-UDT took over. Attribute names equal the keys of the original checkpoints, so that these load as they are.
Feature maps are (B, C, H, W).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.parts.kernels import (
    InstanceNorm,
    WholeMapConv,
    adaptive_instance_norm_kernel,
    conv_pool_kernel,
    halve_kernel,
    upsample_conv_kernel,
)

SLOPE = 0.2
"""Negative slope of every leaky ReLU here."""


class DownBlock(nn.Module):
    """Residual block (B, c_in, H, W) -> (B, c_out, H/2, W/2), or H, W without `down`.

    The first convolution keeps `c_in` channels; so both norms have `c_in`. The original shortcut is 1x1 first, then
    pooling. The two commute (linear, no bias), and the other order is four times cheaper.
    """

    def __init__(self, c_in: int, c_out: int, *, normalise: bool = False, down: bool = False) -> None:
        super().__init__()
        self.down = down
        self.conv1 = nn.Conv2d(c_in, c_in, 3, padding=1)
        self.conv2 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.norm1 = InstanceNorm(c_in, affine=True) if normalise else nn.Identity()
        self.norm2 = InstanceNorm(c_in, affine=True) if normalise else nn.Identity()
        self.conv1x1 = nn.Conv2d(c_in, c_out, 1, bias=False) if c_in != c_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(shortcut + residual) / sqrt(2), so that the variance does not grow with depth."""
        residual = F.leaky_relu(self.norm1(x), SLOPE)
        if self.down:
            residual, x = conv_pool_kernel(self.conv1, residual), halve_kernel(x)  # (B, c_in, H/2, W/2) both
        else:
            residual = self.conv1(residual)
        residual = self.conv2(F.leaky_relu(self.norm2(residual), SLOPE))  # (B, c_out, H', W')
        return (self.conv1x1(x) + residual) / math.sqrt(2)


class AdaIN(nn.Module):
    """Adaptive instance norm: (1 + gamma) * IN(x) + beta, with gamma and beta linear in the style."""

    def __init__(self, style_dim: int, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(style_dim, 2 * channels)

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        """`x` (B, C, H, W), `s` (B, style_dim) -> (B, C, H, W)."""
        gamma, beta = self.fc(s).chunk(2, dim=1)  # (B, C) each; the first half is gamma
        return adaptive_instance_norm_kernel(x, 1 + gamma, beta)


class UpBlock(nn.Module):
    """Styled residual block (B, c_in, H, W) -> (B, c_out, 2H, 2W), or H, W without `up`.

    The first convolution already goes to `c_out` (unlike `DownBlock`). The original shortcut is upsampling first, then
    1x1. The two commute, and the other order is four times cheaper.
    """

    def __init__(self, c_in: int, c_out: int, style_dim: int, *, up: bool = False) -> None:
        super().__init__()
        self.up = up
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.norm1 = AdaIN(style_dim, c_in)
        self.norm2 = AdaIN(style_dim, c_out)
        self.conv1x1 = nn.Conv2d(c_in, c_out, 1, bias=False) if c_in != c_out else nn.Identity()

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        """`x` (B, c_in, H, W), `s` (B, style_dim) -> (shortcut + residual) / sqrt(2)."""
        residual = F.leaky_relu(self.norm1(x, s), SLOPE)
        residual = upsample_conv_kernel(self.conv1, residual) if self.up else self.conv1(residual)  # (B, c_out, H', W')
        residual = self.conv2(F.leaky_relu(self.norm2(residual, s), SLOPE))
        shortcut = self.conv1x1(x)
        if self.up:
            shortcut = F.interpolate(shortcut, scale_factor=2, mode="nearest")
        return (shortcut + residual) / math.sqrt(2)


def layer_widths(first: int, cap: int, steps: int) -> list[int]:
    """Channels before and after each of `steps` down-samplings: doubled, up to `cap`. `first` itself is not capped."""
    widths = [first]
    for _ in range(steps):
        widths.append(min(2 * widths[-1], cap))
    return widths


def trunk_layers(image_size: int, first: int, cap: int) -> tuple[list[nn.Module], int]:
    """Layers (B, 3, S, S) -> (B, C, 1, 1) without normalisation, and C. `image_size` S: a power of two, at least 8.

    3x3 convolution, down blocks to 4x4, leaky ReLU, unpadded 4x4 convolution, leaky ReLU.
    """
    steps = int(math.log2(image_size)) - 2
    widths = layer_widths(first, cap, steps)
    layers: list[nn.Module] = [nn.Conv2d(3, first, 3, padding=1)]
    layers += [DownBlock(widths[i], widths[i + 1], down=True) for i in range(steps)]
    layers += [nn.LeakyReLU(SLOPE), WholeMapConv(widths[-1], widths[-1], 4), nn.LeakyReLU(SLOPE)]
    return layers, widths[-1]


def pick_layer(outputs: Tensor, index: Tensor) -> Tensor:
    """Row i of the result is `outputs[i, index[i]]`: (B, K, ...), int64 (B,) -> (B, ...)."""
    return outputs[torch.arange(len(index), device=index.device), index]


def pooled_layer(features: Tensor) -> Tensor:
    """Feature maps (B, R, h, w) averaged to (B, R); vectors as they are."""
    return features.mean(dim=(2, 3)) if features.ndim == 4 else features


def he_init_layer(module: nn.Module) -> None:
    """Initialise, for `apply`, convolutions and linear layers: Kaiming normal (fan_in, gain sqrt(2)), zero biases."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def normal_init_layer(module: nn.Module) -> None:
    """Initialise, for `apply`: Normal(0, 0.02) weights, zero biases, in (transposed) convolutions."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@torch.no_grad()
def truncated_normal_(weight: Tensor, std: float) -> None:
    """Fill `weight` with Normal(0, std) cut off at two standard deviations: what lies beyond is drawn anew.

    Not torch's `trunc_normal_`, which draws other numbers in each version of torch (before 2.14 from uniform ones).
    """
    if weight.is_meta:  # counted, never trained
        return
    limit = float(weight.new_tensor(2 * std, device="cpu"))  # as the weights' type rounds it
    weight.normal_(0.0, std)
    while (beyond := weight.abs() > limit).any():
        weight.copy_(torch.where(beyond, torch.empty_like(weight).normal_(0.0, std), weight))
