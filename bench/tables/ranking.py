"""Who is better, over seeds: what cannot be told from the best, ranks with ties, paired differences, improvement.

The unit is a whole training: only seeds say whether another training of the same method would come out in the same
order. Values of seeds that failed do not enter, so k/n belongs beside every result: a method of which one training in
three ends is judged by that one. Compare values of one protocol, at equal numbers of images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from metrics.intervals import seed_interval

Values = Mapping[str, Sequence[float]]
"""Method -> one value per seed that has one."""


@dataclass(frozen=True)
class BestSet:
    """The methods that cannot be told from the best, which tables print in bold."""

    best: str
    """The method of the best mean; of equal ones the first by name."""
    members: frozenset[str]
    """With `best`; empty where nothing could be tested."""
    p_values: Mapping[str, float]
    """Every tested method -> its p-value against the best, corrected for their number."""
    note: str
    """What was tested, for a table's footer."""


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
    `metrics.intervals.half_sample_deviation`) allow a normal test of the two values at hand. It says whether *these
    trainings* differ on other images, and nothing about other trainings; `note` says so. It takes the images of both
    as drawn apart: where the sources are shared, it is cautious. Without deviations there is no test, a method that
    could not be tested stays in the set, and if none could be, the set is empty rather than full.

    ValueError for no method, a method without a value, values or deviations that are not finite.
    """
    held = _checked(values)
    sign = 1 if higher_is_better else -1
    best = min(held, key=lambda name: (-sign * float(held[name].mean()), name))
    raw: dict[str, float] = {}
    kinds = set()
    for name in sorted(set(held) - {best}):
        p, kind = _p_value(held, best, name, image_deviations or {})
        kinds.add(kind)
        if p is not None:
            raw[name] = p
    corrected = holm(raw)
    members = {best, *(name for name in held if corrected.get(name, 1.0) >= level)} if raw else set()
    return BestSet(best, frozenset(members), corrected, _note(kinds, level))


def _p_value(held: dict[str, np.ndarray], a: str, b: str, deviations: Mapping[str, float]) -> tuple[float | None, str]:
    """Two-sided, and by which test; None if there is nothing to test with."""
    x, y = held[a], held[b]
    if len(x) > 1 and len(y) > 1:
        return _welch(x, y), "seeds"
    if a not in deviations or b not in deviations:
        return None, "none"
    scale = math.hypot(deviations[a], deviations[b])
    if not math.isfinite(scale) or min(deviations[a], deviations[b]) < 0:
        raise ValueError(f"image deviations: finite, 0 or more wanted, got {deviations[a]} and {deviations[b]}")
    difference = abs(float(x.mean() - y.mean()))
    return (2 * float(stats.norm.sf(difference / scale)) if scale else 1.0), "images"


def _welch(x: np.ndarray, y: np.ndarray) -> float:
    """Two-sided p-value (Welch 1947); 1 where neither side varies."""
    of_x, of_y = x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)
    if of_x + of_y == 0:
        return 1.0
    freedom = (of_x + of_y) ** 2 / (of_x**2 / (len(x) - 1) + of_y**2 / (len(y) - 1))
    return _two_sided(float((x.mean() - y.mean()) / math.sqrt(of_x + of_y)), float(freedom))


def _two_sided(t: float, freedom: float) -> float:
    return 2 * float(stats.t.sf(abs(t), freedom))


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
        "bold: not told from the best (" + "; ".join(said) + ")"
        if kinds - {"none"}
        else "nothing is bold: nothing to test"
    )


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction (Holm 1979): p-values that may each be compared with the level of all together."""
    corrected, highest = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: (p_values[name], name))):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[name]))
        corrected[name] = highest
    return corrected


def rank_ranges(values: Values, higher_is_better: bool, level: float = 0.05) -> dict[str, tuple[int, int]]:
    """Method -> (first, last) rank that the seeds leave open, 1 being the best; methods that overlap are tied.

    First: 1 + the methods that are significantly better; last: all less those significantly worse. Significant: Welch's
    t-test over all pairs, Holm's correction. A method with one seed can be anywhere. ValueError as by `best_set`.
    """
    held = _checked(values)
    names = sorted(held)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if len(held[a]) > 1 and len(held[b]) > 1]
    corrected = holm({f"{i}": _welch(held[a], held[b]) for i, (a, b) in enumerate(pairs)})
    better, worse = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for i, (a, b) in enumerate(pairs):
        if corrected[f"{i}"] < level:
            ahead, behind = (a, b) if (held[a].mean() > held[b].mean()) == higher_is_better else (b, a)
            worse[ahead] += 1
            better[behind] += 1
    return {name: (1 + better[name], len(names) - worse[name]) for name in values}


def ranks_with_ties(values: Mapping[str, float], higher_is_better: bool) -> dict[str, float]:
    """Method -> rank of one value each, 1 the best; equal values share the mean of their ranks (1, 2.5, 2.5, 4)."""
    numbers = np.array(list(values.values()), dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError(f"finite values wanted, got {dict(values)}")
    ranks = stats.rankdata(-numbers if higher_is_better else numbers)
    return {name: float(rank) for name, rank in zip(values, ranks, strict=True)}


def mean_ranks(by_seed: Mapping[str, Mapping[int, float]], higher_is_better: bool) -> dict[str, float]:
    """Method -> mean over seeds of its rank among all methods; only seeds that every method has. Empty without one.

    `by_seed`: method -> seed -> value.
    """
    shared = set.intersection(*(set(of) for of in by_seed.values())) if by_seed else set()
    each = [
        ranks_with_ties({name: of[seed] for name, of in by_seed.items()}, higher_is_better) for seed in sorted(shared)
    ]
    return {name: float(np.mean([ranks[name] for ranks in each])) for name in by_seed} if each else {}


@dataclass(frozen=True)
class PairedDifference:
    """a - b, seed by seed."""

    mean: float
    deviation: float | None
    """Sample standard deviation of the differences; None for one seed."""
    low: float | None
    """Of the t-interval of the mean; None for one seed."""
    high: float | None
    p_value: float | None
    """Two-sided paired t-test; None for one seed and for differences that are all the same."""
    seeds: tuple[int, ...]
    """Those in both."""


def paired_difference(a: Mapping[int, float], b: Mapping[int, float], level: float = 0.95) -> PairedDifference | None:
    """The difference of two methods over the seeds (seed -> value) that both have; None without a common one.

    A seed fixes the semantic stages, the order of the images and the noise of the evaluation, so what those do to both
    cancels. ValueError for values that are not finite.
    """
    seeds = tuple(sorted(set(a) & set(b)))
    if not seeds:
        return None
    differences = [a[seed] - b[seed] for seed in seeds]
    found = seed_interval(differences, level)
    assert found.mean is not None
    p = _two_sided(found.mean / found.deviation * math.sqrt(found.k), found.k - 1) if found.deviation else None
    return PairedDifference(found.mean, found.deviation, found.low, found.high, p, seeds)


@dataclass(frozen=True)
class Improvement:
    """How likely a training of x is to come out better than one of y."""

    probability: float
    low: float
    """Of the percentile interval over bootstrap samples of the trainings."""
    high: float
    degenerate: bool
    """In each task every value of one side beats every one of the other, or all are equal: the bootstrap then cannot
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
    wins = [(np.sign(a[:, None] - b[None, :]) + 1) / 2 for a, b in sides]  # per task (k_x, k_y): 1, 0, a tie 0.5
    rng = np.random.default_rng(seed)
    drawn = np.mean([_resampled(table, repeats, rng) for table in wins], axis=0)
    tail = 50 * (1 - level)
    low, high = np.percentile(drawn, [tail, 100 - tail])
    degenerate = all(table.min() == table.max() for table in wins)
    return Improvement(float(np.mean([table.mean() for table in wins])), float(low), float(high), degenerate)


def _resampled(table: np.ndarray, repeats: int, rng: np.random.Generator) -> np.ndarray:
    """Mean of the wins (k_x, k_y) over `repeats` draws of rows and of columns, with replacement; (repeats,)."""
    rows = rng.integers(table.shape[0], size=(repeats, table.shape[0]))
    columns = rng.integers(table.shape[1], size=(repeats, table.shape[1]))
    return table[rows[:, :, None], columns[:, None, :]].mean(axis=(1, 2))


def _checked(values: Values) -> dict[str, np.ndarray]:
    if not values:
        raise ValueError("values: at least 1 name wanted, got none")
    held = {name: np.asarray(of, dtype=np.float64) for name, of in values.items()}
    for name, of in held.items():
        if of.ndim != 1 or len(of) == 0 or not np.isfinite(of).all():
            raise ValueError(f"{name}: finite values wanted, one per seed, got {values[name]}")
    return held
