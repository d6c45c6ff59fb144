"""The statistics of the training check, as functions of arrays.

**The unit is a whole training.** m trainings of the baseline and k new ones, of other seeds, each give one value to
every series (a metric of a method in a direction). If nothing changed, each choice of k of the m + k seeds was equally
likely to be the new ones. So all choices are tried (or a fixed random sample where there are too many), and each time
*whole seeds* change places: series that go together go together in every arrangement.

**Ranks.** The statistic of a series is the sum of the ranks that its new values have among all (Wilcoxon, Mann &
Whitney; ties share their rank). A training that failed ranks below every value (Lachin 1999), so it needs no invented
number, and a skewed metric needs no transformation.

**The family.** Within a method, p-values are corrected by step-down max-T (Westfall & Young 1993, algorithm 2.8): an
arrangement counts against a series if *any* series of the method that is left has as large a sum there. Between methods
by Bonferroni, each method having the share of the level that its series are of all (`corrected_permutation`): they are
trained apart, so a joint permutation would gain next to nothing, and each may have its own number of new seeds. If
nothing changed, a series is called worse in at most `LEVEL` of cases, whatever the distribution of values and however
the series depend on one another. This holds over baselines and new seeds together; for one baseline that is checked
again and again see `MINIMUM`.

**Two steps.** The first `FIRST` new seeds of a method decide only whether it needs the others: if none of its series is
worse by two thirds of what counts, it passes. What is called worse is called so by the test with all its new seeds, so
stopping early takes alarms away and adds none, and the level holds.

**Small numbers.** No p-value is below 1 / C(m + k, k), and the smallest corrected one may be as large as the number of
series times that: `permutation_bound`. If that exceeds the level, no change could be called one: nothing is decided.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, combinations

import numpy as np

from metrics.statistics.two_samples import two_sample_doubled_ranks, two_sample_wins

LEVEL = 0.025
"""Chance of one or more false alarms in a check."""
IMPLAUSIBLE_LEVEL = 0.005
"""Chance of calling unchanged code implausibly better."""
MINIMUM = 1.5
"""Multiple of the scatter of the baseline's seeds by which new ones must be worse, too. The level holds on average over
baselines, but one baseline serves many checks, and its own draw may have been lucky; docs/gate.md has what this is
worth. Almost no power is lost, since with up to 6 new seeds the test needs as large a fall."""
IMPLAUSIBLE_MINIMUM = 3.0
"""Multiple of the scatter by which new seeds must be better to be implausible."""
DOUBT = 2 / 3
"""Share of these two smallest changes from which on the first new seeds are in doubt: by chance one series in 13 is (of
normally distributed seeds), and a fall that `permutation_detects` names hardly ever is not."""
FALL = 10.0
"""Points of accuracy: a fall that the default number of new seeds finds with probability `POWER`."""
POWER, PLANNED = 0.9, 0.98
"""The second is what their number is chosen for: the stored seeds, by which it is chosen, are a sample themselves."""
FIRST = 3
"""New seeds of each method that are trained first."""
SMOOTHING = 0.5
"""Multiple of the scatter by which seeds drawn from a baseline's are moved."""
FAILURES_LEVEL = 0.1
"""Level of the test of failed trainings where the baseline has some, too: above it, more of them are chance."""
QN = 2.2219
"""Makes Qn agree with the deviation of a normal distribution."""
QN_SMALL = {2: 0.399, 3: 0.994, 4: 0.512, 5: 0.844, 6: 0.611, 7: 0.857, 8: 0.669, 9: 0.872}
"""Number of seeds -> the same for small samples (Croux & Rousseeuw 1992)."""
FEWEST, MOST = 6, 20
"""New seeds by default of a method whose first ones are in doubt, at least and at most."""
ENUMERATED = 300_000
"""Number of arrangements up to which all are tried."""
SAMPLED = 100_000
"""Arrangements that are drawn where there are more."""
DRAWS = 4000
"""Simulated checks for the power."""


@dataclass(frozen=True)
class PermutationResult:
    """Results of the permutation test for each series."""

    p: np.ndarray
    """(J,) one-sided p-values, uncorrected."""
    corrected: np.ndarray
    """(J,) corrected for the whole family."""
    arrangements: int
    """Number of arrangements tried, the true one included."""
    exact: bool
    """Whether those were all."""


def permutation_test(stored: np.ndarray, new: np.ndarray) -> PermutationResult:
    """Whether `new` (k, J) is above `stored` (m, J) in any of J series; larger is worse, inf is a failed training.

    Raises ValueError for NaN, for shapes that do not go together, and without a row on each side.
    """
    if stored.ndim != 2 or new.ndim != 2 or stored.shape[1] != new.shape[1]:
        raise ValueError(f"(m, J) and (k, J) wanted, got {stored.shape} and {new.shape}")
    if not len(stored) or not len(new):
        raise ValueError("a training on each side is needed")
    pooled = np.concatenate([stored, new])  # (m + k, J)
    if np.isnan(pooled).any():
        raise ValueError("NaN among the values")
    m, k = len(stored), len(new)
    ranks = two_sample_doubled_ranks(pooled)
    observed = ranks[m:].sum(0)  # (J,)
    chosen, exact = _arrangements(m + k, k)
    counts = np.zeros((2, len(observed)), dtype=np.int64)  # of one series, of the largest that is left
    order = np.argsort(-observed, kind="stable")
    for start in range(0, len(chosen), 20_000):  # 20,000 x J x 4 bytes at once
        sums = ranks[chosen[start : start + 20_000]].sum(1)[:, order]
        counts[0] += (sums >= observed[order]).sum(0)
        largest = np.maximum.accumulate(sums[:, ::-1], axis=1)[:, ::-1]  # over this series and those that follow
        counts[1] += (largest >= observed[order]).sum(0)
    # The true arrangement is one of all; beside a sample it is counted as one more (Phipson & Smyth 2010).
    total = len(chosen) + (not exact)
    shares = (counts + (not exact)) / total
    p, corrected = np.empty(len(order)), np.empty(len(order))
    p[order], corrected[order] = shares[0], np.maximum.accumulate(shares[1])
    return PermutationResult(p, corrected, total, exact)


@cache
def _arrangements(n: int, k: int) -> tuple[np.ndarray, bool]:
    """(arrangements, k) numbers of those that are taken as new, and whether these are all choices of k of n."""
    if math.comb(n, k) <= ENUMERATED:
        flat = np.fromiter(chain.from_iterable(combinations(range(n), k)), np.int16)
        return flat.reshape(-1, k), True
    rng = np.random.default_rng([n, k])
    parts = [rng.random((10_000, n)).argpartition(k, axis=1)[:, :k].astype(np.int16) for _ in range(SAMPLED // 10_000)]
    return np.concatenate(parts), False


def corrected_permutation(corrected: np.ndarray, of_method: int, whole: int) -> np.ndarray:
    """p-values corrected for the `of_method` series of a method, corrected for all `whole` of the family. (J,)"""
    return np.minimum(1.0, corrected * whole / of_method)


# ------------------------------------------------------------------------------------------- what can be found at all


def permutation_bound(m: int, k: int, series: int) -> float:
    """A bound for the smallest corrected p-value of m stored and k new seeds, whatever the dependence."""
    least = 1 / math.comb(m + k, k) if math.comb(m + k, k) <= ENUMERATED else 1 / (SAMPLED + 1)
    return min(1.0, series * least)


def permutation_fewest(m: int, series: int, level: float = LEVEL) -> int | None:
    """Fewest new seeds with which a change can be called one; None if m is too small for any number up to 100."""
    return next((k for k in range(1, 101) if permutation_bound(m, k, series) <= level), None)


@cache
def permutation_detects(m: int, k: int, series: int, first: int = FIRST) -> float:
    """Deviations of a seed by which one series must fall to be found with probability `POWER`.

    Of `k` new seeds `first` are trained first, and the others if these are in doubt. Simulated for normally distributed
    seeds, with fixed random numbers; to 0.05. The level of the series is `LEVEL` / `series`: if others of its method go
    with it, smaller falls are found. inf if 10 deviations are not.
    """
    if permutation_bound(m, k, series) > LEVEL:
        return math.inf
    needed = two_sample_wins(m, k, LEVEL / series)
    rng = np.random.default_rng([m, k, series])
    old, new = np.sort(rng.standard_normal((DRAWS, m)), axis=1), rng.standard_normal((DRAWS, k))
    least = MINIMUM * _scatter(old)
    differences = new[:, :, None] - old[:, None, :]  # (DRAWS, k, m)
    shift, early = (np.median(differences[:, :n].reshape(DRAWS, -1), axis=1) for n in (k, min(first, k)))
    for fall in np.arange(0.5, 10, 0.05):
        wins = (differences + fall > 0).sum((1, 2))
        if np.mean((wins >= needed) & (shift + fall > least) & (early + fall > least * DOUBT)) >= POWER:
            return float(round(fall, 2))
    return math.inf


def permutation_power(stored: np.ndarray, fall: float, k: int, series: int, first: int = FIRST) -> float:
    """Share of checks against `stored`, with new seeds that all fell by `fall`, that call the series worse.

    `permutation_detects` simulates normal seeds; here new seeds are drawn from the stored ones, failed ones among them,
    and moved at random by half of their scatter. That lets them scatter by an eighth more than the stored ones, for
    twenty seeds may show too little of it.
    """
    if permutation_bound(len(stored), k, series) > LEVEL:
        return 0.0
    rng = np.random.default_rng([len(stored), k])
    drawn = rng.choice(stored, (DRAWS, k)) + SMOOTHING * scatter(stored) * rng.standard_normal((DRAWS, k)) + fall
    needed = two_sample_wins(len(stored), k, LEVEL / series)
    wins = (drawn[:, :, None] > stored).sum((1, 2))
    least = MINIMUM * scatter(stored)
    early = _worsenings(stored, drawn[:, : min(first, k)])
    return float(np.mean((wins >= needed) & (_worsenings(stored, drawn) > least) & (early > least * DOUBT)))


def _worsenings(stored: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """`permutation_worsening` of each row of `drawn`. (DRAWS, k) -> (DRAWS,)"""
    failed = np.isinf(drawn)
    ended = np.where(failed, np.nan, drawn)[:, :, None] - stored[np.isfinite(stored)]
    if not failed.any():
        return np.median(ended.reshape(len(drawn), -1), axis=1)
    more = failed.mean(1) > np.isinf(stored).mean()
    ended[more] = 0.0  # not looked at, and never without a value
    return np.where(more, math.inf, np.nanmedian(ended.reshape(len(drawn), -1), axis=1))


def permutation_least_fall(stored: np.ndarray, k: int, series: int, first: int = FIRST) -> float:
    """The smallest fall that is found with probability `POWER`, in steps of a twentieth of the scatter; inf if none."""
    step = scatter(stored) / 20
    steps = range(20, 201)
    smallest = bisect_left(steps, True, key=lambda i: permutation_power(stored, i * step, k, series, first) >= POWER)
    return steps[smallest] * step if smallest < len(steps) and step else math.inf


def permutation_default(m: int, series: int, watched: Sequence[np.ndarray], first: int = FIRST) -> int:
    """New seeds with which a fall of `FALL` points is found with probability `PLANNED`, between FEWEST and MOST.

    `watched`: the (m,) values of each of a method's accuracies that are watched.
    """
    wanted = (k for k in range(FEWEST, MOST + 1) if permutation_bound(m, k, series) <= LEVEL)
    enough = (
        k for k in wanted if all(permutation_power(seeds, FALL, k, series, first) >= PLANNED for seeds in watched)
    )
    return next(enough, MOST)


# ---------------------------------------------------------------------------------------------------------- the effect


def permutation_deviation(stored: np.ndarray) -> float:
    """Standard deviation of the trainings that ended; 0 if fewer than two did."""
    ended = stored[np.isfinite(stored)]
    return float(ended.std(ddof=1)) if len(ended) > 1 else 0.0


def scatter(stored: np.ndarray) -> float:
    """Deviation that a few trainings that went astray, and ended nevertheless, hardly move.

    The smaller of the standard deviation and Qn (Rousseeuw & Croux 1993), which agree for normally distributed seeds.
    Some methods end far below their other seeds once in five times; then the standard deviation says how far, and not
    how well a change of all seeds can be seen.
    """
    ended = stored[np.isfinite(stored)]
    return float(_scatter(ended)) if len(ended) > 1 else 0.0


def _scatter(values: np.ndarray) -> np.ndarray:
    """(..., n) -> (...)."""
    n = values.shape[-1]
    first, second = np.triu_indices(n, 1)
    distances = np.abs(values[..., first] - values[..., second])  # (..., n (n - 1) / 2)
    rank = math.comb(n // 2 + 1, 2) - 1
    small = QN_SMALL.get(n, n / (n + 1.4) if n % 2 else n / (n + 3.8))
    return np.minimum(values.std(-1, ddof=1), QN * small * np.partition(distances, rank, axis=-1)[..., rank])


def permutation_worsening(stored: np.ndarray, new: np.ndarray) -> float:
    """Shift of `new` above `stored`; larger is worse, inf is a failed training.

    The median of all differences between trainings that ended (Hodges & Lehmann 1963): the shift that goes with the
    test of ranks. inf if a larger share of `new` failed. Raises ValueError if all of `stored` did.
    """
    if np.isinf(stored).all():
        raise ValueError("no stored training ended well")
    if np.isinf(new).mean() > np.isinf(stored).mean():
        return math.inf
    return float(np.median(new[np.isfinite(new), None] - stored[np.isfinite(stored)]))


def permutation_failures(stored: np.ndarray, new: np.ndarray) -> float:
    """Probability that at least as many of `new` fail if it is as likely as in `stored`: Fisher's exact test."""
    failed = [int(np.isinf(side).sum()) for side in (stored, new)]
    n, k, together = len(stored) + len(new), len(new), sum(failed)
    ways = [math.comb(together, i) * math.comb(n - together, k - i) for i in range(min(k, together) + 1)]
    return sum(ways[failed[1] :]) / math.comb(n, k)
