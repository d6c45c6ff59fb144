"""A leaderboard: the tables of one setting, and what it looks like in each form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.reporting.tables.as_csv import csv_text
from bench.reporting.tables.as_markdown import markdown_footnotes, markdown_notes, markdown_table, markdown_title
from bench.reporting.tables.render import render_tables
from bench.reporting.tables.table import Footnote, Table
from bench.store.query import Setting


@dataclass(frozen=True)
class Sheet:
    """A table in its place on a board."""

    heading: str
    """Its heading there; on its own it has `table.title`."""
    level: int
    """Level of the heading: 2 for the first table of a direction, 3 for the others."""
    table: Table


@dataclass(frozen=True)
class Board:
    """Everything measured on a task in one setting. Each table has all of its notes and can stand alone."""

    setting: Setting
    title: str
    sheets: tuple[Sheet, ...]
    complaints: tuple[str, ...] = ()
    """One line for each cell of the task that cannot be read."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables, the first of each direction being its overview."""
        return tuple(sheet.table for sheet in self.sheets)


def render_boards(boards: Sequence[Board], form: str) -> str:
    """`boards` in the form called `form` (see tables/render.py), ending in a line break; BenchError for another name.

    Markdown says what several tables share once, above or below them. CSV has one heading for all.
    """
    if form == "markdown":
        return "\n".join(_markdown(board) for board in boards)
    tables = [table for board in boards for table in board.tables]
    if form == "csv":
        head, _, lines = csv_text(tables[0]).partition("\n") if tables else ("", "", "")
        return "\n".join([head, lines]) + "".join(csv_text(table).partition("\n")[2] for table in tables[1:])
    return "\n".join(render_tables(table, form) for table in tables)


def _markdown(board: Board) -> str:
    notes = list(dict.fromkeys(note for table in board.tables for note in table.notes))
    footnotes = list(dict.fromkeys(note for table in board.tables for note in table.footnotes if not _of_one(note)))
    said: set[str | Footnote] = {*notes, *footnotes}
    tables = [
        markdown_table(replace(sheet.table, title=sheet.heading), sheet.level, said).rstrip("\n")
        for sheet in board.sheets
    ]
    return (
        "\n\n".join([markdown_title(board.title, 1), *markdown_notes(notes), *tables, *markdown_footnotes(footnotes)])
        + "\n"
    )


def _of_one(note: Footnote) -> bool:
    """Letters mean something else in each table."""
    return note.mark.isalpha()
