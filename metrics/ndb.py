"""Number of statistically different bins (Richardson and Weiss, NeurIPS 2018, "On GANs and GMMs") and JSD, from counts.

A bin holds a share of the real images and a share of the generated ones; NDB counts the bins whose shares differ
significantly, JSD measures how far the two histograms are apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm


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
    return 0.5 * _kl(p, middle) + 0.5 * _kl(q, middle)


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
