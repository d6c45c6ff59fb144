"""The encoders of an evaluation: the judges, the networks whose weights are there, and the cache of their features."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from bench.core.device import Runtime
from bench.core.errors import BenchError
from bench.data.fetch.locate import locate_weights
from bench.data.types import TaskData
from bench.evaluation.feature_cache import FeatureCache
from bench.evaluation.judge import Judge, get_judge
from bench.evaluation.outside_metrics import OutsideEncoder
from bench.evaluation.probe import Probe, get_probe
from bench.spec.presets import EvaluationSize, KindPreset
from bench.spec.protocols import BROKEN, BROUGHT, FREE, OUTSIDE, Protocol, select_protocols
from metrics.encoders import (
    CLEAN,
    PYTORCH,
    TF1,
    Dinov2Encoder,
    InceptionEncoder,
    InceptionNetwork,
    LpipsAlexNet,
)
from metrics.plugin import SetMetric

T = TypeVar("T")


@dataclass(frozen=True)
class MissingEncoder:
    """An encoder whose weights or package are not installed."""

    remedy: str
    """Text that stands in the table instead of a value: what to type to get it."""


@dataclass(frozen=True)
class Encoders:
    """Encoders of one task's images, with what is measured by them; created once, shared by all methods and seeds."""

    judge: Callable[[int], Judge]
    """Domain index -> the judge of that domain."""
    probe: Callable[[int], Probe | MissingEncoder]
    """Domain index -> the probe of that domain, or `MissingEncoder` where its network is."""
    pretrained: Mapping[str, Callable[[], Any]]
    """Name -> the encoder, read when first asked for, or `MissingEncoder`; all but `judge`, `pixels` and the probe."""
    cache: FeatureCache
    """Features of real and translated images, and the floors, which follow from real images alone."""
    size: EvaluationSize
    """Number of images that are scored."""
    protocols: tuple[Protocol, ...]
    """Protocols that are measured."""

    def encoder(self, name: str, target: int) -> Any:
        """Encoder called `name` for images of domain `target`, or `MissingEncoder`; None for `pixels`, `categories`."""
        if name == "judge":
            return self.judge(target).encoder
        if name == "inception-probe":
            return self.probe(target)
        if name in ("pixels", "categories"):
            return None
        absent = MissingEncoder(f"there is no encoder called {name}, which the metric asks for")
        return self.pretrained.get(name, lambda: absent)()

    def measurable(self, names: Collection[str]) -> bool:
        """Whether any of the protocols called `names` has its encoder here."""
        needed = {protocol.encoder for protocol in self.protocols if protocol.name in names}
        networks = {"inception" if name == "inception-probe" else name for name in needed}
        return any(name in FREE or not isinstance(self.encoder(name, 0), MissingEncoder) for name in networks)


def make_encoders(
    results: Path, data: TaskData, preset: KindPreset, runtime: Runtime, protocols: Iterable[str]
) -> Encoders:
    """The judges (trained when a cell first asks, by one process, for all) and the encoders whose weights are there.

    `protocols` are measured beside those that always are and those of the preset. BenchError for an unknown one.
    """
    device = runtime.device
    network = cache(lambda: _load("inception", lambda path: InceptionNetwork(path, device)))
    features = FeatureCache(results / "features")
    inception = cache(lambda: _over(network(), lambda shared: InceptionEncoder(shared, TF1)))

    @cache
    def probe(target: int) -> Probe | MissingEncoder:
        encoder = inception()
        return encoder if isinstance(encoder, MissingEncoder) else get_probe(features, data, target, encoder)

    chosen = select_protocols([*preset.evaluation.protocols, *protocols])
    return Encoders(
        judge=cache(lambda target: get_judge(results, data, target, preset.judge, runtime)),
        probe=probe,
        pretrained={
            "inception": inception,
            "inception-bf16": cache(
                lambda: _over(network(), lambda shared: InceptionEncoder(shared.in_bfloat16(), TF1))
            ),
            "inception-pytorch": cache(lambda: _over(network(), lambda shared: InceptionEncoder(shared, PYTORCH))),
            "inception-clean": cache(lambda: _over(network(), lambda shared: InceptionEncoder(shared, CLEAN))),
            "dinov2": cache(lambda: _load("dinov2", lambda path: Dinov2Encoder(path, device))),
            "alexnet": cache(lambda: _load("alexnet", lambda path: LpipsAlexNet(path, device))),
            **{
                protocol.encoder: cache(partial(_brought, protocol.name))
                for protocol in chosen
                if protocol.encoder.startswith(BROUGHT)
            },
        },
        cache=features,
        size=preset.evaluation,
        protocols=chosen,
    )


def _brought(name: str) -> OutsideEncoder | MissingEncoder:
    """The encoder that the metric `name` brings; or why there is none."""
    metric = OUTSIDE.get(name)
    if not isinstance(metric, SetMetric) or isinstance(metric.encoder, str):
        return MissingEncoder(f"needs: a metric {name} that can be imported ({BROKEN.get(name, '')})")
    try:
        return OutsideEncoder(metric.encoder())
    except Exception as error:  # somebody's code may raise anything
        return MissingEncoder(f"needs: the encoder of {name} ({type(error).__name__}: {error})")


def _load(name: str, make: Callable[[Path], T]) -> T | MissingEncoder:
    """`make` of the weights called `name`, or `MissingEncoder`. BenchError if they are damaged."""
    path = locate_weights(name)
    if path is None:
        return MissingEncoder(f"needs: bench fetch {name}")
    try:
        return make(path)
    except ModuleNotFoundError as error:  # of a package that only this encoder needs; its text names the command
        return MissingEncoder(f"needs: {str(error).rpartition(': ')[2]}")
    except ValueError as error:
        raise BenchError(f"damaged or other weights: {error}", f"remove {path}, then: bench fetch {name}") from error


def _over(network: InceptionNetwork | MissingEncoder, make: Callable[[InceptionNetwork], InceptionEncoder]) -> Any:
    """An encoder over the one network that several share, or why that is missing."""
    return network if isinstance(network, MissingEncoder) else make(network)
