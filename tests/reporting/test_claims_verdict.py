"""The statistics of verdicts: single comparisons against other computations, sentences on planted trainings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from bench.reporting.claims.formula import (
    ClaimCandidate,
    ClaimSubject,
    Formula,
    FormulaEvery,
    FormulaPair,
    FormulaSome,
    about_equal,
    better,
    chain,
    differ,
    formula_leaves,
    reaches,
    u_shape,
    worst,
)
from bench.reporting.claims.verdict import (
    LEVEL,
    ClaimVerdict,
    ComparisonResult,
    Sample,
    verdict_on_claim,
    verdict_on_level,
    verdict_on_samples,
)

A, B, C, D, E = (ClaimSubject((ClaimCandidate(name),)) for name in "abcde")
FULL, VARIANT = ClaimSubject((ClaimCandidate("m"),)), ClaimSubject((ClaimCandidate("m:v"),))


def sample(values: Sequence[float], failed: int = 0) -> Sample:
    """Seeds 0, 1, ...; the failed ones last."""
    seeds = range(len(values), len(values) + failed)
    return Sample(dict(enumerate(values)), frozenset(seeds))


def verdict(
    formula: Formula[FormulaPair], samples: dict[ClaimSubject, Sample], up: bool = True
) -> ClaimVerdict[FormulaPair]:
    """Of planted trainings; who is not in `samples` was not measured."""

    def tested(pair: FormulaPair) -> ComparisonResult:
        one = samples.get(pair.better, Sample({}))
        if not isinstance(pair.than, ClaimSubject):
            return verdict_on_level(one, pair.than, up, pair.by)
        return verdict_on_samples(one, samples.get(pair.than, Sample({})), up, pair.by, pair.learn_the_same)

    return verdict_on_claim(formula, {pair: tested(pair) for pair in formula_leaves(formula)})


# --------------------------------------------------------------------------------------------------- one comparison


def test_welch_by_hand() -> None:
    # means 90 and 80, variances 4 and 1 over 3: error sqrt(5/3); freedom (5/3)² / ((4/3)² / 2 + (1/3)² / 2)
    found = verdict_on_samples(sample([88, 90, 92]), sample([79, 80, 81]), True)
    assert found.advantage == 10
    t, freedom = 10 / math.sqrt(5 / 3), (25 / 9) / (16 / 18 + 1 / 18)
    assert found.p == pytest.approx(stats.t.sf(t, freedom))
    reach = stats.t.ppf(0.95, freedom) * math.sqrt(5 / 3)
    assert (found.low, found.high) == (pytest.approx(10 - reach), pytest.approx(10 + reach))
    assert found.test == "Welch's t"


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("by", [0.0, 1.5, -2.0])
def test_welch_and_paired_agree_with_scipy(up: bool, by: float) -> None:
    rng = np.random.default_rng(3)
    for k, m in ((2, 5), (3, 3), (4, 2)):
        a, b = rng.normal(10, 2, k), rng.normal(11, 1, m)
        sign = 1 if up else -1
        expected = stats.ttest_ind(sign * a - by, sign * b, equal_var=False, alternative="greater")
        found = verdict_on_samples(sample(a), sample(b), up, by)
        assert found.p == pytest.approx(expected.pvalue)
        assert found.opposite == pytest.approx(1 - expected.pvalue)
        low, high = stats.ttest_ind(sign * a, sign * b, equal_var=False).confidence_interval(0.9)
        assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
        shared = min(k, m)
        paired = verdict_on_samples(sample(a), sample(b), up, by, paired=True)
        expected = stats.ttest_rel(sign * a[:shared] - by, sign * b[:shared], alternative="greater")
        assert (paired.p, paired.test) == (pytest.approx(expected.pvalue), "paired t")


def test_seeds_that_are_not_shared_are_not_paired() -> None:
    a, b = Sample({0: 3.0, 1: 4.0}), Sample({1: 1.0, 2: 2.5})
    assert verdict_on_samples(a, b, True, paired=True).test == "Welch's t"
    assert verdict_on_samples(Sample({0: 3.0, 1: 4.0, 2: 9.0}), b, True, paired=True).advantage == pytest.approx(4.75)


def test_variants_are_paired_and_other_methods_are_not() -> None:
    assert FormulaPair(FULL, VARIANT).learn_the_same
    assert not FormulaPair(FULL, A).learn_the_same
    assert not FormulaPair(FULL, 90.0).learn_the_same


def test_one_training_is_no_test_but_its_difference_is_shown() -> None:
    found = verdict_on_samples(sample([90.0]), sample([80.0, 81.0]), True)
    assert (found.p, found.opposite, found.test, found.advantage) == (1, 1, "", 9.5)
    assert found.low is None
    assert verdict_on_samples(sample([]), sample([80.0, 81.0]), True).advantage is None


def test_exact_ties_have_no_scale() -> None:
    for up in (True, False):
        found = verdict_on_samples(sample([12, 12, 12]), sample([18, 18, 18]), up)
        assert (found.p, found.opposite, found.test) == (1, 1, "")
    # 0.1 + 0.2 - 0.3 is not 0: what differs by rounding alone does not differ
    a, b = [0.3, 1.3, 2.3], [0.1, 1.1, 2.1]
    assert len({x - y for x, y in zip(a, b, strict=True)}) > 1
    assert verdict_on_samples(sample(a), sample(b), True, paired=True).test == ""
    assert verdict_on_level(sample([80.4] * 3), 70.1, True).test == ""
    one_varies = verdict_on_samples(sample([12, 12, 12]), sample([18, 18, 19]), False)
    assert one_varies.p < LEVEL


def test_a_fixed_level() -> None:
    values = [97.0, 97.5, 98.5]
    expected = stats.ttest_1samp(values, 98.24 - 2, alternative="greater").pvalue
    assert verdict_on_level(sample(values), 98.24, True, -2.0).p == pytest.approx(expected)
    assert verdict_on_level(sample(values, failed=1), 98.24, True).test == ""


# ------------------------------------------------------------------------------------------------- failed trainings


def test_a_failed_training_counts_against_its_method() -> None:
    good, bad = [90.0, 91.0, 92.0], [10.0, 11.0, 12.0]
    assert verdict(better(A, [B]), {A: sample(good), B: sample(bad)}).outcome == "holds"
    lost = verdict(better(A, [B]), {A: sample(good[:2], failed=1), B: sample(bad)})
    assert lost.outcome == "cannot decide"
    assert "rank sums" in lost.parts[FormulaPair(A, B)].test
    # the other's failures speak for it, also where none of its trainings ended: 1 of 20 choices
    for values in (bad[:1], []):
        found = verdict(better(A, [B]), {A: sample(good), B: sample(values, failed=3 - len(values))})
        assert (found.outcome, found.p) == ("holds", pytest.approx(0.05))
    found = verdict(better(A, [B]), {A: sample([], failed=3), B: sample(bad)})
    assert (found.outcome, found.p) == ("fails", pytest.approx(0.05))
    assert verdict(better(A, [B]), {A: sample([], failed=3), B: sample([], failed=3)}).outcome == "cannot decide"


def test_a_margin_holds_of_ranks_too() -> None:
    a, b = sample([30.0, 31.0, 32.0]), sample([10.0, 11.0], failed=1)
    assert verdict_on_samples(a, b, True, 15.0).p == pytest.approx(0.05)
    assert verdict_on_samples(a, b, True, 25.0).p > 0.5
    assert verdict_on_samples(
        sample([-30.0, -31.0, -32.0]), sample([-10.0, -11.0], failed=1), False, 15.0
    ).p == pytest.approx(0.05)


# --------------------------------------------------------------------------------------------- sentences, planted


def noisy(mean: float, seed: int, k: int = 4, deviation: float = 1.0) -> Sample:
    return sample(np.random.default_rng(seed).normal(mean, deviation, k).tolist())


def test_better_than_every_other() -> None:
    others = {B: noisy(50, 1), C: noisy(60, 2)}
    assert verdict(better(A, [B, C]), {A: noisy(90, 0), **others}).outcome == "holds"
    assert verdict(better(A, [B, C]), {A: noisy(10, 0), **others}, up=False).outcome == "holds"
    found = verdict(better(A, [B, C]), {A: noisy(55, 0), **others})
    assert (found.outcome, found.deciding) == ("fails", FormulaPair(A, C))
    assert verdict(better(A, [B, C]), {A: noisy(60, 0), **others}).outcome == "cannot decide"


def test_one_missing_or_single_training_leaves_it_open() -> None:
    measured = {A: noisy(90, 0), B: noisy(50, 1)}
    missing = verdict(better(A, [B, C]), measured)
    assert (missing.outcome, missing.deciding) == ("cannot decide", FormulaPair(A, B))
    assert missing.p < LEVEL  # of what was tested
    assert verdict(better(A, [B, C]), {**measured, C: sample([40.0])}).outcome == "cannot decide"
    nothing = verdict(better(A, [B, C]), {})
    assert (nothing.outcome, nothing.deciding, nothing.p) == ("cannot decide", None, 1.0)
    # but one that is better refutes it, whatever the missing ones are
    assert verdict(better(A, [B, C]), {A: noisy(50, 0), B: noisy(90, 1)}).outcome == "fails"


def test_failing_is_corrected_for_the_number_of_parts() -> None:
    a, b = sample([50.0, 51.0, 52.0]), sample([52.1, 53.1, 54.1])
    opposite = verdict_on_samples(a, b, True).opposite
    assert LEVEL / 2 < opposite < LEVEL
    assert verdict(better(A, [B]), {A: a, B: b}).outcome == "fails"
    found = verdict(better(A, [B, C]), {A: a, B: b, C: sample([10.0, 11.0, 12.0])})
    assert found.outcome == "cannot decide"


def test_holding_is_not_corrected() -> None:
    a, b = sample([52.6, 53.6, 54.6]), sample([50.0, 51.0, 52.0])
    others = (B, C, D, E)
    found = verdict(better(A, others), {A: a, **dict.fromkeys(others, b)})
    assert (found.outcome, found.p) == ("holds", pytest.approx(verdict_on_samples(a, b, True).p))


def test_the_largest_drop() -> None:
    formula = worst(A, [FULL, VARIANT])
    drops = {FULL: noisy(90, 0), VARIANT: noisy(80, 1)}
    assert verdict(formula, {**drops, A: noisy(40, 2)}).outcome == "holds"
    assert verdict(formula, {**drops, A: noisy(85, 2)}).outcome == "fails"
    assert verdict(formula, {**drops, A: noisy(80, 2)}).outcome == "cannot decide"
    # of FID the worst is the highest
    assert verdict(formula, {FULL: noisy(5, 0), VARIANT: noisy(8, 1), A: noisy(40, 2)}, up=False).outcome == "holds"


def test_a_chain_with_a_wide_first_step() -> None:
    formula = chain([A], [B], [C, D], first_by=20.0)
    assert set(formula_leaves(formula)) == {FormulaPair(A, B, 20.0), FormulaPair(B, C), FormulaPair(B, D)}
    rest = {B: noisy(50, 1), C: noisy(30, 2), D: noisy(20, 3)}
    assert verdict(formula, {A: noisy(90, 0), **rest}).outcome == "holds"
    narrow = verdict(formula, {A: noisy(60, 0), **rest})
    assert (narrow.outcome, narrow.deciding) == ("fails", FormulaPair(A, B, 20.0))
    swapped = verdict(formula, {A: noisy(90, 0), **rest, D: noisy(60, 3)})
    assert (swapped.outcome, swapped.deciding) == ("fails", FormulaPair(B, D))


def test_about_equal_is_shown_and_not_assumed() -> None:
    formula = about_equal([A, B, C], 5.0)
    assert len(list(formula_leaves(formula))) == 6
    near = {A: noisy(80, 0), B: noisy(81, 1), C: noisy(79.5, 2)}
    assert verdict(formula, near).outcome == "holds"
    assert verdict(formula, {**near, C: noisy(60, 2)}).outcome == "fails"
    # no significant difference, but too few and too scattered to exclude one of 5
    wide = {subject: noisy(80, seed, deviation=8.0) for seed, subject in enumerate((A, B, C))}
    assert verdict(formula, wide).outcome == "cannot decide"


def test_some_difference() -> None:
    near = {A: noisy(80, 0), B: noisy(80, 1), C: noisy(80, 2)}
    assert verdict(differ([A, B, C]), near).outcome == "cannot decide"
    found = verdict(differ([A, B, C]), {**near, C: noisy(90, 2)})
    assert found.outcome == "holds"
    smallest = min(part.p for part in found.parts.values())
    assert found.p == pytest.approx(6 * smallest)


def test_a_u_shape() -> None:
    sweep = [A, B, C, D, E]

    def of(*means: float, k: int = 4) -> str:
        found = {subject: noisy(mean, seed, k) for seed, (subject, mean) in enumerate(zip(sweep, means, strict=True))}
        return verdict(u_shape(sweep), found, up=False).outcome

    assert of(60, 40, 20, 40, 60) == "holds"
    assert of(60, 58, 20, 21, 30) == "holds"
    assert of(60, 50, 40, 30, 20) == "fails"
    assert of(20, 30, 40, 50, 60) == "fails"
    assert of(20, 40, 60, 40, 20) == "fails"
    assert of(40, 40, 40, 40, 40) == "cannot decide"
    # a point in the middle is missing: the others suffice to hold, but not to fail
    hole = {A: noisy(60, 0), C: noisy(20, 2), E: noisy(60, 4)}
    assert verdict(u_shape(sweep), hole, up=False).outcome == "holds"
    falling = {A: noisy(60, 0), C: noisy(40, 2), E: noisy(20, 4)}
    assert verdict(u_shape(sweep), falling, up=False).outcome == "cannot decide"
    no_end = verdict(u_shape(sweep), {A: noisy(60, 0), C: noisy(20, 2)}, up=False)
    assert (no_end.outcome, no_end.deciding) == ("cannot decide", None)


def test_a_level_is_reached() -> None:
    assert verdict(reaches(A, 90.0, 2.0), {A: noisy(90, 0, deviation=0.3)}).outcome == "holds"
    assert verdict(reaches(A, 90.0, 2.0), {A: noisy(80, 0, deviation=0.3)}).outcome == "fails"
    assert verdict(reaches(A, 90.0, 2.0), {A: noisy(88, 0, deviation=0.3)}).outcome == "cannot decide"
    assert verdict(reaches(A, 90.0, 2.0), {}).outcome == "cannot decide"


# -------------------------------------------------------------------------------------------- how often it is wrong


def outcomes(
    formula: Formula[FormulaPair],
    means: dict[ClaimSubject, float],
    deviation: dict[ClaimSubject, float],
    k: int,
    repeats: int = 2000,
) -> dict[str, float]:
    """Share of each verdict over simulated results."""
    rng = np.random.default_rng(20)
    found = [
        verdict(
            formula, {of: sample(rng.normal(mean, deviation.get(of, 1.0), k)) for of, mean in means.items()}
        ).outcome
        for _ in range(repeats)
    ]
    return {outcome: found.count(outcome) / repeats for outcome in ("holds", "fails", "cannot decide")}


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("scatter", [{}, {A: 3.0}, {B: 3.0}], ids=["alike", "claimed", "rival"])
def test_a_false_sentence_seldom_holds(k: int, scatter: dict[ClaimSubject, float]) -> None:
    """The worst case of an intersection-union test: one part on the border, the others beyond doubt."""
    found = outcomes(better(A, [B, C, D]), {A: 100.0, B: 100.0, C: 0.0, D: 0.0}, scatter, k)
    assert found["holds"] <= LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / 2000)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_a_sentence_seldom_fails_where_nothing_differs(k: int) -> None:
    found = outcomes(better(A, [B, C, D]), dict.fromkeys((A, B, C, D), 100.0), {}, k)
    assert found["fails"] <= LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / 2000)
    assert found["holds"] <= 0.01


def test_a_u_shape_is_seldom_seen_where_there_is_none() -> None:
    bound = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / 2000)
    sweep = [A, B, C, D, E]
    # flat; and the border: a fall that ends on a plain
    for means in ((50.0,) * 5, (100.0, 0.0, 0.0, 0.0, 0.0)):
        found = outcomes(u_shape(sweep), {of: -mean for of, mean in zip(sweep, means, strict=True)}, {}, 3)
        assert found["holds"] <= bound
        assert found["fails"] <= bound


def test_equivalence_is_seldom_claimed_at_the_margin() -> None:
    found = outcomes(about_equal([A, B], 5.0), {A: 100.0, B: 105.0}, {}, 3)
    assert found["holds"] <= LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / 2000)


def test_nested_formulas_are_corrected_part_by_part() -> None:
    x, y, z = FormulaPair(A, B), FormulaPair(A, C), FormulaPair(A, D)
    parts = {
        x: ComparisonResult(0.01, 0.99, test="t"),
        y: ComparisonResult(0.03, 0.97, test="t"),
        z: ComparisonResult(0.9, 0.001, test="t"),
    }
    both = verdict_on_claim(FormulaEvery((FormulaSome((x, z)), y)), parts)
    assert (both.outcome, both.p, both.deciding) == ("holds", 0.03, y)
    some = verdict_on_claim(FormulaEvery((FormulaSome((x, z)),)), parts)
    assert (some.outcome, some.p, some.deciding) == ("holds", 0.02, x)
    one = verdict_on_claim(FormulaSome((FormulaEvery((x, z)), FormulaEvery((x, y)))), parts)
    assert (one.outcome, one.p, one.deciding) == ("cannot decide", 0.06, y)
    against = verdict_on_claim(FormulaEvery((FormulaSome((z,)), FormulaEvery((x, y)))), parts)
    assert (against.outcome, against.p, against.deciding) == ("fails", 0.002, z)
