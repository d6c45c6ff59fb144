"""Cost against quality: which method gives the most for its training, in one direction."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.protocol import PROTOCOLS
from bench.report.boards import WEAK, WEAK_NOTE
from bench.report.charts import Point, Scatter, scatter
from bench.report.collect import Setting, StoredCell
from bench.report.entries import Source, by_key, sources, valued
from bench.tables.table import Cell, Column, Footnote, Group, Table

METRICS = ("accuracy", "fid")
"""Each against the seconds; by the first protocol, in the order of PROTOCOLS, that has values."""
COST = "training + stages"


@dataclass(frozen=True)
class Tradeoff:
    """The plots of one direction, and the same as a table."""

    plots: tuple[Scatter, ...]
    table: Table


def tradeoff(setting: Setting, direction: str) -> Tradeoff | None:
    """None where nothing was trained, or nothing was measured."""
    if not setting.trained:
        return None
    pooled = setting.of(direction)
    plots: list[Scatter] = []
    chosen: list[Source] = []
    for metric in METRICS:
        known = [record for record in pooled if record.metric == metric and record.value is not None]
        found = sources(known, [name for name, protocol in PROTOCOLS.items() if protocol.metric == metric])
        points = _points(setting, direction, found[0]) if found else []
        if points:
            name = f"{found[0].protocol} {PROTOCOLS[found[0].protocol].unit}".strip()
            better = PROTOCOLS[found[0].protocol].higher_is_better
            plots.append(scatter(points, f"{COST}, s", name, better))
            chosen.append(found[0])
    return Tradeoff(tuple(plots), _table(setting, direction, chosen, plots)) if plots else None


def seconds(cells: Sequence[StoredCell]) -> float | None:
    """Mean over the trained ones of training and stages; None where none is."""
    known = [
        float(cell.cost["seconds"]) + float(sum(cell.cost.get("stage_seconds", {}).values()))
        for cell in cells
        if cell.cost.get("seconds") is not None
    ]
    return sum(known) / len(known) if known else None


def _points(setting: Setting, direction: str, source: Source) -> list[Point]:
    groups = {key: values for key, own in by_key(source.of(setting.of(direction))).items() if (values := valued(own))}
    found = []
    for (row, style), values in groups.items():
        cost = seconds(setting.of_row(row))
        if cost is not None:
            several = sum(of == row for of, _ in groups) > 1
            weak = any(cell.weak for cell in setting.of_row(row))
            name = f"{row}{f' ({style})' if several else ''}{f' {WEAK}' if weak else ''}"
            spread = statistics.stdev(values) if len(values) > 1 else None
            found.append(Point(name, cost, statistics.fmean(values), spread))
    return found


def _table(setting: Setting, direction: str, chosen: Sequence[Source], plots: Sequence[Scatter]) -> Table:
    names = list(dict.fromkeys(mark.point.name for plot in plots for mark in plot.marks))
    held = [{mark.point.name: mark for mark in plot.marks} for plot in plots]
    heads = [Column("method", align="left"), Column(COST, unit="s")]
    for source in chosen:
        heads += [source.column(), Column(f"on the front by {source.protocol}", align="left")]
    rows = []
    for name in names:
        cost = next(of[name].point.cost for of in held if name in of)
        row = [Cell(name, marks=(WEAK,) if name.endswith(WEAK) else ()), Cell(value=cost, decimals=0)]
        for of in held:
            mark = of.get(name)
            row.append(Cell(value=mark.point.quality, deviation=mark.point.spread) if mark else Cell("-"))
            row.append(Cell(("yes" if mark.best else "no") if mark else "-"))
        rows.append(tuple(row))
    rows = [(Cell(row[0].text.removesuffix(f" {WEAK}"), marks=row[0].marks), *row[1:]) for row in rows]
    notes = [WEAK_NOTE] if any(row[0].marks for row in rows) else []
    notes.append(Footnote("On the front: no other method is at least as good and as cheap, and better in one of both."))
    title = f"{direction}, cost against quality: {setting.mark}"
    return Table(title, tuple(heads), (Group(tuple(rows)),), footnotes=tuple(notes))
