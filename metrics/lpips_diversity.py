"""Diversity of the translations: how far apart are the styles of one source (Zhang et al. 2018; StarGAN v2, A.3)."""

from __future__ import annotations

from math import comb, isqrt

import numpy as np

from metrics.parts.input_checks import checked_finite


def within_source_diversity(distances: np.ndarray) -> float:
    """Mean over sources of the mean distance over the pairs of styles of one source.

    `distances`: (S, pairs) with pairs = K(K-1)/2 for K >= 2 styles, each >= 0, in any order of pairs: for LPIPS what
    `LpipsAlexNet.pair_distances` returns. ValueError for another shape, S = 0, or values NaN, infinite or negative.
    """
    return float(within_source_diversities(distances).mean())


def within_source_diversities(distances: np.ndarray) -> np.ndarray:
    """float64 (S,): the mean distance over the pairs of styles of each source. As `within_source_diversity`."""
    distances = checked_finite(distances, "distances")
    if distances.ndim != 2 or 0 in distances.shape:
        raise ValueError(f"distances: shape (sources, pairs >= 1) wanted, got {distances.shape}")
    pairs = distances.shape[1]
    styles = (1 + isqrt(1 + 8 * pairs)) // 2
    if comb(styles, 2) != pairs:
        raise ValueError(f"distances: {pairs} is not the number of pairs of any number of styles")
    if (distances < 0).any():
        raise ValueError(f"distances: values >= 0 wanted, got {distances.min()}")
    return distances.mean(axis=1)


def cosine_diversity(features: np.ndarray) -> float:
    """Judge diversity, in [0, 2]: mean over sources of the mean of 1 - cos over the pairs of styles of one source.

    LPIPS's idea on unit-length judge features, where its weights are missing; not comparable with LPIPS.
    `features`: (S, K, d), K >= 2 styles of each source. ValueError for another shape, S = 0, NaN, infinite values,
    or an all-zero feature vector, which has no direction.
    """
    return float(cosine_diversities(features).mean())


def cosine_diversities(features: np.ndarray) -> np.ndarray:
    """float64 (S,): the mean of 1 - cos over the pairs of styles of each source. As `cosine_diversity`."""
    features = checked_finite(features, "features")
    if features.ndim != 3 or features.shape[0] == 0 or features.shape[2] == 0:
        raise ValueError(f"features: shape (sources, styles, d) wanted, got {features.shape}")
    if features.shape[1] < 2:
        raise ValueError(f"features: at least 2 styles per source wanted, got {features.shape[1]}")
    # The largest entry is divided out first: squares of tiny or huge entries would leave float64's range.
    largest = np.abs(features).max(axis=2, keepdims=True)
    if (largest == 0).any():
        source, style = np.argwhere(largest[:, :, 0] == 0)[0]
        raise ValueError(f"features: the vector of source {source}, style {style} is all zero and has no direction")
    features = features / largest
    unit = features / np.linalg.norm(features, axis=2, keepdims=True)  # (S, K, d)
    # 1 - cos(u, v) = |u - v|²/2, and its mean over pairs is the trace of the unbiased covariance of the unit vectors:
    # K terms instead of K(K-1)/2, and no cancellation for nearly equal styles.
    centred = unit - unit.mean(axis=1, keepdims=True)
    return (centred**2).sum(axis=(1, 2)) / (features.shape[1] - 1)
