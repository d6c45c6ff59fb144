"""Sliced Wasserstein distance of image patches at several scales (Karras et al., ICLR 2018, section 5): no network.

Images become Laplacian pyramids: what each halving of the size loses, and the smallest image, 16 to 31 px wide. Of
every level, 7 x 7 patches of all images are points in 147 dimensions (three channels). Two sets of points are compared
along random directions: on each, the mean distance of the sorted projections, which is the one-dimensional Wasserstein
distance. The value is the mean over directions and levels, in standard deviations of the real patches. Fine levels see
blur, noise and artefacts, the coarse one colours and large shapes. Whole images, and what they show, it does not see.

Deliberate differences from the paper:

- Patches are normalised per channel and level by mean and standard deviation of the *reference*, not of each set by its
  own: else a set that is too dark or too pale would be as good as another.
- Patches stand on a grid of 6 x 6 places, the same for all images, and not at 128 random ones: nothing is drawn per
  image, so neither order nor number of images matters.
- 128 directions, from a fixed seed; not multiplied by 1,000. Sets of unequal size are compared at equal quantiles, as
  many as the smaller set has points.
"""

from __future__ import annotations

import numpy as np

from metrics.parts.input_checks import checked_samples

PATCH = 7
PLACES = 6
"""Patches along each side of a level, evenly spread."""
SMALLEST = 16
"""A level is halved while half of it has so many pixels."""
DIRECTIONS = 128
SEED = 0
KERNEL = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
"""Binomial filter of Burt and Adelson's pyramid."""


def sliced_wasserstein(images: np.ndarray, reference: np.ndarray) -> float:
    """The distance of `images` (n, 3, H, W) from `reference` (m, 3, H, W), uint8 or real numbers of one scale.

    0 for equal sets; small and positive between sets of real images. ValueError for images that are not real and finite
    or smaller than 16 pixels, shapes that differ, fewer than 2 on a side, and a reference of one colour.
    """
    sets = [checked_samples(images, "images"), checked_samples(reference, "reference")]
    for name, one in zip(("images", "reference"), sets, strict=True):
        if one.ndim != 4 or one.shape[1] != 3 or min(one.shape[2:]) < SMALLEST:
            raise ValueError(f"{name}: (n, 3, H, W) of at least {SMALLEST} pixels wanted, got {one.shape}")
        if len(one) < 2:
            raise ValueError(f"{name}: at least 2 images wanted, got {len(one)}")
    if sets[0].shape[1:] != sets[1].shape[1:]:
        raise ValueError(f"images of {sets[0].shape[1:]} and a reference of {sets[1].shape[1:]} do not compare")
    rng = np.random.default_rng(SEED)
    levels = zip(*(_patches_by_level(one) for one in sets), strict=True)
    return float(np.mean([_distance(x, y, rng) for x, y in levels]))


def _patches_by_level(images: np.ndarray) -> list[np.ndarray]:
    """Per level, finest first, float32 (n, 36, 3, 49): patches of the pyramid."""
    parts = [_pyramid(images[start : start + 64].astype(np.float32)) for start in range(0, len(images), 64)]
    return [np.concatenate([_patches(part[level]) for part in parts]) for level in range(len(parts[0]))]


def _pyramid(images: np.ndarray) -> list[np.ndarray]:
    """Laplacian pyramid of (n, 3, H, W)."""
    levels = []
    while min(images.shape[2:]) // 2 >= SMALLEST:
        smaller = _blurred(images)[:, :, ::2, ::2]
        levels.append(images - _enlarged(smaller, images.shape[2:]))
        images = smaller
    return [*levels, images]


def _blurred(images: np.ndarray) -> np.ndarray:
    """Filtered along both axes; borders mirrored."""
    for axis in (2, 3):
        size = images.shape[axis]
        padded = np.pad(images, [(2, 2) if a == axis else (0, 0) for a in range(4)], mode="reflect")
        parts = [weight * padded.take(range(k, k + size), axis) for k, weight in enumerate(KERNEL.astype(np.float32))]
        images = np.asarray(np.sum(parts, axis=0, dtype=np.float32))
    return images


def _enlarged(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """To `shape`: zeros between the pixels, filtered, times 4."""
    spread = np.zeros((*images.shape[:2], *shape), np.float32)
    spread[:, :, ::2, ::2] = images
    return 4 * _blurred(spread)


def _patches(level: np.ndarray) -> np.ndarray:
    """(n, 36, 3, 49) of (n, 3, H, W)."""
    rows, columns = (np.linspace(0, side - PATCH, PLACES).round().astype(int) for side in level.shape[2:])
    cut = [level[:, :, y : y + PATCH, x : x + PATCH] for y in rows for x in columns]
    return np.stack(cut, axis=1).reshape(len(level), len(cut), 3, PATCH * PATCH)


def _distance(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> float:
    """Mean over random directions of the one-dimensional distance of two sets of patches."""
    centre = y.mean(axis=(0, 1, 3), keepdims=True, dtype=np.float64)
    spread = y.std(axis=(0, 1, 3), keepdims=True, dtype=np.float64)
    if not spread.all():
        raise ValueError("reference: a channel of one value in all patches has no scale to measure by")
    directions = rng.normal(size=(3 * PATCH * PATCH, DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    sorted_sets = []
    for patches in (x, y):
        points = ((patches - centre) / spread).reshape(-1, 3 * PATCH * PATCH)
        sorted_sets.append(np.sort(points @ directions, axis=0))
    count = min(map(len, sorted_sets))
    middle = (np.arange(count) + 0.5) / count
    first, second = (rows[(middle * len(rows)).astype(int)] for rows in sorted_sets)
    return float(np.abs(first - second).mean())
