"""What a results folder holds of each training: what a baseline keeps of one, and what is compared with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.spec.protocols import ALL
from bench.store.columns import GIVEN
from bench.store.index import read_index
from bench.store.query import CellScore, MethodRow, Setting, SettingRecords, query_settings

FAILED = "failed"


class TrainingMeasure(NamedTuple):
    """Direction and protocol of a value. Values of different ones are never compared."""

    direction: str
    """Direction, for example `sketch->real`."""
    protocol: str
    """Name and version."""


class MadeOf(NamedTuple):
    """The weights and the numbers of images that a value was made with."""

    encoder: str
    """Identity of the weights that read the images; a judge's, or a network's."""
    n: int
    """Translated images."""
    n_reference: int
    """Real images; 0 where there are none."""


@dataclass(frozen=True)
class StoredTraining:
    """One cell."""

    setting: Setting
    """Data, size, preset, training length."""
    method: str
    """Name as given, `name[:variant]` or `package.module:Class`."""
    config: Mapping[str, Any]
    """Every setting of the method, as JSON values."""
    version: int
    """The method's."""
    seed: int
    identity: str
    """Hash of the resolved specification."""
    state: str
    """`done`, `failed`, or one of those that are not finished."""
    reason: str
    """Why it failed; empty otherwise."""
    style: str
    """Where its styles came from."""
    values: Mapping[TrainingMeasure, float]
    """Over all classes."""
    made: Mapping[TrainingMeasure, MadeOf]
    """What each of `values` was made with."""
    missing: Mapping[TrainingMeasure, str]
    """Why there is no value of a measure that was asked for."""
    folder: str
    """Below `runs/<task>/`."""

    def failure(self) -> str:
        """Why it failed; empty if it did not."""
        return (self.reason or "no reason was stored") if self.state == FAILED else ""


def read_trainings(root: Path, task: str, styles: Callable[[str], str] = lambda method: "") -> list[StoredTraining]:
    """Every training of `task` in the results folder `root`, in the order of folders; no given checkpoints.

    `styles`: method -> where its styles come from by default; of a method scored with several, those values are taken
    (empty: those of the first).
    """
    trainings: dict[int, StoredTraining] = {}
    for records in query_settings(read_index(root, task), lambda setting: setting.budget != GIVEN):
        values = _values(records)
        for row in records.rows:
            for cell in row.cells:
                trainings[cell] = _training(records, row, cell, values.get(cell, {}), styles(row.method))
    return [trainings[cell] for cell in sorted(trainings)]


def _values(records: SettingRecords) -> dict[int, dict[str, dict[TrainingMeasure, CellScore]]]:
    """Cell -> where styles came from -> measure -> its value over all classes."""
    by_cell: dict[int, dict[str, dict[TrainingMeasure, CellScore]]] = {}
    for direction, every in records.directions.items():
        for scores in every:
            for cell in scores.cells:
                by_cell.setdefault(cell, {}).setdefault(scores.style, {})
            for key, measurement in scores.measurements.items():
                for score in records.scores(key, measurement) if key.label == ALL else ():
                    by_cell[score.cell][scores.style][TrainingMeasure(direction, key.protocol)] = score
    return by_cell


def _training(
    records: SettingRecords,
    row: MethodRow,
    cell: int,
    by_style: Mapping[str, Mapping[TrainingMeasure, CellScore]],
    wanted: str,
) -> StoredTraining:
    style = wanted if wanted in by_style else min(by_style, default="")
    scores = by_style.get(style, {})
    return StoredTraining(
        setting=records.setting, method=row.method, config=row.settings, version=row.version,
        seed=records.seed(cell), identity=records.text("identity", cell), state=records.text("state", cell),
        reason=records.text("reason", cell), style=style,
        values={measure: score.value for measure, score in scores.items() if score.value is not None},
        made={at: MadeOf(score.encoder, *score.images) for at, score in scores.items() if score.value is not None},
        missing={measure: score.missing for measure, score in scores.items() if score.value is None},
        folder=records.text("folder", cell),
    )  # fmt: skip


def classes_of_trainings(root: Path, task: str, setting: Setting) -> int:
    """How many classes the trainings of a setting were scored on."""
    same_data = (setting.data_kind, setting.data_version)
    every = query_settings(read_index(root, task), lambda other: (other.data_kind, other.data_version) == same_data)
    return len({key.label for records in every for _, key, _ in records.measurements()} - {ALL})


def common_seeds_of_trainings(trainings: Sequence[StoredTraining]) -> list[int]:
    """Seeds of which every method among `trainings` has a finished one, or a failed one."""
    ended = Counter(training.seed for training in trainings if training.state in ("done", FAILED))
    methods = len({training.method for training in trainings})
    return sorted(seed for seed, count in ended.items() if count == methods)
