"""What a results folder holds of the sides of a claim, seed by seed: one task in one setting."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.reporting.claims.formula import Candidate, Subject
from bench.reporting.claims.verdict import Sample
from bench.reporting.paper.shapes import STAGES
from bench.spec.protocols import ALL
from bench.spec.run_spec import flat_values
from bench.spec.tasks import Task
from bench.store.alignments import Aligned, read_alignments
from bench.store.columns import GIVEN
from bench.store.index import read_records
from bench.store.preset_settings import Own, own_settings
from bench.store.query import Group, Row, Setting, by_setting

CHAINED = "cats_udt"
"""The method whose semantic stages are measured."""
NOT_SCORED = "not scored by"
"""Begins the reason of a training that ended and of which a protocol was not asked."""
SPLIT = {"digits": "test", "pictures": "train"}
"""Kind of task -> whose images' clusters are measured: as in the authors' code."""


@dataclass(frozen=True)
class Evidence:
    """What is stored of one side by one protocol in one place."""

    candidate: Candidate
    """What it is of."""
    sample: Sample
    begun: int = 0
    """Trainings that were begun."""
    images: frozenset[tuple[int, int]] = frozenset()
    """(translated images, real images) of the values: several if they differ."""
    missing: tuple[str, ...] = ()
    """Why trainings that did not fail have no value."""
    failures: tuple[str, ...] = ()
    """Why those that did."""
    weak: bool = False
    """Weakly supervised."""
    stand_in: bool = False
    """Of networks, one took VGG-19's place."""

    @property
    def counts(self) -> str:
        """Trainings with a value out of those begun: `2/3`."""
        return f"{len(self.sample.values)}/{self.begun}"


class _Entry(NamedTuple):
    encoder: str
    value: float
    images: tuple[int, int]
    missing: str


class Stored:
    """All evidence of one task in one setting: nothing is joined over two."""

    def __init__(
        self, task: Task, setting: Setting, group: Group | None, aligned: Sequence[Aligned], own: Mapping[str, Own],
        candidates: Iterable[Candidate], protocols: Iterable[str],
    ) -> None:  # fmt: skip
        """`own`: every method of the `candidates`, as the preset of the setting trains it."""
        self.task, self.setting = task, setting
        self._group, self._own = group, own
        trained = [candidate for candidate in dict.fromkeys(candidates) if not candidate.is_stage]
        self._rows = {candidate: row for candidate in trained if (row := self._row(candidate)) is not None}
        self._entries = self._read(protocols)
        self._encoder_counts = self._count_encoders()
        self._stages = {  # of several of one stage and seed the last: a stage of a newer version
            (found.stage, found.seed): found.accuracies
            for found in aligned
            if found.method == CHAINED and found.config["semantics"] == own[CHAINED].config["semantics"]
        }

    @property
    def classes(self) -> tuple[str, ...]:
        """The task's, or where the data decides, those that were scored."""
        found = sorted({label for _, _, label in self._entries} - {ALL})
        return self.task.classes or tuple(found)

    def of(self, subject: Subject, place: str, label: str, protocol: str) -> Evidence:
        """Of the first candidate that has a finished cell; else of the first with any; else of the first."""
        if subject.own.is_stage:
            return self._of_stage(subject.own, place)
        return self._of_cells(self.chosen(subject), place, label, protocol)

    def chosen(self, subject: Subject) -> Candidate:
        """The candidate that stands for `subject`, whatever its values are."""
        begun = [candidate for candidate in subject.candidates if candidate in self._rows]
        done = [candidate for candidate in begun if "done" in map(self._state, self._rows[candidate].cells)]
        return next(iter([*done, *begun, subject.own]))

    def left_out(self) -> list[str]:
        """What is stored of the claims' methods and used for none of them, and what cannot be read."""
        if self._group is None:
            return []
        used = set(self._rows.values())
        told = [
            f"left out: {row.method}, {_cells(len(row.cells))}: "
            + (self._differs(row, Candidate(row.method)) or "one of several with another number of clusters")
            for row in self._group.rows
            if row.method in self._own and row not in used
        ]
        for (place, protocol), counts in sorted(self._encoder_counts.items()):
            if len(counts) > 1:
                others = counts.total() - max(counts.values())
                told.append(f"left out: {place}, {protocol}: values of {_cells(others)} by other weights than the most")
        return told + [f"left out: {complaint}" for complaint in self._group.records.complaints]

    # ------------------------------------------------------------------------------------------------- which cells

    def _row(self, candidate: Candidate) -> Row | None:
        rows = self._group.rows if self._group else ()
        found = [row for row in rows if row.method == candidate.method and not self._differs(row, candidate)]
        return found[0] if len(found) == 1 else None

    def _differs(self, row: Row, candidate: Candidate) -> str:
        """How a row is not `candidate` as the preset trains it; empty if it is."""
        own, config = self._own[candidate.method], json.loads(row.config)
        version, weights = config.pop("method_version"), config.pop("weights")
        if weights or version != own.version:
            return "a given checkpoint" if weights else f"made by version {version} of the method, now {own.version}"
        wanted, has = {**flat_values(dict(own.config)), **dict(candidate.settings)}, flat_values(config)
        if wanted.get("clusters") == 0:  # the data decides their number
            wanted["clusters"] = has.get("clusters")
        differing = [key for key in sorted({*wanted, *has}) if wanted.get(key) != has.get(key)]
        told = ", ".join(f"{key}={has.get(key)}" for key in differing)
        return f"other settings: {told}" if told else ""

    # ------------------------------------------------------------------------------------------------------ values

    def _read(self, protocols: Iterable[str]) -> dict[tuple[str, str, str], dict[int, list[_Entry]]]:
        """(protocol, place, label) -> cell -> what was stored by each encoder, of styles from the default source."""
        found: dict[tuple[str, str, str], dict[int, list[_Entry]]] = {}
        if self._group is None:
            return found
        columns, words = self._group.records.records, self._group.records.words
        styles = {cell: self._own[row.method].style for row in self._rows.values() for cell in row.cells}
        asked = {word: code for code, word in enumerate(words)}
        codes = [asked[name] for name in protocols if name in asked]
        chosen = np.flatnonzero(np.isin(columns["cell"], list(styles)) & np.isin(columns["protocol"], codes))
        names = ("cell", "style", "protocol", "direction", "label", "encoder", "value", "n", "n_reference", "missing")
        rows = zip(*(columns[name][chosen].tolist() for name in names), strict=True)
        for cell, style, protocol, direction, label, encoder, value, n, real, missing in rows:
            if words[style] == styles[cell]:
                entry = _Entry(words[encoder], value, (n, real), words[missing])
                at = found.setdefault((words[protocol], words[direction], words[label]), {})
                at.setdefault(cell, []).append(entry)
        return found

    def _count_encoders(self) -> dict[tuple[str, str], Counter[str]]:
        """(place, protocol) -> how many cells have values by each encoder."""
        found: dict[tuple[str, str], Counter[str]] = {}
        for (protocol, place, label), entries in self._entries.items():
            if label == ALL:
                every = [entry for of in entries.values() for entry in of]
                found[place, protocol] = Counter(entry.encoder for entry in every if entry.value == entry.value)
        return found

    def _encoder(self, place: str, protocol: str) -> str:
        """The one whose values are used, that of most cells: values by two are two measures."""
        counts = self._encoder_counts.get((place, protocol))
        return min(counts, key=lambda name: (-counts[name], name)) if counts else ""

    def _of_cells(self, candidate: Candidate, place: str, label: str, protocol: str) -> Evidence:
        row = self._rows.get(candidate)
        if row is None or self._group is None:
            return Evidence(candidate, Sample({}))
        entries = self._entries.get((protocol, place, label), {})
        values: dict[int, float] = {}
        failed: dict[int, str] = {}
        images, missing = set(), []
        for cell in row.cells:
            of = entries.get(cell, [])
            if usual := [e for e in of if e.value == e.value and e.encoder == self._encoder(place, protocol)]:
                values[self._seed(cell)] = usual[0].value
                images.add(usual[0].images)
            elif of:
                missing.append(of[0].missing or "measured with other weights")
            elif reason := self._failure(cell):
                failed[self._seed(cell)] = reason
            else:
                missing.append(self._why_missing(cell, protocol))
        return Evidence(
            candidate, Sample(values, frozenset(failed)), len(row.cells), frozenset(images), tuple(missing),
            tuple(failed.values()), any(self._text("supervision", cell) == "weak" for cell in row.cells),
            bool(self._group.records.cells["stand_in"][list(row.cells)].any()),
        )  # fmt: skip

    def _failure(self, cell: int) -> str:
        """Why the training of a cell failed; empty if it did not, or crashed, which is no verdict on the method."""
        assert self._group is not None
        step = float(self._group.records.cells["step"][cell])
        if self._state(cell) != "failed" or step != step:
            return ""
        return f"{self._text('reason', cell)} (step {int(step)})"

    def _why_missing(self, cell: int, protocol: str) -> str:
        state = self._state(cell)
        if state == "failed":
            return f"crashed: {self._text('reason', cell)}"
        return f"{NOT_SCORED} {protocol}" if state == "done" else f"not scored yet ({state})"

    def _seed(self, cell: int) -> int:
        assert self._group is not None
        return int(self._group.records.cells["seed"][cell])

    def _state(self, cell: int) -> str:
        return self._text("state", cell)

    def _text(self, column: str, cell: int) -> str:
        assert self._group is not None
        records = self._group.records
        return records.words[int(records.cells[column][cell])]

    def _of_stage(self, candidate: Candidate, domain: str) -> Evidence:
        name = next(stage for stage, key in STAGES.items() if key == candidate.method)
        where = (domain, SPLIT[self.task.kind])
        found = {seed: of[where] for (stage, seed), of in self._stages.items() if stage == name and where in of}
        values = {seed: found[seed][0] for seed in sorted(found)}
        return Evidence(candidate, Sample(values), len(found), frozenset((n, 0) for _, n in found.values()))


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def read_evidence(
    root: Path, task: Task, wanted: Callable[[Setting], bool], candidates: Sequence[Candidate], protocols: Sequence[str]
) -> Iterator[Stored]:
    """That of each setting in the results folder `root` that is `wanted`; none of given checkpoints, each of which is
    one training. Semantic stages, which have no budget, belong to each budget, or where there is none stand alone.
    """
    groups = by_setting(read_records(root, task.name), wanted)
    aligned = list(read_alignments(root, task.name))
    settings = {group.setting: group for group in groups if group.setting.budget != GIVEN}
    trained = {setting._replace(budget="") for setting in settings}
    alone = sorted({of.setting for of in aligned if of.setting not in trained and wanted(of.setting)})
    methods = sorted({candidate.method for candidate in candidates if not candidate.is_stage})
    for setting in [*settings, *alone]:
        own = own_settings(root, task, setting.preset, setting.data_kind, methods)
        of_setting = [of for of in aligned if of.setting == setting._replace(budget="")]
        yield Stored(task, setting, settings.get(setting), of_setting, own, candidates, protocols)
