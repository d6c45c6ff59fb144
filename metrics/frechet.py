"""The Fréchet distance between two sets of features (Heusel et al. 2017), exactly and without a matrix square root.

    d² = |m_x - m_y|² + tr S_x + tr S_y - 2 tr (S_x S_y)^(1/2),   S with divisor n - 1.

If S_x = AᵀA and S_y = BᵀB, the last trace is the nuclear norm (sum of singular values) of A Bᵀ, for *any* such A and B.
With the centred features over sqrt(n - 1) themselves as A and B it costs an n x m matrix, nothing is squared, and no
value can turn complex or NaN. A set of more vectors than the width d is folded first into the d rows of the triangle of
its QR decomposition, which has the same AᵀA. Its covariance would cost a little less, but there the null directions of
a collapsed set leave the square root of rounding each: up to 1e-7 of the traces in place of 1e-14.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metrics.parts.input_checks import check_input_size, checked_feature_pair, checked_features, checked_finite
from metrics.parts.per_class import ClassDistance, per_class
from metrics.parts.row_order import in_content_order

EPSILON = float(np.finfo(np.float64).eps)
LARGEST = 1e100
"""Features beyond this are refused: their squares, summed, would come near the end of float64."""


class Moments(NamedTuple):
    """Mean and covariance of a set of features."""

    mean: np.ndarray
    """(d,) float64."""
    covariance: np.ndarray
    """(d, d) float64, divisor n - 1."""
    n: int
    """Number of feature vectors."""


@dataclass(frozen=True)
class ReferenceMoments:
    """Statistics of a reference set, computed once for many sets that are compared with it."""

    mean: np.ndarray
    """(d,) float64."""
    root: np.ndarray
    """(d, r) float64 with root @ root.T = covariance; r is at most min(n, d)."""
    n: int
    """Number of feature vectors."""

    @classmethod
    def from_features(cls, features: np.ndarray) -> ReferenceMoments:
        """Statistics of features (n, d), n >= 2. ValueError if not finite, beyond 1e100, or of another shape."""
        features = checked_features(features, "reference")
        check_input_size(features, "reference", LARGEST)
        mean, factor = _factor(in_content_order(features))
        return cls(mean, factor.T, len(features))

    @classmethod
    def from_moments(cls, given: Moments) -> ReferenceMoments:
        """Statistics from a mean and a covariance, such as published ones. ValueError if it is not a covariance."""
        mean, covariance = checked_finite(given.mean, "mean"), checked_finite(given.covariance, "covariance")
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
            raise ValueError(f"mean (d,) and covariance (d, d) wanted, got {mean.shape} and {covariance.shape}")
        return cls(mean, _root(covariance), given.n)


def moments(features: np.ndarray) -> Moments:
    """Mean and covariance of features (n, d), n >= 2. ValueError if they are not finite or of another shape."""
    features = checked_features(features, "features")
    mean, factor = _centred(in_content_order(features))
    return Moments(mean, factor.T @ factor, len(features))


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """The Fréchet distance of features x (n, d) and y (m, d), any real dtype, n and m >= 2; >= 0, symmetric, float64.

    Exact but for rounding, about 1e-14 of the traces; the order of the vectors changes no bit. At n below d most of the
    value is bias: show n, and the distance between two real sets of that n, beside it.
    ValueError for features that are not 2-D, finite, at least two, of equal width, or that exceed 1e100 in size.
    """
    x, y = checked_feature_pair(x, y, LARGEST)
    return frechet_of_checked(in_content_order(x), in_content_order(y))


def frechet_of_checked(x: np.ndarray, y: np.ndarray) -> float:
    """`frechet_distance` of float64 features that passed its checks; rounding follows their order."""
    (mean_x, factor_x), (mean_y, factor_y) = _factor(x), _factor(y)
    trace = float((factor_x**2).sum() + (factor_y**2).sum())
    return frechet_sum(float(((mean_x - mean_y) ** 2).sum()), trace, nuclear_norm(factor_x @ factor_y.T))


def frechet_to_reference(x: np.ndarray, reference: ReferenceMoments) -> float:
    """`frechet_distance` with the reference's part computed before. x (n, d). Takes about n x r x 8 bytes."""
    x = checked_features(x, "x")
    if x.shape[1] != len(reference.mean):
        raise ValueError(f"x: features of the reference's width {len(reference.mean)} wanted, got {x.shape[1]}")
    check_input_size(x, "x", LARGEST)
    mean, factor = _factor(in_content_order(x))
    trace = float((factor**2).sum() + (reference.root**2).sum())
    return frechet_sum(float(((mean - reference.mean) ** 2).sum()), trace, nuclear_norm(factor @ reference.root))


def frechet_between_moments(x: Moments, reference: ReferenceMoments) -> float:
    """`frechet_distance` of features of which only the moments are kept. ValueError for unequal widths.

    The cross trace is the sum of sqrt(eigenvalues of Rᵀ S_x R) with S_y = R Rᵀ: a covariance has lost what a set has.
    """
    if x.mean.shape != reference.mean.shape:
        raise ValueError(f"x: the reference's width {len(reference.mean)} wanted, got {len(x.mean)}")
    root = reference.root
    trace = float(np.trace(x.covariance) + (root**2).sum())
    squares = np.linalg.eigvalsh(root.T @ x.covariance @ root) if root.size else np.zeros(1)
    # Where x has collapsed, null directions leave sqrt(rounding) each: measured, at most 7e-8 of the traces (d = 2048).
    cross = float(np.sqrt(squares.clip(min=0)).sum())
    return frechet_sum(float(((x.mean - reference.mean) ** 2).sum()), trace, cross)


def per_class_frechet(
    x: np.ndarray, x_labels: np.ndarray, y: np.ndarray, y_labels: np.ndarray, classes: Iterable[int]
) -> dict[int, ClassDistance]:
    """Label -> distance between the features of x and of y that have it, for each of `classes`.

    x (n, d), y (m, d), integer labels (n,) and (m,). A class with fewer than 2 vectors on a side gets a reason, and the
    others their value. ValueError for features or labels of a wrong kind.
    """
    return per_class(frechet_distance, x, x_labels, y, y_labels, classes)


def _factor(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean (d,) and a factor A (min(n, d), d) with AᵀA = covariance."""
    mean, centred = _centred(features)
    return mean, centred if len(centred) <= centred.shape[1] else np.asarray(np.linalg.qr(centred, mode="r"))


def _centred(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean (d,) and the factor A (n, d) with AᵀA = covariance."""
    mean = features.mean(axis=0)
    return mean, (features - mean) / np.sqrt(len(features) - 1)


def _root(covariance: np.ndarray) -> np.ndarray:
    """R (d, r) with R Rᵀ = `covariance`, r its numerical rank. ValueError if it is not positive semi-definite."""
    values, vectors = np.linalg.eigh(covariance)
    rounding = len(values) * EPSILON * max(values[-1], 0.0)
    if values[0] < -max(1e-6 * values[-1], 0.0):
        raise ValueError(f"covariance: eigenvalues >= 0 wanted, got {values[0]:.3g}")
    kept = values > rounding  # what is below is rounding, and its square root would not be small
    return vectors[:, kept] * np.sqrt(values[kept])


def nuclear_norm(matrix: np.ndarray) -> float:
    """Sum of the singular values; 0 for a matrix without columns."""
    return float(np.linalg.svd(matrix, compute_uv=False).sum()) if matrix.size else 0.0


def frechet_sum(shift: float, trace: float, cross: float) -> float:
    """The distance from |m_x - m_y|², tr S_x + tr S_y and the cross trace.

    Rounding may leave -1e-13 of the traces for equal sets: that is 0.
    """
    return max(0.0, shift + trace - 2 * cross)
