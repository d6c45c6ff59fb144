"""The methods at their smallest, on the stored images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from bench.checks.tiny_run import CandidateMethod, TinyRun
from bench.core.randomness import seeded
from bench.data.types import TaskData
from bench.spec.presets import STAND_IN
from methods.parts.backbones import build_backbone
from methods.registry import registered

THREADS = 1
"""CPU threads: their number decides the order of sums."""

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


def smallest_run(name: str, data: TaskData, folder: Path, **settings: Any) -> TinyRun:
    """The registered method `name` on `data`, with `settings` over those of METHODS, on one thread.

    `folder`: an empty one of its own.
    """
    candidate = CandidateMethod(name, registered()[name].target, {**METHODS[name], **settings})
    return TinyRun(candidate, data, folder, weights=smallest_run_weights, threads=THREADS)


def smallest_run_weights(name: str) -> Mapping[str, Tensor]:
    """`Context.weights`: random ones for the stand-in, which need no training. LookupError for all others."""
    if name != STAND_IN:
        raise LookupError(f"the code check has no weights called '{name}'")
    with seeded("gate", name):
        return build_backbone(name).state_dict()
