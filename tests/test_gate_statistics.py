"""The gate's permutation test: against other computations of the same, its level, and what it finds."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, rankdata

from bench.claims.judge import rank_sum
from bench.gate import statistics
from bench.gate.statistics import (
    CAUTION,
    FALL,
    LEVEL,
    MINIMUM,
    attainable,
    default_new,
    detectable,
    deviation,
    fewest_new,
    permutation_test,
    worsening,
)

M, K, SERIES = 20, 5, 17
"""The size that a check has: six methods in two directions, and the accuracies that are watched."""


def by_definition(stored: np.ndarray, found: np.ndarray) -> tuple[list[float], list[float]]:
    """Single and step-down p-values, written out with loops over all arrangements."""
    pooled = np.concatenate([stored, found])
    n, k, series = len(pooled), len(found), pooled.shape[1]
    ranks = [rankdata(pooled[:, j]) for j in range(series)]
    observed = [ranks[j][len(stored) :].sum() for j in range(series)]
    sums = [[ranks[j][list(chosen)].sum() for j in range(series)] for chosen in itertools.combinations(range(n), k)]
    single = [np.mean([of[j] >= observed[j] for of in sums]) for j in range(series)]
    corrected, floor, left = [0.0] * series, 0.0, sorted(range(series), key=lambda j: -observed[j])
    while left:
        j = left[0]
        floor = max(floor, float(np.mean([max(of[i] for i in left) >= observed[j] for of in sums])))
        corrected[j] = floor
        left.pop(0)
    return single, corrected


@pytest.mark.parametrize("seed", range(3))
def test_p_values_are_those_of_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stored, found = rng.integers(0, 6, (6, 4)).astype(float), rng.integers(1, 8, (3, 4)).astype(float)  # with ties
    found[0, 1] = stored[2, 3] = math.inf
    tested = permutation_test(stored, found)
    single, corrected = by_definition(stored, found)
    assert tested.exact
    assert tested.arrangements == math.comb(9, 3)
    np.testing.assert_allclose(tested.p, single, rtol=1e-12)
    np.testing.assert_allclose(tested.corrected, corrected, rtol=1e-12)
    for j in range(4):
        np.testing.assert_allclose(tested.p[j], _rank_sum(stored[:, j], found[:, j]), rtol=1e-12)


def _rank_sum(stored: np.ndarray, found: np.ndarray) -> float:
    """By the dynamic programme of `bench claims`, in which larger is better and failed ones are lowest."""
    ended = [-side[np.isfinite(side)] for side in (stored, found)]
    failed = [int(np.isinf(side).sum()) for side in (stored, found)]
    return rank_sum(*ended, *failed)[0]


def test_a_single_series_gives_scipys_exact_test() -> None:
    rng = np.random.default_rng(0)
    stored, found = rng.normal(size=(12, 1)), rng.normal(size=(4, 1)) + 1
    wanted = mannwhitneyu(found[:, 0], stored[:, 0], alternative="greater", method="exact").pvalue
    tested = permutation_test(stored, found)
    np.testing.assert_allclose([tested.p[0], tested.corrected[0]], wanted, rtol=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_neither_the_order_of_seeds_nor_a_monotone_transformation_matters(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stored, found = rng.normal(size=(6, 3)), rng.normal(size=(3, 3))
    tested = permutation_test(stored, found)
    other = permutation_test(np.exp(stored[rng.permutation(6)]), np.exp(found[rng.permutation(3)]))
    np.testing.assert_array_equal(tested.corrected, other.corrected)
    columns = rng.permutation(3)
    np.testing.assert_array_equal(
        permutation_test(stored[:, columns], found[:, columns]).corrected, tested.corrected[columns]
    )


def test_a_copy_of_a_series_costs_nothing_and_an_independent_one_does() -> None:
    """What the joint permutation of whole seeds is for: Bonferroni's correction would double both."""
    rng = np.random.default_rng(1)
    one = rng.normal(size=(14, 1)) + np.repeat([[0.0], [1.5]], [10, 4], axis=0)
    alone = permutation_test(one[:10], one[10:]).corrected[0]
    twice = np.hstack([one, one])
    with_other = np.hstack([one, rng.normal(size=(14, 1))])
    assert permutation_test(twice[:10], twice[10:]).corrected[0] == alone
    assert alone < permutation_test(with_other[:10], with_other[10:]).corrected[0] <= 2 * alone


def test_a_failed_training_is_worse_than_any_value() -> None:
    stored = np.linspace(0, 1, 10)[:, None]
    failed, huge = np.full((4, 1), math.inf), np.full((4, 1), 1e300)
    assert permutation_test(stored, failed).p[0] == permutation_test(stored, huge).p[0] == 1 / math.comb(14, 4)
    both = np.append(stored, [[math.inf]], axis=0)
    assert permutation_test(both, failed).p[0] == math.comb(5, 4) / math.comb(15, 4)  # the stored failure ties


def test_without_scatter_nothing_is_found() -> None:
    np.testing.assert_array_equal(permutation_test(np.ones((10, 2)), np.ones((4, 2))).corrected, 1.0)


@pytest.mark.parametrize(
    ("stored", "found"),
    [(np.zeros((3, 2)), np.zeros((3, 1))), (np.zeros(3), np.zeros((3, 1))), (np.zeros((0, 1)), np.zeros((3, 1))),
     (np.array([[math.nan]]), np.zeros((3, 1)))],
)  # fmt: skip
def test_wrong_input_is_refused(stored: np.ndarray, found: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"wanted|needed|NaN"):
        permutation_test(stored, found)


def test_a_sample_of_arrangements_agrees_with_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    stored, found = rng.normal(size=(12, 5)), rng.normal(size=(4, 5)) + np.array([1.5, 0, 0.7, 0, 0])
    every = permutation_test(stored, found)
    monkeypatch.setattr(statistics, "ENUMERATED", 10)
    statistics._arrangements.cache_clear()
    sampled = permutation_test(stored, found)
    statistics._arrangements.cache_clear()
    assert (sampled.exact, sampled.arrangements) == (False, 100_001)
    error = np.sqrt(every.corrected * (1 - every.corrected) / 100_000)
    assert (abs(sampled.corrected - every.corrected) <= 4 * error + 2e-5).all()


# ------------------------------------------------------------------------------------------------------ small numbers


def test_three_new_seeds_against_ten_cannot_survive_eighteen_tests() -> None:
    stored, found = np.arange(10.0)[:, None] + np.zeros(18), np.full((3, 18), 99.0)
    assert permutation_test(stored, found).p[0] == 1 / 286
    assert attainable(10, 3, 18) == 18 / 286 > LEVEL
    assert fewest_new(10, 18) == 4
    assert attainable(10, 4, 18) == 18 / 1001 <= LEVEL
    assert detectable(10, 3, 18) == math.inf
    assert fewest_new(1, 18) is None or attainable(1, fewest_new(1, 18) or 0, 18) <= LEVEL


def test_the_bound_of_what_is_attainable_holds_for_independent_series() -> None:
    """Whatever the values, the worst possible series among 6 is found if the bound says so."""
    rng = np.random.default_rng(0)
    pooled = rng.normal(size=(12, 6))
    pooled[8:, 0] = 99
    assert permutation_test(pooled[:8], pooled[8:]).corrected[0] <= attainable(8, 4, 6)


@pytest.mark.parametrize(("m", "k"), [(6, 3), (10, 4)])
def test_critical_values_are_those_of_the_exact_test(m: int, k: int) -> None:
    for level in (0.1, 0.02):
        needed = statistics._critical_wins(m, k, level)
        for wins, significant in ((needed, True), (needed - 1, False)):
            p = mannwhitneyu(*_with_wins(m, k, wins), alternative="greater", method="exact").pvalue
            assert (p <= level) == significant


def _with_wins(m: int, k: int, wins: int) -> tuple[np.ndarray, np.ndarray]:
    """(new, stored) without ties, of whose pairs `wins` have the new one above."""
    above = [min(m, max(0, wins - i * m)) for i in range(k)]  # stored values below each new one
    return np.array([count - 0.5 + 0.01 * i for i, count in enumerate(above)]), np.arange(m, dtype=float)


def test_the_default_number_of_seeds_follows_from_the_scatter() -> None:
    few, many = default_new(M, SERIES, [1.0]), default_new(M, SERIES, [3.2])
    assert few == statistics.FEWEST < many <= statistics.MOST
    assert detectable(M, many, SERIES) * 3.2 * CAUTION <= FALL < detectable(M, many - 1, SERIES) * 3.2 * CAUTION
    assert default_new(M, SERIES, []) == statistics.FEWEST
    assert default_new(M, SERIES, [50.0]) == statistics.MOST


def test_effects_are_differences_of_means_of_what_ended() -> None:
    stored = np.array([1.0, 3.0, math.inf])
    assert worsening(stored, np.array([5.0, 7.0, math.inf])) == 4.0
    assert worsening(stored, np.array([5.0, math.inf, math.inf])) == math.inf
    assert worsening(stored, np.array([1.0, 1.0])) == -1.0
    assert deviation(stored) == pytest.approx(math.sqrt(2))
    assert deviation(np.array([1.0, math.inf])) == 0.0


# --------------------------------------------------------------------------------------------------------- simulations


def seeds(rng: np.random.Generator, shape: tuple[int, ...], kind: str, together: float = 0.3) -> np.ndarray:
    """(..., seeds, series) of deviation 1, correlated over series; `skewed` ones have a long tail of bad values."""
    own, common = rng.standard_normal(shape), rng.standard_normal((*shape[:-1], 1))
    z = math.sqrt(1 - together) * own + math.sqrt(together) * common
    if kind == "skewed":
        return np.exp(0.7 * z) / math.sqrt(math.exp(0.49) * (math.exp(0.49) - 1))
    if kind == "heavy":  # t with 3 degrees of freedom, jointly
        return z / np.sqrt(rng.chisquare(3, (*shape[:-1], 1)))
    return z


def alarm(stored: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Which series regressed, by both conditions."""
    tested = permutation_test(stored, found)
    effects = np.array(
        [worsening(stored[:, j], found[:, j]) > MINIMUM * deviation(stored[:, j]) for j in range(SERIES)]
    )
    return (tested.corrected <= LEVEL) & effects


def false_alarms(kind: str, checks: int, k: int, minimum: bool = True) -> float:
    rng = np.random.default_rng([checks, k])
    found = 0
    for _ in range(checks):
        pooled = seeds(rng, (M + k, SERIES), kind)
        tested = permutation_test(pooled[:M], pooled[M:]).corrected.min() <= LEVEL
        found += bool(alarm(pooled[:M], pooled[M:]).any()) if minimum else bool(tested)
    return found / checks


def found_share(kind: str, checks: int, k: int, fall: float) -> float:
    """Of checks in which the first series fell by `fall` deviations, those that say so."""
    rng = np.random.default_rng([checks, k, 1])
    found = 0
    for _ in range(checks):
        pooled = seeds(rng, (M + k, SERIES), kind)
        pooled[M:, 0] += fall
        found += bool(alarm(pooled[:M], pooled[M:])[0])
    return found / checks


def test_the_level_is_held_and_a_fall_is_found() -> None:
    """A smaller version of the slow tests below: 250 checks, limits at 3.5 binomial deviations."""
    assert false_alarms("normal", 250, 4, minimum=False) <= LEVEL + 3.5 * math.sqrt(LEVEL * (1 - LEVEL) / 250)
    assert found_share("normal", 150, 4, detectable(M, 4, SERIES)) >= 0.9 - 3.5 * math.sqrt(0.09 / 150)
    assert found_share("normal", 150, 4, 1.0) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "heavy"])
@pytest.mark.parametrize("k", [4, 6])
def test_the_level_is_held_whatever_the_distribution(kind: str, k: int) -> None:
    share = false_alarms(kind, 1500, k, minimum=False)
    print(f"\nfalse alarms of the test alone, {kind}, {k} new seeds: {100 * share:.2f} %")
    assert LEVEL / 2 < share <= LEVEL + 3.5 * math.sqrt(LEVEL * (1 - LEVEL) / 1500)  # exact, so not far below either


@pytest.mark.slow
@pytest.mark.parametrize("k", [4, 5, 6, 8])
def test_the_promised_fall_is_found(k: int) -> None:
    share = found_share("normal", 500, k, detectable(M, k, SERIES))
    print(f"\na fall of {detectable(M, k, SERIES)} deviations, {k} new seeds: found in {100 * share:.1f} %")
    assert share >= 0.9 - 3.5 * math.sqrt(0.09 / 500)


@pytest.mark.slow
def test_the_minimum_effect_guards_against_a_lucky_baseline() -> None:
    """Shares of fixed baselines that give false alarms in more than 5 % of checks, with and without it."""
    rng = np.random.default_rng(7)
    k, checks = 5, 400
    with_it, without = [], []
    for _ in range(60):
        stored, found = seeds(rng, (M, SERIES), "normal"), seeds(rng, (checks, k, SERIES), "normal")
        alone = both = 0
        for new in found:
            significant = permutation_test(stored, new).corrected <= LEVEL
            large = new.mean(0) - stored.mean(0) > MINIMUM * stored.std(0, ddof=1)
            alone, both = alone + significant.any(), both + (significant & large).any()
        without.append(alone / checks)
        with_it.append(both / checks)
    bad = [float(np.mean(np.array(rates) > 0.05)) for rates in (without, with_it)]
    print(f"\nbaselines above 5 %: without {100 * bad[0]:.0f} %, with {100 * bad[1]:.0f} %")
    assert bad[1] <= min(bad[0], 0.1)
    assert np.mean(with_it) < 0.75 * np.mean(without)
