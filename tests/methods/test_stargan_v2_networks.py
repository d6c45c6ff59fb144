"""StarGAN v2's networks: published parameter counts, official keys, and an independent forward pass."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from determined import fill, numbers
from torch import Tensor

from methods.parts.layers import layer_widths
from methods.stargan_v2 import Discriminator, Generator, MappingNetwork, StarGANv2, StarGANv2Config, StyleEncoder

EXACT = 1e-12
"""float64, activations of order 1."""
NETWORKS = ("generator", "mapping_network", "style_encoder", "discriminator")


@pytest.mark.parametrize(
    ("size", "cap", "counts"),
    [
        (256, 512, (33_892_995, 2_438_272, 20_916_928, 20_852_290)),
        (128, 512, (33_632_003, 2_438_272, 20_799_744, 20_735_106)),
        (64, 512, (32_634_883, 2_438_272, 20_327_808, 20_263_170)),
        (32, 512, (28_740_099, 2_438_272, 18_433_664, 18_369_026)),
        (32, 128, (7_381_379, 2_438_272, 3_898_752, 3_882_498)),
        (32, 256, (12_316_419, 2_438_272, 7_127_168, 7_094_786)),
    ],
)
def test_parameter_counts(size: int, cap: int, counts: tuple[int, ...]) -> None:
    with torch.device("meta"):
        built = StarGANv2(StarGANv2Config(max_width=cap), size)
    assert built.parameter_counts() == dict(zip(NETWORKS, counts, strict=True))


def test_parameter_counts_with_three_domains() -> None:
    with torch.device("meta"):
        networks = (
            MappingNetwork(16, 512, 64, domains=3),
            StyleEncoder(256, 64, 512, 64, domains=3),
            Discriminator(256, 64, 512, domains=3),
        )
    counts = [sum(p.numel() for p in network.parameters()) for network in networks]
    assert counts == [3_259_072, 20_949_760, 20_852_803]


@pytest.mark.parametrize(("size", "count"), [(256, 53_041_795), (32, 47_888_899)])
def test_generator_with_four_bottleneck_blocks_is_cats_udts(size: int, count: int) -> None:
    widths = layer_widths(2**14 // size, 512, int(math.log2(size)) - 4)
    with torch.device("meta"):
        assert sum(p.numel() for p in Generator(widths, 4, 64).parameters()) == count


# -------------------------------------------------------------------------------------------------- networks


def norm(x: Tensor) -> Tensor:
    mean = x.mean(dim=(2, 3), keepdim=True)
    return (x - mean) / ((x - mean).square().mean(dim=(2, 3), keepdim=True) + 1e-5).sqrt()


def act(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def convolve(state: dict[str, Tensor], key: str, x: Tensor, padding: int = 1) -> Tensor:
    return F.conv2d(x, state[f"{key}.weight"], state.get(f"{key}.bias"), padding=padding)


def down(state: dict[str, Tensor], key: str, x: Tensor, normalised: bool, halve: bool) -> Tensor:
    def affine(h: Tensor, name: str) -> Tensor:
        if not normalised:
            return h
        return norm(h) * state[f"{key}.{name}.weight"][:, None, None] + state[f"{key}.{name}.bias"][:, None, None]

    h = convolve(state, f"{key}.conv1", act(affine(x, "norm1")))
    h = F.avg_pool2d(h, 2) if halve else h
    h = convolve(state, f"{key}.conv2", act(affine(h, "norm2")))
    short = convolve(state, f"{key}.conv1x1", x, padding=0) if f"{key}.conv1x1.weight" in state else x
    return ((F.avg_pool2d(short, 2) if halve else short) + h) / math.sqrt(2)


def up(state: dict[str, Tensor], key: str, x: Tensor, s: Tensor, double: bool) -> Tensor:
    def adain(h: Tensor, name: str) -> Tensor:
        both = s @ state[f"{key}.{name}.fc.weight"].T + state[f"{key}.{name}.fc.bias"]
        c = h.shape[1]
        return (1 + both[:, :c, None, None]) * norm(h) + both[:, c:, None, None]

    def enlarge(h: Tensor) -> Tensor:
        return h.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) if double else h

    h = convolve(state, f"{key}.conv1", enlarge(act(adain(x, "norm1"))))
    h = convolve(state, f"{key}.conv2", act(adain(h, "norm2")))
    short = enlarge(x)
    short = convolve(state, f"{key}.conv1x1", short, padding=0) if f"{key}.conv1x1.weight" in state else short
    return (short + h) / math.sqrt(2)


def reference_generator(state: dict[str, Tensor], x: Tensor, s: Tensor, downs: int, middle: int) -> Tensor:
    """The generator's table of layers; no tanh."""
    h = convolve(state, "from_rgb", x)
    for i in range(downs + middle):
        h = down(state, f"encode.{i}", h, normalised=True, halve=i < downs)
    for i in range(middle + downs):
        h = up(state, f"decode.{i}", h, s, double=i >= middle)
    h = norm(h) * state["to_rgb.0.weight"][:, None, None] + state["to_rgb.0.bias"][:, None, None]
    return convolve(state, "to_rgb.2", act(h), padding=0)


def reference_trunk(state: dict[str, Tensor], prefix: str, x: Tensor, downs: int) -> Tensor:
    """Sections 4 and 5: (B, C, 1, 1)."""
    h = convolve(state, f"{prefix}.0", x)
    for i in range(downs):
        h = down(state, f"{prefix}.{i + 1}", h, normalised=False, halve=True)
    return act(convolve(state, f"{prefix}.{downs + 2}", act(h), padding=0))


@pytest.mark.parametrize(("downs", "middle"), [(4, 2), (1, 2), (0, 1)])
def test_generator_equals_the_table(downs: int, middle: int) -> None:
    network = fill(Generator(layer_widths(2, 8, downs), middle, 5).double())
    x, s = numbers(1, 2, 3, 32, 32), numbers(2, 2, 5)
    expected = reference_generator(network.state_dict(), x, s, downs, middle)
    torch.testing.assert_close(network(x, s), expected, rtol=0, atol=EXACT)
    assert expected.abs().max() > 1  # not bounded


def test_generator_shares_the_content() -> None:
    network = fill(Generator([4, 8], 1, 5).double())
    assert isinstance(network, Generator)
    x, s = numbers(1, 2, 3, 16, 16), numbers(2, 2, 5)
    assert network.content(x).shape == (2, 8, 8, 8)
    assert torch.equal(network.render(network.content(x), s), network(x, s))


def test_mapping_network_equals_the_table() -> None:
    network = fill(MappingNetwork(6, 8, 5).double())
    state, z, y = network.state_dict(), numbers(1, 3, 6), [1, 0, 1]
    for row, domain in enumerate(y):
        h = z[row]
        for i in (0, 2, 4, 6):
            h = (state[f"shared.{i}.weight"] @ h + state[f"shared.{i}.bias"]).relu()
        for i in (0, 2, 4, 6):
            h = state[f"unshared.{domain}.{i}.weight"] @ h + state[f"unshared.{domain}.{i}.bias"]
            h = h.relu() if i < 6 else h
        torch.testing.assert_close(network(z, torch.tensor(y))[row], h, rtol=0, atol=EXACT)


@pytest.mark.parametrize("size", [8, 32])
def test_style_encoder_and_discriminator_equal_the_tables(size: int) -> None:
    downs = int(math.log2(size)) - 2
    encoder = fill(StyleEncoder(size, 4, 8, 5).double())
    judge = fill(Discriminator(size, 4, 8).double())
    x, y = numbers(1, 3, 3, size, size), torch.tensor([1, 0, 1])
    state = encoder.state_dict()
    h = reference_trunk(state, "shared", x, downs).flatten(1)
    expected = torch.stack(
        [
            state[f"unshared.{d}.weight"] @ row + state[f"unshared.{d}.bias"]
            for row, d in zip(h, y.tolist(), strict=True)
        ]
    )
    torch.testing.assert_close(encoder(x, y), expected, rtol=0, atol=EXACT)
    state = judge.state_dict()
    logits = convolve(state, f"main.{downs + 4}", reference_trunk(state, "main", x, downs), padding=0)
    torch.testing.assert_close(judge(x, y), logits[torch.arange(3), y, 0, 0], rtol=0, atol=EXACT)


def test_official_keys_are_those_of_the_spec() -> None:
    with torch.device("meta"):
        built = StarGANv2(StarGANv2Config(), 256)
    generator, encoder = set(built.generator.state_dict()), set(built.style_encoder.state_dict())
    assert {"from_rgb.weight", "to_rgb.0.weight", "to_rgb.2.bias", "encode.5.norm2.bias"} <= generator
    assert {"decode.0.norm1.fc.weight", "decode.5.norm2.fc.bias", "decode.3.conv1x1.weight"} <= generator
    assert "encode.3.conv1x1.weight" not in generator  # 512 -> 512
    assert "encode.0.conv1x1.bias" not in generator
    assert {"shared.0.weight", "shared.6.conv2.bias", "shared.8.weight", "unshared.1.bias"} <= encoder
    assert {"main.8.weight", "main.10.weight"} <= set(built.discriminator.state_dict())
    assert {"shared.6.weight", "unshared.1.6.bias"} <= set(built.mapping_network.state_dict())
