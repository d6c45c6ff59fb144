"""What a table of the paper asks for, answered from the cells and semantic stages of one setting."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.reporting.paper.shapes import ALIGNMENT, JUDGE, STAGES
from bench.reporting.paper.values import Measured
from bench.spec.protocols import ALL
from bench.spec.run_spec import flat_values
from bench.store.alignments import Aligned
from bench.store.cell import read_cell
from bench.store.preset_settings import Own
from bench.store.query import Group, Part, Pool, Row

JUDGED = "accuracy-judge-v1"
ALIGNED_SPLIT = {"mnist2svhn": "test", "sketch2real": "train"}
"""Whose images' clusters stand beside the paper's: those that the authors' code measures."""


@dataclass(frozen=True)
class OfTask:
    """What is stored of one task in the setting of a table."""

    name: str
    groups: Sequence[Group]
    """Of one budget each; several only where no translation stands in the table."""
    aligned: Sequence[Aligned]
    own: Mapping[str, Own]
    """Method -> as the preset trains it."""

    @cached_property
    def rows(self) -> dict[str, Row]:
        """Method -> its cells with the preset's own settings, if there are any."""
        found: dict[str, list[Row]] = {}
        for row in self.candidates:
            if not self.why_not(row):
                found.setdefault(row.method, []).append(row)
        return {method: rows[0] for method, rows in found.items() if len(rows) == 1}

    @cached_property
    def candidates(self) -> list[Row]:
        """Every row of a method that the table has."""
        return [row for group in self.groups for row in group.rows if row.method in self.own]

    def why_not(self, row: Row) -> str:
        """Why a row is not the method as the preset trains it; empty if it is."""
        own, config = self.own[row.method], json.loads(row.config)
        version = config.pop("method_version")
        del config["weights"]
        if version != own.version:
            return f"made by version {version} of the method, which is now {own.version}"
        mine, theirs = flat_values(dict(own.config)), flat_values(config)
        differing = [key for key in sorted({*mine, *theirs}) if mine.get(key) != theirs.get(key)]
        told = ", ".join(f"{key}={theirs.get(key)}" for key in differing)
        return f"not the preset's settings: {told}" if told else ""

    def left_out(self) -> Iterator[str]:
        """Rows that do not stand in the table, and why."""
        for row in self.candidates:
            if why := self.why_not(row):
                yield f"left out: {row.method} on {self.name}, {len(row.cells)} cells: {why}"
            elif row.method not in self.rows:
                weights = json.loads(row.config)["weights"]
                yield f"left out: {row.method} on {self.name}: one of several checkpoints ({weights})"

    def parts(self, direction: str) -> Iterator[Part]:
        """What stands in the table of `direction`: own settings, and styles from where they come by default."""
        for group in self.groups:
            for part in group.directions.get(direction, ()):
                row = self.rows.get(part.row.method)
                if row == part.row and part.style == self.own[row.method].style:
                    yield part

    @cached_property
    def encoders(self) -> dict[tuple[str, str], Counter[str]]:
        """(direction, protocol) -> how many cells have values by each encoder."""
        found: dict[tuple[str, str], Counter[str]] = {}
        for direction in {name for group in self.groups for name in group.directions}:
            for part in self.parts(direction):
                for key, pool in part.pools.items():
                    if key.label == ALL and pool.values:
                        found.setdefault((direction, key.protocol), Counter())[key.encoder] += len(pool.values)
        return found

    @cached_property
    def unequal(self) -> set[str]:
        """Methods whose seeds have values of unequal numbers of images."""
        directions = {name for group in self.groups for name in group.directions}
        parts = [part for name in directions for part in self.parts(name)]
        return {of.row.method for of in parts if any(pool.values and not pool.counts for pool in of.pools.values())}

    def encoder(self, direction: str, protocol: str) -> str:
        """The one whose values stand in the table: that of most cells."""
        counts = self.encoders.get((direction, protocol))
        return min(counts, key=lambda name: (-counts[name], name)) if counts else ""


@dataclass(frozen=True)
class StoredLookup:
    """A `measured.Lookup`."""

    root: Path
    """The results folder."""
    tasks: Mapping[str, OfTask]
    setting: str
    comparable: bool

    def __call__(self, method: str, task: str, direction: str, label: str, protocol: str) -> Measured | None:
        """What was measured of `method`; None: nothing."""
        of = self.tasks.get(task)
        if of is None:
            return None
        if method == JUDGE:
            return self._judge(of, direction) if (label, protocol) == (ALL, JUDGED) else None
        if method in STAGES.values():
            return self._stage(of, method, direction) if protocol == ALIGNMENT else None
        return self._method(of, method, direction, label, protocol)

    def left_out(self) -> list[str]:
        """What is stored and does not stand in the table."""
        told = [line for of in self.tasks.values() for line in of.left_out()]
        for of in self.tasks.values():
            for (direction, protocol), counts in sorted(of.encoders.items()):
                if len(counts) > 1:
                    others = ", ".join(sorted(set(counts) - {of.encoder(direction, protocol)}))
                    told.append(f"left out: {direction} by {protocol} with other weights ({others})")
            for method in sorted(of.unequal):
                told.append(f"seeds of {method} on {of.name} were not scored with the same numbers of images")
            if of.aligned:
                told.append(f"clusters on {of.name}: of {ALIGNED_SPLIT[of.name]} images, as the authors' code has it")
        return told

    def _measured(self, values: Sequence[float], protocol: str, **more: Any) -> Measured:
        return Measured(tuple(values), protocol=protocol, setting=self.setting, comparable=self.comparable, **more)

    def _method(self, of: OfTask, method: str, direction: str, label: str, protocol: str) -> Measured | None:
        row = of.rows.get(method)
        if row is None:
            return None
        (group,) = of.groups
        by_encoder = {
            key.encoder: pool
            for part in of.parts(direction)
            if part.row == row
            for key, pool in part.pools.items()
            if (key.protocol, key.label) == (protocol, label)
        }
        chosen = by_encoder.get(of.encoder(direction, protocol))
        pools = [pool for pool in (chosen, by_encoder.get("")) if pool]
        asked = {cell for pool in pools for cell in pool.cells}
        elsewhere = {cell for pool in by_encoder.values() for cell in pool.cells} - asked
        failed, missing = [], [reason for pool in pools for reason in _reasons(pool)]
        for cell in (cell for cell in row.cells if cell not in asked):
            state = group.records.text("state", cell)
            if state == "failed":
                failed.append(_failure(group, cell))
            else:
                missing.append(_not_asked(state, protocol, cell in elsewhere))
        if not asked and (missing or not failed):
            return None
        measured = chosen if chosen and chosen.values else None
        n, real = (measured and measured.counts) or (0, 0)
        return self._measured(
            measured.values if measured else (), protocol, failed=tuple(failed), missing=tuple(missing), n=n,
            n_reference=real, floor=measured.floors[0].value if measured and len(measured.floors) == 1 else None,
            image_deviation=measured.deviation if measured else None,
        )  # fmt: skip

    def _judge(self, of: OfTask, direction: str) -> Measured | None:
        """The one judge that most cells were scored with: it has no seeds."""
        found: Counter[tuple[str, float, int]] = Counter()
        for group in of.groups:
            for part in group.directions.get(direction, ()):
                for key, pool in part.pools.items():
                    if (key.protocol, key.label) == (JUDGED, ALL) and len(pool.on_real) == 1:
                        count = self._judge_images(group, pool.cells[0], part.style, direction)
                        found[key.encoder, pool.on_real[0], count] += len(pool.values)
        if not found:
            return None
        (_, value, count), _ = min(found.items(), key=lambda item: (-item[1], item[0]))
        return self._measured([value], JUDGED, n=count)

    def _judge_images(self, group: Group, cell: int, style: str, direction: str) -> int:
        """How many real images a judge's accuracy is of, as the metrics of `cell` say; 0 if they do not."""
        folder = self.root / "runs" / group.records.text("task", cell) / group.records.text("folder", cell)
        score = read_cell(folder)["scores"].get(style, {})
        return int(score.get("judges", {}).get(direction, {}).get("n", 0))

    def _stage(self, of: OfTask, name: str, domain: str) -> Measured | None:
        """The alignment of a stage of CatS-UDT's own chain, seed by seed."""
        stage = next(stage for stage, key in STAGES.items() if key == name)
        own = of.own.get("cats_udt")
        by_seed = {}
        for aligned in of.aligned:  # of several of one seed, the last: a stage of a newer version
            same = own and aligned.method == "cats_udt" and aligned.config["semantics"] == own.config["semantics"]
            if same and aligned.stage == stage:
                by_seed[aligned.seed] = aligned.accuracies.get((domain, ALIGNED_SPLIT[of.name]))
        found = [by_seed[seed] for seed in sorted(by_seed)]
        counts = {entry[1] for entry in found if entry}
        if not counts:
            return None
        values = [entry[0] for entry in found if entry]
        return self._measured(values, ALIGNMENT, n=counts.pop() if len(counts) == 1 else 0)


def _reasons(pool: Pool) -> list[str]:
    """One for each cell that was asked for a value and has none."""
    lacking = len(pool.cells) - len(pool.values)
    return [pool.reasons[min(i, len(pool.reasons) - 1)] if pool.reasons else "no value" for i in range(lacking)]


def _not_asked(state: str, protocol: str, elsewhere: bool) -> str:
    if elsewhere:
        return f"scored by {protocol} with other weights"
    return f"not scored by {protocol}" if state == "done" else f"not scored yet ({state})"


def _failure(group: Group, cell: int) -> str:
    reason, step = group.records.text("reason", cell), group.records.cells["step"][cell]
    return reason if step != step else f"{reason} (step {int(step)})"
