"""The paper's tables with what a results folder holds: one table per setting, and never two settings in one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from bench.core.errors import BenchError, nearest
from bench.reporting.paper.lookup import JUDGED, OfTask, StoredLookup
from bench.reporting.paper.notes import Options
from bench.reporting.paper.shapes import JUDGE, SHAPES, STAGES, Shape
from bench.reporting.paper.table import paper_table
from bench.reporting.paper.values import places
from bench.reporting.tables.table import Footnote, Table
from bench.spec.presets import PRESETS, get_preset
from bench.spec.protocols import ALL
from bench.spec.tasks import get_task
from bench.store.alignments import Aligned, read_alignments
from bench.store.columns import GIVEN
from bench.store.index import read_records
from bench.store.preset_settings import own_settings
from bench.store.query import Group, Setting, by_setting

PUBLISHED_SOURCES = {"mnist->svhn": 10_000, "svhn->mnist": 26_032, "sketch->real": 75}
"""Direction -> test images of the published data: a folder of other images under a task's name has other numbers."""
Combination = dict[Setting, tuple[str, list[Group], list[Aligned]]]
"""Setting -> task, what was scored in it, and which clusters were measured. For one table: one setting of each task."""
ANY_BUDGET = ""
"""In the setting of a table in which no translation stands."""


def stored_tables(root: Path, name: str, wanted: Callable[[Setting], bool], unmeasured: Options) -> list[Table]:
    """Table `name` of the paper, once for each setting in the results folder `root` that is `wanted`.

    Without any: the published values alone, with commands that have the options `unmeasured`. Raises BenchError for a
    table that the paper does not have.
    """
    if name not in SHAPES:
        raise BenchError(f"the paper has no table '{name}'", nearest(name, list(SHAPES)))
    shape = SHAPES[name]()
    tasks = list(dict.fromkeys(place.task for place in places(shape.lines)))
    methods = sorted({of for place in places(shape.lines) for of in place.candidates} - {JUDGE, *STAGES.values()})
    found = {task: _of_task(root, task, wanted, bool(methods)) for task in tasks}
    combinations = list(_combined([found[task] for task in tasks]))
    if not combinations:
        return [paper_table(name, lambda *key: None, unmeasured)]
    combinations.sort(key=_is_published, reverse=True)
    texts = [_text(combination) for combination in combinations]
    return [
        _table(root, name, shape, combination, methods, text if texts.count(text) == 1 else _long_text(combination))
        for combination, text in zip(combinations, texts, strict=True)
    ]


def _of_task(root: Path, task: str, wanted: Callable[[Setting], bool], by_budget: bool) -> Combination:
    """Setting -> task, what was scored, and which clusters were measured, in it."""
    found: Combination = {}
    records = read_records(root, task)
    for group in by_setting(records, wanted):
        setting = group.setting if by_budget else group.setting._replace(budget=ANY_BUDGET)
        found.setdefault(setting, (task, [], []))[1].append(group)
    for aligned in [] if by_budget else read_alignments(root, task):
        if wanted(aligned.setting):
            found.setdefault(aligned.setting, (task, [], []))[2].append(aligned)
    return found


def _combined(found: Sequence[Combination]) -> Iterator[Combination]:
    """Settings of several tasks belong together if they are of the same kind of data, preset and budget."""
    kinds = sorted({(of.data_kind, of.preset, of.budget) for settings in found for of in settings})
    for kind in kinds:
        own = [[of for of in settings if (of.data_kind, of.preset, of.budget) == kind] for settings in found]
        with_any = [(settings, sorted(of)) for settings, of in zip(found, own, strict=True) if of]
        for chosen in product(*(of for _, of in with_any)):
            yield {setting: settings[setting] for setting, (settings, _) in zip(chosen, with_any, strict=True)}


def _table(root: Path, name: str, shape: Shape, combination: Combination, methods: Sequence[str], text: str) -> Table:
    first = next(iter(combination))
    tasks: dict[str, OfTask] = {}
    for setting, (task, groups, aligned) in combination.items():
        known = (*methods, "cats_udt") if aligned else methods
        own = own_settings(root, get_task(task), setting.preset, setting.data_kind, known)
        tasks[task] = OfTask(task, groups, aligned, own)
    lookup = StoredLookup(root, tasks, text, _is_published(combination))
    table = paper_table(name, lookup, None if first.budget == GIVEN else _options(first, combination))
    told = [Footnote(line) for line in lookup.left_out()]
    return replace(table, footnotes=(*table.footnotes, *told)) if told else table


def _is_published(combination: Combination) -> bool:
    """Whether everything is of the paper's setting: published settings, the published data, its size and length."""
    for setting, (name, groups, _) in combination.items():
        task = get_task(name)
        if (setting.preset, setting.data_kind, setting.image_size) != ("paper", "real", task.sizes["paper"]):
            return False
        if setting.budget not in (ANY_BUDGET, f"images={get_preset('paper', task.kind).images}"):
            return False
        if not all(PUBLISHED_SOURCES.get(direction) == n for direction, n in _sources(groups)):
            return False
    return True


def _sources(groups: Sequence[Group]) -> Iterator[tuple[str, int | None]]:
    """(direction, number of images that were translated) of all that was scored."""
    for group in groups:
        for direction, parts in group.directions.items():
            for key, pool in (item for part in parts for item in part.pools.items()):
                if (key.protocol, key.label) == (JUDGED, ALL) and pool.values:
                    yield direction, pool.counts[0] if pool.counts else None


def _text(combination: Combination) -> str:
    """The setting as it is to be read in the table: `quick, embedded data, 32 px`."""
    first, (task, _, _) = next(iter(combination.items()))
    sizes = " and ".join(str(size) for size in sorted({setting.image_size for setting in combination}))
    told = f"{first.preset}, {first.data_kind} data, {sizes} px"
    preset = PRESETS.get(first.preset, {}).get(get_task(task).kind)
    if first.budget == GIVEN:
        return f"{told}, given checkpoints"
    usual = (ANY_BUDGET, f"images={preset.images}" if preset else "")
    return told if first.budget in usual else f"{told}, {first.budget}"


def _long_text(combination: Combination) -> str:
    """With the versions of the data, which tell it from others."""
    return f"{_text(combination)}, data {' and '.join(setting.data_version for setting in combination)}"


def _options(setting: Setting, combination: Combination) -> Options:
    """What goes into commands, so that they measure in the same setting."""
    data = "" if setting.data_kind == "real" else f" --data {setting.data_kind}"
    usual = {f"images={get_preset(setting.preset, get_task(task).kind).images}" for task, _, _ in combination.values()}
    budget = "" if setting.budget in (ANY_BUDGET, *usual) else f"--budget {setting.budget}"
    return Options(f"--preset {setting.preset}{data}", budget)
