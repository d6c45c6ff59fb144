"""The shared blocks against the arithmetic of the papers."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from determined import fill, numbers
from torch import Tensor, nn

from methods.parts.checks import load_checked, require
from methods.parts.layers import (
    AdaIN,
    DownBlock,
    UpBlock,
    he_init_layer,
    layer_widths,
    normal_init_layer,
    pick_layer,
    trunk_layers,
)
from methods.parts.losses import l1_loss, least_squares_loss, logistic_loss, r1_penalty

EXACT = 1e-12
"""float64, sums of some hundred terms of order 1."""


def instance_norm(x: Tensor) -> Tensor:
    """Written out: biased variance, eps 1e-5."""
    mean = x.mean(dim=(2, 3), keepdim=True)
    variance = (x - mean).square().mean(dim=(2, 3), keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


def adain(x: Tensor, s: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    both = s @ weight.T + bias
    gamma, beta = both[:, : x.shape[1], None, None], both[:, x.shape[1] :, None, None]
    return (1 + gamma) * instance_norm(x) + beta


def doubled(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def halved(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    return x.reshape(b, c, h // 2, 2, w // 2, 2).mean(dim=(3, 5))


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("c_out", [4, 6])
def test_down_block(normalise: bool, down: bool, c_out: int) -> None:
    """Trap: conv1 keeps c_in. Original order of the shortcut: 1x1, then pooling."""
    block = fill(DownBlock(4, c_out, normalise=normalise, down=down).double())
    state, x = block.state_dict(), numbers(1, 2, 4, 8, 8)

    def norm(h: Tensor, name: str) -> Tensor:
        if not normalise:
            return h
        return instance_norm(h) * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]

    h = F.conv2d(F.leaky_relu(norm(x, "norm1"), 0.2), state["conv1.weight"], state["conv1.bias"], padding=1)
    h = halved(h) if down else h
    h = F.conv2d(F.leaky_relu(norm(h, "norm2"), 0.2), state["conv2.weight"], state["conv2.bias"], padding=1)
    shortcut = F.conv2d(x, state["conv1x1.weight"]) if c_out != 4 else x
    expected = ((halved(shortcut) if down else shortcut) + h) / math.sqrt(2)
    torch.testing.assert_close(block(x), expected, rtol=0, atol=EXACT)
    assert state["conv1.weight"].shape == (4, 4, 3, 3)
    assert ("conv1x1.weight" in state) == (c_out != 4)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("c_out", [4, 3])
def test_up_block(up: bool, c_out: int) -> None:
    """Trap: conv1 goes to c_out, 1 + gamma. Original order of the shortcut: upsampling, then 1x1."""
    block = fill(UpBlock(4, c_out, 5, up=up).double())
    state, x, s = block.state_dict(), numbers(1, 2, 4, 8, 8), numbers(2, 2, 5)
    h = F.leaky_relu(adain(x, s, state["norm1.fc.weight"], state["norm1.fc.bias"]), 0.2)
    h = F.conv2d(doubled(h) if up else h, state["conv1.weight"], state["conv1.bias"], padding=1)
    h = F.leaky_relu(adain(h, s, state["norm2.fc.weight"], state["norm2.fc.bias"]), 0.2)
    h = F.conv2d(h, state["conv2.weight"], state["conv2.bias"], padding=1)
    shortcut = doubled(x) if up else x
    shortcut = F.conv2d(shortcut, state["conv1x1.weight"]) if c_out != 4 else shortcut
    torch.testing.assert_close(block(x, s), (shortcut + h) / math.sqrt(2), rtol=0, atol=EXACT)
    assert state["conv1.weight"].shape == (c_out, 4, 3, 3)


def test_adain_without_style_is_instance_norm() -> None:
    """gamma = 0 means a factor of 1."""
    layer = AdaIN(5, 4).double()
    nn.init.zeros_(layer.fc.weight)
    nn.init.zeros_(layer.fc.bias)
    x = 3 + 2 * numbers(1, 2, 4, 8, 8)
    torch.testing.assert_close(layer(x, numbers(2, 2, 5)), instance_norm(x), rtol=0, atol=EXACT)


def test_trunk_ends_at_one_pixel() -> None:
    """The last convolution is 4x4 without padding; the number of down blocks is log2(size) - 2."""
    for size, blocks in ((8, 1), (16, 2), (64, 4)):
        layers, width = trunk_layers(size, 4, 16)
        assert sum(isinstance(layer, DownBlock) for layer in layers) == blocks
        assert nn.Sequential(*layers)(torch.zeros(1, 3, size, size)).shape == (1, width, 1, 1)


def test_stage_widths_double_up_to_the_cap_but_keep_the_first() -> None:
    assert layer_widths(64, 512, 6) == [64, 128, 256, 512, 512, 512, 512]
    assert layer_widths(512, 128, 2) == [512, 128, 128]


def test_pick_takes_one_output_per_row_and_gives_the_others_a_zero_gradient() -> None:
    outputs = numbers(1, 3, 2, 4).requires_grad_()
    index = torch.tensor([1, 0, 1])
    picked = pick_layer(outputs, index)
    assert torch.equal(picked, torch.stack([outputs[0, 1], outputs[1, 0], outputs[2, 1]]))
    (gradient,) = torch.autograd.grad(picked.sum(), outputs)
    assert torch.equal(gradient[:, :, 0], torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64))


def test_initialisations() -> None:
    """Standard deviations of 147,456 weights: within 1 % of sqrt(2 / fan_in) and of 0.02."""
    torch.manual_seed(0)
    for init, layer, deviation in (
        (he_init_layer, nn.Conv2d(128, 128, 3), math.sqrt(2 / (128 * 9))),
        (he_init_layer, nn.Linear(384, 384), math.sqrt(2 / 384)),
        (normal_init_layer, nn.Conv2d(128, 128, 3), 0.02),
        (normal_init_layer, nn.ConvTranspose2d(128, 128, 3), 0.02),
    ):
        layer.apply(init)
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.01)
        assert layer.bias is not None
        assert layer.bias.abs().max() == 0


# ---------------------------------------------------------------------------------------------------- losses


def test_losses_in_closed_form() -> None:
    x = torch.tensor([0.0, 2.0], dtype=torch.float64)
    assert least_squares_loss(x, 1.0).item() == pytest.approx(1.0)  # ((0-1)^2 + (2-1)^2) / 2
    assert l1_loss(x, torch.tensor([1.0, -1.0], dtype=torch.float64)).item() == pytest.approx(2.0)
    assert logistic_loss(x, real=True).item() == pytest.approx((math.log(2) + math.log(1 + math.exp(-2))) / 2)
    assert logistic_loss(x, real=False).item() == pytest.approx((math.log(2) + math.log(1 + math.exp(2))) / 2)


def test_r1_of_a_quadratic_and_its_gradient() -> None:
    """D(x) = w |x|^2 / 2 has gradient w x: R1 = w^2 mean_b |x_b|^2 / 2 (factor 0.5, sum over pixels, mean over B)."""
    x = numbers(1, 3, 2, 4, 4).requires_grad_()
    w = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    penalty = r1_penalty(w * 0.5 * x.square().sum(dim=(1, 2, 3)), x)
    squares = x.detach().square().sum(dim=(1, 2, 3)).mean()
    torch.testing.assert_close(penalty, 0.5 * 1.5**2 * squares, rtol=1e-12, atol=0)
    penalty.backward()
    torch.testing.assert_close(w.grad, 1.5 * squares, rtol=1e-12, atol=0)


def test_losses_are_float32_for_half_precision_outputs() -> None:
    half = torch.full((4,), 0.3, dtype=torch.bfloat16)
    for loss in (l1_loss(half, -half), least_squares_loss(half, 1.0), logistic_loss(half, real=True)):
        assert loss.dtype == torch.float32


# ---------------------------------------------------------------------------------------------------- checks


def test_require_names_every_broken_rule() -> None:
    require("X", {"a >= 1": True})
    with pytest.raises(ValueError, match=r"X needs a >= 1; b < 2"):
        require("X", {"a >= 1": False, "c": True, "b < 2": False})


def test_load_networks_is_all_or_nothing_and_names_what_is_wrong() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    before = {key: value.clone() for key, value in first.state_dict().items()}
    good = {"weight": torch.ones(2, 2), "bias": torch.ones(2)}
    bad = {"weight": torch.ones(3, 2), "scale": torch.ones(2)}
    with pytest.raises(ValueError, match=r"(?s)two: missing bias.*two: unexpected scale.*two: weight is \(3, 2\)"):
        load_checked({"one": [first], "two": [second]}, {"one": good, "two": bad})
    assert all(torch.equal(before[key], value) for key, value in first.state_dict().items())
    with pytest.raises(ValueError, match=r"unknown network 'three'"):
        load_checked({"one": [first]}, {"three": good})
    with pytest.raises(ValueError, match="no network given"):
        load_checked({"one": [first]}, {})
    load_checked({"one": [first, second]}, {"one": good})
    assert torch.equal(first.weight, torch.ones(2, 2))
    assert torch.equal(second.bias, torch.ones(2))
