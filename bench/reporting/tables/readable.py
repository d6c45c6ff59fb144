"""A table as people read it: without columns that nobody has, and with many classes as rows. CSV keeps all as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from bench.reporting.tables.table import Column, Footnote, RowGroup, Table, TableCell, images

MOST_COLUMNS = 12
"""Classes that stand side by side at most."""
PAGE_ROWS = 40
"""Rows that fit on a printed page."""
FEW = 6
"""So many of the best classes, and so many of the worst, where not all fit."""


def readable_table(table: Table, form: str) -> Table:
    """`table` for the form called `form`: as it is for `csv`, on one page for `latex`."""
    if form == "csv":
        return table
    table = _without_missing(table)
    measured = range(table.stub, len(table.columns))
    if len(measured) <= MOST_COLUMNS or not all(table.columns[i].in_title for i in measured):
        return table
    rows = sum(1 for _ in table.rows())
    if rows > MOST_COLUMNS or (form == "latex" and len(measured) > PAGE_ROWS):
        table = _best_and_worst(table)
    return table if rows > MOST_COLUMNS else _transposed(table)


def _without_missing(table: Table) -> Table:
    """Without the columns in which every row lacks a value for a reason of its own; one footnote names them all."""
    rows = list(table.rows())
    with_values = [row for row in rows if any(cell.value is not None for cell in row[table.stub :])]
    lacking: dict[int, list[str]] = {}
    for i in range(table.stub, len(table.columns)):
        reasons = dict.fromkeys(reason for row in with_values if (reason := row[i].missing))
        if reasons and not any(
            row[i].text or (row[i].value is not None and row[i].role != "reference") for row in rows
        ):
            lacking[i] = list(reasons)
    if not lacking:
        return table
    by_reason: dict[str, list[str]] = {}
    for i, texts in lacking.items():
        by_reason.setdefault("; ".join(texts), []).append(table.columns[i].label)
    said = "; ".join(
        ", ".join(dict.fromkeys(labels)) + (f" ({reason})" if any(map(str.isalpha, reason)) else "")  # or a mere dash
        for reason, labels in by_reason.items()
    )
    kept = [i for i in range(len(table.columns)) if i not in lacking]
    return _with_columns(table, kept, Footnote(f"no row has a value of {said}"))


def _with_columns(table: Table, kept: Sequence[int], note: Footnote) -> Table:
    """The columns numbered `kept`, and the footnotes that still explain something, with `note` at their end."""
    columns = tuple(table.columns[i] for i in kept)
    groups = tuple(RowGroup(tuple(tuple(row[i] for i in kept) for row in group.rows)) for group in table.groups)
    used = {mark for column in columns for mark in column.marks}
    used |= {mark for group in groups for row in group.rows for cell in row for mark in cell.marks}
    footnotes = [known for known in table.footnotes if not known.mark or known.mark in used]
    return replace(table, columns=columns, groups=groups, footnotes=(*footnotes, note))


def _best_and_worst(table: Table) -> Table:
    """The classes in which the rows do best and worst on average, in their own order."""
    first = table.groups[0].rows if table.groups else ()
    means = {
        i: fmean(values)
        for i in range(table.stub, len(table.columns))
        if (values := [value for row in first if (value := row[i].value) is not None])
        and table.columns[i].label.strip() != "all"
    }
    order = sorted(means, key=lambda i: (means[i] if table.columns[i].better == "lower" else -means[i], i))
    if len(order) <= 2 * FEW:
        return table
    whole = [i for i in range(table.stub, len(table.columns)) if table.columns[i].label == "all"]
    kept = [*range(table.stub), *sorted({*whole, *order[:FEW], *order[-FEW:]})]
    text = f"the {FEW} classes with the best and the {FEW} with the worst mean of the rows, of {len(order)}"
    return _with_columns(table, kept, Footnote(f"{text}; all of them are in --format csv"))


def _transposed(table: Table) -> Table:
    """Classes as rows, and what was a row as a column; the numbers of images where they are the same."""
    rows = list(table.rows())
    counts = {i: table.common_counts(i) for i in range(table.stub, len(table.columns))}
    named = len(set(counts.values())) > 1
    columns = [Column("class", align="left")]
    for row in rows:
        label = ", ".join(cell.text for cell in row[: table.stub] if cell.text)
        marks = tuple(mark for cell in row[: table.stub] for mark in cell.marks)
        columns.append(replace(table.columns[-1], label=label, marks=marks))
    body = []
    for i, of_class in counts.items():
        name = table.columns[i].label + (f" ({images(of_class)})" if named and of_class else "")
        cells = (replace(row[i], images_in_name=True) if named and of_class else row[i] for row in rows)
        body.append((TableCell(name, marks=table.columns[i].marks), *cells))
    return replace(table, columns=tuple(columns), groups=(RowGroup(tuple(body)),), stub=1)
