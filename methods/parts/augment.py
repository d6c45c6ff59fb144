"""Augmentations on the device, with an independent draw for each image of a batch.

Images are float (B, 3, H, W) in [-1, 1] in and out. All numbers come from the CPU generator that is passed in, so they
are the same whatever the device; the amount drawn does not depend on the outcome.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

TRIES = 10
"""Candidates that `random_resized_crop` draws per image, as torchvision's does, before it takes the whole image."""


def draw_uniform(low: float, high: float, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """float64 on the CPU, uniform in [low, high)."""
    return low + (high - low) * torch.rand(shape, generator=rng, dtype=torch.float64)


def random_flip(images: Tensor, rng: torch.Generator, probability: float = 0.5) -> Tensor:
    """Each image mirrored left to right with `probability`."""
    flipped = torch.rand(len(images), generator=rng) < probability
    return torch.where(flipped.to(images.device)[:, None, None, None], images.flip(-1), images)


def enlarge_and_crop(images: Tensor, factor: float, rng: torch.Generator) -> Tensor:
    """Bicubic (antialiased) resize to round(factor * size), then a uniformly random crop of the original size.

    The overshoot of the bicubic kernel is clamped, as an 8-bit image would. `factor` < 1 raises ValueError.
    """
    if factor < 1:
        raise ValueError(f"factor must be at least 1, got {factor}")
    count, _, height, width = images.shape
    larger = (round(factor * height), round(factor * width))
    top = torch.randint(larger[0] - height + 1, (count, 1), generator=rng)
    left = torch.randint(larger[1] - width + 1, (count, 1), generator=rng)
    if larger == (height, width):
        return images
    big = F.interpolate(images, size=larger, mode="bicubic", antialias=True, align_corners=False).clamp_(-1.0, 1.0)
    rows = (top + torch.arange(height)).to(images.device)[:, None, :, None]  # (B, 1, H, 1)
    columns = (left + torch.arange(width)).to(images.device)[:, None, None, :]  # (B, 1, 1, W)
    item = torch.arange(count, device=images.device)[:, None, None, None]
    channel = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    return big[item, channel, rows, columns]


def crop_boxes(
    count: int,
    size: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float],
    rng: torch.Generator,
) -> Tensor:
    """Boxes (count, 4) of top, left, height, width in pixels, int64, inside an image of `size` (H, W).

    Area uniform in `scale` times the image's, aspect ratio w/h log-uniform in `ratio`, position uniform; the first of
    `TRIES` candidates that fits, else the whole image (the image's own ratio is taken to lie inside `ratio`).
    """
    height, width = size
    area = draw_uniform(*scale, (count, TRIES), rng) * height * width
    aspect = draw_uniform(math.log(ratio[0]), math.log(ratio[1]), (count, TRIES), rng).exp()
    h, w = (area / aspect).sqrt().round(), (area * aspect).sqrt().round()
    fits = (h >= 1) & (h <= height) & (w >= 1) & (w <= width)
    first = fits.int().argmax(dim=1, keepdim=True)  # argmax gives the first of equal values
    any_fits = fits.any(dim=1)
    h = torch.where(any_fits, h.gather(1, first)[:, 0], height)
    w = torch.where(any_fits, w.gather(1, first)[:, 0], width)
    top = (draw_uniform(0, 1, (count,), rng) * (height - h + 1)).floor()
    left = (draw_uniform(0, 1, (count,), rng) * (width - w + 1)).floor()
    return torch.stack([top, left, h, w], dim=1).long()


def resize_boxes(images: Tensor, boxes: Tensor) -> Tensor:
    """Each image's box (`crop_boxes`) cut out and resized bilinearly to the image's full size."""
    _, _, height, width = images.shape
    top, left, h, w = boxes.to(images.device, images.dtype).unbind(1)

    def source(length: int, start: Tensor, extent: Tensor) -> Tensor:
        """(B, length) pixel coordinates; clamped to the box, so that nothing outside it is read."""
        centre = torch.arange(length, device=images.device, dtype=images.dtype) + 0.5
        inside = centre * extent[:, None] / length - 0.5
        return start[:, None] + torch.minimum(inside.clamp_min(0), extent[:, None] - 1)

    y = (2 * source(height, top, h) + 1) / height - 1  # grid_sample's coordinates: -1, 1 are the image's edges
    x = (2 * source(width, left, w) + 1) / width - 1
    grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), dim=-1)  # (B, H, W, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def random_resized_crop(
    images: Tensor,
    probability: float,
    rng: torch.Generator,
    scale: tuple[float, float] = (0.8, 1.0),
    ratio: tuple[float, float] = (0.9, 1.1),
) -> Tensor:
    """Random box of each image (see `crop_boxes`), with `probability`, resized bilinearly to the image's size."""
    count, _, height, width = images.shape
    taken = torch.rand(count, generator=rng) < probability
    cropped = resize_boxes(images, crop_boxes(count, (height, width), scale, ratio, rng))
    return torch.where(taken.to(images.device)[:, None, None, None], cropped, images)
