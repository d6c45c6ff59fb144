"""Attributes that a method holds outside its registered state, and the difference of two states."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

RANDOM = (torch.Generator, np.random.Generator, np.random.RandomState, np.random.BitGenerator, random.Random)
DEEPEST = 6
"""Containers in containers are followed this far."""
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def state_attributes(method: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of all that is reachable from the method and in no state.

    These are plain attributes with their content, and buffers that are not persistent; modules and optimisers are not
    entered.
    """
    seen: set[int] = {id(module) for module in method.modules()}
    saved = method.state_dict().keys()
    yield from ((name, buffer) for name, buffer in method.named_buffers() if name not in saved)
    for prefix, module in method.named_modules():
        for name, value in vars(module).items():
            if name not in _OF_EVERY_MODULE:
                yield from _inside(f"{prefix}.{name}" if prefix else name, value, seen, 0)


def _inside(path: str, value: Any, seen: set[int], depth: int) -> Iterator[tuple[str, Any]]:
    if id(value) in seen or depth > DEEPEST or isinstance(value, type):
        return
    if not isinstance(value, int | float | str | bool | None):
        seen.add(id(value))
    yield path, value
    children: Mapping[Any, Any] = {}
    if isinstance(value, Mapping):
        children = value
    elif isinstance(value, list | tuple | set | frozenset | deque):
        children = dict(enumerate(value))
    elif _is_plain_object(value):
        children = vars(value)
    for name, child in children.items():
        yield from _inside(f"{path}.{name}", child, seen, depth + 1)


def _is_plain_object(value: Any) -> bool:
    """Whether it is worth looking into: an object of neither torch, numpy nor Python itself."""
    closed = isinstance(value, nn.Module | Tensor | Optimizer)
    return hasattr(value, "__dict__") and _foreign(value) and not closed


def _foreign(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] not in ("builtins", "torch", "numpy", "functools")


def state_fingerprint(value: Any) -> str:
    """A text that changes when `value` does; of a container its type and length alone."""
    if isinstance(value, Tensor):
        return f"tensor {tuple(value.shape)} {_digest(value)}"
    if isinstance(value, np.ndarray):
        return f"array {value.shape} {hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}"
    if isinstance(value, nn.Module):
        return "module " + " ".join(_digest(tensor) for tensor in value.state_dict().values())
    if isinstance(value, torch.Generator):
        return _digest(value.get_state())
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return repr(value.get_state())
    if isinstance(value, np.random.BitGenerator):
        return repr(value.state)
    if isinstance(value, random.Random):
        return repr(value.getstate())
    if isinstance(value, int | float | str | bool | None):
        return repr(value)
    return f"{type(value).__qualname__} {len(value) if hasattr(value, '__len__') else ''}"


def _digest(tensor: Tensor) -> str:
    values = tensor.detach().cpu().contiguous().reshape(-1)
    return hashlib.sha256(values.view(torch.uint8).numpy().tobytes()).hexdigest() if len(values) else ""


# --------------------------------------------------------------------------------------------------- differences


def state_difference(a: Any, b: Any) -> str:
    """Difference of two nested containers, in words; empty if they are equal, bit by bit for tensors."""
    left, right = dict(_leaves(a)), dict(_leaves(b))
    if left.keys() != right.keys():
        odd = sorted(left.keys() ^ right.keys())
        return f"{odd[0]} is in one of them only" + (f" (so are {len(odd) - 1} others)" if len(odd) > 1 else "")
    differing = [path for path in left if not _same(left[path], right[path])]
    if not differing:
        return ""
    path = differing[0]
    if not path:  # two tensors, and no containers
        return f"they differ {_gap(left[path], right[path])}"
    return f"{len(differing)} of {len(left)} values differ, the first is {path}: {_gap(left[path], right[path])}"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _leaves(child, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from _leaves(child, f"{path}[{index}]")
    else:
        yield path, value


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    return bool(type(a) is type(b) and a == b)


def _gap(a: Any, b: Any) -> str:
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        return f"{a!r:.60} and {b!r:.60}"
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{a.dtype} {tuple(a.shape)} and {b.dtype} {tuple(b.shape)}"
    return f"by up to {float((a.double() - b.double()).abs().max()):.2g}"
