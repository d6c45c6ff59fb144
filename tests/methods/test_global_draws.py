"""`global_draws`: what is drawn inside follows the seed, and what is drawn after it is as if nothing had been."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from methods.parts.global_draws import draw_seed, global_draws


def drawn() -> tuple[float, float, float]:
    return float(torch.rand(())), float(np.random.rand()), random.random()  # noqa: NPY002


def test_what_is_drawn_follows_the_seed_and_nothing_else_does() -> None:
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    drawn()
    undisturbed = drawn()
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    drawn()
    with global_draws(11):
        first = drawn()
    assert drawn() == undisturbed
    with global_draws(torch.tensor(11)):
        assert drawn() == first
    with global_draws(12):
        others = drawn()
    assert all(a != b for a, b in zip(first, others, strict=True))


def test_a_generator_leads_it_and_moves_on() -> None:
    rng = torch.Generator().manual_seed(5)
    with global_draws(rng):
        first = drawn()
    with global_draws(rng):
        assert drawn() != first
    again = torch.Generator().manual_seed(5)
    with global_draws(draw_seed(again)):
        assert drawn() == first


def test_an_error_inside_restores_them_too() -> None:
    random.seed(4)
    expected = random.random()
    random.seed(4)
    with pytest.raises(ZeroDivisionError), global_draws(1):
        print(drawn()[0] / 0)
    assert random.random() == expected
