"""The first table of a direction: the headline metrics, and what each training cost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from bench.reporting.leaderboard.board import Sheet
from bench.reporting.leaderboard.columns import about_bold, column_headings
from bench.reporting.leaderboard.direction import (
    COUNTS_NOTE,
    FLOOR_NOTE,
    NAMES,
    Direction,
    about_means,
    has_floor,
    reference_rows,
)
from bench.reporting.tables.marks import Marks
from bench.reporting.tables.table import Column, TableCell
from bench.store.query import RowScores

SECONDS_NOTE = "train s: the method's own training; stages s: the semantic stages before it, which variants share"
UNKNOWN = "?"


def overview(direction: Direction) -> Sheet:
    """One row per method and source of styles: seeds, headline metrics, cost; below them what real images get."""
    marks = Marks()
    with_stages = bool(np.nansum(direction.rows.records.columns.cells["stage_seconds"][_cells(direction)]))
    costs = [Column("parameters", unit="M"), Column("train s"), Column("stages s"), Column("TFLOP")]
    if not with_stages:
        del costs[2]
    body = []
    for i, (row, row_scores) in enumerate(direction.entries):
        seeds = TableCell(f"{len(row_scores.cells) if row_scores else 0}/{len(row.cells)}")
        cost = list(_cost(direction, row_scores, with_stages)) if row_scores else [TableCell()] * len(costs)
        body.append([*direction.names(i, marks), seeds, *direction.values(i, direction.headline, marks), *cost])
    reference = reference_rows(direction.headline, len(NAMES) + 1, len(costs))
    footnotes = [COUNTS_NOTE, *about_means(body), *about_bold(direction.headline)]
    footnotes += [FLOOR_NOTE] if has_floor(reference) else []
    footnotes += [SECONDS_NOTE] if with_stages else []
    footnotes += _needs(body)
    footnotes += _not_usual(direction)
    columns = [*NAMES, Column("seeds k/n"), *column_headings(direction.headline), *costs]
    return direction.sheet(direction.name, columns, [body, reference], marks, footnotes, first=True)


def overview_without_scores(direction: Direction) -> Sheet:
    """The table of a setting in which nothing was scored: methods, seeds, states."""
    marks = Marks()
    rows = [
        [*direction.names(i, marks), TableCell(f"0/{len(row.cells)}"), TableCell(direction.rows.unscored[row])]
        for i, (row, _) in enumerate(direction.entries)
    ]
    columns = [*NAMES, Column("seeds k/n"), Column("state", align="left")]
    return direction.sheet("nothing scored yet", columns, [rows], marks, [], first=True)


def _needs(body: Sequence[Sequence[TableCell]]) -> Iterator[str]:
    """What to type for the weights that cells ask for: only the columns of these encoders know their names."""
    missing = (cell.missing for line in body for cell in line)
    if names := sorted({name for text in missing for name in re.findall(r"needs: bench fetch ([\w.-]+)", text)}):
        yield (
            f"needs: weights that are not on this machine: python -m bench fetch {' '.join(names)} "
            "(fetch --list: how large they are); then the same run, or evaluate, adds the numbers and trains nothing"
        )


def _cells(direction: Direction) -> list[int]:
    return [cell for row_scores in direction.scores if row_scores for cell in row_scores.cells]


def _not_usual(direction: Direction) -> Iterator[str]:
    """Which rows were trained otherwise than in float32 on one device: their seconds are not those of the others."""
    arithmetic = direction.rows.records.columns.texts("arithmetic")
    names: dict[str, list[str]] = {}
    for row in direction.rows.records.rows:
        for kind in sorted({arithmetic[cell] for cell in row.cells} - {"", "float32"}):
            names.setdefault(kind, []).append(direction.rows.names[row])
    yield from (f"trained in {kind}: {', '.join(rows)}" for kind, rows in names.items())


def _cost(direction: Direction, row_scores: RowScores, with_stages: bool) -> Iterator[TableCell]:
    """Means over seeds: parameters in millions, seconds, perhaps the stages' seconds, 10^12 operations."""
    cells = list(row_scores.cells)

    def mean(name: str, unit: float, decimals: int | None) -> TableCell:
        values = direction.rows.records.columns.cells[name][cells]
        known = values[~np.isnan(values)]
        return (
            TableCell(value=float(known.mean()) / unit, decimals=decimals) if len(known) else TableCell(missing=UNKNOWN)
        )

    yield mean("parameters", 1e6, None)
    yield mean("seconds", 1, 0)
    if with_stages:
        yield mean("stage_seconds", 1, 0)
    yield mean("flops", 1e12, 1)
