"""What a direction opens with: charts of its main metrics, with intervals and floors, and the same as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.reporting.leaderboard.columns import MeasuredColumn, about_bold, better_direction
from bench.reporting.leaderboard.direction import Direction, about_means, reference_rows
from bench.reporting.leaderboard.first_screen import Named, main_columns
from bench.reporting.page.boards import boards_in_direction
from bench.reporting.page.charts import chart_ticks
from bench.reporting.page.collect import PageResults
from bench.reporting.page.tradeoff import tradeoff_seconds
from bench.reporting.tables.marks import Marks
from bench.reporting.tables.table import ARROWS, Column, Footnote, RowGroup, Table, TableCell, shown_value, table_number
from bench.spec.protocols import PROTOCOLS

MOST_ROWS = 12
"""Rows of a chart and of the pictures beside it; more are named below them."""
WIDTH, LINE = 200, 20
"""Of a plot, in SVG units: its width, and the height of a row."""
LONGEST_NAME = 16
"""Characters of a name in the chart."""
BEYOND = 1.0
"""An interval is cut off where it goes further than this part of the axis beyond all values and floors."""


@dataclass(frozen=True)
class OpeningPoint:
    """One row of a chart."""

    name: str
    """Cut off where it is long."""
    y: float
    x: float | None
    """None: there is no value, and `text` says why."""
    bar: tuple[float, float] | None
    """Ends of the 95 % interval within the plot."""
    ends: tuple[bool, bool]
    """Whether each of them is an end, and not cut off."""
    best: bool
    """Whether it is not distinguishable from the best."""
    text: str
    """The value in words."""


@dataclass(frozen=True)
class OpeningChart:
    """One metric of every row, as dots with intervals on a common axis."""

    title: str
    """`accuracy % (higher is better)`."""
    points: tuple[OpeningPoint, ...]
    ticks: tuple[tuple[float, str], ...]
    """(place, text)."""
    lines: tuple[tuple[float, str], ...]
    """(place, text) of what real images get."""
    height: float
    text: str
    """The same in words."""


@dataclass(frozen=True)
class Opening:
    """What stands at the head of a direction, beside its pictures."""

    charts: tuple[OpeningChart, ...]
    several_seeds: bool
    """Whether intervals are over seeds where a row has several."""
    left_out: str
    """Which rows the charts do not show; empty: none."""
    table: Table


def page_opening(results: PageResults, name: str) -> Opening:
    """Charts and table of the direction called `name`."""
    direction = boards_in_direction(results, name)
    columns = main_columns(direction)
    names = [_name(direction, i) for i in range(len(direction.entries))]
    drawn = [(title, column) for title, column in columns if column.measurements.keys() - column.deterministic]
    charts = tuple(_chart(direction, title, column, names[:MOST_ROWS]) for title, column in drawn)
    several = any(len(held.values) > 1 for _, column in columns for held in column.measurements.values())
    left_out = names[MOST_ROWS:]
    said = f"not shown here, but in the table: {', '.join(left_out)}" if left_out else ""
    return Opening(charts, several, said, _table(results, direction, columns))


def _name(direction: Direction, index: int) -> str:
    """The row's name, with the source of its styles where it has several rows."""
    row, scores = direction.entries[index]
    several = sum(other == row for other, _ in direction.entries) > 1
    return direction.rows.names[row] + (f", {scores.style}" if scores and several else "")


def _chart(direction: Direction, title: str, column: MeasuredColumn, names: Sequence[str]) -> OpeningChart:
    unit, better = PROTOCOLS[column.protocol].unit, better_direction(column.protocol)
    title = " ".join(filter(None, (title, unit, f"({better} is better)")))
    real = [(f"real {table_number(cell.value)}", cell.value) for cell in [column.on_real()] if cell.value is not None]
    real += [
        (f"floor {table_number(cell.value)}", cell.value) for cell in column.floors()[:1] if cell.value is not None
    ]
    cells = [_cell(direction, column, i) for i in range(len(names))]
    values = [cell.value for cell in cells if cell.value is not None] + [value for _, value in real]
    low, high = min([0.0, *values]), max([0.0, *values])
    reach = BEYOND * (high - low or 1.0)
    ends = [end for cell in cells for end in (cell.low, cell.high) if end is not None]
    low, high = max(low - reach, min([low, *ends])), min(high + reach, max([high, *ends]))
    ticks = chart_ticks(low, high, 5)
    across = lambda value: WIDTH * (value - ticks[0]) / (ticks[-1] - ticks[0])  # noqa: E731
    points, said = [], []
    for i, (name, cell) in enumerate(zip(names, cells, strict=True)):
        text = shown_value(cell) if cell.value is not None else cell.text or cell.missing or "-"
        x = across(cell.value) if cell.value is not None else None
        bar, within = None, (True, True)
        if cell.low is not None and cell.high is not None:
            drawn = max(across(cell.low), 0.0), min(across(cell.high), float(WIDTH))
            bar, within = drawn, (across(cell.low) >= 0, across(cell.high) <= WIDTH)
        short = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
        points.append(OpeningPoint(short, LINE * (i + 0.5), x, bar, within, column.bold(i), text))
        said.append(f"{name}: {text}")
    lines = tuple((across(value), text) for text, value in real)
    return OpeningChart(
        title, tuple(points), tuple((across(tick), f"{tick:g}") for tick in ticks), lines, float(LINE * len(names)),
        f"{direction.name}, {title}: {'; '.join([*said, *(text for text, _ in real)])}",
    )  # fmt: skip


def _cell(direction: Direction, column: MeasuredColumn, index: int) -> TableCell:
    """The value with its interval over seeds, else over images; or why there is none."""
    row, _ = direction.entries[index]
    over_seeds = column.over_seeds(index, len(row.cells))
    if over_seeds.value is not None and over_seeds.low is not None:
        return over_seeds
    over_images = column.over_images(index)
    if over_images.value is not None:
        return over_images
    cell = direction.values(index, [column], Marks())[0]
    return TableCell(value=cell.value, text=cell.text, missing=cell.missing)


def _table(results: PageResults, direction: Direction, columns: Sequence[Named]) -> Table:
    """The main columns and the seconds of each row, and below them what real images get."""
    marks = Marks()
    chosen = [column for _, column in columns]
    heads = [Column("method", align="left")]
    for name, column in columns:
        better = better_direction(column.protocol)
        label = " ".join(filter(None, (name, PROTOCOLS[column.protocol].unit, ARROWS[better])))
        heads.append(Column(label, column.protocol, PROTOCOLS[column.protocol].unit, better, in_title=True))
    body = []
    for i, (row, _) in enumerate(direction.entries):
        named = direction.rows.name(row, marks)
        seconds = tradeoff_seconds(results.rows[row].cells) if row in results.rows else None
        cost = TableCell(value=seconds, decimals=0) if seconds is not None else TableCell()
        cells = direction.values(i, chosen, marks)
        if not chosen:
            cells = [TableCell(missing=direction.rows.unscored.get(row, ""))]
        body.append((TableCell(_name(direction, i), marks=named.marks), *cells, cost))
    if not chosen:
        heads.append(Column("state", align="left"))
    heads.append(Column("training + stages", unit="s"))
    rows = [body, [tuple(row) for row in reference_rows(chosen, 1, 1)]]
    notes = [f"by {', '.join(dict.fromkeys(column.protocol for column in chosen))}"] if chosen else []
    footnotes = [*marks.footnotes, *map(Footnote, [*about_means(body), *about_bold(chosen)])]
    return Table(
        f"{direction.title}; {direction.name}: the main metrics", tuple(heads),
        tuple(RowGroup(tuple(group)) for group in rows if group),
        tuple(notes), tuple(footnotes),
    )  # fmt: skip
