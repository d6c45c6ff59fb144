"""Cluster-alignment accuracy in closed form, with its ties, empty clusters and bad input."""

from __future__ import annotations

import numpy as np
import pytest

from metrics.alignment import alignment_accuracy, cluster_map, contingency


def test_contingency_counts_pairs() -> None:
    counts = contingency([0, 0, 1, 2, 2, 2], [1, 1, 0, 2, 2, 0], k=3, classes=4)
    assert counts.tolist() == [[0, 2, 0, 0], [1, 0, 0, 0], [1, 0, 2, 0]]


def test_majority_map_is_many_to_one_and_breaks_ties_low() -> None:
    clusters = [0, 0, 0, 1, 1, 1, 2, 2]
    labels = [2, 2, 0, 2, 2, 1, 1, 0]  # clusters 0 and 1 are both label 2; cluster 2 is a tie of 1 and 0; 3 is empty
    assert cluster_map(clusters, labels, k=4, classes=3).tolist() == [2, 2, 0, 0]


def test_the_map_of_one_domain_serves_the_other() -> None:
    """A domain whose clusters are pure but permuted has purity 1 and alignment 0."""
    mapping = cluster_map([0, 0, 1, 1], [0, 0, 1, 1], k=2, classes=2)
    assert alignment_accuracy([0, 0, 1, 1], [0, 0, 1, 1], mapping) == 1.0
    assert alignment_accuracy([1, 1, 0, 0], [0, 0, 1, 1], mapping) == 0.0
    assert alignment_accuracy([1, 1, 0, 1], [0, 0, 1, 1], mapping) == 0.25


def test_hungarian_is_one_to_one_and_best() -> None:
    clusters = [0] * 5 + [1] * 6
    labels = [0] * 3 + [1] * 2 + [0] * 5 + [1]  # both clusters are mostly label 0
    assert cluster_map(clusters, labels, 2, 2).tolist() == [0, 0]
    assert cluster_map(clusters, labels, 2, 2, "hungarian").tolist() == [1, 0]  # 2 + 5 agree, the other way 3 + 1
    with pytest.raises(ValueError, match="no more clusters than classes"):
        cluster_map(clusters, labels, 3, 2, "hungarian")


def test_order_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    clusters, labels = rng.integers(0, 6, 500), rng.integers(0, 4, 500)
    order = rng.permutation(500)
    assert np.array_equal(cluster_map(clusters, labels, 6, 4), cluster_map(clusters[order], labels[order], 6, 4))


@pytest.mark.parametrize(
    ("clusters", "labels", "message"),
    [
        (np.zeros(0, int), np.zeros(0, int), "at least 1"),
        ([0.0, 1.0], [0, 1], "integer labels"),
        ([0, 2], [0, 1], r"\[0, 2\) wanted, got 0 to 2"),
        ([0, -1], [0, 1], "got -1"),
        ([0, 1], [0, 1, 1], "2 clusters, but 3"),
        ([[0, 1]], [0, 1], "shape"),
    ],
)
def test_bad_input_is_named(clusters: object, labels: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cluster_map(clusters, labels, k=2, classes=2)  # type: ignore[arg-type]


def test_bad_assignment_and_bad_map() -> None:
    with pytest.raises(ValueError, match="neither"):
        cluster_map([0], [0], 1, 1, "random")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\[0, 2\)"):
        alignment_accuracy([0, 2], [0, 0], [0, 1])
    with pytest.raises(ValueError, match="labels of shape"):
        alignment_accuracy([0, 1], [0], [0, 1])
