"""A sweep: many cells of one task from a small file, checked as a whole before anything trains, then run like `run`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path

from bench.core.device import device_precision
from bench.core.errors import BenchError, all_true_or_errors, error_remedy
from bench.core.progress import say
from bench.data.load import load_data
from bench.data.types import TaskData
from bench.evaluation.self_test.doctor import warn_if_doctor_fails
from bench.runs.local import run_cell_locally, run_session_locally
from bench.runs.processes import run_in_processes
from bench.runs.request import Execution, Job, Request, Session, open_request, request_runtime, request_settings
from bench.runs.run import RunOutcome
from bench.runs.sweep.estimate import Costs, StageKey, estimate_stage_keys
from bench.runs.sweep.file import SweepEntry, SweepFile, find_sweep_file, load_sweep, sweep_file_cells
from bench.spec.presets import PRESETS
from bench.spec.protocols import select_protocols
from bench.spec.run_spec import Budget
from bench.spec.tasks import get_task
from bench.store.cell import Cell

MAX_CELLS = 10_000
"""A grid of a few lines can mean any number."""


@dataclass(frozen=True, kw_only=True)
class SweepRequest(Execution):
    """What the user asked for, as typed. Empty fields leave what the file says."""

    name: str
    """A shipped sweep, or a file's path."""
    presets: Sequence[str]
    """Instead of the file's."""
    seeds: Sequence[int]
    """Instead of all seeds in the file."""
    data: str
    """Instead of the file's."""
    budget: str
    """Instead of the file's."""
    results: Path
    """The results folder."""


@dataclass(frozen=True)
class SweepPart:
    """One method with one set of settings under one preset: as many cells as it has seeds."""

    line: int
    """Where its entry stands in the file."""
    request: Request
    """As `run` would get it, for this one method."""

    @property
    def method(self) -> str:
        """Name, with the variant."""
        return self.request.methods[0]

    @property
    def label(self) -> str:
        """`cats_udt [lambda_sem=0.1]`."""
        settings = [text.removeprefix(f"{self.method}.") for text in self.request.overrides]
        return f"{self.method} [{', '.join(settings)}]" if settings else self.method


def run_sweep(request: SweepRequest) -> RunOutcome:
    """Train and score every cell of the sweep. Finished ones are skipped, others resume.

    Raises BenchError before anything is trained if the file, a name, a setting or the data is not right, and
    Interrupted (state saved) on SIGTERM and SIGINT.
    """
    task, sessions, broken = _checked(request)
    warn_if_doctor_fails()
    identities = frozenset(job.spec.identity() for _, session in sessions for job in session.jobs)
    return RunOutcome(task, _run(sessions, request), broken, identities)


def plan_sweep(request: SweepRequest) -> tuple[str, Mapping[str, str]]:
    """(every cell of the sweep and what it would cost as text, methods that cannot be imported and why).

    Trains nothing. Raises BenchError as `run_sweep`.
    """
    _, sessions, broken = _checked(request)
    return sweep_plan_text(sessions, request.jobs), broken


def _checked(request: SweepRequest) -> tuple[str, list[tuple[SweepPart, Session]], dict[str, str]]:
    """(task, every part ready to run, methods that cannot be imported and why)."""
    path = find_sweep_file(request.name)
    sweep = load_sweep(path)
    say(f"sweep {sweep.name}: {sweep.summary or path}")
    return sweep.task, *check_sweep(expand_sweep(sweep, request), path)


# ----------------------------------------------------------------------------------------------------------- cells


def expand_sweep(sweep: SweepFile, request: SweepRequest) -> list[SweepPart]:
    """Every part of the sweep, in the file's order, with the request's options in place of the file's values.

    Raises BenchError for an unknown preset, if nothing is left under these, or for more than MAX_CELLS cells.
    """
    for preset in request.presets:
        if preset not in PRESETS:
            raise BenchError(f"unknown preset '{preset}'", error_remedy(preset, list(PRESETS)))
    chosen = sweep.chosen(request.presets, request.seeds)
    if not chosen:
        presets = ", ".join(tuple(request.presets) or sweep.presets)
        raise BenchError(f"sweep {sweep.name} has no cells under preset {presets}", "choose another --preset")
    if (count := sweep_file_cells(chosen)) > MAX_CELLS:
        raise BenchError(f"sweep {sweep.name} has {count:,} cells", f"at most {MAX_CELLS:,}: split the file")
    execution = {field.name: getattr(request, field.name) for field in fields(Execution)}
    execution["protocols"] = tuple(dict.fromkeys((*sweep.protocols, *request.protocols)))
    return [
        SweepPart(
            entry.line,
            Request(
                task=sweep.task, methods=(method,), preset=preset, data=request.data or sweep.data,
                domains=sweep.domains, seeds=seeds, budget=request.budget or sweep.budget, results=request.results,
                overrides=tuple(f"{method}.{key}={value}" for key, value in settings.items()), **execution,
            ),
        )
        for preset, entry, seeds in chosen
        for method in entry.methods
        for settings in _grid(entry)
    ]  # fmt: skip


def _grid(entry: SweepEntry) -> Iterator[Mapping[str, str]]:
    """The entry's settings with each combination of its grid, the last key changing fastest."""
    for values in product(*entry.grid.values()):
        yield {**entry.settings, **dict(zip(entry.grid, values, strict=True))}


# ---------------------------------------------------------------------------------------------------------- checks


def check_sweep(parts: Sequence[SweepPart], path: Path) -> tuple[list[tuple[SweepPart, Session]], dict[str, str]]:
    """(every part ready to run, methods that cannot be imported and why). Nothing is trained here.

    Names and settings come first, because data may have to be drawn or decoded; then the data, the networks of every
    part (on the meta device), and that no cell is there twice.
    """
    _check_common(parts[0].request, path)
    broken: dict[str, str] = {}
    for part in parts:
        with _of(part, path):
            broken |= request_settings(part.request)[1]
    data = {preset: _load(request) for preset, request in {p.request.preset: p.request for p in parts}.items()}
    sessions = []
    for part in parts:
        if part.method not in broken:
            with _of(part, path):
                sessions.append((part, open_request(part.request, data[part.request.preset])))
    _check_unique(sessions, path)
    return sessions, broken


def _check_common(request: Request, path: Path) -> None:
    """Check what all parts have from the head of the file, or from the command line."""
    try:
        select_protocols(request.protocols)
        request_runtime(request, get_task(request.task).sizes[request.preset])
        if request.budget:
            Budget.parse(request.budget)
    except BenchError as error:
        raise BenchError(f"{path}: {error.what}", error.remedy) from error


def _load(request: Request) -> TaskData:
    task = get_task(request.task)
    data = load_data(task, request.data, task.sizes[request.preset], request.domains, request.val)
    say(data.note)
    return data


@contextmanager
def _of(part: SweepPart, path: Path) -> Iterator[None]:
    """Errors inside get the line of the file, and a remedy that is written in a file and not after a command."""
    try:
        yield
    except BenchError as error:
        remedy = re.sub(r"--set [\w.:]+?\.(\w[\w.]*)=(.+)$", r"set: {\1: \2}", error.remedy)
        raise BenchError(f"{path}, line {part.line}: {error.what}", remedy) from error


def _check_unique(sessions: Sequence[tuple[SweepPart, Session]], path: Path) -> None:
    seen: dict[str, tuple[SweepPart, Job]] = {}
    for part, job in _cells(sessions):
        first, _ = seen.setdefault(job.spec.identity(), (part, job))
        if first is not part:
            raise BenchError(
                f"{path}: lines {first.line} and {part.line} name the same cell: {first.label} and {part.label}, "
                f"seed {job.spec.seed}",
                "remove one of them",
            )


def _cells(sessions: Sequence[tuple[SweepPart, Session]]) -> Iterator[tuple[SweepPart, Job]]:
    for part, session in sessions:
        for job in session.jobs:
            yield part, job


# ------------------------------------------------------------------------------------------------------------- run


def _run(sessions: Sequence[tuple[SweepPart, Session]], request: SweepRequest) -> bool:
    """Every cell, several at once where the machine has room; True unless one failed."""
    if request.launch == "ray":
        from bench.runs.ray.driver import drive_ray_cluster

        wanted = [
            (replace(part.request, seeds=(job.spec.seed,)), session, job)
            for part, session in sessions
            for job in session.jobs
        ]
        return drive_ray_cluster(wanted, request.device, request.address, request.jobs)
    orders = [replace(part.request, seeds=(job.spec.seed,)) for part, job in _cells(sessions)]
    at_once = _at_once(sessions, request.jobs)
    if at_once > 1:
        return run_in_processes(orders, run_cell_locally, at_once)
    return all_true_or_errors(sessions, lambda ready: run_session_locally(ready[0].request, ready[1]))


def _at_once(sessions: Sequence[tuple[SweepPart, Session]], jobs: int) -> int:
    cells = sum(len(session.jobs) for _, session in sessions)
    return min([cells, jobs or min([session.runtime.cells_at_once for _, session in sessions], default=1)])


# --------------------------------------------------------------------------------------------------------- dry run


@dataclass(frozen=True)
class PlannedSweep:
    """One line of the plan. Seconds are those of what is left to do; None: not known."""

    preset: str
    label: str
    seed: int
    state: str
    train: float | None = 0.0
    stages: float | None = 0.0
    """Semantic stages that no cell above it, and no stored one, has paid for."""
    scoring: float | None = 0.0
    source: str = ""
    """Where the seconds come from, or why nothing is left to do."""
    settled: bool = False
    """Nothing is left to do."""

    @property
    def seconds(self) -> float | None:
        """Sum of the known seconds; None if those of the training are not known."""
        return None if self.train is None else self.train + (self.stages or 0) + (self.scoring or 0)


def sweep_plan(sessions: Sequence[tuple[SweepPart, Session]]) -> list[PlannedSweep]:
    """Every cell with its state and what is left to pay for it."""
    lines = []
    costs: dict[str, Costs] = {}
    paid: set[StageKey] = set()
    for part, session in sessions:
        preset = part.request.preset
        if preset not in costs:
            runtime = session.runtime
            arithmetic = device_precision(runtime.precision), runtime.devices
            costs[preset] = Costs(part.request.results, session.task, preset, runtime.device.type, *arithmetic)
            paid |= costs[preset].stages_done
        lines += [_planned(part, job, costs[preset], paid) for job in session.jobs]
    return lines


def _planned(part: SweepPart, job: Job, costs: Costs, paid: set[StageKey]) -> PlannedSweep:
    cell = Cell(part.request.results, job.spec)
    status = cell.status()
    line = PlannedSweep(job.spec.preset, part.label, job.spec.seed, status["state"])
    if line.state == "done":
        return replace(line, settled=True)
    if line.state == "failed" and "step" in status:
        reason = f"stays failed ({status['reason']}); to try again remove {cell.folder}"
        return replace(line, source=reason, settled=True)
    estimate = costs.of(job.spec)
    line = replace(line, scoring=estimate.scoring, source=estimate.source)
    if cell.is_trained():
        return line
    due = {name: key for name, key in estimate_stage_keys(job.spec, estimate.stages).items() if key not in paid}
    paid.update(due.values())
    stages = None if estimate.train is None else sum(estimate.stages[name] for name in due)
    return replace(line, train=estimate.train, stages=stages)


def sweep_plan_text(sessions: Sequence[tuple[SweepPart, Session]], jobs: int) -> str:
    """The plan as Markdown, and its sums."""
    from tabulate import tabulate

    lines = sweep_plan(sessions)
    if not lines:
        return "no cells"
    several = len({line.preset for line in lines}) > 1
    headers = ["cell", "seed", "state", "train s", "stages s", "scoring s", "estimated from"]
    rows = [
        [
            f"{line.preset}: {line.label}" if several else line.label,
            line.seed,
            line.state,
            *(
                "?" if part is None else f"{part:.0f}" if part else ""
                for part in (line.train, line.stages, line.scoring)
            ),
            line.source,
        ]
        for line in lines
    ]
    align = ["left", "right", "left", "right", "right", "right", "left"]
    table = tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True, colalign=align)
    return "\n".join([table, "", *_totals(lines, _at_once(sessions, jobs))])


def _totals(lines: Sequence[PlannedSweep], at_once: int) -> list[str]:
    """Sentences that say what is left to do."""
    left = [line for line in lines if not line.settled]
    known = [line.seconds for line in left if line.seconds is not None]
    text = f"{len(lines)} cells, {len(left)} left to do"
    if known:
        text += f": {duration(sum(known))} of computing" + (f", {at_once} cells at once" if at_once > 1 else "")
    if len(known) < len(left):
        text += f"; {len(left) - len(known)} of them not measured: run one for an estimate of the others"
    notes = []
    if left:
        notes.append("The first cells also train, once for a results folder, the judges and what stands in for VGG-19.")
    if any(line.state == "running" for line in left):
        notes.append("Unfinished cells resume, but are counted in full.")
    return [f"{text}.", *notes]


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
