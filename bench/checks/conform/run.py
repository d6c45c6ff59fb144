"""A training of a few steps, made of the same parts as the harness's loop, and a watch over what each phase does."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from bench.checks.conform.state import attributes, fingerprint
from bench.store.checkpoints import CheckpointFolder
from bench.training.cost import count_flops
from bench.training.loop import load_module_state, module_state
from bench.training.train import begin_step
from methods.base import Phase, Progress, Trainable, Translator, run_step

if TYPE_CHECKING:
    from bench.checks.conform.subject import Subject

STEPS = 4
"""Length of every training here: two steps, a checkpoint, two more."""


class Training:
    """A prepared method that is being trained; every number follows from the seed and the step."""

    def __init__(self, subject: Subject, watched: bool = False, seed: int = 0) -> None:
        """`seed`: of the first weights; of all else it is always the subject's."""
        self.subject, self.domains = subject, subject.domains()
        self.method = subject.prepared(self.domains, seed=seed)
        self.watch = Watch(self.method) if watched else None
        self.step = 0
        self.logged: list[dict[str, Tensor]] = []
        """The losses of each step."""
        self.initial = copy.deepcopy(self.method.state_dict())
        self.held_before = self.held()

    def advance(self, to: int) -> None:
        """Train until `to` steps are done; the operations of the first one are counted, as in a run."""
        runtime, seed = self.subject.runtime, self.subject.job.spec.seed
        trained: Trainable = self.watch or self.method
        with runtime.threads_pinned(runtime.threads):
            while self.step < to:
                batch = begin_step(self.method, self.domains, seed, Progress(self.step, STEPS))
                if self.step:
                    losses = run_step(trained, batch, runtime.autocast)
                else:
                    losses = count_flops(lambda: run_step(trained, batch, runtime.autocast))[1]  # noqa: B023
                self.logged.append(losses)
                self.step += 1

    def state(self) -> dict[str, Any]:
        """Networks, buffers and optimisers, copied."""
        return copy.deepcopy(module_state(self.method))

    def save(self, checkpoints: CheckpointFolder) -> None:
        """Write a checkpoint."""
        checkpoints.save(self.step, module_state(self.method))

    def restore(self, checkpoints: CheckpointFolder) -> None:
        """Go on from the last checkpoint."""
        found = checkpoints.load_latest()
        assert found is not None
        self.step, state = found
        load_module_state(self.method, state)

    def held(self) -> dict[str, str]:
        """Path -> digest of everything that the method holds outside its state."""
        return {path: fingerprint(value) for path, value in attributes(self.method)}

    def changed_outside_the_state(self) -> list[str]:
        """What has changed since the training began and is in no state."""
        now = self.held()
        return [path for path in now if now[path] != self.held_before.get(path)]


class Watch:
    """Stands between a method and `run_step`, and notes whose weights change when, and who gets gradients."""

    def __init__(self, method: Translator) -> None:
        self.method = method
        self.optimizers: dict[str, Optimizer] = method.optimizers
        self.strays: list[str] = []
        """Changes of weights that no phase has asked for, in words."""
        self.without_gradient: dict[str, bool] = {}
        """Network that a phase names -> whether all its gradients were zero or missing, in every step."""
        self.bad_gradients: list[str] = []
        """Networks with gradients that are not finite."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.method, name)

    def update_ema(self) -> None:
        """The method's."""
        self.method.update_ema()

    def training_step(self, batch: Any) -> Iterator[Phase]:
        """The method's phases."""
        phases = self.method.training_step(batch)
        before = self._weights()
        index = 0
        while (phase := next(phases, None)) is not None:
            before = self._compare(before, set(), f"before phase {index}, by training_step itself")
            yield phase
            before = self._compare(before, set(phase.trains), f"in phase {index}, which trains {_names(phase)}")
            self._look_at_gradients(phase)
            index += 1
        self._compare(before, set(), "after the last phase, by training_step itself")

    def _weights(self) -> dict[str, list[Tensor]]:
        """Trained network -> a copy of its parameters."""
        return {name: [p.detach().clone() for p in getattr(self.method, name).parameters()] for name in self.optimizers}

    def _compare(self, before: dict[str, list[Tensor]], allowed: set[str], when: str) -> dict[str, list[Tensor]]:
        now = self._weights()
        for name in now.keys() - allowed:
            if not all(torch.equal(old, new) for old, new in zip(before.get(name, now[name]), now[name], strict=True)):
                self.strays.append(f"weights of {name} changed {when}")
        return now

    def _look_at_gradients(self, phase: Phase) -> None:
        for name in phase.trains:
            gradients = [p.grad for p in getattr(self.method, name).parameters() if p.grad is not None]
            if not all(bool(gradient.isfinite().all()) for gradient in gradients):
                self.bad_gradients.append(name)
            empty = not any(bool(gradient.any()) for gradient in gradients)
            self.without_gradient[name] = self.without_gradient.get(name, True) and empty


def _names(phase: Phase) -> str:
    return ", ".join(phase.trains)
