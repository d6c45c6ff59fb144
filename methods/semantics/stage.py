"""The contract between a semantic stage and whoever runs it.

A stage is a training (or a computation) that ends before the translator's training begins. It sees images, and what
earlier stages made of them; labels are not reachable from here. Its runner calls `training_step` through
`methods.base.run_step` for every step and then `finish` once. All that it leaves behind is its `state_dict`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from methods.base import Phase


class Stage(nn.Module):
    """One unsupervised stage: networks and results (buffers), their optimisers, and what one step does.

    What it is trained on (images, features, cluster labels) are plain attributes and no part of `state_dict`.
    """

    name: ClassVar[str]
    """Short name, as in `--stage name` and in folder names."""
    version: ClassVar[int] = 1
    """Raised when a change alters results; part of a stored stage's identity."""

    steps: int = 0
    """Training iterations; 0: everything happens in `finish`."""
    attempt: int = 0
    """Which of several attempts at the same stage this is; whoever runs it says so, and derives its numbers from it."""

    def __init__(self) -> None:
        super().__init__()
        self.optimizers: dict[str, Optimizer] = {}

    def identity(self) -> dict[str, Any]:
        """JSON values that decide the result, the task's training images and the seed apart.

        The settings, which domain is used, and the `digest` of each tensor that came from an earlier stage.
        """
        raise NotImplementedError

    def training_step(self, batch: torch.Generator) -> Iterator[Phase]:
        """One iteration, in the order of the algorithm: yields a phase, resumes after its networks were stepped.

        `batch` is a CPU generator that belongs to this step: minibatches, augmentation and the like are drawn from it.
        Dropout and other layers that draw by themselves use torch's global generator, which the runner has seeded for
        this step. Nothing is yielded inside a context manager.
        """
        raise NotImplementedError

    def update_ema(self) -> None:
        """Called once after every step, for averaged networks. Default: none."""

    def finish(self) -> None:
        """Called once after the last step, in eval mode, without gradients: computes results into buffers."""


def digest(tensor: Tensor) -> str:
    """sha256 (hex) over dtype, shape and bytes of `tensor`: the name of an earlier stage's result."""
    values = tensor.detach().cpu().contiguous().reshape(-1)  # a view of bytes needs a dimension
    head = f"{tensor.dtype}{tuple(tensor.shape)}".encode()
    return hashlib.sha256(head + values.view(torch.uint8).numpy().tobytes()).hexdigest()


def run_stage(stage: Stage, seed: int) -> None:
    """Bring `stage` to its end in this process, storing nothing: for tests and notebooks. The harness has its own."""
    from methods.base import run_step

    stage.train()
    with torch.random.fork_rng():
        for step in range(stage.steps):
            rng = torch.Generator().manual_seed(seed * 1_000_003 + step)
            torch.manual_seed(rng.initial_seed())
            run_step(stage, rng)
    stage.eval()
    with torch.no_grad():
        stage.finish()
