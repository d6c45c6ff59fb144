"""The leaderboard's tables as a page shows them: one panel at a time, chosen by class."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.reporting.leaderboard.board import Sheet
from bench.reporting.leaderboard.direction import Direction
from bench.reporting.leaderboard.further import further, further_images, further_of_class, further_seeds, further_tables
from bench.reporting.leaderboard.overview import overview
from bench.reporting.leaderboard.ranks import rank_improvements, ranks
from bench.reporting.leaderboard.rows import Rows
from bench.reporting.page.collect import PageResults
from bench.reporting.tables.readable import MOST_COLUMNS, readable_table
from bench.reporting.tables.table import Table


@dataclass(frozen=True)
class Panel:
    """The tables that are looked at together; a page shows one panel of a direction at a time."""

    label: str
    """What stands in the switch."""
    kind: str
    """The heading under which the switch has it."""
    tables: tuple[Table, ...]
    folded: tuple[Table, ...] = ()
    """Shown on demand."""


def boards_in_direction(results: PageResults, name: str) -> Direction:
    """What tables of one direction are made from. Failures and warnings stand elsewhere on the page."""
    rows = Rows(results.records)
    entries = tuple(rows.in_direction(results.records.directions[name]))
    return Direction(name, results.title, (), (), rows, entries)


def board_panels(results: PageResults, name: str) -> list[Panel]:
    """All classes together first, then each class, then the classes side by side by each protocol that has them.

    Of many classes none has a panel of its own: side by side they are rows, which can be sorted.
    """
    direction = boards_in_direction(results, name)
    shown, folded = (
        [overview(direction), *further(direction)],
        [*further_images(direction), *further_seeds(direction), *ranks(direction), *rank_improvements(direction)],
    )
    shown_panels = [Panel("all classes together", "all", _tables(shown), _tables(folded))]
    for label in results.classes if len(results.classes) <= MOST_COLUMNS else []:
        sheets = further_of_class(direction, label)
        shown_panels += [Panel(label, "one class", _tables(sheets))] if sheets else []
    return shown_panels + [
        Panel(sheet.heading, "classes side by side", _tables([sheet])) for sheet in further_tables(direction)
    ]


def _tables(sheets: list[Sheet]) -> tuple[Table, ...]:
    """The tables with one column that names the row: no cell spans several rows, which are sorted one by one."""
    return tuple(replace(readable_table(sheet.table, "html"), stub=1) for sheet in sheets)
