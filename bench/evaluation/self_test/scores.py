"""Known answers of what is computed from labels, clusters and pair distances, and of the intervals.

Each function imports what it tests, so that a broken library costs its own metric's cases only.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import log, sqrt

import numpy as np

from bench.evaluation.self_test.case import Case, CaseRefused


def diversity_score_cases() -> Iterator[Case]:
    """Mean over sources of the mean over pairs of styles."""
    from metrics.lpips_diversity import cosine_diversity, within_source_diversity

    case = partial(Case, "diversity")
    right, opposite, alike = [[1, 0], [0, 3]], [[1, 2], [-2, -4]], [[1, 2], [2, 4]]
    three = [[1, 0], [0, 1], [-1, 0]]  # right, opposite, right
    yield case("mean of pair distances", lambda: within_source_diversity(np.array([[1, 2, 3], [0, 0, 6]])), 2)
    yield case("cosine: right angle", lambda: cosine_diversity(np.array([right])), 1)
    yield case("cosine: opposite", lambda: cosine_diversity(np.array([opposite])), 2)
    yield case("cosine: equal directions", lambda: cosine_diversity(np.array([alike])), 0)
    yield case("cosine: three styles", lambda: cosine_diversity(np.array([three])), (1 + 2 + 1) / 3)
    yield case("cosine: two sources", lambda: cosine_diversity(np.array([right, alike])), 1 / 2)
    yield case("NaN", lambda: within_source_diversity(np.array([[np.nan]])), CaseRefused("NaN"))
    yield case("no number of pairs", lambda: within_source_diversity(np.ones((1, 5))), CaseRefused("number of pairs"))


def structure_score_cases() -> Iterator[Case]:
    """Keys of two tokens, whose one angle is what counts."""
    from metrics.self_similarity import structure_distance

    case = partial(Case, "structure")
    right, sixty = np.array([[[1.0, 0.0], [0.0, 2.0]]]), np.array([[[3.0, 0.0], [0.5, sqrt(0.75)]]])
    yield case("an angle of 90 and one of 60 degrees", lambda: structure_distance(right, sixty), 2 * 0.5**2 / 4)
    yield case("turned and longer keys", lambda: structure_distance(right, -3 * right), 0)
    yield case("a key of zeros", lambda: structure_distance(right, 0 * right), CaseRefused("all zero"))


def accuracy_score_cases() -> Iterator[Case]:
    """Counted by hand."""
    from metrics.accuracy import accuracy as share
    from metrics.accuracy import per_class_accuracy

    case = partial(Case, "accuracy")
    predicted, labels = np.array([0, 1, 2, 2, 0]), np.array([0, 1, 2, 0, 1])
    yield case("three of five", lambda: share(predicted, labels), 3 / 5)
    yield case("all and none", lambda: [share(labels, labels), share(labels + 1, labels)], [1, 0])
    yield case(
        "per class",
        lambda: [(score.value, score.n) for score in per_class_accuracy(predicted, labels, range(3)).values()],
        [1 / 2, 2, 1 / 2, 2, 1, 1],
    )
    yield case("a class without images", lambda: str(per_class_accuracy(predicted, labels, [7])[7].value), "None")
    yield case("scores in place of labels", lambda: share(predicted / 2, labels), CaseRefused("integer labels"))


def alignment_score_cases() -> Iterator[Case]:
    """Eq. 14 of CatS-UDT; Hungarian, NMI and ARI of a 2 x 2 table of six images."""
    from metrics.alignment import (
        adjusted_rand_index,
        alignment_accuracy,
        cluster_map,
        hungarian_accuracy,
        normalized_mutual_information,
    )

    def all_three(clusters: list[int], labels: list[int]) -> list[float]:
        scores = hungarian_accuracy, normalized_mutual_information, adjusted_rand_index
        return [score(clusters, labels) for score in scores]

    case = partial(Case, "alignment")
    # Cluster 0 mostly label 1; cluster 1 as often 2 as 0; cluster 2 label 1, too; cluster 3 empty; cluster 4 label 2.
    clusters, labels, answer = [0, 0, 0, 1, 1, 2, 4], [1, 2, 1, 2, 0, 1, 2], [1, 0, 1, 0, 2]
    elsewhere, truth = [0, 1, 2, 3, 4, 4], [1, 0, 0, 0, 2, 1]
    yield case("eq. 14: many to one, lowest of equals", lambda: cluster_map(clusters, labels, 5, 3), answer)
    yield case("eq. 14: on another domain", lambda: alignment_accuracy(elsewhere, truth, answer), 4 / 6)
    # Table [[4, 3], [3, 0]]: the largest entry first gives 4 + 0, the best one-to-one map 3 + 3.
    first, second = [0] * 7 + [1] * 3, [0, 0, 0, 0, 1, 1, 1, 0, 0, 0]
    yield case("Hungarian: not the largest first", lambda: hungarian_accuracy(first, second), 6 / 10)
    yield case("Hungarian: map", lambda: cluster_map(first, second, 2, 2, "hungarian"), [1, 0])
    # Table [[3, 0], [1, 2]]. Of 15 pairs 6 and 7 are together, 4 in both; by chance 6 x 7 / 15.
    halves, thirds = [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1]
    shared, entropies = log(3 / 2) / 2 + log(1 / 2) / 6 + log(2) / 3, log(2) + log(3) - 2 / 3 * log(2)
    by_chance = 6 * 7 / 15
    yield case("NMI", lambda: normalized_mutual_information(halves, thirds), 2 * shared / entropies)
    yield case("NMI: independent", lambda: normalized_mutual_information([0, 0, 1, 1], [0, 1, 0, 1]), 0)
    yield case("ARI", lambda: adjusted_rand_index(halves, thirds), (4 - by_chance) / ((6 + 7) / 2 - by_chance))
    yield case("the same clusters by other names", lambda: all_three([5, 5, 2, 9], [0, 0, 1, 2]), [1, 1, 1])
    yield case(
        "a cluster outside the map", lambda: alignment_accuracy([3], [0], [0, 1]), CaseRefused("values in [0, 2)")
    )


def intervals_score_cases() -> Iterator[Case]:
    """The deviation of a mean over halves that can all be listed; Student's t; sets that do not overlap."""
    from metrics.statistics.floors import disjoint_sets, real_floor
    from metrics.statistics.intervals import (
        half_sample_deviation,
        half_sample_interval,
        mean_interval,
        paired_difference,
        paired_mean_difference,
        seed_interval,
    )

    def difference(x: np.ndarray, y: np.ndarray) -> float:
        return float(x.mean() - y.mean())

    def overlap(x: np.ndarray, y: np.ndarray) -> float:
        return len(np.intersect1d(x, y))

    def lead() -> list[float]:
        interval = paired_difference(difference, x, x + 3, y, 20)
        return [interval.value, interval.deviation]

    def of_seeds() -> list[float | None]:
        interval = seed_interval([1, 3, None, 2])
        return [interval.mean, interval.low, interval.high, interval.k, interval.n]

    case = partial(Case, "intervals")
    x, y, ten = np.arange(4.0), 2 * np.arange(4.0), np.arange(10)
    # Over all 6 halves of x the means are .5, 1, 1.5, 1.5, 2, 2.5: variance 5/12, which is S²/n. Of y four times that.
    # 2,000 random halves know a deviation to 1 / sqrt(2 x 2,000) = 1.6 % at worst; the tolerance is 5 times that.
    deviation = sqrt(5 / 12 + 4 * 5 / 12)
    reach = 0.95 / sqrt(2 * 0.975 * 0.025) * 1 / sqrt(3)  # t with 2 degrees of freedom is (2p - 1) / sqrt(2p (1 - p))
    yield case(
        "half-samples: of a mean", lambda: half_sample_deviation(difference, x, y, 2000), deviation, 0.08 * deviation
    )
    yield case("half-samples: value on all rows", lambda: half_sample_interval(difference, x, y, 2).value, 1.5 - 3)
    yield case("a mean's own: S / sqrt(n)", lambda: mean_interval(x).deviation, sqrt(5 / 3) / 2)
    yield case("paired: a constant lead", lead, [-3, 0])
    yield case("paired means: a constant lead", lambda: paired_mean_difference(x, x + 3).deviation, 0)
    yield case("disjoint sets", lambda: np.sort(np.concatenate(disjoint_sets(ten, 5))), range(10))
    yield case("floor: no row in both sets", lambda: real_floor(overlap, ten, 4).value, 0)
    yield case("seeds: Student's t, one failed", of_seeds, [2, 2 - reach, 2 + reach, 3, 4])
    yield case("NaN", lambda: half_sample_deviation(difference, x * np.nan, y), CaseRefused("NaN"))
