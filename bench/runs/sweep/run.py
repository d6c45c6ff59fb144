"""A sweep: many cells of one task from a small file, checked as a whole before anything trains, then run like `run`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path

from bench.core.errors import BenchError, all_true_or_errors, error_remedy
from bench.core.progress import say
from bench.data.load import load_data
from bench.data.types import TaskData
from bench.evaluation.self_test.doctor import warn_if_doctor_fails
from bench.runs.local import run_cell_locally, run_session_locally
from bench.runs.plan import PlannedPart, plan_text
from bench.runs.processes import run_in_processes
from bench.runs.rehearse import Rehearsed, rehearse_session
from bench.runs.request import Execution, Job, Request, Session, open_request, request_runtime, request_settings
from bench.runs.run import RunOutcome
from bench.runs.sweep.file import SweepEntry, SweepFile, find_sweep_file, load_sweep, sweep_file_cells
from bench.spec.presets import PRESETS
from bench.spec.protocols import select_protocols
from bench.spec.run_spec import Budget
from bench.spec.tasks import get_task

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


def plan_sweep(request: SweepRequest, rate: float = 0.0) -> tuple[str, Mapping[str, str]]:
    """(every cell of the sweep and what it would cost as text, methods that cannot be imported and why).

    Trains nothing. `rate`: see Costs. Raises BenchError as `run_sweep`.
    """
    _, sessions, broken = _checked(request)
    return plan_text(sweep_parts_to_plan(sessions), _at_once(sessions, request.jobs), rate), broken


def rehearse_sweep(request: SweepRequest, scratch: Path) -> tuple[str, list[Rehearsed]]:
    """(task, what the rehearsal of each part's first seed showed). Raises BenchError as `run_sweep`."""
    task, sessions, _ = _checked(replace(request, results=scratch))
    rehearsed = [
        replace(row, label=part.label)
        for part, session in sessions
        for row in rehearse_session(part.request, replace(session, jobs=session.jobs[:1]))
    ]
    return task, rehearsed


def sweep_parts_to_plan(sessions: Sequence[tuple[SweepPart, Session]]) -> list[PlannedPart]:
    """What `plan_text` takes."""
    return [PlannedPart(part.label, part.request, session, session.jobs) for part, session in sessions]


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
                domains=sweep.domains, val=sweep.val, seeds=seeds, budget=request.budget or sweep.budget,
                results=request.results,
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
