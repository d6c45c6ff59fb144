"""Intervals inside the range of a metric: published values, symmetry, coverage by simulation, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metrics.statistics.bounded import Range, image_ends, paired_share_difference, wilson_interval
from metrics.statistics.intervals import seed_interval, seed_intervals

SHARE = Range(0, 1, share=True)
PERCENT = Range(0, 100, share=True)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_is_as_published(right: int, n: int, low: float, high: float) -> None:
    """Newcombe, Statistics in Medicine 17 (1998), p. 857, table I, method 3."""
    assert wilson_interval(right / n, n) == pytest.approx((low, high), abs=5e-5)


def test_difference_of_paired_shares_is_as_published() -> None:
    """Newcombe, Statistics in Medicine 17 (1998), p. 2635, method 10: (both, only a, only b, neither)."""
    for cells, ends in (((36, 12, 2, 0), (0.0569, 0.3404)), ((24, 0, 0, 6), None), ((0, 30, 0, 0), None)):
        a, b = np.repeat([1, 1, 0, 0], cells), np.repeat([1, 0, 1, 0], cells)
        low, high = paired_share_difference(a, b)
        assert ends is None or (low, high) == pytest.approx(ends, abs=1e-4)
        assert paired_share_difference(b, a) == pytest.approx((-high, -low), abs=1e-12)
        assert -1 <= low < high <= 1
        assert low <= a.mean() - b.mean() <= high


def test_paired_shares_hold_the_difference_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    for n, chances in ((40, (0.85, 0.1, 0.03, 0.02)), (75, (0.5, 0.2, 0.1, 0.2)), (200, (0.97, 0.02, 0.01, 0.0))):
        true, held = chances[1] - chances[2], 0
        for cells in rng.multinomial(n, chances, 400):
            a, b = np.repeat([1, 1, 0, 0], cells), np.repeat([1, 0, 1, 0], cells)
            low, high = paired_share_difference(a, b)
            held += low <= true <= high
        assert held >= 0.925 * 400


@pytest.mark.parametrize("k", [2, 3, 5, 10, 20])
@pytest.mark.parametrize("mean", [0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99])
def test_coverage_over_seeds_of_shares(k: int, mean: float) -> None:
    """93 % of means are held, by seeds whose scatter is 0.1 to 0.7 of the distance to the nearer end."""
    rng = np.random.default_rng(k)
    for part in (0.1, 0.4, 0.7):
        room = min(mean, 1 - mean)
        strength = mean * (1 - mean) / (min(part, 0.5 if mean == 0.5 else part) * room) ** 2 - 1
        draws = 100 * rng.beta(mean * strength, (1 - mean) * strength, (8000, k))
        intervals = seed_intervals(draws.tolist(), within=PERCENT)
        ends = [(one.low, one.high) for one in intervals if one.low is not None and one.high is not None]
        assert len(ends) == len(intervals)
        assert all(0 <= low <= high <= 100 for low, high in ends)
        assert np.mean([low <= 100 * mean <= high for low, high in ends]) >= 0.93


@pytest.mark.parametrize("k", [2, 3, 5, 20])
def test_coverage_over_seeds_of_differences(k: int) -> None:
    """Differences of two accuracies, in -100 to 100 %."""
    rng = np.random.default_rng(k)
    for first, second in ((0.95, 0.9), (0.99, 0.2), (0.5, 0.5)):
        draws = [rng.beta(mean * 60, (1 - mean) * 60, (8000, k)) for mean in (first, second)]
        intervals = seed_intervals((100 * (draws[0] - draws[1])).tolist(), within=PERCENT.of_differences)
        held = [-100 <= (one.low or 0) <= 100 * (first - second) <= (one.high or 0) <= 100 for one in intervals]
        assert np.mean(held) >= 0.93


def test_seeds_that_agree_are_not_certain() -> None:
    """`100 to 100` is never said: nothing, or what the images allow."""
    over = seed_interval([100.0, 100.0, 100.0], within=PERCENT)
    assert (over.mean, over.deviation, over.low, over.high) == (100.0, 0.0, None, None)
    widened = over.widened(image_ends(100.0, None, 50, PERCENT))
    assert (widened.low, widened.high) == (pytest.approx(92.865, abs=1e-3), 100.0)
    one = seed_interval([100.0], within=PERCENT)
    assert one.widened((90.0, 100.0)) == one
    assert seed_interval([40.0, 60.0], within=PERCENT).widened((45.0, 55.0)) == seed_interval(
        [40.0, 60.0], within=PERCENT
    )


def test_shares_and_their_complements_are_alike() -> None:
    low = seed_interval([1.0, 2.0, 6.0], within=PERCENT)
    high = seed_interval([99.0, 98.0, 94.0], within=PERCENT)
    assert (low.low, low.high) == pytest.approx((100 - (high.high or 0), 100 - (high.low or 0)))
    middle, students = seed_interval([49.0, 50.0, 52.0], within=PERCENT), seed_interval([49.0, 50.0, 52.0])
    assert (middle.low, middle.high) == pytest.approx((students.low, students.high), abs=0.05)


def test_distances_are_not_below_zero() -> None:
    over = seed_interval([1.0, 9.0], within=Range(low=0.0))
    assert (over.low, over.high) == (0.0, pytest.approx(5 + 12.7062 * 4, abs=1e-3))
    assert image_ends(1.0, 2.0, 10, Range(low=0.0)) == (0.0, pytest.approx(4.92))
    assert image_ends(1.0, None, 10, Range(low=0.0)) is None
    assert image_ends(-0.5, 1.0, 10, Range()) == pytest.approx((-2.46, 1.46))


def test_bad_input_is_named() -> None:
    for share, n in ((1.1, 5), (-0.1, 5), (0.5, 0), (math.nan, 5)):
        with pytest.raises(ValueError, match="a share in"):
            wilson_interval(share, n)
    for a, b in ((np.ones(3), np.ones(4)), (np.ones(0), np.ones(0)), (np.full(2, 2.0), np.ones(2))):
        with pytest.raises(ValueError, match="zeros and ones"):
            paired_share_difference(a, b)
