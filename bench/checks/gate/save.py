"""`bench baseline save`: from the cells of a results folder to a baseline; and `bench baseline list`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.checks.gate.baseline import (
    CODE,
    FILE,
    Baseline,
    baseline_judges,
    claim_baseline_folder,
    find_baselines,
    gather_baseline,
    load_baseline,
    publish_baseline,
    write_baseline,
)
from bench.checks.gate.family import plan_family, watched_series
from bench.checks.gate.trainings import (
    FAILED,
    StoredTraining,
    classes_of_trainings,
    common_seeds_of_trainings,
    read_trainings,
)
from bench.core.errors import BenchError, error_remedy
from bench.core.progress import say
from bench.spec.data_kinds import DRAWN, REAL, is_real_data_kind
from bench.spec.protocols import PROTOCOLS
from bench.spec.run_spec import Budget
from bench.spec.tasks import get_task
from bench.spec.where import Where
from bench.store.preset_match import preset_method, preset_mismatch
from bench.store.query import Setting

FEWEST_SEEDS = 2


@dataclass(frozen=True, kw_only=True)
class SaveBaselineRequest(Where):
    """What the user asked for, as typed."""

    name: str
    methods: Sequence[str]
    """Empty: the built-in ones that are there."""
    seeds: Sequence[int]
    """Empty: those of which every method has a finished training."""
    code_only: bool = False
    """Whether the code check's part alone is stored; `task` is empty then."""


def save_gate_baseline(request: SaveBaselineRequest) -> int:
    """Store the baseline, say what was stored and how much it can find; returns 0. BenchError if nothing was."""
    if request.code_only:
        return _save_code(request)
    from bench.checks.gate.code.code_check import record_code_check
    from bench.checks.gate.code.outside import outside_methods

    task = get_task(request.task)
    budget = str(Budget.parse(request.budget)) if request.budget else ""
    styles = _Styles()
    trainings = [
        training
        for training in read_trainings(request.results, task.name, styles)
        if training.setting.preset == request.preset
        and budget in ("", training.setting.budget)
        and _is_data(request, training)
    ]
    there = {training.method for training in trainings}
    for name in request.methods:
        if trainings and name not in there:
            raise BenchError(f"there are no trainings of {name}", error_remedy(name, sorted(there)))
    methods = _methods(request, trainings)
    trainings = [training for training in trainings if training.method in methods]
    setting = _only_settings(request, trainings)[0]
    chosen = _chosen(request, methods, trainings)
    classes = len(task.classes) or classes_of_trainings(request.results, task.name, setting)
    data = request.data or ("auto" if setting.data_kind == REAL else setting.data_kind)
    baseline = replace(
        gather_baseline(request.name, task.name, chosen, request.results, classes, data, request.domains),
        val=request.val,
    )
    judges = _judges(baseline, request.results)
    folder = claim_baseline_folder(request.results, request.name)
    try:
        write_baseline(baseline, judges, folder)
        record_code_check(folder / CODE, outside_methods(list(baseline.methods)))
        final = publish_baseline(folder, request.results, request.name)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    print("\n".join(_told(baseline)))
    say(f"baseline: {final}")
    return 0


def _save_code(request: SaveBaselineRequest) -> int:
    """Store what the code gives now, of our methods and of those from outside that are named; train nothing long."""
    from bench.checks.gate.code.code_check import record_code_check
    from bench.checks.gate.code.outside import outside_methods

    if request.task or request.seeds:
        raise BenchError("--code-only stores no trainings", "leave out --task and --seeds, or --code-only")
    outside = outside_methods(request.methods)
    folder = claim_baseline_folder(request.results, request.name)
    try:
        record_code_check(folder / CODE, outside)
        final = publish_baseline(folder, request.results, request.name)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    print(f"the code's values, of our methods{''.join(f', {name}' for name in outside)}")
    say(f"baseline: {final}")
    return 0


def _judges(baseline: Baseline, root: Path) -> list[Path]:
    """Their folders, with a warning if one is not there."""
    used = {
        scored_with.encoder
        for method in baseline.methods.values()
        for at, scored_with in method.made.items()
        if PROTOCOLS[at.protocol].encoder == "judge"
    }
    folders_of = {encoder: list(baseline_judges(root, [encoder])) for encoder in sorted(used)}
    for encoder in (encoder for encoder, folders in folders_of.items() if not folders):
        say(f"warning: the judge {encoder} is not in {root / 'judges'}: a rerun elsewhere cannot decide")
    return [folder for folders in folders_of.values() for folder in folders[:1]]


class _Styles(dict[str, str]):
    """Method -> where its styles come from by default; looked up in its class when it is first asked for."""

    def __call__(self, method: str) -> str:
        return self[method]

    def __missing__(self, method: str) -> str:
        from bench.spec.methods import resolve_methods

        classes, _ = resolve_methods([method])
        sources = [cls.style_sources for cls in classes.values()]
        self[method] = (sources[0][0] if sources[0] else "none") if sources else ""
        return self[method]


def _is_data(request: SaveBaselineRequest, training: StoredTraining) -> bool:
    if request.data in ("", "auto"):
        return True
    kind = training.setting.data_kind
    return kind == request.data if request.data in DRAWN else is_real_data_kind(kind)


def _methods(request: SaveBaselineRequest, trainings: Sequence[StoredTraining]) -> list[str]:
    """Methods that were asked for, or the built-in ones that are there, or all."""
    from methods.registry import BUILT_IN

    there = sorted({training.method for training in trainings})
    return list(dict.fromkeys(request.methods)) or [name for name in there if name in BUILT_IN] or there


def _only_settings(request: SaveBaselineRequest, trainings: Sequence[StoredTraining]) -> list[Setting]:
    """Settings of the trainings. BenchError if there are none, a method has several, or more than lengths differ."""
    settings = sorted({one.setting for one in trainings})
    if not settings:
        raise BenchError(
            f"no trainings of {request.task} with preset {request.preset} in {request.results}",
            f"python -m bench run --task {request.task} --preset {request.preset} --seeds 0-19",
        )
    of_methods = {(one.method, one.setting) for one in trainings}
    several = len(of_methods) > len({one.method for one in trainings})
    if several or len({setting._replace(budget="") for setting in settings}) > 1:
        texts = "; ".join(f"{one.data_kind} data {one.data_version}, {one.budget}" for one in settings)
        raise BenchError(f"trainings of several settings: {texts}", "choose one with --data and --budget")
    return settings


def _chosen(
    request: SaveBaselineRequest, methods: Sequence[str], trainings: Sequence[StoredTraining]
) -> list[StoredTraining]:
    """One training for each method and seed."""
    by_method = {
        name: _one_configuration(request, [training for training in trainings if training.method == name])
        for name in methods
    }
    seeds = list(request.seeds) or common_seeds_of_trainings(
        [training for name in methods for training in by_method[name].values()]
    )
    if len(seeds) < FEWEST_SEEDS:
        raise BenchError(
            f"{len(seeds)} seeds of which every method ({', '.join(methods)}) has a finished training",
            f"a baseline needs at least {FEWEST_SEEDS}, and 20 to be of use: python -m bench run --seeds ...",
        )
    for name in methods:
        ended = {seed for seed, training in by_method[name].items() if training.state in ("done", FAILED)}
        if absent := sorted(set(seeds) - ended):
            raise BenchError(
                f"{name} has no finished training of seed {', '.join(map(str, absent))}",
                "run it, or choose other --seeds or --methods",
            )
    return [by_method[name][seed] for name in methods for seed in sorted(seeds)]


def _one_configuration(request: SaveBaselineRequest, trainings: Sequence[StoredTraining]) -> dict[int, StoredTraining]:
    """Seed -> training of one method: if it was trained with several sets of settings, with the preset's own."""
    distinct = [
        training
        for i, training in enumerate(trainings)
        if all(_kind(training) != _kind(other) for other in trainings[:i])
    ]
    if len(distinct) > 1:
        trainings = [training for training in trainings if _is_preset(request, training)]
        if len({training.seed for training in trainings}) < len(trainings) or not trainings:
            name = distinct[0].method
            raise BenchError(
                f"{name} was trained with {len(distinct)} sets of settings, and none is the preset's own",
                "keep one of them in a results folder of its own (--results)",
            )
    return {training.seed: training for training in trainings}


def _kind(training: StoredTraining) -> tuple[int, Mapping[str, object]]:
    return training.version, training.config


def _is_preset(request: SaveBaselineRequest, training: StoredTraining) -> bool:
    """Whether a training is its method as the preset trains it."""
    try:
        preset = preset_method(
            get_task(request.task), training.setting.preset, training.setting.data_kind, training.method
        )
    except BenchError:
        return False
    return not preset_mismatch(training.config, training.version, preset)


def _told(baseline: Baseline) -> list[str]:
    """What was stored and what a check with it can find."""
    family, planned, shared = watched_series(baseline), plan_family(baseline), baseline.shared
    lines = [
        f"{baseline.task}, {shared.preset}, {shared.data_kind} data {shared.data_version}: {len(baseline.methods)} "
        f"methods, {len(baseline.seeds)} seeds each",
        f"compared are {len(family)} series; a check trains {planned.first} new seeds of each method, and more of one "
        "where these look worse",
    ]
    for name, method in baseline.methods.items():
        lines.append(f"{name}, {method.budget}: up to {planned.new[name]} new seeds")
        for series in (series for series in family if series.method == name):
            reach = series.reach(planned.new[name], len(family), planned.first)
            lines.append(f"  {series.measure.direction}, {series.quantity}: {series.stored_text()}; {reach}")
    return [*lines, *planned.warnings]


def list_saved_baselines(results: Path) -> str:
    """Name, task and size of every baseline, and where it lies."""
    lines = []
    for name, folder in find_baselines(results):
        if not (folder / FILE).is_file():
            lines.append(f"{name}  the code check's part alone  {folder}")
            continue
        baseline = load_baseline(results, name)
        size = f"{len(baseline.methods)} methods x {len(baseline.seeds)} seeds"
        lines.append(f"{name}  {baseline.task}, {baseline.shared.preset}, {size}  {folder}")
    return "\n".join(lines) if lines else "no baselines; make one: baseline save NAME --task T"
