"""The paper's tables with what a results folder holds: one table per setting, and never two settings in one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

from bench.core.errors import BenchError, error_remedy
from bench.core.progress import say
from bench.reporting.paper.lookup import JUDGED, StoredLookup, TaskRecords
from bench.reporting.paper.shapes import JUDGE, SHAPES, STAGES
from bench.reporting.paper.table import paper_table
from bench.reporting.paper.values import places_of_values
from bench.reporting.setting import (
    ANY_BUDGET,
    PUBLISHED_SOURCES,
    Commands,
    commands_in_setting,
    distinct_setting_texts,
    setting_text,
    setting_unlike_paper,
)
from bench.reporting.tables.table import Footnote, Table
from bench.spec.protocols import ALL
from bench.spec.tasks import Task, get_task
from bench.store.alignments import CHAINED, Aligned, read_alignments
from bench.store.columns import GIVEN
from bench.store.index import read_index
from bench.store.preset_match import preset_methods
from bench.store.query import Setting, SettingRecords, query_settings


class TaskInSetting(NamedTuple):
    """What is stored of one task in one setting of a table."""

    task: Task
    records: list[SettingRecords]
    aligned: list[Aligned]
    """Which clusters were measured."""


Combination = dict[Setting, TaskInSetting]
"""What is stored in several settings; for one table: in one setting of each task."""


def tables_from_results(root: Path, name: str, wanted: Callable[[Setting], bool], unmeasured: Commands) -> list[Table]:
    """Table `name` of the paper, once for each setting in the results folder `root` that is `wanted`.

    Without any: the published values alone, with the commands `unmeasured`. Raises BenchError for a table that the
    paper does not have.
    """
    if name not in SHAPES:
        raise BenchError(f"the paper has no table '{name}'", error_remedy(name, list(SHAPES)))
    asked = places_of_values(SHAPES[name]().lines)
    tasks = [get_task(task) for task in dict.fromkeys(place.task for place in asked)]
    methods = sorted({method for place in asked for method in place.candidates} - {JUDGE, *STAGES.values()})
    combinations = list(_combined([_of_task(root, task, wanted, bool(methods)) for task in tasks]))
    if not combinations:
        return [paper_table(name, lambda *key: None, unmeasured)]
    combinations.sort(key=_is_published, reverse=True)
    texts = [_text(combination) for combination in combinations]
    versions = [" and ".join(setting.data_version for setting in combination) for combination in combinations]
    return [
        _table(root, name, combination, methods, text)
        for combination, text in zip(combinations, distinct_setting_texts(texts, versions), strict=True)
    ]


def _of_task(root: Path, task: Task, wanted: Callable[[Setting], bool], by_budget: bool) -> Combination:
    """What is stored of `task` in each setting. Not `by_budget`: settings that differ in it are one."""
    stored: Combination = {}
    stored_cells = read_index(root, task.name)
    for complaint in stored_cells.complaints:
        say(f"left out: {complaint}")
    for records in query_settings(stored_cells, wanted):
        setting = records.setting if by_budget else records.setting._replace(budget=ANY_BUDGET)
        stored.setdefault(setting, TaskInSetting(task, [], [])).records.append(records)
    for aligned in [] if by_budget else read_alignments(root, task.name):
        if wanted(aligned.setting):
            stored.setdefault(aligned.setting, TaskInSetting(task, [], [])).aligned.append(aligned)
    return stored


def _combined(stored: Sequence[Combination]) -> Iterator[Combination]:
    """Settings of several tasks belong together if they are of the same kind of data, preset and budget."""

    def kind(setting: Setting) -> tuple[str, str, str]:
        return setting.data_kind, setting.preset, setting.budget

    for one in sorted({kind(setting) for settings in stored for setting in settings}):
        with_any = [(of_task, same) for of_task in stored if (same := sorted(s for s in of_task if kind(s) == one))]
        for chosen in product(*(settings for _, settings in with_any)):
            yield {setting: of_task[setting] for setting, (of_task, _) in zip(chosen, with_any, strict=True)}


def _table(root: Path, name: str, combination: Combination, methods: Sequence[str], text: str) -> Table:
    tasks: dict[str, TaskRecords] = {}
    for setting, (task, records, aligned) in combination.items():
        known = (*methods, CHAINED) if aligned else methods
        presets = preset_methods(root, task, setting.preset, setting.data_kind, known)
        tasks[task.name] = TaskRecords(task, records, aligned, {name: presets[name] for name in known}, methods)
    lookup = StoredLookup(root, tasks, text, _is_published(combination))
    first, (task, *_) = next(iter(combination.items()))
    table = paper_table(name, lookup, None if first.budget == GIVEN else commands_in_setting(first, task))
    left_out = [Footnote(line) for line in lookup.left_out()]
    return replace(table, footnotes=(*table.footnotes, *left_out)) if left_out else table


def _is_published(combination: Combination) -> bool:
    """Whether everything is of the paper's setting: published settings, the published data, its size and length."""
    return not any(
        setting_unlike_paper(setting, task, task.name)
        or any(PUBLISHED_SOURCES.get(direction) != n for direction, n in _sources(records))
        for setting, (task, records, _) in combination.items()
    )


def _sources(every: Sequence[SettingRecords]) -> Iterator[tuple[str, int | None]]:
    """(direction, number of images that were translated) of all that was scored."""
    for records in every:
        for direction, key, measurement in records.measurements():
            if (key.protocol, key.label) == (JUDGED, ALL) and measurement.values:
                yield direction, measurement.counts[0] if measurement.counts else None


def _text(combination: Combination) -> str:
    """The setting as it is to be read in the table: `quick, embedded data, 32 px`."""
    first, (task, *_) = next(iter(combination.items()))
    return setting_text(first, task, [setting.image_size for setting in combination])
