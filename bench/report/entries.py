"""One place of a table: a mean over seeds, an interval, what real images get, or why there is nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.protocol import PROTOCOLS, only_one
from bench.report.collect import Setting
from bench.scoring import ALL
from bench.tables.table import Cell, Column, images, number, spread
from metrics.intervals import NORMAL_95, seed_interval

if TYPE_CHECKING:
    import pandas as pd


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

    def of(self, records: pd.DataFrame) -> pd.DataFrame:
        """Its records, with those that say why there is no value."""
        return records[(records["protocol"] == self.protocol) & records["encoder"].isin([self.encoder, ""])]


def sources(records: pd.DataFrame, protocols: Sequence[str]) -> list[Source]:
    """The columns of `records`, in the order of `protocols`."""
    found = []
    for protocol in protocols:
        encoders = sorted(set(records.loc[records["protocol"] == protocol, "encoder"]))
        named = [encoder for encoder in encoders if encoder or encoders == [""]]
        found += [Source(protocol, encoder, len(named) > 1) for encoder in named]
    return found


def of_direction(setting: Setting, direction: str, label: str = ALL) -> pd.DataFrame:
    """The records of one direction and class."""
    scored = setting.scored
    return scored[(scored["direction"] == direction) & (scored["label"] == label)]


def mean_over_seeds(setting: Setting, records: pd.DataFrame, row: str) -> Cell:
    """Mean and deviation over seeds, or why there is none. ValueError for records of several protocols or encoders."""
    measured = records[records["value"].notna()]
    only_one(list(measured["protocol"]), "a table's cell")
    only_one(list(measured["encoder"]), "a table's cell")
    if measured.empty:
        reasons = [reason for reason in dict.fromkeys(records["missing"].fillna("")) if reason]
        return Cell(missing="; ".join(reasons), role="ours")
    values = measured["value"]
    counts = {(int(n), int(m)) for n, m in zip(measured["n"], measured["n_reference"], strict=True)}
    return Cell(
        value=float(values.mean()),
        deviation=float(values.std(ddof=1)) if len(values) > 1 else None,
        seeds=(len(values), setting.begun(row)),
        images=counts.pop() if len(counts) == 1 else None,
        role="ours",
    )


def over_images(records: pd.DataFrame, begun: int) -> Cell:
    """95 % because images are a sample. The seeds share theirs, so their mean is as uncertain as each of them."""
    known = records[records["deviation"].notna()]
    if known.empty:
        return Cell(role="ours")
    only_one(list(known["protocol"]), "an interval over images")
    value, reach = float(known["value"].mean()), NORMAL_95 * float(known["deviation"].mean())
    return Cell(value=value, low=value - reach, high=value + reach, role="ours")


def over_seeds(records: pd.DataFrame, begun: int) -> Cell:
    """95 % because trainings differ; nothing where there is one."""
    values = list(records["value"].dropna())
    found = seed_interval([*values, *[None] * (begun - len(values))])
    if found.mean is None or found.low is None or found.high is None:
        return Cell(role="ours")
    return Cell(value=found.mean, low=found.low, high=found.high, seeds=(found.k, found.n), role="ours")


def reason(status: dict[str, Any]) -> str:
    """Why a cell failed, and at which step."""
    step = status.get("step")
    return f"{status.get('reason', 'no reason recorded')}" + (f" (step {step})" if step is not None else "")


def on_real(records: pd.DataFrame) -> Cell | None:
    """What the same encoder says of the target domain's own test images: the ceiling of a translation accuracy."""
    values = records["on_real"].dropna().unique()
    return Cell(value=float(values[0]), role="reference") if len(values) == 1 else None


def floor(records: pd.DataFrame) -> Cell | None:
    """What real images get against others: with its n where that is not the values' own, one for each n of these."""
    known = records[records["floor"].notna()].drop_duplicates(["n", "floor_n", "floor_reference"])
    if known.empty:
        return None
    found = [
        (float(row.floor), _known(row.floor_deviation), images((int(row.floor_n), int(row.floor_reference))))
        for row in known.itertuples()
    ]
    if len(known) == 1 and known["floor_n"].iloc[0] == known["n"].iloc[0]:
        return Cell(value=found[0][0], deviation=found[0][1], role="reference")
    texts = [
        number(value) + (f" ± {spread(deviation)}" if deviation is not None else "") + f" ({counts})"
        for value, deviation, counts in found
    ]
    return Cell("; ".join(texts), role="reference")


def _known(value: float | None) -> float | None:
    """A number of a frame, in which what is absent may be NaN."""
    return None if value is None or math.isnan(value) else float(value)
