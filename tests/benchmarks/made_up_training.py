"""Methods ready to train on random images, without their stages: a step's cost does not depend on what is in them.

Needs torch and numpy alone: the machine with the GPU may have nothing else.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from bench.core.randomness import randomness, seeded
from bench.spec.presets import get_preset
from bench.training.step_cost import made_up_domains, random_weights, untrained_stage
from methods.base import Context, Domains, Progress, Translator
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
    domains = made_up_domains(size, images, device)
    method.to(device).train()
    method.prepare_to_count(domains, Context(random_weights, untrained_stage(device)))
    return Training(method, domains)
