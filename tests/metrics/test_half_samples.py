"""Half-sample intervals from shared products: equal to the general functions on every kind of features, and cheap."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from real_files import pacs, real_file
from test_frechet import trace_of

from metrics.frechet import frechet_distance
from metrics.kernel import kernel_distance
from metrics.statistics.half_samples import (
    frechet_interval,
    frechet_paired_difference,
    kernel_interval,
    kernel_paired_difference,
)
from metrics.statistics.intervals import ImageInterval, half_sample_interval, paired_difference

INTERVALS = [(frechet_interval, frechet_distance), (kernel_interval, kernel_distance)]
PAIRED = [(frechet_paired_difference, frechet_distance), (kernel_paired_difference, kernel_distance)]
IDS = ["frechet", "kernel"]
KINDS = ["full", "offset", "rank", "repeats", "heavy", "dead"]
# Halves below, at and above the width, or one below and one above; odd and even sizes; one set far larger
SIZES = [(30, 40, 7), (31, 41, 64), (9, 200, 17), (100, 60, 40), (60, 64, 30), (400, 13, 20), (4, 5, 2), (40, 44, 512)]


def features(rng: np.random.Generator, n: int, d: int, kind: str) -> np.ndarray:
    """(n, d) float32."""
    x = np.maximum(rng.standard_normal((n, d)), 0) * rng.uniform(0.1, 1, d)
    few = max(1, d // 4)
    if kind == "offset":
        x += 30
    elif kind == "rank":
        x = rng.standard_normal((n, few)) @ rng.standard_normal((few, d))
    elif kind == "repeats":
        x = x[np.arange(n) % max(2, n // 4)]
    elif kind == "heavy":  # a half with the largest vector and one without it have means far apart
        x = rng.standard_t(1.5, (n, d))
    elif kind == "dead":  # units that a network never uses: covariances of lower rank than the width
        x[:, : d // 2] = 0
    return x.astype(np.float32)


def assert_equal(one: ImageInterval, other: ImageInterval) -> None:
    assert (one.value, one.deviation) == pytest.approx((other.value, other.deviation), rel=1e-9)
    assert (one.n, one.m, one.repeats) == (other.n, other.m, other.repeats)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "m", "d"), SIZES)
def test_equals_the_general_functions(n: int, m: int, d: int, kind: str) -> None:
    rng = np.random.default_rng([n, m, d])
    x, y = features(rng, n, d, kind), 1.25 * features(rng, m, d, kind) + np.float32(0.125)
    other = x + 0.3 * features(rng, n, d, "full")
    for special, statistic in INTERVALS:
        assert_equal(special(x, y, 10, 3), half_sample_interval(statistic, x, y, 10, 3))
    for special, statistic in PAIRED:
        assert_equal(special(x, other, y, 10, 3), paired_difference(statistic, x, other, y, 10, 3))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m", "d"), [(500, 600, 2048), (1100, 900, 400)])
def test_equals_the_general_functions_at_working_sizes(n: int, m: int, d: int) -> None:
    rng = np.random.default_rng([n, m, d])
    x, other, y = (features(rng, count, d, "full") + np.float32(shift) for count, shift in ((n, 0), (n, 0.1), (m, 0.2)))
    for special, statistic in INTERVALS:
        assert_equal(special(x, y, 10), half_sample_interval(statistic, x, y, 10))
    for special, statistic in PAIRED:
        assert_equal(special(x, other, y, 10), paired_difference(statistic, x, other, y, 10))


def test_equals_the_general_functions_on_real_images() -> None:
    """Pixels of photographs and sketches: halves of 60 and 40, below and above the widths of 192 and 12."""
    photos, sketches = pacs(real_file("datasets/pacs/photo"), 120, 8), pacs(real_file("datasets/pacs/sketch"), 80, 8)
    for step in (1, 4):
        x, y = (images[:, :, ::step, ::step].reshape(len(images), -1) / 255 for images in (sketches, photos))
        for special, statistic in INTERVALS:
            assert_equal(special(x, y, 20), half_sample_interval(statistic, x, y, 20))


@pytest.mark.parametrize(("n", "d"), [(40, 6), (40, 100)])
def test_identical_sets(n: int, d: int) -> None:
    """A distance of 0 on the full sets; and two methods that are one have a difference of 0 in every half."""
    x = features(np.random.default_rng(1), n, d, "full")
    interval = frechet_interval(x, x[::-1], 10)
    assert interval.value <= 1e-13 * trace_of(x)
    assert interval.deviation > 0  # two different halves of the set
    for special, _ in PAIRED:
        difference = special(x, x, x[: n // 2], 10)
        assert (difference.value, difference.deviation) == (0, 0)


def test_constant_features() -> None:
    x, y = np.full((12, 5), 0.1), np.full((9, 5), 0.3)
    interval = frechet_interval(x, y, 10)
    assert (interval.value, interval.deviation) == pytest.approx((5 * 0.04, 0), rel=1e-12, abs=1e-15)
    kernel = kernel_interval(x, y, 10)
    assert (kernel.value, kernel.deviation) == pytest.approx((kernel_distance(x, y), 0), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(("special", "statistic"), PAIRED, ids=IDS)
def test_exchanging_the_methods_changes_the_sign_only(special: Callable[..., ImageInterval], statistic: object) -> None:
    rng = np.random.default_rng(2)
    a, b, y = (features(rng, n, 20, "full") for n in (30, 30, 25))
    one, two = special(a, b, y, 10), special(b, a, y, 10)
    assert (two.value, two.deviation) == (-one.value, one.deviation)


@pytest.mark.parametrize("d", [10, 50])
def test_order_and_dtype_change_no_bit(d: int) -> None:
    rng = np.random.default_rng(3)
    a, b, y = (features(rng, n, d, "full") for n in (41, 41, 30))
    p, q = rng.permutation(41), rng.permutation(30)
    for (special, _), (paired, _) in zip(INTERVALS, PAIRED, strict=True):
        assert special(a[p], y[q].astype(np.float64), 8) == special(a, y, 8)
        assert paired(a[p], b[p], y[q], 8) == paired(a, b, y, 8)
        assert special(a, y, 8, seed=1).deviation != special(a, y, 8, seed=2).deviation


@pytest.mark.parametrize("block", [1, 7, 30, 1000])
def test_block_does_not_matter(block: int) -> None:
    rng = np.random.default_rng(4)
    a, b, y = (features(rng, n, 12, "full") for n in (30, 30, 25))
    assert_equal(kernel_interval(a, y, 8, block=block), kernel_interval(a, y, 8))
    assert_equal(kernel_paired_difference(a, b, y, 8, block=block), kernel_paired_difference(a, b, y, 8))


def test_memory_of_kernel_values_is_bounded_by_the_block() -> None:
    """1,500 vectors: no matrix of 1,500 x 1,500 (18 MB), only blocks of 100 x 100 and 20 x 3,000 indicators."""
    x, y = np.random.default_rng(5).standard_normal((2, 1500, 8))
    tracemalloc.start()
    try:
        kernel_interval(x, y, 20, block=100)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * (x.nbytes + y.nbytes) + 4 * 20 * 3000 * 8 + 3 * 100 * 100 * 8


def test_the_defaults_are_100_halves_of_seed_0() -> None:
    """They stand in every record of a metric: another default would be another protocol."""
    rng = np.random.default_rng(6)
    a, b, y = (features(rng, n, 3, "full") for n in (12, 12, 10))
    for special, statistic in INTERVALS:
        assert special(a, y) == special(a, y, 100, 0)
        assert half_sample_interval(statistic, a, y) == half_sample_interval(statistic, a, y, 100, 0)
    for special, statistic in PAIRED:
        assert special(a, b, y) == special(a, b, y, 100, 0)
        assert paired_difference(statistic, a, b, y) == paired_difference(statistic, a, b, y, 100, 0)


X = np.arange(12.0).reshape(6, 2)


@pytest.mark.parametrize("special", [frechet_interval, kernel_interval], ids=IDS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": X[:3]}, "x: at least 4 rows wanted, got 3"),
        ({"x": X[:1]}, "x: at least 2 feature vectors wanted, got 1"),
        ({"y": X[:3]}, "y: at least 4 rows wanted, got 3"),
        ({"y": X[:, :1]}, "features of equal width wanted, got 2 and 1"),
        ({"y": X * np.nan}, "y: 12 of 12 values are NaN"),
        ({"x": X * 1e120}, "x: features of at most 1e"),
        ({"repeats": 1}, "repeats: a whole number >= 2"),
        ({"seed": -1}, "seed: a whole number >= 0"),
    ],
)
def test_bad_input_is_named(special: Callable[..., Any], change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        special(**({"x": X, "y": X} | change))


@pytest.mark.parametrize("special", [frechet_paired_difference, kernel_paired_difference], ids=IDS)
def test_bad_input_of_pairs_is_named(special: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="rows of the same sources wanted, got 6 and 5"):
        special(X, X[:5], X)
    with pytest.raises(ValueError, match=r"features of equal width wanted, got \[2, 1, 2\]"):
        special(X, X[:, :1], X)
    with pytest.raises(ValueError, match="x_b: 12 of 12 values are NaN"):
        special(X, X * np.nan, X)
    with pytest.raises(ValueError, match="y: features of at most 1e"):
        special(X, X, X * 1e120)


def test_block_of_nothing() -> None:
    with pytest.raises(ValueError, match="block: a whole number >= 1 wanted, got 0"):
        kernel_interval(X, X, block=0)
