"""What cells are scored with: the judges, the encoders whose weights are there, and the cache of their features."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.data.contract import TaskData
from bench.data.files import find_weights
from bench.device import Runtime
from bench.errors import BenchError
from bench.features import FeatureCache
from bench.judge import Judge, get_judge
from bench.presets import EvaluationSize, KindPreset
from bench.protocol import FREE, Protocol, select
from metrics.encoders import InceptionEncoder, LpipsAlexNet


@dataclass(frozen=True)
class Missing:
    """An encoder that is not to be had."""

    remedy: str
    """What stands in the table instead of a value."""


@dataclass(frozen=True)
class Instruments:
    """What is needed to score cells of one task; made once, shared by all methods and seeds."""

    judge: Callable[[int], Judge]
    """Domain index -> the judge of that domain."""
    encoders: Mapping[str, Callable[[], Any]]
    """Name -> the encoder, read when it is first asked for, or `Missing`; all but the judge and the pixels."""
    cache: FeatureCache
    """Features of real and translated images, and what follows from real ones alone."""
    size: EvaluationSize
    """How many images are scored."""
    protocols: tuple[Protocol, ...]
    """What is measured."""

    def encoder(self, name: str, target: int) -> Any:
        """The encoder called `name` for images of domain `target`, None for `pixels`, or `Missing`."""
        if name == "judge":
            return self.judge(target).encoder
        return None if name == "pixels" else self.encoders[name]()

    def measurable(self, names: Collection[str]) -> bool:
        """Whether any of the protocols called `names` has its encoder here."""
        needed = {protocol.encoder for protocol in self.protocols if protocol.name in names}
        return any(name in FREE or not isinstance(self.encoders[name](), Missing) for name in needed)


def make_instruments(
    results: Path, data: TaskData, preset: KindPreset, runtime: Runtime, protocols: Iterable[str]
) -> Instruments:
    """The judges (trained when a cell first asks, by one process, for all) and the encoders whose weights are there.

    `protocols` are measured beside those that always are and those of the preset. BenchError for an unknown one.
    """
    inception = cache(lambda: _load("inception", lambda path: InceptionEncoder(path, runtime.device)))
    return Instruments(
        judge=cache(lambda target: get_judge(results, data, target, preset.judge, runtime)),
        encoders={
            "inception": inception,
            "alexnet": cache(lambda: _load("alexnet", lambda path: LpipsAlexNet(path, runtime.device))),
        },
        cache=FeatureCache(results / "features"),
        size=preset.evaluation,
        protocols=select([*preset.evaluation.protocols, *protocols]),
    )


def _load(name: str, make: Callable[[Path], Any]) -> Any:
    """`make` of the weights called `name`, or `Missing`. BenchError if they are damaged."""
    path = find_weights(name)
    if path is None:
        return Missing(f"needs: bench fetch {name}")
    try:
        return make(path)
    except ValueError as error:
        raise BenchError(f"damaged or other weights: {error}", f"remove {path}, then: bench fetch {name}") from error
