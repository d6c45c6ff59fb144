"""Pretrained networks by name: fetched ones, and the stand-in that the harness trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from bench.core.device import Runtime
from bench.data.fetch.locate import locate_weights
from bench.spec import presets
from bench.spec.presets import STAND_IN
from bench.training.stand_in import stand_in_weights

Weights = Callable[[str], Mapping[str, torch.Tensor]]
"""Name of a network -> its state dict, see `Context.weights`."""


def weights_loader(results: Path, runtime: Runtime) -> Weights:
    """The function `Context.weights`: gives the stand-in, trained at its first use, and fetched networks."""

    def weights(name: str) -> Mapping[str, torch.Tensor]:
        return (
            stand_in_weights(results, presets.STAND_IN_SETTINGS, runtime) if name == STAND_IN else fetched_weights(name)
        )

    return weights


class MissingWeights(LookupError):
    """A network that a method asks for was not fetched: nothing is wrong with the method. Says what to type."""


def fetched_weights(name: str) -> Mapping[str, torch.Tensor]:
    """The state dict of a fetched network; raises MissingWeights if it is absent."""
    path = locate_weights(name)
    if path is None:
        raise MissingWeights(f"no weights called '{name}': bench fetch {name}")
    return torch.load(path, map_location="cpu", weights_only=True)
