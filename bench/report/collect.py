"""What a report is made from: the cells of each task and setting, as they lie on disk. The one reader of files here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import BenchError
from bench.leaderboard import SAME_SETTING
from bench.results import frame, read_cells
from bench.scoring import ALL
from bench.spec import flat_values
from bench.tasks import TASKS, Task, get_task

_DATA_ORDER = ("real", "mnist-drawn", "embedded")
_PRESET_ORDER = ("paper", "quick")


class Scored(NamedTuple):
    """A stored Record, and the cell and style that it is of. What an earlier version did not record is None or 0."""

    row: str
    style: str
    seed: int
    metric: str
    protocol: str
    direction: str
    label: str
    encoder: str
    missing: str
    value: float | None
    on_real: float | None
    deviation: float | None
    floor: float | None
    floor_deviation: float | None
    n: int
    n_reference: int
    floor_n: int
    floor_reference: int


_TEXTS, _NUMBERS, _COUNTS = Scored._fields[3:9], Scored._fields[9:14], Scored._fields[14:]


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
    remarks: tuple[str, ...]
    pretrained: tuple[str, ...]
    """Names of the networks that it was given."""
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

    def records(self) -> Iterator[Scored]:
        """Everything that it was scored with."""
        for style, score in self.scores.items():
            for record in score.get("records", []):
                texts = [str(record.get(name) or "") for name in _TEXTS]
                numbers = [_finite(record.get(name)) for name in _NUMBERS]
                counts = [int(record.get(name) or 0) for name in _COUNTS]
                yield Scored(self.row, style, self.seed, *texts, *numbers, *counts)  # type: ignore[arg-type]

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
    """`images=N`, `seconds=S`, or that the weights were given."""
    cells: tuple[StoredCell, ...]
    """In the order of their rows."""

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
        return not any(cell.spec.get("weights") for cell in self.cells)

    @cached_property
    def records(self) -> tuple[Scored, ...]:
        """Of all cells."""
        return tuple(record for cell in self.cells for record in cell.records())

    @cached_property
    def _by_place(self) -> dict[tuple[str, str], list[Scored]]:
        found: dict[tuple[str, str], list[Scored]] = {}
        for record in self.records:
            found.setdefault((record.direction, record.label), []).append(record)
        return found

    def of(self, direction: str, label: str = ALL) -> list[Scored]:
        """The records of one direction and class."""
        return self._by_place.get((direction, label), [])

    @cached_property
    def directions(self) -> list[str]:
        """Such as `mnist->svhn`, in the task's order as far as it names them."""
        known = [self.task.direction_name(direction) for direction in self.task.directions]
        found = list(dict.fromkeys(record.direction for record in self.records))
        return sorted(found, key=lambda name: (known.index(name) if name in known else len(known), found.index(name)))

    @cached_property
    def classes(self) -> list[str]:
        """In label order: records stand in it."""
        return [label for label in dict.fromkeys(record.label for record in self.records) if label != ALL]

    @property
    def seeds(self) -> list[int]:
        """Of all cells."""
        return sorted({cell.seed for cell in self.cells})

    @cached_property
    def _by_row(self) -> dict[str, list[StoredCell]]:
        found: dict[str, list[StoredCell]] = {}
        for cell in self.cells:
            found.setdefault(cell.row, []).append(cell)
        return found

    def begun(self, row: str) -> int:
        """How many cells of `row` there are, finished or not."""
        return len(self._by_row[row])

    def of_row(self, row: str) -> list[StoredCell]:
        """Its cells, by seed."""
        return self._by_row[row]

    @property
    def rows(self) -> list[str]:
        """Names of rows, in alphabetical order."""
        return list(self._by_row)


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
    known = frame(results, task.name)
    if known.empty:
        return
    known = known.drop_duplicates("identity")
    stored = {cell["spec"]["identity"]: cell for cell in read_cells(results, task.name)}
    for values, group in sorted(known.groupby(SAME_SETTING), key=lambda pair: _order(pair[0])):
        runs = zip(group["identity"], zip(group["method"], group["config"], strict=True), strict=True)
        names = row_names({identity: run for identity, run in runs if identity in stored})
        cells = [_stored(stored[identity], row) for identity, row in names.items()]
        kind, version, size, preset, budget = values
        ordered = tuple(sorted(cells, key=lambda cell: (cell.row, cell.seed)))
        yield Setting(task, kind, version, int(size), preset, budget, ordered)


def _order(setting: tuple[Any, ...]) -> tuple[Any, ...]:
    kind, version, size, preset, budget = setting
    places = [
        order.index(value) if value in order else len(order)
        for order, value in ((_DATA_ORDER, kind), (_PRESET_ORDER, preset))
    ]
    return (*places, size, budget, version)


def _stored(cell: dict[str, Any], row: str) -> StoredCell:
    return StoredCell(
        row, cell["spec"].get("supervision") == "weak", cell["spec"], cell["status"], cell["cost"],
        tuple(map(str, cell["remarks"])), tuple(map(str, cell["pretrained"])), cell["scores"], cell["folder"],
    )  # fmt: skip


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


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
