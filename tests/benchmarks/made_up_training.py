"""Methods ready to train on random images, without their stages: a step's cost does not depend on what is in them.

Needs torch and numpy alone: the machine with the GPU may have nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.core.randomness import randomness, seeded
from bench.spec.presets import get_preset
from methods.base import Context, Domains, Progress, Translator
from methods.category_tables import CategoryTables
from methods.cats_udt import CatsUDT
from methods.parts.backbones import StandInVGG, VGG19Features
from methods.registry import BUILT_IN, load_registered

CLUSTERS = 10


@dataclass(frozen=True)
class Training:
    """A method after `prepare`, and its data."""

    method: Any
    """A Translator on its device, in training mode."""
    domains: Domains
    """Random images."""

    def batch(self, step: int = 0, total: int = 1_000) -> Any:
        """The inputs of iteration `step`."""
        return self.method.draw(self.domains, randomness("benchmark", step), Progress(step, total))


def make(
    name: str, preset: str, kind: str, size: int, device: str = "cpu", images: int = 64, **settings: Any
) -> Training:
    """The built-in method `name` at `size` pixels, with the preset's settings for tasks of `kind`, and `settings`.

    `images`: in each domain. Settings of semantic stages are left out: none is trained.
    """
    cls: Any = load_registered(BUILT_IN[name].target)
    known = get_preset(preset, kind).settings(name, "embedded")
    chosen = {key: value for key, value in known.items() if "." not in key} | settings
    if name == "cats_udt":
        chosen.setdefault("clusters", CLUSTERS)
    config = dataclasses.replace(cls.Config(), **chosen)
    with seeded("benchmark", name):
        method: Translator = cls(config, size)
    domains = random_domains(images, size, device)
    method.to(device).train()
    if isinstance(method, CatsUDT):
        method.tables = CategoryTables([row_clusters(images) for _ in range(2)])
    else:
        method.prepare(domains, Context(random_weights, untrained_stage(device)))
    return Training(method, domains)


def random_domains(images: int, size: int, device: str = "cpu") -> Domains:
    """Two domains of `images` random images."""
    rng = randomness("benchmark images")
    first, second = (
        torch.randint(256, (images, 3, size, size), generator=rng, dtype=torch.uint8).to(device) for _ in range(2)
    )
    return Domains((first, second))


def row_clusters(images: int) -> Tensor:
    """int64 (images,): every cluster about as often."""
    return torch.arange(images) % CLUSTERS


def random_weights(name: str) -> Mapping[str, Tensor]:
    """`Context.weights`: whatever is asked for, at random."""
    return (StandInVGG() if name == "stand_in" else VGG19Features()).state_dict()


def untrained_stage(device: str) -> Any:
    """`Context.run_stage`: the stage as it is before its first step."""

    def run(build: Callable[[], Any], attempt: int = 0) -> Any:
        return build().to(device).eval()

    return run
