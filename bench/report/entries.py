"""One place of a table: a mean over seeds, an interval, what real images get, or why there is nothing."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.protocol import PROTOCOLS, only_one
from bench.report.collect import Scored, Setting
from bench.tables.table import Cell, Column, images, number, spread
from metrics.intervals import NORMAL_95, seed_interval

Key = tuple[str, str]
"""(row, style source): what a line of a table is about."""


@dataclass(frozen=True)
class Source:
    """One column of numbers: values of different protocols, or by different weights, never share one."""

    protocol: str
    encoder: str
    """First digits of the encoder's identity; empty if it is missing in all cells."""
    shown: bool
    """Whether the encoder stands in the heading: the protocol has several."""

    @property
    def name(self) -> str:
        """Protocol, and encoder where there are several."""
        return self.protocol + (f" [{self.encoder}]" if self.shown else "")

    def column(self) -> Column:
        """Its heading."""
        of = PROTOCOLS[self.protocol]
        return Column(self.name, unit=of.unit, better="higher" if of.higher_is_better else "lower")

    def of(self, records: Iterable[Scored]) -> list[Scored]:
        """Its records, with those that say why there is no value."""
        return [r for r in records if r.protocol == self.protocol and r.encoder in (self.encoder, "")]


def sources(records: Iterable[Scored], protocols: Sequence[str]) -> list[Source]:
    """The columns of `records`, in the order of `protocols`."""
    encoders: dict[str, set[str]] = {}
    for record in records:
        encoders.setdefault(record.protocol, set()).add(record.encoder)
    found = []
    for protocol in protocols:
        known = encoders.get(protocol, set())
        named = sorted(known - {""}) or sorted(known)
        found += [Source(protocol, encoder, len(named) > 1) for encoder in named]
    return found


def by_key(records: Iterable[Scored]) -> dict[Key, list[Scored]]:
    """The records of each line, in the order in which lines first come."""
    found: dict[Key, list[Scored]] = {}
    for record in records:
        found.setdefault((record.row, record.style), []).append(record)
    return found


def mean_over_seeds(setting: Setting, records: Sequence[Scored], row: str) -> Cell:
    """Mean and deviation over seeds, or why there is none. ValueError for records of several protocols or encoders."""
    measured = [record for record in records if record.value is not None]
    only_one([record.protocol for record in measured], "a table's cell")
    only_one([record.encoder for record in measured], "a table's cell")
    values = valued(records)
    if not values:
        reasons = dict.fromkeys(record.missing for record in records if record.missing)
        return Cell(missing="; ".join(reasons), role="ours")
    counts = {(record.n, record.n_reference) for record in measured}
    return Cell(
        value=statistics.fmean(values),
        deviation=statistics.stdev(values) if len(values) > 1 else None,
        seeds=(len(values), setting.begun(row)),
        images=counts.pop() if len(counts) == 1 else None,
        role="ours",
    )


def valued(records: Iterable[Scored]) -> list[float]:
    """The values that there are."""
    return [record.value for record in records if record.value is not None]


def deviation_over_images(records: Iterable[Scored]) -> float | None:
    """Mean over seeds: these share their images, so their mean is as uncertain over images as each of them."""
    known = [record.deviation for record in records if record.deviation is not None and record.value is not None]
    return statistics.fmean(known) if known else None


def over_images(records: Sequence[Scored], begun: int) -> Cell:
    """95 % because images are a sample."""
    known = [record for record in records if record.deviation is not None and record.value is not None]
    only_one([record.protocol for record in known], "an interval over images")
    deviation = deviation_over_images(known)
    if deviation is None:
        return Cell(role="ours")
    value, reach = statistics.fmean(valued(known)), NORMAL_95 * deviation
    return Cell(value=value, low=value - reach, high=value + reach, role="ours")


def over_seeds(records: Sequence[Scored], begun: int) -> Cell:
    """95 % because trainings differ; nothing where there is one."""
    values = valued(records)
    found = seed_interval([*values, *[None] * (begun - len(values))])
    if found.mean is None or found.low is None or found.high is None:
        return Cell(role="ours")
    return Cell(value=found.mean, low=found.low, high=found.high, seeds=(found.k, found.n), role="ours")


def reason(status: dict[str, Any]) -> str:
    """Why a cell failed, and at which step."""
    step = status.get("step")
    return f"{status.get('reason', 'no reason recorded')}" + (f" (step {step})" if step is not None else "")


def on_real(records: Iterable[Scored]) -> Cell | None:
    """What the same encoder says of the target domain's own test images: the ceiling of a translation accuracy."""
    values = {record.on_real for record in records if record.on_real is not None}
    return Cell(value=values.pop(), role="reference") if len(values) == 1 else None


def floor(records: Iterable[Scored]) -> Cell | None:
    """What real images get against others: with its n where that is not the values' own, one for each n of these."""
    known = {
        (record.n, record.floor_n, record.floor_reference): (record.floor, record.floor_deviation)
        for record in records
        if record.floor is not None
    }
    if not known:
        return None
    (n, floor_n, _), (value, deviation) = next(iter(known.items()))
    if len(known) == 1 and floor_n == n:
        return Cell(value=value, deviation=deviation, role="reference")
    texts = [
        number(value) + (f" ± {spread(deviation)}" if deviation is not None else "") + f" ({images((n, real))})"
        for (_, n, real), (value, deviation) in known.items()
        if value is not None
    ]
    return Cell("; ".join(texts), role="reference")
