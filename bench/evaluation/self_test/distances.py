"""Known answers of the metrics that compare two sets of features: Fréchet, KID, precision to coverage, NDB.

Each function imports what it tests, so that a broken library costs its own metric's cases only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import log, sqrt
from typing import TYPE_CHECKING

import numpy as np

from bench.evaluation.self_test.case import Case, CaseRefused

if TYPE_CHECKING:
    from metrics.parts.per_class import ClassDistance

NAN = np.array([[0, np.nan], [1, 2]])
"""Features with a hole."""


def frechet_distance_cases() -> Iterator[Case]:
    """Closed forms: |m_x - m_y|² + tr S_x + tr S_y - 2 tr (S_x S_y)^(1/2), covariances with divisor n - 1."""
    from metrics.frechet import (
        Moments,
        ReferenceMoments,
        frechet_between_moments,
        frechet_distance,
        frechet_to_reference,
        moments,
        per_class_frechet,
    )

    case = partial(Case, "frechet")
    rng = np.random.default_rng(0)
    many, few = rng.standard_normal((12, 8)), rng.standard_normal((6, 24))  # more and fewer rows than the width
    d = np.array([3, -2, 1, 0, 0, 0, 0, -1])  # |d|² = 15
    yield case("identical sets", lambda: frechet_distance(many, many), 0)
    yield case("identical sets, n below the width", lambda: frechet_distance(few, few), 0)
    yield case("shifted by d: |d|²", lambda: frechet_distance(many + d, many), 15)
    yield case("shifted by d, n below the width", lambda: frechet_distance(few + np.tile(d, 3), few), 3 * 15)

    # S_x = 2/3 diag(169, 1), S_y = 2/3 (uuᵀ + vvᵀ) with u = (3, 4), v = (-8, 6): traces 340/3 and 250/3. In two
    # dimensions tr (S T)^(1/2) = sqrt(tr S T + 2 sqrt(det S det T)), which is 2/3 sqrt(13,689) = 78 here.
    x = np.array([[13, 0], [-13, 0], [0, 1], [0, -1]]) + np.array([3, -2])
    y = np.array([[3, 4], [-3, -4], [-8, 6], [8, -6]])
    answer = 3**2 + 2**2 + 340 / 3 + 250 / 3 - 2 * 78
    wide = np.kron([[1, 1], [1, -1]], np.full((1, 8), 1 / 4))  # (2, 16), orthonormal rows: into 16 dimensions
    s_y = Moments(np.zeros(2), np.array([[73, -36], [-36, 52]]) * 2 / 3, 4)  # uuᵀ + vvᵀ, multiplied out
    yield case("two known covariances", lambda: frechet_distance(x, y), answer)
    yield case("two known covariances, exchanged", lambda: frechet_distance(y, x), answer)
    yield case("two known covariances, n below the width", lambda: frechet_distance(x @ wide, y @ wide), answer)
    yield case("far from the origin", lambda: frechet_distance(x + 2**20, y + 2**20), answer, 1e-6)
    yield case("reference by its moments", lambda: frechet_to_reference(x, ReferenceMoments.from_moments(s_y)), answer)
    yield case(
        "both by their moments", lambda: frechet_between_moments(moments(x), ReferenceMoments.from_moments(s_y)), answer
    )
    yield case("scaled by 3: (3 - 1)² tr S", lambda: frechet_distance(3 * y, y), 4 * 250 / 3)
    # Means 1 and 2, variances 3 and 16, in one dimension: the squared difference of the deviations.
    lopsided, other = np.array([[0], [0], [3]]), np.array([[0], [0], [0], [8]])
    yield case("lopsided, unequal n", lambda: frechet_distance(lopsided, other), 1 + (sqrt(3) - 4) ** 2)
    yield case("rows in another order", lambda: frechet_distance(x[::-1], y), answer)
    yield case("per class, one with a single row", lambda: _by_class(per_class_frechet, x, y), [answer, 4, 4, 1])
    yield case("NaN", lambda: frechet_distance(NAN, y), CaseRefused("NaN"))
    yield case("unequal widths", lambda: frechet_distance(x, many), CaseRefused("equal width"))
    yield case("a single row", lambda: frechet_distance(x[:1], y), CaseRefused("at least 2"))


def kid_distance_cases() -> Iterator[Case]:
    """Counted by hand: mean k(x, x') + mean k(y, y') - 2 mean k(x, y), k(a, b) = (ab / width + 1)³, x' not x itself."""
    from metrics.kernel import kernel_distance, per_class_kernel, subset_kernel_distance

    case = partial(Case, "kid")
    # Width 2. Within x 1, within y 27; between 1, 1, 1, 27.
    x, y = np.array([[0, 0], [2, 0]]), np.array([[0, 2], [2, 2]])
    # Width 1. Within x 1, 1, 27; within y 0; between 1, 1, 8, 0, 27, -1. The means are 29/3, 0 and 6.
    three, pair = np.array([[0], [1], [2]]), np.array([[1], [-1]])
    yield case("counted by hand", lambda: kernel_distance(x, y), 1 + 27 - 2 * 30 / 4)
    yield case("below 0, unequal n", lambda: kernel_distance(three, pair), 29 / 3 + 0 - 2 * 6)
    yield case("rows in another order", lambda: kernel_distance(three[::-1], pair[::-1]), 29 / 3 + 0 - 2 * 6)
    # Vectors at right angles, of squared length d: k is 8 for a vector with itself and 1 for two. Without the former
    # within a set, but with them between, a set is at 2 (1 - (8 + (n - 1)) / n) = -14 / n from itself.
    large = 16 * np.eye(256)
    yield case("identical sets: not 0 but -14/n", lambda: kernel_distance(large, large), -14 / 256)
    yield case("in blocks that do not fit", lambda: kernel_distance(large, large, block=100), -14 / 256)
    yield case("subsets", lambda: subset_kernel_distance(x, y, subsets=3, subset_size=2), 1 + 27 - 2 * 30 / 4)
    yield case("per class, one with a single row", lambda: _by_class(per_class_kernel, x, y), [13, 2, 2, 1])
    yield case("NaN", lambda: kernel_distance(NAN, y), CaseRefused("NaN"))
    yield case("unequal widths", lambda: kernel_distance(three, y), CaseRefused("equal width"))
    yield case("a single row", lambda: kernel_distance(x[:1], y), CaseRefused("at least 2"))


def prdc_distance_cases() -> Iterator[Case]:
    """Counted by hand: precision, recall, density, coverage."""
    from metrics.manifold import manifold_scores

    def scores(x: np.ndarray, y: np.ndarray, k_precision: int = 3, k_density: int = 5) -> list[float]:
        result = manifold_scores(x, y, k_precision=k_precision, k_density=k_density)
        return [result.precision, result.recall, result.density, result.coverage]

    case = partial(Case, "prdc")
    cloud, simplex = np.random.default_rng(0).standard_normal((20, 3)), np.eye(8)
    # Radii of y for k = 1: 1 1 1 1 1 2 4, for k = 2: 2 1 2 3 2 3 6; of x for k = 1: 0.2 0.2 9.5 9.5.
    y = np.array([[-102.0], [-101], [-100], [0], [1], [3], [7]])
    x = np.array([[0.5], [0.7], [11.5], [21]])
    yield case("identical sets: no density", lambda: np.delete(scores(cloud, cloud), 2), [1, 1, 1])
    yield case("far apart", lambda: scores(cloud + 100, cloud), [0, 0, 0, 0])
    yield case("counted by hand", lambda: scores(x, y, 1, 2), [2 / 4, 2 / 7, (3 + 3 + 1) / (2 * 4), 4 / 7])
    yield case("a distance equal to the radius is inside", lambda: scores(simplex, simplex), [1, 1, 8 / 5, 1])
    yield case("identical rows", lambda: scores(np.ones((8, 3)), np.ones((8, 3))), [1, 1, 8 / 5, 1])
    yield case("NaN", lambda: manifold_scores(NAN, y), CaseRefused("NaN"))
    yield case("unequal widths", lambda: manifold_scores(x, cloud), CaseRefused("equal width"))
    yield case("fewer rows than neighbours", lambda: manifold_scores(x, y, k_precision=4), CaseRefused("more than 4"))


def ndb_distance_cases() -> Iterator[Case]:
    """Bins that differ and Jensen-Shannon divergence: four far clusters of ten, and z-tests around |z| = 1.96."""
    from metrics.ndb import different_bins, jensen_shannon
    from metrics.ndb import ndb as number_of_different_bins

    def count_and_jsd(samples: np.ndarray) -> tuple[int, float]:
        result = number_of_different_bins(clusters, samples, k=4)
        return result.count, result.jsd

    def differing(percent: int) -> int:
        return int(different_bins([0.5, 0.5], 100, [percent / 100, 1 - percent / 100], 100).sum())

    case = partial(Case, "ndb")
    corners, steps = np.array([[0.0, 0], [0, 100], [100, 0], [100, 100]]), np.linspace(0, 1, 10)[:, None]
    clusters = np.concatenate([corner + steps for corner in corners])
    # Shares 1/4 each against 1, 0, 0, 0: their middle is 5/8, 1/8, 1/8, 1/8.
    one_bin = (log(2 / 5) / 4 + 3 / 4 * log(2) + log(8 / 5)) / 2
    yield case("reference with itself", lambda: count_and_jsd(clusters), [0, 0])
    yield case("all in one of four bins", lambda: count_and_jsd(clusters[10:20].repeat(4, axis=0)), [4, one_bin])
    yield case("rows in another order", lambda: count_and_jsd(clusters[::-1]), [0, 0])
    yield case("disjoint: ln 2", lambda: jensen_shannon([0.5, 0.5, 0], [0, 0, 1]), log(2))
    yield case("50 and 64 of 100: z = 2.00", lambda: differing(64), 2)
    yield case("50 and 63 of 100: z = 1.85", lambda: differing(63), 0)
    yield case("a bin empty on both sides", lambda: different_bins([1, 0], 9, [1, 0], 9), [0, 0])
    yield case("NaN", lambda: number_of_different_bins(NAN, clusters, k=2), CaseRefused("NaN"))
    yield case(
        "pixels of another range", lambda: count_and_jsd(np.ones((4, 2), np.uint8)), CaseRefused("floating point")
    )


def _by_class(
    metric: Callable[..., dict[int, ClassDistance]], x: np.ndarray, y: np.ndarray
) -> tuple[float | None, int, int, bool]:
    """Value, n and m of class 0, which has all of x and y; whether class 1, with one row each, has a reason instead."""
    labels = [np.array([0] * len(rows) + [1]) for rows in (x, y)]
    x, y = (np.vstack([rows, np.full((1, 2), 1000)]) for rows in (x, y))
    classes = metric(x, labels[0], y, labels[1], [0, 1])
    return classes[0].value, classes[0].n, classes[0].m, classes[1].value is None and bool(classes[1].reason)
