"""Translation accuracy: does the judge see the source's class in the translation? (CatS-UDT, section 4 and Table 1.)"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from metrics.parts.input_checks import checked_labels


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Share of `predicted` that equals `labels`, a fraction in [0, 1] (tables print percent).

    For translation accuracy `predicted` is what the *target* domain's judge says of the translations and `labels`
    the true classes of their sources. Both (n,) integers; ValueError if they are not, differ in number, or n = 0.
    """
    predicted = checked_labels(predicted, "predicted")
    labels = checked_labels(labels, "labels", len(predicted))
    if len(labels) == 0:
        raise ValueError("labels: at least 1 wanted, got 0")
    return float(np.mean(predicted == labels))


@dataclass(frozen=True)
class ClassAccuracy:
    """The accuracy within one class."""

    value: float | None
    """Share in [0, 1]; None for a class without images."""
    n: int
    """Number of images with this label."""


def per_class_accuracy(predicted: np.ndarray, labels: np.ndarray, classes: Iterable[int]) -> dict[int, ClassAccuracy]:
    """Label -> accuracy among the images that have it, for each of `classes`. Inputs as for `accuracy`."""
    predicted = checked_labels(predicted, "predicted")
    labels = checked_labels(labels, "labels", len(predicted))
    right = predicted == labels
    result = {}
    for label in classes:
        of_class = right[labels == label]
        result[label] = ClassAccuracy(float(of_class.mean()) if len(of_class) else None, len(of_class))
    return result
