"""Scoring without training: stored cells (with encoders fetched since, or another source of style), and checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from bench.core.device import Runtime
from bench.core.errors import BenchError, error_remedy
from bench.core.progress import say
from bench.core.randomness import seeded
from bench.data.load import load_data
from bench.data.types import TaskData
from bench.evaluation.encoders import Encoders, make_encoders
from bench.evaluation.evaluate import evaluate_cell
from bench.evaluation.self_test.doctor import warn_if_doctor_fails
from bench.evaluation.translate import chosen_style_source
from bench.runs.published_checkpoint import (
    load_published_checkpoint,
    read_published_checkpoint,
    store_published_checkpoint,
)
from bench.runs.request import Job, check_request, request_job, served_directions
from bench.spec.methods import method_config_with_clusters, method_settings, resolve_methods, target_of_method
from bench.spec.presets import KindPreset, get_preset
from bench.spec.protocols import select_protocols
from bench.spec.run_spec import (
    GIVEN_IMAGES,
    Budget,
    check_spec_overrides,
    spec_config,
    spec_config_from,
    spec_overrides,
)
from bench.spec.tasks import Task, get_task
from bench.spec.where import Where
from bench.store.cell import Cell, read_cells
from bench.training.weights import load_trained_weights
from methods.base import StyleSource
from methods.registry import registered

STYLES: tuple[StyleSource, ...] = get_args(StyleSource)


@dataclass(frozen=True, kw_only=True)
class RescoreRequest(Where):
    """What the user asked for, as typed."""

    methods: Sequence[str]
    """Names; empty: every stored cell."""
    style: str
    """`noise`, `exemplar` or empty: each method's default."""
    batch_size: int
    """Translations held on the device at once; does not change the result."""
    device: str
    """As for `run`."""
    weights: Sequence[str] = ()
    """`[NETWORK=]FILE`: score this checkpoint of the one method instead of stored cells."""
    name: str = ""
    """With `weights`: what the row is called; empty: the method and the files."""
    overrides: Sequence[str] = ()
    """`method.key=value`, with `weights`: settings over the preset's, where the checkpoint's networks have others."""
    protocols: Sequence[str] = ()
    """Protocols to measure beside those that always are."""


def rescore(request: RescoreRequest) -> None:
    """Score every stored cell that fits, or the given checkpoint.

    Raises BenchError if no cell fits, or the checkpoint does not.
    """
    task = get_task(request.task)
    if request.style not in ("", *STYLES):
        raise BenchError(f"unknown style '{request.style}'", error_remedy(request.style, list(STYLES)))
    if request.overrides and not request.weights:
        raise BenchError("--set goes with --weights", "stored cells keep the settings that they were trained with")
    if request.name and not request.weights:
        raise BenchError("--name goes with --weights", "stored cells are named by their method and settings")
    _check_methods(request, task)
    preset = get_preset(request.preset, task.kind)
    select_protocols(request.protocols)
    runtime = Runtime(request.device, task.sizes[request.preset])
    data = load_data(task, request.data, task.sizes[request.preset], request.domains, request.val)
    say(data.note)
    warn_if_doctor_fails()
    encoders = make_encoders(request.results, data, preset, runtime, request.protocols)
    if request.weights:
        _score_checkpoint(request, task, data, preset, encoders, runtime)
        return
    jobs = list(_stored_jobs(request, task, data))
    if not jobs:
        which = f"{', '.join(request.methods)} on " if request.methods else ""
        named = f" --methods {','.join(request.methods)}" if request.methods else ""
        raise BenchError(
            f"no trained cell of {which}{task.name} with this data and preset in {request.results}",
            f"python -m bench run --task {task.name} --preset {request.preset} --data {request.data}{named}",
        )
    for job in jobs:
        cell = Cell(request.results, job.spec)
        with cell.locked(), runtime.threads_pinned(runtime.threads):
            method = load_trained_weights(job.build, cell, runtime)
            try:
                style = chosen_style_source(method, request.style or None)
            except ValueError as error:
                say(f"{job.spec.method} seed {job.spec.seed}: passed over: {error}")
                continue
            directions = served_directions(method, cell.directions(task.directions))
            evaluate_cell(method, data, directions, cell, encoders, style, request.batch_size)
            cell.set_state("done")


def _check_methods(request: RescoreRequest, task: Task) -> None:
    """BenchError for a name that is neither a method nor that of a stored cell."""
    unknown = [name for name in request.methods if name not in registered()]
    stored = {cell["spec"]["method"] for cell in read_cells(request.results, task.name)} if unknown else set()
    for name in unknown:
        if name not in stored:
            target_of_method(name)


def _score_checkpoint(
    request: RescoreRequest, task: Task, data: TaskData, preset: KindPreset, encoders: Encoders, runtime: Runtime
) -> None:
    """Make a cell of the checkpoint and score it in every direction that it is complete for."""
    if len(request.methods) != 1:
        raise BenchError("--weights is a checkpoint of one method", "name it: --method munit --weights FILE")
    (name,) = request.methods
    classes, broken = resolve_methods([name])
    if broken:
        raise BenchError(f"{name} cannot be imported: {broken[name]}", "see `list methods`")
    overrides = spec_overrides(request.overrides)
    check_spec_overrides(overrides, [name])
    cls = classes[name]
    config = method_config_with_clusters(
        spec_config(cls, name, *method_settings(cls, name, preset, overrides, data.kind)), len(data.classes)
    )
    checkpoint = read_published_checkpoint(request.weights)
    job = request_job(
        task, data, request.preset, name, cls, config, Budget("images", 0), seed=0, weights=checkpoint.identity
    )
    check_request(job, task)
    cell = Cell(request.results, job.spec)
    with seeded(0, "init"):
        method = job.build().to(runtime.device).eval()
    try:
        style = chosen_style_source(method, request.style or None)
    except ValueError as error:
        raise BenchError(f"{name}: {error}", f"leave --style out, or: {', '.join(method.style_sources)}") from error
    with runtime.threads_pinned(runtime.threads):
        directions = load_published_checkpoint(
            method, checkpoint, data, served_directions(method, task.directions), style
        )
        with cell.locked():
            store_published_checkpoint(method, job, cell, directions)
            files = ", ".join(Path(text.rpartition("=")[2]).name for text in request.weights)
            cell.call(request.name or f"{name} ({files})")
            evaluate_cell(method, data, directions, cell, encoders, style, request.batch_size)
            cell.set_state("done")


def _stored_jobs(request: RescoreRequest, task: Task, data: TaskData) -> Iterator[Job]:
    for stored in read_cells(request.results, task.name):
        spec: dict[str, Any] = stored["spec"]
        wanted = not request.methods or spec["method"] in request.methods
        if spec.get("weights") == GIVEN_IMAGES:  # `bench score` scores them again
            continue
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
        config = spec_config_from(cls.Config, spec["config"])
        budget = Budget(spec["budget"]["kind"], spec["budget"]["amount"])
        weights = spec.get("weights", "")
        yield request_job(task, data, request.preset, spec["method"], cls, config, budget, spec["seed"], weights)
