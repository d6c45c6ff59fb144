"""DRIT's networks: parameter counts, official keys, and an independent forward pass from the tables of layers."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from determined import fill, numbers
from torch import Tensor, nn

from methods.drit import DRIT, DRITConfig
from methods.drit_networks import (
    ConcatAttributeEncoder,
    ConcatGenerator,
    ContentDiscriminator,
    ContentEncoder,
    Discriminator,
    FeatureWiseAttributeEncoder,
    FeatureWiseGenerator,
    SmallContentDiscriminator,
    init_drit_network,
)

EXACT = 1e-10
"""float64, activations of order 1 to 10, ten to twenty layers."""
State = dict[str, Tensor]


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def published(attribute: str) -> DRIT:
    """Full width, without memory for its weights."""
    with torch.device("meta"):
        return DRIT(DRITConfig(attribute=attribute), 256)


# ---------------------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize(
    ("attribute", "encoder", "generator", "inference", "total"),
    [
        ("concat", 2_688_160, 9_564_710, 21_270_982, 65_039_315),
        ("feature_wise", 5_529_872, 17_146_374, 31_694_358, 75_462_691),
    ],
)
def test_published_parameter_counts(attribute: str, encoder: int, generator: int, inference: int, total: int) -> None:
    counts = published(attribute).parameter_counts()
    assert counts == {
        "content_encoder": 9_018_112,
        "attribute_encoder": encoder,
        "generator": generator,
        **dict.fromkeys(("discriminator_a", "discriminator_a2", "discriminator_b", "discriminator_b2"), 8_271_171),
        "discriminator_content": 10_683_649,
    }
    assert sum(counts[name] for name in ("content_encoder", "attribute_encoder", "generator")) == inference
    assert sum(counts.values()) == total


def test_parameter_counts_at_32_px() -> None:
    with torch.device("meta"):
        assert count(Discriminator(64, scales=2, layers=4)) == 5_514_114
        assert count(Discriminator(64, scales=3, layers=3)) == 1_977_411
        assert count(SmallContentDiscriminator(256, side=8)) == 1_442_817


# ------------------------------------------------------------------------------------------------------ keys


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {
        name.removesuffix(".weight"): tuple(v.shape) for name, v in network.state_dict().items() if "bias" not in name
    }


def both(key: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {key.replace("*", letter): shape for letter in "AB"}


def residual(key: str, channels: int) -> dict[str, tuple[int, ...]]:
    shape = (channels, channels, 3, 3)
    return both(f"{key}.model.1", shape) | both(f"{key}.model.5", shape)


def test_keys_and_widths_of_the_content_encoder() -> None:
    expected = both("conv*.0.model.1", (64, 3, 7, 7)) | both("conv*.1.model.1", (128, 64, 3, 3))
    expected |= both("conv*.2.model.1", (256, 128, 3, 3))
    for key in ("conv*.3", "conv*.4", "conv*.5", "conv_share.0"):
        expected |= residual(key, 256)
    assert shapes(published("concat").content_encoder) == expected


def test_keys_and_widths_of_the_concatenation_form() -> None:
    """Attribute widths grow by 64; in the generator z is put beside the features four times: 264, 272, 144, 80."""
    built = published("concat")
    expected = both("conv_*.1", (64, 3, 4, 4)) | both("fc_*", (8, 256)) | both("fcVar_*", (8, 256))
    for index, (i, o) in enumerate(((64, 128), (128, 192), (192, 256)), start=2):
        expected |= both(f"conv_*.{index}.conv.2", (i, i, 3, 3)) | both(f"conv_*.{index}.conv.4.1", (o, i, 3, 3))
        expected |= both(f"conv_*.{index}.shortcut.1", (o, i, 1, 1))
    assert shapes(built.attribute_encoder) == expected
    expected = residual("dec_share.0", 256)
    for index in range(3):
        expected |= residual(f"dec*1.{index}", 264)
    expected |= both("dec*2.0.model.0", (272, 136, 3, 3)) | both("dec*2.0.model.1", (136, 1, 1))
    expected |= both("dec*3.0.model.0", (144, 72, 3, 3)) | both("dec*3.0.model.1", (72, 1, 1))
    expected |= both("dec*4.0", (80, 3, 1, 1))  # a transposed convolution: in x out
    assert shapes(built.generator) == expected


def test_keys_and_widths_of_the_feature_wise_form() -> None:
    built = published("feature_wise")
    widths = {
        1: (64, 3, 7, 7),
        4: (128, 64, 4, 4),
        7: (256, 128, 4, 4),
        10: (256,) * 2 + (4, 4),
        13: (256,) * 2 + (4, 4),
    }
    expected = {f"model_{letter}.{i}": shape for letter in "ab" for i, shape in {**widths, 16: (8, 256, 1, 1)}.items()}
    assert shapes(built.attribute_encoder) == expected
    expected = both("mlp*.0", (256, 8)) | both("mlp*.2", (256, 256)) | both("mlp*.4", (1024, 256))
    for block in range(1, 5):
        for half in (1, 2):
            expected |= both(f"dec*{block}.conv{half}.0.1", (256, 256, 3, 3))
            expected |= both(f"dec*{block}.blk{half}.0", (512, 512, 1, 1))
            expected |= both(f"dec*{block}.blk{half}.2", (256, 512, 1, 1))
    expected |= both("dec*5.0.model.0", (256, 128, 3, 3)) | both("dec*5.0.model.1", (128, 1, 1))
    expected |= both("dec*5.1.model.0", (128, 64, 3, 3)) | both("dec*5.1.model.1", (64, 1, 1))
    expected |= both("dec*5.2", (64, 3, 1, 1))
    assert shapes(built.generator) == expected


def test_keys_and_widths_of_the_discriminators() -> None:
    built = published("concat")
    layers = [(64, 3, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4)]
    expected = {f"Diss.{s}.{i}.model.1": shape for s in range(3) for i, shape in enumerate(layers)}
    expected |= {f"Diss.{s}.4": (1, 512, 1, 1) for s in range(3)}
    assert shapes(built.discriminator_a2) == expected
    expected = {f"model.{i}.model.1": (256, 256, 7, 7) for i in range(3)}
    expected |= {"model.3.model.1": (256, 256, 4, 4), "model.4": (1, 256, 1, 1)}
    assert shapes(built.discriminator_content) == expected


# -------------------------------------------------------------------------------- an independent forward pass


def convolve(s: State, key: str, x: Tensor, stride: int = 1, pad: int = 0) -> Tensor:
    """Reflected; each biased."""
    x = F.pad(x, (pad,) * 4, mode="reflect") if pad else x
    return F.conv2d(x, s[f"{key}.weight"], s[f"{key}.bias"], stride=stride)


def leaky(x: Tensor, slope: float) -> Tensor:
    return torch.where(x > 0, x, slope * x)


def instance_norm(x: Tensor, dims: tuple[int, ...] = (2, 3)) -> Tensor:
    mean = x.mean(dim=dims, keepdim=True)
    return (x - mean) / ((x - mean).square().mean(dim=dims, keepdim=True) + 1e-5).sqrt()


def res(s: State, key: str, x: Tensor) -> Tensor:
    h = instance_norm(convolve(s, f"{key}.model.1", x, pad=1)).relu()
    return x + instance_norm(convolve(s, f"{key}.model.5", h, pad=1))


def up(s: State, key: str, x: Tensor) -> Tensor:
    weight, bias = s[f"{key}.model.0.weight"], s[f"{key}.model.0.bias"]
    h = F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)
    return (instance_norm(h, (1, 2, 3)) * s[f"{key}.model.1.weight"] + s[f"{key}.model.1.bias"]).relu()


def to_rgb(s: State, key: str, x: Tensor) -> Tensor:
    return (torch.einsum("bihw,io->bohw", x, s[f"{key}.weight"][:, :, 0, 0]) + s[f"{key}.bias"][:, None, None]).tanh()


def beside(x: Tensor, z: Tensor) -> Tensor:
    b, _, h, w = x.shape
    return torch.cat([x, z.reshape(b, -1, 1, 1).repeat(1, 1, h, w)], 1)


def content(s: State, x: Tensor, letter: str) -> Tensor:
    """The content encoder's layers, without the noise."""
    h = leaky(convolve(s, f"conv{letter}.0.model.1", x, pad=3), 0.01)
    for i in (1, 2):
        h = instance_norm(convolve(s, f"conv{letter}.{i}.model.1", h, stride=2, pad=1)).relu()
    for i in (3, 4, 5):
        h = res(s, f"conv{letter}.{i}", h)
    return res(s, "conv_share.0", h)


def concat_attribute(s: State, x: Tensor, letter: str) -> tuple[Tensor, Tensor]:
    """The attribute encoder's layers: mean and log-variance."""
    h = convolve(s, f"conv_{letter}.1", x, stride=2, pad=1)
    for i in (2, 3, 4):
        key = f"conv_{letter}.{i}"
        main = convolve(s, f"{key}.conv.2", leaky(h, 0.2), pad=1)
        main = F.avg_pool2d(convolve(s, f"{key}.conv.4.1", leaky(main, 0.2), pad=1), 2)
        h = main + convolve(s, f"{key}.shortcut.1", F.avg_pool2d(h, 2))
    h = leaky(h, 0.2).mean((2, 3))
    mean, logvar = (h @ s[f"{fc}_{letter}.weight"].T + s[f"{fc}_{letter}.bias"] for fc in ("fc", "fcVar"))
    return mean, logvar


def feature_wise_attribute(s: State, x: Tensor, letter: str) -> Tensor:
    h = convolve(s, f"model_{letter}.1", x, pad=3).relu()
    for i in (4, 7, 10, 13):
        h = convolve(s, f"model_{letter}.{i}", h, stride=2, pad=1).relu()
    return convolve(s, f"model_{letter}.16", h.mean((2, 3), keepdim=True))[:, :, 0, 0]


def concat_generator(s: State, h: Tensor, z: Tensor, letter: str) -> Tensor:
    """The generator's layers."""
    h = beside(res(s, "dec_share.0", h), z)
    for i in range(3):
        h = res(s, f"dec{letter}1.{i}", h)
    h = up(s, f"dec{letter}2.0", beside(h, z))
    h = up(s, f"dec{letter}3.0", beside(h, z))
    return to_rgb(s, f"dec{letter}4.0", beside(h, z))


def feature_wise_generator(s: State, h: Tensor, z: Tensor, letter: str) -> Tensor:
    for i in (0, 2, 4):
        z = z @ s[f"mlp{letter}.{i}.weight"].T + s[f"mlp{letter}.{i}.bias"]
        z = z.relu() if i < 4 else z
    c = h.shape[1]
    for block in range(4):
        z_j, inner = z[:, block * c : (block + 1) * c], h
        for half in (1, 2):
            key = f"dec{letter}{block + 1}"
            inner = instance_norm(convolve(s, f"{key}.conv{half}.0.1", inner, pad=1))
            inner = convolve(s, f"{key}.blk{half}.0", beside(inner, z_j)).relu()
            inner = convolve(s, f"{key}.blk{half}.2", inner).relu()
        h = h + inner
    h = up(s, f"dec{letter}5.1", up(s, f"dec{letter}5.0", h))
    return to_rgb(s, f"dec{letter}5.2", h)


def image_discriminator(s: State, x: Tensor, scales: int, layers: int) -> list[Tensor]:
    """The discriminator's layers; the average over the 3x3 places that are inside the image."""
    maps = []
    for scale in range(scales):
        h = x
        for i in range(layers):
            h = leaky(convolve(s, f"Diss.{scale}.{i}.model.1", h, stride=2, pad=1), 0.01)
        maps.append(convolve(s, f"Diss.{scale}.{layers}", h))
        ones = torch.ones_like(x)
        total, inside = (9 * F.avg_pool2d(F.pad(v, (1,) * 4), 3, 2) for v in (x, ones))
        x = total / inside
    return maps


def close(ours: Tensor, expected: Tensor) -> None:
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(ours, expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize("size", [16, 36])
def test_content_encoder_equals_the_table(size: int) -> None:
    network = fill(ContentEncoder(3).double())
    a, b = numbers(1, 2, 3, size, size), numbers(2, 2, 3, size, size)
    expected = [content(network.state_dict(), x, letter) for x, letter in ((a, "A"), (b, "B"))]
    assert expected[0].shape == (2, 12, size // 4, size // 4)
    close(network(a, 0), expected[0])
    close(network(b, 1), expected[1])
    assert isinstance(network, ContentEncoder)
    for ours, reference in zip(network.both(a, b), expected, strict=True):
        close(ours, reference)


@pytest.mark.parametrize("size", [16, 36])
def test_concatenation_attributes_equal_the_table(size: int) -> None:
    """36 px: odd maps, where pooling drops a row. The KL by torch's own formula, summed over z."""
    network = fill(ConcatAttributeEncoder(3, 5).double())
    assert isinstance(network, ConcatAttributeEncoder)
    x, eps = numbers(1, 2, 3, size, size), numbers(2, 2, 5)
    for domain, letter in enumerate("AB"):
        mean, logvar = concat_attribute(network.state_dict(), x, letter)
        z, kl = network(x, domain, eps)
        close(network.mean(x, domain), mean)
        close(z, mean + eps * torch.exp(logvar / 2))
        normal = torch.distributions.Normal
        close(kl, torch.distributions.kl_divergence(normal(mean, torch.exp(logvar / 2)), normal(0.0, 1.0)).sum(1))


@pytest.mark.parametrize("size", [16, 36])
def test_feature_wise_attributes_equal_the_table(size: int) -> None:
    network = fill(FeatureWiseAttributeEncoder(3, 5).double())
    assert isinstance(network, FeatureWiseAttributeEncoder)
    x = numbers(1, 2, 3, size, size)
    for domain, letter in enumerate("ab"):
        expected = feature_wise_attribute(network.state_dict(), x, letter)
        z, prior = network(x, domain, numbers(2, 2, 5))
        close(z, expected)
        close(network.mean(x, domain), expected)
        close(prior, (expected**2).mean(1))


@pytest.mark.parametrize(
    ("kind", "reference"),
    [(ConcatGenerator, concat_generator), (FeatureWiseGenerator, feature_wise_generator)],
)
def test_generators_equal_the_table(kind: type[nn.Module], reference: object) -> None:
    network = fill(kind(3, 5).double())
    h, z = numbers(1, 2, 12, 4, 6), numbers(2, 2, 5)
    images = [network(h, z, domain) for domain in (0, 1)]
    for image, letter in zip(images, "AB", strict=True):
        assert image.shape == (2, 3, 16, 24)
        close(image, reference(network.state_dict(), h, z, letter))  # type: ignore[operator]


@pytest.mark.parametrize(("size", "scales", "layers"), [(216, 3, 4), (32, 2, 4), (32, 3, 3), (16, 2, 3)])
def test_image_discriminator_equals_the_table(size: int, scales: int, layers: int) -> None:
    network = fill(Discriminator(2, scales, layers).double())
    x = numbers(1, 1, 3, size, size)
    expected = image_discriminator(network.state_dict(), x, scales, layers)
    sides = {(216, 3, 4): [13, 6, 3], (32, 2, 4): [2, 1], (32, 3, 3): [4, 2, 1], (16, 2, 3): [2, 1]}
    maps = network(x)
    assert [m.shape for m in maps] == [(1, 1, side, side) for side in sides[size, scales, layers]]
    for ours, reference in zip(maps, expected, strict=True):
        close(ours, reference)


@pytest.mark.parametrize(("side", "logits"), [(54, 1), (64, 2)])
def test_published_content_discriminator_equals_the_table(side: int, logits: int) -> None:
    """Images of 216 px give one logit, of 256 px 2x2; no norm."""
    network = fill(ContentDiscriminator(4, side).double())
    s, h = network.state_dict(), numbers(1, 2, 4, side, side)
    ours = network(h)
    for i in range(3):
        h = leaky(convolve(s, f"model.{i}.model.1", h, stride=2, pad=1), 0.01)
    h = leaky(convolve(s, "model.3.model.1", h), 0.01)
    assert ours.shape == (2, 1, logits, logits)
    close(ours, convolve(s, "model.4", h))


@pytest.mark.parametrize(("side", "halvings"), [(2, 0), (3, 1), (4, 1), (5, 2), (8, 2), (9, 3), (16, 3), (52, 5)])
def test_small_content_discriminator_halves_to_2x2(side: int, halvings: int) -> None:
    network = fill(SmallContentDiscriminator(4, side).double())
    s, h = network.state_dict(), numbers(1, 2, 4, side, side)
    ours = network(h)
    for i in range(halvings):
        h = leaky(convolve(s, f"model.{i}.model.1", h, stride=2, pad=1), 0.01)
    assert h.shape[2:] == (2, 2)
    h = leaky(convolve(s, f"model.{halvings}.model.1", h), 0.01)
    assert ours.shape == (2, 1, 1, 1)
    close(ours, convolve(s, f"model.{halvings + 1}", h))


@pytest.mark.parametrize("kind", [ConcatGenerator, FeatureWiseGenerator])
def test_only_the_concatenation_form_shares_generator_layers(kind: type[nn.Module]) -> None:
    """Both domains' images change with dec_share; the feature-wise form has no layer that both use."""
    network = fill(kind(2, 3).double())
    h, z = numbers(1, 1, 8, 4, 4), numbers(2, 1, 3)
    assert not torch.equal(network(h, z, 0), network(h, z, 1))
    used = []
    for domain in (0, 1):
        grads = torch.autograd.grad(network(h, z, domain).sum(), list(network.parameters()), allow_unused=True)
        used.append({name for (name, _), g in zip(network.named_parameters(), grads, strict=True) if g is not None})
    assert {name.partition(".")[0] for name in used[0] & used[1]} == (
        {"dec_share"} if kind is ConcatGenerator else set()
    )
    assert used[0] | used[1] == {name for name, _ in network.named_parameters()}


# -------------------------------------------------------------------------------------------- initialisation


def test_initial_weights_are_normal_and_biases_are_not_zero() -> None:
    """Convolutions Normal(0, 0.02), their biases and the linear layers as torch makes them: uniform, 1/sqrt(fan in)."""
    torch.manual_seed(0)
    network = ConcatAttributeEncoder(16, 8).apply(init_drit_network)
    weight, bias = network.conv_A[4].conv[2].weight, network.conv_A[4].conv[2].bias  # 48 -> 48, 3x3
    assert weight.std().item() == pytest.approx(0.02, rel=0.02)  # 20,736 numbers: 4 standard errors
    limit = 1 / math.sqrt(48 * 9)
    assert 0.8 * limit < bias.abs().max() <= limit
    limit = 1 / math.sqrt(64)
    assert 0.9 * limit < network.fc_A.weight.abs().max() <= limit
    generator = ConcatGenerator(16, 8).apply(init_drit_network)
    assert generator.decA2[0].model[0].weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert torch.equal(generator.decA2[0].model[1].weight, torch.ones(40, 1, 1))
    assert torch.equal(generator.decA2[0].model[1].bias, torch.zeros(40, 1, 1))
