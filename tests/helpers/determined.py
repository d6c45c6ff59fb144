"""Numbers that do not depend on any library's random generator: for stored values and for randomised weights."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from methods.base import Domains


def uniform(count: int, key: int) -> np.ndarray:
    """float64 (count,) in [-1, 1): a 32-bit integer hash of the index and `key`."""
    h = np.arange(count, dtype=np.uint32) ^ np.uint32((key * 0x9E3779B9) % 2**32)
    for _ in range(2):
        h = (h ^ (h >> np.uint32(16))) * np.uint32(0x045D9F3B)
    h ^= h >> np.uint32(16)
    return h.astype(np.float64) / 2**31 - 1


def numbers(tag: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """A tensor of `shape` in [-1, 1) that `tag` names."""
    return torch.from_numpy(uniform(math.prod(shape), 1000 + tag).reshape(shape)).to(dtype)


def fill(network: nn.Module, salt: int = 0) -> nn.Module:
    """Give every floating tensor a determined value that keeps the activations' scale, other ones for each `salt`.

    The stored values of CatS-UDT's tests belong to salt 0.
    """
    state = network.state_dict()
    for key, name in enumerate(sorted(name for name, value in state.items() if value.is_floating_point())):
        old = state[name]
        values = torch.from_numpy(uniform(old.numel(), key + 10_000 * salt)).reshape(old.shape)
        if old.ndim >= 2:
            values = values * math.sqrt(6 / math.prod(old.shape[1:]))
        else:
            values = 0.1 * values + (1.0 if name.endswith(("weight", "running_var")) else 0.0)
        state[name] = values.to(old.dtype)
    network.load_state_dict(state)
    return network


def domains(size: int, count: int = 12) -> Domains:
    """Two domains of `count` determined images: the second one brighter, so that mixing them up shows."""
    dark = (numbers(1, count, 3, size, size) * 60 + 70).to(torch.uint8)
    bright = (numbers(2, count, 3, size, size) * 60 + 185).to(torch.uint8)
    return Domains((dark, bright))
