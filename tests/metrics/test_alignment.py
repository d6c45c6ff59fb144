"""Cluster-alignment accuracy, Hungarian accuracy, NMI and ARI in closed form, with ties, empty clusters, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations, permutations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from metrics.alignment import (
    adjusted_rand_index,
    alignment_accuracy,
    cluster_map,
    contingency,
    hungarian_accuracy,
    normalized_mutual_information,
)

SCORES = [hungarian_accuracy, normalized_mutual_information, adjusted_rand_index]


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


def test_scores_by_hand() -> None:
    """n = [[3, 0], [1, 2]]: clusters of 3 and 3, labels of 4 and 2."""
    clusters, labels = [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1]
    assert hungarian_accuracy(clusters, labels) == pytest.approx(5 / 6, abs=1e-15)
    shared = 3 / 6 * math.log(3 * 6 / (3 * 4)) + 1 / 6 * math.log(1 * 6 / (3 * 4)) + 2 / 6 * math.log(2 * 6 / (3 * 2))
    entropies = math.log(2), -(4 / 6 * math.log(4 / 6) + 2 / 6 * math.log(2 / 6))
    assert normalized_mutual_information(clusters, labels) == pytest.approx(2 * shared / sum(entropies), abs=1e-12)
    # 15 pairs: 4 together in both, 6 by clusters, 7 by labels; by chance 6 * 7 / 15
    assert adjusted_rand_index(clusters, labels) == pytest.approx((4 - 2.8) / (6.5 - 2.8), abs=1e-12)


def test_hungarian_accuracy_tries_every_map() -> None:
    rng = np.random.default_rng(1)
    for k, classes in ((3, 4), (4, 4), (5, 3)):
        clusters, labels = rng.integers(0, k, 60), rng.integers(0, classes, 60)
        maps = permutations(range(max(k, classes)), k)  # a label of `classes` and above is a cluster left over
        expected = max(float(np.mean(np.array(one)[clusters] == labels)) for one in maps)
        assert hungarian_accuracy(clusters, labels) == pytest.approx(expected, abs=1e-15)
        if k <= classes:
            mapping = cluster_map(clusters, labels, k, classes, "hungarian")
            assert alignment_accuracy(clusters, labels, mapping) == pytest.approx(expected, abs=1e-15)


def test_scores_equal_scikit_learns_and_counted_pairs() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 4, 120)
    clusters = np.where(rng.random(120) < 0.6, labels, rng.integers(0, 6, 120))
    assert normalized_mutual_information(clusters, labels) == pytest.approx(
        normalized_mutual_info_score(labels, clusters), abs=1e-12
    )
    assert adjusted_rand_index(clusters, labels) == pytest.approx(adjusted_rand_score(labels, clusters), abs=1e-12)
    pairs = [(clusters[i] == clusters[j], labels[i] == labels[j]) for i, j in combinations(range(120), 2)]
    both, by_clusters, by_labels = (sum(map(rule, pairs)) for rule in (all, lambda p: p[0], lambda p: p[1]))
    chance = by_clusters * by_labels / len(pairs)
    expected = (both - chance) / ((by_clusters + by_labels) / 2 - chance)
    assert adjusted_rand_index(clusters, labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("score", SCORES)
def test_scores_see_neither_order_nor_names(score: Callable[..., float]) -> None:
    rng = np.random.default_rng(3)
    clusters, labels, order = rng.integers(0, 6, 300), rng.integers(0, 4, 300), rng.permutation(300)
    value = score(clusters, labels)
    assert score(clusters[order], labels[order]) == pytest.approx(value, rel=1e-12)
    assert score(100 - 7 * clusters, labels - 2) == pytest.approx(value, rel=1e-12)
    assert score((labels + 1) % 4, labels) == 1.0


def test_scores_of_groupings_that_say_nothing() -> None:
    """40 images of each of 5 labels, in one cluster, and in clusters that are independent of the labels."""
    labels, independent = np.repeat(np.arange(5), 40), np.tile(np.arange(5), 40)
    assert [score(np.zeros(200, int), labels) for score in SCORES] == pytest.approx([0.2, 0, 0], abs=1e-12)
    assert [score(independent, labels) for score in SCORES[:2]] == pytest.approx([0.2, 0], abs=1e-12)
    assert -0.05 < adjusted_rand_index(independent, labels) < 0  # more even than chance
    assert [score([3, 3], [1, 1]) for score in SCORES] == [1, 1, 1]


@pytest.mark.parametrize("score", SCORES)
def test_bad_input_of_scores_is_named(score: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match="clusters: integer labels"):
        score([0.0, 1.0], [0, 1])
    with pytest.raises(ValueError, match="labels: integer labels"):
        score([0, 1], [[0, 1]])
    with pytest.raises(ValueError, match="2 clusters, but 3 labels"):
        score([0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match="at least 1 wanted"):
        score(np.zeros(0, int), np.zeros(0, int))


def test_bad_assignment_and_bad_map() -> None:
    with pytest.raises(ValueError, match="neither"):
        cluster_map([0], [0], 1, 1, "random")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\[0, 2\)"):
        alignment_accuracy([0, 2], [0, 0], [0, 1])
    with pytest.raises(ValueError, match="labels of shape"):
        alignment_accuracy([0, 1], [0], [0, 1])
