"""How well clusters agree with classes: CatS-UDT eq. 14 in its unambiguous form.

One map from clusters to labels is made on reference predictions and applied to every domain, so an accuracy on another
domain also says whether the clusters *kept their meaning* there, which a purity on that domain would not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from metrics.checks import as_labels


def contingency(clusters: ArrayLike, labels: ArrayLike, k: int, classes: int) -> np.ndarray:
    """int64 (k, classes): n[i, j] images of cluster i and label j.

    `clusters` integers (N,) in [0, k), `labels` integers (N,) in [0, classes). Raises ValueError for other shapes,
    types and values, and for N = 0.
    """
    c, y = _indices(clusters, k, "clusters"), _indices(labels, classes, "labels")
    if len(c) != len(y):
        raise ValueError(f"{len(c)} clusters, but {len(y)} labels")
    return np.bincount(c * classes + y, minlength=k * classes).reshape(k, classes)


def cluster_map(
    clusters: ArrayLike, labels: ArrayLike, k: int, classes: int, assignment: str = "majority"
) -> np.ndarray:
    """int64 (k,): the label of each cluster, from reference predictions.

    `majority` (eq. 14): the most frequent label, the lowest of equally frequent ones, 0 for an empty cluster; several
    clusters may have one label. `hungarian`: the one-to-one map with the most agreements; it needs k <= classes.
    """
    counts = contingency(clusters, labels, k, classes)
    if assignment == "majority":
        return counts.argmax(axis=1)
    if assignment != "hungarian":
        raise ValueError(f"assignment '{assignment}' is neither 'majority' nor 'hungarian'")
    if k > classes:
        raise ValueError(f"a one-to-one map needs no more clusters than classes, got {k} and {classes}")
    return linear_sum_assignment(counts, maximize=True)[1].astype(np.int64)


def alignment_accuracy(clusters: ArrayLike, labels: ArrayLike, mapping: ArrayLike) -> float:
    """Share in [0, 1] of images whose cluster, through `mapping` (k,), is their label.

    `clusters` and `labels` integers (N,). Raises ValueError for a cluster outside the map, other shapes, and N = 0.
    """
    own = np.asarray(mapping)
    c = _indices(clusters, len(own), "clusters")
    y = np.asarray(labels)
    if y.shape != c.shape:
        raise ValueError(f"{len(c)} clusters, but labels of shape {y.shape}")
    return float(np.mean(own[c] == y))


def _indices(values: ArrayLike, limit: int, what: str) -> np.ndarray:
    array = as_labels(np.asarray(values), what)
    if len(array) == 0:
        raise ValueError(f"{what}: at least 1 wanted, got 0")
    if array.min() < 0 or array.max() >= limit:
        raise ValueError(f"{what}: values in [0, {limit}) wanted, got {array.min()} to {array.max()}")
    return array
