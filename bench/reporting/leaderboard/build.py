"""A board from everything of one setting: what is said above and below the tables, and which tables there are."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench.reporting.leaderboard.board import Board, Sheet
from bench.reporting.leaderboard.direction import Direction
from bench.reporting.leaderboard.further import class_tables, further, over_images, over_seeds
from bench.reporting.leaderboard.overview import nothing_scored, overview
from bench.reporting.leaderboard.ranks import improvements, ranks
from bench.reporting.leaderboard.rows import Rows
from bench.spec.protocols import PROTOCOLS
from bench.store.columns import GIVEN
from bench.store.query import Group

DATA_WARNING = {
    "embedded": "drawn by code, not real images: not comparable with the paper or with any other data",
    "mnist-drawn": "real MNIST against drawn house numbers: not comparable with the paper",
    "real": "real images",
}
PRESET_WARNING = {
    "quick": "small networks, short training: not comparable with the paper",
    "paper": "published settings",
}


def build_board(task: str, group: Group) -> Board:
    """The leaderboard of `task` in the setting of `group`."""
    setting, rows = group.setting, Rows(group)
    title = f"{task}: {setting.data_kind} data at {setting.image_size} px, preset {setting.preset}"
    notes, events = _notes(group), tuple(_events(group, rows))
    sheets: list[Sheet] = []
    for name, parts in group.directions.items():
        of = Direction(name, title, notes, events, rows, tuple(rows.in_direction(parts)))
        made = [overview(of), *further(of), *over_images(of), *over_seeds(of), *ranks(of), *improvements(of)]
        sheets += [*made, *class_tables(of)]
    if not sheets:
        sheets.append(nothing_scored(Direction("", title, notes, events, rows, tuple(rows.in_direction([])))))
    return Board(setting, title, tuple(sheets))


def _notes(group: Group) -> tuple[str, ...]:
    """What every number of the board was made with."""
    kind, version = group.setting.data_kind, group.setting.data_version
    return (
        f"data: {kind} ({DATA_WARNING.get(kind, '')}), version {version}",
        _training(group),
        "columns: metric protocol, direction of better; n = translated images (or sources) / real images",
    )


def _training(group: Group) -> str:
    """How what is on the board was trained."""
    preset, budget = group.setting.preset, group.setting.budget
    if budget == GIVEN:
        return "given checkpoints, scored and not trained here: what they were trained on and for how long is theirs"
    return f"preset: {preset} ({PRESET_WARNING.get(preset, '')}), budget {budget} per domain"


def _events(group: Group, rows: Rows) -> Iterator[str]:
    """Failed cells, what methods had to say of theirs, and what is not shown."""
    cells, texts = group.records.cells, group.records.texts
    states, reasons, remarks = texts("state"), texts("reason"), texts("remarks")
    row_of = {cell: row for row in group.rows for cell in row.cells if states[cell] == "failed" or remarks[cell]}
    named = {cell: f"{rows.names[row_of[cell]]} seed {int(cells['seed'][cell])}" for cell in sorted(row_of)}
    for cell, name in named.items():
        if states[cell] == "failed":
            step = cells["step"][cell]
            yield f"failed: {name}: {reasons[cell]}" + ("" if math.isnan(step) else f" (step {int(step)})")
    yield from (f"warning: {name}: {remarks[cell]}" for cell, name in named.items() if remarks[cell])
    shown = {key.protocol for parts in group.directions.values() for part in parts for key in part.pools}
    for protocol in sorted(shown - set(PROTOCOLS)):
        yield f"not shown: {protocol}, a protocol that this version does not know"
    yield from (f"left out: {complaint}" for complaint in group.records.complaints)
