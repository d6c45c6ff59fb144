"""What a report is made from: the cells of each task and setting, as they lie on disk. The one reader of files here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.leaderboard import SAME_SETTING
from bench.results import GIVEN, frame, read_cells
from bench.scoring import ALL, Record
from bench.spec import flat_values
from bench.tasks import TASKS, Task, get_task

if TYPE_CHECKING:
    import pandas as pd

_DATA_ORDER = ("real", "mnist-drawn", "embedded")
_PRESET_ORDER = ("paper", "quick")


@dataclass(frozen=True)
class StoredCell:
    """One cell, and the name of the row that it belongs to."""

    row: str
    """Method, and the settings that tell it from others of its name."""
    weak: bool
    """Whether it is weakly supervised."""
    spec: dict[str, Any]
    status: dict[str, Any]
    cost: dict[str, Any]
    scores: dict[str, dict[str, Any]]
    """Style source -> what `metrics-<style>.json` holds."""
    folder: Path

    @property
    def seed(self) -> int:
        """Of the training."""
        return int(self.spec["seed"])

    @property
    def state(self) -> str:
        """See `bench.results.State`."""
        return str(self.status.get("state", "new"))

    @cached_property
    def environment(self) -> dict[str, Any]:
        """What `environment.json` holds; empty where it is absent or damaged."""
        return _read(self.folder / "environment.json")

    @cached_property
    def doctor(self) -> dict[str, Any]:
        """`doctor_record` of the last scoring, else of the training; empty for cells older than it."""
        for score in self.scores.values():
            if score.get("doctor"):
                return dict(score["doctor"])
        return dict(self.environment.get("doctor") or {})

    def losses(self) -> list[tuple[int, dict[str, float]]]:
        """(step, {loss: mean}) of each line of the log. A line that a killed process cut off is passed over."""
        try:
            lines = (self.folder / "log.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        found = []
        for line in lines:
            try:
                entry = json.loads(line)
                found.append((int(entry["step"]), {str(k): float(v) for k, v in entry["losses"].items()}))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
        return found


@dataclass(frozen=True)
class Setting:
    """Everything that was run of one task with one data version, size, preset and budget."""

    task: Task
    data_kind: str
    data_version: str
    image_size: int
    preset: str
    budget: str
    """`images=N`, `seconds=S`, or `bench.results.GIVEN`."""
    cells: tuple[StoredCell, ...]
    records: pd.DataFrame
    """`bench.results.frame` of these cells, with every column of a Record and the name of each one's `row`."""

    @property
    def title(self) -> str:
        """For a heading."""
        return f"{self.task.name}: {self.mark}"

    @property
    def mark(self) -> str:
        """What must stand beside every number of it."""
        return f"{self.data_kind} data, {self.image_size} px, preset {self.preset}, {self.budget}"

    @property
    def trained(self) -> bool:
        """False for checkpoints that were scored as they came."""
        return self.budget != GIVEN

    @property
    def scored(self) -> pd.DataFrame:
        """The records alone: without the rows that stand for a cell without metrics."""
        return self.records[self.records["metric"].notna()]

    @property
    def directions(self) -> list[str]:
        """Such as `mnist->svhn`, in the task's order as far as it names them."""
        known = [self.task.direction_name(direction) for direction in self.task.directions]
        found = list(dict.fromkeys(self.scored["direction"]))
        return sorted(found, key=lambda name: (known.index(name) if name in known else len(known), found.index(name)))

    @cached_property
    def classes(self) -> list[str]:
        """In label order: records stand in it."""
        return [label for label in dict.fromkeys(self.scored["label"]) if label != ALL]

    @property
    def seeds(self) -> list[int]:
        """Of all cells."""
        return sorted({cell.seed for cell in self.cells})

    def begun(self, row: str) -> int:
        """How many cells of `row` there are, finished or not."""
        return sum(cell.row == row for cell in self.cells)

    def of_row(self, row: str) -> list[StoredCell]:
        """Its cells, by seed."""
        return sorted((cell for cell in self.cells if cell.row == row), key=lambda cell: cell.seed)

    @property
    def rows(self) -> list[str]:
        """Names of rows, in alphabetical order."""
        return list(dict.fromkeys(cell.row for cell in self.cells))


def collect(results: Path, task: str = "") -> list[Setting]:
    """Every setting with cells, of `task` or of all tasks; real data before drawn, `paper` before `quick`.

    Raises BenchError, with the command that makes some, if there is none.
    """
    names = [get_task(task).name] if task else list(TASKS)
    found = [setting for name in names for setting in _settings(results, TASKS[name])]
    if not found:
        what = f"no results of {task}" if task else "no results"
        raise BenchError(f"{what} in {results}", f"python -m bench run --task {task or 'sketch2real'}")
    return found


def _settings(results: Path, task: Task) -> Iterator[Setting]:
    records = frame(results, task.name)
    if records.empty:
        return
    records = records.reindex(columns=[*records.columns, *_absent(records), "row"])
    stored = {cell["spec"]["identity"]: cell for cell in read_cells(results, task.name)}
    groups = [group.copy() for _, group in records.groupby(SAME_SETTING)]
    for group in sorted(groups, key=_order):
        names = row_names({str(row.identity): (row.method, row.config) for row in group.itertuples()})
        group["row"] = group["identity"].map(names)
        group = group.sort_values("row", kind="stable")
        first = group.iloc[0]
        own = [identity for identity in dict.fromkeys(group["identity"]) if identity in stored]
        cells = tuple(_stored(stored[identity], names[identity]) for identity in own)
        setting = {key: first[key] for key in SAME_SETTING}
        yield Setting(
            task, setting["data_kind"], setting["data_version"], int(setting["image_size"]), setting["preset"],
            setting["budget"], cells, group,
        )  # fmt: skip


def _absent(records: pd.DataFrame) -> list[str]:
    """Fields of a Record that no stored one has: they were scored before there was such a field."""
    return [name for name in ("style", *(field.name for field in fields(Record))) if name not in records.columns]


def _order(group: pd.DataFrame) -> tuple[Any, ...]:
    first = group.iloc[0]
    places = [
        order.index(value) if value in order else len(order)
        for order, value in ((_DATA_ORDER, first["data_kind"]), (_PRESET_ORDER, first["preset"]))
    ]
    return (*places, first["image_size"], first["budget"], first["data_version"])


def _stored(cell: dict[str, Any], row: str) -> StoredCell:
    weak = cell["spec"].get("supervision") == "weak"
    return StoredCell(row, weak, cell["spec"], cell["status"], cell["cost"], cell["scores"], cell["folder"])


def row_names(runs: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Identity -> name of its row, from identity -> (method, config as JSON): the method, and where it was run with
    several settings those in which they differ.
    """
    names: dict[tuple[str, str], str] = {}
    for method in dict.fromkeys(method for method, _ in runs.values()):
        texts = dict.fromkeys(config for name, config in runs.values() if name == method)
        configs = {text: flat_values(json.loads(text)) for text in texts}
        keys = sorted({key for config in configs.values() for key in config})
        differing = [k for k in keys if len({json.dumps(config.get(k)) for config in configs.values()}) > 1]
        for text, config in configs.items():
            shown = ", ".join(f"{key}={config[key]}" for key in differing if key in config)
            names[method, text] = f"{method} [{shown}]" if shown else method
    return {identity: names[run] for identity, run in runs.items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
