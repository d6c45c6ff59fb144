"""What is examined: a class, and the class at one image size with everything to build, train and store it."""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from bench.checks.conform.images import few_images
from bench.checks.conform.state import attributes, fingerprint
from bench.core.device import Runtime
from bench.core.randomness import seeded
from bench.runs.request import Job, make_job
from bench.spec.methods import layers, with_clusters
from bench.spec.presets import STAND_IN, StandInSettings, get_preset
from bench.spec.run_spec import Budget, resolve_config
from bench.spec.tasks import get_task
from bench.store.cell import Cell
from bench.store.checkpoints import CheckpointFolder
from bench.training.cost import count_flops
from bench.training.loop import load_module_state, module_state
from bench.training.pretrained import fetched_weights
from bench.training.stages import StageStore
from bench.training.stand_in import stand_in_weights
from bench.training.train import begin_step, prepared, training_domains
from methods import base
from methods.base import Context, Domains, Phase, Progress, Stage, Trainable, Translator, run_step
from methods.parts import checks
from methods.registry import load

S = TypeVar("S", bound=Stage)
SEED = 0
STEPS = 4
"""Length of every training here: two steps, a checkpoint, two more."""
STAGE_STEPS = 2
"""Semantic stages are cut to this length: whether they end well is no matter of conformance."""
STAND_IN_SETTINGS = StandInSettings(train_per_class=1, test_per_class=1, steps=2, batch_size=8)


class Candidate:
    """A class that may be a method."""

    def __init__(self, name: str, target: str, values: Mapping[str, Any]) -> None:
        """`values`: settings over those of the quick preset."""
        self.name, self.target, self.values = name, target, values

    @cached_property
    def cls(self) -> type[Translator]:
        """The class; raises whatever its module raises, TypeError if it is no Translator."""
        return load(self.target)

    def config(self, values: Mapping[str, Any] | None = None) -> Any:
        """The resolved settings; raises BenchError for unknown names and wrong types."""
        over = {self.name: self.values if values is None else values}
        preset = get_preset("quick", "pictures")
        return resolve_config(self.cls, self.name, *layers(self.cls, self.name, preset, over, "embedded"))

    def files(self) -> set[str]:
        """The source files of the class, of those it inherits from, and of what else is loaded of its package.

        Without those of the contract, which are never to blame.
        """
        packages = {owner.__module__.partition(".")[0] for owner in self.cls.__mro__ if owner not in Translator.__mro__}
        modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] in packages]
        found = {getattr(module, "__file__", None) for module in modules}
        return {file for file in found if file} - {base.__file__, checks.__file__}


class Subject:
    """A candidate at one image size."""

    def __init__(self, candidate: Candidate, size: int, folder: Path) -> None:
        """`folder`: an own, empty one, where stages and checkpoints go."""
        self.candidate, self.size, self.folder = candidate, size, folder
        self.data = few_images(size)
        self.runtime = Runtime("cpu", size)

    @cached_property
    def job(self) -> Job:
        """Its specification and constructor call, as a run makes them."""
        name, cls = self.candidate.name, self.candidate.cls
        config = with_clusters(self.candidate.config(), len(self.data.classes))
        return make_job(get_task("sketch2real"), self.data, "quick", name, cls, config, Budget("images", 1), SEED)

    @property
    def cell(self) -> Cell:
        """Where its files are."""
        return Cell(self.folder, self.job.spec)

    def domains(self) -> Domains:
        """A copy of the images, all that a method sees."""
        return training_domains(self.data, self.runtime)

    def built(self, seed: int = SEED) -> Translator:
        """A new method as the constructor leaves it; its weights follow from `seed`."""
        with seeded(seed, "init"):
            return self.job.build()

    def prepared(self, domains: Domains | None = None, asked: list[str] | None = None, seed: int = SEED) -> Translator:
        """A new method before its first step; the names of the weights that it asks for are added to `asked`."""

        def weights(name: str) -> Mapping[str, Tensor]:
            if asked is not None:
                asked.append(name)
            if name == STAND_IN:
                return stand_in_weights(self.folder, STAND_IN_SETTINGS, self.runtime)
            return fetched_weights(name)

        stages = StageStore(self.cell.semantics, self.data.version, SEED, self.runtime)
        context = Context(weights, _Shortened(stages))
        return prepared(lambda: self.built(seed), domains or self.domains(), context, self.job.spec, self.runtime)

    @cached_property
    def trained(self) -> Training:
        """STEPS steps of training, watched, with a checkpoint in the middle."""
        training = Training(self, watched=True)
        training.advance(STEPS // 2)
        training.save(self.cell.checkpoints)
        training.advance(STEPS)
        return training

    def close(self) -> None:
        """Let go of the training, which knows its subject: then the labels are gone without a garbage collector."""
        self.__dict__.pop("trained", None)

    @contextmanager
    def labels_shuffled(self) -> Iterator[None]:
        """Inside: the data's labels are others, in place, so that there is no place left to find the true ones."""
        labels = [split.labels for split in self.data.splits.values()]
        true = [array.copy() for array in labels]
        rng = np.random.default_rng(1)
        for array in labels:
            array[:] = rng.permutation(array)
        try:
            yield
        finally:
            for array, kept in zip(labels, true, strict=True):
                array[:] = kept


class _Shortened:
    """`Context.run_stage` of the harness, each stage cut to STAGE_STEPS steps."""

    def __init__(self, stages: StageStore) -> None:
        self.stages = stages

    def __call__(self, build: Callable[[], S], attempt: int = 0) -> S:
        def short() -> S:
            stage = build()
            stage.steps = min(stage.steps, STAGE_STEPS)
            return stage

        return self.stages(short, attempt)


@contextmanager
def global_seeds(seed: int) -> Iterator[None]:
    """Inside: the global random generators of torch, numpy and Python are seeded. After: as before."""
    python, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        seed_globals(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)  # noqa: NPY002


def seed_globals(seed: int) -> None:
    """Seed the global random generators of torch, numpy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


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
