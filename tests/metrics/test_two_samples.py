"""The tests of two samples against scipy's, and against all choices written out."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from metrics.statistics.two_samples import rank_sum, sample_moments, two_sample_rank_ways, two_sample_wins, welch


@pytest.mark.parametrize(("n", "m"), [(2, 5), (3, 3), (4, 2)])
def test_welch_agrees_with_scipy(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.normal(10, 2, (6, n)), rng.normal(11, 1, (6, m))
    sides = [np.stack([sample_moments(row) for row in rows.tolist()], axis=1) for rows in (a, b)]  # (3, 6)
    expected = stats.ttest_ind(a, b, axis=1, equal_var=False)
    found = welch(*sides)
    np.testing.assert_allclose(found.p_values(), expected.pvalue, rtol=1e-12)
    np.testing.assert_allclose(found.freedom, expected.df, rtol=1e-12)


def test_welch_keeps_tiny_variances_and_tells_nothing_without_any() -> None:
    a, b = [1.0, 2.0, 4.0], [5.0, 7.0, 6.0]
    tiny, usual = (
        welch(sample_moments([x * unit for x in a]), sample_moments([x * unit for x in b])) for unit in (1e-120, 1.0)
    )
    assert float(tiny.freedom) == pytest.approx(float(usual.freedom))  # squared variances: below float64
    assert float(tiny.p_values()) == pytest.approx(float(usual.p_values()))
    equal = welch(sample_moments([1.0, 1.0]), sample_moments([2.0, 2.0]))
    assert (float(equal.error), float(equal.p_values())) == (0.0, 1.0)


def test_rank_sum_is_the_share_of_all_choices() -> None:
    a, b = np.array([3.0, 7.0, 7.0]), np.array([1.0, 3.0, 5.0])
    pooled = stats.rankdata([-np.inf, *a, -np.inf, -np.inf, *b])
    own = pooled[:4].sum()
    sums = [sum(chosen) for chosen in combinations(pooled, 4)]
    p, opposite = rank_sum(a, b, failed_a=1, failed_b=2)
    assert p == pytest.approx(np.mean([total >= own for total in sums]))
    assert opposite == pytest.approx(np.mean([total <= own for total in sums]))


def test_rank_sum_agrees_with_scipy_without_ties() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.5, 1, 9), rng.normal(0, 1, 7)
    for found, alternative in zip(rank_sum(a, b), ("greater", "less"), strict=True):
        assert found == pytest.approx(stats.mannwhitneyu(a, b, alternative=alternative, method="exact").pvalue)


def test_ways_are_those_of_all_choices() -> None:
    ranks = np.array([2, 5, 5, 8, 10])
    sums = [sum(chosen) for chosen in combinations(ranks.tolist(), 3)]
    np.testing.assert_array_equal(two_sample_rank_ways(ranks, 3), np.bincount(sums, minlength=int(ranks.sum()) + 1))


def test_critical_wins_are_the_smallest_that_are_significant() -> None:
    needed = two_sample_wins(7, 4, 0.025)
    wins: dict[int, int] = {}
    for chosen in combinations(range(11), 4):
        count = sum(c > o for c in chosen for o in set(range(11)) - set(chosen))
        wins[count] = wins.get(count, 0) + 1
    tail = {w: sum(n for count, n in wins.items() if count >= w) / 330 for w in (needed - 1, needed)}
    assert tail[needed] <= 0.025 < tail[needed - 1]
    assert two_sample_wins(3, 2, 0.01) == 7
