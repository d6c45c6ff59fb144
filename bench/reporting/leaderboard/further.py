"""The tables below the overview: further measures, intervals, classes. Each list is empty where there is nothing."""

from __future__ import annotations

from collections.abc import Callable

from bench.reporting.leaderboard.board import Sheet
from bench.reporting.leaderboard.columns import (
    MeasuredColumn,
    about_bold,
    better_direction,
    column_headings,
    measured_columns,
)
from bench.reporting.leaderboard.direction import (
    FLOOR_NOTE,
    NAMES,
    Direction,
    about_means,
    has_floor,
    reference_rows,
)
from bench.reporting.tables.marks import Marks
from bench.reporting.tables.table import ARROWS, TableCell
from bench.spec.protocols import ALL, OURS, PROTOCOLS
from metrics.statistics.intervals import NORMAL_95

PER_CLASS = ("accuracy", "fid", "kid")
"""Metrics that have a table per class."""


def further(direction: Direction) -> list[Sheet]:
    """The table of what is no headline."""
    return [_values(direction, "further measures", direction.others)] if direction.others else []


def further_of_class(direction: Direction, label: str) -> list[Sheet]:
    """The table of what is measured within the class called `label`."""
    columns = measured_columns(
        direction.scores, [name for name, protocol in PROTOCOLS.items() if protocol.metric in PER_CLASS], label
    )
    return (
        [_values(direction, f"class {label} alone", columns)] if any(column.measurements for column in columns) else []
    )


def further_tables(direction: Direction) -> list[Sheet]:
    """A table for each protocol and encoder, with one column per class."""
    sheets = []
    for name in (name for name, protocol in PROTOCOLS.items() if protocol.metric in PER_CLASS or name not in OURS):
        classes = direction.classes(name)
        if classes == [ALL]:
            continue
        whole = {label: measured_columns(direction.scores, [name], label) for label in classes}
        for encoder in sorted(
            {column.encoder for columns in whole.values() for column in columns if column.measurements}
        ):
            columns = [MeasuredColumn(name, encoder, label, direction.scores) for label in classes]
            unit = f" {PROTOCOLS[name].unit}" if PROTOCOLS[name].unit else ""
            heading = f"{name}{unit} {ARROWS[better_direction(name)]} per class (encoder {encoder})"
            sheets.append(_values(direction, heading, columns, by_class=True))
    return sheets


def _values(direction: Direction, heading: str, columns: list[MeasuredColumn], by_class: bool = False) -> Sheet:
    marks = Marks()
    body = [
        [*direction.names(i, marks), *direction.values(i, columns, marks)]
        for i, row_scores in enumerate(direction.scores)
        if row_scores is None or any(i in column.asked for column in columns)
    ]
    reference = reference_rows(columns, len(NAMES), 0)
    footnotes = [*about_means(body), *about_bold(columns), *([FLOOR_NOTE] if has_floor(reference) else [])]
    named = (
        [column.heading(column.label, in_title=True) for column in columns] if by_class else column_headings(columns)
    )
    return direction.sheet(heading, [*NAMES, *named], [body, reference], marks, footnotes)


def further_images(direction: Direction) -> list[Sheet]:
    """95 % intervals over images."""
    columns = [
        c
        for c in direction.headline + direction.others
        if any(p.deviation is not None for p in c.measurements.values())
    ]
    note = (
        f"over images: Wilson's interval of an accuracy; else value ± {NORMAL_95} standard deviations of it because "
        "its images are a sample (half-samples), not below 0 for a distance"
    )
    return _intervals(direction, "95 % over images", columns, lambda column, row: column.over_images(row), note)


def further_seeds(direction: Direction) -> list[Sheet]:
    """95 % intervals over seeds."""
    columns = [
        c for c in direction.headline + direction.others if any(len(p.values) > 1 for p in c.measurements.values())
    ]
    note = (
        "over seeds: t-interval of the mean, the unit is a whole training; of angles (arcsine) for what lies between "
        "two ends, and of a share of images not narrower than Wilson's interval over these"
    )
    begun = [len(row.cells) for row, _ in direction.entries]
    return _intervals(
        direction, "95 % over seeds", columns, lambda column, row: column.over_seeds(row, begun[row]), note
    )


def _intervals(
    direction: Direction,
    heading: str,
    columns: list[MeasuredColumn],
    cell: Callable[[MeasuredColumn, int], TableCell],
    note: str,
) -> list[Sheet]:
    """The rows that have an interval in some column."""
    marks = Marks()
    rows = {i: [cell(column, i) for column in columns] for i, row_scores in enumerate(direction.scores) if row_scores}
    body = [
        [*direction.names(i, marks), *cells] for i, cells in rows.items() if any(c.value is not None for c in cells)
    ]
    return [direction.sheet(heading, [*NAMES, *column_headings(columns)], [body], marks, [note])] if body else []
