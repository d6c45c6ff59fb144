"""The kernel distance between two sets of features (KID: Binkowski et al. 2018, "Demystifying MMD GANs").

    MMD² = mean k(x, x') + mean k(y, y') - 2 mean k(x, y),   k(a, b) = (aᵀb / d + 1)³,

the first two means over pairs of different vectors (section 2.1 there: the unbiased estimator; section 4: the kernel).
Its expectation does not depend on n, so a small set needs no correction; it is 0 for two sets of one distribution,
and so a value may be below 0. As it is: neither times 100 nor times 1,000.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import fsum
from typing import NamedTuple

import numpy as np

from metrics.parts.input_checks import checked_feature_pair
from metrics.parts.per_class import ClassDistance, per_class
from metrics.parts.row_order import in_content_order

LARGEST = 1e40
"""Features beyond this are refused: their sixth power, summed, would come near the end of float64."""


def kernel_distance(x: np.ndarray, y: np.ndarray, *, block: int = 1024) -> float:
    """Unbiased MMD² over all pairs of features x (n, d) and y (m, d), any real dtype, n and m >= 2; symmetric, float64.

    Exact but for rounding: about 1e-14 of the largest kernel value, however small the result. The order of the vectors
    changes no bit. At most two matrices of `block` x `block` are held at once (16 MiB at 1,024), beside two float64
    copies of x and y. ValueError for features that are not 2-D, finite, at least two, of equal width, or that exceed
    1e40 in size, and for block < 1.
    """
    x, y = checked_feature_pair(x, y, LARGEST)
    if block < 1:
        raise ValueError(f"block: at least 1 wanted, got {block}")
    # The three means nearly cancel, so the last bit of a sum can matter.
    return _mmd2(in_content_order(x), in_content_order(y), block)


def subset_kernel_distance(
    x: np.ndarray, y: np.ndarray, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0, block: int = 1024
) -> float:
    """Mean of `kernel_distance` over `subsets` draws of `subset_size` vectors of each set: the published KID's form.

    Vectors are drawn without replacement within a draw, by numpy's default generator from `seed` >= 0; the draws, so
    the value, depend on the order of the vectors. Expects the same as `kernel_distance` does, with more variance.
    Raises as `kernel_distance`, and ValueError for subsets < 1, seed < 0, or a subset_size below 2 or above n or m.
    """
    x, y = checked_feature_pair(x, y, LARGEST)
    if subsets < 1 or block < 1 or seed < 0:
        raise ValueError(
            f"subsets >= 1, seed >= 0 and block >= 1 wanted, got subsets={subsets}, seed={seed}, block={block}"
        )
    if not 2 <= subset_size <= min(len(x), len(y)):
        raise ValueError(f"subset_size: 2 to {min(len(x), len(y))} (the smaller set) wanted, got {subset_size}")
    rng = np.random.default_rng(seed)

    def drawn(features: np.ndarray) -> np.ndarray:
        return features[rng.choice(len(features), subset_size, replace=False)]

    return fsum(_mmd2(drawn(x), drawn(y), block) for _ in range(subsets)) / subsets


def per_class_kernel(
    x: np.ndarray, x_labels: np.ndarray, y: np.ndarray, y_labels: np.ndarray, classes: Iterable[int]
) -> dict[int, ClassDistance]:
    """Label -> `kernel_distance` between the features of x and of y that have it, for each of `classes`.

    x (n, d), y (m, d), integer labels (n,) and (m,). A class with fewer than 2 vectors on a side gets a reason, and the
    others their value. ValueError for features or labels of a wrong kind.
    """
    return per_class(kernel_distance, x, x_labels, y, y_labels, classes)


class KernelBlock(NamedTuple):
    """A part of the matrix of kernel values of two sets."""

    rows: slice
    """Rows of the first set."""
    columns: slice
    """Rows of the second set."""
    times: int
    """Weight in sums: 2 where it stands for its mirror image, too."""
    values: np.ndarray
    """(rows, columns) float64."""


def kernel_blocks_within(x: np.ndarray, block: int) -> Iterator[KernelBlock]:
    """The kernel values of the ordered pairs of *different* rows of x (n, d): the diagonal is 0."""
    for start in range(0, len(x), block):
        rows = slice(start, start + block)
        square = _kernel(x[rows], x[rows])
        np.fill_diagonal(square, 0.0)  # left out, not subtracted: a long vector's own term may dwarf the others
        yield KernelBlock(rows, rows, 1, square)
        for other in range(start + block, len(x), block):
            columns = slice(other, other + block)
            yield KernelBlock(rows, columns, 2, _kernel(x[rows], x[columns]))


def kernel_blocks_between(x: np.ndarray, y: np.ndarray, block: int) -> Iterator[KernelBlock]:
    """The kernel values of all pairs of a row of x (n, d) and a row of y (m, d)."""
    for i in range(0, len(x), block):
        for j in range(0, len(y), block):
            rows, columns = slice(i, i + block), slice(j, j + block)
            yield KernelBlock(rows, columns, 1, _kernel(x[rows], y[columns]))


def _mmd2(x: np.ndarray, y: np.ndarray, block: int) -> float:
    n, m = len(x), len(y)
    within = _sum(kernel_blocks_within(x, block)) / (n * (n - 1)) + _sum(kernel_blocks_within(y, block)) / (m * (m - 1))
    return within - 2 * _sum(kernel_blocks_between(x, y, block)) / (n * m)


def _sum(blocks: Iterable[KernelBlock]) -> float:
    return fsum(block.times * float(block.values.sum()) for block in blocks)


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """k of each row of a (p, d) with each of b (q, d): (p, q)."""
    base = a @ b.T
    base /= a.shape[1]
    base += 1
    cube = base * base
    cube *= base
    return cube
