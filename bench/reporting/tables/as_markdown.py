"""GitHub's Markdown. Names are escaped so that they show as they are, and stay readable in a terminal."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from bench.reporting.tables.table import (
    Column,
    Footnote,
    RowGroup,
    Table,
    TableCell,
    shown_in_table,
    table_heading,
    table_line,
)

_SPECIAL = re.compile(r"[\\`*|~]|<(?=[a-zA-Z/!?])|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])|&(?=[#\w])")
"""What Markdown would take for markup. An underscore between letters or digits is none, so `cats_udt` stays itself, nor
are brackets before which no link can stand."""
_BLOCK_IN_ITEM = re.compile(r"^(\d*)(?=[#+>\[.)-])")
"""What would begin another list, a heading, a quotation or a tick box inside an item of a list."""

MARGIN = 2
"""Blanks beside a heading that is wider than its column."""


def markdown_table(table: Table, level: int = 1, said: Collection[str | Footnote] = ()) -> str:
    """Heading of `level`, notes as a list, the table, footnotes as a list. Ends in a line break.

    Notes and footnotes that are in `said` are told elsewhere on the page, and left out here.
    """
    names = [_escaped(table_heading(table, index)) for index in range(len(table.columns))]
    headers = [name + _marks(column.marks, name) for name, column in zip(names, table.columns, strict=True)]
    body = _aligned(headers, [row for group in table.groups for row in _rows(table, group)], table.columns)
    notes = [note for note in table.notes if note not in said]
    footnotes = [note for note in table.footnotes if note not in said]
    return (
        "\n\n".join([markdown_title(table.title, level), *markdown_notes(notes), body, *markdown_footnotes(footnotes)])
        + "\n"
    )


def markdown_title(text: str, level: int) -> str:
    """A heading."""
    return f"{'#' * level} " + _escaped(text).replace("#", r"\#")


def markdown_notes(notes: Sequence[str]) -> list[str]:
    """One block, or none without notes."""
    return ["\n".join(f"- {_item(note)}" for note in notes)] if notes else []


def markdown_footnotes(footnotes: Sequence[Footnote]) -> list[str]:
    """One block, or none without footnotes."""
    lines = []
    for note in footnotes:
        command = f": `{table_line(note.command).replace('`', '')}`" if note.command else ""
        mark = f"{_marks((note.mark,), '')} " if note.mark else ""
        lines.append(f"- {mark}{_item(note.text)}{command}")
    return ["\n".join(lines)] if lines else []


def _rows(table: Table, group: RowGroup) -> list[list[str]]:
    rows = [[_cell(table, column, cell) for column, cell in enumerate(row)] for row in group.rows]
    if table.merged(group):
        for row in rows[1:]:
            row[0] = ""
    return rows


def _aligned(headers: Sequence[str], rows: Sequence[Sequence[str]], columns: Sequence[Column]) -> str:
    """Cells padded to the width of their column: what `tabulate` makes of them, in a fraction of its time."""
    widths = [len(header) + MARGIN for header in headers]
    for row in rows:
        widths = list(map(max, widths, map(len, row)))
    pads = [str.ljust if column.align == "left" else str.rjust for column in columns]
    lines = [
        " | ".join(pad(cell, width) for pad, cell, width in zip(pads, row, widths, strict=True))
        for row in (headers, *rows)
    ]
    rule = "|".join("-" * (width + 2) for width in widths)
    return "\n".join([f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])])


def _cell(table: Table, column: int, cell: TableCell) -> str:
    text = _escaped(shown_in_table(table, column, cell))
    return (f"**{text}**" if cell.bold and text else text) + _marks(cell.marks, text)


def _marks(marks: tuple[str, ...], text: str) -> str:
    """Behind `text`; letters in parentheses, because Markdown has no raised ones."""
    joined = "".join(f"({mark})" if mark.isalnum() else _escaped(mark) for mark in marks)
    return f" {joined}" if joined and text else joined


def _item(text: str) -> str:
    return _BLOCK_IN_ITEM.sub(r"\1\\", _escaped(text))


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda match: "\\" + match[0], table_line(text))
