"""What a results folder holds of the sides of a claim, seed by seed: one task in one setting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.reporting.claims.formula import ClaimCandidate, ClaimSubject
from bench.reporting.claims.verdict import Sample
from bench.reporting.paper.shapes import STAGES
from bench.spec.protocols import ALL
from bench.spec.tasks import Task
from bench.store.alignments import CHAINED, MEASURED_SPLIT, Aligned, chain_accuracies_of_alignments, read_alignments
from bench.store.columns import GIVEN
from bench.store.index import read_index
from bench.store.preset_match import PresetMethod, PresetRows, preset_methods
from bench.store.query import CellScore, MethodRow, Setting, SettingRecords, query_settings, query_weak_judge

NOT_SCORED = "not scored by"
"""Begins the reason of a training that ended and of which a protocol was not asked."""


@dataclass(frozen=True)
class Evidence:
    """What is stored of one side by one protocol in one place."""

    candidate: ClaimCandidate
    """The method that was trained."""
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
    """Whether a small network of our own took VGG-19's place."""
    weak_judge: str = ""
    """Why the judge of the values decides nothing; empty if it may."""

    @property
    def counts(self) -> str:
        """Trainings with a value out of those begun: `2/3`."""
        return f"{len(self.sample.values)}/{self.begun}"


class StoredEvidence:
    """All evidence of one task in one setting: nothing is joined over two."""

    def __init__(
        self, task: Task, setting: Setting, records: SettingRecords | None, aligned: Sequence[Aligned],
        presets: Mapping[str, PresetMethod], candidates: Iterable[ClaimCandidate],
    ) -> None:  # fmt: skip
        """`records`: None if only stages were measured. `presets`: every method of the `candidates`."""
        self.task, self.setting = task, setting
        trained = [(candidate.method, candidate.settings) for candidate in candidates if not candidate.is_stage]
        self._cells = PresetRows(records, presets, trained) if records else None
        self._stages = chain_accuracies_of_alignments(aligned, presets[CHAINED].config["semantics"]) if aligned else {}

    @property
    def classes(self) -> tuple[str, ...]:
        """The task's, or where the data decides, those that were scored."""
        if self.task.classes or self._cells is None:
            return self.task.classes
        scores = (scores for name in self._cells.records.directions for scores in self._cells.scores(name))
        return tuple(sorted({key.label for row in scores for key in row.measurements} - {ALL}))

    def evidence(self, subject: ClaimSubject, place: str, label: str, protocol: str) -> Evidence:
        """That of the first candidate that has a finished cell; else of the first with any; else of the first."""
        if subject.first.is_stage:
            return self._of_stage(subject.first, place)
        return self._of_cells(self.chosen(subject), place, label, protocol)

    def chosen(self, subject: ClaimSubject) -> ClaimCandidate:
        """The candidate that stands for `subject`, whatever its values are."""
        begun = [candidate for candidate in subject.candidates if self._row(candidate)]
        done = [candidate for candidate in begun if self._is_done(candidate)]
        return next(iter([*done, *begun, subject.first]))

    def left_out(self) -> list[str]:
        """What is stored of the claims' methods and used for none of them, and what cannot be read."""
        if self._cells is None:
            return []
        lines = [
            f"left out: {row.method}, {_count(len(row.cells))}: {why or 'one of several with the same settings'}"
            for row, why in self._cells.left_out()
        ]
        for (place, protocol), counts in sorted(self._cells.encoders.items()):
            if len(counts) > 1:
                others = counts.total() - max(counts.values())
                lines.append(
                    f"left out: {place}, {protocol}: values of {_count(others)} by other weights than the most"
                )
        return lines + [f"left out: {complaint}" for complaint in self._cells.records.columns.complaints]

    def _row(self, candidate: ClaimCandidate) -> MethodRow | None:
        return self._cells.rows.get((candidate.method, candidate.settings)) if self._cells else None

    def _is_done(self, candidate: ClaimCandidate) -> bool:
        row = self._row(candidate)
        cells = row.cells if row else ()
        return self._cells is not None and any(self._cells.records.text("state", cell) == "done" for cell in cells)

    def _of_cells(self, candidate: ClaimCandidate, place: str, label: str, protocol: str) -> Evidence:
        row = self._row(candidate)
        if row is None or self._cells is None:
            return Evidence(candidate, Sample({}))
        records = self._cells.records
        scores = self._cells.cell_scores(row, place, protocol, label)
        values: dict[int, float] = {}
        failed: dict[int, str] = {}
        images, missing = set(), []
        for cell in row.cells:
            score, seed = scores.get(cell), records.seed(cell)
            if score is None and records.failure(cell) and records.step(cell) is not None:
                failed[seed] = records.failure(cell)
            elif score is None:
                missing.append(_why_missing(records, cell, protocol))
            elif score.value is not None and self._cells.is_used(score, place, protocol):
                values[seed] = score.value
                images.add(score.images)
            else:
                missing.append(score.missing or f"scored by {protocol} with other weights")
        return Evidence(
            candidate, Sample(values, frozenset(failed)), len(row.cells), frozenset(images), tuple(missing),
            tuple(failed.values()), records.any_weak(row), records.any_stand_in(row),
            self._weak_judge(scores, place, protocol),
        )  # fmt: skip

    def _weak_judge(self, scores: Mapping[int, CellScore], place: str, protocol: str) -> str:
        """What `query_weak_judge` says of the values of `scores`."""
        assert self._cells is not None
        rows = self._cells.records.directions.get(place, [])
        return max((query_weak_judge(rows, protocol, score.encoder) for score in scores.values()), default="")

    def _of_stage(self, candidate: ClaimCandidate, domain: str) -> Evidence:
        where = domain, MEASURED_SPLIT[self.task.kind]
        by_seed = {
            seed: self._stages[stage, seed][where]
            for stage, seed in sorted(self._stages)
            if STAGES.get(stage) == candidate.method and where in self._stages[stage, seed]
        }
        sample = Sample({seed: value for seed, (value, _) in by_seed.items()})
        return Evidence(candidate, sample, len(by_seed), frozenset((n, 0) for _, n in by_seed.values()))


def _why_missing(records: SettingRecords, cell: int, protocol: str) -> str:
    """A crash is no verdict on the method: it is missing, and has not failed."""
    state = records.text("state", cell)
    if state == "failed":
        return f"crashed: {records.text('reason', cell)}"
    return f"{NOT_SCORED} {protocol}" if state == "done" else f"not scored yet ({state})"


def _count(cells: int) -> str:
    return "1 cell" if cells == 1 else f"{cells} cells"


def read_evidence(
    root: Path, task: Task, wanted: Callable[[Setting], bool], candidates: Sequence[ClaimCandidate]
) -> Iterator[StoredEvidence]:
    """The evidence of each setting in the results folder `root` that is `wanted`; none of given checkpoints.

    A given checkpoint is one training. Semantic stages, which have no budget, belong to each budget, or where there is
    none stand alone.
    """
    aligned = list(read_alignments(root, task.name))
    settings = {
        records.setting: records
        for records in query_settings(read_index(root, task.name), wanted)
        if records.setting.budget != GIVEN
    }
    trained = {setting._replace(budget="") for setting in settings}
    alone = sorted({stage.setting for stage in aligned if stage.setting not in trained and wanted(stage.setting)})
    methods = sorted({candidate.method for candidate in candidates if not candidate.is_stage})
    for setting in [*settings, *alone]:
        presets = preset_methods(root, task, setting.preset, setting.data_kind, methods)
        presets = {name: presets[name] for name in methods}
        of_setting = [stage for stage in aligned if stage.setting == setting._replace(budget="")]
        yield StoredEvidence(task, setting, settings.get(setting), of_setting, presets, candidates)
