"""The tables below the overview: further measures, intervals, classes. Each list is empty where there is nothing."""

from __future__ import annotations

from collections.abc import Callable

from bench.reporting.leaderboard.board import Sheet
from bench.reporting.leaderboard.columns import MeasuredColumn, about_bold, better, headings, measures
from bench.reporting.leaderboard.direction import FLOOR_NOTE, MEANS_NOTE, NAMES, Direction, has_floor, reference_rows
from bench.reporting.tables.marks import Marks
from bench.reporting.tables.table import ARROWS, Cell
from bench.spec.protocols import PROTOCOLS
from metrics.statistics.intervals import NORMAL_95

PER_CLASS = ("accuracy", "fid", "kid")
"""Metrics that have a table per class."""


def further(of: Direction) -> list[Sheet]:
    """The table of what is no headline."""
    return [_values(of, "further measures", of.others)] if of.others else []


def one_class(of: Direction, label: str) -> list[Sheet]:
    """The table of what is measured within the class called `label`."""
    columns = measures(of.scores, [name for name, protocol in PROTOCOLS.items() if protocol.metric in PER_CLASS], label)
    return [_values(of, f"class {label} alone", columns)] if any(column.measurements for column in columns) else []


def class_tables(of: Direction) -> list[Sheet]:
    """A table for each protocol and encoder, with one column per class."""
    sheets = []
    for name in (name for name, protocol in PROTOCOLS.items() if protocol.metric in PER_CLASS):
        classes = of.classes(name)
        whole = {label: measures(of.scores, [name], label) for label in classes}
        for encoder in sorted(
            {column.encoder for columns in whole.values() for column in columns if column.measurements}
        ):
            columns = [MeasuredColumn(name, encoder, label, of.scores) for label in classes]
            unit = f" {PROTOCOLS[name].unit}" if PROTOCOLS[name].unit else ""
            heading = f"{name}{unit} {ARROWS[better(name)]} per class (encoder {encoder})"
            sheets.append(_values(of, heading, columns, by_class=True))
    return sheets


def _values(of: Direction, heading: str, columns: list[MeasuredColumn], by_class: bool = False) -> Sheet:
    marks = Marks()
    body = [
        [*of.names(i, marks), *of.values(i, columns, marks)]
        for i, row_scores in enumerate(of.scores)
        if row_scores is None or any(i in column.asked for column in columns)
    ]
    reference = reference_rows(columns, len(NAMES), 0)
    footnotes = [MEANS_NOTE, *about_bold(columns), *([FLOOR_NOTE] if has_floor(reference) else [])]
    named = [column.heading(column.label, in_title=True) for column in columns] if by_class else headings(columns)
    return of.sheet(heading, [*NAMES, *named], [body, reference], marks, footnotes)


def over_images(of: Direction) -> list[Sheet]:
    """95 % intervals over images."""
    columns = [c for c in of.headline + of.others if any(p.deviation is not None for p in c.measurements.values())]
    told = f"over images: value ± {NORMAL_95} standard deviations of it because its images are a sample (half-samples)"
    return _intervals(of, "95 % over images", columns, lambda column, row: column.over_images(row), told)


def over_seeds(of: Direction) -> list[Sheet]:
    """95 % intervals over seeds."""
    columns = [c for c in of.headline + of.others if any(len(p.values) > 1 for p in c.measurements.values())]
    told = "over seeds: t-interval of the mean, the unit is a whole training"
    begun = [len(row.cells) for row, _ in of.entries]
    return _intervals(of, "95 % over seeds", columns, lambda column, row: column.over_seeds(row, begun[row]), told)


def _intervals(
    of: Direction, heading: str, columns: list[MeasuredColumn], cell: Callable[[MeasuredColumn, int], Cell], told: str
) -> list[Sheet]:
    """The rows that have an interval in some column."""
    marks = Marks()
    rows = {i: [cell(column, i) for column in columns] for i, row_scores in enumerate(of.scores) if row_scores}
    body = [[*of.names(i, marks), *cells] for i, cells in rows.items() if any(c.value is not None for c in cells)]
    return [of.sheet(heading, [*NAMES, *headings(columns)], [body], marks, [told])] if body else []
