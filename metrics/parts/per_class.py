"""A distance within each class: how every distribution metric is taken per class."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from metrics.parts.input_checks import checked_feature_pair, checked_labels


@dataclass(frozen=True)
class ClassDistance:
    """The distance within one class."""

    value: float | None
    """Distance; None where it is not defined."""
    n: int
    """Feature vectors of this class in x."""
    m: int
    """Feature vectors of this class in y."""
    reason: str = ""
    """Reason why there is no value; empty if there is one."""


def per_class(
    distance: Callable[[np.ndarray, np.ndarray], float],
    x: np.ndarray,
    x_labels: np.ndarray,
    y: np.ndarray,
    y_labels: np.ndarray,
    classes: Iterable[int],
) -> dict[int, ClassDistance]:
    """Label -> `distance` between the features of x and of y that have it, for each of `classes`.

    x (n, d), y (m, d), integer labels (n,) and (m,). A class with fewer than 2 vectors on a side gets a reason, and the
    others their value. ValueError for features or labels of a wrong kind.
    """
    x, y = checked_feature_pair(x, y)
    x_labels, y_labels = checked_labels(x_labels, "x_labels", len(x)), checked_labels(y_labels, "y_labels", len(y))
    result = {}
    for label in classes:
        x_of_class, y_of_class = x[x_labels == label], y[y_labels == label]
        n, m = len(x_of_class), len(y_of_class)
        if min(n, m) < 2:
            reason = f"class {label}: at least 2 feature vectors on each side wanted, got {n} and {m}"
            result[label] = ClassDistance(None, n, m, reason)
        else:
            result[label] = ClassDistance(distance(x_of_class, y_of_class), n, m)
    return result
