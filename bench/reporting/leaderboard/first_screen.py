"""The first screen: of one setting, a row a method, at most six columns and a few lines; everything else is a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from bench.core.terminal import fit_to_terminal, writable_text
from bench.reporting.leaderboard.build import board_events
from bench.reporting.leaderboard.columns import MeasuredColumn, better_direction
from bench.reporting.leaderboard.direction import Direction
from bench.reporting.leaderboard.rows import Rows
from bench.reporting.setting import (
    PRESET_WARNING,
    setting_command,
    setting_data_option,
    setting_data_warning,
    setting_title,
)
from bench.reporting.tables.table import ARROWS, TableCell, shown_value
from bench.spec.protocols import PROTOCOLS
from bench.store.cell import INTERRUPTED
from bench.store.columns import GIVEN
from bench.store.index import read_index
from bench.store.query import RowScores, Setting, SettingRecords, query_settings

METRICS = {
    "accuracy": ("accuracy",), "FID": ("fid",), "KID": ("kid",), "SWD": ("swd",), "LPIPS": ("lpips",),
    "diversity": ("judge_diversity",),
}  # fmt: skip
"""Name of a column -> its metrics. Diversity by the judge stands only where LPIPS is missing."""
DROPPED = ("KID", "diversity", "LPIPS", "train s", "SWD", "FID")
"""Columns that a narrow terminal goes without, the first to go first."""
GAP = "  "
LONGEST_NAME = 24
OTHERS = 4
"""Other settings that are named, at most."""
BEST = "*"
WEAK_JUDGE = "?"

Named = tuple[str, MeasuredColumn]
"""Name of a column, and its values."""


def first_screen(root: Path, task: str, width: int, wanted: Callable[[Setting], bool] = lambda setting: True) -> str:
    """The newest of the stored settings that are `wanted`, fitted to `width`; empty if nothing is stored."""
    settings = query_settings(read_index(root, task))
    chosen = [records for records in settings if wanted(records.setting)] or settings
    if not chosen:
        return ""
    shown = max(chosen, key=lambda records: _newest(root, task, records))
    others = [records.setting for records in settings if records is not shown]
    return fit_to_terminal(writable_text("\n".join(_lines(root, task, shown, others, width))), width)


def _newest(root: Path, task: str, records: SettingRecords) -> float:
    """When a cell of the setting was last written."""
    folders = records.columns.texts("folder")
    paths = [root / "runs" / task / folders[cell] for row in records.rows for cell in row.cells]
    return max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)


def _lines(root: Path, task: str, records: SettingRecords, others: Sequence[Setting], width: int) -> Iterator[str]:
    rows = Rows(records)
    title = setting_title(task, records.setting)
    directions = [
        Direction(name, title, (), (), rows, tuple(rows.in_direction(scores)))
        for name, scores in records.directions.items()
    ] or [Direction("nothing scored yet", title, (), (), rows, tuple(rows.in_direction([])))]
    yield f"{title}, {'given checkpoints' if records.setting.budget == GIVEN else records.setting.budget}"
    columns = [main_columns(direction) for direction in directions]
    by = {direction.name: _protocols(chosen) for direction, chosen in zip(directions, columns, strict=True) if chosen}
    if len(set(by.values())) == 1:
        yield f"by {next(iter(by.values()))}"
    else:
        yield from (f"{name}: by {names}" for name, names in by.items())
    for direction, chosen in zip(directions, columns, strict=True):
        yield ""
        yield from _table(direction, chosen, width)
    yield ""
    yield _about(records.setting)
    yield from records.left_out
    yield from (f"left out: {complaint}" for complaint in records.columns.complaints)
    yield from _about_marks(directions, columns)
    yield from _missing(directions)
    events = [event for event in board_events(task, records, rows) if not event.startswith("left out: ")]
    if events and events[0].startswith(INTERRUPTED):
        yield events.pop(0)
    if events:
        more = f" (and {len(events) - 1} more)" if len(events) > 1 else ""
        room = max(width - len(more), 20)
        yield (events[0] if len(events[0]) <= room else f"{events[0][: room - 1]}…") + more
    yield f"more: {setting_command('table', task=task)} --full; pictures: {setting_command('report')}"
    for setting in others[:OTHERS]:
        yield f"also: {_print_command(task, setting)}"
    if len(others) > OTHERS:
        yield f"also: {len(others) - OTHERS} more settings (--full prints all)"


def _print_command(task: str, setting: Setting) -> str:
    data = setting_data_option(setting.data_kind) or "real"
    budget = "" if setting.budget == GIVEN else setting.budget
    return setting_command(
        "table", task=task, preset=setting.preset, data="real" if data == "FOLDER" else data, budget=budget
    )


def main_columns(direction: Direction) -> list[Named]:
    """One column a metric: of its protocols the one with most values, of equals one whose judge is not weak, then the
    first. Those without are left."""
    columns: list[Named] = []
    for name, metrics in METRICS.items():
        held = [c for c in direction.headline if PROTOCOLS[c.protocol].metric in metrics and c.measurements]
        if held and not (name == "diversity" and any(known == "LPIPS" for known, _ in columns)):
            columns.append((name, max(held, key=lambda column: (len(column.measurements), not column.weak))))
    return columns


def _table(direction: Direction, columns: Sequence[Named], width: int) -> Iterator[str]:
    """Heading, rule, a line a method, then what real images get."""
    names = [name for name, _ in columns] + ["train s"]
    grid = {name: [_heading(name, column), *_body(direction, column)] for name, column in columns}
    seconds = direction.rows.records.columns.cells["seconds"]
    references = 2
    if not columns:
        names.insert(0, "state")
        states = (direction.rows.unscored.get(row, "") for row, _ in direction.entries)
        grid["state"] = ["state", *states, *[""] * references]
    grid["train s"] = ["train s", *(_seconds(seconds, scores) for _, scores in direction.entries), *[""] * references]
    grid = {name: list(map(writable_text, cells)) for name, cells in grid.items()}  # what is aligned is what is seen
    labels = [direction.name, *_labels(direction), "(real test images)", "(floor: real images)"]
    labels = list(map(writable_text, labels))
    room = width - max(map(len, labels))
    for name in DROPPED:
        if sum(len(GAP) + max(map(len, grid[one])) for one in names) > room and name in names:
            names.remove(name)
    lines = list(zip(labels, *(grid[name] for name in names), strict=True))
    lines = lines[:-references] + [line for line in lines[-references:] if any(line[1:])]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for i, (label, *cells) in enumerate(lines):
        texts = [label.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(cells, widths[1:], strict=True))]
        yield GAP.join(texts).rstrip()
        if i == 0:
            yield GAP.join("-" * w for w in widths)


def _labels(direction: Direction) -> Iterator[str]:
    """Names of rows; the source of styles where a method has several."""
    seen = [row for row, _ in direction.entries]
    for row, scores in direction.entries:
        name = direction.rows.names[row] + (f", {scores.style}" if scores and seen.count(row) > 1 else "")
        weak = " (weak)" if row in direction.rows.weak else ""
        room = LONGEST_NAME - len(weak)
        yield (name if len(name) <= room else f"{name[: room - 1]}…") + weak


def _protocols(columns: Sequence[Named]) -> str:
    return ", ".join(column.protocol for _, column in columns)


def _heading(name: str, column: MeasuredColumn) -> str:
    return " ".join(filter(None, (name, PROTOCOLS[column.protocol].unit, ARROWS[better_direction(column.protocol)])))


def _body(direction: Direction, column: MeasuredColumn) -> Iterator[str]:
    for i, (row, scores) in enumerate(direction.entries):
        if scores is None:
            yield direction.rows.unscored.get(row, "")
        elif i in column.deterministic:
            yield "none "
        else:
            over = column.over.get(i)
            cell = (
                TableCell(value=over.mean, deviation=over.deviation, seeds=(over.k, len(row.cells))) if over else None
            )
            sign = WEAK_JUDGE if column.weak else BEST if column.bold(i) else " "
            yield (shown_value(cell) if cell else "-") + sign
    for cells in ([column.on_real()], column.floors()[:1]):
        yield next((f"{shown_value(TableCell(value=cell.value))} " for cell in cells if cell.value is not None), "")


def _seconds(seconds: np.ndarray, scores: RowScores | None) -> str:
    """Mean over the seeds; empty where it is not known."""
    known = [float(seconds[cell]) for cell in (scores.cells if scores else ()) if seconds[cell] == seconds[cell]]
    return f"{sum(known) / len(known):.0f}" if known else ""


def _about(setting: Setting) -> str:
    """What the data and the training are, and once what their numbers cannot be compared with."""
    warnings = [setting_data_warning(setting.data_kind)]
    warnings += [] if setting.budget == GIVEN else [PRESET_WARNING.get(setting.preset, "")]
    said = "; ".join(text for warning in warnings if (text := warning.partition(": not comparable")[0]))
    return said + (": not comparable with the paper" if any("not comparable" in text for text in warnings) else "")


def _about_marks(directions: Sequence[Direction], columns: Sequence[Sequence[Named]]) -> Iterator[str]:
    """What the mark means, once, and that one seed says nothing of other trainings."""
    named = {f"{WEAK_JUDGE}: {column.weak}": None for chosen in columns for _, column in chosen if column.weak}
    yield from named
    trusted = [column for chosen in columns for _, column in chosen if not column.weak]
    marked = any(column.best and column.best.members for column in trusted)
    several = any(len(scores.cells) > 1 for direction in directions for scores in direction.scores if scores)
    seeds = "over seeds" if several else "over the images of one seed, not over other trainings"
    if marked:
        yield f"{BEST}: not distinguishable from the best ({seeds})" + (
            "; ±: deviation between seeds" if several else ""
        )
    elif (trusted or not named) and sum(len(direction.entries) for direction in directions) > len(directions):
        yield "no mark: nothing could be tested (--seeds 0,1,2 trains more)"


def _missing(directions: Sequence[Direction]) -> Iterator[str]:
    """What no method has for want of weights, and the command that adds it."""
    lacking: dict[str, set[str]] = {}
    for column in (column for direction in directions for column in direction.headline if not column.measurements):
        reasons = " ".join(reason for held in column.asked.values() for reason in held.reasons)
        for weights in re.findall(r"needs: bench fetch ([\w.-]+)", reasons):
            lacking.setdefault(weights, set()).add(column.protocol)
    if lacking:
        names = ", ".join(sorted({name for protocols in lacking.values() for name in protocols}))
        yield f"missing: {names}"
        yield f"  add them: {setting_command('fetch', *sorted(lacking))}, then the same run again, or evaluate"
