"""Structure that a translation keeps of its source: the distance of the self-similarities of a transformer's keys.

How alike the parts of one image are to each other says what is where in it, and little of its colours and texture. The
measure is that of Splice (Tumanyan et al., "Splicing ViT Features for Semantic Appearance Transfer", CVPR 2022, section
3): of the keys k_i of a vision transformer's deepest attention layer, one per token, the matrix of cosine similarities
S_ij = cos(k_i, k_j) is the structure of an image, and two images are as far apart as their matrices are.

Deliberate differences: the mean of the squared differences of the entries, not the Frobenius norm of the difference, so
that values do not grow with the number of tokens; with T tokens that norm is T times the root of ours.
"""

from __future__ import annotations

import numpy as np

from metrics.parts.input_checks import checked_finite


def structure_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Mean over images of `structure_distances`, in [0, 4]; 0 where every image keeps its structure."""
    return float(structure_distances(x, y).mean())


def structure_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """float64 (N,): mean squared difference of the self-similarities of x[i] and y[i], in [0, 4].

    `x`, `y`: (N, T, d), the keys of T tokens of N images. ValueError for other shapes or two that differ, N = 0, NaN,
    infinite values, or an all-zero key, which has no direction.
    """
    if np.shape(x) != np.shape(y):
        raise ValueError(f"keys: two arrays of one shape wanted, got {np.shape(x)} and {np.shape(y)}")
    return ((self_similarities(x) - self_similarities(y)) ** 2).mean(axis=(1, 2))


def self_similarities(keys: np.ndarray) -> np.ndarray:
    """float64 (N, T, T): the cosine of every two of the T keys of each image. `keys` as `structure_distances`."""
    keys = checked_finite(keys, "keys")
    if keys.ndim != 3 or 0 in keys.shape:
        raise ValueError(f"keys: shape (images, tokens, d) wanted, got {keys.shape}")
    largest = np.abs(keys).max(axis=2, keepdims=True)  # divided out first: squares could leave float64's range
    if (largest == 0).any():
        image, token = np.argwhere(largest[:, :, 0] == 0)[0]
        raise ValueError(f"keys: that of image {image}, token {token} is all zero and has no direction")
    keys = keys / largest
    unit = keys / np.linalg.norm(keys, axis=2, keepdims=True)
    return unit @ unit.transpose(0, 2, 1)
