"""The rows of a leaderboard: what stands behind a method's name, and how many of its seeds there are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from bench.reporting.tables.marks import Marks
from bench.reporting.tables.table import TableCell
from bench.spec.run_spec import GIVEN_IMAGES, flat_spec_values
from bench.store.query import MethodRow, RowScores, SettingRecords

WEAK = "*"
"""Mark of a weakly supervised method."""
IMAGES = "†"
"""Mark of images that somebody else made."""


@dataclass(frozen=True)
class Rows:
    """The rows of one setting."""

    records: SettingRecords

    @cached_property
    def changes(self) -> dict[MethodRow, str]:
        """Where one method was run with several settings, those that differ: `width=8, blocks=2`; else empty."""
        of_method: dict[str, list[MethodRow]] = {}
        for row in self.records.rows:
            of_method.setdefault(row.method, []).append(row)
        changes = {}
        for rows in of_method.values():
            configs = {row: flat_spec_values(json.loads(row.config)) for row in rows}
            keys = {key for config in configs.values() for key in config} if len(rows) > 1 else set()
            first = configs[rows[0]]
            differing = sorted(
                key for key in keys if any(config.get(key) != first.get(key) for config in configs.values())
            )
            for row, config in configs.items():
                changes[row] = ", ".join(f"{key}={config[key]}" for key in differing if key in config)
        return changes

    @cached_property
    def names(self) -> dict[MethodRow, str]:
        """Method names, with their `changes` behind them."""
        return {row: f"{row.method} [{shown}]" if shown else row.method for row, shown in self.changes.items()}

    @cached_property
    def weak(self) -> set[MethodRow]:
        """Rows that used a network trained on labels."""
        return {row for row in self.records.rows if self.records.any_weak(row)}

    @cached_property
    def scored(self) -> set[int]:
        """Numbers of the cells that have metrics."""
        every = (row_scores for scores in self.records.directions.values() for row_scores in scores)
        return {cell for row_scores in every for cell in row_scores.cells}

    @cached_property
    def unscored(self) -> dict[MethodRow, str]:
        """Rows of which nothing was scored, and the state of their cells: `failed` if one has failed."""
        states = self.records.columns.texts("state")
        by_row = {}
        for row in self.records.rows:
            if not self.scored.intersection(row.cells):
                of_cells = Counter(states[cell] for cell in row.cells)
                by_row[row] = "failed" if "failed" in of_cells else of_cells.most_common(1)[0][0]
        return by_row

    def in_direction(self, scores: list[RowScores]) -> Iterator[tuple[MethodRow, RowScores | None]]:
        """Each of the `scores` of a direction with its row, and each row without any scores, in the order of rows."""
        by_row: dict[MethodRow, list[RowScores | None]] = {row: [None] for row in self.unscored}
        for row_scores in scores:
            by_row.setdefault(row_scores.row, []).append(row_scores)
        for row in self.records.rows:
            yield from ((row, row_scores) for row_scores in by_row.get(row, ()))

    def name(self, row: MethodRow, marks: Marks) -> TableCell:
        """The cell that names `row`."""
        signs = [marks.sign(WEAK, self.about_weak)] if row in self.weak else []
        signs += [marks.sign(IMAGES, "given images, not trained here")] if row.weights == GIVEN_IMAGES else []
        return TableCell(self.names[row], marks=tuple(signs))

    @cached_property
    def about_weak(self) -> str:
        """Meaning of the asterisk; which methods were given the stand-in and not a fetched network, and what it is."""
        names = [self.names[row] for row in self.records.rows if self.records.any_stand_in(row)]
        text = "weakly supervised: uses a network trained on labels"
        if names:
            text += f"; for {', '.join(names)}: a small network trained with labels on other drawn classes"
        return text
