"""The cost of a step, counted without values, against that of a real one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tiny
import torch
from made_up_training import make
from peak_memory import held
from toys import Toy, ToyConfig

from bench.training.cost import cost_in_flops
from bench.training.step_cost import Product, StepCost, StepTimer, count_step, fill_optimizers
from methods.base import Translator, run_step

SIZE = 32


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in ("cyclegan", "cats_udt") else pytest.mark.slow) for name in tiny.METHODS],
)
def test_what_is_counted_is_what_a_real_step_computes(name: str) -> None:
    """Backward passes, gradient penalties and R1 included; nothing real is allocated or changed."""
    settings = {key: value for key, value in tiny.METHODS[name].items() if "." not in key}
    training = make(name, "paper", "pictures", SIZE, images=4, **settings)
    flops, _ = cost_in_flops(lambda: run_step(training.method, training.batch()))
    cls, config = type(training.method), training.method.config
    cost = count_step(lambda: cls(config, SIZE), SIZE)
    assert cost.flops == flops > 0
    assert cost.parameters == sum(training.method.parameter_counts().values())
    assert cost.images == training.method.images_per_step
    fill_optimizers(training.method)
    kept = held(training.method)
    assert cost.peak_bytes > kept["weights"] + kept["averages"] + kept["optimisers"]
    assert cost.flops == sum(product.flops * count for product, count in cost.products.items())


def toy(batch_size: int) -> Callable[[], Translator]:
    return lambda: Toy(ToyConfig(batch_size), 16)


def test_peaks_grow_by_the_same_bytes_for_every_image() -> None:
    first, second, third = (count_step(toy(size), 16).peak_bytes for size in (8, 16, 24))
    image = 3 * 16 * 16 * 4
    assert third - second == second - first > 8 * image  # the batch itself, and what the step makes of it


def test_a_method_that_needs_values_says_so() -> None:
    class Reading(Toy):
        def training_step(self, batch: Any) -> Any:
            if batch.x.mean() > 0:
                yield from super().training_step(batch)

    with pytest.raises(RuntimeError, match="_local_scalar_dense"):
        count_step(lambda: Reading(ToyConfig(), 16), 16)


def test_seconds_are_those_of_the_products_the_bytes_and_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two products of 1 s and 3 s, of which the second is too large to be timed: taken at the rate of the first."""
    small, large = Product("small", (), 10, 8), Product("large", (), 30, 1 << 40)
    cost = StepCost(
        flops=2 * 10 + 30, parameters=0, peak_bytes=0, images=1, products={small: 2, large: 1}, others=7, other_bytes=5
    )
    monkeypatch.setattr(Product, "call", lambda product, device: product)
    monkeypatch.setattr(StepTimer, "_best", lambda timer, call: {small: 1.0}[call])
    monkeypatch.setattr(StepTimer, "_memory_and_calls", lambda timer: (0.1, 0.01))
    timer = StepTimer(torch.device("cpu"))
    assert timer.step_seconds(cost) == pytest.approx(50 / 20 * 2 + 0.1 * 5 + 0.01 * (7 + 3))
    assert timer.seconds == {small: 1.0}


def test_products_can_be_computed_again() -> None:
    """Every convolution and its backward pass, from the shapes that were noted."""
    cost = count_step(toy(2), 16)
    for product in cost.products:
        product.call(torch.device("cpu"))()
    timer = StepTimer(torch.device("cpu"))
    assert timer.step_seconds(cost) > 0
    assert set(timer.seconds) == set(cost.products)
