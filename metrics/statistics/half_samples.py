"""Half-sample intervals of the Fréchet distance and of KID, from products that are computed once for all halves.

The results are those of `intervals.half_sample_interval` and `intervals.paired_difference` (the same halves, the same
factor), up to rounding: there the statistic itself is taken anew on every half, here only what a half changes.

Fréchet distance. With the sets centred once, X Yᵀ (n x m), the squared lengths of the rows and the means of the halves
say all: the cross matrix of a half is a part of X Yᵀ with its own row and column means taken away, its trace is that of
the squared lengths less its mean's. What is left for each half are the singular values of (n/2 x m/2). Only where both
halves have more rows than the width d is it cheaper to go back to the features: they fold into d x d.

KID. Sums of kernel values over a half are hᵀ K h with h the 0/1 indicator of the half. The matrix of kernel values is
made in blocks and each is used for all halves at once, so the cost is hardly more than that of one KID.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import fsum
from typing import NamedTuple

import numpy as np

from metrics import frechet, kernel
from metrics.frechet import frechet_of_checked, frechet_sum, nuclear_norm
from metrics.kernel import KernelBlock, kernel_blocks_between, kernel_blocks_within
from metrics.parts.input_checks import check_input_size, checked_count, checked_feature_pair, checked_features
from metrics.parts.row_order import in_content_order, pair_order
from metrics.statistics.intervals import Halves, ImageInterval, draw_interval_halves


def frechet_interval(x: np.ndarray, y: np.ndarray, repeats: int = 100, seed: int = 0) -> ImageInterval:
    """`frechet_distance` of features x (n, d) and y (m, d), n and m >= 4, ± 1.96 half-sample deviations.

    Takes about twice n x m x 8 bytes beside three float64 copies of x and y, and for each half the singular values of
    n/2 x m/2: 0.1 s at n = m = 2,000. ValueError as by `frechet_distance`, for fewer rows, and unless repeats >= 2 and
    seed >= 0.
    """
    x, y = _sorted_pair(x, y, frechet.LARGEST)
    halves = draw_interval_halves(len(x), len(y), repeats, seed)
    return halves.interval(*_distances(_side(x, halves.x), _side(y, halves.y)))


def frechet_paired_difference(
    x_a: np.ndarray, x_b: np.ndarray, y: np.ndarray, repeats: int = 100, seed: int = 0
) -> ImageInterval:
    """Fréchet distance of x_a (n, d) to y (m, d) less that of x_b (n, d), and its interval: row i of both of source i.

    Cost and ValueError as by `frechet_interval`, twice, and for unequal numbers of sources.
    """
    a, b, y = _sorted_triple(x_a, x_b, y, frechet.LARGEST)
    halves = draw_interval_halves(len(a), len(y), repeats, seed)
    reference = _side(y, halves.y)
    value_a, values_a = _distances(_side(a, halves.x), reference)
    value_b, values_b = _distances(_side(b, halves.x), reference)
    return halves.interval(value_a - value_b, values_a - values_b)


def kernel_interval(
    x: np.ndarray, y: np.ndarray, repeats: int = 100, seed: int = 0, *, block: int = 1024
) -> ImageInterval:
    """`kernel_distance` of features x (n, d) and y (m, d), n and m >= 4, ± 1.96 half-sample deviations.

    At most two matrices of `block` x `block` are held at once, as there, beside repeats x (n + m) indicators (4 MB for
    100 and 5,000). ValueError as there, for fewer rows, and unless repeats >= 2 and seed >= 0.
    """
    x, y = _sorted_pair(x, y, kernel.LARGEST)
    block, halves = checked_count(block, "block"), draw_interval_halves(len(x), len(y), repeats, seed)
    within = _mean_within(x, halves.x, block) + _mean_within(y, halves.y, block)
    values = within - 2 * _mean_between(x, y, halves, block)
    return halves.interval(float(values[0]), values[1:])


def kernel_paired_difference(
    x_a: np.ndarray, x_b: np.ndarray, y: np.ndarray, repeats: int = 100, seed: int = 0, *, block: int = 1024
) -> ImageInterval:
    """KID of x_a (n, d) to y (m, d) less that of x_b (n, d), and its interval: row i of both of source i.

    The pairs within y cancel and are left out. Memory and ValueError as by `kernel_interval`, and for unequal numbers
    of sources.
    """
    a, b, y = _sorted_triple(x_a, x_b, y, kernel.LARGEST)
    block, halves = checked_count(block, "block"), draw_interval_halves(len(a), len(y), repeats, seed)
    within = _mean_within(a, halves.x, block) - _mean_within(b, halves.x, block)
    values = within - 2 * (_mean_between(a, y, halves, block) - _mean_between(b, y, halves, block))
    return halves.interval(float(values[0]), values[1:])


# --------------------------------------------------------------------------------------------- the Fréchet distance


class _Side(NamedTuple):
    """One of two sets, and what follows from it alone for each of its halves."""

    mean: np.ndarray
    """(d,)."""
    rows: np.ndarray
    """(n, d): less the mean. What halves still have to be centred by is then small, so centring them loses no digit."""
    halves: np.ndarray
    """int64 (repeats, s)."""
    means: np.ndarray
    """(repeats, d): of each half of `rows`."""
    trace: float
    """Trace of the covariance."""
    traces: np.ndarray
    """(repeats,): trace of each half's covariance."""


def _side(features: np.ndarray, halves: np.ndarray) -> _Side:
    mean = features.mean(axis=0)
    rows = features - mean
    s = halves.shape[1]
    means = _indicators(halves, len(rows)) @ rows / s
    squares = np.einsum("ij,ij->i", rows, rows)
    traces = (squares[halves].sum(axis=1) - s * (means**2).sum(axis=1)) / (s - 1)
    return _Side(mean, rows, halves, means, float(squares.sum()) / (len(rows) - 1), traces)


def _distances(x: _Side, y: _Side) -> tuple[float, np.ndarray]:
    """The Fréchet distance on the full sets, and (repeats,) on the halves."""
    if min(x.halves.shape[1], y.halves.shape[1]) > x.rows.shape[1]:
        return _folded(x, y)
    gap, products = x.mean - y.mean, x.rows @ y.rows.T
    n, m = products.shape
    value = frechet_sum(float(gap @ gap), x.trace + y.trace, nuclear_norm(products) / np.sqrt((n - 1) * (m - 1)))
    shifts = ((gap + x.means - y.means) ** 2).sum(axis=1)
    traces = x.traces + y.traces
    scale = np.sqrt((x.halves.shape[1] - 1) * (y.halves.shape[1] - 1))
    values = np.empty(len(shifts))
    for k, (i, j) in enumerate(zip(x.halves, y.halves, strict=True)):
        part = products[np.ix_(i, j)]
        part -= part.mean(axis=0)
        part -= part.mean(axis=1)[:, None]
        values[k] = frechet_sum(float(shifts[k]), float(traces[k]), nuclear_norm(part) / scale)
    return value, values


def _folded(x: _Side, y: _Side) -> tuple[float, np.ndarray]:
    """`_distances` from the features of each half."""
    gap = x.mean - y.mean

    def distance(i: np.ndarray | slice, j: np.ndarray | slice) -> float:
        return frechet_of_checked(x.rows[i] + gap, y.rows[j])

    values = [distance(i, j) for i, j in zip(x.halves, y.halves, strict=True)]
    return distance(slice(None), slice(None)), np.array(values)


# ----------------------------------------------------------------------------------------------------------- KID


def _mean_within(x: np.ndarray, halves: np.ndarray, block: int) -> np.ndarray:
    """(1 + repeats,): the mean kernel value over pairs of different rows of x, then of each half of it."""
    h, n, s = _indicators(halves, len(x)), len(x), halves.shape[1]
    total, sums = _sums(kernel_blocks_within(x, block), h, h)
    return np.concatenate([[total / (n * (n - 1))], sums / (s * (s - 1))])


def _mean_between(x: np.ndarray, y: np.ndarray, halves: Halves, block: int) -> np.ndarray:
    """(1 + repeats,): the mean kernel value over pairs of a row of x and one of y, then of each pair of halves."""
    h_x, h_y = _indicators(halves.x, len(x)), _indicators(halves.y, len(y))
    total, sums = _sums(kernel_blocks_between(x, y, block), h_x, h_y)
    return np.concatenate([[total / (len(x) * len(y))], sums / (halves.x.shape[1] * halves.y.shape[1])])


def _sums(blocks: Iterable[KernelBlock], h_x: np.ndarray, h_y: np.ndarray) -> tuple[float, np.ndarray]:
    """The sum of all kernel values, and (repeats,) those over the rows and columns that h_x and h_y mark."""
    totals, sums = [], np.zeros(len(h_x))
    for rows, columns, times, values in blocks:
        totals.append(times * float(values.sum()))
        sums += times * np.einsum("ij,ij->i", h_x[:, rows] @ values, h_y[:, columns])
    return fsum(totals), sums


# ---------------------------------------------------------------------------------------------------------- both


def _indicators(halves: np.ndarray, n: int) -> np.ndarray:
    """float64 (repeats, n): 1 where a half has the row, else 0."""
    marks = np.zeros((len(halves), n))
    np.put_along_axis(marks, halves, 1.0, axis=1)
    return marks


def _sorted_pair(x: np.ndarray, y: np.ndarray, largest: float) -> tuple[np.ndarray, np.ndarray]:
    x, y = checked_feature_pair(x, y, largest)
    return in_content_order(x), in_content_order(y)


def _sorted_triple(
    x_a: np.ndarray, x_b: np.ndarray, y: np.ndarray, largest: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sets = {"x_a": checked_features(x_a, "x_a"), "x_b": checked_features(x_b, "x_b"), "y": checked_features(y, "y")}
    for name, features in sets.items():
        check_input_size(features, name, largest)
    a, b, y = sets.values()
    if len(a) != len(b):
        raise ValueError(f"x_a and x_b: rows of the same sources wanted, got {len(a)} and {len(b)}")
    if not a.shape[1] == b.shape[1] == y.shape[1]:
        widths = [features.shape[1] for features in (a, b, y)]
        raise ValueError(f"x_a, x_b and y: features of equal width wanted, got {widths}")
    order = pair_order(a, b)
    return a[order], b[order], in_content_order(y)
