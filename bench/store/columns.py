"""Everything stored of a task as columns: one entry per cell, and one per cell x style x metric x direction x class.

Text is kept as numbers into one list of words, so that hundreds of thousands of records are a few arrays.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.spec.presets import STAND_IN

GIVEN = "given weights"
"""Budget of a checkpoint, or of images, that were scored and not trained."""
CELL_TEXTS = (
    "folder", "task", "data_kind", "data_version", "preset", "method", "budget", "config", "identity", "supervision",
    "state", "reason", "remarks", "arithmetic", "left_out",
)  # fmt: skip
CELL_NUMBERS = (
    "image_size", "seed", "stand_in", "step", "seconds", "stage_seconds", "parameters", "flops", "peak_memory_bytes",
)  # fmt: skip
RECORD_TEXTS = ("style", "metric", "protocol", "direction", "label", "encoder", "missing")
RECORD_NUMBERS = ("value", "on_real", "deviation", "floor", "floor_deviation")
RECORD_COUNTS = ("n", "n_reference", "floor_n", "floor_reference")
NOT_FINITE = "the stored value is not a finite number"

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Records:
    """Columns. Texts are int32 numbers of `words`, counts int32, other numbers float64 with NaN for what is unknown."""

    words: list[str]
    cells: Columns
    """CELL_TEXTS and CELL_NUMBERS, in the order of folders."""
    records: Columns
    """RECORD_TEXTS, RECORD_NUMBERS, RECORD_COUNTS, and `cell`, the number of the record's cell: in ascending order."""
    complaints: tuple[str, ...] = ()
    """One line for each cell that is left out because it cannot be read."""

    def __len__(self) -> int:
        return len(self.cells["folder"])

    def texts(self, column: str) -> list[str]:
        """The words of a column of cells or of records."""
        codes = self.cells[column] if column in self.cells else self.records[column]
        return [self.words[code] for code in codes.tolist()]

    def text(self, column: str, cell: int) -> str:
        """The word of one cell."""
        return self.words[self.cells[column][cell]]

    def take(self, chosen: np.ndarray) -> Records:
        """The cells numbered `chosen` (int, each at most once) in that order, with their records."""
        place = np.full(len(self), -1)
        place[chosen] = np.arange(len(chosen))
        cell = place[self.records["cell"]]
        rows = np.argsort(np.where(cell < 0, len(self), cell), kind="stable")[: int((cell >= 0).sum())]
        records = {name: values[rows] for name, values in self.records.items()}
        records["cell"] = cell[rows].astype(np.int32)
        return Records(self.words, {name: values[chosen] for name, values in self.cells.items()}, records)


def joined_columns(first: Records, second: Records) -> Records:
    """The cells of `first`, then those of `second`, whose words begin with those of `first`."""
    cells = {name: np.concatenate([values, second.cells[name]]) for name, values in first.cells.items()}
    records = {name: np.concatenate([values, second.records[name]]) for name, values in first.records.items()}
    records["cell"][len(first.records["cell"]) :] += len(first)
    return Records(second.words, cells, records)


class _Words(dict[str, int]):
    """Word -> its number; new words are added. TypeError for what is no text."""

    def __missing__(self, word: str) -> int:
        if not isinstance(word, str):
            raise TypeError(f"a text wanted, got {word!r}")
        self[word] = number = len(self)
        return number


class ColumnsBuilder:
    """Columns of the cells that are added."""

    def __init__(self, words: Sequence[str] = ()) -> None:
        self._words = _Words({word: number for number, word in enumerate(words or [""])})
        self._cells: dict[str, list[Any]] = {name: [] for name in (*CELL_TEXTS, *CELL_NUMBERS)}
        self._records: dict[str, list[np.ndarray]] = {name: [] for name in _record_dtypes()}

    def add(self, folder: str, cell: Mapping[str, Any]) -> None:
        """`cell`: as by `results.read_cell`. KeyError, TypeError or ValueError if it is none; nothing is added then."""
        texts = {name: self._words[text] for name, text in {**_cell_texts(cell), "folder": folder}.items()}
        known = {name: float(x) for name, x in _cell_numbers(cell).items() if x is not None}
        if odd := [name for name, x in known.items() if not np.isfinite(x)]:
            raise ValueError(f"no finite number: {', '.join(odd)}")
        numbers = {name: known.get(name, np.nan) for name in CELL_NUMBERS}
        records = self._record_columns(cell["scores"])
        for name, value in {**texts, **numbers}.items():
            self._cells[name].append(value)
        for name, values in records.items():
            self._records[name].append(values)

    def _record_columns(self, scores: Mapping[str, Any]) -> Columns:
        styled = [(style, record) for style, score in scores.items() for record in score["records"]]
        words, records = self._words, [record for _, record in styled]
        columns: dict[str, list[Any]] = {"style": [words[style] for style, _ in styled]}
        for name in RECORD_TEXTS[1:-1]:
            columns[name] = [words[record[name]] for record in records]
        columns["missing"] = [words[record.get("missing", "")] for record in records]
        kinds = zip(*(columns[name] for name in RECORD_TEXTS if name not in ("metric", "missing")), strict=True)
        if len(set(kinds)) < len(styled):
            raise ValueError("two values of one style, protocol, direction, class and encoder")
        for name in RECORD_NUMBERS:  # schema 1 has neither deviations nor floors
            columns[name] = [record.get(name) for record in records]
        for name in RECORD_COUNTS:
            columns[name] = [record.get(name) or 0 for record in records]
        columns["cell"] = [len(self._cells["folder"])] * len(styled)
        arrays: Columns = {name: np.array(values, _record_dtypes()[name]) for name, values in columns.items()}
        if any(array.ndim != 1 for array in arrays.values()):
            raise ValueError("a list in the place of a number")
        return arrays

    def build(self) -> Records:
        """What was added, in that order."""
        dtypes = _record_dtypes()
        records = {
            name: np.concatenate(parts) if parts else np.empty(0, dtypes[name]) for name, parts in self._records.items()
        }
        unknown = ~np.isfinite(records["value"]) & (records["missing"] == self._words[""])
        if unknown.any():
            records["missing"][unknown] = self._words[NOT_FINITE]
        for name in RECORD_NUMBERS:
            records[name][~np.isfinite(records[name])] = np.nan
        cells = {
            name: np.array(values, dtype=np.int32 if name in CELL_TEXTS else np.float64)
            for name, values in self._cells.items()
        }
        return Records(list(self._words), cells, records)


def _record_dtypes() -> dict[str, type]:
    return {
        **dict.fromkeys(RECORD_TEXTS, np.int32),
        **dict.fromkeys(RECORD_NUMBERS, np.float64),
        **dict.fromkeys((*RECORD_COUNTS, "cell"), np.int32),
    }


def _cell_texts(cell: Mapping[str, Any]) -> dict[str, str]:
    spec, status = cell["spec"], cell["status"]
    # With version and weights: results of two versions of a method are two rows, never one mean.
    config = {**spec["config"], "method_version": spec["method_version"], "weights": spec.get("weights", "")}
    return {
        **{name: spec[name] for name in ("task", "data_kind", "data_version", "preset", "method", "identity")},
        "budget": GIVEN if spec.get("weights") else f"{spec['budget']['kind']}={spec['budget']['amount']}",
        "config": json.dumps(config, sort_keys=True),
        "supervision": spec.get("supervision", "none"),
        "state": status.get("state", "new"),
        "reason": status.get("reason", ""),
        "remarks": "; ".join(cell["remarks"]),
        "arithmetic": _arithmetic(cell["cost"]),
        "left_out": "; ".join(
            dict.fromkeys(score["left_out"] for score in cell["scores"].values() if "left_out" in score)
        ),
    }


def _arithmetic(cost: Mapping[str, Any]) -> str:
    """`float32`, `bf16 on 2 devices`; empty where it was not recorded."""
    devices = cost.get("devices", 1)
    return cost.get("precision", "") + (f" on {devices} devices" if devices != 1 else "")


def _cell_numbers(cell: Mapping[str, Any]) -> dict[str, Any]:
    spec, cost = cell["spec"], cell["cost"]
    return {
        "image_size": spec["image_size"],
        "seed": spec["seed"],
        "stand_in": STAND_IN in cell["pretrained"],
        "step": cell["status"].get("step"),
        "seconds": cost.get("seconds"),
        "stage_seconds": sum(cost.get("stage_seconds", {}).values()),
        "parameters": cost.get("parameters"),
        "flops": cost.get("flops"),
        "peak_memory_bytes": cost.get("peak_memory_bytes"),
    }
