"""What the encoders share, and the judge: its encoder, and its Wide ResNet against its description."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from metrics.encoders import ImageEncoder, JudgeEncoder, encoder_identity
from metrics.encoders.wide_resnet import Block, WideResNet


def random_images(seed: int, count: int, size: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


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


def test_every_encoder_has_the_interface() -> None:
    assert isinstance(JudgeEncoder(WideResNet(depth=10, widen=1)), ImageEncoder)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_impossible_batch_sizes(batch_size: int) -> None:
    with pytest.raises(ValueError, match=f"batch_size: at least 1 wanted, got {batch_size}"):
        JudgeEncoder(WideResNet(depth=10, widen=1))(random_images(0, 2, 16), batch_size)


def test_identity_is_of_names_dtypes_shapes_and_bytes() -> None:
    base = {"a": torch.zeros(2, 3), "b": torch.ones(4)}
    same = {"b": torch.ones(4), "a": torch.zeros(3, 2).T}
    assert encoder_identity(base) == encoder_identity(same)
    others = [
        {**base, "c": torch.zeros(())},
        {"a": torch.zeros(2, 3), "c": torch.ones(4)},
        {**base, "a": torch.zeros(3, 2)},
        {**base, "a": torch.zeros(2, 3, dtype=torch.int32)},
        {**base, "b": torch.tensor([1.0, 1, 1, 2])},
        {**base, "b": torch.ones(4, dtype=torch.bfloat16)},
    ]
    assert len({encoder_identity(tensors) for tensors in [base, *others]}) == 1 + len(others)


def test_a_callers_precision_does_not_reach_the_features() -> None:
    judge, images = JudgeEncoder(trained_like(depth=10, widen=1)), random_images(6, 4, 16)
    expected = judge(images)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert (judge(images) == expected).all()
            assert torch.is_autocast_enabled("cpu")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


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
