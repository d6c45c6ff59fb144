"""Records put together for tables: by setting, direction, row (method and its settings), style, protocol and class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.store.columns import RECORD_COUNTS, RECORD_NUMBERS, Records
from bench.store.index import read_records

if TYPE_CHECKING:
    import pandas as pd

FLOOR_COUNTS = ("floor_n", "floor_reference", "n")


class Setting(NamedTuple):
    """Cells that differ in one of these never share a table."""

    data_kind: str
    data_version: str
    image_size: int
    preset: str
    budget: str


class Row(NamedTuple):
    """What a row of a table is about: one method with one set of settings."""

    method: str
    config: str
    """JSON of every setting, with the method's version and the identity of given weights."""
    cells: tuple[int, ...]
    """Numbers of its cells, finished or not."""


class Floor(NamedTuple):
    """What real images get against others."""

    value: float
    deviation: float | None
    n: int
    n_reference: int
    of: int
    """The number of translations that it is the floor of."""


class Pool(NamedTuple):
    """What was measured by one protocol with one encoder of one class."""

    values: tuple[float, ...]
    """One per cell that has one."""
    cells: tuple[int, ...]
    """Numbers of all cells that were scored so, with a value or without."""
    counts: tuple[int, int] | None
    """(n, n_reference); None if there is no value, or if the cells differ."""
    deviation: float | None
    """Over images: the mean of the cells'. They share their images, so their mean is as uncertain as each of them."""
    on_real: tuple[float, ...]
    """The same measure on the target domain's own test images; several if the cells differ."""
    floors: tuple[Floor, ...]
    reasons: tuple[str, ...]
    """Why cells have no value."""


class Key(NamedTuple):
    """What a pool is of."""

    protocol: str
    encoder: str
    """Empty: it is missing, and there is no value."""
    label: str


class Part(NamedTuple):
    """A row in one direction with one source of styles."""

    row: Row
    style: str
    cells: tuple[int, ...]
    """Numbers of the cells that were scored."""
    pools: dict[Key, Pool]


@dataclass(frozen=True)
class Group:
    """Everything of one setting."""

    setting: Setting
    records: Records
    rows: tuple[Row, ...]
    """In the order of the cells."""
    directions: dict[str, list[Part]]
    """The parts in the order of rows."""


def by_setting(records: Records, wanted: Callable[[Setting], bool] = lambda setting: True) -> list[Group]:
    """The settings that are `wanted`, in order."""
    settings, rows, row_of = _rows(records, wanted)
    rows_of: list[list[Row]] = [[] for _ in settings]
    directions: list[dict[str, list[Part]]] = [{} for _ in settings]
    for row, setting in rows:
        rows_of[setting].append(row)
    for direction, number, part in _parts(records, [row for row, _ in rows], row_of):
        directions[rows[number][1]].setdefault(direction, []).append(part)
    return [
        Group(setting, records, tuple(rows_of[number]), directions[number])
        for setting, number in sorted(settings.items())
    ]


def _rows(
    records: Records, wanted: Callable[[Setting], bool]
) -> tuple[dict[Setting, int], list[tuple[Row, int]], np.ndarray]:
    """Setting -> number, (row, its setting's number), and for each cell the number of its row or -1."""
    names = ("data_kind", "data_version", "preset", "budget", "method", "config")
    kinds, versions, presets, budgets, methods, configs = (records.texts(name) for name in names)
    sizes = records.cells["image_size"].astype(int).tolist()
    settings: dict[Setting, int] = {}
    refused: set[Setting] = set()
    found: dict[tuple[int, str, str], list[int]] = {}
    columns = zip(kinds, versions, sizes, presets, budgets, methods, configs, strict=True)
    for cell, (*of_setting, method, config) in enumerate(columns):
        setting = Setting(*of_setting)
        if setting in refused:
            continue
        if setting not in settings:
            if not wanted(setting):
                refused.add(setting)
                continue
            settings[setting] = len(settings)
        found.setdefault((settings[setting], method, config), []).append(cell)
    row_of = np.full(len(records), -1)
    rows = []
    for number, ((setting_number, method, config), cells) in enumerate(found.items()):
        row_of[cells] = number
        rows.append((Row(method, config, tuple(cells)), setting_number))
    return settings, rows, row_of


def _parts(records: Records, rows: list[Row], row_of: np.ndarray) -> list[tuple[str, int, Part]]:
    """(direction, number of the row, part): directions as they first come, then rows, then styles as they come."""
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
    pools = list(_pools(records, rank, starts))
    # Parts, and pools within a part, in the order in which their first records were stored.
    part_starts = np.flatnonzero(np.diff(part, prepend=-1))
    sizes = np.diff(np.append(part_starts, len(part)))
    first_of_part = np.repeat(np.minimum.reduceat(rank, part_starts), sizes)[starts]
    met: dict[str, int] = {}
    found: dict[tuple[str, int, str], dict[Key, Pool]] = {}
    rows_of_pools = row[first].tolist()
    for i in np.lexsort((first, first_of_part)).tolist():
        direction, style, protocol, encoder, label = (column[i] for column in names)
        met.setdefault(direction, len(met))
        found.setdefault((direction, rows_of_pools[i], style), {})[Key(protocol, encoder, label)] = pools[i]
    ordered = sorted(found.items(), key=lambda item: (met[item[0][0]], item[0][1]))
    return [
        (direction, number, Part(rows[number], style, _cells(of.values()), of))
        for (direction, number, style), of in ordered
    ]


def _cells(pools: Iterable[Pool]) -> tuple[int, ...]:
    """Those of any of `pools`, most of which have the same."""
    return tuple(sorted(set().union(*{pool.cells for pool in pools})))


def _refined(key: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """`key` with `codes` as its last digit."""
    present = np.flatnonzero(np.bincount(codes))
    digit = np.zeros(int(codes.max()) + 1, dtype=np.int64)
    digit[present] = np.arange(len(present))
    return key * len(present) + digit[codes]


def _pools(records: Records, rank: np.ndarray, starts: np.ndarray) -> Iterator[Pool]:
    """One for each run of the records numbered `rank` that begins at `starts`."""
    columns = {name: records.records[name][rank] for name in (*RECORD_NUMBERS, *RECORD_COUNTS, "cell", "missing")}
    words, ends = records.words, [*starts[1:].tolist(), len(rank)]
    measured = ~np.isnan(columns["value"])
    values, cells, missing = (columns[name].tolist() for name in ("value", "cell", "missing"))
    of_measured = np.add.reduceat(measured, starts, dtype=np.int64).tolist()
    n = _extremes(columns["n"], measured, starts)
    real = _extremes(columns["n_reference"], measured, starts)
    deviations = _means(columns["deviation"], measured & ~np.isnan(columns["deviation"]), starts)
    on_real = _extremes(columns["on_real"], ~np.isnan(columns["on_real"]), starts)
    floors = _floors(columns, starts)
    for i, (start, end) in enumerate(zip(starts.tolist(), ends, strict=True)):
        whole = of_measured[i] == end - start
        run = range(start, end)
        yield Pool(
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
    return [of / count if count else None for of, count in zip(total, counts, strict=True)]


def _floors(columns: Mapping[str, np.ndarray], starts: np.ndarray) -> dict[int, tuple[Floor, ...]]:
    """Number of a run -> its floors: one for each n, n of the floor and number of real images, which decide it."""
    rows = np.flatnonzero(~np.isnan(columns["floor"]))
    key = np.searchsorted(starts, rows, side="right") - 1
    run = key
    for name in FLOOR_COUNTS:
        key = _refined(key, columns[name][rows]) if len(rows) else key
    first = np.sort(np.unique(key, return_index=True)[1])
    found: dict[int, tuple[Floor, ...]] = {}
    names = ("floor", "floor_deviation", *FLOOR_COUNTS)
    numbers = zip(*(columns[name][rows[first]].tolist() for name in names), strict=True)
    for number, (value, deviation, *counts) in zip(run[first].tolist(), numbers, strict=True):
        floor = Floor(value, None if np.isnan(deviation) else deviation, *counts)
        found[number] = (*found.get(number, ()), floor)
    return found


def frame(root: Path, task: str) -> pd.DataFrame:
    """One row per cell x style source x metric x direction x class; one without value for a cell without metrics."""
    records = read_records(root, task)
    base = root / "runs" / task
    return records.frame().assign(folder=lambda rows: [str(base / name) for name in rows["folder"]])
