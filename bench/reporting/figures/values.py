"""The numbers of a chart: one protocol for all of it; for each bar or point the mean, its interval and its seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from bench.core.errors import BenchError
from bench.reporting.figures.collect import Collected, Found
from bench.spec.protocols import PROTOCOLS, only_one
from metrics.statistics.intervals import NORMAL_95, seed_interval

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
"""Label of the records that pool every class."""
STYLE_ORDER = ("noise", "none", "exemplar")
"""Where translations with styles from several sources were scored: the methods' default stands in the figure."""

PublishedValue = Callable[[str, str, str], float | None]
"""(method, direction, metric) -> the paper's value, or None. For example ("cats_udt", "mnist->svhn", "accuracy")."""


@dataclass(frozen=True)
class Quantity:
    """What is on the y axis."""

    metric: str
    """`accuracy` or `fid`."""
    name: str
    """For the axis label."""
    protocols: tuple[str, ...]
    """Nearest to the paper's first. One is taken for a whole chart: the one that has most of its values."""


ACCURACY = Quantity("accuracy", "translation accuracy", ("accuracy-judge-v1",))
FID_DIGITS = Quantity(
    "fid", "FID",
    (
        "fid-pytorch-paper-test-v1", "fid-pytorch-test-v1", "fid-pytorch-v1", "fid-inception-v1", "fid-judge-v1",
    ),
)  # fmt: skip
"""The paper's digits are compared with the test set."""


@dataclass(frozen=True)
class Measured:
    """One slot in one direction, over all classes."""

    label: str
    method: str
    direction: str
    seeds: tuple[int, ...]
    """Seeds with a value."""
    values: tuple[float, ...]
    """Theirs."""
    begun: int
    """Cells that were begun, failed ones too."""
    low: float | None
    """95 %: of the mean over seeds (t) from 2 seeds on, else over images where their deviation is known."""
    high: float | None
    over: Literal["seeds", "images", ""]
    """What the interval is over."""
    n: int
    n_reference: int
    on_real: float | None
    """What the same encoder says of the target domain's own test images."""
    floor: float | None
    """The same metric between real images, at n."""
    missing: str
    """Why no seed has a value."""

    @property
    def mean(self) -> float:
        """Over seeds; ValueError if there is no value."""
        return fmean(self.values)


@dataclass(frozen=True)
class Chart:
    """All numbers of one chart."""

    quantity: Quantity
    protocol: str
    directions: tuple[str, ...]
    bars: tuple[tuple[Measured | None, ...], ...]
    """Slot by slot, direction by direction; None where there is no cell."""

    def measured(self, direction: str | None = None) -> list[Measured]:
        """Those that have a value."""
        return [bar for slot in self.bars for bar in slot if bar and bar.values and direction in (None, bar.direction)]

    @property
    def axis_label(self) -> str:
        """`translation accuracy, % ↑ (accuracy-judge-v1)`."""
        known = PROTOCOLS[self.protocol]
        unit = f", {known.unit}" if known.unit else ""
        return f"{self.quantity.name}{unit} {'↑' if known.higher_is_better else '↓'}\n({self.protocol})"


def chart(collected: Collected, quantity: Quantity) -> Chart:
    """The values of `quantity` over all classes.

    Raises BenchError for values of two encoders in one direction, and if there is no value at all.
    """
    pooled = [_pooled(found, quantity) for found in collected.found]
    protocol = _protocol(pooled, quantity)
    own = [None if rows is None else rows[rows["protocol"] == protocol] for rows in pooled]
    directions = tuple(dict.fromkeys(d for rows in own if rows is not None for d in rows["direction"]))
    for direction in directions:
        _one_encoder([rows[rows["direction"] == direction] for rows in own if rows is not None], direction)
    bars = tuple(
        tuple(None if found is None else _measure(found, rows, direction) for direction in directions)
        for found, rows in zip(collected.found, own, strict=True)
    )
    made = Chart(quantity, protocol, directions, bars)
    if not made.measured():
        reasons = dict.fromkeys(bar.missing for slot in bars for bar in slot if bar)
        states = dict.fromkeys(state for found in collected.found if found for state in found.rows["state"])
        why = "; ".join(reasons) or "no metrics"
        raise BenchError(
            f"no {quantity.name} was measured of these cells ({', '.join(states)}): {why}",
            f"python -m bench evaluate --task {collected.setting.task} --preset {collected.setting.preset}",
        )
    return made


def _pooled(found: Found | None, quantity: Quantity) -> pd.DataFrame | None:
    """The records of all classes together, by any of the protocols, of one source of styles."""
    if found is None:
        return None
    if "metric" not in found.rows:
        return found.rows.iloc[:0].assign(protocol="", direction="", value=None, encoder="")
    rows = found.rows[(found.rows["label"] == ALL) & found.rows["protocol"].isin(quantity.protocols)]
    style = next((style for style in STYLE_ORDER if (rows["style"] == style).any()), "")
    return rows[rows["style"] == style]


def _protocol(pooled: Iterable[pd.DataFrame | None], quantity: Quantity) -> str:
    """That by which most slots and directions have a value; of equals the one nearest to the paper's."""
    there = [rows[rows["value"].notna()] for rows in pooled if rows is not None]
    filled = {
        protocol: sum(rows.loc[rows["protocol"] == protocol, "direction"].nunique() for rows in there)
        for protocol in quantity.protocols
    }
    return max(quantity.protocols, key=lambda protocol: filled[protocol])  # the first of equals


def _one_encoder(parts: Sequence[pd.DataFrame], direction: str) -> None:
    encoders = [str(name) for rows in parts for name in rows.loc[rows["value"].notna(), "encoder"]]
    try:
        only_one(encoders, f"a chart of {direction}")
    except ValueError as error:
        raise BenchError(str(error), "score all of it again with one encoder: python -m bench evaluate") from error


def _measure(found: Found, rows: pd.DataFrame | None, direction: str) -> Measured:
    assert rows is not None
    own = rows[rows["direction"] == direction]
    known = own[own["value"].notna()].drop_duplicates("identity").sort_values("seed")
    only_one(list(known["protocol"]), "a bar")
    values = [float(value) for value in known["value"]]
    over = seed_interval([*values, *[None] * (found.seeds - len(values))])
    low, high, kind = over.low, over.high, "seeds" if over.low is not None else ""
    if over.mean is not None and low is None and "deviation" in known and known["deviation"].notna().any():
        reach = NORMAL_95 * float(known["deviation"].mean())
        low, high, kind = over.mean - reach, over.mean + reach, "images"
    first = known.iloc[0] if len(known) else None
    return Measured(
        label=found.label, method=found.method, direction=direction, seeds=tuple(map(int, known["seed"])),
        values=tuple(values), begun=found.seeds, low=low, high=high, over=kind,  # type: ignore[arg-type]
        n=int(first["n"]) if first is not None else 0,
        n_reference=int(first["n_reference"]) if first is not None else 0,
        on_real=_number(known, "on_real"), floor=_number(known, "floor"),
        missing="" if values else _reason(found, own),
    )  # fmt: skip


def _number(rows: pd.DataFrame, column: str) -> float | None:
    """The value that all rows share, if there is one."""
    values = rows[column].dropna().unique() if column in rows else []
    return float(values[0]) if len(values) == 1 else None


def _reason(found: Found, rows: pd.DataFrame) -> str:
    reasons = [str(reason) for reason in rows["missing"] if reason] if "missing" in rows else []
    states = dict.fromkeys(found.rows["state"])
    return "; ".join(dict.fromkeys(reasons)) or f"no value ({', '.join(states)})"
