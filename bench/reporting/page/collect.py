"""What a report is made from: the cells of each task and setting, as they lie on disk. The one reader of cells here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError
from bench.reporting.leaderboard.rows import Rows
from bench.reporting.setting import setting_command, setting_title
from bench.spec.data_kinds import REAL, is_real_data_kind
from bench.spec.plugins import TASKS as PLUGINS
from bench.spec.plugins import installed_plugins
from bench.spec.protocols import ALL, PROTOCOLS
from bench.spec.tasks import TASKS, Task, get_task
from bench.store.cell import read_cell
from bench.store.index import read_index
from bench.store.query import Measurement, MethodRow, Setting, SettingRecords, query_settings

_DATA_ORDER = (REAL, "mnist-drawn", "embedded")
_PRESET_ORDER = ("paper", "small", "quick")


@dataclass(frozen=True)
class StoredCell:
    """One cell, and the name of the row that it belongs to."""

    row: str
    weak: bool
    """Whether it is weakly supervised."""
    spec: dict[str, Any]
    status: dict[str, Any]
    cost: dict[str, Any]
    remarks: tuple[str, ...]
    pretrained: tuple[str, ...]
    """Names of the networks that it was given."""
    scores: dict[str, dict[str, Any]]
    """Style source -> what `metrics-<style>.json` holds."""
    folder: Path

    @property
    def seed(self) -> int:
        """The seed of the training."""
        return int(self.spec["seed"])

    @property
    def name(self) -> str:
        """Row and seed."""
        return f"{self.row} seed {self.seed}"

    @property
    def state(self) -> str:
        """See `bench.store.cell.State`."""
        return str(self.status.get("state", "new"))

    @cached_property
    def environment(self) -> dict[str, Any]:
        """What `environment.json` holds; empty where it is absent or damaged."""
        return read_table_for_page(self.folder / "environment.json")

    @cached_property
    def doctor(self) -> dict[str, Any]:
        """`doctor_record` of the last scoring, else of the training; empty for cells older than it."""
        for score in self.scores.values():
            if isinstance(score.get("doctor"), dict):
                return dict(score["doctor"])
        recorded = self.environment.get("doctor")
        return dict(recorded) if isinstance(recorded, dict) else {}

    def losses(self) -> list[tuple[int, dict[str, float]]]:
        """(step, {loss: mean}) of each line of the log. A line that a killed process cut off is passed over."""
        try:
            lines = (self.folder / "log.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        entries = []
        for line in lines:
            try:
                entry = json.loads(line)
                entries.append((int(entry["step"]), {str(k): float(v) for k, v in entry["losses"].items()}))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
        return entries


@dataclass(frozen=True)
class RowCells:
    """A method with one set of settings."""

    name: str
    """The method; where it was run with several settings, with those in which they differ."""
    weak: bool
    """Whether it is weakly supervised."""
    cells: tuple[StoredCell, ...]
    """The cells in the order of seeds."""


@dataclass(frozen=True)
class PageResults:
    """Everything that was run of one task with one data version, size, preset and budget."""

    task: Task
    records: SettingRecords
    rows: dict[MethodRow, RowCells]
    """Rows with their cells, in the order of `records`."""

    @property
    def setting(self) -> Setting:
        """What must stand beside every number."""
        return self.records.setting

    @property
    def title(self) -> str:
        """The setting for headings."""
        return f"{setting_title(self.task.name, self.setting)}, {self.setting.budget}"

    @cached_property
    def cells(self) -> tuple[StoredCell, ...]:
        """The cells of all rows."""
        return tuple(cell for row in self.rows.values() for cell in row.cells)

    @property
    def trained(self) -> bool:
        """False for checkpoints that were scored as they came."""
        return not any(cell.spec.get("weights") for cell in self.cells)

    @property
    def directions(self) -> list[str]:
        """Such as `mnist->svhn`, in the task's order as far as it names them."""
        known = [self.task.direction_name(direction) for direction in self.task.directions]
        stored = list(self.records.directions)
        return sorted(stored, key=lambda name: (known.index(name) if name in known else len(known), stored.index(name)))

    def measurements(self) -> Iterator[tuple[str, str, str, Measurement]]:
        """(direction, protocol, class, measurement) of every row."""
        for direction, key, measurement in self.records.measurements():
            yield direction, key.protocol, key.label, measurement

    @cached_property
    def classes(self) -> list[str]:
        """Names of the classes in label order, in which records are stored."""
        return [label for label in dict.fromkeys(label for _, _, label, _ in self.measurements()) if label != ALL]

    @property
    def unknown_protocols(self) -> list[str]:
        """Protocols of records that this version cannot show."""
        return sorted({protocol for _, protocol, _, _ in self.measurements()} - set(PROTOCOLS))

    @property
    def seeds(self) -> list[int]:
        """The seeds of all cells."""
        return sorted({cell.seed for cell in self.cells})


def collect_for_page(results: Path, task: str = "") -> list[PageResults]:
    """Every setting with cells, of `task` or of all tasks; real data before drawn, `paper` before `quick`.

    Raises BenchError, with the command that makes some, if there is none.
    """
    outside = [name for name in installed_plugins(PLUGINS) if (results / "runs" / name).is_dir()]
    tasks = [get_task(task)] if task else [get_task(name) for name in dict.fromkeys([*TASKS, *outside])]
    every = [one for task_of_results in tasks for one in _of_task(results, task_of_results)]
    if not every:
        what = f"no results of {task}" if task else "no results"
        raise BenchError(f"{what} in {results}", setting_command("run", task=task or "sketch2real"))
    return every


def _of_task(results: Path, task: Task) -> Iterator[PageResults]:
    base = results / "runs" / task.name
    for records in sorted(query_settings(read_index(results, task.name)), key=lambda records: _order(records.setting)):
        names, rows = Rows(records).names, {}
        for row in records.rows:
            name, weak = names[row], records.any_weak(row)
            stored = (_stored(base / records.text("folder", cell), name, weak) for cell in row.cells)
            if cells := [cell for cell in stored if cell]:
                rows[row] = RowCells(name, weak, tuple(sorted(cells, key=lambda cell: cell.seed)))
        if rows:
            yield PageResults(task, records, rows)


def _order(setting: Setting) -> tuple[Any, ...]:
    places = [
        order.index(value) if value in order else len(order)
        for order, value in (
            (_DATA_ORDER, REAL if is_real_data_kind(setting.data_kind) else setting.data_kind),
            (_PRESET_ORDER, setting.preset),
        )
    ]
    return (*places, setting.image_size, setting.budget, setting.data_version)


def _stored(folder: Path, row: str, weak: bool) -> StoredCell | None:
    """None if it was removed, or damaged, since its records were read."""
    try:
        cell = read_cell(folder)
    except (BenchError, OSError):
        return None
    return StoredCell(
        row, weak, cell["spec"], cell["status"], cell["cost"], tuple(map(str, cell["remarks"])),
        tuple(map(str, cell["pretrained"])), cell["scores"], folder,
    )  # fmt: skip


def read_table_for_page(path: Path) -> dict[str, Any]:
    """A JSON table of names; empty where it is absent or damaged."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
