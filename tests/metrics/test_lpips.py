"""LPIPS against the `lpips` package, and the diversity measures against their definitions."""

from __future__ import annotations

import socket
import warnings
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import lpips
import numpy as np
import pytest
import torch
from real_files import pacs, real_file

from metrics.encoders import LpipsAlexNet
from metrics.lpips_diversity import cosine_diversity, within_source_diversity


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like torchvision's AlexNet (with a classifier, which is not used), of random weights."""
    shapes = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
    rng = torch.Generator().manual_seed(1)
    state = {"classifier.6.bias": torch.zeros(1000)}
    for index, shape in shapes.items():
        fan_in = shape[1] * shape[2] * shape[3]
        state[f"features.{index}.weight"] = torch.randn(shape, generator=rng) * (2 / fan_in) ** 0.5
        state[f"features.{index}.bias"] = 0.1 * torch.randn(shape[0], generator=rng)
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def encoder(random_weights: Path) -> LpipsAlexNet:
    return LpipsAlexNet(random_weights)


def package(weights: Path) -> lpips.LPIPS:
    """The package's own model with the weights of the file."""
    model = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    state = torch.load(weights, weights_only=True)
    layers = {name: layer for part in model.net.children() for name, layer in part.named_children()}
    for name, layer in layers.items():
        if isinstance(layer, torch.nn.Conv2d):
            layer.load_state_dict({kind: state[f"features.{name}.{kind}"] for kind in ("weight", "bias")})
    return model.eval()


def by_package(model: lpips.LPIPS, images: np.ndarray) -> np.ndarray:
    """(S, K, 3, H, W) uint8 -> (S, K(K-1)/2): the package's forward of each pair."""
    x = torch.from_numpy(images).float() / 127.5 - 1
    pairs = list(combinations(range(images.shape[1]), 2))
    with torch.inference_mode():
        return np.array([[float(model(source[i][None], source[j][None])) for i, j in pairs] for source in x])


def styles(seed: int, sources: int, count: int, size: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (sources, count, 3, size, size), dtype=np.uint8)


@pytest.mark.parametrize("size", [64, 100])
def test_equals_the_package(encoder: LpipsAlexNet, random_weights: Path, size: int) -> None:
    images = styles(0, 2, 4, size)
    assert encoder.pair_distances(images) == pytest.approx(by_package(package(random_weights), images), abs=1e-5)


@pytest.mark.parametrize("size", [64, 160])
def test_equals_the_package_on_real_images(size: int) -> None:
    weights = real_file("weights/alexnet-features.pth")
    images = pacs(real_file("datasets/pacs/photo"), 6, size).reshape(2, 3, 3, size, size)
    expected = by_package(package(weights), images)
    assert expected.mean() > 0.2
    assert LpipsAlexNet(weights).pair_distances(images) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 100), (90, 50), (70, 100)])
def test_sides_below_64_are_enlarged_to_64(
    encoder: LpipsAlexNet, random_weights: Path, height: int, width: int
) -> None:
    images = styles(1, 1, 3, 100)[..., :height, :width]
    x = torch.from_numpy(images[0]).float() / 127.5 - 1
    size = (max(64, height), max(64, width))
    x = torch.nn.functional.interpolate(x, size, mode="bilinear", align_corners=False)
    model = package(random_weights)
    with torch.inference_mode():
        expected = [float(model(x[i : i + 1], x[j : j + 1])) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert encoder.pair_distances(images)[0] == pytest.approx(expected, abs=1e-5)


def test_equal_images_have_distance_zero_exactly(encoder: LpipsAlexNet) -> None:
    images = styles(2, 2, 1, 64).repeat(4, axis=1)
    assert (encoder.pair_distances(images) == 0).all()


def test_neither_batch_size_nor_order_of_sources_matters(encoder: LpipsAlexNet) -> None:
    images = styles(3, 5, 3, 64)
    distances = encoder.pair_distances(images)
    assert distances.shape == (5, 3)
    assert distances.dtype == np.float32
    for batch_size, steps in ((1, [3, 3, 3, 3, 3]), (7, [6, 6, 3])):  # whole sources of 3 images each
        seen: list[int] = []
        assert encoder.pair_distances(images, batch_size, seen.append) == pytest.approx(distances, abs=1e-5)
        assert seen == steps
    assert encoder.pair_distances(images[::-1])[::-1] == pytest.approx(distances, abs=1e-5)
    assert encoder.pair_distances(torch.from_numpy(images)) == pytest.approx(distances, abs=1e-5)


def test_distances_of_given_pairs(encoder: LpipsAlexNet) -> None:
    images = styles(4, 5, 2, 64)
    seen: list[int] = []
    distances = encoder.distances(images[:, 0], images[:, 1], batch_size=2, progress=seen.append)
    assert distances == pytest.approx(encoder.pair_distances(images)[:, 0], abs=1e-5)
    assert seen == [2, 2, 1]
    assert encoder.distances(images[:, 0], images[:, 1]) == pytest.approx(distances, abs=1e-5)


def test_given_pairs_are_refused_if_one_side_is_of_another_kind(encoder: LpipsAlexNet) -> None:
    """Put together, uint8 and bool would be uint8: 0 and 1 of 255."""
    images = styles(4, 2, 1, 64)[:, 0]
    for pair in ((images > 0, images), (images, images > 0)):
        with pytest.raises(ValueError, match=r"uint8 in 0\.\.255 wanted, got bool"):
            encoder.distances(*pair)
    with pytest.raises(ValueError, match=r"same shape wanted, got \(2, 3, 64, 64\) and \(1, 3, 64, 64\)"):
        encoder.distances(images, images[:1])
    with pytest.raises(ValueError, match="batch_size: at least 1 wanted, got 0"):
        encoder.distances(images, images, batch_size=0)


GROUPS = np.array([[4, 0, 2], [6, 5, 1], [3, 0, 4]])
"""Of 7 sources: the last group is filled up with two that stand in the first."""


@pytest.mark.parametrize("styles_each", [1, 3])
def test_grouped_distances_equal_the_package(encoder: LpipsAlexNet, random_weights: Path, styles_each: int) -> None:
    images, model = styles(5, 7, styles_each, 64), package(random_weights)
    within, across = encoder.grouped_distances(images, GROUPS)
    assert within.dtype == across.dtype == np.float32
    assert across == pytest.approx(by_package(model, images[GROUPS, 0]), abs=1e-5)
    assert within.shape == (7, styles_each * (styles_each - 1) // 2)
    if styles_each > 1:
        assert within == pytest.approx(by_package(model, images), abs=1e-5)
        assert encoder.pair_distances(images) == pytest.approx(within, abs=1e-5)


def test_grouped_distances_of_real_images() -> None:
    weights = real_file("weights/alexnet-features.pth")
    images = pacs(real_file("datasets/pacs/photo"), 8).reshape(4, 2, 3, 64, 64)
    groups = np.array([[2, 0, 1, 3]])
    within, across = LpipsAlexNet(weights).grouped_distances(images, groups)
    model = package(weights)
    assert across == pytest.approx(by_package(model, images[groups, 0]), abs=1e-5)
    assert within == pytest.approx(by_package(model, images), abs=1e-5)
    assert across.min() > 0.1


@pytest.mark.parametrize("batch_size", [1, 7, 9, 64])
def test_grouped_distances_hold_no_more_than_a_batch(
    encoder: LpipsAlexNet, monkeypatch: pytest.MonkeyPatch, batch_size: int, tmp_path: Path
) -> None:
    images = styles(6, 7, 3, 64)
    expected = encoder.grouped_distances(images, GROUPS)
    passes, seen, maps = list[int](), list[int](), LpipsAlexNet._maps
    monkeypatch.setattr(LpipsAlexNet, "_maps", lambda self, x: (passes.append(len(x)), maps(self, x))[1])
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    within, across = encoder.grouped_distances(mapped, GROUPS, batch_size, seen.append)
    assert within == pytest.approx(expected[0], abs=1e-5)
    assert across == pytest.approx(expected[1], abs=1e-5)
    assert max(passes) <= max(batch_size, 3)
    assert sum(passes) == sum(seen) == 9 * 3  # each place in a group once


def test_equal_sources_have_distance_zero_exactly(encoder: LpipsAlexNet) -> None:
    within, across = encoder.grouped_distances(styles(7, 1, 1, 64).repeat(4, axis=0), np.array([[0, 1], [3, 2]]))
    assert within.shape == (4, 0)
    assert (across == 0).all()


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([[0, 1], [2, 1]], r"source 3 is in no group \(1 of 4 are in none\)"),
        ([[0, 1], [2, 4]], r"indices in 0\.\.3 wanted, got 0 to 4"),
        ([[0, 1], [-1, 2]], r"got -1 to 2"),
        ([[0, 1, 2], [3, 0, 3]], r"group 1 holds a source twice: \[3, 0, 3\]"),
        ([[0], [1], [2], [3]], r"int64 \(groups, sources >= 2\) wanted, got int64 \(4, 1\)"),
        ([0, 1, 2, 3], r"got int64 \(4,\)"),
        ([[0.0, 1.0], [2.0, 3.0]], r"got float64 \(2, 2\)"),
    ],
)
def test_wrong_groups_are_named(encoder: LpipsAlexNet, groups: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder.grouped_distances(styles(8, 4, 1, 16), np.array(groups))


def test_grouped_distances_refuse_other_images(encoder: LpipsAlexNet) -> None:
    groups = np.array([[0, 1]])
    with pytest.raises(ValueError, match=r"styles >= 1, 3, H, W\) wanted, got \(2, 3, 8, 8\)"):
        encoder.grouped_distances(np.zeros((2, 3, 8, 8), np.uint8), groups)
    with pytest.raises(ValueError, match=r"uint8 in 0\.\.255 wanted, got float32"):
        encoder.grouped_distances(np.zeros((2, 1, 3, 8, 8), np.float32), groups)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 3, 3, 64, 64), np.float32), "uint8 in 0..255 wanted, got float32"),
        (np.zeros((2, 1, 3, 64, 64), np.uint8), "styles >= 2"),
        (np.zeros((2, 3, 64, 64), np.uint8), "styles >= 2"),
        (np.zeros((2, 3, 1, 64, 64), np.uint8), r"\(N, 3, H, W\) wanted, got \(2, 1, 64, 64\)"),
    ],
)
def test_wrong_images_are_refused(encoder: LpipsAlexNet, images: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder.pair_distances(images)


def test_construction_is_silent_and_offline(
    random_weights: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a socket was opened"))
    before = torch.random.get_rng_state()
    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.simplefilter("error")
        LpipsAlexNet(random_weights)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert tuple(capfd.readouterr()) == ("", "")


def test_identity_is_that_of_the_tensors_in_use(encoder: LpipsAlexNet, random_weights: Path, tmp_path: Path) -> None:
    state = torch.load(random_weights, weights_only=True)
    del state["classifier.6.bias"]
    torch.save(state, tmp_path / "features.pth")
    assert LpipsAlexNet(tmp_path / "features.pth").identity == encoder.identity
    state["features.0.bias"][0] += 1
    torch.save(state, tmp_path / "other.pth")
    assert LpipsAlexNet(tmp_path / "other.pth").identity != encoder.identity
    del state["features.3.weight"]
    torch.save(state, tmp_path / "torn.pth")
    with pytest.raises(ValueError, match=r"torn\.pth: not AlexNet's weights.*features\.3\.weight"):
        LpipsAlexNet(tmp_path / "torn.pth")


def test_within_source_diversity() -> None:
    assert within_source_diversity(np.array([[1, 2, 3], [0, 0, 6]])) == 2.0
    assert within_source_diversity(np.zeros((4, 1), np.float32)) == 0.0


@pytest.mark.parametrize(
    ("distances", "message"),
    [
        (np.zeros(3), "sources, pairs"),
        (np.zeros((0, 3)), "sources, pairs"),
        (np.zeros((3, 0)), "sources, pairs"),
        (np.zeros((2, 5)), "5 is not the number of pairs"),
        (np.array([[-0.1]]), "values >= 0 wanted, got -0.1"),
        (np.array([[np.nan]]), "1 of 1 values are NaN"),
    ],
)
def test_wrong_distances_are_named(distances: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        within_source_diversity(distances)


@pytest.mark.parametrize("shape", [(1, 2, 1), (3, 2, 5), (7, 10, 512)])
def test_cosine_diversity_is_the_mean_over_pairs(shape: tuple[int, int, int]) -> None:
    features = np.random.default_rng(0).standard_normal(shape)
    unit = features / np.linalg.norm(features, axis=2, keepdims=True)
    expected = np.mean([[1 - s[i] @ s[j] for i, j in combinations(range(shape[1]), 2)] for s in unit])
    assert cosine_diversity(features) == pytest.approx(expected, abs=1e-12)
    lengths = 10.0 ** np.random.default_rng(1).uniform(-200, 200, (*shape[:2], 1))  # only directions count
    assert cosine_diversity(features * lengths) == pytest.approx(expected, abs=1e-12)


def test_cosine_diversity_of_known_directions() -> None:
    known = SimpleNamespace(same=[[1, 2], [2, 4], [3, 6]], right=[[1, 0], [0, 2]], opposite=[[1, 1], [-3, -3]])
    assert cosine_diversity(np.array([known.same])) == pytest.approx(0, abs=1e-15)
    assert cosine_diversity(np.array([known.right])) == pytest.approx(1)
    assert cosine_diversity(np.array([known.opposite])) == pytest.approx(2)
    assert cosine_diversity(np.array([known.right, known.opposite])) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.ones((3, 1, 4)), "at least 2 styles per source wanted, got 1"),
        (np.ones((3, 4)), "sources, styles, d"),
        (np.ones((0, 2, 4)), "sources, styles, d"),
        (
            np.stack([np.ones((2, 4)), np.diag([1.0, 0])[:, [0, 1, 1, 1]] * [1, 0, 0, 0]]),
            "source 1, style 1 is all zero",
        ),
        (np.full((1, 2, 2), np.inf), "4 of 4 values are NaN or infinite"),
    ],
)
def test_wrong_judge_features_are_named(features: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cosine_diversity(features)
