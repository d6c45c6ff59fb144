"""The floor of a metric: what it is between two disjoint real sets, so what a perfect method would get at this n.

Show a floor beside a metric; it is not made to be subtracted (the difference still drifts with n). A real set of N rows
that n generated images are compared with has two natural floors: n of its rows against n others, or, where the metric
was taken against all N, n against the N - n others.

Rows are sorted by content before anything is drawn, so results do not depend on their order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from metrics.parts.input_checks import checked_count, checked_number, checked_samples
from metrics.parts.row_order import content_order, row_keys

Statistic = Callable[[np.ndarray, np.ndarray], float]
"""A number of two sets of rows (n, ...) and (m, ...) that does not depend on the order of rows."""
Statistics = Callable[[np.ndarray, np.ndarray], Mapping[str, float]]
"""Several such numbers, by name, from one computation."""


@dataclass(frozen=True)
class Floor:
    """A statistic between two disjoint real sets: what a perfect method would get at this n."""

    value: float
    """Mean over the splits."""
    deviation: float | None
    """Sample standard deviation over the splits, None for one; too small where n + m is most of the real set."""
    n: int
    """Rows of the first set, in the place of the generated images."""
    m: int
    """Rows of the second set, in the place of the reference."""
    splits: int
    """Number of ways in which the real set was split."""


def disjoint_sets(real: np.ndarray, n: int, m: int | None = None, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random sets (n, ...) and (m, ...) of rows of `real` (N, ...), no row in both; m = n if None. `real`'s dtype.

    The draw follows from `seed` and from the content of `real`, not from the order of its rows. Rows that are equal
    count as different ones. ValueError unless `real` is real and finite and n + m <= N, n and m >= 1.
    """
    return _Pool(real, n, m).split((checked_count(seed, "seed", 0),))


def real_floor(
    statistic: Statistic, real: np.ndarray, n: int, m: int | None = None, *, splits: int = 10, seed: int = 0
) -> Floor:
    """The statistic between disjoint sets of `n` and `m` rows of `real` (N, ...) over `splits` random splits.

    As `real_floors`, for a statistic that is one number.
    """
    name = "the statistic"
    return real_floors(lambda x, y: {name: statistic(x, y)}, real, n, m, splits=splits, seed=seed)[name]


def real_floors(
    statistics: Statistics, real: np.ndarray, n: int, m: int | None = None, *, splits: int = 10, seed: int = 0
) -> dict[str, Floor]:
    """Name -> floor of each of the numbers that `statistics` gives for disjoint sets of `n` and `m` rows of `real`.

    `real` (N, ...) of any real dtype, which its sets keep; m = n if None; n + m <= N. The sets are those of
    `real_floor`, and each split is computed once for all numbers. ValueError as by `disjoint_sets`, for splits < 1,
    where a number is not finite, and where the names differ from split to split.
    """
    splits, seed = checked_count(splits, "splits"), checked_count(seed, "seed", 0)
    pool = _Pool(real, n, m)
    values: list[dict[str, float]] = []
    for i in range(splits):
        scores = statistics(*pool.split((seed, i)))
        values.append({name: checked_number(value, f"{name} in split {i}") for name, value in scores.items()})
        if values[i].keys() != values[0].keys():
            raise ValueError(f"statistics: {sorted(values[0])} wanted in each split, got {sorted(values[i])} in {i}")
    return {name: pool.floor([one[name] for one in values]) for name in values[0]}


class _Pool:
    """A real set that is split in two, again and again."""

    def __init__(self, real: np.ndarray, n: int, m: int | None) -> None:
        rows = checked_samples(real, "real")
        self.n, self.m = checked_count(n, "n"), checked_count(n if m is None else m, "m")
        if len(rows) < self.n + self.m:
            wanted = f"2 n = {2 * self.n}" if m is None else f"n + m = {self.n + self.m}"
            raise ValueError(f"real: at least {wanted} rows wanted, got {len(rows)}")
        keys = row_keys(rows)
        self._rows = rows[content_order(keys)]
        self._entropy = int.from_bytes(sha256(b"".join(sorted(keys))).digest(), "big")

    def split(self, stream: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """The sets that `stream` and the content of all rows draw."""
        order = np.random.default_rng([*stream, self._entropy]).permutation(len(self._rows))
        return self._rows[order[: self.n]], self._rows[order[self.n : self.n + self.m]]

    def floor(self, values: list[float]) -> Floor:
        """Floor from one number of each split."""
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return Floor(float(np.mean(values)), deviation, self.n, self.m, len(values))
