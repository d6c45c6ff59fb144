"""The numbers of a chart: one protocol for all of it; for each bar or point the mean, its interval and its seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from bench.core.errors import BenchError
from bench.reporting.figures.collect import CollectedCells, SlotCells
from bench.reporting.ranges import ends_over_images, metric_range, share_ends
from bench.reporting.setting import setting_command
from bench.spec.protocols import ALL, PROTOCOLS, only_one_protocol
from bench.store.query import MeasureKey, Measurement
from metrics.statistics.intervals import seed_interval

STYLE_ORDER = ("noise", "none", "exemplar")
"""Where translations with styles from several sources were scored: the methods' default stands in the figure."""

PublishedValue = Callable[[str, str, str], float | None]
"""(method, direction, metric) -> the paper's value, or None. For example ("cats_udt", "mnist->svhn", "accuracy")."""


@dataclass(frozen=True)
class ChartQuantity:
    """What is on the y axis."""

    metric: str
    """`accuracy` or `fid`."""
    name: str
    """Name on the axis."""
    protocols: tuple[str, ...]
    """Nearest to the paper's first. One is taken for a whole chart: the one that has most of its values."""


ACCURACY = ChartQuantity("accuracy", "translation accuracy", ("accuracy-judge-v1",))
FID_DIGITS = ChartQuantity(
    "fid", "FID",
    (
        "fid-pytorch-paper-test-v1", "fid-pytorch-test-v1", "fid-pytorch-v1", "fid-inception-v1", "fid-judge-v1",
    ),
)  # fmt: skip
"""The paper's digits are compared with the test set."""


@dataclass(frozen=True)
class SlotValues:
    """One slot in one direction, over all classes."""

    label: str
    method: str
    direction: str
    seeds: tuple[int, ...]
    """Seeds with a value."""
    values: tuple[float, ...]
    """Their values, in the order of `seeds`."""
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

    quantity: ChartQuantity
    protocol: str
    directions: tuple[str, ...]
    bars: tuple[tuple[SlotValues | None, ...], ...]
    """Slot by slot, direction by direction; None where there is no cell."""

    def measured(self, direction: str | None = None) -> list[SlotValues]:
        """The bars that have a value."""
        return [bar for slot in self.bars for bar in slot if bar and bar.values and direction in (None, bar.direction)]

    @property
    def axis_label(self) -> str:
        """`translation accuracy, % ↑ (accuracy-judge-v1)`."""
        known = PROTOCOLS[self.protocol]
        unit = f", {known.unit}" if known.unit else ""
        return f"{self.quantity.name}{unit} {'↑' if known.higher_is_better else '↓'}\n({self.protocol})"


ByEncoder = dict[tuple[str, str], dict[str, Measurement]]
"""(direction, protocol) -> what was measured of a slot by each encoder, over all classes."""


def figure_values(collected: CollectedCells, quantity: ChartQuantity) -> Chart:
    """The values of `quantity` over all classes.

    Raises BenchError for values of two encoders in one direction, and if there is no value at all.
    """
    measured = [_measurements(cells, quantity) if cells else {} for cells in collected.found]
    protocol = _protocol(measured, quantity)
    directions = tuple(dict.fromkeys(place for slot in measured for place, name in slot if name == protocol))
    for direction in directions:
        _one_encoder([slot.get((direction, protocol), {}) for slot in measured], direction)
    bars = tuple(
        tuple(
            _values(cells, slot.get((place, protocol), {}), protocol, place) if cells else None for place in directions
        )
        for cells, slot in zip(collected.found, measured, strict=True)
    )
    whole = Chart(quantity, protocol, directions, bars)
    if not whole.measured():
        reasons = dict.fromkeys(bar.missing for slot in bars for bar in slot if bar)
        states = dict.fromkeys(state for cells in collected.found if cells for state in cells.states)
        why = "; ".join(reasons) or "no metrics"
        raise BenchError(
            f"no {quantity.name} was measured of these cells ({', '.join(states)}): {why}",
            setting_command("evaluate", task=collected.task, preset=collected.setting.preset),
        )
    return whole


def _measurements(cells: SlotCells, quantity: ChartQuantity) -> ByEncoder:
    """What was measured over all classes by any of the protocols, of one source of styles: the first that has any."""
    by_style: dict[str, ByEncoder] = {}
    for direction, every in cells.records.directions.items():
        for scores in (scores for scores in every if scores.row == cells.row):
            for key, measurement in scores.measurements.items():
                if key.label == ALL and key.protocol in quantity.protocols:
                    of_style = by_style.setdefault(scores.style, {})
                    of_style.setdefault((direction, key.protocol), {})[key.encoder] = measurement
    return next((by_style[style] for style in STYLE_ORDER if style in by_style), {})


def _protocol(measured: Iterable[ByEncoder], quantity: ChartQuantity) -> str:
    """That by which most slots and directions have a value; of equals the one nearest to the paper's."""
    filled = [
        protocol
        for slot in measured
        for (_, protocol), by_encoder in slot.items()
        if any(measurement.values for measurement in by_encoder.values())
    ]
    return max(quantity.protocols, key=filled.count)  # the first of equals


def _one_encoder(slots: Iterable[dict[str, Measurement]], direction: str) -> None:
    encoders = [name for slot in slots for name, measurement in slot.items() if measurement.values]
    try:
        only_one_protocol(encoders, f"a chart of {direction}")
    except ValueError as error:
        raise BenchError(str(error), "score all of it again with one encoder: python -m bench evaluate") from error


def _values(cells: SlotCells, by_encoder: dict[str, Measurement], protocol: str, direction: str) -> SlotValues:
    """What was measured of a slot in one direction."""
    measurement = next((measurement for measurement in by_encoder.values() if measurement.values), None)
    scores = [
        score
        for encoder, each in by_encoder.items()
        for score in cells.records.scores(MeasureKey(protocol, encoder, ALL), each)
    ]
    known = {cells.records.seed(score.cell): score for score in scores if score.value is not None}
    seeds = tuple(sorted(known))
    values = [float(score.value) for seed in seeds if (score := known[seed]).value is not None]
    counts = measurement.counts if measurement else None
    over = seed_interval([*values, *[None] * (cells.seeds - len(values))], within=metric_range(protocol))
    over = over.widened(share_ends(protocol, over.mean, counts))
    low, high, kind = over.low, over.high, "seeds" if over.low is not None else ""
    if over.mean is not None and low is None and measurement and measurement.deviation is not None:
        low, high = ends_over_images(protocol, over.mean, measurement.deviation, counts) or (None, None)
        kind = "images" if low is not None else ""
    n, n_reference = known[seeds[0]].images if seeds else (0, 0)
    reasons = dict.fromkeys(score.missing for score in scores if score.missing)
    return SlotValues(
        label=cells.label, method=cells.method, direction=direction, seeds=seeds, values=tuple(values),
        begun=cells.seeds, low=low, high=high, over=kind, n=n, n_reference=n_reference,  # type: ignore[arg-type]
        on_real=_only(measurement.on_real if measurement else ()),
        floor=_only({floor.value for floor in measurement.floors} if measurement else ()),
        missing="" if values else "; ".join(reasons) or f"no value ({', '.join(cells.states)})",
    )  # fmt: skip


def _only(values: Iterable[float]) -> float | None:
    """The value that all cells share, if there is one."""
    shared = list(values)
    return shared[0] if len(shared) == 1 else None
