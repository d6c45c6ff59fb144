"""Accuracy and its interval."""

from __future__ import annotations

import numpy as np
import pytest

from metrics.accuracy import ClassAccuracy, accuracy, per_class_accuracy


def test_share_of_equal_labels() -> None:
    predicted, labels = np.array([0, 1, 2, 2, 1]), np.array([0, 1, 1, 2, 0])
    assert accuracy(predicted, labels) == 0.6
    assert accuracy(labels, labels) == 1.0
    assert accuracy((labels + 1) % 3, labels) == 0.0
    assert accuracy(predicted == labels, np.ones(5, bool)) == 0.6


def test_order_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    predicted, labels = rng.integers(0, 5, (2, 101))
    order = rng.permutation(101)
    assert accuracy(predicted[order], labels[order]) == accuracy(predicted, labels)


def test_per_class() -> None:
    predicted, labels = np.array([0, 1, 0, 2, 1]), np.array([0, 0, 0, 2, 2])
    result = per_class_accuracy(predicted, labels, classes=range(3))
    assert result == {0: ClassAccuracy(2 / 3, 3), 1: ClassAccuracy(None, 0), 2: ClassAccuracy(0.5, 2)}


@pytest.mark.parametrize(
    ("predicted", "labels", "message"),
    [
        (np.array([0, 1]), np.array([0, 1, 2]), "labels: 2 labels wanted, got 3"),
        (np.array([0.0, 1.0]), np.array([0, 1]), "predicted: integer labels"),
        (np.zeros((2, 2), int), np.array([0, 1]), "predicted: integer labels"),
        (np.array([], int), np.array([], int), "at least 1 wanted"),
    ],
)
def test_wrong_labels_are_named(predicted: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        accuracy(predicted, labels)
