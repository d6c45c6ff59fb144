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

from metrics.checks import as_count, as_labels, as_number, as_samples
from metrics.order import content_order, row_keys

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


@dataclass(frozen=True)
class ClassFloors:
    """The floors within one class."""

    floors: dict[str, Floor]
    """By the name of the statistic; empty where the class has too few real rows."""
    count: int
    """Real rows of this class."""
    reason: str = ""
    """Why there is no floor; empty if there is one."""


def disjoint_sets(real: np.ndarray, n: int, m: int | None = None, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random sets (n, ...) and (m, ...) of rows of `real` (N, ...), no row in both; m = n if None. `real`'s dtype.

    The draw follows from `seed` and from the content of `real`, not from the order of its rows. Rows that are equal
    count as different ones. ValueError unless `real` is real and finite and n + m <= N, n and m >= 1.
    """
    return _Pool(real, n, m).split((as_count(seed, "seed", 0),))


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
    splits, seed = as_count(splits, "splits"), as_count(seed, "seed", 0)
    pool = _Pool(real, n, m)
    values: list[dict[str, float]] = []
    for i in range(splits):
        found = statistics(*pool.split((seed, i)))
        values.append({name: as_number(value, f"{name} in split {i}") for name, value in found.items()})
        if values[i].keys() != values[0].keys():
            raise ValueError(f"statistics: {sorted(values[0])} wanted in each split, got {sorted(values[i])} in {i}")
    return {name: pool.floor([one[name] for one in values]) for name in values[0]}


def per_class_floors(
    statistics: Statistics,
    real: np.ndarray,
    labels: np.ndarray,
    n: Mapping[int, int],
    m: Mapping[int, int] | None = None,
    *,
    splits: int = 10,
    seed: int = 0,
) -> dict[int, ClassFloors]:
    """Label -> `real_floors` within the class, for each label of `n`.

    `real` (N, ...), integer `labels` (N,); `n` and `m` hold the sizes of each class's two sets, m = n if None. A class
    that has not n + m real rows, or fewer than 2 on a side, gets a reason, and the others their floors; a class's draws
    do not depend on the other classes. ValueError for labels of a wrong kind, a label of `n` that `m` lacks, and as by
    `real_floors`.
    """
    rows = as_samples(real, "real")
    labels = as_labels(labels, "labels", len(rows))
    m = n if m is None else m
    if missing := sorted(set(n) - set(m)):
        raise ValueError(f"m: a size for each class of n wanted, none for {missing}")
    result = {}
    for label, ours in n.items():
        own, theirs = rows[labels == label], m[label]
        if reason := _lack(len(own), ours, theirs):
            result[label] = ClassFloors({}, len(own), f"class {label}: {reason}")
        else:
            result[label] = ClassFloors(real_floors(statistics, own, ours, theirs, splits=splits, seed=seed), len(own))
    return result


def _lack(count: int, n: int, m: int) -> str:
    """Why `count` real rows of a class have no two disjoint sets of n and m; empty if they have."""
    if min(n, m) < 2:
        return f"at least 2 rows in each set wanted, got {n} and {m}"
    return f"at least {n} + {m} real rows wanted, got {count}" if count < n + m else ""


class _Pool:
    """A real set that is split in two, again and again."""

    def __init__(self, real: np.ndarray, n: int, m: int | None) -> None:
        rows = as_samples(real, "real")
        self.n, self.m = as_count(n, "n"), as_count(n if m is None else m, "m")
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
        """Of a number of each split."""
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return Floor(float(np.mean(values)), deviation, self.n, self.m, len(values))
