"""Agreement of clusters with classes: CatS-UDT eq. 14 in its unambiguous form, and scores that need no fixed map.

Eq. 14: one map from clusters to labels is made on reference predictions and applied to every domain, so an accuracy on
another domain also says whether the clusters *kept their meaning* there, which a purity on that domain would not.
Neither would the Hungarian accuracy, NMI and ARI: they see how the images of one set are grouped, under any names.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from metrics.parts.input_checks import checked_labels


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
    label_of = np.asarray(mapping)
    c = _indices(clusters, len(label_of), "clusters")
    y = np.asarray(labels)
    if y.shape != c.shape:
        raise ValueError(f"{len(c)} clusters, but labels of shape {y.shape}")
    return float(np.mean(label_of[c] == y))


def hungarian_accuracy(clusters: ArrayLike, labels: ArrayLike) -> float:
    """Share in (0, 1] of images that agree under the one-to-one map that suits this very set best (Kuhn 1955).

    `clusters` and `labels` integers (N,), of any values and numbers of them: with more clusters than labels, the images
    of a cluster left over do not agree. Never below 1 / the larger number of groups.
    ValueError for other shapes and types, and for N = 0.
    """
    c, y = _grouped(clusters, labels)
    counts = contingency(c, y, int(c.max()) + 1, int(y.max()) + 1)
    best = linear_sum_assignment(counts, maximize=True)
    return float(counts[best].sum() / len(c))


def normalized_mutual_information(clusters: ArrayLike, labels: ArrayLike) -> float:
    """NMI in [0, 1]: mutual information over the mean of both entropies (Strehl and Ghosh 2002; arithmetic mean).

    Inputs and ValueError as for `hungarian_accuracy`. Not corrected for chance: it grows with the number of clusters.
    One group on both sides: 1; one group on one side only: 0.
    """
    c, y = _grouped(clusters, labels)
    return min(1.0, float(normalized_mutual_info_score(y, c)))  # rounding may leave 1 + 1e-16


def adjusted_rand_index(clusters: ArrayLike, labels: ArrayLike) -> float:
    """ARI in [-0.5, 1]: pairs grouped alike, with chance at 0 (Hubert and Arabie 1985).

    Inputs and ValueError as for `hungarian_accuracy`. One group on both sides, or single images on both: 1.
    """
    c, y = _grouped(clusters, labels)
    return float(adjusted_rand_score(y, c))


def _grouped(clusters: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as integers from 0, (N,) each with N >= 1."""
    c = checked_labels(np.asarray(clusters), "clusters")
    y = checked_labels(np.asarray(labels), "labels")
    if len(c) != len(y):
        raise ValueError(f"{len(c)} clusters, but {len(y)} labels")
    if len(c) == 0:
        raise ValueError("clusters: at least 1 wanted, got 0")
    return np.unique(c, return_inverse=True)[1], np.unique(y, return_inverse=True)[1]


def _indices(values: ArrayLike, limit: int, what: str) -> np.ndarray:
    array = checked_labels(np.asarray(values), what)
    if len(array) == 0:
        raise ValueError(f"{what}: at least 1 wanted, got 0")
    if array.min() < 0 or array.max() >= limit:
        raise ValueError(f"{what}: values in [0, {limit}) wanted, got {array.min()} to {array.max()}")
    return array
