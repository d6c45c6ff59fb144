"""How conformance tells that something a method holds has changed, and in which words two states differ."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.checks.method_state import state_difference, state_fingerprint


@pytest.mark.parametrize(
    ("make", "use"),
    [
        (torch.Generator, lambda held: torch.rand(1, generator=held)),
        (lambda: np.random.default_rng(0), lambda held: held.random()),
        (lambda: np.random.RandomState(0), lambda held: held.rand()),
        (lambda: np.random.PCG64(0), lambda held: held.random_raw()),
        (lambda: random.Random(0), lambda held: held.random()),
        (lambda: torch.zeros(3), lambda held: held.add_(1)),
        (lambda: np.zeros(3)[::2], lambda held: held.__setitem__(1, 1.0)),
        (lambda: nn.BatchNorm1d(2), lambda held: held(torch.ones(4, 2))),
        (list, lambda held: held.append(0)),
    ],
)
def test_use_changes_the_fingerprint(make: Callable[[], Any], use: Callable[[Any], object]) -> None:
    """Randomness that a method keeps for itself is not in its checkpoint: a resumed run would go another way."""
    held, fresh = make(), make()
    if isinstance(held, nn.Module):
        fresh.load_state_dict(held.state_dict())
    before = state_fingerprint(held)
    assert state_fingerprint(held) == before == state_fingerprint(fresh)
    use(held)
    assert state_fingerprint(held) != before


def test_tensors_of_equal_bytes_and_other_shapes_differ() -> None:
    assert state_fingerprint(torch.zeros(2, 3)) != state_fingerprint(torch.zeros(3, 2))
    assert state_fingerprint(torch.zeros(0)) != state_fingerprint(torch.zeros(0, 2))
    assert len({state_fingerprint(value) for value in (0, 0.0, "0", False, None)}) == 5


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"w": [torch.ones(2), 1], "n": 3}, ""),
        ({"w": [torch.tensor([1.0, 1.5]), 1], "n": 3}, r"1 of 3 values differ, the first is w\[0\]: by up to 0\.5"),
        ({"w": [torch.ones(2), 1], "n": 3.0}, "1 of 3 values differ, the first is n: 3 and 3.0"),
        ({"w": [torch.ones(1, 2), 2], "n": 3}, r"2 of 3 .* w\[0\]: torch.float32 \(2,\) and torch.float32 \(1, 2\)"),
        ({"w": [torch.ones(2).double(), 1], "n": 3}, r"torch.float32 \(2,\) and torch.float64 \(2,\)"),
        ({"w": [torch.ones(2), 1]}, "n is in one of them only"),
        ({"w": [torch.ones(2)]}, r"n is in one of them only \(so are 1 others\)"),
    ],
)
def test_the_first_difference_is_told(other: object, words: str) -> None:
    found = state_difference({"w": [torch.ones(2), 1], "n": 3}, other)
    assert re.search(words, found) if words else not found, found
