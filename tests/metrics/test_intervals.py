"""Intervals over images and seeds, and paired differences: closed forms, coverage on Gaussians, bad input."""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import FrozenInstanceError
from itertools import combinations

import numpy as np
import pytest

from metrics.frechet import frechet_distance
from metrics.parts.row_order import content_order, row_keys
from metrics.statistics.intervals import (
    SeedInterval,
    half_sample_deviation,
    half_sample_interval,
    mean_interval,
    paired_difference,
    paired_mean_difference,
    seed_interval,
    seed_intervals,
)


def mean_gap(x: np.ndarray, y: np.ndarray) -> float:
    """A statistic whose deviation is known: sqrt(S_x²/n + S_y²/m)."""
    return float(x.mean() - y.mean())


def known_deviation(x: np.ndarray, y: np.ndarray) -> float:
    return math.sqrt(x.var(ddof=1) / len(x) + y.var(ddof=1) / len(y))


@pytest.mark.parametrize(("n", "m"), [(40, 100), (7, 7), (15, 15), (5, 400)])
def test_deviation_of_a_mean_is_the_known_one(n: int, m: int) -> None:
    """6000 repeats know it to 0.9 %; without the factor, odd n = 7 would be off by 15 %."""
    rng = np.random.default_rng(n)
    x, y = rng.standard_normal(n), 3 + rng.standard_normal(m)
    x, y = x / x.std(ddof=1), y / y.std(ddof=1)
    assert half_sample_deviation(mean_gap, x, y, repeats=6000) == pytest.approx(known_deviation(x, y), rel=0.03)


def test_variance_over_all_halves_is_that_of_the_mean() -> None:
    """The factor 1 itself, without any drawing: every half of 10 numbers, and of 9 with the factor for odd n."""
    numbers = np.random.default_rng(1).standard_normal(10)
    halves = [np.mean(half) for half in combinations(numbers, 5)]
    assert np.var(halves) == pytest.approx(numbers.var(ddof=1) / 10, rel=1e-12)
    odd = [np.mean(half) for half in combinations(numbers[:9], 4)]
    factor = (2 / 9) / (2 * (1 / 4 - 1 / 9))
    assert np.var(odd) * factor == pytest.approx(numbers[:9].var(ddof=1) / 9, rel=1e-12)


def test_interval_is_around_the_estimate_on_the_full_sets() -> None:
    """A statistic that is larger on fewer rows, as a Fréchet distance is: its halves lie elsewhere."""
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((60, 20)), rng.standard_normal((50, 20))
    interval = half_sample_interval(frechet_distance, x, y, repeats=50)
    assert interval.value == pytest.approx(frechet_distance(x, y), rel=1e-12)
    assert interval.low == interval.value - 1.96 * interval.deviation
    assert interval.high == interval.value + 1.96 * interval.deviation
    assert (interval.n, interval.m, interval.repeats) == (60, 50, 50)
    assert interval.deviation == half_sample_deviation(frechet_distance, x, y, repeats=50)
    assert interval.high < frechet_distance(x[:30], y[:25])  # the bias of halves is not in it
    with pytest.raises(FrozenInstanceError):
        interval.value = 0.0  # type: ignore[misc]


def test_coverage_of_a_known_difference() -> None:
    """95 % within +- 3.5 standard errors of 400 trials; intervals 1/sqrt(2) as wide would hold 83 %."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        interval = half_sample_interval(mean_gap, rng.normal(1, 2, 40), rng.normal(0, 1, 31), repeats=60)
        held += interval.low <= 1 <= interval.high
    assert 0.91 <= held / 400 <= 0.985


def test_coverage_of_a_frechet_distance_at_this_n() -> None:
    """A fresh pair of sets lies within 1.96 sqrt(2) deviations in about 95 % of 150 trials."""
    rng = np.random.default_rng(4)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        return rng.standard_normal((60, 5)) + 1, rng.standard_normal((60, 5)) * 1.5

    held = 0
    for _ in range(150):
        interval, fresh = half_sample_interval(frechet_distance, *draw(), repeats=40), frechet_distance(*draw())
        held += abs(fresh - interval.value) <= 1.96 * math.sqrt(2) * interval.deviation
    assert 0.88 <= held / 150 <= 0.995


def test_what_both_methods_share_cancels_in_a_paired_difference() -> None:
    """b is a, a constant, and little noise: the difference is that of the constants, however much a itself varies."""
    rng = np.random.default_rng(5)
    a, y = 10 * rng.standard_normal(80), rng.standard_normal(50)
    b = a - 0.5 + 0.1 * rng.standard_normal(80)
    difference = paired_difference(mean_gap, a, b, y, repeats=3000)
    assert difference.value == pytest.approx((a - b).mean(), rel=1e-9)
    assert difference.deviation == pytest.approx((a - b).std(ddof=1) / math.sqrt(80), rel=0.06)
    assert (difference.n, difference.m) == (80, 50)
    assert half_sample_deviation(mean_gap, a, y, repeats=300) > 50 * difference.deviation


def test_exchanging_the_methods_changes_the_sign_only() -> None:
    rng = np.random.default_rng(6)
    a, b, y = rng.standard_normal((30, 3)), rng.standard_normal((30, 3)) + 1, rng.standard_normal((40, 3))
    one, two = (paired_difference(frechet_distance, *pair, y, repeats=20) for pair in ((a, b), (b, a)))
    assert (two.value, two.deviation) == pytest.approx((-one.value, one.deviation), rel=1e-12)
    assert paired_difference(frechet_distance, a, a, y, repeats=20).deviation == 0


def test_coverage_of_a_paired_difference() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(300):
        sources = rng.normal(0, 3, 30)
        a, b = sources + rng.normal(0.2, 0.5, 30), sources + rng.normal(0, 0.5, 30)
        difference = paired_difference(mean_gap, a, b, rng.standard_normal(20), repeats=60)
        held += difference.low <= 0.2 <= difference.high
    assert 0.90 <= held / 300 <= 0.985


def test_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(8)
    a, b, y = rng.standard_normal((41, 4)), rng.standard_normal((41, 4)), rng.standard_normal((30, 4))
    p, q = rng.permutation(41), rng.permutation(30)
    assert half_sample_interval(frechet_distance, a[p], y[q], 20) == half_sample_interval(frechet_distance, a, y, 20)
    paired = [paired_difference(frechet_distance, *sets, repeats=20) for sets in ((a, b, y), (a[p], b[p], y[q]))]
    assert paired[0] == paired[1]
    assert half_sample_deviation(mean_gap, a, y, 20, seed=1) != half_sample_deviation(mean_gap, a, y, 20, seed=2)


def test_keys_follow_from_values_and_not_from_their_type() -> None:
    rows = np.array([[1, 0], [0, 2], [1, 0]])
    keys = row_keys(rows)
    assert keys[0] == keys[2] != keys[1]
    assert keys == row_keys(rows.astype(np.uint8)) == row_keys(rows.astype(np.float32)) == row_keys(rows * -1.0 * -1.0)
    assert row_keys(np.array([0.0, 1.0])) == row_keys(np.array([-0.0, 1.0]))
    assert np.array_equal(rows[content_order(keys)], rows[::-1][content_order(keys[::-1])])
    # Which rows a seed draws follows from these very digests: others would be other floors and intervals.
    assert row_keys(np.array([[1.5, -0.0, 1e-300]])) == [hashlib.sha256(struct.pack("<3d", 1.5, 0.0, 1e-300)).digest()]


@pytest.mark.parametrize("n", [8, 9])
def test_interval_of_a_mean_is_over_all_halves(n: int) -> None:
    """Every half of 8 numbers; of 9, with the factor for odd n."""
    values = np.random.default_rng(n).standard_normal(n)
    halves = [np.mean(half) for half in combinations(values, n // 2)]
    factor = (1 / n) / (1 / (n // 2) - 1 / n)
    interval = mean_interval(values)
    assert interval.deviation == pytest.approx(math.sqrt(np.var(halves) * factor), rel=1e-12)
    assert interval == mean_interval(values[::-1])
    assert (interval.value, interval.n) == (pytest.approx(np.mean(halves), rel=1e-12), n)
    assert interval.high - interval.value == pytest.approx(1.96 * interval.deviation)


def test_interval_of_two_numbers() -> None:
    """The fewest that have a deviation: S = sqrt 2, over sqrt 2."""
    interval = mean_interval(np.array([1.0, 3.0]))
    assert (interval.value, interval.deviation, interval.n) == (2.0, pytest.approx(1.0, rel=1e-15), 2)


def test_interval_of_an_accuracy() -> None:
    """30 of 40 right: sqrt(p (1 - p) / (n - 1))."""
    right = np.arange(40) % 4 > 0
    interval = mean_interval(right)
    assert (interval.value, interval.deviation) == (0.75, pytest.approx(math.sqrt(0.75 * 0.25 / 39), rel=1e-12))
    assert mean_interval(right.astype(np.uint8)) == interval


def test_paired_difference_of_means_is_that_of_half_samples() -> None:
    """As the general function on the same sources, to the 1 % that 6,000 halves know."""
    rng = np.random.default_rng(12)
    a = rng.standard_normal(50)
    b = a + 0.3 * rng.standard_normal(50) - 0.1
    exact = paired_mean_difference(a, b)
    drawn = paired_difference(lambda x, y: float(x.mean()), a, b, np.zeros(400), repeats=6000)
    # 50 and 400 are even: the general factor is 1
    assert exact.value == pytest.approx(drawn.value, rel=1e-12)
    assert exact.deviation == pytest.approx(drawn.deviation, rel=0.03)
    swapped = paired_mean_difference(b, a)
    assert (swapped.value, swapped.deviation) == pytest.approx((-exact.value, exact.deviation), rel=1e-12)
    assert exact.deviation < mean_interval(a).deviation / 2


def test_seed_interval_by_hand() -> None:
    """Mean 2, deviation 1, t(0.975, 2) = 4.302653, so 4.302653 / sqrt(3) on each side."""
    interval = seed_interval([3.0, 1.0, None, 2.0])
    assert interval == SeedInterval(2.0, 1.0, interval.low, interval.high, 3, 4)
    assert (interval.low, interval.high) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-6)
    # t(0.95, 2) = 2.919986
    assert seed_interval([1, 2, 3], level=0.9).high == pytest.approx(2 + 2.919986 / math.sqrt(3), abs=1e-6)
    assert seed_interval([3.0, 1.0, 2.0, None]) == interval


def test_many_at_once_are_the_same_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    samples = [rng.normal(50, 5, size).tolist() for size in rng.choice([1, 2, 3, 5, 9, 25, 130, 300], 400)]
    together = seed_intervals(samples)
    assert together == [seed_interval(sample) for sample in samples]
    assert together == [seed_interval(sample[::-1]) for sample in samples]  # the order of seeds is nothing
    sample = np.array(samples[0])
    assert together[0].mean == pytest.approx(sample.mean(), rel=1e-14)
    assert seed_intervals([]) == []
    for wrong in ([[1.0], []], [[1.0, math.nan]], [[math.inf]]):
        with pytest.raises(ValueError, match="one or more finite values"):
            seed_intervals(wrong)


def test_seed_interval_of_too_few_seeds() -> None:
    assert seed_interval([None, 0.25]) == SeedInterval(0.25, None, None, None, 1, 2)
    assert seed_interval([None, None]) == SeedInterval(None, None, None, None, 0, 2)
    assert seed_interval([0.5, 0.5]) == SeedInterval(0.5, 0.0, 0.5, 0.5, 2, 2)


def test_coverage_over_seeds() -> None:
    """Of 2000 sets of 3: 95 % within 3.5 standard errors; 1.96 in place of t would hold 81 %."""
    draws = np.random.default_rng(10).normal(5, 2, (2000, 3))
    intervals = [seed_interval(three) for three in draws.tolist()]
    held = [one.low is not None and one.high is not None and one.low <= 5 <= one.high for one in intervals]
    assert np.mean(held) == pytest.approx(0.95, abs=0.017)


X = np.arange(12.0).reshape(6, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": X[:3]}, "x: at least 4 rows wanted, got 3"),
        ({"y": X[:0]}, "y: at least 4 rows wanted, got 0"),
        ({"x": np.array(1.0)}, "x: rows of shape"),
        ({"y": X * np.nan}, "y: 12 of 12 values are NaN"),
        ({"x": X.astype(str)}, "x: real numbers wanted"),
        ({"repeats": 1}, "repeats: a whole number >= 2"),
        ({"seed": 1.5}, "seed: a whole number >= 0"),
        ({"statistic": lambda x, y: math.nan}, "a finite value wanted, got nan of the full sets"),
        ({"statistic": lambda x, y: math.inf if len(x) == 3 else 0.0}, "got inf of half-sample 0"),
    ],
)
def test_bad_input_of_half_samples_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        half_sample_interval(**({"statistic": mean_gap, "x": X, "y": X} | change))  # type: ignore[arg-type]


def test_other_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="rows of the same sources wanted, got 6 and 5"):
        paired_difference(mean_gap, X, X[:5], X)
    with pytest.raises(ValueError, match=r"values: at least 2 numbers of shape \(n,\) wanted, got shape \(1,\)"):
        mean_interval(np.ones(1))
    with pytest.raises(ValueError, match=r"got shape \(6, 2\)"):
        mean_interval(X)
    with pytest.raises(ValueError, match="b: 1 of 3 values are NaN"):
        paired_mean_difference(np.zeros(3), np.array([0, math.nan, 1]))
    with pytest.raises(ValueError, match="values of the same sources wanted, got 3 and 4"):
        paired_mean_difference(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="at least 1 seed"):
        seed_interval([])
    with pytest.raises(ValueError, match="got nan of seed 1"):
        seed_interval([1.0, math.nan])
    for level in (0, 1, 1.5, 95):
        with pytest.raises(ValueError, match="level: between 0 and 1"):
            seed_interval([1.0, 2.0], level=level)
    with pytest.raises(ValueError, match="level: between 0 and 1"):
        seed_interval([None], level=95)


@pytest.mark.parametrize("value", [100 / 3, 0.1, -1e9 / 7])
@pytest.mark.parametrize("count", [2, 3, 10, 49])
def test_equal_values_have_no_deviation(value: float, count: int) -> None:
    """Not one of rounding either, which a table would show as 33.33 ± 7.5e-15."""
    found = seed_interval([value] * count)
    assert (found.mean, found.deviation, found.low, found.high) == (value, 0.0, value, value)
    assert mean_interval(np.full(count, value)).deviation == 0.0
    assert mean_interval(np.full(count, value)).value == value
