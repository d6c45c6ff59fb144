"""CSV for programs: one line per cell, numbers in full precision. Safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from bench.reporting.tables.table import Table, TableCell, table_line

FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""A spreadsheet runs a text that begins with one of these (half or full width), so such a text gets a `'` in front."""
HEADER = (
    "table", "notes", "row", "subrow", "column", "protocol", "unit", "better", "role", "text", "value", "deviation",
    "low", "high", "seeds", "seeds_begun", "n", "n_real", "bold", "missing", "marks", "remarks",
)  # fmt: skip
"""`row` and `subrow`: the cells that name the row; `remarks`: the footnotes of the cell, its row and its column."""


def csv_text(table: Table) -> str:
    """One line per cell that is no name of a row, under `HEADER`. Ends in a line break."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for row in table.rows():
        for index in range(table.stub, len(row)):
            writer.writerow(_line(table, row, index))
    return out.getvalue()


def _line(table: Table, row: Sequence[TableCell], index: int) -> list[str]:
    cell, column = row[index], table.columns[index]
    names = [safe(name.text) for name in row[: table.stub]]
    marks = [mark for name in row[: table.stub] for mark in name.marks] + [*column.marks, *cell.marks]
    k, begun = cell.seeds or (None, None)
    n, real = cell.images or (None, None)
    return [
        safe(table.title), safe("; ".join(table.notes)), names[0], "; ".join(names[1:]), safe(column.label),
        safe(column.protocol), safe(column.unit), column.better, cell.role, safe(cell.text), _number(cell.value),
        _number(cell.deviation), _number(cell.low), _number(cell.high),
        *(_count(count) for count in (k, begun, n, real)), "1" if cell.bold else "0",
        safe(cell.missing), safe("".join(marks)), safe("; ".join(table.explained(marks))),
    ]  # fmt: skip


def safe(text: str) -> str:
    """`text` on one line, which no spreadsheet takes for a formula."""
    line = table_line(text)
    return f"'{line}" if line.startswith(FORMULA) else line


def _number(value: float | None) -> str:
    """All digits that it takes to read the same number again."""
    return "" if value is None else repr(float(value))


def _count(value: int | None) -> str:
    return "" if value is None else str(int(value))
