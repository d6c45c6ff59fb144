"""Uncertainty of a number: over images (half-samples), between two methods, and over seeds. Floors: `floors.py`.

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

Any statistic can be given; `half_samples.py` has the same for the Fréchet distance and KID at a fraction of the cost.
What *is* a mean over images (an accuracy, LPIPS per source) needs no drawing: over all halves its deviation is
S / sqrt(n), as said above.

Rows are sorted by content before anything is drawn, so results do not depend on their order. Intervals inside the range
of a metric (shares of images, and means over seeds of what has two ends): `bounded.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from metrics.parts.input_checks import checked_count, checked_finite, checked_number, checked_samples
from metrics.parts.row_order import in_content_order, pair_order
from metrics.statistics.bounded import ANY, Range, bounded_ends
from metrics.statistics.floors import Statistic

NORMAL_95 = 1.96
"""Deviations on each side of a 95 % interval."""
FEWEST = 4
"""Rows of a set whose halves are still two rows each, which a covariance needs."""


@dataclass(frozen=True)
class Interval:
    """An estimate, and how far it may be off because its images are a sample: 95 % between `low` and `high`."""

    value: float
    """Estimate on the full sets."""
    deviation: float
    """Standard deviation of `value`."""

    @property
    def low(self) -> float:
        """value - 1.96 deviations."""
        return self.value - NORMAL_95 * self.deviation

    @property
    def high(self) -> float:
        """value + 1.96 deviations."""
        return self.value + NORMAL_95 * self.deviation


@dataclass(frozen=True)
class ImageInterval(Interval):
    """Interval of a statistic of two sets. `deviation` is by half-samples, known to about 1 / sqrt(2 repeats)."""

    n: int
    """Rows of the first set (of each method's)."""
    m: int
    """Rows of the second set."""
    repeats: int
    """Number of half-samples."""


@dataclass(frozen=True)
class MeanInterval(Interval):
    """Interval of a mean of one number per image (or per pair of images of one source)."""

    n: int
    """Number of images."""


@dataclass(frozen=True)
class SeedInterval:
    """A mean over seeds, the unit of which is a whole retraining."""

    mean: float | None
    """Mean over the seeds that have a value; None if none has."""
    deviation: float | None
    """Sample standard deviation (divisor k - 1); None below 2 values."""
    low: float | None
    """Lower end of the interval; None below 2 values, and for equal values in a range with two ends."""
    high: float | None
    """Upper end, likewise."""
    k: int
    """Seeds with a value."""
    n: int
    """Seeds in all, with those that failed."""

    def widened(self, ends: tuple[float, float] | None) -> SeedInterval:
        """The interval, made to hold `ends`: seeds that agree say nothing of the images. As it is below 2 values."""
        if ends is None or self.k < 2:
            return self
        low, high = ends if self.low is None or self.high is None else (min(self.low, ends[0]), max(self.high, ends[1]))
        return replace(self, low=low, high=high)


@dataclass(frozen=True)
class Halves:
    """Half-samples of two sets whose rows stand in the order of their content."""

    x: np.ndarray
    """int64 (repeats, n // 2): rows of the first set, no row twice in a half."""
    y: np.ndarray
    """int64 (repeats, m // 2): rows of the second set."""
    n: int
    """Rows of the first set."""
    m: int
    """Rows of the second set."""

    def interval(self, value: float, values: Sequence[float] | np.ndarray) -> ImageInterval:
        """Interval from the statistic on the full sets and on each half. ValueError if one of them is not finite."""
        value = checked_number(value, "the full sets")
        of_halves = [checked_number(one, f"half-sample {i}") for i, one in enumerate(values)]
        s, t = self.x.shape[1], self.y.shape[1]
        factor = math.sqrt((1 / self.n + 1 / self.m) / (1 / s - 1 / self.n + 1 / t - 1 / self.m))
        return ImageInterval(value, factor * float(np.std(of_halves, ddof=1)), self.n, self.m, len(of_halves))


def draw_interval_halves(n: int, m: int, repeats: int, seed: int) -> Halves:
    """`repeats` >= 2 random halves of n and of m rows. ValueError for n or m below 4 and for settings out of range."""
    for count, what in ((n, "x"), (m, "y")):
        if count < FEWEST:
            raise ValueError(f"{what}: at least {FEWEST} rows wanted, got {count}")
    repeats, rng = checked_count(repeats, "repeats", 2), np.random.default_rng(checked_count(seed, "seed", 0))
    drawn = [(rng.permutation(n)[: n // 2], rng.permutation(m)[: m // 2]) for _ in range(repeats)]
    return Halves(np.stack([x for x, _ in drawn]), np.stack([y for _, y in drawn]), n, m)


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
    x, y = in_content_order(_rows(x, "x")), in_content_order(_rows(y, "y"))
    return _interval(lambda i, j: statistic(x[i], y[j]), len(x), len(y), repeats, seed)


def paired_difference(
    statistic: Statistic, x_a: np.ndarray, x_b: np.ndarray, y: np.ndarray, repeats: int = 100, seed: int = 0
) -> ImageInterval:
    """statistic(x_a, y) - statistic(x_b, y) and its interval, for two methods a and b on the same sources.

    Row i of `x_a` (n, ...) and of `x_b` (n, ...) belong to source i. Each half holds the same sources for both and the
    same rows of the references `y` (m, ...), so what the sources and references do to both methods cancels. Exchanging
    a and b changes only the sign. ValueError as by `half_sample_deviation`, and for unequal numbers of sources.
    """
    a, b, y = _rows(x_a, "x_a"), _rows(x_b, "x_b"), in_content_order(_rows(y, "y"))
    if len(a) != len(b):
        raise ValueError(f"x_a and x_b: rows of the same sources wanted, got {len(a)} and {len(b)}")
    order = pair_order(a, b)  # the same halves for (a, b) and (b, a)
    a, b = a[order], b[order]
    return _interval(lambda i, j: statistic(a[i], y[j]) - statistic(b[i], y[j]), len(a), len(y), repeats, seed)


def mean_interval(values: np.ndarray) -> MeanInterval:
    """Mean of `values` (n,), n >= 2, one real number or boolean per image, ± 1.96 S / sqrt(n): no drawing is needed.

    For an accuracy: whether each image is right; for LPIPS: each source's mean. ValueError for another shape, fewer
    values, or values that are not real and finite.
    """
    held = np.sort(_numbers(values, "values"))  # sorted: the last bit of a sum follows its order
    mean, deviation = _moments(held)
    return MeanInterval(float(mean), float(deviation) / math.sqrt(len(held)), len(held))


def paired_mean_difference(a: np.ndarray, b: np.ndarray) -> MeanInterval:
    """mean(a) - mean(b) and its interval for two methods on the same sources: that of the mean of a - b.

    `a` and `b` (n,), n >= 2, as for `mean_interval`, row i of both from source i. ValueError as there, and for unequal
    numbers of sources.
    """
    a, b = _numbers(a, "a"), _numbers(b, "b")
    if len(a) != len(b):
        raise ValueError(f"a and b: values of the same sources wanted, got {len(a)} and {len(b)}")
    return mean_interval(a - b)


def seed_interval(values: Sequence[float | None], level: float = 0.95, within: Range = ANY) -> SeedInterval:
    """Mean, sample deviation and interval at `level` of one value per seed; None: the seed failed.

    Student's t-interval with k - 1 degrees of freedom, cut off at the end of a range with one end; in a range with two
    ends that of `bounded.py`. A failed seed is counted, not replaced: the mean is of those that ended, so k/n belongs
    beside it. ValueError for no seed at all, for values that are NaN or infinite, and unless 0 < level < 1.
    """
    if len(values) == 0:
        raise ValueError("values: at least 1 seed wanted, got 0")
    held = [checked_number(value, f"seed {i}") for i, value in enumerate(values) if value is not None]
    if not held:
        _check_level(level)
        return SeedInterval(None, None, None, None, 0, len(values))
    (interval,) = seed_intervals([held], level, within)
    return replace(interval, n=len(values))


def seed_intervals(samples: Sequence[Sequence[float]], level: float = 0.95, within: Range = ANY) -> list[SeedInterval]:
    """`seed_interval` of each of `samples`, to the last bit, where none is without a value: fast for many.

    ValueError for a sample without values, for values that are NaN or infinite, and unless 0 < level < 1.
    """
    _check_level(level)
    by_size: dict[int, list[int]] = {}
    for i, sample in enumerate(samples):
        by_size.setdefault(len(sample), []).append(i)
    intervals: dict[int, SeedInterval] = {}
    for k, rows in by_size.items():
        values = np.sort(np.array([samples[i] for i in rows], dtype=np.float64), axis=1)  # (len(rows), k)
        if k == 0 or not np.isfinite(values).all():
            raise ValueError("samples: one or more finite values each wanted")
        if k == 1:
            intervals.update(
                (i, SeedInterval(value, None, None, None, 1, 1))
                for i, (value,) in zip(rows, values.tolist(), strict=True)
            )
            continue
        means, deviations = _moments(values)
        columns = (
            column.tolist() for column in (means, deviations, *_seed_ends(values, means, deviations, level, within))
        )
        for i, mean, deviation, low, high in zip(rows, *columns, strict=True):
            known = deviation > 0 or not within.bounded
            ends = (min(low, mean), max(high, mean)) if known else (None, None)
            intervals[i] = SeedInterval(mean, deviation, ends[0], ends[1], k, k)
    return [intervals[i] for i in range(len(samples))]


def _seed_ends(
    values: np.ndarray, means: np.ndarray, deviations: np.ndarray, level: float, within: Range
) -> tuple[np.ndarray, np.ndarray]:
    """Ends for each row of sorted `values` (rows, k), k >= 2, with its mean and deviation."""
    k = values.shape[1]
    quantile = float(stdtrit(k - 1, (1 + level) / 2))
    if within.bounded:
        return bounded_ends(values, quantile, within)
    reach = quantile / math.sqrt(k) * deviations
    return np.clip(means - reach, within.low, None), np.clip(means + reach, None, within.high)


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sample deviation over the last axis of sorted `values` (..., k), k >= 2.

    Neither rounds equal values apart: their mean is their value, and their deviation 0.
    """
    mean = values.mean(axis=-1).clip(values[..., 0], values[..., -1])
    return mean, (values - values[..., :1]).std(axis=-1, ddof=1)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level: between 0 and 1 wanted, got {level}")


def _interval(
    value_of: Callable[[np.ndarray, np.ndarray], float], n: int, m: int, repeats: int, seed: int
) -> ImageInterval:
    """The estimate on all of the n and m rows and its deviation; `value_of` takes the indices of the rows of each."""
    halves = draw_interval_halves(n, m, repeats, seed)
    values = [value_of(i, j) for i, j in zip(halves.x, halves.y, strict=True)]
    return halves.interval(value_of(np.arange(n), np.arange(m)), values)


def _rows(values: np.ndarray, name: str) -> np.ndarray:
    return checked_samples(values, name).astype(np.float64)


def _numbers(values: np.ndarray, name: str) -> np.ndarray:
    """(n,) float64 with n >= 2; True and False are 1 and 0."""
    array = np.asarray(values)
    array = checked_finite(array.astype(np.int64) if array.dtype == np.bool_ else array, name)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"{name}: at least 2 numbers of shape (n,) wanted, got shape {array.shape}")
    return array
