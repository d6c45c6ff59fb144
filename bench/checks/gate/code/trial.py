"""The methods at their smallest, and the job of training one on the stored images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.core.device import Runtime
from bench.core.randomness import seeded
from bench.data.types import TaskData
from bench.runs.request import Job, make_job
from bench.spec.methods import layers, with_clusters
from bench.spec.presets import STAND_IN, get_preset
from bench.spec.run_spec import Budget, resolve_config
from bench.spec.tasks import get_task
from bench.store.cell import Cell
from bench.training.train import train, training_domains
from methods.base import Domains, Translator
from methods.parts.backbones import build_backbone
from methods.registry import load, registered

TASK = "sketch2real"
SEED = 0
THREADS = 1

_STARGAN_V2 = {"base_width": 4, "max_width": 8, "mapping_width": 16, "style_dim": 8, "batch_size": 4}
_MOCO = {
    "semantics.moco.width": 4, "semantics.moco.queue": 32, "semantics.moco.batch_size": 8,
    "semantics.moco.key_splits": 1, "semantics.moco.steps": 2, "semantics.adaptation.width": 8,
    "semantics.adaptation.batch_size": 8, "semantics.adaptation.steps": 2,
}  # fmt: skip
_CATS_UDT = {**_STARGAN_V2, "bottleneck_blocks": 1, **_MOCO}
_CYCLEGAN = {"width": 4, "blocks": 1, "discriminator_width": 4, "discriminator_layers": 1, "batch_size": 2}

METHODS: Mapping[str, Mapping[str, Any]] = {
    "cyclegan": {**_CYCLEGAN, "pool_size": 2},
    "munit": {
        "width": 4, "blocks": 1, "mlp_width": 4, "discriminator_width": 4, "discriminator_layers": 2, "batch_size": 2,
    },
    "drit": {"width": 2, "discriminator_layers": 2},
    "stargan_v2": _STARGAN_V2,
    "egsc_it": {
        "width": 4, "discriminator_width": 4, "discriminator_layers": 3, "batch_size": 1, "autoencoder_steps": 2,
        "stages": 2, "init_std": 0.2,
    },
    "cats_udt": _CATS_UDT,
}  # fmt: skip
"""Method -> settings over those of the quick preset."""


@dataclass(frozen=True)
class Trial:
    """One method on the stored images."""

    name: str
    cls: type[Translator]
    config: Any
    data: TaskData
    folder: Path
    """An empty one of its own, for the cell and its semantic stages."""

    def job(self, steps: int) -> Job:
        """A training of `steps` iterations."""
        with torch.device("meta"):
            images = self.cls(self.config, self.data.size).images_per_step  # type: ignore[call-arg]
        budget = Budget("images", steps * images)
        return make_job(get_task(TASK), self.data, "quick", self.name, self.cls, self.config, budget, SEED)

    def train(self, job: Job) -> tuple[Translator, Cell]:
        """By the harness's own loop, on one CPU thread."""
        runtime = cpu(self.data.size)
        cell = Cell(self.folder, job.spec)
        cell.folder.mkdir(parents=True, exist_ok=True)
        method, _ = train(job.build, self.domains(), weights, job.spec, cell, runtime)
        return method, cell

    def domains(self) -> Domains:
        """All that the method sees."""
        return training_domains(self.data, cpu(self.data.size))


def cpu(size: int) -> Runtime:
    """One CPU thread, whatever the machine has: it decides the order of sums."""
    runtime = Runtime("cpu", size)
    runtime.threads = THREADS
    return runtime


def trial(name: str, data: TaskData, folder: Path, **settings: Any) -> Trial:
    """Of the registered method `name`, with `settings` over those of METHODS."""
    cls = load(registered()[name].target)
    values = {**METHODS[name], **settings}
    config = resolve_config(cls, name, *layers(cls, name, get_preset("quick", "pictures"), {name: values}, "embedded"))
    return Trial(name, cls, with_clusters(config, len(data.classes)), data, folder)


def weights(name: str) -> Mapping[str, Tensor]:
    """`Context.weights`: random ones for the stand-in, which need no training. LookupError for all others."""
    if name != STAND_IN:
        raise LookupError(f"the code check has no weights called '{name}'")
    with seeded("gate", name):
        return build_backbone(name).state_dict()
