"""The encoders against torch-fidelity's network, and the judge's Wide ResNet against its description."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from real_files import real_file
from test_frechet import INCEPTION, pacs
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from metrics.encoders import InceptionEncoder, JudgeEncoder, identity_of
from metrics.wide_resnet import Block, WideResNet


def random_images(seed: int, count: int, size: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


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
def inception(random_weights: Path) -> InceptionEncoder:
    return InceptionEncoder(random_weights)


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
    assert np.abs(InceptionEncoder(weights)(images) - expected).max() <= 1e-5 * expected.max()


def test_inception_is_independent_of_batch_size_and_order(inception: InceptionEncoder) -> None:
    images = random_images(1, 3, 32)
    features = inception(images)
    for batch_size in (1, 2):
        assert np.abs(inception(images, batch_size) - features).max() <= 1e-5 * features.max()
    reversed_order = inception(torch.from_numpy(images[::-1].copy()))[::-1]
    assert np.abs(reversed_order - features).max() <= 1e-5 * features.max()


def test_inception_identity_leaves_out_what_is_not_used(
    inception: InceptionEncoder, random_weights: Path, tmp_path: Path
) -> None:
    state = torch.load(random_weights, weights_only=True)
    state["fc.weight"].fill_(3)
    state["Mixed_5b.branch1x1.bn.num_batches_tracked"] += 7
    torch.save(state, tmp_path / "full.pth")
    assert InceptionEncoder(tmp_path / "full.pth").identity == inception.identity
    state["Mixed_7c.branch_pool.bn.running_var"][0] += 1
    torch.save(state, tmp_path / "other.pth")
    assert InceptionEncoder(tmp_path / "other.pth").identity != inception.identity


def test_inception_is_built_offline_and_in_silence(
    random_weights: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a socket was opened"))
    before = torch.random.get_rng_state()
    InceptionEncoder(random_weights)(random_images(2, 1, 16))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert tuple(capfd.readouterr()) == ("", "")


def test_wrong_weights_are_named(random_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        InceptionEncoder(tmp_path / "absent.pth")
    (tmp_path / "torn.pth").write_bytes(random_weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"torn\.pth: not a readable PyTorch file"):
        InceptionEncoder(tmp_path / "torn.pth")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth: not the weights of the FID Inception network"):
        InceptionEncoder(tmp_path / "other.pth")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list\.pth: a state dict"):
        InceptionEncoder(tmp_path / "list.pth")


def test_a_file_with_code_is_not_run(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"fc.weight": Malicious()}, tmp_path / "malicious.pth")
    with pytest.raises(ValueError, match=r"malicious\.pth: not a readable PyTorch file of tensors"):
        InceptionEncoder(tmp_path / "malicious.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 3, 8, 8), np.float32), r"uint8 in 0..255 wanted, got float32.*\[-1, 1\]"),
        (torch.zeros(2, 3, 8, 8), "got torch.float32"),
        (np.zeros((2, 3, 8, 8), np.int8), "got int8"),
        (np.zeros((2, 8, 8, 3), np.uint8), r"\(N, 3, H, W\) wanted, got \(2, 8, 8, 3\)"),
        (np.zeros((3, 8, 8), np.uint8), r"got \(3, 8, 8\)"),
    ],
)
def test_wrong_images_are_refused(images: np.ndarray | torch.Tensor, message: str) -> None:
    judge = JudgeEncoder(WideResNet(depth=10, widen=1))
    with pytest.raises(ValueError, match=message):
        judge(images)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_impossible_batch_sizes(batch_size: int) -> None:
    with pytest.raises(ValueError, match=f"batch_size: at least 1 wanted, got {batch_size}"):
        JudgeEncoder(WideResNet(depth=10, widen=1))(random_images(0, 2, 16), batch_size)


def test_identity_is_of_names_dtypes_shapes_and_bytes() -> None:
    base = {"a": torch.zeros(2, 3), "b": torch.ones(4)}
    same = {"b": torch.ones(4), "a": torch.zeros(3, 2).T}
    assert identity_of(base) == identity_of(same)
    others = [
        {**base, "c": torch.zeros(())},
        {"a": torch.zeros(2, 3), "c": torch.ones(4)},
        {**base, "a": torch.zeros(3, 2)},
        {**base, "a": torch.zeros(2, 3, dtype=torch.int32)},
        {**base, "b": torch.tensor([1.0, 1, 1, 2])},
        {**base, "b": torch.ones(4, dtype=torch.bfloat16)},
    ]
    assert len({identity_of(tensors) for tensors in [base, *others]}) == 1 + len(others)


# ------------------------------------------------------------------------------------------------------ the judge


def trained_like(**sizes: int) -> WideResNet:
    """A network whose BatchNorm statistics are not those of construction, left in training mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = WideResNet(**sizes)
        network(torch.rand(8, 3, 16, 16))
    return network


def test_judge_gives_features_logits_and_classes() -> None:
    network = trained_like(depth=10, widen=2, classes=7)
    encoder = JudgeEncoder(network)
    images = random_images(3, 9, 16)
    assert network.training, "the caller's network stays as it was"
    network.eval()
    with torch.no_grad():
        x = torch.from_numpy(images) / 255
        features, logits = network.features(x).numpy(), network(x).numpy()
    assert encoder.width == features.shape[1] == 128
    assert encoder(images) == pytest.approx(features, abs=1e-5)
    assert encoder.logits(encoder(images)) == pytest.approx(logits, abs=1e-5)
    assert (encoder.classify(features) == logits.argmax(1)).all()
    assert (encoder.predict(images) == logits.argmax(1)).all()
    assert encoder.predict(images).dtype == np.int64
    with pytest.raises(ValueError, match=r"\(N, 128\) wanted, got \(9, 7\)"):
        encoder.classify(logits)


def test_judge_is_independent_of_batch_size_and_later_training() -> None:
    network = trained_like(depth=10, widen=1)
    encoder, images = JudgeEncoder(network), random_images(4, 7, 32)
    features, seen = encoder(images), list[int]()
    assert encoder(images, 3, progress=seen.append) == pytest.approx(features, abs=1e-5)
    assert seen == [3, 3, 1]
    identity = encoder.identity
    assert JudgeEncoder(network).identity == identity
    with torch.no_grad():
        network.linear.bias += 1
    assert JudgeEncoder(network).identity != identity
    assert (encoder(images) == features).all()


def test_judge_reads_memory_mapped_images(tmp_path: Path) -> None:
    images = random_images(5, 4, 16)
    np.save(tmp_path / "images.npy", images)
    encoder = JudgeEncoder(trained_like(depth=10, widen=1))
    assert (encoder(np.load(tmp_path / "images.npy", mmap_mode="r")) == encoder(images)).all()
    assert encoder(images[:0]).shape == (0, 64)


def test_published_size_has_the_published_parameters() -> None:
    assert sum(p.numel() for p in WideResNet(depth=16, widen=8, classes=10).parameters()) == 10_961_370


@pytest.mark.parametrize("size", [16, 32, 64, 256])
def test_any_size(size: int) -> None:
    network = trained_like(depth=16, widen=1, classes=5).eval()
    with torch.no_grad():
        features = network.features(torch.rand(2, 3, size, size))
        assert network.stem(torch.rand(2, 3, size, size)).shape == (2, 16, size, size)
        assert network.groups(torch.rand(2, 16, size, size)).shape == (2, 64, size // 4, size // 4)
    assert features.shape == (2, network.width) == (2, 64)
    assert (features >= 0).all()
    assert network.linear(features).shape == (2, 5)


def test_initialisation() -> None:
    network = WideResNet(depth=16, widen=8)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            assert module.bias is None
            # The standard deviation of N draws errs by 1/sqrt(2N); four of these.
            error = 4 / (2 * module.weight.numel()) ** 0.5
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=error)
    assert (network.linear.bias == 0).all()
    assert (network.norm.weight == 1).all()
    assert (network.norm.bias == 0).all()


def test_shortcut_reads_the_activated_input_where_the_shape_changes() -> None:
    x = torch.randn(2, 4, 6, 6)
    changing, plain = Block(4, 8, 2, 0.4).eval(), Block(4, 4, 1, 0.4).eval()
    for block in (changing, plain):
        nn.init.zeros_(block.conv2.weight)  # what remains is the shortcut
    assert changing.shortcut is not None
    assert plain.shortcut is None
    activated = torch.relu(changing.norm1(x))
    assert torch.equal(changing(x), changing.shortcut(activated))
    assert changing(x).shape == (2, 8, 3, 3)
    assert torch.equal(plain(x), x)


@pytest.mark.parametrize(
    "sizes", [{"depth": 15}, {"depth": 4}, {"widen": 0}, {"classes": 1}, {"dropout": 1.0}, {"dropout": -0.1}]
)
def test_impossible_sizes(sizes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        WideResNet(**sizes)
