"""Every metric, of stored features, labels and clusters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from bench.checks.gate.code.inputs import CLASSES
from bench.checks.gate.code.values import Values
from bench.evaluation.distributions import HALF_SAMPLES
from metrics import accuracy as accuracies
from metrics import alignment, frechet, kernel, lpips_diversity, manifold, ndb
from metrics.parts.per_class import ClassDistance
from metrics.statistics import floors, half_samples, intervals

Numbers = Iterator[tuple[str, float]]


def measure_metrics_case(arrays: Mapping[str, np.ndarray]) -> Values:
    """Values of the subject `metrics`. Counts per class are exact."""
    values = Values("metrics")
    for name in ("narrow", "wide"):
        sides = [arrays[f"features-{name}-{side}{part}"] for side in "xy" for part in ("", "-labels")]
        for quantity, number in _of_features(*sides):
            values.add(f"{quantity} ({name} features)", "metric", number)
    for quantity, number in _of_labels(arrays["clusters"], arrays["clusters-labels"]):
        values.add(quantity, "metric", number)
    return values


def _of_features(x: np.ndarray, x_labels: np.ndarray, y: np.ndarray, y_labels: np.ndarray) -> Numbers:
    yield "fid", frechet.frechet_distance(x, y)
    yield "fid to reference moments", frechet.frechet_to_reference(x, frechet.ReferenceMoments.from_features(y))
    yield "kid", kernel.kernel_distance(x, y)
    yield "kid of subsets", kernel.subset_kernel_distance(x, y, subsets=5, subset_size=20)
    classes = range(CLASSES)
    yield from _per_class("fid", frechet.per_class_frechet(x, x_labels, y, y_labels, classes))
    yield from _per_class("kid", kernel.per_class_kernel(x, x_labels, y, y_labels, classes))
    yield from manifold.manifold_scores(x, y).numbers().items()
    yield from ndb.ndb(y, x, 10).numbers().items()
    yield "fid deviation", half_samples.frechet_interval(x, y, HALF_SAMPLES).deviation
    yield "kid deviation", half_samples.kernel_interval(x, y, HALF_SAMPLES).deviation
    halves = x[: len(x) // 2], x[len(x) // 2 :]
    yield "fid paired deviation", half_samples.frechet_paired_difference(*halves, y, HALF_SAMPLES).deviation
    yield "kid paired deviation", half_samples.kernel_paired_difference(*halves, y, HALF_SAMPLES).deviation
    yield "kid deviation, of any statistic", intervals.half_sample_deviation(kernel.kernel_distance, x, y, 10)
    floor = floors.real_floor(frechet.frechet_distance, y, 15, splits=5)
    yield "fid floor", floor.value
    yield "fid floor deviation", floor.deviation or 0.0
    distances = np.abs(x[:20, :6])  # in the place of pair distances of 4 styles
    yield "lpips within sources", lpips_diversity.within_source_diversity(distances)
    yield "cosine diversity", lpips_diversity.cosine_diversity(y[:20].reshape(5, 4, -1))
    mean = intervals.mean_interval(x[:, 0])
    yield "mean over images", mean.value
    yield "mean over images, deviation", mean.deviation
    yield "paired mean, deviation", intervals.paired_mean_difference(x[:15, 0], x[15:30, 0]).deviation
    seeds = intervals.seed_interval([*y[:4, 0].tolist(), None])
    for part in ("mean", "deviation", "low", "high"):
        yield f"over seeds, {part}", getattr(seeds, part)


def _per_class(metric: str, distances: Mapping[int, ClassDistance]) -> Numbers:
    yield f"{metric} per class: classes", len(distances)
    for label, distance in distances.items():
        yield f"{metric} of class {label}", float("nan") if distance.value is None else distance.value
        yield f"{metric} of class {label}: n", distance.n
        yield f"{metric} of class {label}: n of real images", distance.m


def _of_labels(clusters: np.ndarray, labels: np.ndarray) -> Numbers:
    yield "accuracy", accuracies.accuracy(clusters, labels)
    for label, share in accuracies.per_class_accuracy(clusters, labels, range(CLASSES)).items():
        yield f"accuracy of class {label}", float("nan") if share.value is None else share.value
        yield f"accuracy of class {label}: n", share.n
    for assignment in ("majority", "hungarian"):
        mapping = alignment.cluster_map(clusters, labels, CLASSES, CLASSES, assignment)
        yield f"alignment accuracy, {assignment}", alignment.alignment_accuracy(clusters, labels, mapping)
    yield "hungarian accuracy", alignment.hungarian_accuracy(clusters, labels)
    yield "nmi", alignment.normalized_mutual_information(clusters, labels)
    yield "ari", alignment.adjusted_rand_index(clusters, labels)
