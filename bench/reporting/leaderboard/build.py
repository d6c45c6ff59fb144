"""A board from everything of one setting: what is said above and below the tables, and which tables there are."""

from __future__ import annotations

from collections.abc import Iterator

from bench.reporting.leaderboard.board import Board, Sheet
from bench.reporting.leaderboard.direction import Direction
from bench.reporting.leaderboard.further import further, further_images, further_seeds, further_tables
from bench.reporting.leaderboard.overview import overview, overview_without_scores
from bench.reporting.leaderboard.ranks import rank_improvements, ranks
from bench.reporting.leaderboard.rows import Rows
from bench.reporting.setting import GIVEN_WARNING, PRESET_WARNING, setting_data_warning, setting_title
from bench.spec.data_kinds import is_real_data_kind
from bench.spec.protocols import PROTOCOLS
from bench.store.columns import GIVEN
from bench.store.query import SettingRecords


def build_board(task: str, records: SettingRecords) -> Board:
    """The leaderboard of `task` in the setting of `records`."""
    setting, rows = records.setting, Rows(records)
    title = setting_title(task, setting)
    notes, events = _notes(records), tuple(board_events(records, rows))
    sheets: list[Sheet] = []
    for name, scores in records.directions.items():
        direction = Direction(name, title, notes, events, rows, tuple(rows.in_direction(scores)))
        tables = [
            overview(direction),
            *further(direction),
            *further_images(direction),
            *further_seeds(direction),
            *ranks(direction),
            *rank_improvements(direction),
        ]
        sheets += [*tables, *further_tables(direction)]
    if not sheets:
        sheets.append(overview_without_scores(Direction("", title, notes, events, rows, tuple(rows.in_direction([])))))
    return Board(setting, title, tuple(sheets), records.columns.complaints)


def _notes(records: SettingRecords) -> tuple[str, ...]:
    """What every number of the board was made with."""
    kind, version = records.setting.data_kind, records.setting.data_version
    return (
        f"data: {'real' if is_real_data_kind(kind) else kind} ({setting_data_warning(kind)}), version {version}",
        _training(records),
        *records.left_out,
        "columns: metric protocol, direction of better; n = translated images (or sources) / real images",
    )


def _training(records: SettingRecords) -> str:
    """How what is on the board was trained."""
    preset, budget = records.setting.preset, records.setting.budget
    if budget == GIVEN:
        return GIVEN_WARNING
    return f"preset: {preset} ({PRESET_WARNING.get(preset, '')}), budget {budget} per domain"


def board_events(records: SettingRecords, rows: Rows) -> Iterator[str]:
    """Failed cells, remarks of methods on their cells, and what is not shown."""
    row_of = {cell: row for row in records.rows for cell in row.cells}
    names = {cell: f"{rows.names[row_of[cell]]} seed {records.seed(cell)}" for cell in sorted(row_of)}
    yield from (f"failed: {name}: {records.failure(cell)}" for cell, name in names.items() if records.failure(cell))
    remarks = {cell: records.text("remarks", cell) for cell in names}
    yield from (f"warning: {names[cell]}: {remark}" for cell, remark in remarks.items() if remark)
    shown = {key.protocol for _, key, _ in records.measurements()}
    for protocol in sorted(shown - set(PROTOCOLS)):
        yield f"not shown: {protocol}, a protocol that this version does not know"
    yield from (f"left out: {complaint}" for complaint in records.columns.complaints)
