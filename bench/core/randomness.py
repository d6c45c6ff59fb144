"""Random numbers of a run, all derived from (seed, stream, step); none is inherited from a global generator."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derived_seed(*parts: int | str) -> int:
    """A 63-bit seed from `parts` by a hash that is the same on every machine, process and Python version."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def randomness(*parts: int | str) -> torch.Generator:
    """A fresh CPU generator for `parts`. CPU whatever the device: the same numbers on every machine."""
    import torch

    return torch.Generator().manual_seed(derived_seed(*parts))


@contextmanager
def seeded(*parts: int | str) -> Iterator[None]:
    """Seed torch's global CPU generator from `parts` inside the context (for constructors), and restore it after."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(*parts))
        yield
