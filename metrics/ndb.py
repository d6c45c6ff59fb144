"""Number of statistically different bins (Richardson and Weiss, NeurIPS 2018, "On GANs and GMMs") and JSD.

The bins are the k-means cells of the reference (real) samples. A bin holds a share of the reference and a share of the
generated samples; NDB counts the bins whose shares differ significantly, JSD measures how far the two histograms are
apart. Neither is 0 for two real sets: NDB/K is then about alpha, JSD about (K-1)/8 (1/n + 1/m) nats.

As in the paper's code: flattened samples; whitening is an option, per dimension, divided by standard deviation + 1e-6;
above 1000 dimensions d, k-means and all distances are taken on a random d//6 of them; at most 100 steps, the best of 10
starts; a bin's centre is the mean of its members over all d; the largest bin comes first; a sample belongs to the
nearest centre in L2. Where that code leaves a choice open, or leaves results to chance:

- Everything drawn (dimensions, starts) follows from the seed, and rows are sorted by content before k-means, so neither
  their order nor the number of threads matters.
- k-means stops when no sample changes its bin (tolerance 0), not when the centres move little: so a bin's members are
  the reference samples nearest to its centre. The shares of both sets are counted by nearest centre, which is the same
  but where 100 steps did not suffice: the reference compared with itself always gives NDB 0 and JSD 0.
- Standard deviations have divisor n. Equally near centres: the larger bin. Equally large bins: k-means' own order.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist
from scipy.stats import norm
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from metrics.parts.input_checks import checked_count, checked_rows
from metrics.parts.row_order import content_order, row_keys

ALL_DIMENSIONS_UP_TO = 1000
"""Number of dimensions above which k-means sees a sixth of them, as in the paper's code."""
MAX_STEPS = 100
WHITENING_EPSILON = 1e-6
ROWS_AT_ONCE = 256
"""Samples turned into float64 at once when they are assigned."""


@dataclass(frozen=True)
class Bins:
    """The bins of one reference set, that many sets are compared with."""

    centres: np.ndarray
    """(K, d) float64: mean of each bin's members, in the units of the samples; the largest bin first."""
    coordinates: np.ndarray
    """(c,) int64, increasing: the dimensions of d that distances are taken on."""
    scale: np.ndarray
    """(c,) float64: what these are divided by: standard deviation + 1e-6 if whitened, else 1."""
    shares: np.ndarray
    """(K,) float64: of the reference samples, sum 1; decreasing, if k-means came to rest."""
    n: int
    """Number of reference samples."""
    integer: bool
    """Whether the reference had an integer dtype: pixels of 0 to 255 and of 0 to 1 must not meet unnoticed."""


@dataclass(frozen=True)
class Ndb:
    """Difference of two sets over the bins of the first."""

    count: int
    """NDB: bins whose shares differ significantly, 0 to K."""
    jsd: float
    """Jensen-Shannon divergence of the shares, in nats, 0 to ln 2."""
    k: int
    """Number of bins."""
    n: int
    """Reference samples."""
    m: int
    """Generated samples."""

    @property
    def share(self) -> float:
        """NDB/K, 0 to 1."""
        return self.count / self.k

    def numbers(self) -> dict[str, float]:
        """NDB (the count) and JSD by name, as `floors.real_floors` takes them."""
        return {"ndb": float(self.count), "jsd": self.jsd}


def make_bins(
    reference: np.ndarray,
    k: int = 20,
    seed: int = 0,
    *,
    whiten: bool = False,
    dimensions: int | None = None,
    starts: int = 10,
) -> Bins:
    """The `k` bins of `reference` (n, ...), images or features of any real dtype, by k-means.

    The paper advises about 500 reference samples per bin. `dimensions`: how many of the d values of a sample are used,
    drawn from `seed` (below 2^32); None: all of them up to d = 1000, else d//6. `starts`: runs of k-means, the best of
    which is kept. Takes about 3 n x dimensions x 8 bytes. ValueError for samples that are not real and finite, fewer
    different ones (on the dimensions used) than bins, and settings out of range.
    """
    rows = checked_rows(reference, "reference")
    k, starts, seed = checked_count(k, "k"), checked_count(starts, "starts"), checked_count(seed, "seed", 0)
    if seed >= 2**32:
        raise ValueError(f"seed: below 2^32 wanted, got {seed}")
    coordinates = _drawn(rows.shape[1], dimensions, seed)
    used = rows[:, coordinates].astype(np.float64)
    order = content_order(row_keys(used))
    used, rows = used[order], rows[order]
    distinct = 1 + int((used[1:] != used[:-1]).any(axis=1).sum())
    if distinct < k:
        raise ValueError(f"reference: at least k={k} different samples wanted, got {distinct} among {len(used)}")
    scale = used.std(axis=0) + WHITENING_EPSILON if whiten else np.ones(len(coordinates))
    used /= scale
    bins = _k_means(used, k, seed, starts)
    centres = np.stack([rows[bins == i].mean(axis=0, dtype=np.float64) for i in range(k)])
    shares = np.bincount(_nearest(rows, centres, coordinates, scale), minlength=k) / len(rows)
    return Bins(centres, coordinates, scale, shares, len(rows), np.issubdtype(rows.dtype, np.integer))


def assign(samples: np.ndarray, bins: Bins) -> np.ndarray:
    """int64 (m,): the bin with the nearest centre, of each of `samples` (m, ...), m >= 1, shaped as the reference's.

    ValueError for samples that are not real and finite, of another number of values than the reference's, or integer
    where the reference was not (or the reverse): then the two are most likely scaled differently.
    """
    rows = checked_rows(samples, "samples")
    if rows.shape[1] != bins.centres.shape[1]:
        raise ValueError(f"samples: the reference's {bins.centres.shape[1]} values each wanted, got {rows.shape[1]}")
    if np.issubdtype(rows.dtype, np.integer) != bins.integer:
        wanted = "integers" if bins.integer else "floating point numbers"
        raise ValueError(f"samples: {wanted} wanted, as in the reference, got dtype {rows.dtype}")
    return _nearest(rows, bins.centres, bins.coordinates, bins.scale)


def ndb_to_bins(samples: np.ndarray, bins: Bins, alpha: float = 0.05) -> Ndb:
    """NDB and JSD of `samples` (m, ...) with the reference whose `bins` these are. ValueError as by `assign`.

    `alpha`: level of each bin's own test, not corrected for the number of bins, as in the paper.
    """
    assigned = assign(samples, bins)
    k, m = len(bins.shares), len(assigned)
    shares = np.bincount(assigned, minlength=k) / m
    count = int(different_bins(bins.shares, bins.n, shares, m, alpha).sum())
    return Ndb(count, jensen_shannon(bins.shares, shares), k, bins.n, m)


def ndb(
    reference: np.ndarray,
    samples: np.ndarray,
    k: int = 20,
    seed: int = 0,
    *,
    alpha: float = 0.05,
    whiten: bool = False,
    dimensions: int | None = None,
    starts: int = 10,
) -> Ndb:
    """NDB and JSD of `samples` (m, ...) with `reference` (n, ...): `make_bins`, then `ndb_to_bins`. Not symmetric."""
    bins = make_bins(reference, k, seed, whiten=whiten, dimensions=dimensions, starts=starts)
    return ndb_to_bins(samples, bins, alpha)


def different_bins(p: ArrayLike, n: int, q: ArrayLike, m: int, alpha: float = 0.05) -> np.ndarray:
    """bool (K,): which bins differ, by a two-tailed pooled two-proportion z-test at level `alpha` each.

    `p` shares (K,) of `n` real images, `q` shares (K,) of `m` generated ones. A bin that is empty on both sides (0/0)
    does not differ. Raises ValueError unless both are shares that sum to 1, of equal length, with n, m >= 1 and
    0 < alpha < 1.
    """
    p, q = _shares(p, q)
    if n < 1 or m < 1 or not 0 < alpha < 1:
        raise ValueError(f"n, m >= 1 and 0 < alpha < 1 wanted, got n={n}, m={m}, alpha={alpha}")
    pooled = (p * n + q * m) / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    z = np.divide(np.abs(p - q), error, out=np.zeros_like(p), where=error > 0)
    return 2 * norm.sf(z) < alpha


def jensen_shannon(p: ArrayLike, q: ArrayLike) -> float:
    """0.5 KL(p | m) + 0.5 KL(q | m) with m = (p + q) / 2, in nats: 0 to ln 2. `p`, `q` shares (K,) as above."""
    p, q = _shares(p, q)
    middle = (p + q) / 2
    # rounding may leave -1e-16 and ln 2 + 2e-16
    return min(max(0.0, 0.5 * _kl(p, middle) + 0.5 * _kl(q, middle)), log(2))


def _drawn(d: int, dimensions: int | None, seed: int) -> np.ndarray:
    """The dimensions used, increasing: `dimensions` of `d`, None for the paper's code's rule."""
    if dimensions is None:
        dimensions = d // 6 if d > ALL_DIMENSIONS_UP_TO else d
    if checked_count(dimensions, "dimensions") > d:
        raise ValueError(f"dimensions: at most the {d} of a sample wanted, got {dimensions}")
    return np.sort(np.random.default_rng(seed).choice(d, dimensions, replace=False))


def _k_means(rows: np.ndarray, k: int, seed: int, starts: int) -> np.ndarray:
    """int64 (n,): the bin of each row, numbered by decreasing size."""
    model = KMeans(k, n_init=starts, max_iter=MAX_STEPS, tol=0, random_state=seed)
    with threadpool_limits(limits=1):  # threads add up their parts of a centre in the order in which they finish
        clusters = model.fit(rows).labels_
    by_size = np.argsort(-np.bincount(clusters, minlength=k), kind="stable")
    return np.argsort(by_size)[clusters]


def _nearest(rows: np.ndarray, centres: np.ndarray, coordinates: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """int64 (m,): index of the centre nearest to each of `rows` (m, d), the lowest of equally near ones."""
    used = centres[:, coordinates] / scale
    chunks = (rows[i : i + ROWS_AT_ONCE, coordinates] / scale for i in range(0, len(rows), ROWS_AT_ONCE))
    # cdist sums each pair on its own: a matrix product's last digits would depend on the position of the row.
    return np.concatenate([cdist(chunk, used, "sqeuclidean").argmin(axis=1) for chunk in chunks])


def _kl(p: np.ndarray, q: np.ndarray) -> float:
    held = p > 0
    return float(np.sum(p[held] * np.log(p[held] / q[held])))


def _shares(p: ArrayLike, q: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(p, np.float64), np.asarray(q, np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) == 0:
        raise ValueError(f"two vectors of shares of equal length wanted, got {a.shape} and {b.shape}")
    for name, shares in (("p", a), ("q", b)):
        if not np.isfinite(shares).all() or (shares < 0).any() or abs(shares.sum() - 1) > 1e-9:
            raise ValueError(f"{name}: shares >= 0 that sum to 1 wanted, got {shares}")
    return a, b
