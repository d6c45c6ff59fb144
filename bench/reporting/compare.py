"""Two methods side by side: the difference of each metric, paired over images and over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.core.device import Runtime
from bench.core.errors import BenchError
from bench.core.terminal import show_on_terminal
from bench.data.load import load_data
from bench.data.types import TaskData
from bench.evaluation.distributions import DISTRIBUTIONS
from bench.evaluation.encoders import Encoders, MissingEncoder, make_encoders
from bench.evaluation.score import PER_SOURCE, Scoring, reference_features, translation_features
from bench.evaluation.translate import Translations, scored_translations
from bench.reporting.ranges import metric_range
from bench.reporting.tables.table import table_number
from bench.spec.presets import get_preset
from bench.spec.protocols import Protocol
from bench.spec.tasks import get_task
from bench.spec.where import Where
from bench.store.cell import cell_direction_file, read_cells
from metrics.parts.input_checks import pinned_blas
from metrics.statistics.bounded import paired_share_difference
from metrics.statistics.intervals import paired_mean_difference, seed_interval


@dataclass(frozen=True, kw_only=True)
class CompareRequest(Where):
    """What the user asked for, as typed."""

    first: str
    """Name of a method."""
    second: str
    """Name of another."""
    device: str
    """As for `run`."""


@dataclass(frozen=True)
class MethodDifference:
    """First minus second, by one protocol in one direction."""

    direction: str
    protocol: str
    seeds: tuple[int, ...]
    """Seeds that both methods have."""
    first: float
    """Mean over these seeds."""
    second: float
    """Mean over these seeds."""
    low: float
    """95 % over images, low end, mean over seeds: Newcombe's for shares, else difference - 1.96 paired deviations."""
    high: float
    """High end."""
    seeds_low: float | None
    """95 % over seeds of the paired differences, inside the range that differences can have; None for one seed."""
    seeds_high: float | None
    """High end."""


def compare_methods(request: CompareRequest) -> int:
    """Print the paired differences of every protocol that both methods' stored translations can be measured by.

    Returns 0. Raises BenchError where a method has no scored cell, or cells with several settings.
    """
    task = get_task(request.task)
    preset = get_preset(request.preset, task.kind)
    data = load_data(task, request.data, task.sizes[request.preset], request.domains, request.val)
    runtime = Runtime(request.device, task.sizes[request.preset])
    encoders = make_encoders(request.results, data, preset, runtime, ())
    cells = [_cells(request, data, name) for name in (request.first, request.second)]
    seeds = sorted(set(cells[0]) & set(cells[1]))
    if not seeds:
        raise BenchError(
            f"{request.first} has seeds {sorted(cells[0])}, {request.second} {sorted(cells[1])}: none in common",
            f"python -m bench run --task {task.name} --methods {request.first},{request.second} --seeds 0,1,2",
        )
    differences: list[MethodDifference] = []
    for direction in task.directions:
        pairs = [tuple(_stored(by_seed[seed], data, direction, encoders) for by_seed in cells) for seed in seeds]
        differences += _differences(data, direction, [(a, b) for a, b in pairs], tuple(seeds), encoders)
    show_on_terminal(_table(request, differences))
    return 0


def _cells(request: CompareRequest, data: TaskData, method: str) -> dict[int, Any]:
    """Seed -> the scored cell of `method` on this data and preset."""
    chosen = [
        cell
        for cell in read_cells(request.results, get_task(request.task).name)
        if cell["spec"]["method"] == method
        and (cell["spec"]["preset"], cell["spec"]["data_version"]) == (request.preset, data.version)
        and cell["scores"]
    ]
    by_seed: dict[int, Any] = {}
    for cell in chosen:
        other = by_seed.setdefault(cell["spec"]["seed"], cell)
        if other is not cell:
            raise BenchError(
                f"{method} seed {cell['spec']['seed']} was run with several settings or budgets: "
                f"{other['folder'].name}, {cell['folder'].name}",
                "compare in a results folder that holds one of them",
            )
    if not by_seed:
        raise BenchError(
            f"no scored cell of {method} with this data and preset in {request.results}",
            f"python -m bench run --task {request.task} --methods {method}",
        )
    return by_seed


def _stored(cell: Any, data: TaskData, direction: tuple[int, int], encoders: Encoders) -> Translations:
    """The translations that the cell's metrics were made from; BenchError if they are not what these say."""
    name = f"{data.domains[direction[0]]}->{data.domains[direction[1]]}"
    style, score = next(iter(sorted(cell["scores"].items())))
    path = cell["folder"] / f"translations-{cell_direction_file(name)}-{style}.npy"
    translations = scored_translations(
        path, score["images"].get(name), data, direction, encoders.size.sources_per_class
    )
    if translations is None:
        raise BenchError(
            f"{path}: not the translations that {path.parent.name} was scored with",
            f"python -m bench evaluate --task {cell['spec']['task']} --methods {cell['spec']['method']}",
        )
    return translations


def _differences(
    data: TaskData, direction: tuple[int, int], pairs: Sequence[tuple[Translations, Translations]],
    seeds: tuple[int, ...], encoders: Encoders,
) -> Iterator[MethodDifference]:  # fmt: skip
    name = f"{data.domains[direction[0]]}->{data.domains[direction[1]]}"
    for protocol in encoders.protocols:
        encoder = encoders.encoder(protocol.encoder, direction[1])
        if isinstance(encoder, MissingEncoder) or not _can_be_paired(protocol):
            continue
        sides = [[Scoring(data, translations, encoders, encoder, "") for translations in pair] for pair in pairs]
        with pinned_blas():
            each = [_paired(protocol, a, b) for a, b in sides]
        first, second, low, high = np.mean(each, axis=0).tolist()
        within = metric_range(protocol.name)
        over_seeds = seed_interval([a - b for a, b, *_ in each], within=within.of_differences)
        over_seeds = over_seeds.widened((low, high) if within.share else None)
        yield MethodDifference(name, protocol.name, seeds, first, second, low, high, over_seeds.low, over_seeds.high)


def _can_be_paired(protocol: Protocol) -> bool:
    if protocol.metric in DISTRIBUTIONS:
        return DISTRIBUTIONS[protocol.metric].paired is not None and not protocol.unrounded
    return protocol.metric in PER_SOURCE


def _paired(protocol: Protocol, first: Scoring, second: Scoring) -> tuple[float, float, float, float]:
    """Value of the first, of the second, and the ends of the interval over images of their difference."""
    within = metric_range(protocol.name)
    if protocol.metric in PER_SOURCE:
        a, b = PER_SOURCE[protocol.metric](first), PER_SOURCE[protocol.metric](second)
        if within.share:
            low, high = paired_share_difference(a / within.high, b / within.high)
            return float(a.mean()), float(b.mean()), within.high * low, within.high * high
        difference = paired_mean_difference(a, b)
        return float(a.mean()), float(b.mean()), difference.low, difference.high
    how = DISTRIBUTIONS[protocol.metric]
    assert how.paired is not None
    x, y = translation_features(first, protocol)[0], translation_features(second, protocol)[0]
    real = reference_features(first, protocol)[0]
    values = [how.values(features, real)[protocol.metric] for features in (x, y)]
    interval = how.paired(x, y, real)
    return values[0], values[1], interval.low, interval.high


def _table(request: CompareRequest, differences: Sequence[MethodDifference]) -> str:
    from tabulate import tabulate

    rows = [
        [
            d.direction, d.protocol, table_number(d.first), table_number(d.second), table_number(d.first - d.second),
            f"{table_number(d.low)} to {table_number(d.high)}",
            ""
            if d.seeds_low is None or d.seeds_high is None
            else f"{table_number(d.seeds_low)} to {table_number(d.seeds_high)}",
            ", ".join(map(str, d.seeds)),
        ]
        for d in differences
    ]  # fmt: skip
    headers = ["direction", "protocol", request.first, request.second, "difference", "95 % over images, paired",
               "95 % over seeds, paired", "of seeds"]  # fmt: skip
    note = f"difference: {request.first} minus {request.second}. An interval without 0: more than chance explains, " \
        "over images of these trainings only, over seeds of the methods (needs two seeds of both)."  # fmt: skip
    return f"{tabulate(rows, headers=headers, tablefmt='github', disable_numparse=True)}\n\n{note}"
