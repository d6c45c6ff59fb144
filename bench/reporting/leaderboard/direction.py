"""What the tables of one direction have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.reporting.leaderboard.board import Sheet
from bench.reporting.leaderboard.columns import MeasuredColumn, measured_columns
from bench.reporting.leaderboard.rows import Rows
from bench.reporting.tables.marks import Marks
from bench.reporting.tables.table import Column, Footnote, RowGroup, Table, TableCell
from bench.spec.protocols import PROTOCOLS
from bench.store.query import MethodRow, RowScores

REAL_ROW = "(real test images)"
FLOOR_ROW = "(floor: real images against others)"
MEANS_NOTE = "values are means over seeds ± the sample standard deviation between them"
COUNTS_NOTE = "k/n: seeds finished / begun"
PARTIAL_NOTE = "[k/n] beside a value: not all seeds have one"
FLOOR_NOTE = (
    "floor: what n real images of the target domain get against the other real ones, mean of random splits, so what a "
    "perfect method would get; where there are not 2 n of them it was taken at the n beside it. Not to be subtracted"
)
NAMES = (Column("method", align="left"), Column("styles"))
"""The columns that name a row."""


@dataclass(frozen=True)
class Direction:
    """One direction of a board."""

    name: str
    title: str
    """Title of the board."""
    notes: tuple[str, ...]
    """About all of the board."""
    events: tuple[str, ...]
    """Failures and warnings, which stand above the first table."""
    rows: Rows
    entries: tuple[tuple[MethodRow, RowScores | None], ...]
    """What stands in the rows; None: nothing was scored."""

    @cached_property
    def scores(self) -> tuple[RowScores | None, ...]:
        """The scores of `entries`."""
        return tuple(row_scores for _, row_scores in self.entries)

    @cached_property
    def headline(self) -> list[MeasuredColumn]:
        """The columns of the first table."""
        return measured_columns(self.scores, [name for name, protocol in PROTOCOLS.items() if protocol.headline])

    @cached_property
    def others(self) -> list[MeasuredColumn]:
        """The columns of the second."""
        return measured_columns(self.scores, [name for name, protocol in PROTOCOLS.items() if not protocol.headline])

    def classes(self, protocol: str) -> list[str]:
        """The labels that have records by `protocol`, in their stored order: all, then each class."""
        return list(
            dict.fromkeys(
                key.label
                for row_scores in self.scores
                if row_scores
                for key in row_scores.measurements
                if key.protocol == protocol
            )
        )

    def names(self, index: int, marks: Marks) -> tuple[TableCell, TableCell]:
        """The cells that name a row."""
        row, row_scores = self.entries[index]
        return self.rows.name(row, marks), TableCell(row_scores.style if row_scores else "")

    def values(self, index: int, columns: Sequence[MeasuredColumn], marks: Marks) -> list[TableCell]:
        """A row's cells in measured columns."""
        row, _ = self.entries[index]
        state = self.rows.unscored.get(row, "")
        return [column.cell(index, state, len(row.cells), marks) for column in columns]

    def sheet(
        self, heading: str, columns: Sequence[Column], groups: Sequence[Sequence[Sequence[TableCell]]], marks: Marks,
        footnotes: Iterable[str], first: bool = False,
    ) -> Sheet:  # fmt: skip
        """A table of this direction; empty groups are left out."""
        table = Table(
            title=f"{self.title}; {self.name}" + ("" if first else f": {heading}"),
            columns=tuple(columns),
            groups=tuple(RowGroup(tuple(map(tuple, rows))) for rows in groups if rows),
            notes=(*self.notes, *(self.events if first else ())),
            footnotes=(*marks.footnotes, *map(Footnote, footnotes)),
            stub=2,
        )
        return Sheet(heading, 2 if first else 3, table)


def reference_rows(columns: Sequence[MeasuredColumn], before: int, after: int) -> list[list[TableCell]]:
    """What real images get: by the judge, and against each other; rows without a value are left out.

    `before`, `after`: how many columns stand on both sides of the measured ones, names included.
    """

    def row(name: str, values: Sequence[TableCell]) -> list[TableCell]:
        return [TableCell(name), *[TableCell()] * (before - 1), *values, *[TableCell()] * after]

    on_real = [column.on_real() for column in columns]
    rows = [row(REAL_ROW, on_real)] if any(cell.value is not None for cell in on_real) else []
    floors = [column.floors() for column in columns]
    for i in range(max(map(len, floors), default=0)):
        rows.append(row(FLOOR_ROW, [cells[i] if i < len(cells) else TableCell() for cells in floors]))
    return rows


def has_floor(rows: Sequence[Sequence[TableCell]]) -> bool:
    """Whether a row of floors is among `rows`."""
    return any(row[0].text == FLOOR_ROW for row in rows)


def about_means(body: Sequence[Sequence[TableCell]]) -> list[str]:
    """What ± and [k/n] mean, where they stand in `body`."""
    cells = [cell for row in body for cell in row if cell.value is not None]
    notes = [MEANS_NOTE] if any(cell.deviation is not None for cell in cells) else []
    return notes + [PARTIAL_NOTE] * any(cell.seeds and cell.seeds[0] < cell.seeds[1] for cell in cells)
