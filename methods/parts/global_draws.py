"""A bridge for code that draws from the global generators of torch, numpy and Python.

The contract wants every number of a step drawn in `draw`, from the generator that it gets. Code that calls
`torch.randn`, `np.random.uniform` or dropout somewhere inside a forward pass is brought to that from outside:

    def draw(self, domains, rng, progress):
        return Batch(domains.sample(0, 8, rng), domains.sample(1, 8, rng), seed=draw_seed(rng))

    def training_step(self, batch):
        with global_draws(batch.seed):
            losses = self.their_code(batch.x, batch.y)  # every yield stands outside the `with`
        yield Phase(("generator",), losses)
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def draw_seed(rng: torch.Generator) -> Tensor:
    """A seed for `global_draws`, drawn from `rng`: 0-d int64, a field of the Batch like any other."""
    return torch.randint(2**31, (), generator=rng)


@contextmanager
def global_draws(seed: Tensor | torch.Generator | int) -> Iterator[None]:
    """Seed the global generators of torch (of every device), numpy and Python inside, and restore them after.

    `seed`: of `draw_seed`, a number in [0, 2**31), or the generator that `draw` was given, from which one is drawn.
    """
    number = int(draw_seed(seed)) if isinstance(seed, torch.Generator) else int(seed)
    python, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    cards = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    apple = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    with torch.random.fork_rng(devices=cards):
        torch.manual_seed(number)
        np.random.seed(number)  # noqa: NPY002
        random.seed(number)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)  # noqa: NPY002
            if apple is not None:
                torch.mps.set_rng_state(apple)
