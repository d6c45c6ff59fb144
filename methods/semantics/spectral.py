"""Features of a frozen encoder, and their spectral clusters (CatS-UDT section 3.1.1).

Spectral clustering: Ng, Jordan, Weiss, "On Spectral Clustering", 2001, as scikit-learn has it (normalised Laplacian,
as many eigenvectors as clusters, k-means). The labels exist for the clustered images alone; a classifier is trained on
them afterwards, for all other images.

Deliberate differences from the original code:
- features are those of the images themselves, all of them; the original took one pass over randomly augmented images,
  and dropped the last incomplete batch;
- the eigensolver's start and k-means are seeded, and clusters are numbered in the order of their first member;
- other affinities, and features that are centred or of unit length, are options. The defaults are the original's: the
  sigmoid kernel tanh(gamma <x, y> + coef0) with gamma 1.7 and coef0 1 on raw features.

Traps: that kernel saturates. Where <x, y> >= 1, an affinity is above 0.99 and says little; `Spectral.saturation` is the
share of those. With raw features of `EfficientNetLite0` and of our small MoCo it was 1, and the clusters were at chance
(five kinds of photographs, PACS: purity 22 %; 97 % with `nearest_neighbors` on centred features). A sigmoid affinity of
features that have both signs can be negative, which has no place in a graph and is refused. Memory grows with the
square of the number of images (`LARGEST`).
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from methods.base import Stage, digest
from methods.parts.checks import require
from methods.parts.settings import added_later, stored_settings

LARGEST = 20_000
"""Rows that are clustered at most: the affinities then take 3.2 GB, and the solver some times that."""
SATURATED = 0.99


@dataclass(frozen=True)
class SpectralConfig:
    """Settings; the defaults are the original code's."""

    affinity: str = "sigmoid"
    """`sigmoid` tanh(gamma <x, y> + coef0), `rbf` exp(-gamma |x - y|^2), `cosine` (1 + cos) / 2, nearest_neighbors."""
    gamma: float = 1.7
    """Scale of the kernels `sigmoid` and `rbf`."""
    coef0: float = 1.0
    """Offset of the kernel `sigmoid`."""
    neighbors: int = 10
    """Neighbours of the affinity `nearest_neighbors`: the graph joins every image with so many (itself counted)."""
    normalise: str = "none"
    """Features before clustering: `none` (raw), `unit` (length 1), `centred` (less their mean, then length 1)."""
    n_init: int = 10
    """Starts of k-means; the best one counts."""
    sample: int = added_later(int)
    """Images that are clustered, the first in order of content hash; 0: all. In the space `self_training` alone."""

    def __post_init__(self) -> None:
        require(
            "spectral clustering",
            {
                f"affinity one of {', '.join(AFFINITIES)}": self.affinity in AFFINITIES,
                "gamma > 0": self.gamma > 0,
                "coef0 >= 0": self.coef0 >= 0,
                "neighbors >= 2": self.neighbors >= 2,
                f"normalise one of {', '.join(NORMALISED)}": self.normalise in NORMALISED,
                "n_init >= 1": self.n_init >= 1,
                "sample >= 0": self.sample >= 0,
            },
        )


# ---------------------------------------------------------------------------------- preparation and affinities


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


NORMALISED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda x: x,
    "unit": _unit,
    "centred": lambda x: _unit(x - x.mean(axis=0)),
}


def _sigmoid(x: np.ndarray, config: SpectralConfig) -> np.ndarray:
    return np.tanh(config.gamma * (x @ x.T) + config.coef0)


def _rbf(x: np.ndarray, config: SpectralConfig) -> np.ndarray:
    squares = (x**2).sum(axis=1)
    return np.exp(-config.gamma * np.maximum(squares[:, None] + squares[None] - 2 * x @ x.T, 0))


def _cosine(x: np.ndarray, config: SpectralConfig) -> np.ndarray:
    unit = _unit(x)
    return (1 + unit @ unit.T) / 2


def _nearest_neighbors(x: np.ndarray, config: SpectralConfig) -> Any:
    """Sparse, symmetric: 1 where both are among each other's neighbours, 0.5 where one is (as scikit-learn)."""
    from sklearn.neighbors import kneighbors_graph

    graph = kneighbors_graph(x, min(config.neighbors, len(x) - 1), include_self=True)
    return 0.5 * (graph + graph.T)


AFFINITIES: dict[str, Callable[[np.ndarray, SpectralConfig], Any]] = {
    "sigmoid": _sigmoid,
    "rbf": _rbf,
    "cosine": _cosine,
    "nearest_neighbors": _nearest_neighbors,
}


def spectral_saturation(affinity: Any) -> float:
    """Share of the N x N affinities above 0.99; 0 entries of a sparse graph count as not saturated."""
    if isinstance(affinity, np.ndarray):
        return float(np.mean(affinity > SATURATED))
    return float(np.sum(affinity.data > SATURATED) / np.prod(affinity.shape))


def spectral_clusters_in_order(labels: np.ndarray) -> np.ndarray:
    """Partition with its clusters renumbered 0, 1, ... by their first member: int64 (N,)."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first.argsort().argsort()[inverse].astype(np.int64)


def spectral_cluster(
    features: np.ndarray, clusters: int, config: SpectralConfig, seed: int
) -> tuple[np.ndarray, float]:
    """Labels int64 (N,) of float (N, D) `features`, and the affinities' saturation. Equal seeds, equal labels.

    Raises ValueError if an affinity is negative.
    """
    from sklearn.cluster import SpectralClustering

    x = NORMALISED[config.normalise](features.astype(np.float64))
    affinity = AFFINITIES[config.affinity](x, config)
    if affinity.min() < 0:
        raise ValueError(f"affinity {config.affinity} is negative for these features: take rbf or nearest_neighbors")
    model = SpectralClustering(
        clusters, affinity="precomputed", n_init=config.n_init, assign_labels="kmeans", random_state=seed
    )
    with warnings.catch_warnings():
        # Clusters so far apart that nothing joins them are the best case, not a defect.
        warnings.filterwarnings("ignore", "Graph is not fully connected", UserWarning)
        labels = model.fit_predict(affinity)
    return spectral_clusters_in_order(labels), spectral_saturation(affinity)


# ---------------------------------------------------------------------------------------------------- stages


class Spectral(Stage):
    """Spectral clusters of features. All is done in `finish`."""

    name = "spectral"
    labels: Tensor
    """int64 (N,): the cluster of each row, once finished."""
    saturation: Tensor
    """float32, 0-d: share of the affinities above 0.99."""

    def __init__(self, config: SpectralConfig, features: Tensor, clusters: int, seed: int = 0) -> None:
        """`features`: float32 (N, D). Raises ValueError for another shape, too few rows, or more than `LARGEST`."""
        super().__init__()
        if features.ndim != 2 or not features.is_floating_point():
            raise ValueError(f"features: float (N, D) wanted, got {features.dtype} {tuple(features.shape)}")
        require(
            f"spectral clustering of {len(features)} features into {clusters} clusters",
            {
                "at least 2 clusters": clusters >= 2,
                "more features than clusters": len(features) > clusters,
                f"at most {LARGEST} features (their affinities fill N x N numbers): cluster a part of the images":
                    len(features) <= LARGEST,
            },
        )  # fmt: skip
        self.config, self.features, self.clusters, self.seed = config, features, clusters, seed
        self.register_buffer("labels", torch.zeros(len(features), dtype=torch.int64, device=features.device))
        self.register_buffer("saturation", torch.zeros((), device=features.device))

    def identity(self) -> dict[str, Any]:
        """Settings, number of clusters, seed, and the features."""
        return {
            "config": stored_settings(self.config), "clusters": self.clusters, "seed": self.seed,
            "features": digest(self.features),
        }  # fmt: skip

    def finish(self) -> None:
        """Clusters the features, on the CPU."""
        labels, share = spectral_cluster(self.features.detach().cpu().numpy(), self.clusters, self.config, self.seed)
        self.labels.copy_(torch.from_numpy(labels))
        self.saturation.fill_(share)


@torch.no_grad()
def encode_images(encoder: nn.Module, images: Tensor, batch: int = 128) -> Tensor:
    """Features of uint8 (N, 3, H, W) images: float32 (N, D), on the images' device.

    The encoder gets (B, 3, H, W) in [0, 1], in eval mode (and is left in the mode it was in); maps are averaged.
    """
    was_training = encoder.training
    device = next(chain(encoder.parameters(), encoder.buffers())).device
    encoder.eval()
    parts = []
    for part in images.split(batch):
        features = encoder(part.to(device).float() / 255).float()
        parts.append((features.mean(dim=(2, 3)) if features.ndim == 4 else features).to(images.device))
    encoder.train(was_training)
    return torch.cat(parts)


class Features(Stage):
    """Both domains' features by a frozen encoder, kept so that they are computed once. All is done in `finish`."""

    name = "features"
    features_0: Tensor
    """float32 (N, D) of domain 0, once finished."""
    features_1: Tensor
    """float32 (N, D) of domain 1, once finished."""

    def __init__(self, encoder: nn.Module, images: tuple[Tensor, Tensor]) -> None:
        """`encoder`: (B, 3, H, W) in [0, 1] -> (B, D) or (B, D, h, w). `images`: uint8 (N, 3, H, W) per domain."""
        super().__init__()
        self.images = images
        self._encoder = (encoder,)  # in a tuple: not a part of this stage's state
        width = encode_images(encoder, images[0][:1]).shape[1]
        for domain, stack in enumerate(images):
            self.register_buffer(f"features_{domain}", torch.zeros(len(stack), width, device=stack.device))

    def of(self, domain: int) -> Tensor:
        """Features of `domain`, in the order of its images: float32 (N, D)."""
        return (self.features_0, self.features_1)[domain]

    def identity(self) -> dict[str, Any]:
        """The encoder: its layers with their settings as they are printed, and its weights."""
        (encoder,) = self._encoder
        weights = {key: digest(value) for key, value in encoder.state_dict().items()}  # `digest` wants a shape
        text = "\n".join([str(encoder), *(f"{key} {weights[key]}" for key in sorted(weights))])
        return {"encoder": hashlib.sha256(text.encode()).hexdigest()}

    def finish(self) -> None:
        """Encodes every image."""
        (encoder,) = self._encoder
        for domain, images in enumerate(self.images):
            self.of(domain).copy_(encode_images(encoder, images))
