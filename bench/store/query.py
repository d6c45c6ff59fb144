"""What a results folder holds of a task, by setting, direction, row (method and its settings), style, protocol, class.

The one shape in which tables, claims, figures, the report and the gate read results. A `Measurement` has what its cells
have in common; `SettingRecords.scores` has each cell's own value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bench.spec.protocols import ALL, LEAST_ACCURACY, PROTOCOLS
from bench.store.columns import RECORD_COUNTS, RECORD_NUMBERS, Records

CLASSIFIERS = frozenset(name for name, protocol in PROTOCOLS.items() if protocol.metric == "accuracy")
"""Protocols whose `on_real` is the accuracy of their judge."""
FLOOR_COUNTS = ("floor_n", "floor_reference", "n")


class Setting(NamedTuple):
    """Cells that differ in one of these never share a table."""

    data_kind: str
    data_version: str
    image_size: int
    preset: str
    budget: str


class MethodRow(NamedTuple):
    """A row of a table: one method with one set of settings."""

    method: str
    config: str
    """JSON of every setting, with the method's version and the identity of given weights."""
    cells: tuple[int, ...]
    """Numbers of its cells, finished or not."""

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting of the method, as JSON values."""
        values = json.loads(self.config)
        return {key: value for key, value in values.items() if key not in ("method_version", "weights")}

    @property
    def version(self) -> int:
        """The method's version."""
        return int(json.loads(self.config)["method_version"])

    @property
    def weights(self) -> str:
        """Identity of the given checkpoint, or `GIVEN_IMAGES`; empty if the method was trained here."""
        return str(json.loads(self.config)["weights"])


class Floor(NamedTuple):
    """The value of a metric between real images and other real images."""

    value: float
    deviation: float | None
    n: int
    n_reference: int
    n_translated: int
    """The number of translations that it is the floor of."""


class Measurement(NamedTuple):
    """All cells of a row measured by one protocol with one encoder on one class."""

    records: np.ndarray
    """Numbers of the records (k,), one per cell of `cells`."""
    values: tuple[float, ...]
    """One per cell that has one."""
    cells: tuple[int, ...]
    """Numbers of all cells that were scored so, with a value or without."""
    counts: tuple[int, int] | None
    """(n, n_reference); None if there is no value, or if the cells differ."""
    deviation: float | None
    """Standard deviation over images, mean of the cells': they share their images, so that their mean is as uncertain
    as each of them."""
    on_real: tuple[float, ...]
    """The same metric of the target domain's own test images; several if the cells differ."""
    floors: tuple[Floor, ...]
    reasons: tuple[str, ...]
    """Why cells have no value."""


class MeasureKey(NamedTuple):
    """Protocol, encoder and class of a measurement."""

    protocol: str
    encoder: str
    """Identity of the weights; empty: they are missing, and there is no value."""
    label: str
    """Name of the class, or `all`."""


class CellScore(NamedTuple):
    """The value of one cell in a measurement, or why it has none."""

    cell: int
    encoder: str
    value: float | None
    images: tuple[int, int]
    """(n, n_reference): translated images, real images."""
    missing: str
    """Why there is no value."""


class RowScores(NamedTuple):
    """A row in one direction with one source of styles."""

    row: MethodRow
    style: str
    cells: tuple[int, ...]
    """Numbers of the cells that were scored."""
    measurements: dict[MeasureKey, Measurement]


@dataclass(frozen=True)
class SettingRecords:
    """All cells of one setting."""

    setting: Setting
    columns: Records
    """Everything of the task, whose cells the numbers of cells are of."""
    rows: tuple[MethodRow, ...]
    """The rows in the order of the cells."""
    directions: dict[str, list[RowScores]]
    """Direction -> what was scored in it, in the order of rows."""

    def scores(self, key: MeasureKey, measurement: Measurement) -> list[CellScore]:
        """The value of each cell of `measurement`, which was made by `key`."""
        columns, words = self.columns.records, self.columns.words
        names = ("cell", "value", "n", "n_reference", "missing")
        rows = zip(*(columns[name][measurement.records].tolist() for name in names), strict=True)
        return [
            CellScore(cell, key.encoder, value if value == value else None, (n, real), words[missing])
            for cell, value, n, real, missing in rows
        ]

    def measurements(self) -> Iterator[tuple[str, MeasureKey, Measurement]]:
        """(direction, by what, measurement) of everything that was scored."""
        for direction, every in self.directions.items():
            for scores in every:
                yield from ((direction, key, measurement) for key, measurement in scores.measurements.items())

    def text(self, column: str, cell: int) -> str:
        """The text of one cell in `column`."""
        return self.columns.text(column, cell)

    def seed(self, cell: int) -> int:
        """The seed of a cell."""
        return int(self.columns.cells["seed"][cell])

    def step(self, cell: int) -> int | None:
        """The step at which a cell failed; None if it did not, or crashed."""
        step = float(self.columns.cells["step"][cell])
        return None if math.isnan(step) else int(step)

    def failure(self, cell: int) -> str:
        """Why a cell failed: `loss is not finite (step 7)`; empty if it did not."""
        if self.text("state", cell) != "failed":
            return ""
        step = self.step(cell)
        return self.text("reason", cell) + ("" if step is None else f" (step {step})")

    @property
    def left_out(self) -> tuple[str, ...]:
        """What the data does not allow to measure, in words; empty where it allows all."""
        cells = sorted(cell for row in self.rows for cell in row.cells)
        return tuple(dict.fromkeys(text for cell in cells if (text := self.text("left_out", cell))))

    def any_weak(self, row: MethodRow) -> bool:
        """Whether a cell of `row` used a network trained on labels."""
        return any(self.text("supervision", cell) == "weak" for cell in row.cells)

    def any_stand_in(self, row: MethodRow) -> bool:
        """Whether a cell of `row` was given the stand-in for VGG-19."""
        return bool(self.columns.cells["stand_in"][list(row.cells)].any())


def query_accuracy_on_real(scores: Iterable[RowScores | None], encoder: str) -> float | None:
    """Percent of real test images that the judge with the weights `encoder` is right on; None if unknown."""
    known = [
        value
        for row in scores
        for key, measurement in (row.measurements if row else {}).items()
        if (key.encoder, key.label) == (encoder, ALL) and key.protocol in CLASSIFIERS
        for value in measurement.on_real
    ]
    return min(known, default=None)


def query_weak_judge(scores: Iterable[RowScores | None], protocol: str, encoder: str) -> str:
    """What to say of values by `protocol` if its judge is weak; empty if it is not, or if no judge reads the images."""
    if protocol not in PROTOCOLS or PROTOCOLS[protocol].encoder not in ("judge", "inception-probe"):
        return ""
    accuracy = query_accuracy_on_real(scores, encoder)
    if accuracy is None or accuracy >= LEAST_ACCURACY:
        return ""
    return f"weak judge: right on {accuracy:.0f} % of real images, at least {LEAST_ACCURACY:.0f} % wanted"


def query_settings(records: Records, wanted: Callable[[Setting], bool] = lambda setting: True) -> list[SettingRecords]:
    """The records of each setting that is `wanted`, in the order of settings."""
    settings, rows, row_of = _rows(records, wanted)
    rows_of: list[list[MethodRow]] = [[] for _ in settings]
    directions: list[dict[str, list[RowScores]]] = [{} for _ in settings]
    for row, setting in rows:
        rows_of[setting].append(row)
    for direction, number, scores in _row_scores(records, [row for row, _ in rows], row_of):
        directions[rows[number][1]].setdefault(direction, []).append(scores)
    return [
        SettingRecords(setting, records, tuple(rows_of[number]), directions[number])
        for setting, number in sorted(settings.items())
    ]


def _rows(
    records: Records, wanted: Callable[[Setting], bool]
) -> tuple[dict[Setting, int], list[tuple[MethodRow, int]], np.ndarray]:
    """Setting -> number, (row, its setting's number), and for each cell the number of its row or -1."""
    names = ("data_kind", "data_version", "preset", "budget", "method", "config")
    kinds, versions, presets, budgets, methods, configs = (records.texts(name) for name in names)
    sizes = records.cells["image_size"].astype(int).tolist()
    settings: dict[Setting, int] = {}
    refused: set[Setting] = set()
    cells_of: dict[tuple[int, str, str], list[int]] = {}
    columns = zip(kinds, versions, sizes, presets, budgets, methods, configs, strict=True)
    for cell, (*names_of_setting, method, config) in enumerate(columns):
        setting = Setting(*names_of_setting)
        if setting in refused:
            continue
        if setting not in settings:
            if not wanted(setting):
                refused.add(setting)
                continue
            settings[setting] = len(settings)
        cells_of.setdefault((settings[setting], method, config), []).append(cell)
    row_of = np.full(len(records), -1)
    rows = []
    for number, ((setting_number, method, config), cells) in enumerate(cells_of.items()):
        row_of[cells] = number
        rows.append((MethodRow(method, config, tuple(cells)), setting_number))
    return settings, rows, row_of


def _row_scores(records: Records, rows: list[MethodRow], row_of: np.ndarray) -> list[tuple[str, int, RowScores]]:
    """(direction, number of the row, scores): directions as they first come, then rows, then styles as they come."""
    columns, words = records.records, records.words
    row = row_of[columns["cell"]]
    chosen = np.flatnonzero(row >= 0)
    if not len(chosen):
        return []
    key = row[chosen]
    for name in ("direction", "style"):
        key = _refined(key, columns[name][chosen])
    part = key
    for name in ("protocol", "encoder", "label"):
        key = _refined(key, columns[name][chosen])
    order = np.argsort(key, kind="stable")
    rank, part = chosen[order], part[order]
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    first = rank[starts]
    names = [
        [words[code] for code in columns[name][first].tolist()]
        for name in ("direction", "style", "protocol", "encoder", "label")
    ]
    measurements = list(_measurements(records, rank, starts))
    # Rows' scores, and measurements within them, in the order in which their first records were stored.
    part_starts = np.flatnonzero(np.diff(part, prepend=-1))
    sizes = np.diff(np.append(part_starts, len(part)))
    first_of_part = np.repeat(np.minimum.reduceat(rank, part_starts), sizes)[starts]
    place: dict[str, int] = {}
    by_part: dict[tuple[str, int, str], dict[MeasureKey, Measurement]] = {}
    row_numbers = row[first].tolist()
    for i in np.lexsort((first, first_of_part)).tolist():
        direction, style, protocol, encoder, label = (column[i] for column in names)
        place.setdefault(direction, len(place))
        in_part = by_part.setdefault((direction, row_numbers[i], style), {})
        in_part[MeasureKey(protocol, encoder, label)] = measurements[i]
    return [
        (direction, number, RowScores(rows[number], style, _cells(in_part.values()), in_part))
        for (direction, number, style), in_part in sorted(
            by_part.items(), key=lambda item: (place[item[0][0]], item[0][1])
        )
    ]


def _cells(measurements: Iterable[Measurement]) -> tuple[int, ...]:
    """The cells of any of `measurements`, most of which have the same."""
    return tuple(sorted(set().union(*{measurement.cells for measurement in measurements})))


def _refined(key: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """`key` with `codes` as its last digit."""
    present = np.flatnonzero(np.bincount(codes))
    digit = np.zeros(int(codes.max()) + 1, dtype=np.int64)
    digit[present] = np.arange(len(present))
    return key * len(present) + digit[codes]


def _measurements(records: Records, rank: np.ndarray, starts: np.ndarray) -> Iterator[Measurement]:
    """One for each run of the records numbered `rank` that begins at `starts`."""
    columns = {name: records.records[name][rank] for name in (*RECORD_NUMBERS, *RECORD_COUNTS, "cell", "missing")}
    words, ends = records.words, [*starts[1:].tolist(), len(rank)]
    measured = ~np.isnan(columns["value"])
    values, cells, missing = (columns[name].tolist() for name in ("value", "cell", "missing"))
    measured_count = np.add.reduceat(measured, starts, dtype=np.int64).tolist()
    n = _extremes(columns["n"], measured, starts)
    real = _extremes(columns["n_reference"], measured, starts)
    deviations = _means(columns["deviation"], measured & ~np.isnan(columns["deviation"]), starts)
    on_real = _extremes(columns["on_real"], ~np.isnan(columns["on_real"]), starts)
    floors = _floors(columns, starts)
    for i, (start, end) in enumerate(zip(starts.tolist(), ends, strict=True)):
        whole = measured_count[i] == end - start
        run = range(start, end)
        yield Measurement(
            rank[start:end],
            tuple(values[start:end] if whole else (values[j] for j in run if values[j] == values[j])),
            tuple(cells[start:end]),
            (int(n[0][i]), int(real[0][i])) if n[0][i] == n[1][i] and real[0][i] == real[1][i] else None,
            deviations[i],
            tuple(dict.fromkeys((on_real[0][i], on_real[1][i]))) if on_real[0][i] <= on_real[1][i] else (),
            floors.get(i, ()),
            () if whole else tuple(dict.fromkeys(words[missing[j]] for j in run if missing[j])),
        )


def _extremes(values: np.ndarray, valid: np.ndarray, starts: np.ndarray) -> tuple[list[float], list[float]]:
    """Smallest and largest of the valid values of each run; inf and -inf where there is none."""
    low = np.minimum.reduceat(np.where(valid, values, np.inf), starts)
    return low.tolist(), np.maximum.reduceat(np.where(valid, values, -np.inf), starts).tolist()


def _means(values: np.ndarray, valid: np.ndarray, starts: np.ndarray) -> list[float | None]:
    total = np.add.reduceat(np.where(valid, values, 0.0), starts).tolist()
    counts = np.add.reduceat(valid, starts, dtype=np.int64).tolist()
    return [value / count if count else None for value, count in zip(total, counts, strict=True)]


def _floors(columns: Mapping[str, np.ndarray], starts: np.ndarray) -> dict[int, tuple[Floor, ...]]:
    """Number of a run -> its floors: one for each n, n of the floor and number of real images, which decide it."""
    rows = np.flatnonzero(~np.isnan(columns["floor"]))
    key = np.searchsorted(starts, rows, side="right") - 1
    run = key
    for name in FLOOR_COUNTS:
        key = _refined(key, columns[name][rows]) if len(rows) else key
    first = np.sort(np.unique(key, return_index=True)[1])
    floors: dict[int, tuple[Floor, ...]] = {}
    names = ("floor", "floor_deviation", *FLOOR_COUNTS)
    numbers = zip(*(columns[name][rows[first]].tolist() for name in names), strict=True)
    for number, (value, deviation, *counts) in zip(run[first].tolist(), numbers, strict=True):
        floor = Floor(value, None if np.isnan(deviation) else deviation, *counts)
        floors[number] = (*floors.get(number, ()), floor)
    return floors
