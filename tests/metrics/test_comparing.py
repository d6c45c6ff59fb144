"""Statistics over seeds: against scipy, brute force, closed forms and simulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metrics.statistics.comparing import best_set, holm, probability_of_improvement, rank_ranges

CLEAR = {"a": [10.0, 10.2, 10.1], "b": [10.3, 9.9, 10.0], "c": [20.0, 20.1, 19.9]}


def test_p_values_are_welch_s_corrected_by_holm() -> None:
    values = {"a": [1.0, 2.0, 4.0], "b": [3.0, 5.0, 4.5, 6.0], "c": [9.0, 2.0]}
    found = best_set(values, higher_is_better=True)
    assert found.best == "c"
    raw = {name: stats.ttest_ind(values[name], values["c"], equal_var=False).pvalue for name in "ab"}
    small, large = sorted(raw, key=lambda name: raw[name])
    assert found.p_values[small] == pytest.approx(min(1.0, 2 * raw[small]))
    assert found.p_values[large] == pytest.approx(max(min(1.0, 2 * raw[small]), raw[large]))


def test_the_best_and_what_cannot_be_told_from_it() -> None:
    assert best_set(CLEAR, higher_is_better=False).members == {"a", "b"}
    assert best_set(CLEAR, higher_is_better=True).members == {"c"}
    assert "Welch" in best_set(CLEAR, higher_is_better=True).note


def test_what_three_seeds_tell_apart_two_do_not() -> None:
    """A difference of 4 deviations: t = 4.9 with 4 degrees of freedom, or t = 4.0 with 2."""
    three = {"a": [3.0, 4.0, 5.0], "b": [-1.0, 0.0, 1.0], "c": [-1.0, 0.0, 1.0]}
    two = {name: [of[0] + 0.293, of[2] - 0.293] for name, of in three.items()}  # the same means and deviations
    assert np.std(two["a"], ddof=1) == pytest.approx(1.0, abs=1e-3)
    assert best_set(three, True).members == {"a"}
    assert best_set(two, True).members == {"a", "b", "c"}


def test_one_seed_without_deviations_tells_nothing() -> None:
    found = best_set({"a": [1.0], "b": [99.0]}, higher_is_better=True)
    assert (found.best, found.members, dict(found.p_values)) == ("b", frozenset(), {})
    assert "nothing is bold" in found.note
    # One seed among methods with several cannot be ruled out.
    assert best_set({**CLEAR, "d": [500.0]}, higher_is_better=False).members == {"a", "b", "d"}


def test_one_seed_each_is_tested_over_images_and_says_so() -> None:
    values, deviations = {"a": [50.0], "b": [52.0], "c": [60.0]}, {"a": 1.0, "b": 1.0, "c": 1.0}
    found = best_set(values, False, deviations)
    assert found.members == {"a", "b"}
    assert found.p_values["c"] == pytest.approx(2 * 2 * stats.norm.sf(10 / 2**0.5))
    assert found.p_values["b"] == pytest.approx(2 * stats.norm.sf(2 / 2**0.5))
    assert "of these trainings and no others" in found.note
    assert best_set(values, False, {"a": 1.0}).members == frozenset()


def test_seeds_that_agree_to_the_last_digit_are_no_proof() -> None:
    assert best_set({"a": [12.0, 12.0, 12.0], "b": [13.0, 13.0, 13.0]}, False).members == {"a", "b"}
    assert best_set({"a": [10.0, 10.0, 10.0], "b": [95.0, 95.1, 94.9]}, True).members == {"b"}


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("deviations", [(1.0,) * 6, tuple(np.linspace(0.1, 3, 6)), (0.1,) * 5 + (3.0,)])
def test_a_truly_best_method_seldom_loses_its_place(seeds: int, deviations: tuple[float, ...]) -> None:
    """Six equal methods; 400 columns. At 5 %, 33 losses of one method would be 3 deviations too many."""
    rng = np.random.default_rng(seeds)
    lost = dict.fromkeys("abcdef", 0)
    for _ in range(400):
        drawn = rng.normal(size=(6, seeds)) * np.array(deviations)[:, None]
        for name in set(lost) - best_set(dict(zip(lost, drawn.tolist(), strict=True)), True).members:
            lost[name] += 1
    assert max(lost.values()) < 33
    assert sum(lost.values()) > 0


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), min_size=1, max_size=7))
def test_holm_rejects_what_its_definition_rejects(p_values: dict[str, float]) -> None:
    corrected = holm(p_values)
    names = sorted(p_values, key=lambda name: p_values[name])
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for place, name in enumerate(names):
            if p_values[name] * (len(names) - place) > level:
                break
            rejected.add(name)
        assert {name for name in names if corrected[name] <= level} == rejected


def test_rank_ranges() -> None:
    assert rank_ranges(CLEAR, higher_is_better=False) == {"a": (1, 2), "b": (1, 2), "c": (3, 3)}
    assert rank_ranges(CLEAR, higher_is_better=True) == {"a": (2, 3), "b": (2, 3), "c": (1, 1)}
    assert rank_ranges({**CLEAR, "d": [0.0]}, higher_is_better=True)["d"] == (1, 4)


of_seeds = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=4)


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")  # scipy, of seeds that agree
@given(st.dictionaries(st.sampled_from("abcdef"), of_seeds, min_size=2), st.booleans())
def test_rank_ranges_count_who_is_significantly_better(values: dict[str, list[float]], higher: bool) -> None:
    """Pair by pair with scipy's own test."""
    pairs = [(a, b) for a in values for b in values if a < b and len(values[a]) > 1 and len(values[b]) > 1]
    raw = {}
    for a, b in pairs:
        varies = np.var(values[a]) + np.var(values[b]) > 0
        raw[a + b] = stats.ttest_ind(values[a], values[b], equal_var=False).pvalue if varies else 1.0
    significant = {pair for pair, p in holm(raw).items() if p < 0.05}
    better, worse = dict.fromkeys(values, 0), dict.fromkeys(values, 0)
    for a, b in significant:
        ahead, behind = (a, b) if (np.mean(values[a]) > np.mean(values[b])) == higher else (b, a)
        worse[ahead] += 1
        better[behind] += 1
    expected = {name: (1 + better[name], len(values) - worse[name]) for name in values}
    assert rank_ranges(values, higher) == expected


# ------------------------------------------------------------------------------------------ probability of improvement

few = st.lists(st.integers(0, 4).map(float), min_size=1, max_size=5)


@given(st.lists(st.tuples(few, few), min_size=1, max_size=3), st.booleans())
def test_improvement_is_the_share_of_pairs_and_mann_whitney_s_u(tasks: list, higher: bool) -> None:
    x = {str(i): pair[0] for i, pair in enumerate(tasks)}
    y = {str(i): pair[1] for i, pair in enumerate(tasks)}
    found = probability_of_improvement(x, y, higher, repeats=20)
    sign = 1 if higher else -1
    shares = []
    for task in x:
        pairs = [(sign * a, sign * b) for a, b in product(x[task], y[task])]
        shares.append(sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs))
        if higher and len(set(x[task] + y[task])) > 1:
            u = stats.mannwhitneyu(x[task], y[task], alternative="greater").statistic
            assert u / len(pairs) == pytest.approx(shares[-1])
    assert found.probability == pytest.approx(np.mean(shares))
    assert 0 <= found.low <= found.high <= 1
    swapped = probability_of_improvement(y, x, higher, repeats=20)
    assert found.probability + swapped.probability == pytest.approx(1)


def test_its_interval_is_that_of_all_bootstrap_samples() -> None:
    """Every resample of 4 and 3 trainings, with its multiplicity, against 20,000 random ones."""
    x, y = [1.0, 4.0, 6.0, 9.0], [2.0, 5.0, 7.0]
    exact = []
    for a, b in product(product(x, repeat=4), product(y, repeat=3)):
        exact.append(np.mean([p > q for p in a for q in b]))
    low, high = np.percentile(exact, [2.5, 97.5])
    found = probability_of_improvement({"t": x}, {"t": y}, True, repeats=20_000)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1 / 12)
    assert not found.degenerate


def test_its_order_does_not_matter_and_complete_separation_is_called_degenerate() -> None:
    x, y = {"s": [3.0, 1.0, 2.0], "t": [5.0, 6.0]}, {"s": [2.5, 0.0], "t": [5.5, 1.0]}
    shuffled = {"t": [6.0, 5.0], "s": [1.0, 2.0, 3.0]}
    assert probability_of_improvement(x, y, True) == probability_of_improvement(shuffled, y, True)
    found = probability_of_improvement({"t": [3.0, 4.0, 5.0]}, {"t": [0.0, 1.0, 2.0]}, True)
    assert (found.probability, found.low, found.high, found.degenerate) == (1.0, 1.0, 1.0, True)
    assert probability_of_improvement({"t": [3.0, 4.0]}, {"t": [0.0, 1.0]}, False).probability == 0.0


@pytest.mark.parametrize(
    ("values", "problem"), [({}, "at least 1 name"), ({"a": []}, "a: finite"), ({"a": [float("nan")]}, "a: finite")]
)
def test_what_has_no_value_is_refused(values: dict[str, list[float]], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        best_set(values, True)
    with pytest.raises(ValueError, match=problem):
        rank_ranges(values, True)


def test_other_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match="same tasks"):
        probability_of_improvement({"a": [1.0]}, {"b": [1.0]}, True)
    with pytest.raises(ValueError, match="image deviations"):
        best_set({"a": [1.0], "b": [2.0]}, True, {"a": -1.0, "b": 1.0})
