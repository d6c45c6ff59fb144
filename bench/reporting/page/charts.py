"""LossCurves and scatter plots as geometry: what is drawn where. The template draws it as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.reporting.page.collect import PageResults

# ---------------------------------------------------------------------------------------------------------- curves

POINTS = 48
"""A curve has at most so many points; each is the mean of the steps that it stands for."""
CURVE = (200, 64)
"""Width and height of a curve's plot, in SVG units."""


@dataclass(frozen=True)
class ChartLine:
    """One seed's curve."""

    seed: int
    style: int
    """Which of the line styles: the place of the seed among the row's."""
    paths: tuple[str, ...]
    """Points of each unbroken stretch, as SVG wants them; values that are not finite break a curve."""


@dataclass(frozen=True)
class ChartCurve:
    """One loss of one row, over the steps."""

    loss: str
    low: str
    high: str
    """Ends of the vertical axis."""
    last_step: int
    lines: tuple[ChartLine, ...]
    text: str
    """The same in words."""


@dataclass(frozen=True)
class LossCurves:
    """The losses of one row."""

    row: str
    seeds: tuple[int, ...]
    phases: tuple[tuple[str, tuple[ChartCurve, ...]], ...]
    """(what an update trains, its losses), in the order of the updates."""


def loss_charts(results: PageResults) -> list[LossCurves]:
    """Names of the rows that have a log."""
    charts = []
    for row in results.rows.values():
        logs = {cell.seed: log for cell in row.cells if (log := cell.losses())}
        if not logs:
            continue
        names = dict.fromkeys(name for log in logs.values() for _, losses in log for name in losses)
        phases: dict[str, list[ChartCurve]] = {}
        for name in names:
            update, _, loss = name.rpartition(".")
            curve = _curve(loss, {seed: [(step, losses[name]) for step, losses in log if name in losses]
                                  for seed, log in logs.items()})  # fmt: skip
            if curve:
                phases.setdefault(_update(update), []).append(curve)
        charts.append(LossCurves(row.name, tuple(logs), tuple((name, tuple(phase)) for name, phase in phases.items())))
    return charts


def _update(name: str) -> str:
    """`2:generator+mapping_network` -> `update 3: generator, mapping_network`."""
    number, _, trains = name.partition(":")
    return f"update {int(number) + 1}: {trains.replace('+', ', ')}" if number.isdecimal() and trains else name


def _curve(loss: str, by_seed: dict[int, list[tuple[int, float]]]) -> ChartCurve | None:
    thinned = {seed: thin_for_chart(points) for seed, points in by_seed.items()}
    values = [value for points in thinned.values() for _, value in points if math.isfinite(value)]
    if not values:
        return None
    low, high = min(values), max(values)
    last = max(step for points in thinned.values() for step, _ in points)
    lines = tuple(
        ChartLine(seed, place, tuple(_stretches(points, last, low, high)))
        for place, (seed, points) in enumerate(thinned.items())
    )
    said = "; ".join(
        f"seed {seed}: {points[0][1]:.3g} at step {points[0][0]}, {points[-1][1]:.3g} at step {points[-1][0]}"
        for seed, points in thinned.items()
        if points
    )
    return ChartCurve(loss, f"{low:.3g}", f"{high:.3g}", last, lines, f"{loss}: {said}")


def thin_for_chart(points: Sequence[tuple[int, float]], most: int = POINTS) -> list[tuple[int, float]]:
    """At most `most` points: the last step and the mean value of stretches of equal numbers of points."""
    size = max(1, -(-len(points) // most))
    stretches = [points[start : start + size] for start in range(0, len(points), size)]
    return [(stretch[-1][0], sum(value for _, value in stretch) / len(stretch)) for stretch in stretches]


def _stretches(points: Sequence[tuple[int, float]], last: int, low: float, high: float) -> Iterator[str]:
    width, height = CURVE
    part: list[str] = []
    for step, value in points:
        if math.isfinite(value):
            x = width * step / max(last, 1)
            y = height * (1 - (value - low) / (high - low)) if high > low else height / 2
            part.append(f"{x:.0f},{y:.1f}")
        elif part:
            yield " ".join(part)
            part = []
    if part:
        yield " ".join(part)


# --------------------------------------------------------------------------------------------------------- scatter

PLOT = (300, 200)
"""Width and height of a scatter plot's area, in SVG units."""
MOST_NAMES = 24
"""Where there are more points, those on the front alone bear their names; all are in the table."""
CHARACTER, LINE_HEIGHT = 6.8, 13
"""Size of a label's letters, about."""


@dataclass(frozen=True)
class ChartPoint:
    """A method: what it costs, and how good it is."""

    name: str
    cost: float
    quality: float
    spread: float | None = None
    """Standard deviation of the quality over seeds."""


@dataclass(frozen=True)
class ChartMark:
    """A point as drawn."""

    point: ChartPoint
    best: bool
    """Whether it is on the Pareto front."""
    x: float
    y: float
    bar: tuple[float, float] | None
    """Both ends of quality ± spread, vertically."""
    label: tuple[float, float] | None
    """Where its name begins; None: it does not bear one."""


@dataclass(frozen=True)
class ScatterChart:
    """Cost against quality."""

    x_name: str
    y_name: str
    higher_is_better: bool
    marks: tuple[ChartMark, ...]
    x_ticks: tuple[tuple[float, str], ...]
    """(place, text)."""
    y_ticks: tuple[tuple[float, str], ...]
    front: str
    """The front as a staircase, as SVG wants it."""


def pareto_front_on_chart(points: Sequence[tuple[float, float]], higher_is_better: bool) -> list[bool]:
    """Whether each (cost, quality) is on the front: no other is at least as good in both and better in one."""
    sign = 1 if higher_is_better else -1
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -sign * points[i][1]))
    best, on = -math.inf, [False] * len(points)
    held: tuple[float, float] | None = None
    for i in order:
        quality = sign * points[i][1]
        if quality > best or points[i] == held:
            best, on[i], held = quality, True, points[i]
    return on


def scatter_chart(points: Sequence[ChartPoint], x_name: str, y_name: str, higher_is_better: bool) -> ScatterChart:
    """The plot of at least one point. Costs begin at 0."""
    width, height = PLOT
    spreads = [point.spread or 0.0 for point in points]
    lows = [point.quality - spread for point, spread in zip(points, spreads, strict=True)]
    highs = [point.quality + spread for point, spread in zip(points, spreads, strict=True)]
    x_ticks, y_ticks = chart_ticks(0.0, max(point.cost for point in points)), chart_ticks(min(lows), max(highs))
    across = lambda value: width * (value - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])  # noqa: E731
    up = lambda value: height * (1 - (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]))  # noqa: E731
    places = [(across(point.cost), up(point.quality)) for point in points]
    best = pareto_front_on_chart([(point.cost, point.quality) for point in points], higher_is_better)
    named = [i for i in range(len(points)) if best[i] or len(points) <= MOST_NAMES]
    bars = [(up(p.quality - p.spread), up(p.quality + p.spread)) if p.spread else None for p in points]
    stairs = _stairs(sorted(place for place, on in zip(places, best, strict=True) if on))
    drawn = [(x - 2, bar[1], x + 2, bar[0]) for (x, _), bar in zip(places, bars, strict=True) if bar]
    drawn += [(min(a, c) - 2, min(b, d) - 2, max(a, c) + 2, max(b, d) + 2) for (a, b), (c, d) in pairwise(stairs)]
    labels = dict(zip(named, place_chart_labels(places, {i: points[i].name for i in named}, drawn), strict=True))
    marks = tuple(
        ChartMark(point, on, x, y, bar, labels.get(i))
        for i, (point, on, (x, y), bar) in enumerate(zip(points, best, places, bars, strict=True))
    )
    return ScatterChart(
        x_name, y_name, higher_is_better, marks, tuple((across(tick), f"{tick:g}") for tick in x_ticks),
        tuple((up(tick), f"{tick:g}") for tick in y_ticks), " ".join(f"{x:.1f},{y:.1f}" for x, y in stairs),
    )  # fmt: skip


def _stairs(front: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of the front: from each of its points level up to the next one's cost, and on to the right edge."""
    corners = [front[0]]
    for (_, before), (x, y) in pairwise(front):
        corners += [(x, before), (x, y)]
    return [*corners, (float(PLOT[0]), front[-1][1])]


def chart_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers, evenly spaced, that enclose [low, high]: two at least."""
    # Never finer than the millionth of the values: nobody reads such ticks, and floats run out of digits for them.
    span = max(high - low, 1e-6 * max(abs(low), abs(high))) if high > low else abs(high) or 1.0
    raw = max(span / (most - 1), 1e-300)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return [float(f"{place * step:.12g}") for place in range(first, last + 1)]


Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def place_chart_labels(
    places: Sequence[tuple[float, float]], names: Mapping[int, str], drawn: Sequence[Box] = ()
) -> list[tuple[float, float]]:
    """Where each of `names` (of the points at `places`) begins.

    Beside its point, where it covers neither a point nor an earlier name nor what is `drawn`, and keeps within the
    plot, if there is room.
    """
    taken = [*drawn, *((x - 5, y - 5, x + 5, y + 5) for x, y in places)]
    placed = []
    for i, name in names.items():
        x, y = places[i]
        size = CHARACTER * len(name)
        offers = [
            (left, base)
            for base in (y + 4, y - 9, y + 17, y - 22, y + 30, y - 35, y + 43)
            for left in (x + 9, x - 9 - size, x - size / 2)
            if not (left != x + 9 and left != x - 9 - size and base == y + 4)
        ]
        boxes = [(left, base - LINE_HEIGHT + 3, left + size, base + 3) for left, base in offers]
        scores = [
            (sum(_overlap(box, other) for other in taken) + _outside(box), rank) for rank, box in enumerate(boxes)
        ]
        best = min(scores)[1]
        taken.append(boxes[best])
        placed.append(offers[best])
    return placed


def _overlap(a: Box, b: Box) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return wide * high if wide > 0 and high > 0 else 0.0


def _outside(box: Box) -> float:
    """The area that lies outside the plot."""
    inside = _overlap(box, (0.0, 0.0, float(PLOT[0]), float(PLOT[1])))
    return (box[2] - box[0]) * (box[3] - box[1]) - inside
