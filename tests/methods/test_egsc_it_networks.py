"""EGSC-IT's networks against plain functions written from the tables of layers, and its checkpoints."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from determined import fill, numbers
from egsc_it_names import official_name
from torch import Tensor

from methods.base import Domains
from methods.egsc_it import EGSCIT, SCOPES, EGSCITConfig
from methods.egsc_it_autoencoder import (
    Autoencoder,
    Autoencoders,
    Deconvolution,
    Discriminator,
    autoencoder_blocks,
    encoder_of_autoencoder,
    generator_of_autoencoder,
)

EXACT = 1e-12
"""float64, activations of order 1."""
State = dict[str, Tensor]


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def reflected(state: State, key: str, x: Tensor, stride: int = 1) -> Tensor:
    """Valid convolution of an image with mirrored borders."""
    weight = state[f"{key}.weight"]
    by = weight.shape[-1] // 2
    return F.conv2d(F.pad(x, (by,) * 4, mode="reflect"), weight, state[f"{key}.bias"], stride=stride)


def residual_block(state: State, key: str, x: Tensor) -> Tensor:
    return x + reflected(state, f"{key}.res2", reflected(state, f"{key}.res1", x).clamp_min(0))


def same_deconvolution(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """TensorFlow's: the gradient of its "same" 3x3 convolution of stride 2 with regard to that one's input.

    That convolution of an image of side 2h reads the pixels 2i, 2i + 1, 2i + 2 (of one padded at its end) for its
    output i. (B, in, h, w), (kh, kw, out, in), (out,) -> (B, out, 2h, 2w), sum by sum.
    """
    batch, _, height, width = x.shape
    padded = np.zeros((batch, kernel.shape[2], 2 * height + 1, 2 * width + 1))
    for i in range(height):
        for j in range(width):
            for y in range(3):
                for z in range(3):
                    padded[:, :, 2 * i + y, 2 * j + z] += x[:, :, i, j] @ kernel[y, z].T
    return padded[:, :, :-1, :-1] + bias[:, None, None]


def reference_encoder(state: State, x: Tensor, stages: int) -> Tensor:
    """The encoder's layers: k7, then k3 of stride 2, leaky ReLU after each; three residual blocks."""
    x = leaky(reflected(state, "conv_0", x))
    for i in range(1, stages):
        x = leaky(reflected(state, f"conv_{i}", x, stride=2))
    for i in range(3):
        x = residual_block(state, f"resblock_{i}", x)
    return x


def reference_generator(state: State, x: Tensor, stages: int) -> Tensor:
    """The generator's layers after the mask and style step."""
    for i in range(3):
        x = residual_block(state, f"resblock_{i}", x)
    for i in range(stages - 1):
        kernel = state[f"deconv_{i}.weight"].permute(2, 3, 1, 0).numpy()
        x = leaky(torch.from_numpy(same_deconvolution(x.numpy(), kernel, state[f"deconv_{i}.bias"].numpy())))
    weight = state["deconv_tanh.weight"][:, :, 0, 0]
    return (torch.einsum("bihw,io->bohw", x, weight) + state["deconv_tanh.bias"][:, None, None]).tanh()


def reference_discriminator(state: State, x: Tensor, layers: int) -> Tensor:
    """The discriminator: "same" zero padding, doubled activations, affine instance norm between them, a leaky score."""
    for i in range(layers):
        height, width = x.shape[2:]
        down, across = (4 - 2 if side % 2 == 0 else 4 - 1 for side in (height, width))  # what "same" pads in all
        x = F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
        x = leaky(F.conv2d(x, state[f"conv_{i}.weight"], state[f"conv_{i}.bias"], stride=2))
        if i > 0:
            mean = x.mean(dim=(2, 3), keepdim=True)
            variance = (x - mean).square().mean(dim=(2, 3), keepdim=True)
            gamma, beta = (state[f"ins_norm_{i}.{name}"][:, None, None] for name in ("weight", "bias"))
            x = gamma * (x - mean) / (variance + 1e-5).sqrt() + beta
        x = leaky(x)
    return leaky(F.conv2d(x, state["dis_logit.weight"], state["dis_logit.bias"]))


def state_of(network: torch.nn.Module) -> State:
    return {key: value.detach() for key, value in network.state_dict().items()}


# -------------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_encoder_and_generator_equal_the_tables(stages: int) -> None:
    first, last = fill(encoder_of_autoencoder(3, stages).double()), fill(generator_of_autoencoder(3, stages).double())
    x, h = numbers(1, 2, 3, 16, 20), numbers(2, 2, 3 * 2 ** (stages - 1), 16 // 2 ** (stages - 1), 4)
    with torch.no_grad():
        torch.testing.assert_close(first(x), reference_encoder(state_of(first), x, stages), rtol=0, atol=EXACT)
        torch.testing.assert_close(last(h), reference_generator(state_of(last), h, stages), rtol=0, atol=EXACT)
        assert first(x).shape == (2, 3 * 2 ** (stages - 1), 16 // 2 ** (stages - 1), 20 // 2 ** (stages - 1))
        assert last(h).shape == (2, 3, 16, 4 * 2 ** (stages - 1))


def test_a_shared_network_is_one_residual_block() -> None:
    network, x = fill(autoencoder_blocks(4).double()), numbers(1, 2, 4, 5, 6)
    with torch.no_grad():
        expected = residual_block(state_of(network), "resblock_0", x)
        torch.testing.assert_close(network(x), expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize(
    ("size", "layers", "sides"), [(28, 4, [14, 7, 4, 2]), (256, 4, [128, 64, 32, 16]), (16, 3, [8, 4, 2])]
)
def test_discriminator_equals_the_table(size: int, layers: int, sides: list[int]) -> None:
    network = fill(Discriminator(2, layers).double())
    found: list[int] = []
    for i in range(layers):
        network.get_submodule(f"conv_{i}").register_forward_hook(lambda m, x, y: found.append(y.shape[-1]))
    x = numbers(1, 1, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(
            network(x), reference_discriminator(state_of(network), x, layers), rtol=0, atol=EXACT
        )
    assert found == sides


def test_first_layers_net_slope_is_a_twenty_fifth() -> None:
    """One layer, a constant image: the score is 0.2 * 0.2 * 0.2 times the negative sum of the kernel."""
    network = Discriminator(1, 1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.get_submodule("conv_0").bias.fill_(-1.0)  # type: ignore[union-attr, operator]
        network.dis_logit.weight.fill_(1.0)
        assert network(torch.zeros(1, 3, 4, 4)).flatten().tolist() == pytest.approx([-0.008] * 4)


def test_transposed_convolution_is_tensorflows() -> None:
    """Against the definition, with a kernel in TensorFlow's order; and against the gradient of the convolution."""
    network, x = Deconvolution(2, 3).double(), numbers(1, 2, 2, 4, 5)
    kernel, bias = numbers(2, 3, 3, 3, 2), numbers(3, 3)
    with torch.no_grad():
        network.weight.copy_(kernel.permute(3, 2, 0, 1))
        assert network.bias is not None
        network.bias.copy_(bias)
        expected = leaky(torch.from_numpy(same_deconvolution(x.numpy(), kernel.numpy(), bias.numpy())))
        torch.testing.assert_close(network(x), expected, rtol=0, atol=EXACT)
    image = torch.zeros(2, 3, 8, 10, dtype=torch.float64, requires_grad=True)
    forward = F.conv2d(F.pad(image, (0, 1, 0, 1)), kernel.permute(3, 2, 0, 1), stride=2)
    (gradient,) = torch.autograd.grad(forward, image, x)
    torch.testing.assert_close(leaky(gradient + bias[:, None, None]), expected, rtol=0, atol=EXACT)


def test_autoencoder_gives_reconstruction_and_noisy_latent() -> None:
    network = fill(Autoencoder(2, 2).double())
    x, noise = numbers(1, 2, 3, 8, 8), numbers(2, 2, 4, 4, 4)
    state = state_of(network)
    part = {name: {k.removeprefix(f"{name}."): v for k, v in state.items()} for name in ("encoder", "generator")}
    with torch.no_grad():
        h = residual_block(state, "inner.resblock_0", reference_encoder(part["encoder"], x, 2)) + noise
        expected = reference_generator(part["generator"], residual_block(state, "outer.resblock_0", h), 2)
        found, latent = network(x, noise)
        torch.testing.assert_close(latent, h, rtol=0, atol=EXACT)
        torch.testing.assert_close(found, expected, rtol=0, atol=EXACT)


# ----------------------------------------------------------------------------------------- parameter counts


@pytest.mark.parametrize(
    ("stages", "size", "encoders", "shared", "generators", "trained", "stage_2", "stage_1", "stage_1_graph"),
    [
        (3, 256, 3_918_976, 1_180_160, 3_909_507, 18_017_286, 31_372_936, 20_377_606, 25_895_304),
        (1, 28, 231_040, 73_856, 221_763, 1_053_318, 7_033_096, 1_201_030, 6_718_728),
    ],
)
def test_parameter_counts_are_the_official_ones(
    stages: int, size: int, encoders: int, shared: int, generators: int, trained: int, stage_2: int, stage_1: int,
    stage_1_graph: int,
) -> None:  # fmt: skip
    with torch.device("meta"):
        built = EGSCIT(EGSCITConfig(stages=stages), size)
        images = torch.zeros(1, 3, size, size, dtype=torch.uint8)
        first = Autoencoders(built.config.of_autoencoders, Domains((images, images)))
    counts = built.parameter_counts()
    assert counts == {
        "encoder_a": encoders, "encoder_b": encoders, "share_encoder": shared, "share_generator": shared,
        "generator_a": generators, "generator_b": generators,
        "discriminator_a": 2_758_849, "discriminator_b": 2_758_849,
    }  # fmt: skip
    assert sum(n for name, n in counts.items() if not name.startswith("discriminator")) == trained
    assert sum(p.numel() for p in built.parameters()) == stage_2
    inference = sum(p.numel() for n, p in built.named_parameters() if not n.startswith("discriminator"))
    assert inference == {3: 25_855_238, 1: 1_515_398}[stages]
    assert sum(p.numel() for p in [*first.autoencoder_a.parameters(), *first.autoencoder_b.parameters()]) == stage_1
    assert sum(p.numel() for p in first.parameters()) == stage_1_graph


# ----------------------------------------------------------------------------------------------- checkpoints


def small(stages: int = 2) -> EGSCIT:
    return EGSCIT(EGSCITConfig(width=2, discriminator_width=2, stages=stages), 32)


def checkpoint(stages: int = 2) -> tuple[EGSCIT, dict[str, Tensor]]:
    """A filled method, and its parameters under the official names in TensorFlow's layout, with optimiser slots."""
    source, variables = small(stages), {}
    for salt, network in enumerate(SCOPES.values()):
        for key, value in fill(getattr(source, network), salt).state_dict().items():
            name = official_name(network, key)
            variables[name] = value.permute(2, 3, 1, 0).contiguous() if value.ndim == 4 else value
            variables[f"{name}/Adam"] = torch.zeros(2)
            variables[f"{name}/Adam_1"] = torch.zeros(2)
    extra = ("beta1_power", "beta2_power_1", "global_step", "UNIT/beta1_power")
    return source, {**variables, **{name: torch.tensor(1.0) for name in extra}}


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_official_checkpoints_load(stages: int) -> None:
    source, variables = checkpoint(stages)
    assert "UNIT/encoder_A/conv_0/conv2d/kernel" in variables
    assert "UNIT/share_encoder/resblock_0/res1/conv2d/bias" in variables
    assert "UNIT/generator_B/deconv_tanh/conv2d_transpose/kernel" in variables
    assert "UNIT/discriminator_A/ins_norm_1/gamma" in variables
    assert "VAEGAN_recon_B/part1/resblock_2/res2/conv2d/kernel" in variables
    assert variables["UNIT/encoder_A/conv_0/conv2d/kernel"].shape == (7, 7, 3, 2)
    assert variables["UNIT/generator_A/deconv_tanh/conv2d_transpose/kernel"].shape == (1, 1, 3, 2)
    built = small(stages)
    built.load_official({"model": variables})
    for key, value in source.state_dict().items():
        assert torch.equal(built.state_dict()[key], value), key


def test_official_checkpoints_load_whole_or_not_at_all() -> None:
    _, variables = checkpoint()
    built = small()
    before = {key: value.clone() for key, value in built.state_dict().items()}
    kernel = "UNIT/encoder_A/conv_0/conv2d/kernel"
    without = {key: value for key, value in variables.items() if key != kernel}
    cases = [
        (without, r"UNIT/encoder_A: missing conv_0\.weight"),
        ({**variables, "UNIT/encoder_A/conv_9/conv2d/bias": torch.zeros(1)}, r"unexpected conv_9\.bias"),
        ({**variables, "UNIT/other_A/bias": torch.zeros(1)}, "unknown network 'UNIT/other_A/bias'"),
        ({**variables, kernel: variables[kernel].permute(3, 2, 0, 1)}, r"conv_0\.weight is \(7, 7, 2, 3\)"),
    ]
    for state, message in cases:
        with pytest.raises(ValueError, match=message):
            built.load_official({"model": state})
    with pytest.raises(ValueError, match="no network given"):
        built.load_official({})
    with pytest.raises(ValueError, match="unknown network 'other'"):
        built.load_official({"model": variables, "other": {}})
    assert all(torch.equal(built.state_dict()[key], value) for key, value in before.items())
