"""Squared distances for comparisons: by a matrix product where that decides, exactly where it does not.

"Exactly" is the sum of squared differences by scipy's `cdist`, which computes each pair alike wherever its vectors
stand, so that equal distances compare equal. |a|² + |b|² - 2 aᵀb by a matrix product takes a fifth of the time but
rounds by position. Both are off the true value by no more than (d + 4) rounding units of (|a| + |b|)², twice that for
the product, so whatever lies further than their sum from a threshold is on the same side of it by both. The rest, in
practice the ties, is computed exactly: the answers are those of `cdist`, bit for bit.

Bound (Higham 2002, "Accuracy and Stability", 3.1, with u = 2^-53, |a| and |b| after both were moved by a common
vector): moving rounds each difference by u (|a_i| + |b_i|), so the square by 2 u (|a| + |b|)²; the squared lengths and
the product are off by d u (|a|² + |b|²) and 2 d u |a| |b|, the two sums by 2 u (|a| + |b|)²; `cdist` by (d + 2) u times
the distance, at most (|a| + |b|)². In all (2 d + 8) u (|a| + |b|)², and (|a| + |b|)² <= 2 (|a|² + |b|²). Doubled here.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

UNIT = 2.0**-53
TINY = 1e-300
"""Squares of values near float64's smallest are rounded to multiples of it, not in proportion."""
SPARSE = 1 / 16
"""Share of undecided pairs above which the whole stripe is computed exactly: row by row would take longer."""


class Distances:
    """Squared distances from vectors x (n, d) to y (m, d), float64, |values| <= 1; those of a few rows at a time."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y = x, y
        middle = (x.mean(axis=0) + y.mean(axis=0)) / 2  # a common offset would only widen the bound
        self._x, self._y = x - middle, (x - middle if y is x else y - middle)
        self._x_squares, self._y_squares = (np.einsum("ij,ij->i", z, z) for z in (self._x, self._y))
        self._unit = 4 * (2 * x.shape[1] + 8) * UNIT

    def stripe(self, start: int, stop: int) -> Stripe:
        """Distances from rows `start` to `stop` of x to all of y."""
        rows = slice(start, stop)
        values = self._x[rows] @ self._y.T
        values *= -2
        values += self._x_squares[rows, None]
        values += self._y_squares
        slack = self._unit * (self._x_squares[rows] + self._y_squares.max()) + TINY
        return Stripe(self.x[rows], self.y, values, slack[:, None])


class Stripe:
    """Squared distances (b, m), exact where it matters."""

    def __init__(self, x: np.ndarray, y: np.ndarray, values: np.ndarray, slack: np.ndarray) -> None:
        self._x, self._y, self._values = x, y, values
        self._slack = slack  # (b, 1): no value is further than this from the exact one
        self._exact = False

    def within(self, radii: np.ndarray) -> np.ndarray:
        """bool (b, m): which distances are at most `radii`, squared distances of shape (m,) or (b, 1)."""
        self._make_exact(np.abs(self._values - radii) <= self._slack)
        return self._values <= radii

    def smallest(self, ks: list[int]) -> np.ndarray:
        """(b, len(ks)): of each row the k-th smallest, counted from 0, for each k of `ks`."""
        last = np.partition(self._values, max(ks), axis=1)[:, max(ks), None]
        # k + 1 exact values are at most last + slack, and a value further than another slack above that exceeds it
        self._make_exact(self._values <= last + 2 * self._slack)
        return np.partition(self._values, ks, axis=1)[:, ks]

    def _make_exact(self, undecided: np.ndarray) -> None:
        if self._exact:
            return
        if undecided.mean() > SPARSE:
            self._values, self._exact = cdist(self._x, self._y, "sqeuclidean"), True
            return
        for row in np.flatnonzero(undecided.any(axis=1)):
            columns = np.flatnonzero(undecided[row])
            self._values[row, columns] = cdist(self._x[row : row + 1], self._y[columns], "sqeuclidean")[0]
