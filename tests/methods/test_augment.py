"""Augmentations: geometry against torchvision and closed forms, independence of the draws."""

from __future__ import annotations

import math

import pytest
import torch
from determined import numbers
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.functional import InterpolationMode, resize, resized_crop

from methods.parts.augment import crop_boxes, enlarge_and_crop, random_flip, random_resized_crop, resize_boxes


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_flip_mirrors_columns_of_about_half_of_the_images() -> None:
    images = numbers(1, 400, 3, 4, 4, dtype=torch.float32)
    flipped = random_flip(images, rng())
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    same = (flipped == images).flatten(1).all(1)
    assert torch.all(mirrored ^ same)
    assert 150 < mirrored.sum() < 250  # five standard deviations
    assert torch.equal(random_flip(images, rng(), probability=0.0), images)
    assert torch.equal(random_flip(images, rng(), probability=1.0), images.flip(3))


def test_enlarged_crop_is_a_window_of_the_bicubic_antialiased_image() -> None:
    images = numbers(1, 40, 3, 16, 16, dtype=torch.float32)
    crops = enlarge_and_crop(images, 286 / 256, rng())
    big = resize(images, [18, 18], InterpolationMode.BICUBIC, antialias=True).clamp(-1, 1)
    found = set()
    for crop, whole in zip(crops, big, strict=True):
        windows = {(i, j) for i in range(3) for j in range(3) if torch.equal(whole[:, i : i + 16, j : j + 16], crop)}
        assert len(windows) == 1
        found |= windows
    assert len(found) == 9  # each image has its own draw; all nine offsets occur among 40
    assert crops.abs().max() <= 1


def test_enlarging_by_one_changes_nothing_and_less_is_refused() -> None:
    images = numbers(1, 2, 3, 8, 8)
    assert torch.equal(enlarge_and_crop(images, 1.0, rng()), images)
    with pytest.raises(ValueError, match="at least 1"):
        enlarge_and_crop(images, 0.9, rng())


def test_boxes_lie_inside_and_follow_torchvisions_distribution() -> None:
    """Same candidates, rounding and fallback: mean height and width over 4,000 draws within 4 standard errors."""
    boxes = crop_boxes(4000, (64, 64), (0.8, 1.0), (0.9, 1.1), rng()).double()
    top, left, h, w = boxes.unbind(1)
    assert torch.all((top >= 0) & (left >= 0) & (top + h <= 64) & (left + w <= 64))
    assert boxes.unique(dim=0).shape[0] > 500
    torch.manual_seed(0)
    image = torch.zeros(3, 64, 64)
    expected = torch.tensor(
        [RandomResizedCrop.get_params(image, [0.8, 1.0], [0.9, 1.1]) for _ in range(4000)], dtype=torch.float64
    )
    error = 4 * math.sqrt(2 / 4000) * expected.std(0)
    assert torch.all((boxes.mean(0) - expected.mean(0)).abs() < error)


def test_boxes_that_never_fit_become_the_whole_image() -> None:
    boxes = crop_boxes(5, (16, 16), (1.0, 1.0), (2.0, 2.0), rng())
    assert torch.equal(boxes, torch.tensor([[0, 0, 16, 16]]).expand(5, 4))


def test_resized_boxes_equal_crop_then_bilinear_resize() -> None:
    """float64: what is outside the box must not leak in at its edge."""
    images = numbers(1, 6, 3, 32, 32)
    boxes = crop_boxes(6, (32, 32), (0.3, 1.0), (0.5, 2.0), rng(3))
    out = resize_boxes(images, boxes)
    for image, box, result in zip(images, boxes.tolist(), out, strict=True):
        expected = resized_crop(image, *box, [32, 32], InterpolationMode.BILINEAR, antialias=False)
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)


def test_random_resized_crop_takes_the_share_that_it_is_told() -> None:
    images = numbers(1, 400, 3, 16, 16, dtype=torch.float32)
    assert torch.equal(random_resized_crop(images, 0.0, rng()), images)
    changed = (random_resized_crop(images, 0.5, rng()) - images).abs().flatten(1).amax(1) > 1e-3
    assert 130 < changed.sum() < 230  # half, less the boxes that are the whole image
