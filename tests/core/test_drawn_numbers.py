"""What is drawn does not depend on the version of a library: first numbers of every kind of draw that is used, stored.

Recorded with torch 2.14.1 and numpy 2.4.6, and the same with torch 2.11.0 and numpy 2.0.0. Where a test fails with
another version, results with that version are not comparable: draw those numbers by a formula of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.core.randomness import randomness, seeded
from methods.parts.layers import truncated_normal_

COUNT = 1000
"""Numbers that are drawn; fewer than 16 and more take different ways through torch."""


def _filled(fill: Callable[[torch.Tensor], Any]) -> torch.Tensor:
    weight = torch.empty(40, 25)
    with seeded("test"):
        fill(weight)
    return weight.flatten()


def _dropped() -> torch.Tensor:
    with seeded("test"):
        return nn.functional.dropout(torch.ones(COUNT))


TORCH: dict[str, Callable[[], torch.Tensor]] = {
    "rand": lambda: torch.rand(COUNT, generator=randomness("test")),
    "randn": lambda: torch.randn(COUNT, generator=randomness("test")),
    "randn, few": lambda: torch.randn(8, generator=randomness("test")),
    "randint": lambda: torch.randint(1000, (COUNT,), generator=randomness("test")),
    "randperm": lambda: torch.randperm(COUNT, generator=randomness("test")),
    "uniform_": lambda: _filled(nn.init.xavier_uniform_),
    "normal_": lambda: _filled(nn.init.kaiming_normal_),
    "truncated_normal_": lambda: _filled(lambda weight: truncated_normal_(weight, 1.0)),
    "dropout": _dropped,
}
NUMPY: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "random": lambda rng: rng.random(COUNT),
    "uniform": lambda rng: rng.uniform(-1.0, 1.0, COUNT),
    "normal": lambda rng: rng.normal(0.0, 1.0, COUNT),
    "standard_normal": lambda rng: rng.standard_normal(COUNT),
    "integers": lambda rng: rng.integers(0, 1000, COUNT),
    "permutation": lambda rng: rng.permutation(COUNT),
    "choice": lambda rng: rng.choice(np.arange(COUNT), COUNT),
    "choice, without replacement": lambda rng: rng.choice(COUNT, 100, replace=False),
}

STORED: dict[str, tuple[float, float, float]] = {
    "torch rand": (0.9142782, 0.1935143, 251.1054),
    "torch randn": (0.7291467, -0.6648943, -4.957072),
    "torch randn, few": (-0.2024438, 0.2895888, 1.193242),
    "torch randint": (787, 304, 248985.7),
    "torch randperm": (787, 7, 253450.6),
    "torch uniform_": (0.2517335, -0.186234, 0.8235852),
    "torch normal_": (0.2062338, -0.1880605, -1.402072),
    "torch truncated_normal_": (0.7291467, -0.6648943, -12.02388),
    "torch dropout": (2, 2, 484.476),
    "numpy random": (0.08564917, 0.5307114, 246.8271),
    "numpy uniform": (-0.8287017, 0.06142282, -5.845733),
    "numpy normal": (2.040919, -2.851039, 16.84106),
    "numpy standard_normal": (2.040919, -2.851039, 16.84106),
    "numpy integers": (811, 753, 242715.2),
    "numpy permutation": (334, 760, 248806.9),
    "numpy choice": (811, 753, 242715.2),
    "numpy choice, without replacement": (477, 948, 23480.45),
}
"""Name -> first number, last number, and the sum of all times their places, over how many there are."""


def _summary(drawn: np.ndarray) -> tuple[float, float, float]:
    drawn = drawn.astype(np.float64)
    return float(drawn[0]), float(drawn[-1]), float(drawn @ np.arange(len(drawn)) / len(drawn))


@pytest.mark.parametrize("name", TORCH)
def test_torch_draws_the_stored_numbers(name: str) -> None:
    assert _summary(TORCH[name]().numpy()) == pytest.approx(STORED[f"torch {name}"], rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("name", NUMPY)
def test_numpy_draws_the_stored_numbers(name: str) -> None:
    found = _summary(NUMPY[name](np.random.default_rng(3)))
    assert found == pytest.approx(STORED[f"numpy {name}"], rel=1e-5, abs=1e-4)


def test_a_truncated_normal_is_one() -> None:
    weight = torch.empty(200_000)
    with seeded("test"):
        truncated_normal_(weight, 0.02)
    assert weight.abs().max() <= 0.04
    assert weight.abs().max() > 0.0399
    # Closed form: variance 1 - 4 phi(2) / (Phi(2) - Phi(-2)).
    assert weight.std().item() == pytest.approx(0.02 * 0.77374**0.5, rel=0.01)
    assert weight.mean().item() == pytest.approx(0.0, abs=2e-4)


@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 14), reason="torch's own draws otherwise before 2.14"
)
@pytest.mark.parametrize("count", [1, 5, 16, 1000])
def test_a_truncated_normal_takes_as_much_from_the_generator_as_results_so_far_did(count: int) -> None:
    expected, drawn = torch.empty(count), torch.empty(count)
    with seeded("test", count):
        nn.init.trunc_normal_(expected, std=0.02, a=-0.04, b=0.04)
        after = torch.rand(1)
    with seeded("test", count):
        truncated_normal_(drawn, 0.02)
        assert torch.equal(torch.rand(1), after)
    assert torch.equal(drawn, expected)
