"""A linear probe: multinomial logistic regression on features of labelled images, as a classifier of other images.

On features of a network that was trained on many photographs a linear map is right where a small network trained on the
few images of a domain is not. Source of the idea: Alain and Bengio, "Understanding intermediate layers using linear
classifier probes", 2016 (arXiv 1610.01644).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from metrics.parts.input_checks import checked_features, checked_labels

INVERSE_REGULARISATION = 0.01
"""scikit-learn's C for standardised features: with it, few images of many features do not decide a class by one."""
MAX_ITERATIONS = 2_000


def fit_probe(features: ArrayLike, labels: ArrayLike, classes: int) -> np.ndarray:
    """float64 (classes, width + 1): weights on the features as they come, and the constant, of each class.

    `features` (N, width) are standardised for the fit; `labels` integers (N,) in [0, classes), each of them there.
    Raises ValueError for other shapes and values.
    """
    from sklearn.linear_model import LogisticRegression

    x, y = checked_features(np.asarray(features), "features"), checked_labels(np.asarray(labels), "labels")
    if len(x) != len(y):
        raise ValueError(f"{len(x)} features, but {len(y)} labels")
    if classes < 2 or not np.array_equal(np.unique(y), np.arange(classes)):
        raise ValueError(f"labels of every class in [0, {classes}) wanted, of at least 2, got {np.unique(y)}")
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale < 1e-8 * max(1.0, float(np.abs(x).max()))] = np.inf  # a constant feature says nothing
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=MAX_ITERATIONS)
    model.fit((x - mean) / scale, y)
    weights, constants = model.coef_, model.intercept_
    if classes == 2:  # scikit-learn then has one row, of class 1
        weights, constants = np.vstack([-weights, weights]) / 2, np.concatenate([-constants, constants]) / 2
    weights = weights / scale
    return np.column_stack([weights, constants - weights @ mean])


def apply_probe(probe: ArrayLike, features: ArrayLike) -> np.ndarray:
    """int64 (N,): the most likely class of each row of `features` (N, width), the lowest of equals.

    `probe` as by `fit_probe`. Raises ValueError if the widths differ.
    """
    p, x = np.asarray(probe, np.float64), checked_features(np.asarray(features), "features")
    if p.shape[1] != x.shape[1] + 1:
        raise ValueError(f"features of width {p.shape[1] - 1} wanted, got {x.shape[1]}")
    return (x @ p[:, :-1].T + p[:, -1]).argmax(axis=1)
