"""The one rig of tiny trainings: a method on a few images, from its settings to its steps, in seconds on the CPU."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.checks.method_state import state_attributes, state_fingerprint
from bench.core.device import Runtime
from bench.core.randomness import seeded
from bench.data.types import TaskData
from bench.runs.request import Job, method_to_ask, request_job
from bench.spec.methods import method_config_with_clusters, method_settings
from bench.spec.presets import STAND_IN, StandInSettings, get_preset
from bench.spec.run_spec import Budget, spec_config
from bench.spec.tasks import get_task
from bench.store.cell import Cell
from bench.store.checkpoints import CheckpointFolder
from bench.training.cost import cost_in_flops
from bench.training.loop import load_loop_state, loop_state
from bench.training.pretrained import fetched_weights
from bench.training.stages import StageStore
from bench.training.stand_in import stand_in_weights
from bench.training.train import begin_train_step, prepare_method, train, training_domains
from methods.base import (
    BOTH,
    Context,
    Direction,
    Domains,
    Phase,
    Progress,
    Stage,
    StageRunner,
    Trainable,
    Translator,
    run_step,
)
from methods.registry import load_registered

S = TypeVar("S", bound=Stage)
Weights = Callable[[str], Mapping[str, Tensor]]
TASK = "sketch2real"
SEED = 0
STEPS = 4
"""Length of a `TinyTraining`."""
STAND_IN_SETTINGS = StandInSettings(train_per_class=1, test_per_class=1, steps=2, batch_size=8)
"""The stand-in of `TinyRun.weights` at its smallest."""


class CandidateMethod:
    """A class that may be a method, and settings for it."""

    def __init__(self, name: str, target: str, values: Mapping[str, Any]) -> None:
        """`target`: `package.module:Class`. `values`: settings over those of the quick preset."""
        self.name, self.target, self.values = name, target, values

    @cached_property
    def cls(self) -> type[Translator]:
        """The class; raises whatever its module raises, TypeError if it is no Translator."""
        return load_registered(self.target)

    def config(self, values: Mapping[str, Any] | None = None) -> Any:
        """The resolved settings; raises BenchError for unknown names and wrong types."""
        overrides = {self.name: self.values if values is None else values}
        preset = get_preset("quick", "pictures")
        return spec_config(self.cls, self.name, *method_settings(self.cls, self.name, preset, overrides, "embedded"))


class TinyRun:
    """A method on a few images, built, prepared and trained by the harness's own functions.

    Nothing is imported or resolved before it is asked for: each failure belongs to the call that meets it.
    """

    def __init__(
        self, candidate: CandidateMethod, data: TaskData, folder: Path, weights: Weights | None = None,
        threads: int | None = None, stage_steps: int | None = None,
    ) -> None:  # fmt: skip
        """`folder`: an empty one of its own, for semantic stages, checkpoints and logs. `weights`: see
        `Context.weights`; None: what a run gets, the stand-in trained for two steps. `threads`: of torch on the CPU,
        which decide the order of sums; None: the machine's. `stage_steps`: the most steps of a semantic stage in
        `prepared`; None: as many as the settings say.
        """
        self.candidate, self.data, self.folder, self.stage_steps = candidate, data, folder, stage_steps
        self.runtime = tiny_run_on_cpu(data.size, threads)
        self.given_weights = weights

    @property
    def weights(self) -> Weights:
        """See `Context.weights`. Not an attribute: a bound method there would keep the labels in memory."""
        return self.given_weights or self._weights

    @cached_property
    def config(self) -> Any:
        """The resolved settings, with as many clusters as there are classes."""
        return method_config_with_clusters(self.candidate.config(), len(self.data.classes))

    def job(self, images: int) -> Job:
        """The specification and constructor call of a training of `images` images, as a run makes them."""
        return self._job(images, BOTH)

    def _job(self, images: int, directions: tuple[Direction, ...]) -> Job:
        """`directions`: those that the task scores."""
        candidate, budget, task = (
            self.candidate,
            Budget("images", images),
            replace(get_task(TASK), directions=directions),
        )
        return request_job(task, self.data, "quick", candidate.name, candidate.cls, self.config, budget, SEED)

    def job_of_steps(self, steps: int) -> Job:
        """The job of `steps` iterations; for this the method is built once more, on the meta device if that works."""
        return self.job(steps * method_to_ask(self.shortest_job).images_per_step)

    @cached_property
    def shortest_job(self) -> Job:
        """The job of a single image, for what does not depend on the length."""
        return self.job(1)

    @property
    def cell(self) -> Cell:
        """The cell of `shortest_job`."""
        return Cell(self.folder, self.shortest_job.spec)

    def domains(self) -> Domains:
        """A copy of the training images, all that a method sees."""
        return training_domains(self.data, self.runtime)

    def _weights(self, name: str) -> Mapping[str, Tensor]:
        if name == STAND_IN:
            return stand_in_weights(self.folder, STAND_IN_SETTINGS, self.runtime)
        return fetched_weights(name)

    def built(self, seed: int = SEED) -> Translator:
        """A new method as the constructor leaves it; its weights follow from `seed`."""
        with seeded(seed, "init"):
            return self.shortest_job.build()

    def prepared(self, domains: Domains | None = None, weights: Weights | None = None, seed: int = SEED) -> Translator:
        """A new method before its first step. `weights`: in place of those of the run."""
        return self._prepared(lambda: self.built(seed), domains or self.domains(), weights)

    def trained_one_step(self, directions: tuple[Direction, ...]) -> Translator:
        """A new method after its first step, on a task that scores `directions`."""
        domains = self.domains()
        method = self._prepared(self._job(1, directions).build, domains, None)
        with self.runtime.threads_pinned(self.runtime.threads):
            run_step(method, begin_train_step(method, domains, SEED, Progress(0, STEPS)), self.runtime.autocast)
        return method

    def _prepared(self, build: Callable[[], Translator], domains: Domains, weights: Weights | None) -> Translator:
        stages = ShortStages(StageStore(self.cell.semantics, self.data.version, SEED, self.runtime), self.stage_steps)
        context = Context(weights or self.weights, stages)
        return prepare_method(build, domains, context, self.shortest_job.spec, self.runtime)

    def train(self, job: Job) -> tuple[Translator, Cell]:
        """Train `job` to its end by the harness's own loop."""
        cell = Cell(self.folder, job.spec)
        cell.folder.mkdir(parents=True, exist_ok=True)
        method, _ = train(job.build, self.domains(), self.weights, job.spec, cell, self.runtime)
        return method, cell


def tiny_run_on_cpu(size: int, threads: int | None) -> Runtime:
    """The CPU for images of `size` pixels, with so many threads (None: the machine's)."""
    runtime = Runtime("cpu", size)
    if threads is not None:
        runtime.threads = threads
    return runtime


class ShortStages:
    """`Context.run_stage`, each stage cut to `most` steps (None: as long as it is)."""

    def __init__(self, stages: StageRunner, most: int | None) -> None:
        self.stages, self.most = stages, most

    def __call__(self, build: Callable[[], S], attempt: int = 0) -> S:
        def short() -> S:
            stage = build()
            stage.steps = stage.steps if self.most is None else min(stage.steps, self.most)
            return stage

        return self.stages(short, attempt)


class TinyTraining:
    """A prepared method that is trained step by step; every number follows from the seed and the step."""

    def __init__(self, run: TinyRun, watched: bool = False, seed: int = SEED) -> None:
        """`seed`: of the first weights; of all else it is always SEED."""
        self.run, self.domains = run, run.domains()
        self.method = run.prepared(self.domains, seed=seed)
        self.watch = Watch(self.method) if watched else None
        self.step = 0
        self.logged: list[dict[str, Tensor]] = []
        """The losses of each step."""
        self.initial = copy.deepcopy(self.method.state_dict())
        self.held_before = self.held()

    def advance(self, to: int) -> None:
        """Train until `to` steps are done; the operations of the first one are counted, as in a run."""
        runtime = self.run.runtime
        trained: Trainable = self.watch or self.method
        with runtime.threads_pinned(runtime.threads):
            while self.step < to:
                batch = begin_train_step(self.method, self.domains, SEED, Progress(self.step, STEPS))
                if self.step:
                    losses = run_step(trained, batch, runtime.autocast)
                else:
                    losses = cost_in_flops(lambda: run_step(trained, batch, runtime.autocast))[1]  # noqa: B023
                self.logged.append(losses)
                self.step += 1

    def state(self) -> dict[str, Any]:
        """A copy of networks, buffers and optimisers."""
        return copy.deepcopy(loop_state(self.method))

    def save(self, checkpoints: CheckpointFolder) -> None:
        """Write a checkpoint."""
        checkpoints.save(self.step, loop_state(self.method))

    def restore(self, checkpoints: CheckpointFolder) -> None:
        """Go on from the last checkpoint."""
        latest = checkpoints.load_latest()
        assert latest is not None
        self.step, state = latest
        load_loop_state(self.method, state)

    def held(self) -> dict[str, str]:
        """Path -> digest of everything that the method holds outside its state."""
        return {path: state_fingerprint(value) for path, value in state_attributes(self.method)}

    def changed_outside_the_state(self) -> list[str]:
        """The paths of what has changed since the training began and is in no state."""
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
        """Call the method's."""
        self.method.update_ema()

    def training_step(self, batch: Any) -> Iterator[Phase]:
        """Yield the method's phases."""
        phases = self.method.training_step(batch)
        before = tiny_parameters(tiny_networks(self.method))
        index = 0
        while (phase := next(phases, None)) is not None:
            before = self._compare(before, set(), f"before phase {index}, by training_step itself")
            yield phase
            before = self._compare(before, set(phase.trains), f"in phase {index}, which trains {_names(phase)}")
            self._look_at_gradients(phase)
            index += 1
        self._compare(before, set(), "after the last phase, by training_step itself")

    def _compare(self, before: dict[str, list[Tensor]], allowed: set[str], when: str) -> dict[str, list[Tensor]]:
        now = tiny_parameters(tiny_networks(self.method))
        for name in now.keys() - allowed:
            if not all(torch.equal(old, new) for old, new in zip(before.get(name, now[name]), now[name], strict=True)):
                self.strays.append(f"weights of {name} changed {when}")
        return now

    def _look_at_gradients(self, phase: Phase) -> None:
        for name in phase.trains:
            gradients = tiny_gradients(getattr(self.method, name))
            if not all(bool(gradient.isfinite().all()) for gradient in gradients):
                self.bad_gradients.append(name)
            empty = not any(bool(gradient.any()) for gradient in gradients)
            self.without_gradient[name] = self.without_gradient.get(name, True) and empty


def tiny_networks(method: Translator) -> dict[str, nn.Module]:
    """The networks that have an optimiser, by name."""
    return {name: getattr(method, name) for name in method.optimizers}


def tiny_parameters(networks: Mapping[str, nn.Module]) -> dict[str, list[Tensor]]:
    """Network -> a copy of its parameters."""
    return {name: [p.detach().clone() for p in network.parameters()] for name, network in networks.items()}


def tiny_gradients(network: nn.Module) -> list[Tensor]:
    """The gradients of those parameters that have one."""
    return [p.grad for p in network.parameters() if p.grad is not None]


def tiny_norm(tensors: Iterable[Tensor]) -> Tensor:
    """The length of all numbers of `tensors` taken as one vector, float64; 0 for none."""
    squares = [tensor.detach().double().square().sum() for tensor in tensors]
    return torch.stack(squares).sum().sqrt() if squares else torch.tensor(0.0)


def _names(phase: Phase) -> str:
    return ", ".join(phase.trains)
