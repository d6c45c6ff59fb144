"""The statistics of the training check, as functions of arrays.

**The unit is a whole training.** m trainings of the baseline and k new ones, of other seeds, each give one value to
every series (a metric of a method in a direction). If nothing changed, each choice of k of the m + k seeds was equally
likely to be the new ones. So all choices are tried (or a fixed random sample where there are too many), and each time
*whole seeds* change places: series that go together go together in every arrangement.

**Ranks.** The statistic of a series is the sum of the ranks that its new values have among all (Wilcoxon, Mann &
Whitney; ties share their rank). A training that failed ranks below every value (Lachin 1999), so it needs no invented
number, and a skewed metric needs no transformation.

**The family.** p-values are corrected by step-down max-T (Westfall & Young 1993, algorithm 2.8): an arrangement counts
against a series if *any* series that is left has as large a sum there. If nothing changed, a series is called worse in
at most `LEVEL` of cases, whatever the distribution of values and however the series depend on one another. This holds
over baselines and new seeds together; for one baseline that is checked again and again see `MINIMUM`.

**Small numbers.** No p-value is below 1 / C(m + k, k), and the smallest corrected one may be as large as the number of
series times that: `attainable`. If that exceeds the level, no change could be called one, and nothing is decided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, combinations

import numpy as np

LEVEL = 0.025
"""Chance of one or more false alarms in a check."""
IMPLAUSIBLE_LEVEL = 0.005
"""The same of calling unchanged code implausibly better."""
MINIMUM = 1.5
"""Deviations of the baseline's seeds by which the new mean must be worse, too. The level holds on average over
baselines, but one baseline serves many checks, and its own draw may have been lucky. Of 150 simulated baselines of 20
seeds and 17 series, 5 to 11 % would give false alarms in more than 5 % of checks without it, and 3 to 5 % with it
(normal, skewed and heavy-tailed seeds, 5 and 6 new ones; the value was chosen on these simulations). Almost no power is
lost, since with 4 to 6 new seeds the test needs as large a fall."""
IMPLAUSIBLE_MINIMUM = 3.0
"""Deviations by which the new mean must be better to be implausible."""
FALL = 10.0
"""Points of accuracy: a fall that the default number of new seeds finds with probability `POWER`."""
POWER = 0.9
CAUTION = 1.2
"""The deviation of 20 seeds may be this much too small (its upper limit at 80 % is 1.18 times it)."""
FEWEST, MOST = 4, 10
"""New seeds by default, at least and at most."""
ENUMERATED = 300_000
"""Up to so many arrangements all are tried."""
SAMPLED = 100_000
"""Arrangements that are drawn where there are more."""
DRAWS = 4000
"""Simulated checks for the power."""


@dataclass(frozen=True)
class Tested:
    """What the permutation test says of each series."""

    p: np.ndarray
    """(J,) one-sided p-values, uncorrected."""
    corrected: np.ndarray
    """(J,) corrected for the whole family."""
    arrangements: int
    """How many were tried, the true one included."""
    exact: bool
    """Whether those were all."""


def permutation_test(stored: np.ndarray, found: np.ndarray) -> Tested:
    """Whether `found` (k, J) is above `stored` (m, J) in any of J series; larger is worse, inf is a failed training.

    Raises ValueError for NaN, for shapes that do not go together, and without a row on each side.
    """
    if stored.ndim != 2 or found.ndim != 2 or stored.shape[1] != found.shape[1]:
        raise ValueError(f"(m, J) and (k, J) wanted, got {stored.shape} and {found.shape}")
    if not len(stored) or not len(found):
        raise ValueError("a training on each side is needed")
    pooled = np.concatenate([stored, found])  # (m + k, J)
    if np.isnan(pooled).any():
        raise ValueError("NaN among the values")
    m, k = len(stored), len(found)
    ranks = _doubled_ranks(pooled)
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
    return Tested(p, corrected, total, exact)


def _doubled_ranks(values: np.ndarray) -> np.ndarray:
    """Twice the mean rank within each column, as int32: sums of them are exact. (N, J)"""
    ascending = np.sort(values, axis=0)
    columns = zip(ascending.T, values.T, strict=True)
    found = [np.searchsorted(a, v, "left") + np.searchsorted(a, v, "right") + 1 for a, v in columns]
    return np.array(found, dtype=np.int32).reshape(values.shape[1], len(values)).T


@cache
def _arrangements(n: int, k: int) -> tuple[np.ndarray, bool]:
    """(arrangements, k) numbers of those that are taken as new, and whether these are all choices of k of n."""
    if math.comb(n, k) <= ENUMERATED:
        flat = np.fromiter(chain.from_iterable(combinations(range(n), k)), np.int16)
        return flat.reshape(-1, k), True
    rng = np.random.default_rng([n, k])
    parts = [rng.random((10_000, n)).argpartition(k, axis=1)[:, :k].astype(np.int16) for _ in range(SAMPLED // 10_000)]
    return np.concatenate(parts), False


# ------------------------------------------------------------------------------------------- what can be found at all


def attainable(m: int, k: int, series: int) -> float:
    """A bound for the smallest corrected p-value of m stored and k new seeds, whatever the dependence."""
    least = 1 / math.comb(m + k, k) if math.comb(m + k, k) <= ENUMERATED else 1 / (SAMPLED + 1)
    return min(1.0, series * least)


def fewest_new(m: int, series: int, level: float = LEVEL) -> int | None:
    """With how many new seeds a change can be called one; None if m is too small for any number up to 100."""
    return next((k for k in range(1, 101) if attainable(m, k, series) <= level), None)


@cache
def detectable(m: int, k: int, series: int) -> float:
    """Deviations of a seed by which one series must fall to be found with probability `POWER`.

    Simulated for normally distributed seeds and `series` independent series, with fixed random numbers; to 0.05. With
    dependent series, or where several of them fall, less is found. inf if 10 deviations are not.
    """
    if attainable(m, k, series) > LEVEL:
        return math.inf
    needed = _critical_wins(m, k, 1 - (1 - LEVEL) ** (1 / series))
    rng = np.random.default_rng([m, k, series])
    old, new = np.sort(rng.standard_normal((DRAWS, m)), axis=1), rng.standard_normal((DRAWS, k))
    least = old.mean(1) + MINIMUM * old.std(1, ddof=1)
    for fall in np.arange(0.5, 10, 0.05):
        wins = (new[:, :, None] + fall > old[:, None, :]).sum((1, 2))
        if np.mean((wins >= needed) & (new.mean(1) + fall > least)) >= POWER:
            return float(round(fall, 2))
    return math.inf


def _critical_wins(m: int, k: int, level: float) -> int:
    """Of the m k pairs (new, stored), how many must have the new one above for a p-value of at most `level`."""
    ways = np.zeros((k + 1, m * k + 1))  # chosen so far, wins -> number of arrangements without ties
    ways[0, 0] = 1
    for place in range(m + k):  # of the place-th smallest value: if it is new, it beats the stored ones below it
        for chosen in range(min(k, place + 1), 0, -1):
            below = place - (chosen - 1)
            if below <= m:
                ways[chosen, below:] += ways[chosen - 1, : m * k + 1 - below]
    tail = np.cumsum(ways[k][::-1])[::-1] / ways[k].sum()  # P(wins >= w)
    return int(np.argmax(tail <= level)) if (tail <= level).any() else m * k + 1


def default_new(m: int, series: int, deviations: Sequence[float]) -> int:
    """New seeds with which a fall of `FALL` points is found with probability `POWER`, between FEWEST and MOST.

    `deviations`: of the accuracy over the baseline's seeds, in points, of each method that must be watched so.
    """
    largest = CAUTION * max(deviations, default=0.0)
    wanted = (k for k in range(FEWEST, MOST + 1) if detectable(m, k, series) * largest <= FALL)
    return next((k for k in wanted if attainable(m, k, series) <= LEVEL), MOST)


# ---------------------------------------------------------------------------------------------------------- the effect


def deviation(stored: np.ndarray) -> float:
    """Of the trainings that ended; 0 if fewer than two did."""
    ended = stored[np.isfinite(stored)]
    return float(ended.std(ddof=1)) if len(ended) > 1 else 0.0


def worsening(stored: np.ndarray, found: np.ndarray) -> float:
    """By how much the mean of `found` is above that of `stored`; larger is worse, inf is a failed training.

    inf if a larger share of `found` failed. Raises ValueError if all of `stored` did.
    """
    if np.isinf(stored).all():
        raise ValueError("no stored training ended well")
    if np.isinf(found).mean() > np.isinf(stored).mean():
        return math.inf
    return float(found[np.isfinite(found)].mean() - stored[np.isfinite(stored)].mean())
