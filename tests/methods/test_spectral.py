"""Spectral clusters and stored features: known partitions, determinism, and what is refused."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from determined import numbers
from torch import Tensor, nn

from methods.base import run_stage
from methods.semantics.spectral import (
    LARGEST,
    Features,
    Spectral,
    SpectralConfig,
    encode_images,
    spectral_cluster,
    spectral_clusters_in_order,
    spectral_saturation,
)

BLOBS = 3


def blobs(per_blob: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Features (90, 3) near three axes, not negative, interleaved, and the axis of each."""
    axis = np.arange(BLOBS * per_blob) % BLOBS
    noise = np.abs(numbers(1, len(axis), BLOBS).numpy()) * 0.15
    return (np.eye(BLOBS)[axis] + noise).astype(np.float32), axis


def rings(per_ring: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Points (240, 2) on two circles of radius 1 and 3, interleaved, and the circle of each."""
    ring = np.arange(2 * per_ring) % 2
    angle = 2 * np.pi * (np.arange(2 * per_ring) // 2) / per_ring
    radius = np.where(ring == 0, 1.0, 3.0) + 0.05 * numbers(2, len(ring)).numpy()
    return (radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)).astype(np.float32), ring


def spectral(features: np.ndarray, clusters: int, seed: int = 0, **settings: object) -> Spectral:
    stage = Spectral(replace(SpectralConfig(), **settings), torch.from_numpy(features), clusters, seed)
    run_stage(stage, 0)
    return stage


# ---------------------------------------------------------------------------------------------------- clusters


@pytest.mark.parametrize("affinity", ["sigmoid", "rbf", "cosine", "nearest_neighbors"])
@pytest.mark.parametrize("normalise", ["none", "unit", "centred"])
def test_blobs_are_found_with_every_affinity(affinity: str, normalise: str) -> None:
    """Those of the sigmoid between centred blobs are negative, and refused."""
    if (affinity, normalise) == ("sigmoid", "centred"):
        with pytest.raises(ValueError, match="affinity sigmoid is negative"):
            spectral(blobs()[0], BLOBS, affinity=affinity, normalise=normalise)
        return
    features, axis = blobs()
    found = spectral(features, BLOBS, affinity=affinity, normalise=normalise)
    assert found.labels.dtype == torch.int64
    assert np.array_equal(found.labels.numpy(), axis)  # numbered by the first member: 0, 1, 2 here


@pytest.mark.parametrize("settings", [{"affinity": "rbf", "gamma": 5.0}, {"affinity": "nearest_neighbors"}])
def test_rings_are_told_apart_by_local_affinities(settings: dict[str, object]) -> None:
    """k-means cannot: both circles have one centre. The two parts of the graph are not joined; no warning is given."""
    features, ring = rings()
    assert np.array_equal(spectral(features, 2, **settings).labels.numpy(), ring)
    k_means = pytest.importorskip("sklearn.cluster").KMeans(2, n_init=10, random_state=0).fit_predict(features)
    assert max(np.mean(k_means == ring), np.mean(k_means != ring)) < 0.7


def test_default_is_scikit_learns_sigmoid_kernel() -> None:
    """The same partition as the original's call: affinity by name, gamma 1.7, raw features."""
    sklearn_cluster = pytest.importorskip("sklearn.cluster")
    features = (np.abs(numbers(3, 60, 4).numpy()) * 0.4).astype(np.float32)  # no clear clusters: any change shows
    reference = sklearn_cluster.SpectralClustering(4, gamma=1.7, affinity="sigmoid", random_state=7)
    expected = spectral_clusters_in_order(reference.fit_predict(features.astype(np.float64)))
    labels, _ = spectral_cluster(features, 4, SpectralConfig(), 7)
    assert np.array_equal(labels, expected)
    other, _ = spectral_cluster(features, 4, SpectralConfig(gamma=0.2), 7)
    assert not np.array_equal(other, expected)


def test_nearest_neighbours_are_scikit_learns() -> None:
    sklearn_cluster = pytest.importorskip("sklearn.cluster")
    features, _ = rings(40)
    reference = sklearn_cluster.SpectralClustering(4, affinity="nearest_neighbors", n_neighbors=8, random_state=7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = spectral_clusters_in_order(reference.fit_predict(features.astype(np.float64)))
    config = SpectralConfig(affinity="nearest_neighbors", neighbors=8)
    assert np.array_equal(spectral_cluster(features, 4, config, 7)[0], expected)


def test_equal_seeds_give_equal_labels_and_order_does_not_matter() -> None:
    features, _ = blobs()
    noisy = features + np.abs(numbers(5, *features.shape).numpy()).astype(np.float32) * 0.3
    first, again = (spectral(noisy, BLOBS, seed=3).labels for _ in range(2))
    assert torch.equal(first, again)
    order = torch.randperm(len(noisy), generator=torch.Generator().manual_seed(0)).numpy()
    shuffled = spectral(noisy[order], BLOBS, seed=3).labels.numpy()
    assert np.array_equal(shuffled, spectral_clusters_in_order(first.numpy()[order]))


def test_global_random_state_is_neither_used_nor_changed() -> None:
    features, _ = blobs()
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    spectral(features, BLOBS)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_saturation_is_the_share_above_099() -> None:
    """tanh(1.7 s + 1) > 0.99 from s = (artanh(0.99) - 1) / 1.7 = 0.96861 on."""
    assert spectral_saturation(np.array([[0.991, 0.5], [0.98, 1.0]])) == 0.5
    features = np.sqrt(np.array([[0.968, 0], [0, 0.969], [0, 0.969], [0.968, 0]])).astype(np.float32)
    found = spectral(features, 2)
    assert found.saturation.item() == pytest.approx(4 / 16)
    assert found.labels.tolist() == [0, 1, 1, 0]
    large = spectral(np.abs(numbers(6, 40, 5).numpy()).astype(np.float32) + 2, 2)
    assert large.saturation.item() == 1.0
    graph = spectral(blobs()[0], BLOBS, affinity="nearest_neighbors", neighbors=10)
    assert 0 < graph.saturation.item() <= 10 / 90


def test_cluster_numbers_follow_the_first_members() -> None:
    assert spectral_clusters_in_order(np.array([4, 4, 1, 7, 1])).tolist() == [0, 0, 1, 2, 1]


# ----------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("features", "clusters", "message"),
    [
        (torch.zeros(4, 2, 1), 2, r"float \(N, D\) wanted"),
        (torch.zeros(4, 2, dtype=torch.int64), 2, r"float \(N, D\) wanted"),
        (torch.zeros(4, 2), 4, "more features than clusters"),
        (torch.zeros(4, 2), 1, "at least 2 clusters"),
        (torch.zeros(1).expand(LARGEST + 1, 2), 2, f"at most {LARGEST} features"),
    ],
)
def test_features_that_cannot_be_clustered_are_refused(features: Tensor, clusters: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Spectral(SpectralConfig(), features, clusters)


def test_negative_affinities_are_refused() -> None:
    with pytest.raises(ValueError, match="affinity sigmoid is negative for these features"):
        spectral(np.array([[2.0], [-2.0], [2.0]], np.float32), 2)


@pytest.mark.parametrize(
    "changes",
    [{"affinity": "linear"}, {"gamma": 0.0}, {"neighbors": 1}, {"normalise": "max"}, {"n_init": 0}, {"coef0": -1.0}],
)
def test_a_setting_out_of_range_is_refused_by_name(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        replace(SpectralConfig(), **changes)


# ----------------------------------------------------------------------------------------------------- identity


def test_identity_names_settings_seed_and_features() -> None:
    features, _ = blobs()
    made = [
        spectral(features, 3), spectral(features, 3, seed=1), spectral(features, 3, gamma=1.0), spectral(features, 4),
        spectral(features[::-1].copy(), 3),
    ]  # fmt: skip
    identities = [str(stage.identity()) for stage in made]
    assert len(set(identities)) == len(made)
    assert str(spectral(features, 3).identity()) == identities[0]


def test_result_is_in_the_state_alone() -> None:
    features, axis = blobs()
    stage = spectral(features, BLOBS)
    state = stage.state_dict()
    assert set(state) == {"labels", "saturation"}
    other = Spectral(SpectralConfig(), torch.from_numpy(features), BLOBS)
    other.load_state_dict(state)
    assert other.labels.tolist() == axis.tolist()


# ----------------------------------------------------------------------------------------------------- features


class Mean(nn.Module):
    """Doubles each colour's mean; a batch norm shows the mode, an optional map the pooling."""

    def __init__(self, as_map: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.norm = nn.BatchNorm1d(3, eps=1e-12)  # older versions of torch refuse 0
        self.as_map = as_map

    def forward(self, x: Tensor) -> Tensor:
        assert x.dtype == torch.float32
        assert x.min() >= 0
        assert x.max() <= 1
        if self.as_map:
            return self.weight * x
        return self.norm(self.weight * x.mean(dim=(2, 3)))


def pictures(count: int) -> Tensor:
    """uint8 (count, 3, 4, 4)."""
    return (numbers(8, count, 3, 4, 4) * 127 + 128).to(torch.uint8)


@pytest.mark.parametrize("as_map", [False, True])
def test_encode_gives_pooled_float32_features_in_eval_mode(as_map: bool) -> None:
    encoder, images = Mean(as_map).train(), pictures(7)
    found = encode_images(encoder, images, batch=3)
    expected = 2 * images.double().mean(dim=(2, 3)) / 255
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-6)
    assert encoder.training
    assert not found.requires_grad
    assert encoder.norm.num_batches_tracked == 0


def test_features_of_both_domains_are_stored_without_the_encoder() -> None:
    encoder, images = Mean(), (pictures(5), pictures(9)[5:])
    stage = Features(encoder, images)
    assert stage.steps == 0
    assert set(stage.state_dict()) == {"features_0", "features_1"}
    run_stage(stage, 0)
    for domain in (0, 1):
        assert torch.equal(stage.of(domain), encode_images(encoder, images[domain]))
    other = Features(Mean(), images)
    other.load_state_dict(stage.state_dict())
    assert torch.equal(other.of(1), stage.of(1))


def test_identity_of_features_is_the_encoders() -> None:
    images = (pictures(2), pictures(2))
    plain, same, other, layout = Mean(), Mean(), Mean(), Mean()
    other.weight.data += 1
    layout.norm.eps = 1e-3
    identities = [Features(encoder, images).identity() for encoder in (plain, same, other, layout)]
    assert identities[0] == identities[1]
    assert identities[0] != identities[2]
    assert identities[0] != identities[3]
