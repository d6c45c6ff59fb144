"""MUNIT's networks: published parameter counts, official keys, an independent forward pass, the traps one by one."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from determined import fill, numbers
from torch import Tensor, nn

from methods.munit import MUNIT, AdaIN, Discriminator, Generator, LayerNorm, MUNITConfig

EXACT = 1e-10
"""float64, activations of order 1 to 10."""
State = dict[str, Tensor]


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def small(blocks: int = 2, width: int = 3) -> Generator:
    """Determined weights, float64. `fill` gives gammas around 0: these are made of order 1."""
    config = MUNITConfig(width=width, blocks=blocks, style_dim=5, mlp_width=7)
    network = fill(Generator(config).double())
    for name, value in network.state_dict().items():
        if name.endswith("gamma"):
            value.mul_(8)
    return network


# -------------------------------------------------------------------------------------- parameter counts, official keys


def test_published_parameter_counts() -> None:
    with torch.device("meta"):
        built = MUNIT(MUNITConfig(), 256)
    generator = built.generator_b
    assert count(generator.enc_style) == 2_764_936
    assert count(generator.enc_content) == 5_385_856
    assert count(generator.dec) == 5_754_627
    assert count(generator.mlp) == 1_120_768
    assert [count(network) for network in built.discriminator_a.cnns] == [2_757_057] * 3
    assert built.parameter_counts() == {
        "generator_a": 15_026_187,
        "generator_b": 15_026_187,
        "discriminator_a": 8_271_171,
        "discriminator_b": 8_271_171,
    }
    assert count(built) == 46_594_716


def test_parameter_counts_for_32_px() -> None:
    with torch.device("meta"):
        assert count(Generator(MUNITConfig(width=32))) == 4_079_883
        assert count(Discriminator(64, layers=4, scales=2)) == 5_514_114
        assert count(Discriminator(64, layers=3, scales=2)) == 1_318_274


def pair(name: str) -> set[str]:
    return {f"{name}.weight", f"{name}.bias"}


def test_keys_and_kernels_are_the_official_ones() -> None:
    with torch.device("meta"):
        generator, judge = Generator(MUNITConfig()).state_dict(), Discriminator(64, 4, 3).state_dict()
    expected = pair("enc_style.model.6")
    for i in range(5):
        expected |= pair(f"enc_style.model.{i}.conv")
    for i in range(3):
        expected |= pair(f"enc_content.model.{i}.conv") | pair(f"mlp.model.{i}.fc")
    for block in range(4):
        for i in (0, 1):
            expected |= pair(f"enc_content.model.3.model.{block}.model.{i}.conv")
            expected |= pair(f"dec.model.0.model.{block}.model.{i}.conv")
    for i in (2, 4):
        expected |= pair(f"dec.model.{i}.conv") | {f"dec.model.{i}.norm.gamma", f"dec.model.{i}.norm.beta"}
    expected |= pair("dec.model.5.conv")
    assert set(generator) == expected
    sides = {key: value.shape[-1] for key, value in generator.items() if value.ndim == 4}
    assert {sides[f"{part}.model.0.conv.weight"] for part in ("enc_style", "enc_content")} == {7}
    assert {sides[f"enc_content.model.{i}.conv.weight"] for i in (1, 2)} == {4}
    assert {sides[f"enc_style.model.{i}.conv.weight"] for i in (1, 2, 3, 4)} == {4}
    assert (sides["dec.model.2.conv.weight"], sides["dec.model.5.conv.weight"]) == (5, 7)
    assert generator["mlp.model.2.fc.weight"].shape == (4096, 256)
    expected = {key for s in range(3) for i in range(4) for key in pair(f"cnns.{s}.{i}.conv")}
    assert set(judge) == expected | pair("cnns.0.4") | pair("cnns.1.4") | pair("cnns.2.4")


# ------------------------------------------------------------------- an independent forward pass, from the tables alone


def convolve(state: State, key: str, x: Tensor, pad: int, stride: int = 1) -> Tensor:
    x = F.pad(x, (pad,) * 4, mode="reflect")
    return F.conv2d(x, state[f"{key}.weight"], state[f"{key}.bias"], stride=stride)


def instance_norm(x: Tensor) -> Tensor:
    mean = x.mean(dim=(2, 3), keepdim=True)
    return (x - mean) / ((x - mean).square().mean(dim=(2, 3), keepdim=True) + 1e-5).sqrt()


def reference_style(state: State, x: Tensor) -> Tensor:
    x = convolve(state, "enc_style.model.0.conv", x, pad=3).relu()
    for i in (1, 2, 3, 4):
        x = convolve(state, f"enc_style.model.{i}.conv", x, pad=1, stride=2).relu()
    pooled = x.mean(dim=(2, 3))
    return pooled @ state["enc_style.model.6.weight"][:, :, 0, 0].T + state["enc_style.model.6.bias"]


def reference_content(state: State, x: Tensor, blocks: int) -> Tensor:
    x = instance_norm(convolve(state, "enc_content.model.0.conv", x, pad=3)).relu()
    for i in (1, 2):
        x = instance_norm(convolve(state, f"enc_content.model.{i}.conv", x, pad=1, stride=2)).relu()
    for block in range(blocks):
        key = f"enc_content.model.3.model.{block}.model"
        inner = instance_norm(convolve(state, f"{key}.0.conv", x, pad=1)).relu()
        x = x + instance_norm(convolve(state, f"{key}.1.conv", inner, pad=1))  # and no ReLU
    return x


def reference_decode(state: State, content: Tensor, style: Tensor, blocks: int) -> Tensor:
    h = style
    for i in (0, 1, 2):
        h = h @ state[f"mlp.model.{i}.fc.weight"].T + state[f"mlp.model.{i}.fc.bias"]
        h = h.relu() if i < 2 else h
    channels, x = content.shape[1], content

    def adain(y: Tensor, layer: int) -> Tensor:
        start = 2 * channels * layer
        shift = h[:, start : start + channels, None, None]
        scale = h[:, start + channels : start + 2 * channels, None, None]
        return scale * instance_norm(y) + shift

    for block in range(blocks):
        key = f"dec.model.0.model.{block}.model"
        inner = adain(convolve(state, f"{key}.0.conv", x, pad=1), 2 * block).relu()
        x = x + adain(convolve(state, f"{key}.1.conv", inner, pad=1), 2 * block + 1)
    for i in (2, 4):
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        x = convolve(state, f"dec.model.{i}.conv", x, pad=2)
        rows = []
        for sample in x:
            std = math.sqrt((sample - sample.mean()).square().sum().item() / (sample.numel() - 1))
            gamma, beta = (state[f"dec.model.{i}.norm.{name}"][:, None, None] for name in ("gamma", "beta"))
            rows.append((sample - sample.mean()) / (std + 1e-5) * gamma + beta)
        x = torch.stack(rows).relu()
    return convolve(state, "dec.model.5.conv", x, pad=3).tanh()


def halved(x: Tensor) -> Tensor:
    """Mean over the part of a 3x3 window, stride 2, that lies inside the image."""
    _, _, height, width = x.shape
    rows = []
    for top in range(-1, height - 1, 2):
        row = []
        for left in range(-1, width - 1, 2):
            window = x[:, :, max(top, 0) : top + 3, max(left, 0) : left + 3]
            row.append(window.mean(dim=(2, 3)))
        rows.append(torch.stack(row, dim=-1))
    return torch.stack(rows, dim=-2)


def reference_discriminator(state: State, x: Tensor, layers: int, scales: int) -> list[Tensor]:
    maps = []
    for s in range(scales):
        h = x
        for i in range(layers):
            h = F.leaky_relu(convolve(state, f"cnns.{s}.{i}.conv", h, pad=1, stride=2), 0.2)
        maps.append(convolve(state, f"cnns.{s}.{layers}", h, pad=0))
        x = halved(x)
    return maps


def close(ours: Tensor, expected: Tensor) -> None:
    assert expected.abs().max() > 0.01  # else everything would be close
    torch.testing.assert_close(ours, expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize("blocks", [2, 4])
@torch.no_grad()
def test_generator_equals_the_tables(blocks: int) -> None:
    network = small(blocks)
    state, x, style = network.state_dict(), numbers(1, 2, 3, 16, 20), numbers(2, 2, 5)
    close(network.enc_style(x), reference_style(state, x))
    content = network.enc_content(x)
    assert content.shape == (2, 12, 4, 5)
    close(content, reference_content(state, x, blocks))
    close(network.decode(content, style), reference_decode(state, content, style, blocks))


@pytest.mark.parametrize(
    ("size", "layers", "scales", "sides"), [(256, 4, 3, [16, 8, 4]), (32, 4, 2, [2, 1]), (32, 3, 2, [4, 2])]
)
@torch.no_grad()
def test_discriminator_equals_the_table(size: int, layers: int, scales: int, sides: list[int]) -> None:
    network = fill(Discriminator(2, layers, scales).double())
    x = numbers(1, 2, 3, size, size)
    expected = reference_discriminator(network.state_dict(), x, layers, scales)
    maps = network(x)
    assert [scores.shape for scores in maps] == [(2, 1, side, side) for side in sides]
    for ours, reference in zip(maps, expected, strict=True):
        close(ours, reference)


# -------------------------------------------------------------------------------------------------- the traps, by value


def test_adain_takes_the_shift_first_and_the_scale_as_it_is() -> None:
    """x = -1, 1, -1, 1 has mean 0 and biased variance 1: y = scale * x / sqrt(1 + 1e-5) + shift."""
    x = torch.tensor([-1.0, 1.0, -1.0, 1.0], dtype=torch.float64).reshape(1, 1, 2, 2).repeat(2, 2, 1, 1)
    parameters = torch.tensor([[10.0, 20.0, 3.0, 0.0], [0.0, 0.0, 1.0, 7.0]], dtype=torch.float64)
    y = AdaIN()(x, parameters)
    unit = 1 / math.sqrt(1 + 1e-5)
    expected = [[10 - 3 * unit, 10 + 3 * unit, 20, 20], [-unit, unit, -7 * unit, 7 * unit]]
    ours = y[:, :, 0, :].flatten(1)
    torch.testing.assert_close(ours, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


def test_layer_norm_is_unbiased_with_eps_on_the_deviation() -> None:
    """-a, a, -a, a over two channels: unbiased std 2a / sqrt(3), and 1e-5 is added to it. Here a = 1e-5 sqrt(3)."""
    norm = LayerNorm(2).double()
    norm.load_state_dict({"gamma": torch.tensor([1.0, 0.5]), "beta": torch.tensor([0.0, 4.0])})
    a = 1e-5 * math.sqrt(3)
    x = 5 + torch.tensor([-a, a, -a, a], dtype=torch.float64).reshape(1, 2, 1, 2)
    unit = math.sqrt(3) / 3  # a / (2e-5 + 1e-5)
    expected = torch.tensor([-unit, unit, 4 - unit / 2, 4 + unit / 2], dtype=torch.float64)
    torch.testing.assert_close(norm(x).flatten(), expected, rtol=0, atol=1e-9)  # 5 +- a costs five digits


def test_layer_norm_is_per_sample_over_all_channels() -> None:
    """A channel that is twice as large stays twice as large: instance norm would make them equal."""
    norm = LayerNorm(2).double()
    nn.init.ones_(norm.gamma)
    x = numbers(1, 2, 1, 8, 8) - numbers(1, 2, 1, 8, 8).mean(dim=(2, 3), keepdim=True)
    y = norm(torch.cat([x, 2 * x], dim=1))
    torch.testing.assert_close(y[:, 1], 2 * y[:, 0])
    torch.testing.assert_close(norm(torch.cat([x, 2 * x], dim=1)[1:]), y[1:])


def test_discriminator_reflects_at_the_border() -> None:
    """A constant image then has a constant map; zeros at the border would show."""
    network = fill(Discriminator(4, 3, 2))
    for scores in network(torch.full((1, 3, 64, 64), 0.7)):
        assert scores.shape[-1] > 2
        torch.testing.assert_close(scores, scores[:, :, :1, :1].expand_as(scores))


def test_style_encoder_keeps_what_a_norm_would_erase() -> None:
    """A constant image: instance norm would map all of them to one code."""
    network = small().enc_style
    dark, bright = (network(torch.full((1, 3, 16, 16), level, dtype=torch.float64)) for level in (0.2, 0.9))
    assert (dark - bright).abs().max() > 0.01


def test_initialisation() -> None:
    """Kaiming (fan_in, gain sqrt 2) in the generators, Normal(0, 0.02) in the discriminators, U(0, 1) for gamma.

    Standard deviations over at least 4,608 numbers: within 5 %.
    """
    torch.manual_seed(0)
    built = MUNIT(MUNITConfig(width=32, discriminator_width=32), 64)
    for name, parameter in ((name, p.detach()) for name, p in built.named_parameters()):
        if name.endswith(("bias", "beta")):
            assert torch.all(parameter == 0)
        elif name.endswith("gamma"):
            assert parameter.min() >= 0
            assert parameter.max() <= 1
            assert 0.35 < parameter.mean() < 0.65
            assert parameter.std() == pytest.approx(math.sqrt(1 / 12), rel=0.3)
        elif parameter.numel() >= 4_608:
            fan_in = parameter[0].numel()
            expected = math.sqrt(2 / fan_in) if name.startswith("generator") else 0.02
            assert parameter.std() == pytest.approx(expected, rel=0.05)
            assert abs(parameter.mean()) < 0.1 * expected
