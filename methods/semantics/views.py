"""Two looks at one image: the colour and blur part of MoCo-v2's augmentation, batched, an own draw for each image.

Images are float (B, 3, H, W) in [-1, 1] in and out, as in `methods.parts.augment`; all numbers come from the CPU
generator that is passed in, and the amount drawn does not depend on the outcome.

Colour jitter is one affine map per image. Brightness and contrast scale, saturation scales the distance to grey, hue
turns about the grey axis of YIQ space; saturation and hue leave the luma as it is. Without clamping in between, these
maps commute, so that no order has to be drawn (torchvision clamps after each, and turns the hue in HSV space).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from methods.parts.augment import draw_uniform

LUMA = (0.299, 0.587, 0.114)
RGB_TO_YIQ = torch.tensor([LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)], dtype=torch.float64)
BLUR_REFERENCE = 224
"""Side of the images for which `random_view_blur` takes sigma in pixels."""


def _around_one(spread: float, count: int, rng: torch.Generator) -> Tensor:
    """Factors uniform in [max(0, 1 - spread), 1 + spread), as torchvision's ColorJitter draws them."""
    return draw_uniform(max(0.0, 1 - spread), 1 + spread, (count,), rng)


def _hue_turn(angle: Tensor) -> Tensor:
    """(B,) in radians -> (B, 3, 3): turns RGB about the grey axis; keeps the luma."""
    turn = torch.zeros(len(angle), 3, 3, dtype=torch.float64)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
    turn[:, 2, 1] = angle.sin()
    turn[:, 1, 2] = -angle.sin()
    return RGB_TO_YIQ.inverse() @ turn @ RGB_TO_YIQ


def random_view_colours(
    images: Tensor,
    rng: torch.Generator,
    probability: float,
    strengths: tuple[float, float, float, float],
    grey_probability: float,
) -> Tensor:
    """Change brightness, contrast, saturation and hue with `probability`; then, with its own, make grey.

    `strengths`: spread of the three factors about 1, and of the hue about 0 in turns. Clamped to [-1, 1].
    """
    count = len(images)
    jittered = torch.rand(count, generator=rng) < probability
    brightness, contrast, saturation = (_around_one(spread, count, rng) for spread in strengths[:3])
    hue = draw_uniform(-strengths[3], strengths[3], (count,), rng) * 2 * math.pi
    grey = torch.rand(count, generator=rng) < grey_probability
    one = torch.ones(count, dtype=torch.float64)
    brightness, contrast = (torch.where(jittered, value, one) for value in (brightness, contrast))
    saturation = torch.where(grey, 0 * one, torch.where(jittered, saturation, one))
    turn = _hue_turn(torch.where(jittered, hue, 0 * one))
    to_luma = torch.tensor(LUMA, dtype=torch.float64).expand(3, 3)
    colours = to_luma + saturation[:, None, None] * (turn - to_luma)  # (B, 3, 3); to_luma @ turn == to_luma

    def column(values: Tensor) -> Tensor:
        """(B,) -> (B, 1, 1, 1) like the images."""
        return values.to(images.device, images.dtype)[:, None, None, None]

    unit = (images + 1) / 2  # [0, 1]: brightness scales towards black
    mixed = torch.einsum("bij,bjhw->bihw", colours.to(images.device, images.dtype), unit)
    luma = torch.einsum("j,bjhw->bhw", to_luma[0].to(images.device, images.dtype), unit).mean(dim=(1, 2))
    pivot = (1 - column(contrast)) * luma[:, None, None, None]
    return (column(brightness) * (column(contrast) * mixed + pivot)).clamp(0, 1) * 2 - 1


def random_view_blur(images: Tensor, rng: torch.Generator, probability: float, sigma: tuple[float, float]) -> Tensor:
    """Gaussian blur, with `probability`; standard deviation uniform in `sigma`, in pixels of a 224-pixel image.

    It is scaled with the images' height, so that a small image is not blurred to nothing. Borders are replicated.
    """
    count, _, height, _ = images.shape
    blurred = torch.rand(count, generator=rng) < probability
    widths = draw_uniform(*sigma, (count,), rng) * height / BLUR_REFERENCE
    radius = max(1, math.ceil(3 * sigma[1] * height / BLUR_REFERENCE))
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / widths.clamp_min(1e-3)[:, None]) ** 2)
    kernel = torch.where(blurred[:, None], kernel, (offsets == 0).double())
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).to(images.device, images.dtype)  # (B, 2 radius + 1)
    for axis in (2, 3):
        position = torch.arange(images.shape[axis], device=images.device)
        images = sum(
            (
                kernel[:, tap, None, None, None]
                * images.index_select(axis, (position + tap - radius).clamp(0, images.shape[axis] - 1))
                for tap in range(2 * radius + 1)
            ),
            start=torch.zeros_like(images),
        )
    return images
