"""The FID network behind each preparation: against torch-fidelity, pytorch-fid's and clean-fid's definitions."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from real_files import INCEPTION, pacs, real_file
from test_encoders import random_images
from torch import nn
from torch.nn import functional as F
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from metrics.encoders import CLEAN, PYTORCH, TF1, ImageEncoder, InceptionEncoder, InceptionNetwork, Preparation
from metrics.frechet import frechet_distance


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like the FID network's, of random weights and random BatchNorm statistics."""
    folder = tmp_path_factory.mktemp("inception")
    torch.save({}, folder / "empty.pth")
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        torch.manual_seed(5)
        network = FeatureExtractorInceptionV3("random", ["2048"], folder / "empty.pth")
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            if isinstance(module, nn.BatchNorm2d):
                for tensor, low, high in (
                    (module.weight, 0.7, 1.3), (module.running_var, 0.7, 1.3),
                    (module.bias, -0.3, 0.3), (module.running_mean, -0.3, 0.3),
                ):  # fmt: skip
                    nn.init.uniform_(tensor, low, high)
    torch.save(network.state_dict(), folder / "inception.pth")
    return folder / "inception.pth"


@pytest.fixture(scope="module")
def network(random_weights: Path) -> InceptionNetwork:
    return InceptionNetwork(random_weights)


@pytest.fixture(scope="module")
def inception(network: InceptionNetwork) -> InceptionEncoder:
    return InceptionEncoder(network, TF1)


def by_torch_fidelity(weights: Path, images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return FeatureExtractorInceptionV3("plain", ["2048"], weights)(torch.from_numpy(images))[0].numpy()


@pytest.mark.parametrize("size", [32, 64])
def test_inception_equals_torch_fidelity(inception: InceptionEncoder, random_weights: Path, size: int) -> None:
    images = random_images(0, 2, size)
    expected = by_torch_fidelity(random_weights, images)
    features = inception(images)
    assert features.shape == (2, inception.width)
    assert features.dtype == np.float32
    assert np.abs(expected - expected.mean(axis=0)).max() > 1e-3 * expected.max()  # images are told apart
    assert np.abs(features - expected).max() <= 1e-5 * expected.max()


def test_inception_equals_torch_fidelity_on_real_images() -> None:
    weights, images = real_file(INCEPTION), pacs(real_file("datasets/pacs/photo"), 3)
    expected = by_torch_fidelity(weights, images)
    ours = InceptionEncoder(InceptionNetwork(weights), TF1)(images)
    assert np.abs(ours - expected).max() <= 1e-5 * expected.max()


def test_inception_is_independent_of_batch_size_and_order(inception: InceptionEncoder) -> None:
    images = random_images(1, 3, 32)
    features = inception(images)
    for batch_size in (1, 2):
        assert np.abs(inception(images, batch_size) - features).max() <= 1e-5 * features.max()
    reversed_order = inception(torch.from_numpy(images[::-1].copy()))[::-1]
    assert np.abs(reversed_order - features).max() <= 1e-5 * features.max()


def test_inception_identity_leaves_out_what_is_not_used(
    network: InceptionNetwork, random_weights: Path, tmp_path: Path
) -> None:
    state = torch.load(random_weights, weights_only=True)
    state["fc.weight"].fill_(3)
    state["Mixed_5b.branch1x1.bn.num_batches_tracked"] += 7
    torch.save(state, tmp_path / "full.pth")
    assert InceptionNetwork(tmp_path / "full.pth").identity == network.identity
    state["Mixed_7c.branch_pool.bn.running_var"][0] += 1
    torch.save(state, tmp_path / "other.pth")
    assert InceptionNetwork(tmp_path / "other.pth").identity != network.identity


def test_inception_is_built_offline_and_in_silence(
    random_weights: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a socket was opened"))
    before = torch.random.get_rng_state()
    InceptionEncoder(InceptionNetwork(random_weights), TF1)(random_images(2, 1, 16))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert tuple(capfd.readouterr()) == ("", "")


def test_wrong_weights_are_named(random_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        InceptionNetwork(tmp_path / "absent.pth")
    (tmp_path / "torn.pth").write_bytes(random_weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"torn\.pth: not a readable PyTorch file"):
        InceptionNetwork(tmp_path / "torn.pth")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth: not the weights of the FID Inception network") as caught:
        InceptionNetwork(tmp_path / "other.pth")
    assert len(str(caught.value)) < 500
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list\.pth: a state dict"):
        InceptionNetwork(tmp_path / "list.pth")


def test_a_file_with_code_is_not_run(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"fc.weight": Malicious()}, tmp_path / "malicious.pth")
    with pytest.raises(ValueError, match=r"malicious\.pth: not a readable PyTorch file of tensors"):
        InceptionNetwork(tmp_path / "malicious.pth")
    assert not (tmp_path / "ran").exists()


# ------------------------------------------------------------------------------------------------ the preparations


def test_preparations_share_a_network_and_have_names_of_their_own(
    network: InceptionNetwork, random_weights: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "inception.pth"
    copied.write_bytes(random_weights.read_bytes())
    shared = InceptionNetwork(copied)
    copied.unlink()
    encoders = [InceptionEncoder(shared, preparation) for preparation in (TF1, PYTORCH, CLEAN)]
    encoders.append(InceptionEncoder(shared.in_bfloat16(), TF1))
    assert [encoder.name for encoder in encoders] == [
        "inception-2015-12-05-tf1-299",
        "inception-2015-12-05-pytorch-299",
        "inception-2015-12-05-clean-299",
        "inception-2015-12-05-tf1-299-bf16",
    ]
    assert {encoder.identity for encoder in encoders} == {network.identity}
    for encoder in encoders:
        assert isinstance(encoder, ImageEncoder)
        features = encoder(random_images(7, 2, 24))
        assert features.shape == (2, encoder.width)
        assert features.dtype == np.float32


@pytest.mark.parametrize("preparation", [TF1, PYTORCH, CLEAN], ids=lambda preparation: preparation.name)
def test_every_preparation_gives_the_networks_input(preparation: Preparation) -> None:
    """A constant image stays constant at its value; the network's input is float32, whatever comes after."""
    for value, expected in ((0, -1), (128, 2 * 128 / 255 - 1 if preparation is PYTORCH else 0)):
        prepared = preparation.from_bytes(torch.full((2, 3, 40, 56), value, dtype=torch.uint8))
        assert prepared.shape == (2, 3, 299, 299)
        assert prepared.dtype == torch.float32
        assert (prepared - expected).abs().max() < 1e-6


def by_pytorch_fid(weights: Path, x: torch.Tensor) -> np.ndarray:
    """float (N, 3, H, W) in [0, 1] through pytorch-fid's resize and torch-fidelity's network, layer by layer."""
    layers = dict(FeatureExtractorInceptionV3("plain", ["2048"], weights).named_children())
    del layers["fc"]
    with torch.inference_mode():
        x = 2 * F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False) - 1
        for layer in layers.values():
            x = layer(x)
    return x.flatten(1).numpy()


@pytest.mark.parametrize("size", [32, 320])
def test_pytorch_preparation_equals_pytorch_fid(network: InceptionNetwork, random_weights: Path, size: int) -> None:
    images = random_images(8, 2, size)
    floats = torch.from_numpy(images).float() / 255
    expected = by_pytorch_fid(random_weights, floats)
    encoder = InceptionEncoder(network, PYTORCH)
    assert np.abs(encoder(images) - expected).max() <= 1e-5 * expected.max()
    assert (encoder.encode_floats(floats) == encoder(images)).all()


def test_floats_enter_unrounded(network: InceptionNetwork, random_weights: Path) -> None:
    floats = torch.rand((3, 3, 32, 32), generator=torch.Generator().manual_seed(9))
    floats[0, 0, 0, :2] = torch.tensor([0.0, 1.0])  # both ends belong to the range
    expected, encoder, seen = by_pytorch_fid(random_weights, floats), InceptionEncoder(network, PYTORCH), list[int]()
    features = encoder.encode_floats(floats.numpy(), batch_size=2, progress=seen.append)
    assert np.abs(features - expected).max() <= 1e-5 * expected.max()
    assert seen == [2, 1]
    rounded = encoder((floats * 255).round().to(torch.uint8))
    assert np.abs(rounded - features).max() > 1e-4 * features.max()


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        (-0.5, r"\[0, 1\] wanted, got -0.5 to 0.5 among images 256 to 299. From \[-1, 1\]"),
        (1.0001, r"got 0.5 to 1.0001"),
        (float("nan"), r"got nan to nan"),
        (float("inf"), r"got 0.5 to inf"),
    ],
)
def test_floats_out_of_range_are_refused(network: InceptionNetwork, planted: float, message: str) -> None:
    floats = np.full((300, 3, 4, 4), 0.5, np.float32)
    floats[299, 2, 3, 3] = planted
    with pytest.raises(ValueError, match=message):
        InceptionEncoder(network, PYTORCH).encode_floats(floats)


def test_floats_of_another_kind_are_refused(network: InceptionNetwork) -> None:
    encoder = InceptionEncoder(network, PYTORCH)
    with pytest.raises(ValueError, match=r"float32 in \[0, 1\] wanted, got uint8"):
        encoder.encode_floats(random_images(0, 1, 8))
    with pytest.raises(ValueError, match=r"float32 in \[0, 1\] wanted, got float64"):
        encoder.encode_floats(np.zeros((1, 3, 8, 8)))
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\) wanted, got \(3, 8, 8\)"):
        encoder.encode_floats(torch.zeros(3, 8, 8))
    with pytest.raises(ValueError, match=r"uint8 in 0\.\.255 wanted, got float32"):
        encoder(np.zeros((1, 3, 8, 8), np.float32))
    for preparation in (TF1, CLEAN):
        with pytest.raises(ValueError, match=f"{preparation.name} is defined for uint8 images only"):
            InceptionEncoder(network, preparation).encode_floats(torch.zeros(1, 3, 8, 8))


def pil_bicubic_weights(size: int, target: int = 299) -> np.ndarray:
    """(target, size): Pillow's bicubic (a = -1/2), its support widened where an image is made smaller."""
    scale = size / target
    stretch = max(scale, 1.0)
    centres = (np.arange(target)[:, None] + 0.5) * scale
    x = np.abs(np.arange(size)[None] + 0.5 - centres) / stretch
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [(32, 48), (227, 299), (400, 640)])
def test_clean_preparation_is_bicubic_clipped_and_unrounded(size: tuple[int, int]) -> None:
    images = np.random.default_rng(10).integers(0, 256, (2, 3, *size), dtype=np.uint8)
    rows, columns = (pil_bicubic_weights(side) for side in size)
    resized = rows @ images.astype(np.float64) @ columns.T  # (2, 3, 299, 299)
    if size[0] < 299:
        assert resized.min() < -5, "the filter overshoots: there is something to clip"
    expected = (resized.clip(0, 255) - 128) / 128
    prepared = CLEAN.from_bytes(torch.from_numpy(images)).numpy()
    assert np.abs(prepared - expected).max() < 1e-5  # a rounded grey value would be off by up to 4e-3


def test_clean_preparation_equals_clean_fid() -> None:
    resize = pytest.importorskip("cleanfid.resize").build_resizer("clean")
    for size in (32, 500):
        image = random_images(11, 1, size)[0]
        expected = (resize(image.transpose(1, 2, 0)) - 128) / 128
        assert (CLEAN.from_bytes(torch.from_numpy(image[None]))[0].numpy() == expected.transpose(2, 0, 1)).all()


def test_fid_depends_on_the_preparation() -> None:
    """8 PACS sketches against 8 photographs at 32 px: the values differ by far more than the 1e-5 of arithmetic."""
    network = InceptionNetwork(real_file(INCEPTION))
    sketches, photos = (pacs(real_file(f"datasets/pacs/{domain}"), 8, 32) for domain in ("sketch", "photo"))
    values = []
    for preparation in (TF1, PYTORCH, CLEAN):
        encoder = InceptionEncoder(network, preparation)
        values.append(frechet_distance(encoder(sketches), encoder(photos)))
    print(f"FID tf1 {values[0]:.2f}, pytorch {values[1]:.2f}, clean {values[2]:.2f}")
    values.sort()
    assert values[1] / values[0] > 1.002
    assert values[2] / values[1] > 1.002


# ------------------------------------------------------------------------------------------------------- bfloat16


def test_bfloat16_is_close_and_leaves_the_float32_network_as_it_was(network: InceptionNetwork) -> None:
    images = random_images(12, 3, 48)
    expected = InceptionEncoder(network, TF1)(images)
    features = InceptionEncoder(network.in_bfloat16(), TF1)(images)
    difference = np.linalg.norm(features - expected) / np.linalg.norm(expected)
    print(f"relative difference of bfloat16 features: {difference:.1e}")
    assert 1e-3 < difference < 5e-2  # bfloat16 rounds to 2e-3 in each of about 20 layers
    assert (InceptionEncoder(network, TF1)(images) == expected).all()
