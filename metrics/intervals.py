"""How far a number may be off: over images (half-samples), between two methods, between real sets, and over seeds.

**Over images.** A half-sample is half of a set's rows, drawn without replacement. For a mean of n rows with sample
variance S², a subsample of s has the variance S²/s (1 - s/n) = S² (1/s - 1/n) given the set (Cochran, Sampling
Techniques, 2.6), and the mean of the set itself has S²/n as a draw from the population. They are equal at s = n/2: the
deviation over half-samples *is* the deviation of the full estimate, with factor 1. (1/sqrt 2 belongs to subsamples so
small that 1 - s/n is about 1.) For odd n, s = (n - 1)/2, and the variances of two sets add up, so the factor is

    sqrt((1/n + 1/m) / (1/s - 1/n + 1/t - 1/m)),   s = n // 2, t = m // 2:

1 for even n and m, exact for n = m, and otherwise exact for rows of equal variance in both sets, else off by at most
about 1/n. Neither a Fréchet distance nor KID is a mean, but on Inception features of photographs and sketches, with
100 to 400 of each, this deviation was measured to be 0.95 to 1.02 and 0.97 to 1.09 of the true one.

The interval is the estimate *on the full sets* ± 1.96 deviations, not percentiles of the half-samples: the statistic
may be larger on half the rows (a Fréchet distance at n = 400 by 17, which is 5 deviations), and percentiles then miss
their own estimate. It holds for the statistic at this n, not for its limit, so compare at equal n.

Rows are sorted by content before anything is drawn, so results do not depend on their order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from scipy import stats

from metrics.checks import as_count, as_finite
from metrics.order import content_order, row_keys

Statistic = Callable[[np.ndarray, np.ndarray], float]
"""A number of two sets of rows (n, ...) and (m, ...), float64, that does not depend on the order of rows."""
NORMAL_95 = 1.96
"""Deviations on each side of a 95 % interval."""
FEWEST = 4
"""Rows of a set whose halves are still two rows each, which a covariance needs."""


@dataclass(frozen=True)
class ImageInterval:
    """An estimate, and how far it may be off because its images are a sample: 95 % between `low` and `high`."""

    value: float
    """On the full sets."""
    deviation: float
    """Standard deviation of `value` by half-samples; itself known to about 1 / sqrt(2 repeats)."""
    n: int
    """Rows of the first set (of each method's)."""
    m: int
    """Rows of the second set."""
    repeats: int
    """Number of half-samples."""

    @property
    def low(self) -> float:
        """value - 1.96 deviations."""
        return self.value - NORMAL_95 * self.deviation

    @property
    def high(self) -> float:
        """value + 1.96 deviations."""
        return self.value + NORMAL_95 * self.deviation


@dataclass(frozen=True)
class Floor:
    """A statistic between two disjoint real sets: what a perfect method would get at this n."""

    value: float
    """Mean over the splits."""
    deviation: float | None
    """Sample standard deviation over the splits, None for one; too small where 2 n is most of the real set."""
    n: int
    """Rows of each of the two sets."""
    splits: int
    """Number of ways in which the real set was split."""


@dataclass(frozen=True)
class SeedInterval:
    """A mean over seeds, the unit of which is a whole retraining."""

    mean: float | None
    """Over the seeds that have a value; None if none has."""
    deviation: float | None
    """Sample standard deviation (divisor k - 1); None below 2 values."""
    low: float | None
    """Of the t-interval with k - 1 degrees of freedom; None below 2 values. May leave the range of the metric."""
    high: float | None
    """As `low`."""
    k: int
    """Seeds with a value."""
    n: int
    """Seeds in all, with those that failed."""


def half_sample_deviation(
    statistic: Statistic, x: np.ndarray, y: np.ndarray, repeats: int = 100, seed: int = 0
) -> float:
    """Standard deviation of statistic(x, y), from `repeats` >= 2 random halves of both, scaled as said above.

    `x` (n, ...) and `y` (m, ...), n and m >= 4: features, images, or a number per image. ValueError for fewer rows, for
    values that are not real and finite (of the statistic, too), and for settings out of range.
    """
    return half_sample_interval(statistic, x, y, repeats, seed).deviation


def half_sample_interval(
    statistic: Statistic, x: np.ndarray, y: np.ndarray, repeats: int = 100, seed: int = 0
) -> ImageInterval:
    """statistic(x, y) ± 1.96 times `half_sample_deviation`. Arguments and ValueError as there."""
    x, y = _sorted_rows(x, "x"), _sorted_rows(y, "y")
    return _interval(lambda i, j: statistic(x[i], y[j]), len(x), len(y), repeats, seed)


def paired_difference(
    statistic: Statistic, x_a: np.ndarray, x_b: np.ndarray, y: np.ndarray, repeats: int = 100, seed: int = 0
) -> ImageInterval:
    """statistic(x_a, y) - statistic(x_b, y) and its interval, for two methods a and b on the same sources.

    Row i of `x_a` (n, ...) and of `x_b` (n, ...) belong to source i. Each half holds the same sources for both and the
    same rows of the references `y` (m, ...), so what the sources and references do to both methods cancels. Exchanging
    a and b changes only the sign. ValueError as by `half_sample_deviation`, and for unequal numbers of sources.
    """
    a, b, y = _rows(x_a, "x_a"), _rows(x_b, "x_b"), _sorted_rows(y, "y")
    if len(a) != len(b):
        raise ValueError(f"x_a and x_b: rows of the same sources wanted, got {len(a)} and {len(b)}")
    # Sorted within a pair: the same order, so the same halves, for (a, b) and (b, a).
    order = content_order([b"".join(sorted(pair)) for pair in zip(row_keys(a), row_keys(b), strict=True)])
    a, b = a[order], b[order]
    return _interval(lambda i, j: statistic(a[i], y[j]) - statistic(b[i], y[j]), len(a), len(y), repeats, seed)


def disjoint_sets(real: np.ndarray, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two random sets (n, ...) of rows of `real` (N, ...), N >= 2 n, no row in both; float64.

    The draw follows from `seed` and from the content of `real`, not from the order of its rows. Rows that are equal
    count as different ones. ValueError unless `real` is real and finite and has 2 n rows, n >= 1.
    """
    return _split(*_sorted_with_entropy(real, n), n, (as_count(seed, "seed", 0),))


def real_floor(statistic: Statistic, real: np.ndarray, n: int, splits: int = 10, seed: int = 0) -> Floor:
    """The statistic between two disjoint sets of `n` rows of `real` (N, ...), N >= 2 n, over `splits` random splits.

    Show it beside the statistic of generated images at the same n; it is not made to be subtracted. ValueError as by
    `disjoint_sets`, for splits < 1, and where the statistic is not finite.
    """
    rows, entropy = _sorted_with_entropy(real, n)
    splits, seed = as_count(splits, "splits"), as_count(seed, "seed", 0)
    values = [_number(statistic(*_split(rows, entropy, n, (seed, i))), f"split {i}") for i in range(splits)]
    return Floor(float(np.mean(values)), float(np.std(values, ddof=1)) if splits > 1 else None, n, splits)


def seed_interval(values: Sequence[float | None], level: float = 0.95) -> SeedInterval:
    """Mean, sample deviation and t-interval at `level` of one value per seed; None: the seed failed.

    A failed seed is counted, not replaced: the mean is of those that ended, so k/n belongs beside it. ValueError for no
    seed at all, for values that are NaN or infinite, and unless 0 < level < 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level: between 0 and 1 wanted, got {level}")
    if len(values) == 0:
        raise ValueError("values: at least 1 seed wanted, got 0")
    held = np.sort([_number(value, f"seed {i}") for i, value in enumerate(values) if value is not None])
    k, n = len(held), len(values)
    mean = float(held.mean()) if k else None
    if mean is None or k < 2:
        return SeedInterval(mean, None, None, None, k, n)
    deviation = float(held.std(ddof=1))
    reach = float(stats.t.ppf((1 + level) / 2, k - 1)) * deviation / math.sqrt(k)
    return SeedInterval(mean, deviation, mean - reach, mean + reach, k, n)


def _interval(
    value_of: Callable[[np.ndarray, np.ndarray], float], n: int, m: int, repeats: int, seed: int
) -> ImageInterval:
    """The estimate on all of the n and m rows and its deviation; `value_of` takes the indices of the rows of each."""
    for count, what in ((n, "x"), (m, "y")):
        if count < FEWEST:
            raise ValueError(f"{what}: at least {FEWEST} rows wanted, got {count}")
    repeats, rng = as_count(repeats, "repeats", 2), np.random.default_rng(as_count(seed, "seed", 0))
    value = _number(value_of(np.arange(n), np.arange(m)), "the full sets")
    s, t = n // 2, m // 2
    halves = [
        _number(value_of(rng.permutation(n)[:s], rng.permutation(m)[:t]), f"half-sample {i}") for i in range(repeats)
    ]
    factor = math.sqrt((1 / n + 1 / m) / (1 / s - 1 / n + 1 / t - 1 / m))
    return ImageInterval(value, factor * float(np.std(halves, ddof=1)), n, m, repeats)


def _split(rows: np.ndarray, entropy: int, n: int, stream: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng([*stream, entropy]).permutation(len(rows))
    return rows[order[:n]], rows[order[n : 2 * n]]


def _sorted_with_entropy(real: np.ndarray, n: int) -> tuple[np.ndarray, int]:
    """The rows of `real` in the order of their content, and a number that follows from them. ValueError below 2 n."""
    rows = _rows(real, "real")
    if len(rows) < 2 * as_count(n, "n"):
        raise ValueError(f"real: at least 2 n = {2 * n} rows wanted, got {len(rows)}")
    keys = row_keys(rows)
    return rows[content_order(keys)], int.from_bytes(sha256(b"".join(sorted(keys))).digest(), "big")


def _sorted_rows(values: np.ndarray, name: str) -> np.ndarray:
    rows = _rows(values, name)
    return rows[content_order(row_keys(rows))]


def _rows(values: np.ndarray, name: str) -> np.ndarray:
    """`values` (n, ...) as float64. ValueError unless real, finite, of 1 or more dimensions."""
    if np.ndim(values) == 0:
        raise ValueError(f"{name}: rows of shape (n, ...) wanted, got a single value")
    return as_finite(values, name)


def _number(value: float, where: str) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"a finite value wanted, got {number} of {where}")
    return number
