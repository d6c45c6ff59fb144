"""What holds for every metric on features of any kind: real numbers in their ranges, and independence of order.

Features of 2 to 5,000 vectors and widths of 1 to 2,048, full, of low rank, constant, repeated, far from 0, with an
outlier; two sets that are unrelated, equal, nearly equal, or parts of one another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.accuracy import accuracy, per_class_accuracy
from metrics.alignment import (
    adjusted_rand_index,
    alignment_accuracy,
    cluster_map,
    hungarian_accuracy,
    normalized_mutual_information,
)
from metrics.frechet import (
    ReferenceMoments,
    frechet_between_moments,
    frechet_distance,
    frechet_to_reference,
    moments,
    per_class_frechet,
)
from metrics.kernel import kernel_distance, per_class_kernel
from metrics.lpips_diversity import cosine_diversity, within_source_diversity
from metrics.manifold import manifold_scores
from metrics.ndb import ndb
from metrics.statistics.floors import real_floors
from metrics.statistics.half_samples import (
    frechet_interval,
    frechet_paired_difference,
    kernel_interval,
    kernel_paired_difference,
)
from metrics.statistics.intervals import mean_interval, paired_mean_difference

KINDS = ["full", "relu", "low rank", "constant", "repeats", "two vectors", "offset", "outlier"]
RELATIONS = ["unrelated", "unrelated", "equal", "nearly equal", "part"]
ROUNDING = 1e-12
"""Of the traces, below 0, for a Fréchet distance before it is cut at 0. Measured on 4,000 pairs: 6e-14."""


def features(rng: np.random.Generator, n: int, d: int, kind: str) -> np.ndarray:
    """(n, d) float64."""
    x = rng.standard_normal((n, d))
    if kind == "relu":
        return np.maximum(x - 0.5, 0)
    if kind == "low rank":
        rank = max(1, min(n, d) // 5)
        return x[:, :rank] @ rng.standard_normal((rank, d))
    if kind == "constant":
        return np.tile(x[0], (n, 1))
    if kind == "repeats":
        return x[np.arange(n) % max(1, n // 5)]
    if kind == "two vectors":
        return x[np.arange(n) % 2]
    if kind == "offset":
        return x + 1000
    if kind == "outlier":
        x[0] *= 1e4
    return x


def pair(
    seed: int, sizes: tuple[int, int, int], kinds: tuple[str, str], relation: str, scale: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """float32 features (n, d) and (m, d)."""
    rng, (n, m, d) = np.random.default_rng(seed), sizes
    x, y = features(rng, n, d, kinds[0]), features(rng, m, d, kinds[1])
    if relation in ("equal", "nearly equal"):
        y = rng.permutation(x) * (1 if relation == "equal" else 1 + 1e-6)
    if relation == "part":
        y = rng.permutation(x)[: max(2, n // 2)]
    return (scale * x).astype(np.float32), (scale * y).astype(np.float32)


def pairs(vectors: st.SearchStrategy[int], widths: st.SearchStrategy[int]) -> st.SearchStrategy:
    kind, seed = st.sampled_from(KINDS), st.integers(0, 2**32)
    sizes, relation = st.tuples(vectors, vectors, widths), st.sampled_from(RELATIONS)
    return st.builds(pair, seed, sizes, st.tuples(kind, kind), relation, st.sampled_from([1e-3, 1.0, 1e3]))


def check_ranges(x: np.ndarray, y: np.ndarray) -> None:
    """Every metric of features on x and y is a real number in its range."""
    with patch("metrics.frechet.frechet_sum", lambda shift, trace, cross: shift + trace - 2 * cross):
        uncut = frechet_distance(x, y)
    wide_x, wide_y = x.astype(np.float64), y.astype(np.float64)
    traces = wide_x.var(axis=0, ddof=1).sum() + wide_y.var(axis=0, ddof=1).sum()
    assert isinstance(uncut, float)
    assert -ROUNDING * traces <= uncut < math.inf
    assert frechet_distance(x, y) == max(0.0, uncut)

    # The biased estimate is >= 0 (the kernel is positive definite); this is what the unbiased one may lie below it.
    own = [((wide**2).mean(axis=1) + 1) ** 3 for wide in (wide_x, wide_y)]
    kernel = kernel_distance(x, y)
    assert isinstance(kernel, float)
    lowest = -sum(values.mean() / (len(values) - 1) for values in own)
    assert lowest - 1e-13 * max(values.max() for values in own) <= kernel < math.inf

    k_precision, k_density = min(3, len(x) - 1, len(y) - 1), min(5, len(y) - 1)
    scores = manifold_scores(x, y, k_precision=k_precision, k_density=k_density)
    assert all(isinstance(value, float) for value in scores.numbers().values())
    assert all(0 <= value <= 1 for value in (scores.precision, scores.recall, scores.coverage))
    assert 0 <= scores.density <= len(y) / k_density

    k = min(20, len(np.unique(y, axis=0)))
    bins = ndb(y, x, k=k, starts=1, dimensions=y.shape[1])
    assert isinstance(bins.count, int)
    assert 0 <= bins.count <= k
    assert isinstance(bins.jsd, float)
    assert 0 <= bins.jsd <= math.log(2)


@settings(max_examples=150, deadline=None)
@given(pairs(st.integers(2, 80), st.integers(1, 512)))
def test_ranges(sets: tuple[np.ndarray, np.ndarray]) -> None:
    check_ranges(*sets)


@settings(max_examples=25, deadline=None)
@given(pairs(st.integers(2, 60), st.integers(513, 2048)))
def test_ranges_at_large_widths(sets: tuple[np.ndarray, np.ndarray]) -> None:
    check_ranges(*sets)


@pytest.mark.parametrize(
    ("sizes", "kinds", "relation"),
    [
        ((2, 5000, 1), ("full", "relu"), "unrelated"),
        ((5000, 300, 3), ("full", "low rank"), "unrelated"),
        ((700, 900, 200), ("repeats", "full"), "part"),
        ((1000, 1000, 64), ("low rank", "low rank"), "equal"),
    ],
)
def test_ranges_of_many_vectors(sizes: tuple[int, int, int], kinds: tuple[str, str], relation: str) -> None:
    check_ranges(*pair(1, sizes, kinds, relation))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kinds", "relation"),
    [(("full", "relu"), "unrelated"), (("low rank", "full"), "unrelated"), (("full", "full"), "equal")],
)
def test_ranges_at_the_largest_sizes(kinds: tuple[str, str], relation: str) -> None:
    check_ranges(*pair(2, (5000, 5000, 2048), kinds, relation))


# ---------------------------------------------------------------------------------------------------------- order

Numbers = dict[str, float]


def of_features(x: np.ndarray, y: np.ndarray, labels: np.ndarray, other: np.ndarray) -> Numbers:
    """Everything that is taken from features x with `labels`, their twins `other`, and the reference y."""
    reference, classes, y_labels = ReferenceMoments.from_features(y), range(3), (y[:, 0] > y[:, 1]).astype(int)
    by_class = {
        f"{name} of class {label}": one.value or 0.0
        for name, per_class in (("fid", per_class_frechet), ("kid", per_class_kernel))
        for label, one in per_class(x, labels, y, y_labels, classes).items()
    }
    intervals = {
        "fid interval": frechet_interval(x, y, 5),
        "kid interval": kernel_interval(x, y, 5),
        "fid difference": frechet_paired_difference(x, other, y, 5),
        "kid difference": kernel_paired_difference(x, other, y, 5),
        "mean": mean_interval(x[:, 0]),
        "difference of means": paired_mean_difference(x[:, 0], other[:, 0]),
    }

    def statistics(a: np.ndarray, b: np.ndarray) -> Numbers:
        return {"fid": frechet_distance(a, b), **manifold_scores(a, b).numbers()}

    floors = real_floors(statistics, x, 12, 30, splits=2)
    return {
        "fid": frechet_distance(x, y),
        "fid to reference": frechet_to_reference(x, reference),
        "fid between moments": frechet_between_moments(moments(x), reference),
        "kid": kernel_distance(x, y),
        **manifold_scores(x, y).numbers(),
        **ndb(y, x, k=5, starts=2).numbers(),
        **by_class,
        **{f"{name} {i}": v for name, one in intervals.items() for i, v in enumerate((one.value, one.deviation))},
        **{f"floor of {name}": floor.value for name, floor in floors.items()},
    }


@pytest.mark.parametrize("kind", ["full", "relu", "repeats", "offset", "outlier"])
@pytest.mark.parametrize("d", [2, 30, 100])
def test_order_of_rows_does_not_matter(d: int, kind: str) -> None:
    """Stored features (float32) in five other orders: 1e-10 relative; most numbers do not change a bit."""
    rng = np.random.default_rng([d, KINDS.index(kind)])
    x, y = (features(rng, n, d, kind).astype(np.float32) for n in (60, 45))
    other, labels = x + rng.standard_normal((60, d)).astype(np.float32), np.arange(60) % 3
    expected = of_features(x, y, labels, other)
    for _ in range(5):
        p, q = rng.permutation(60), rng.permutation(45)
        assert of_features(x[p], y[q], labels[p], other[p]) == pytest.approx(expected, rel=1e-10, abs=0)


@pytest.mark.parametrize("apart", [0.0, 1e-7, 1e-3])
@pytest.mark.parametrize(("n", "d"), [(40, 10), (40, 100)])
def test_order_does_not_matter_where_almost_everything_cancels(n: int, d: int, apart: float) -> None:
    """Nearly equal sets: what is left of the traces is so small that even its last bits are of the order of rows."""
    rng = np.random.default_rng(n + d)
    x = rng.standard_normal((n, d))
    y = x + apart * rng.standard_normal((n, d))
    for distance in (frechet_distance, kernel_distance):
        values = {distance(rng.permutation(x), rng.permutation(y)) for _ in range(10)}
        assert values == {distance(x, y)}


def of_labels(predicted: np.ndarray, labels: np.ndarray, distances: np.ndarray, styles: np.ndarray) -> Numbers:
    """Everything that is taken from predictions and labels, or from one row per source."""
    clusters = 2 * predicted % 5
    right = mean_interval(predicted == labels)
    scores: list[Callable[[np.ndarray, np.ndarray], float]]
    scores = [accuracy, hungarian_accuracy, normalized_mutual_information, adjusted_rand_index]
    return {
        **{score.__name__: score(predicted, labels) for score in scores},
        **{f"class {k}": one.value or 0.0 for k, one in per_class_accuracy(predicted, labels, range(4)).items()},
        "alignment": alignment_accuracy(clusters, labels, cluster_map(clusters, labels, 5, 4)),
        "accuracy's interval": right.deviation,
        "diversity": within_source_diversity(distances),
        "diversity's interval": mean_interval(distances.mean(axis=1)).deviation,
        "judge diversity": cosine_diversity(styles),
    }


def test_order_of_images_and_sources_does_not_matter() -> None:
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 4, 200)
    predicted = np.where(rng.random(200) < 0.6, labels, rng.integers(0, 4, 200))
    distances, styles = rng.random((200, 6)), rng.standard_normal((200, 4, 16))
    expected = of_labels(predicted, labels, distances, styles)
    for _ in range(5):
        p = rng.permutation(200)
        again = of_labels(predicted[p], labels[p], distances[p][:, ::-1], styles[p][:, ::-1])
        assert again == pytest.approx(expected, rel=1e-10, abs=0)
