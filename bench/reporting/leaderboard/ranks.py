"""The order that the seeds leave open: ranks with ties, and how likely the best method's training is the better one.

For the headline metrics and the rows with two seeds or more. Beyond MOST rows there are neither: the correction for
the number of pairs would leave every rank open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.reporting.leaderboard.board import Sheet
from bench.reporting.leaderboard.columns import MeasuredColumn, column_headings
from bench.reporting.leaderboard.direction import NAMES, Direction
from bench.reporting.tables.marks import Marks
from bench.reporting.tables.table import TableCell
from metrics.statistics.comparing import probability_of_improvement, rank_ranges

MOST = 20
RANK_NOTE = (
    "rank: those that the seeds leave open, 1 being the best (Welch's t-test over all pairs, Holm's correction, 5 %); "
    "rows that overlap are tied"
)
BEST_NOTE = (
    "P: how likely a training of the best row's method comes out better than one of this row, a tie being a half, and "
    "its 95 % bootstrap interval over trainings (Agarwal et al., NeurIPS 2021); without one where every training of "
    "one side is better than all of the other, of which resampling can say no more"
)


def ranks(direction: Direction) -> list[Sheet]:
    """The ranks of each row."""
    return _sheet(direction, "ranks over seeds", _ranks, RANK_NOTE)


def rank_improvements(direction: Direction) -> list[Sheet]:
    """P(the best is better) for each row."""
    return _sheet(direction, "P(a training of the best is better)", _improvements, BEST_NOTE)


def _sheet(
    direction: Direction, heading: str, cells_of: Callable[[MeasuredColumn], Mapping[int, TableCell]], note: str
) -> list[Sheet]:
    columns = [column for column in direction.headline if len(_several(column)) > 1]
    shown = sorted({row for column in columns for row in _several(column)})
    if not columns or len(shown) > MOST:
        return []
    marks = Marks()
    cells = [cells_of(column) for column in columns]
    body = [
        [*direction.names(row, marks), *(by_row.get(row, TableCell(role="ours")) for by_row in cells)] for row in shown
    ]
    return [direction.sheet(heading, [*NAMES, *column_headings(columns)], [body], marks, [note])]


def _several(column: MeasuredColumn) -> dict[int, tuple[float, ...]]:
    """MethodRow -> values, of the rows with several seeds, where they can be compared."""
    return (
        {i: measurement.values for i, measurement in column.competing.items() if len(measurement.values) > 1}
        if column.comparable
        else {}
    )


def _ranks(column: MeasuredColumn) -> dict[int, TableCell]:
    values = {str(row): numbers for row, numbers in _several(column).items()}
    ranges = rank_ranges(values, column.higher_is_better)
    return {
        int(row): TableCell(f"{first} to {last}" if first < last else f"{first}", role="ours")
        for row, (first, last) in ranges.items()
    }


def _improvements(column: MeasuredColumn) -> dict[int, TableCell]:
    values, sign = _several(column), 1 if column.higher_is_better else -1
    best = max(values, key=lambda row: (sign * sum(values[row]) / len(values[row]), -row))
    cells = {best: TableCell("best", role="ours")}
    for row in values.keys() - {best}:
        estimate = probability_of_improvement({"": values[best]}, {"": values[row]}, column.higher_is_better)
        low, high = (None, None) if estimate.degenerate else (estimate.low, estimate.high)
        cells[row] = TableCell(value=estimate.probability, low=low, high=high, decimals=2, role="ours")
    return cells
