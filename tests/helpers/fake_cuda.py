"""A GPU that is not there: fake tensors carry shapes, types and devices through a method, and no values.

What they cannot do, and what stands in its place here: the backward pass (autograd asks the driver for the device), so
gradients of a penalty (`torch.autograd.grad` inside a forward pass) are zeros of the right shape; what a number decides
(rejected draws, clusters that are counted), which is given. What reads a value from the device fails by itself; copies
to the CPU are counted by `host_copies`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode

from methods.base import Domains, Stage, Translator
from methods.parts.backbones import build_backbone

CUDA = torch.device("cuda", 0)
PRECISIONS = {"float32": None, "bf16": torch.bfloat16}


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Tensors that are made inside are fake, those of outside are taken as fake ones where they meet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
        patch.setattr("torch.cuda.is_bf16_supported", lambda: True)
        patch.setattr("torch.autograd.grad", _zero_gradients)
        patch.setattr("torch.nn.Module.to", _moved)
        with FakeTensorMode(allow_non_fake_inputs=True):
            yield


@contextmanager
def without_values() -> Iterator[None]:
    """For constructors, which copy networks: they are built on the meta device, and `Module.to` makes them fake."""
    with unset_fake_temporarily(), torch.device("meta"):
        yield


def _moved(module: nn.Module, device: torch.device) -> nn.Module:
    """`Module.to`, which cannot exchange fake parameters in place: the optimisers, which do no step, keep the old."""
    for part in module.modules():
        for name, parameter in list(part._parameters.items()):
            if parameter is not None and parameter.device != device:
                part._parameters[name] = nn.Parameter(_empty(parameter, device), parameter.requires_grad)
        for name, buffer in list(part._buffers.items()):
            if buffer is not None and buffer.device != device:
                part._buffers[name] = _empty(buffer, device)
    return module


def _empty(tensor: Tensor, device: torch.device) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=device)


def _zero_gradients(outputs: Any, inputs: Any, *given: Any, **named: Any) -> tuple[Tensor, ...]:
    """Leaves of a graph, as gradients with `create_graph` would be parts of one."""
    several = inputs if isinstance(inputs, list | tuple) else (inputs,)
    return tuple(torch.zeros_like(x, requires_grad=named.get("create_graph", False)) for x in several)


@contextmanager
def precision_of(name: str) -> Iterator[None]:
    """Autocast as the harness enters it on a GPU."""
    dtype = PRECISIONS[name]
    with torch.autocast("cuda", dtype or torch.bfloat16, enabled=dtype is not None):
        yield


class HostCopies(TorchDispatchMode):
    """Notes every operation that brings numbers from the GPU to the CPU, for which the host waits."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        flat = [value for value in args if isinstance(value, Tensor)]
        if isinstance(result, Tensor) and result.device.type == "cpu" and any(x.device.type == "cuda" for x in flat):
            self.seen.append(str(func))
        return result


def fake_domains(size: int, count: int = 12) -> Domains:
    """Images of two domains on the GPU."""
    dark, bright = (torch.empty(count + d, 3, size, size, dtype=torch.uint8, device=CUDA) for d in (0, 1))
    return Domains((dark, bright))


def fake_weights(name: str) -> Mapping[str, Tensor]:
    """`Context.weights`: those of every backbone."""
    with without_values():
        return build_backbone(name).state_dict()


def on_gpu(module: nn.Module) -> None:
    """Check that all of it is there."""
    held = dict(module.named_parameters()) | dict(module.named_buffers())
    assert {name for name, tensor in held.items() if tensor.device != CUDA} == set()
    assert all(isinstance(tensor, FakeTensor) for tensor in held.values())


def check_losses(losses: Mapping[str, Tensor]) -> None:
    """A phase's losses: scalars in float32 on the GPU."""
    assert losses
    for name, loss in losses.items():
        assert (loss.device, loss.dtype, loss.shape) == (CUDA, torch.float32, ()), (name, loss)


def forward_phases(trained: Translator | Stage, batch: Any, precision: str) -> int:
    """The forward part of every phase, the average after it; returns the number of phases.

    No copy to the CPU, nothing read. The steps of optimisers between the phases need gradients, and are left out.
    """
    phases = trained.training_step(batch)
    watch, count = HostCopies(), 0
    while True:
        with watch, precision_of(precision):
            phase = next(phases, None)
        if phase is None:
            break
        count += 1
        check_losses(phase.losses)
        assert set(phase.trains) <= set(trained.optimizers)
    with watch:
        trained.update_ema()
    assert watch.seen == []
    return count


class ForwardStages:
    """`Context.run_stage`: two steps of each stage, forward only, and what it does at its end."""

    def __init__(self, precision: str) -> None:
        self.precision = precision

    def __call__(self, build: Callable[[], Stage], attempt: int = 0) -> Stage:
        with without_values():
            stage = build()
        stage.to(CUDA).train()
        for step in range(min(2, stage.steps)):
            assert forward_phases(stage, torch.Generator().manual_seed(step), self.precision)
        stage.eval()
        with torch.no_grad():
            stage.finish()
        on_gpu(stage)
        return stage
