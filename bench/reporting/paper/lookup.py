"""What a table of the paper asks for, answered from the cells and semantic stages of one setting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.reporting.paper.shapes import ALIGNMENT, JUDGE, STAGES
from bench.reporting.paper.values import Measured
from bench.spec.protocols import ALL
from bench.spec.tasks import Task
from bench.store.alignments import CHAINED, MEASURED_SPLIT, Aligned, chain_accuracies_of_alignments
from bench.store.cell import read_cell
from bench.store.preset_match import PresetMethod, PresetRows
from bench.store.query import MeasureKey, Measurement, MethodRow, SettingRecords

JUDGED = "accuracy-judge-v1"


@dataclass(frozen=True)
class TaskRecords:
    """What is stored of one task in the setting of a table."""

    task: Task
    records: Sequence[SettingRecords]
    """One for each budget; several only where no translation stands in the table."""
    aligned: Sequence[Aligned]
    presets: Mapping[str, PresetMethod]
    """Every method of the table, and the one whose stages were measured, as the preset trains it."""
    methods: Iterable[str]
    """The methods of the table; none where no translation stands in it."""

    @cached_property
    def rows(self) -> PresetRows | None:
        """The rows of the table's methods; None if it has none, or nothing was trained."""
        if not self.methods or not self.records:
            return None
        (records,) = self.records
        return PresetRows(records, self.presets, [(method, ()) for method in self.methods])

    def left_out(self) -> Iterator[str]:
        """What is stored and does not stand in the table, and why."""
        if self.rows:
            name = self.task.name
            for row, why in self.rows.left_out():
                if why:
                    yield f"left out: {row.method} on {name}, {len(row.cells)} cells: {why}"
                else:
                    yield f"left out: {row.method} on {name}: one of several checkpoints ({row.weights})"
            for (direction, protocol), counts in sorted(self.rows.encoders.items()):
                if len(counts) > 1:
                    others = ", ".join(sorted(set(counts) - {self.rows.encoder(direction, protocol)}))
                    yield f"left out: {direction} by {protocol} with other weights ({others})"
            for method in sorted(self._unequal(self.rows)):
                yield f"seeds of {method} on {name} were not scored with the same numbers of images"
        if self.aligned:
            split = MEASURED_SPLIT[self.task.kind]
            yield f"clusters on {self.task.name}: of {split} images, as the authors' code has it"

    def _unequal(self, rows: PresetRows) -> set[str]:
        """Methods whose seeds have values of unequal numbers of images."""
        return {
            scores.row.method
            for direction in rows.records.directions
            for scores in rows.scores(direction)
            if any(measurement.values and not measurement.counts for measurement in scores.measurements.values())
        }


@dataclass(frozen=True)
class StoredLookup:
    """A `values.Lookup`."""

    root: Path
    """The results folder."""
    tasks: Mapping[str, TaskRecords]
    setting: str
    comparable: bool

    def __call__(self, method: str, task: str, direction: str, label: str, protocol: str) -> Measured | None:
        """What was measured of `method`; None: nothing."""
        stored = self.tasks.get(task)
        if stored is None:
            return None
        if method == JUDGE:
            return self._judge(stored, direction) if (label, protocol) == (ALL, JUDGED) else None
        if method in STAGES.values():
            return self._stage(stored, method, direction) if protocol == ALIGNMENT else None
        row = stored.rows and stored.rows.rows.get((method, ()))
        return self._method(stored.rows, row, direction, label, protocol) if stored.rows and row else None

    def left_out(self) -> list[str]:
        """What is stored and does not stand in the table."""
        return [line for stored in self.tasks.values() for line in stored.left_out()]

    def _measured(self, values: Sequence[float], protocol: str, **more: Any) -> Measured:
        return Measured(tuple(values), protocol=protocol, setting=self.setting, comparable=self.comparable, **more)

    def _method(self, rows: PresetRows, row: MethodRow, direction: str, label: str, protocol: str) -> Measured | None:
        """All cells of `row`: those with a value by the encoder that the table takes, and why others have none."""
        records, usual = rows.records, rows.encoder(direction, protocol)
        scores = rows.cell_scores(row, direction, protocol, label)
        asked = {cell for cell, score in scores.items() if score.encoder in (usual, "")}
        missing = [scores[cell].missing or "no value" for cell in sorted(asked) if scores[cell].value is None]
        failed = []
        for cell in (cell for cell in row.cells if cell not in asked):
            state = records.text("state", cell)
            if state == "failed":
                failed.append(records.failure(cell))
            else:
                missing.append(_not_asked(state, protocol, cell in scores))
        if not asked and (missing or not failed):
            return None
        key = MeasureKey(protocol, usual, label)
        every = [scores.measurements[key] for scores in rows.scores(direction)
                 if scores.row == row and key in scores.measurements]  # fmt: skip
        return self._measured(protocol=protocol, failed=tuple(failed), missing=tuple(missing), **_pooled(every))

    def _judge(self, stored: TaskRecords, direction: str) -> Measured | None:
        """The one judge that most cells were scored with: it has no seeds."""
        counts: Counter[tuple[str, float, int]] = Counter()
        for records in stored.records:
            for scores in records.directions.get(direction, ()):
                for key, measurement in scores.measurements.items():
                    if (key.protocol, key.label) == (JUDGED, ALL) and len(measurement.on_real) == 1:
                        images = self._judge_images(records, measurement.cells[0], scores.style, direction)
                        counts[key.encoder, measurement.on_real[0], images] += len(measurement.values)
        if not counts:
            return None
        (_, value, images), _ = min(counts.items(), key=lambda item: (-item[1], item[0]))
        return self._measured([value], JUDGED, n=images)

    def _judge_images(self, records: SettingRecords, cell: int, style: str, direction: str) -> int:
        """The number of real images behind a judge's accuracy, as the metrics of `cell` say; 0 if they do not."""
        folder = self.root / "runs" / records.text("task", cell) / records.text("folder", cell)
        score = read_cell(folder)["scores"].get(style, {})
        return int(score.get("judges", {}).get(direction, {}).get("n", 0))

    def _stage(self, stored: TaskRecords, name: str, domain: str) -> Measured | None:
        """The alignment of a stage of CatS-UDT's own chain, seed by seed."""
        preset = stored.presets.get(CHAINED)
        if preset is None:
            return None
        where = domain, MEASURED_SPLIT[stored.task.kind]
        accuracies = chain_accuracies_of_alignments(stored.aligned, preset.config["semantics"])
        by_seed = [accuracies[key][where] for key in sorted(accuracies) if STAGES.get(key[0]) == name
                   and where in accuracies[key]]  # fmt: skip
        if not by_seed:
            return None
        counts = {n for _, n in by_seed}
        return self._measured([value for value, _ in by_seed], ALIGNMENT, n=counts.pop() if len(counts) == 1 else 0)


def _pooled(measurements: Sequence[Measurement]) -> dict[str, Any]:
    """Values, numbers of images, floor and deviation as `Measured` has them, if there is a value."""
    measurement = next(iter(measurements), None)
    if measurement is None or not measurement.values:
        return {"values": ()}
    n, real = measurement.counts or (0, 0)
    floor = measurement.floors[0].value if len(measurement.floors) == 1 else None
    deviation = measurement.deviation
    return {"values": measurement.values, "n": n, "n_reference": real, "floor": floor, "image_deviation": deviation}


def _not_asked(state: str, protocol: str, elsewhere: bool) -> str:
    """Why a cell has no value by `protocol`; `elsewhere`: it has one by another encoder."""
    if elsewhere:
        return f"scored by {protocol} with other weights"
    return f"not scored by {protocol}" if state == "done" else f"not scored yet ({state})"
