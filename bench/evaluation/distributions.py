"""Metrics that compare two sets of images: the computation, its deviation, and its floor between real sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.evaluation.feature_cache import FeatureCache, feature_cache_key
from bench.spec.protocols import NDB_BINS
from metrics.frechet import frechet_distance
from metrics.kernel import kernel_distance
from metrics.manifold import manifold_scores
from metrics.ndb import ndb
from metrics.sliced_wasserstein import sliced_wasserstein
from metrics.statistics.floors import real_floors
from metrics.statistics.half_samples import (
    frechet_interval,
    frechet_paired_difference,
    kernel_interval,
    kernel_paired_difference,
)
from metrics.statistics.intervals import ImageInterval

HALF_SAMPLES = 50
"""Half-samples behind a deviation, which is then known to 10 %."""


@dataclass(frozen=True)
class Distribution:
    """A computation that gives one or more metrics of two sets."""

    name: str
    """Name and version: floors are kept under it."""
    values: Callable[[np.ndarray, np.ndarray], Mapping[str, float]]
    """Translations (n, ...), real images (m, ...) -> metric -> value. ValueError where it is not defined."""
    deviation: Callable[[np.ndarray, np.ndarray], float | None] | None
    """The same sets -> standard deviation by half-samples, None for sets that are too small. The field is None where
    half-samples were not shown to hold for the metric."""
    paired: Callable[[np.ndarray, np.ndarray, np.ndarray], ImageInterval] | None
    """Translations of two methods (n, ...) of the same sources, real images -> the difference and its deviation."""
    per_class: bool
    """Whether it is also computed within each class."""
    splits: int
    """Random splits of the real images behind a floor."""


def distribution_floors(cache: FeatureCache, how: Distribution, real: np.ndarray, n: int) -> Mapping[str, Any]:
    """Metric -> {value, deviation, n, m, splits}: what `n` real images get against the others, kept by content.

    `real` (m, ...), features or pixels. Where they are fewer than 2 n, each half takes part. Empty where a half is too
    small for the metric.
    """
    n = min(n, len(real) // 2)

    def compute() -> Mapping[str, Any]:
        try:
            by_metric = real_floors(how.values, real, n, len(real) - n, splits=how.splits)
        except ValueError:  # too few for the metric: its value bears the same reason, or its n says it
            return {}
        return {metric: asdict(floor) for metric, floor in by_metric.items()}

    return cache.values("floors", feature_cache_key(real, how.name, str(n), str(how.splits)), compute)


def _frechet(x: np.ndarray, y: np.ndarray) -> Mapping[str, float]:
    return {"fid": frechet_distance(x, y)}


def _kernel(x: np.ndarray, y: np.ndarray) -> Mapping[str, float]:
    return {"kid": kernel_distance(x, y)}


def _manifold(x: np.ndarray, y: np.ndarray) -> Mapping[str, float]:
    return manifold_scores(x, y).numbers()


def _bins(x: np.ndarray, y: np.ndarray) -> Mapping[str, float]:
    """x: the translations, which the bins of y, the real images, are filled with."""
    return ndb(y, x, NDB_BINS).numbers()


def _frechet_deviation(x: np.ndarray, y: np.ndarray) -> float | None:
    return frechet_interval(x, y, HALF_SAMPLES).deviation if min(len(x), len(y)) >= 4 else None


def _kernel_deviation(x: np.ndarray, y: np.ndarray) -> float | None:
    return kernel_interval(x, y, HALF_SAMPLES).deviation if min(len(x), len(y)) >= 4 else None


def _frechet_paired(x_a: np.ndarray, x_b: np.ndarray, y: np.ndarray) -> ImageInterval:
    return frechet_paired_difference(x_a, x_b, y, HALF_SAMPLES)


def _kernel_paired(x_a: np.ndarray, x_b: np.ndarray, y: np.ndarray) -> ImageInterval:
    return kernel_paired_difference(x_a, x_b, y, HALF_SAMPLES)


def _patches(x: np.ndarray, y: np.ndarray) -> Mapping[str, float]:
    """Of square images whose pixels stand in rows (n, 3 H W)."""
    side = round((x.shape[1] / 3) ** 0.5)
    return {"swd": sliced_wasserstein(x.reshape(-1, 3, side, side), y.reshape(-1, 3, side, side))}


_MANIFOLD = Distribution("manifold-v1", _manifold, None, None, per_class=False, splits=5)
_NDB = Distribution("ndb-v1", _bins, None, None, per_class=False, splits=5)
_SWD = Distribution("swd-v1", _patches, None, None, per_class=False, splits=5)

DISTRIBUTIONS: dict[str, Distribution] = {
    "fid": Distribution("frechet-v1", _frechet, _frechet_deviation, _frechet_paired, per_class=True, splits=10),
    "kid": Distribution("kernel-v1", _kernel, _kernel_deviation, _kernel_paired, per_class=True, splits=10),
    **dict.fromkeys(("precision", "recall", "density", "coverage"), _MANIFOLD),
    **dict.fromkeys(("ndb", "jsd"), _NDB),
    "swd": _SWD,
}
"""Metric -> the computation that gives it."""
