"""Comparison of methods over seeds: what is not distinguishable from the best, ranks with ties, improvement.

The unit is a whole training: only seeds say whether another training of the same method would come out in the same
order. Values of seeds that failed do not enter, so k/n belongs beside every result: a method of which one training in
three ends is judged by that one. Compare values of one protocol, at equal numbers of images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr

from metrics.statistics.intervals import SeedInterval, seed_intervals
from metrics.statistics.two_samples import welch

Values = Mapping[str, Sequence[float]]
"""Method -> one value per seed that has one."""


@dataclass(frozen=True)
class BestSet:
    """The methods that are not distinguishable from the best, which tables print in bold."""

    best: str
    """The method of the best mean; of equal ones the first by name."""
    members: frozenset[str]
    """Names of the methods, `best` among them; empty where nothing could be tested."""
    p_values: Mapping[str, float]
    """Every tested method -> its p-value against the best, corrected for their number."""
    note: str
    """Description of the test, for a table's footer."""


def best_set(
    values: Values, higher_is_better: bool, image_deviations: Mapping[str, float] | None = None, level: float = 0.05
) -> BestSet:
    """The methods that a test at `level` does not find worse than the one of the best mean.

    With 2 seeds or more on both sides: Welch's two-sided t-test. The p-values of a table's column are corrected by
    Holm's method. The best is chosen by the same data, which no correction for a fixed reference covers; but a method
    that truly is the best loses its place only if one that is not better beats it significantly, and over 3 to 6
    methods, 2 to 10 seeds and unequal deviations that happened in at most 4 of 100 simulated columns. Seeds that
    agree to the last digit have no scale to measure a difference by: if both sides are so, they are not told apart.
    Two seeds tell hardly anything apart: to do so in 2 of 3 cases takes a difference of 16 deviations among 6
    methods; three seeds take 4.

    With one seed on a side, `image_deviations` (method -> standard deviation of its value over images, as by
    `metrics.statistics.intervals.half_sample_deviation`) allow a normal test of the two values at hand. It says whether
    *these trainings* differ on other images, and nothing about other trainings; `note` says so. It takes the images of
    both as drawn apart: where the sources are shared, it is cautious. Without deviations there is no test, a method
    that could not be tested stays in the set, and if none could be, the set is empty rather than full.

    ValueError for no method, a method without a value, values or deviations that are not finite.
    """
    return best_of(_summaries(values), higher_is_better, image_deviations, level)


def best_of(
    over: Mapping[str, SeedInterval], higher_is_better: bool, image_deviations: Mapping[str, float] | None = None,
    level: float = 0.05,
) -> BestSet:  # fmt: skip
    """`best_set` from mean, deviation and number of seeds of each method."""
    sign = 1 if higher_is_better else -1
    best = min(over, key=lambda name: (-sign * _mean(over[name]), name))
    others = sorted(set(over) - {best})
    over_seeds = [name for name in others if over[best].k > 1 and over[name].k > 1]
    reference = _moments([over[best]] * len(over_seeds))
    tested = welch(reference, _moments([over[name] for name in over_seeds])).p_values()
    raw = dict(zip(over_seeds, tested.tolist(), strict=True))
    kinds = {"seeds"} if over_seeds else set()
    for name in sorted(set(others) - set(over_seeds)):
        p = _over_images(_mean(over[best]) - _mean(over[name]), best, name, image_deviations or {})
        kinds.add("none" if p is None else "images")
        if p is not None:
            raw[name] = p
    corrected = holm(raw)
    members = {best, *(name for name in over if corrected.get(name, 1.0) >= level)} if raw else set()
    return BestSet(best, frozenset(members), corrected, _note(kinds, level))


def _over_images(difference: float, a: str, b: str, deviations: Mapping[str, float]) -> float | None:
    """Two-sided p-value of the two values at hand; None if there is nothing to test with."""
    if a not in deviations or b not in deviations:
        return None
    scale = math.hypot(deviations[a], deviations[b])
    if not math.isfinite(scale) or min(deviations[a], deviations[b]) < 0:
        raise ValueError(f"image deviations: finite, 0 or more wanted, got {deviations[a]} and {deviations[b]}")
    return 2 * float(ndtr(-abs(difference) / scale)) if scale else 1.0


def _mean(over: SeedInterval) -> float:
    assert over.mean is not None  # `_summaries` has seen to it
    return over.mean


def _moments(over: Sequence[SeedInterval]) -> np.ndarray:
    """(3, len(over)): mean, its variance, and degrees of freedom, for two seeds or more."""
    moments = [(summary.mean, (summary.deviation or 0.0) ** 2 / summary.k, summary.k - 1) for summary in over]
    return np.array(moments, dtype=np.float64).reshape(-1, 3).T


def _note(kinds: set[str], level: float) -> str:
    percent = f"{100 * level:g} %"
    said = []
    if "seeds" in kinds:
        said.append(f"Welch's t-test over seeds, Holm's correction, {percent}")
    if "images" in kinds:
        said.append(
            f"one seed: normal test over images, Holm's correction, {percent}, of these trainings and no others"
        )
    if "none" in kinds:
        said.append("one seed without a deviation: not tested")
    return (
        "bold: not distinguishable from the best (" + "; ".join(said) + ")"
        if kinds - {"none"}
        else "nothing is bold: nothing could be tested"
    )


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction (Holm 1979): p-values that may each be compared with the level of all together."""
    names = sorted(p_values)
    corrected = _holm(np.array([p_values[name] for name in names], dtype=np.float64))
    return dict(zip(names, corrected.tolist(), strict=True))


def _holm(p_values: np.ndarray) -> np.ndarray:
    """`holm` of an array, (n,) -> (n,)."""
    order = np.argsort(p_values, kind="stable")
    steps = np.minimum(1.0, (len(order) - np.arange(len(order))) * p_values[order])
    corrected = np.empty(len(order))
    corrected[order] = np.maximum.accumulate(steps)
    return corrected


def rank_ranges(values: Values, higher_is_better: bool, level: float = 0.05) -> dict[str, tuple[int, int]]:
    """Method -> (first, last) rank that the seeds leave open, 1 being the best; methods that overlap are tied.

    First: 1 + the methods that are significantly better; last: all less those significantly worse. Significant: Welch's
    t-test over all pairs, Holm's correction. A method with one seed can be anywhere. ValueError as by `best_set`.
    """
    over = _summaries(values)
    names = sorted(name for name, summary in over.items() if summary.k > 1)
    moments = _moments([over[name] for name in names])
    i, j = np.triu_indices(len(names), 1)
    significant = _holm(welch(moments[:, i], moments[:, j]).p_values()) < level
    first_is_better = (moments[0, i] > moments[0, j]) == higher_is_better
    ahead, behind = np.where(first_is_better, i, j)[significant], np.where(first_is_better, j, i)[significant]
    better = dict(zip(names, np.bincount(behind, minlength=len(names)).tolist(), strict=True))
    worse = dict(zip(names, np.bincount(ahead, minlength=len(names)).tolist(), strict=True))
    return {name: (1 + better.get(name, 0), len(over) - worse.get(name, 0)) for name in values}


@dataclass(frozen=True)
class Improvement:
    """Probability that a training of x is better than one of y."""

    probability: float
    low: float
    """Lower end of the percentile interval over bootstrap samples of the trainings."""
    high: float
    degenerate: bool
    """Whether in each task every value of one side beats every one of the other, or all are equal: the bootstrap cannot
    leave `probability`, and the interval, which has no width, says nothing about other trainings."""


def probability_of_improvement(
    x: Values, y: Values, higher_is_better: bool, repeats: int = 2000, level: float = 0.95, seed: int = 0
) -> Improvement:
    """P(X > Y), a tie being a half, averaged over tasks (Agarwal et al., NeurIPS 2021, section 4.3 and rliable).

    `x`, `y`: task -> one value per training; the same tasks in both, any numbers of trainings. Per task it is the
    Mann-Whitney U over the number of pairs. The interval is rliable's: trainings are drawn anew within each task and
    side. It depends on `seed`, not on the order of tasks or values. ValueError for other tasks, none, or values that
    are not finite.
    """
    if set(x) != set(y):
        raise ValueError(f"the same tasks wanted for both, got {sorted(x)} and {sorted(y)}")
    sign = 1 if higher_is_better else -1
    sides = [(np.sort(sign * _checked(x)[task]), np.sort(sign * _checked(y)[task])) for task in sorted(x)]
    means = []
    losses = np.zeros(repeats)
    for task, (a, b) in enumerate(sides):
        lost, lost_or_tied = np.searchsorted(a, b), np.searchsorted(a, b, side="right")  # of a, by each of b
        means.append(1 - float((lost + lost_or_tied).mean()) / (2 * len(a)))
        losses += _resampled(len(a), lost, lost_or_tied, repeats, (seed, task)) / len(sides)
    tail = 50 * (1 - level)
    low, high = np.clip(np.percentile(1 - losses, [tail, 100 - tail]), 0, 1).tolist()
    degenerate = all(mean in (0.0, 1.0) or len({*a, *b}) == 1 for mean, (a, b) in zip(means, sides, strict=True))
    return Improvement(float(np.mean(means)), low, high, degenerate)


def _resampled(
    count: int, lost: np.ndarray, lost_or_tied: np.ndarray, repeats: int, stream: tuple[int, int]
) -> np.ndarray:
    """Share of pairs that x loses, a tie being a half, in each of `repeats` bootstrap samples of both sides.

    x has `count` values in ascending order; each value of y is above the first `lost` of them, and below all but the
    first `lost_or_tied`.
    """
    below, of_y = _below(count, repeats, (*stream, 0)), _drawn(len(lost), repeats, (*stream, 1))
    twice = below[lost] + below[lost_or_tied]  # (len(lost), repeats)
    return np.einsum("kr,kr->r", twice, of_y) / (2 * count * len(lost))


@lru_cache(maxsize=16)
def _drawn(count: int, repeats: int, stream: tuple[int, ...]) -> np.ndarray:
    """(count, repeats): how often each of `count` values is in a sample of `count` with replacement."""
    drawn = np.random.default_rng(stream).integers(count, size=(count, repeats))
    drawn = drawn * repeats + np.arange(repeats)
    counts = np.bincount(drawn.ravel(), minlength=count * repeats).reshape(count, repeats).astype(np.float64)
    counts.flags.writeable = False
    return counts


@lru_cache(maxsize=16)
def _below(count: int, repeats: int, stream: tuple[int, ...]) -> np.ndarray:
    """(count + 1, repeats): how many of a sample are among the first 0, 1, ... `count` values."""
    below = np.concatenate([np.zeros((1, repeats)), np.cumsum(_drawn(count, repeats, stream), axis=0)])
    below.flags.writeable = False
    return below


def _checked(values: Values) -> dict[str, np.ndarray]:
    if not values:
        raise ValueError("values: at least 1 name wanted, got none")
    held = {name: np.asarray(sample, dtype=np.float64) for name, sample in values.items()}
    for name, sample in held.items():
        if sample.ndim != 1 or len(sample) == 0 or not np.isfinite(sample).all():
            raise ValueError(f"{name}: finite values wanted, one per seed, got {values[name]}")
    return held


def _summaries(values: Values) -> dict[str, SeedInterval]:
    return dict(zip(values, seed_intervals([sample.tolist() for sample in _checked(values).values()]), strict=True))
