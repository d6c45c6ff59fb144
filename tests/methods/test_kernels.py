"""The faster arrangements against PyTorch's own functions: values, gradients, gradients of gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from determined import fill, numbers
from torch import Tensor, nn

from methods.parts import kernels
from methods.parts.kernels import (
    InstanceNorm,
    WholeMapConv,
    adaptive_instance_norm_kernel,
    conv_pool_kernel,
    halve_kernel,
    instance_norm_kernel,
    upsample_conv_kernel,
)

EXACT = 1e-12
"""float64, sums of some hundred terms of order 1."""


@pytest.fixture(params=["cpu", "other devices"])
def arrangement(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU's sums, and those of other devices, which a CPU can form, too."""
    if request.param != "cpu":
        monkeypatch.setattr(kernels, "_on_cpu", lambda x: False)


def same(fast: Callable[..., Tensor], slow: Callable[..., Tensor], *inputs: Tensor) -> None:
    """Both functions of `inputs`, their gradients, and the gradients of a square of those of the first input."""
    results = []
    for function in (fast, slow):
        given = [x.clone().requires_grad_() for x in inputs]
        y = function(*given)
        upstream = numbers(3, *y.shape).requires_grad_()
        grads = torch.autograd.grad(y, given, upstream, create_graph=True)
        second = torch.autograd.grad(grads[0].square().sum(), [upstream, *given[1:]], materialize_grads=True)
        results.append([y, *grads, *second])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=EXACT)


@pytest.mark.usefixtures("arrangement")
@pytest.mark.parametrize("size", [8, 6])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("fast", "slow"),
    [
        (conv_pool_kernel, lambda convolution, x: F.avg_pool2d(convolution(x), 2)),
        (upsample_conv_kernel, lambda convolution, x: convolution(F.interpolate(x, scale_factor=2, mode="nearest"))),
    ],
    ids=["conv_then_pool", "upsample_then_conv"],
)
def test_convolutions_that_resample_equal_the_two_operations(fast: Any, slow: Any, size: int, bias: bool) -> None:
    """Zero padding included: at the border, the sums are of fewer pixels."""
    convolution = fill(nn.Conv2d(3, 5, 3, padding=1, bias=bias).double())
    names = [f"convolution.{name}" for name, _ in convolution.named_parameters()]

    def item(function: Any) -> Callable[..., Tensor]:
        composed = Composed(convolution, function)
        return lambda x, *given: torch.func.functional_call(composed, dict(zip(names, given, strict=True)), (x,))

    same(item(fast), item(slow), numbers(1, 2, 3, size, size), *(p.detach() for p in convolution.parameters()))


class Composed(nn.Module):
    """A function of a convolution and an image, as a module."""

    def __init__(self, convolution: nn.Module, function: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.convolution, self.function = convolution, function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.convolution, x)


@pytest.mark.usefixtures("arrangement")
def test_halve_is_average_pooling() -> None:
    same(halve_kernel, lambda x: F.avg_pool2d(x, 2), numbers(1, 2, 3, 8, 6))


@pytest.mark.usefixtures("arrangement")
def test_instance_norms() -> None:
    """Also far from 0: a mean of 100 standard deviations costs two digits of sixteen, squared in the variance."""
    x, weight, bias = numbers(1, 3, 4, 6, 5), numbers(2, 4), numbers(3, 4)
    same(instance_norm_kernel, F.instance_norm, x)
    same(instance_norm_kernel, lambda x, w, b: F.instance_norm(x, weight=w, bias=b), x, weight, bias)
    scale, shift = numbers(4, 3, 4), numbers(5, 3, 4)
    slow = lambda x, s, t: s[:, :, None, None] * F.instance_norm(x) + t[:, :, None, None]  # noqa: E731
    same(adaptive_instance_norm_kernel, slow, x, scale, shift)
    torch.testing.assert_close(instance_norm_kernel(x + 100), F.instance_norm(x), rtol=0, atol=1e-11)


def test_instance_norm_in_float32_is_as_exact_as_pytorchs() -> None:
    """Against float64; a channel 100 standard deviations from 0 loses two digits of seven."""
    x = numbers(1, 2, 8, 32, 32) + 100
    exact = F.instance_norm(x)
    ours, expected = (
        (norm(x.float()).double() - exact).abs().max() for norm in (instance_norm_kernel, F.instance_norm)
    )
    assert ours < max(2 * expected, 1e-5)


def test_images_do_not_depend_on_each_other() -> None:
    """To the bit: a translation must not depend on the batch it is in."""
    x, scale, shift = (numbers(i, 5, *shape).float() for i, shape in enumerate([(4, 8, 8), (4,), (4,)]))
    for rows in (slice(0, 1), slice(2, 5)):
        assert torch.equal(instance_norm_kernel(x)[rows], instance_norm_kernel(x[rows]))
        alone = adaptive_instance_norm_kernel(x[rows], scale[rows], shift[rows])
        assert torch.equal(adaptive_instance_norm_kernel(x, scale, shift)[rows], alone)


def test_instance_norm_module_has_the_keys_of_pytorchs() -> None:
    for affine in (False, True):
        ours, expected = InstanceNorm(4, affine=affine), nn.InstanceNorm2d(4, affine=affine)
        assert ours.state_dict().keys() == expected.state_dict().keys()
        x = numbers(1, 2, 4, 6, 6).float()
        torch.testing.assert_close(ours(x), expected(x))


def test_half_precision_scales_do_not_widen_or_break_a_norm() -> None:
    """As under autocast on the CPU, where a linear layer's output is bfloat16 and a sum's may be float32."""
    x, scale, shift = numbers(1, 2, 4, 6, 6).float(), numbers(2, 2, 4).bfloat16(), numbers(3, 2, 4).bfloat16()
    expected = adaptive_instance_norm_kernel(x, scale.float(), shift.float())
    torch.testing.assert_close(adaptive_instance_norm_kernel(x, scale, shift), expected)
    assert adaptive_instance_norm_kernel(x.bfloat16(), scale, shift).dtype == torch.bfloat16


@pytest.mark.parametrize("size", [1, 4])
def test_a_convolution_of_a_whole_map_is_one(size: int) -> None:
    layer = fill(WholeMapConv(3, 5, size).double())
    weight, bias = (p.detach() for p in layer.parameters())
    x = numbers(1, 2, 3, size, size)
    same(lambda x, w, b: torch.func.functional_call(layer, {"weight": w, "bias": b}, (x,)), F.conv2d, x, weight, bias)
    with pytest.raises(RuntimeError):
        layer(numbers(1, 2, 3, size + 1, size))
