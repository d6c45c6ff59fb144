"""The gate's permutation test: against other computations of the same, its level, and what it finds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact, mannwhitneyu, norm, rankdata

from bench.checks.gate.family import Series
from bench.checks.gate.training import decide_series
from bench.checks.gate.trainings import TrainingMeasure
from bench.checks.gate.verdict import Verdict
from metrics.statistics import permutation as statistics
from metrics.statistics.permutation import (
    FALL,
    LEVEL,
    corrected_permutation,
    permutation_bound,
    permutation_default,
    permutation_detects,
    permutation_deviation,
    permutation_fewest,
    permutation_least_fall,
    permutation_power,
    permutation_test,
    permutation_worsening,
    scatter,
)
from metrics.statistics.two_samples import rank_sum, two_sample_wins

M, SIZES = 20, (4, 3, 3, 3, 2, 2)
"""The size that a check has: stored seeds, and six methods in two directions with the accuracies that are watched."""
SERIES = sum(SIZES)
Examined = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(m, J) stored and (k, J) new values -> (J,) whether a series is called worse."""


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
    assert permutation_bound(10, 3, 18) == 18 / 286 > LEVEL
    assert permutation_fewest(10, 18) == 4
    assert permutation_bound(10, 4, 18) == 18 / 1001 <= LEVEL
    assert permutation_detects(10, 3, 18) == math.inf
    assert permutation_fewest(1, 18) is None or permutation_bound(1, permutation_fewest(1, 18) or 0, 18) <= LEVEL


def test_the_bound_of_what_is_attainable_holds_for_independent_series() -> None:
    """Whatever the values, the worst possible series among 6 is found if the bound says so."""
    rng = np.random.default_rng(0)
    pooled = rng.normal(size=(12, 6))
    pooled[8:, 0] = 99
    assert permutation_test(pooled[:8], pooled[8:]).corrected[0] <= permutation_bound(8, 4, 6)


@pytest.mark.parametrize(("m", "k"), [(6, 3), (10, 4)])
def test_critical_values_are_those_of_the_exact_test(m: int, k: int) -> None:
    for level in (0.1, 0.02):
        needed = two_sample_wins(m, k, level)
        for wins, significant in ((needed, True), (needed - 1, False)):
            p = mannwhitneyu(*_with_wins(m, k, wins), alternative="greater", method="exact").pvalue
            assert (p <= level) == significant


def _with_wins(m: int, k: int, wins: int) -> tuple[np.ndarray, np.ndarray]:
    """(new, stored) without ties, of whose pairs `wins` have the new one above."""
    above = [min(m, max(0, wins - i * m)) for i in range(k)]  # stored values below each new one
    return np.array([count - 0.5 + 0.01 * i for i, count in enumerate(above)]), np.arange(m, dtype=float)


NORMAL = norm.ppf((np.arange(M) + 0.5) / M)
"""As evenly as twenty normally distributed seeds can be."""


def test_the_default_number_of_seeds_follows_from_the_scatter() -> None:
    few, many = permutation_default(M, SERIES, [NORMAL]), permutation_default(M, SERIES, [NORMAL, 4.0 * NORMAL])
    assert few == statistics.FEWEST < many < statistics.MOST
    shares = [permutation_power(4.0 * NORMAL, FALL, k, SERIES) for k in (many - 1, many)]
    assert shares[0] < statistics.PLANNED <= shares[1]
    assert permutation_default(M, SERIES, []) == statistics.FEWEST
    assert permutation_default(M, SERIES, [50.0 * NORMAL]) == statistics.MOST


def test_what_is_found_with_a_baseline_is_what_is_found_with_normal_seeds_if_it_is_one() -> None:
    """But for the smoothing, which spreads new seeds by an eighth, and the baseline's own luck, which is left out."""
    for k in (6, 10):
        usual = permutation_detects(M, k, SERIES)
        assert 0.9 * usual < permutation_least_fall(NORMAL, k, SERIES) / scatter(NORMAL) < 1.2 * usual
        assert permutation_least_fall(7.0 * NORMAL + 3, k, SERIES) == pytest.approx(
            7 * permutation_least_fall(NORMAL, k, SERIES)
        )
    assert permutation_power(NORMAL, 0.0, 6, SERIES) <= LEVEL
    assert permutation_least_fall(np.ones(M), 6, SERIES) == math.inf
    assert permutation_power(NORMAL, 99.0, 2, SERIES) == 0.0  # too few seeds for any proof


def test_astray_and_failed_seeds_need_more_new_ones() -> None:
    """Four of twenty far off: as many new ones as the other sixteen ask for would find the fall in few checks."""
    values = 3.0 * NORMAL
    astray = np.append(values[:16], [30.0, 31.0, 32.0, math.inf])
    usual = permutation_default(M, SERIES, [values])
    assert permutation_power(astray, FALL, usual, SERIES) < 0.5
    assert usual < permutation_default(M, SERIES, [astray]) <= statistics.MOST


def test_training_the_first_seeds_first_costs_little_power() -> None:
    for k in (statistics.FEWEST, statistics.MOST):
        at_once = permutation_detects(M, k, SERIES, first=k)
        assert at_once <= permutation_detects(M, k, SERIES) <= at_once + 0.1
    assert permutation_detects(M, 10, SERIES, first=1) > permutation_detects(
        M, 10, SERIES
    )  # one seed may look well by luck


def test_each_method_has_its_share_of_the_level() -> None:
    corrected = np.array([0.001, 0.5])
    np.testing.assert_allclose(corrected_permutation(corrected, of_method=2, whole=17), [0.0085, 1.0])
    np.testing.assert_array_equal(corrected_permutation(corrected, of_method=2, whole=2), corrected)


def test_effects_are_shifts_of_what_ended() -> None:
    stored = np.array([1.0, 3.0, math.inf])
    assert permutation_worsening(stored, np.array([5.0, 7.0, math.inf])) == 4.0  # the median of 4, 2, 6, 4
    assert permutation_worsening(stored, np.array([5.0, math.inf, math.inf])) == math.inf
    assert permutation_worsening(stored, np.array([1.0, 1.0])) == -1.0
    assert permutation_worsening(np.arange(10.0), np.array([4.5, 4.5, 1e6])) == 2.5  # of the means: 333,331.5
    with pytest.raises(ValueError, match="no stored training"):
        permutation_worsening(np.array([math.inf]), np.array([1.0]))


def test_the_scatter_is_the_deviation_that_astray_trainings_do_not_move() -> None:
    rng = np.random.default_rng(0)
    for n in (2, 3, 6, 9, 20, 21):
        means = np.mean([(scatter(x), permutation_deviation(x)) for x in rng.standard_normal((3000, n))], axis=0)
        assert means[0] <= means[1]
        assert means[0] > (0.93 if n >= 20 else 0.65)  # the smaller of two estimates of 1
    values = rng.standard_normal(20)
    astray = np.append(values[:16], [-9.0, -10.0, -11.0, -12.0])
    assert permutation_deviation(astray) > 4
    assert scatter(astray) < 2 * scatter(values)
    assert scatter(5 + 3 * values) == pytest.approx(3 * scatter(values))
    assert scatter(np.append(values, math.inf)) == scatter(values)
    assert scatter(np.array([1.0, math.inf])) == 0.0
    assert permutation_deviation(np.array([1.0, 3.0, math.inf])) == pytest.approx(math.sqrt(2))


def test_qn_is_that_of_its_definition() -> None:
    """2.2219 times the k-th smallest distance of a pair, k = C(h, 2), h = n // 2 + 1; on values that a line gives."""
    values = np.append(np.arange(19.0), 1e6)  # of 20: 55 of 190 distances; 1 to 3 occur 18 + 17 + 16 times, so 4
    assert scatter(values) == pytest.approx(2.2219 * 20 / 23.8 * 4)


def test_failures_are_counted_by_fishers_test() -> None:
    for stored, found in ((1, 1), (1, 3), (2, 6), (0, 2), (3, 0)):
        sides = [np.array([math.inf] * failed + [0.0] * (n - failed)) for failed, n in ((stored, 20), (found, 6))]
        wanted = fisher_exact([[found, 6 - found], [stored, 20 - stored]], alternative="greater").pvalue
        assert statistics.permutation_failures(*sides) == pytest.approx(wanted)


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


def family_of(stored: np.ndarray) -> list[Series]:
    """The columns of `stored` as six methods' distances."""
    methods = [f"method {i}" for i, size in enumerate(SIZES) for _ in range(size)]
    return [
        Series(method, TrainingMeasure(f"direction {j}", "fid-judge-v1"), stored[:, j])
        for j, method in enumerate(methods)
    ]


def check(stored: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Which series a check calls regressed: of `found` (k, J) the first seeds, and the others of methods in doubt."""
    family = family_of(stored)
    early = found[: statistics.FIRST]
    doubtful = {of.method for j, of in enumerate(family) if of.in_doubt(early[:, j])}
    values = {j: (found if of.method in doubtful else early)[:, j] for j, of in enumerate(family)}
    verdicts = decide_series(family, values)
    return np.array([verdicts[j].verdict is Verdict.REGRESSED for j in range(SERIES)])


def by_the_test_alone(stored: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Whether corrected p-values of all seeds are at most the level, whatever the size of the change. (J,)"""
    edges = np.cumsum([0, *SIZES])
    p = [
        corrected_permutation(permutation_test(stored[:, a:b], found[:, a:b]).corrected, b - a, SERIES)
        for a, b in itertools.pairwise(edges)
    ]
    return np.concatenate(p) <= LEVEL


def false_alarms(kind: str, checks: int, k: int, examined: Examined = check) -> float:
    rng = np.random.default_rng([checks, k])
    pooled = [seeds(rng, (M + k, SERIES), kind) for _ in range(checks)]
    return float(np.mean([examined(of[:M], of[M:]).any() for of in pooled]))


def share_found(kind: str, checks: int, k: int, fall: float) -> float:
    """Of checks in which the first series fell by `fall` deviations, those that say so."""
    rng = np.random.default_rng([checks, k, 1])
    found = 0
    for _ in range(checks):
        pooled = seeds(rng, (M + k, SERIES), kind)
        pooled[M:, 0] += fall
        found += bool(check(pooled[:M], pooled[M:])[0])
    return found / checks


def test_the_level_is_held_and_a_fall_is_found() -> None:
    """A smaller version of the slow tests below: limits at 3.5 binomial deviations."""
    assert false_alarms("normal", 100, 4, by_the_test_alone) <= LEVEL + 3.5 * math.sqrt(LEVEL * (1 - LEVEL) / 100)
    assert false_alarms("normal", 100, 5) <= LEVEL + 3.5 * math.sqrt(LEVEL * (1 - LEVEL) / 100)
    assert share_found("normal", 60, 5, permutation_detects(M, 5, SERIES)) >= 0.9 - 3.5 * math.sqrt(0.09 / 60)
    assert share_found("normal", 60, 5, 1.0) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "heavy"])
@pytest.mark.parametrize("k", [4, 6])
def test_the_level_is_held_whatever_the_distribution(kind: str, k: int) -> None:
    share = false_alarms(kind, 1500, k, by_the_test_alone)
    print(f"\nfalse alarms of the test alone, {kind}, {k} new seeds: {100 * share:.2f} %")
    deviation_of_share = math.sqrt(LEVEL * (1 - LEVEL) / 1500)
    assert LEVEL / 3 < share <= LEVEL + 3.5 * deviation_of_share  # nearly exact, so not far below either


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "skewed", "heavy"])
def test_a_check_of_unchanged_code_hardly_ever_alarms(kind: str) -> None:
    share = false_alarms(kind, 3000, 6)
    print(f"\nfalse alarms of the whole check, {kind}, up to 6 new seeds: {100 * share:.2f} %")
    assert share <= LEVEL + 3.5 * math.sqrt(LEVEL * (1 - LEVEL) / 3000)


@pytest.mark.slow
@pytest.mark.parametrize("k", [6, 8, 10])
def test_the_promised_fall_is_found(k: int) -> None:
    share = share_found("normal", 500, k, permutation_detects(M, k, SERIES))
    print(
        f"\na fall of {permutation_detects(M, k, SERIES)} deviations, up to {k} new seeds: found in {100 * share:.1f} %"
    )
    assert share >= 0.9 - 3.5 * math.sqrt(0.09 / 500)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "skewed", "heavy"])
def test_the_minimum_effect_guards_against_a_lucky_baseline(kind: str) -> None:
    """Shares of fixed baselines that give false alarms in more than 5 % of checks, with and without it."""
    rng = np.random.default_rng(7)
    k, checks, baselines = 5, 400, 60
    needed = two_sample_wins(M, k, LEVEL * max(SIZES) / SERIES)  # or more, for any small enough p-value
    rates = np.zeros((2, baselines))
    for i in range(baselines):
        stored, found = seeds(rng, (M, SERIES), kind), seeds(rng, (checks, k, SERIES), kind)
        ranked = (found[:, :, None] > stored).sum((1, 2)) >= needed  # (checks, J)
        possible = np.flatnonzero(ranked.any(1))
        rates[0, i] = sum(by_the_test_alone(stored, found[n]).any() for n in possible) / checks
        rates[1, i] = sum(check(stored, found[n]).any() for n in possible) / checks
    bad, mean = (rates > 0.05).mean(1), rates.mean(1)
    print(
        f"\n{kind}: baselines above 5 %: without {100 * bad[0]:.0f} %, with {100 * bad[1]:.0f} %; "
        f"alarms {100 * mean[0]:.1f} and {100 * mean[1]:.1f} %"
    )
    assert bad[1] <= min(bad[0], 0.1)
    assert mean[1] <= min(mean[0], LEVEL)
