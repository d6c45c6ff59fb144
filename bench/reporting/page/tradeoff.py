"""Cost against quality: which method gives the most for its training, in one direction."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.reporting.leaderboard.columns import MeasuredColumn
from bench.reporting.leaderboard.direction import Direction
from bench.reporting.page.boards import boards_in_direction
from bench.reporting.page.charts import ChartPoint, ScatterChart, scatter_chart
from bench.reporting.page.collect import PageResults, StoredCell
from bench.reporting.tables.marks import Marks
from bench.reporting.tables.table import Column, Footnote, RowGroup, Table, TableCell
from bench.spec.protocols import PROTOCOLS

METRICS = ("accuracy", "fid")
"""Metrics plotted against the seconds, each by the first protocol, in the order of PROTOCOLS, that has values."""
COST = "training + stages"


@dataclass(frozen=True)
class Tradeoff:
    """The plots of one direction, and the same as a table."""

    plots: tuple[ScatterChart, ...]
    table: Table


def tradeoff(results: PageResults, name: str) -> Tradeoff | None:
    """None where nothing was trained, or nothing was measured."""
    if not results.trained:
        return None
    direction = boards_in_direction(results, name)
    known = {
        i: cost
        for i, (row, _) in enumerate(direction.entries)
        if (cost := tradeoff_seconds(results.rows[row].cells)) is not None
    }
    chosen = [column for metric in METRICS if (column := _first(direction.headline, metric, known))]
    if not chosen:
        return None
    plots = [_plot(results, direction, column, known) for column in chosen]
    return Tradeoff(tuple(plots), _table(direction, chosen, plots, known))


def _first(columns: Sequence[MeasuredColumn], metric: str, known: dict[int, float]) -> MeasuredColumn | None:
    candidates = (column for column in columns if PROTOCOLS[column.protocol].metric == metric)
    return next((column for column in candidates if any(i in known for i in column.measurements)), None)


def tradeoff_seconds(cells: Sequence[StoredCell]) -> float | None:
    """Mean over the trained ones of training and stages; None where none is."""
    known = [
        float(cell.cost["seconds"]) + float(sum(cell.cost.get("stage_seconds", {}).values()))
        for cell in cells
        if cell.cost.get("seconds") is not None
    ]
    return statistics.fmean(known) if known else None


def _shown(column: MeasuredColumn, known: dict[int, float]) -> list[int]:
    """Numbers of the rows that have a value and a cost."""
    return [i for i in column.measurements if i in known]


def _plot(results: PageResults, direction: Direction, column: MeasuredColumn, known: dict[int, float]) -> ScatterChart:
    points = []
    for i in _shown(column, known):
        row, scores = direction.entries[i]
        named = results.rows[row]
        several = scores is not None and sum(other == row for other, _ in direction.entries) > 1
        name = f"{named.name}{f' ({scores.style})' if several and scores else ''}{' *' if named.weak else ''}"
        mean = column.over[i].mean
        assert mean is not None
        points.append(ChartPoint(name, known[i], mean, column.over[i].deviation))
    protocol = PROTOCOLS[column.protocol]
    return scatter_chart(points, f"{COST}, s", f"{protocol.name} {protocol.unit}".strip(), protocol.higher_is_better)


def _table(
    direction: Direction, chosen: Sequence[MeasuredColumn], plots: Sequence[ScatterChart], known: dict[int, float]
) -> Table:
    marks = Marks()
    held = [
        dict(zip(_shown(column, known), plot.marks, strict=True)) for column, plot in zip(chosen, plots, strict=True)
    ]
    heads = [Column("method", align="left"), Column("styles"), Column(COST, unit="s")]
    for column in chosen:
        heads += [column.heading(column.protocol), Column(f"on the front by {column.protocol}", align="left")]
    rows = []
    for i in sorted({i for points in held for i in points}):
        row = [*direction.names(i, marks), TableCell(value=known[i], decimals=0)]
        for column, points in zip(chosen, held, strict=True):
            if i in points:
                over = column.over[i]
                row += [
                    TableCell(value=over.mean, deviation=over.deviation),
                    TableCell("yes" if points[i].best else "no"),
                ]
            else:
                row += [TableCell("-"), TableCell("-")]
        rows.append(tuple(row))
    note = "on the front: no other method is at least as good and as cheap, and better in one of both"
    footnotes = (*marks.footnotes, Footnote(note))
    return Table(
        f"{direction.title}; {direction.name}: cost against quality",
        tuple(heads),
        (RowGroup(tuple(rows)),),
        (),
        footnotes,
    )
