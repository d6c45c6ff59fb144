"""Translation accuracy: does the judge see the source's class in the translation? (CatS-UDT, section 4 and Table 1.)"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

import numpy as np

from metrics.checks import as_labels


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Share of `predicted` that equals `labels`, a fraction in [0, 1] (tables print percent).

    For translation accuracy `predicted` is what the *target* domain's judge says of the translations and `labels`
    the true classes of their sources. Both (n,) integers; ValueError if they are not, differ in number, or n = 0.
    """
    predicted = as_labels(predicted, "predicted")
    labels = as_labels(labels, "labels", len(predicted))
    if len(labels) == 0:
        raise ValueError("labels: at least 1 wanted, got 0")
    return float(np.mean(predicted == labels))


@dataclass(frozen=True)
class ClassAccuracy:
    """The accuracy within one class."""

    value: float | None
    """In [0, 1]; None for a class without images."""
    n: int
    """How many images have this label."""


def per_class_accuracy(predicted: np.ndarray, labels: np.ndarray, classes: Iterable[int]) -> dict[int, ClassAccuracy]:
    """Label -> accuracy among the images that have it, for each of `classes`. Inputs as for `accuracy`."""
    predicted = as_labels(predicted, "predicted")
    labels = as_labels(labels, "labels", len(predicted))
    right = predicted == labels
    result = {}
    for label in classes:
        own = right[labels == label]
        result[label] = ClassAccuracy(float(own.mean()) if len(own) else None, len(own))
    return result


def wilson_interval(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a fraction `right` / `n` (Wilson 1927), within [0, 1]; `z` = 1.959964 gives 95 %.

    It covers the sampling of images only, not the spread between trainings. ValueError unless 0 <= right <= n, n >= 1.
    """
    if n < 1 or not 0 <= right <= n:
        raise ValueError(f"right: 0 <= right <= n with n >= 1 wanted, got right={right}, n={n}")
    centre = (right + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * sqrt(right * (n - right) / n + z * z / 4)
    # At right = 0 and right = n the exact bounds are 0 and 1; rounding may miss them by 1e-17.
    return (0.0 if right == 0 else centre - half), (1.0 if right == n else centre + half)
