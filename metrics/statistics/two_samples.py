"""Two samples of trainings: Welch's t-test and exact sums of ranks, for tables, verdicts on claims and the gate."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr


class MeanDifference(NamedTuple):
    """Differences of means a - b, floats or arrays of one shape."""

    value: np.ndarray
    """The differences."""
    error: np.ndarray
    """Their standard errors; 0 where neither side varies."""
    freedom: np.ndarray
    """Degrees of freedom of the t-distribution that they are compared with."""

    def p_values(self) -> np.ndarray:
        """Two-sided p-values; 1 where neither side varies."""
        varies = self.error > 0
        return np.where(varies, two_sample_p_values(self.value / np.where(varies, self.error, 1.0), self.freedom), 1.0)


def welch(a: np.ndarray, b: np.ndarray) -> MeanDifference:
    """Welch's test (1947) of samples `a` against samples `b`, each (3, ...): see `sample_moments`."""
    total = a[1] + b[1]
    scale = np.where(total > 0, total, 1.0)
    # In units of the sum, so that squares of tiny variances do not vanish.
    freedom = 1 / np.where(total > 0, (a[1] / scale) ** 2 / a[2] + (b[1] / scale) ** 2 / b[2], 1.0)
    return MeanDifference(a[0] - b[0], np.sqrt(total), freedom)


def sample_moments(values: Sequence[float]) -> np.ndarray:
    """float64 (3,): the mean of two values or more, the variance of that mean, and its degrees of freedom."""
    n = len(values)
    return np.array([fsum(values) / n, float(np.var(values, ddof=1)) / n, n - 1])


def two_sample_p_values(t: np.ndarray | float, freedom: np.ndarray | float) -> np.ndarray:
    """Two-sided p-values of t-statistics."""
    return 2 * stdtr(freedom, -np.abs(t))


def two_sample_doubled_ranks(values: np.ndarray) -> np.ndarray:
    """Twice the mean rank of each of `values` (N, J) within its column, from 2 on, as int32: sums of them are exact."""
    columns = zip(np.sort(values, axis=0).T, values.T, strict=True)
    ranks = [np.searchsorted(a, v, "left") + np.searchsorted(a, v, "right") + 1 for a, v in columns]
    return np.array(ranks, dtype=np.int32).reshape(values.shape[1], len(values)).T


def two_sample_rank_ways(ranks: np.ndarray, chosen: int) -> np.ndarray:
    """float64 (sum of `ranks` + 1,): in how many ways `chosen` of the whole numbers `ranks` (N,) have each sum."""
    ways = np.zeros((chosen + 1, int(ranks.sum()) + 1))  # chosen so far, sum -> number of choices
    ways[0, 0] = 1
    for rank in ranks.tolist():
        ways[1:, rank:] += ways[:-1, : ways.shape[1] - rank].copy()
    return ways[-1]


def rank_sum(a: np.ndarray, b: np.ndarray, failed_a: int = 0, failed_b: int = 0) -> tuple[float, float]:
    """Exact one-sided p-values (a is not above b, a is not below b) of the sum of ranks of `a`.

    `a` (n,) and `b` (m,), larger is better. Failed ones are below all values, and tie. Given the ranks, every choice
    of those that are a's is equally likely where both sides are distributed alike (Wilcoxon; Mann & Whitney 1947).
    """
    pooled = np.concatenate([np.full(failed_a, -np.inf), a, np.full(failed_b, -np.inf), b])
    ranks, chosen = two_sample_doubled_ranks(pooled[:, None])[:, 0], failed_a + len(a)
    ways, total = two_sample_rank_ways(ranks, chosen), int(ranks[:chosen].sum())
    return float(ways[total:].sum() / ways.sum()), float(ways[: total + 1].sum() / ways.sum())


def two_sample_wins(m: int, k: int, level: float) -> int:
    """Fewest of the m k pairs of k values with m others that the k must win for a one-sided p-value up to `level`.

    Without ties. m k + 1 if none is enough.
    """
    fewest = k * (k + 1) // 2  # the sum of the ranks of k values that win no pair
    ways = two_sample_rank_ways(np.arange(1, m + k + 1), k)[fewest : fewest + m * k + 1]
    tail = np.cumsum(ways[::-1])[::-1] / ways.sum()  # P(wins >= w)
    return int(np.argmax(tail <= level)) if (tail <= level).any() else m * k + 1
