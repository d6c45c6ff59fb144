"""Scoring stored cells again without training: with weights fetched since, or with another source of style."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from bench.data.contract import TaskData
from bench.data.select import load_data
from bench.device import Runtime
from bench.errors import BenchError, nearest
from bench.evaluation import evaluate_cell, style_name
from bench.launch import Job, load_trained, make_instruments, make_job, resolve_methods
from bench.leaderboard import leaderboards, write_leaderboards
from bench.presets import get_preset
from bench.progress import say
from bench.results import Cell, read_cells
from bench.spec import Budget, config_from_values
from bench.tasks import Task, get_task
from methods.base import StyleSource

STYLES: tuple[StyleSource, ...] = get_args(StyleSource)


@dataclass(frozen=True)
class RescoreRequest:
    """What the user asked for, as typed."""

    task: str
    """Task name."""
    methods: Sequence[str]
    """Names; empty: every stored cell."""
    style: str
    """`noise`, `exemplar` or empty: each method's default."""
    preset: str
    """Cells of this preset."""
    data: str
    """As for `run`: cells made with another version of the data are passed over."""
    domains: str
    """As for `run`."""
    batch_size: int
    """Translations held on the device at once; does not change the result."""
    device: str
    """As for `run`."""
    results: Path
    """The results folder."""


def rescore(request: RescoreRequest) -> int:
    """Score every stored cell that fits, then write and print the leaderboard. Returns 0.

    Raises BenchError if no cell fits.
    """
    task = get_task(request.task)
    if request.style not in ("", *STYLES):
        raise BenchError(f"unknown style '{request.style}'", nearest(request.style, list(STYLES)))
    preset = get_preset(request.preset, task.kind)
    runtime = Runtime(request.device, task.sizes[request.preset])
    data = load_data(task, request.data, task.sizes[request.preset], request.domains)
    say(data.note)
    jobs = list(_stored_jobs(request, task, data))
    if not jobs:
        raise BenchError(
            f"no trained cell of {task.name} with this data and preset in {request.results}",
            f"python -m bench run --task {task.name} --preset {request.preset} --data {request.data}",
        )
    tools = make_instruments(request.results, data, preset, runtime)
    for job in jobs:
        cell = Cell(request.results, job.spec)
        with cell.locked(), runtime.threads_pinned(runtime.threads):
            method = load_trained(job, cell, runtime)
            try:
                style = style_name(method, request.style or None)
            except ValueError as error:
                say(f"{job.spec.method} seed {job.spec.seed}: passed over: {error}")
                continue
            evaluate_cell(method, data, task.directions, cell, tools, style, request.batch_size)
            cell.set_state("done")
    write_leaderboards(request.results, task.name)
    print("\n\n".join(leaderboards(request.results, task.name)))
    return 0


def _stored_jobs(request: RescoreRequest, task: Task, data: TaskData) -> Iterator[Job]:
    for stored in read_cells(request.results, task.name):
        spec: dict[str, Any] = stored["spec"]
        wanted = not request.methods or spec["method"] in request.methods
        if not wanted or (spec["preset"], spec["data_version"]) != (request.preset, data.version):
            continue
        if stored["status"].get("state") not in ("trained", "done"):
            continue
        classes, broken = resolve_methods([spec["method"]])
        cls = classes.get(spec["method"])
        if cls is None or cls.version != spec["method_version"]:
            why = broken.get(spec["method"], "made by another version of the method")
            say(f"{stored['folder'].name}: passed over: {why}")
            continue
        config = config_from_values(cls.Config, spec["config"])
        budget = Budget(spec["budget"]["kind"], spec["budget"]["amount"])
        yield make_job(task, data, request.preset, spec["method"], cls, config, budget, spec["seed"])
