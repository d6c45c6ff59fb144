"""SWD against a second computation with scipy's filters and distances, and what it sees."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve1d
from scipy.stats import wasserstein_distance

from metrics.sliced_wasserstein import DIRECTIONS, SEED, sliced_wasserstein

RNG = np.random.default_rng(0)
FILTER = np.array([1, 4, 6, 4, 1]) / 16


def textured(count: int, seed: int, side: int = 32) -> np.ndarray:
    """Coloured noise with some smoothness, uint8 (n, 3, side, side)."""
    rng = np.random.default_rng(seed)
    rough = rng.normal(size=(count, 3, side, side)) + rng.normal(size=(count, 3, 1, 1))
    smooth = convolve1d(convolve1d(rough, FILTER, axis=2), FILTER, axis=3)
    return (128 + 60 * smooth).clip(0, 255).astype(np.uint8)


def second_computation(x: np.ndarray, y: np.ndarray) -> float:
    """Image by image, patch by patch, direction by direction."""

    def blurred(image: np.ndarray) -> np.ndarray:
        return convolve1d(convolve1d(image, FILTER, axis=1, mode="mirror"), FILTER, axis=2, mode="mirror")

    def pyramid(image: np.ndarray) -> list[np.ndarray]:
        small = blurred(image)[:, ::2, ::2]
        spread = np.zeros_like(image)
        spread[:, ::2, ::2] = small
        return [image - 4 * blurred(spread), small]

    def patches(level: np.ndarray) -> list[np.ndarray]:
        places = np.round(np.arange(6) * (level.shape[1] - 7) / 5).astype(int)
        return [level[:, a : a + 7, b : b + 7] for a in places for b in places]

    rng, values = np.random.default_rng(SEED), []
    for level in (0, 1):
        sets = [np.array([p for image in one for p in patches(pyramid(image.astype(float))[level])]) for one in (x, y)]
        directions = rng.normal(size=(147, DIRECTIONS))
        distances = []
        for direction in (directions / np.sqrt((directions**2).sum(axis=0))).T:
            projected = []
            for one in sets:
                scaled = [(one[:, c] - sets[1][:, c].mean()) / sets[1][:, c].std() for c in range(3)]
                projected.append(np.stack(scaled, axis=1).reshape(len(one), -1) @ direction)
            distances.append(wasserstein_distance(*projected))
        values.append(np.mean(distances))
    return float(np.mean(values))


def test_it_equals_a_second_computation() -> None:
    x, y = textured(4, 1), textured(4, 2) // 2
    assert sliced_wasserstein(x, y) == pytest.approx(second_computation(x, y), rel=1e-4)


def test_equal_sets_order_and_number_of_images() -> None:
    x, y = textured(6, 1), textured(8, 2)
    assert sliced_wasserstein(x, x) == 0
    assert sliced_wasserstein(np.concatenate([x, x]), x) == pytest.approx(0, abs=1e-12)
    assert sliced_wasserstein(x[::-1], y[::-1]) == pytest.approx(sliced_wasserstein(x, y), rel=1e-9)
    assert sliced_wasserstein(x / 255, y / 255) == pytest.approx(sliced_wasserstein(x, y), rel=1e-4)


def test_it_sees_blur_noise_colour_and_mixtures() -> None:
    real, fake = textured(40, 1), textured(20, 2).astype(float)
    base = sliced_wasserstein(fake, real)
    blurred = convolve1d(convolve1d(fake, FILTER, axis=2), FILTER, axis=3)
    grey = np.repeat(fake.mean(axis=1, keepdims=True), 3, axis=1)
    for worse in (blurred, fake + RNG.normal(0, 25, fake.shape), grey, fake + 40, fake / 2):
        assert sliced_wasserstein(worse, real) > 1.5 * base
    mixed = [sliced_wasserstein(np.concatenate([fake[k:], blurred[:k]]), real) for k in (0, 5, 10, 20)]
    assert mixed == sorted(mixed)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (np.zeros((4, 3, 8, 8)), np.zeros((4, 3, 8, 8)), "images: .* at least 16 pixels wanted"),
        (textured(1, 0), textured(4, 1), "images: at least 2 images wanted, got 1"),
        (textured(4, 0), textured(4, 1, 64), "do not compare"),
        (textured(4, 0), np.full((4, 3, 32, 32), 7), "no scale to measure by"),
        (np.full((4, 3, 32, 32), np.nan), textured(4, 1), "NaN"),
    ],
)
def test_what_is_refused(x: np.ndarray, y: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sliced_wasserstein(x, y)
