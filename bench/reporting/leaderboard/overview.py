"""The first table of a direction: the headline metrics, and what each training cost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from bench.reporting.leaderboard.board import Sheet
from bench.reporting.leaderboard.columns import about_bold, headings
from bench.reporting.leaderboard.direction import FLOOR_NOTE, MEANS_NOTE, NAMES, Direction, has_floor, reference_rows
from bench.reporting.tables.marks import Marks
from bench.reporting.tables.table import Cell, Column
from bench.store.query import RowScores

SECONDS_NOTE = "train s: the method's own training; stages s: the semantic stages before it, which variants share"
UNKNOWN = "?"


def overview(of: Direction) -> Sheet:
    """One row per method and source of styles: seeds, headline metrics, cost; below them what real images get."""
    marks = Marks()
    with_stages = bool(np.nansum(of.rows.records.columns.cells["stage_seconds"][_cells(of)]))
    costs = [Column("parameters", unit="M"), Column("train s"), Column("stages s"), Column("TFLOP")]
    if not with_stages:
        del costs[2]
    body = []
    for i, (row, row_scores) in enumerate(of.entries):
        seeds = Cell(f"{len(row_scores.cells) if row_scores else 0}/{len(row.cells)}")
        cost = list(_cost(of, row_scores, with_stages)) if row_scores else [Cell()] * len(costs)
        body.append([*of.names(i, marks), seeds, *of.values(i, of.headline, marks), *cost])
    reference = reference_rows(of.headline, len(NAMES) + 1, len(costs))
    footnotes = [MEANS_NOTE, *about_bold(of.headline)]
    footnotes += [FLOOR_NOTE] if has_floor(reference) else []
    footnotes += [SECONDS_NOTE] if with_stages else []
    footnotes += _needs(body)
    footnotes += _not_usual(of)
    columns = [*NAMES, Column("seeds k/n"), *headings(of.headline), *costs]
    return of.sheet(of.name, columns, [body, reference], marks, footnotes, first=True)


def nothing_scored(of: Direction) -> Sheet:
    """The table of a setting in which nothing was scored: methods, seeds, states."""
    marks = Marks()
    rows = [
        [*of.names(i, marks), Cell(f"0/{len(row.cells)}"), Cell(of.rows.unscored[row])]
        for i, (row, _) in enumerate(of.entries)
    ]
    columns = [*NAMES, Column("seeds k/n"), Column("state", align="left")]
    return of.sheet("nothing scored yet", columns, [rows], marks, [], first=True)


def _needs(body: Sequence[Sequence[Cell]]) -> Iterator[str]:
    """What to type for the weights that cells ask for: only the columns of these encoders know their names."""
    missing = (cell.missing for line in body for cell in line)
    if names := sorted({name for text in missing for name in re.findall(r"needs: bench fetch ([\w.-]+)", text)}):
        yield (
            f"needs: weights that are not on this machine: python -m bench fetch {' '.join(names)} "
            "(fetch --list: how large they are); then the same run, or evaluate, adds the numbers and trains nothing"
        )


def _cells(of: Direction) -> list[int]:
    return [cell for row_scores in of.scores if row_scores for cell in row_scores.cells]


def _not_usual(of: Direction) -> Iterator[str]:
    """Which rows were trained otherwise than in float32 on one device: their seconds are not those of the others."""
    arithmetic = of.rows.records.columns.texts("arithmetic")
    names: dict[str, list[str]] = {}
    for row in of.rows.records.rows:
        for kind in sorted({arithmetic[cell] for cell in row.cells} - {"", "float32"}):
            names.setdefault(kind, []).append(of.rows.names[row])
    yield from (f"trained in {kind}: {', '.join(rows)}" for kind, rows in names.items())


def _cost(of: Direction, row_scores: RowScores, with_stages: bool) -> Iterator[Cell]:
    """Means over seeds: parameters in millions, seconds, perhaps the stages' seconds, 10^12 operations."""
    cells = list(row_scores.cells)

    def mean(name: str, unit: float, decimals: int | None) -> Cell:
        values = of.rows.records.columns.cells[name][cells]
        known = values[~np.isnan(values)]
        return Cell(value=float(known.mean()) / unit, decimals=decimals) if len(known) else Cell(missing=UNKNOWN)

    yield mean("parameters", 1e6, None)
    yield mean("seconds", 1, 0)
    if with_stages:
        yield mean("stage_seconds", 1, 0)
    yield mean("flops", 1e12, 1)
