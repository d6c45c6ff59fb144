"""A request, checked and resolved into jobs: everything that can be refused is refused before training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from multiprocessing import parent_process
from typing import Any

import torch

from bench.core.device import DEVICES, Runtime, check_device_precision
from bench.core.errors import BenchError, error_remedy
from bench.core.progress import say
from bench.core.randomness import seeded
from bench.data.load import data_kind_of_choice, load_data
from bench.data.types import TaskData
from bench.spec.methods import method_config_with_clusters, method_settings, resolve_methods
from bench.spec.presets import KindPreset, get_preset
from bench.spec.protocols import WITHOUT_CLASSES, select_protocols
from bench.spec.run_spec import Budget, RunSpec, check_spec_overrides, spec_config, spec_overrides, spec_values
from bench.spec.tasks import Task, get_task
from bench.spec.where import Where
from bench.training.tensorboard import check_tensorboard
from methods.base import Direction, Translator

NO_CLUSTERS = "needs a number of clusters, and data without classes gives none: --set {0}.clusters=N"
"""Why a method cannot be trained on data without classes."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """The devices and processes that cells are trained and scored on, as typed."""

    device: str
    """`auto`, `cpu`, `cuda`, `mps`."""
    jobs: int = 0
    """Cells at once, each in a process of its own; 0: as many as fill the machine."""
    protocols: Sequence[str] = ()
    """Protocols to measure beside those that always are."""
    launch: str = "local"
    """`local`, or `ray`: each cell is a task of a Ray cluster."""
    address: str = ""
    """Of the cluster, see `bench.runs.ray.driver.connect_driver`."""
    precision: str = "auto"
    """`auto`, `float32` or `bf16`: of the methods' training, see bench/core/device.py."""
    devices: int = 1
    """How many one training is divided over, see bench/training/several_devices.py."""
    tensorboard: bool = False
    """Whether trainings are also written for TensorBoard, see bench/training/tensorboard.py."""


@dataclass(frozen=True, kw_only=True)
class Request(Where, Execution):
    """What the user asked for, as typed."""

    methods: Sequence[str]
    """Names, or `package.module:Class`; empty: every built-in method."""
    seeds: Sequence[int]
    """One cell per method and seed."""
    overrides: Sequence[str]
    """`method.key=value`."""
    profile: bool = False
    """Whether to profile some training steps of each cell, see bench/training/profiling.py."""


@dataclass(frozen=True)
class Job:
    """A cell to be made: its specification and how to build its method."""

    spec: RunSpec
    build: Callable[[], Translator]
    refused: str = ""
    """Why this data cannot train it: the cell fails with this reason, and the others go on. Empty: it can."""


@dataclass(frozen=True)
class Session:
    """A request that was checked, with everything its cells need."""

    task: Task
    data: TaskData
    jobs: Sequence[Job]
    broken: Mapping[str, str]
    """Methods that cannot be imported, and why."""
    preset: KindPreset
    runtime: Runtime


def request_settings(request: Request) -> tuple[dict[str, type[Translator]], dict[str, str], dict[str, Any]]:
    """({name: class}, {name: why it cannot be imported}, {name: its Config}). Reads no data.

    Raises BenchError for an unknown task, preset, method or setting.
    """
    task = get_task(request.task)
    preset = get_preset(request.preset, task.kind)
    select_protocols(request.protocols)
    classes, broken = resolve_methods(request.methods)
    overrides = spec_overrides(request.overrides)
    check_spec_overrides(overrides, list(classes))
    kind = data_kind_of_choice(task, request.data)
    configs = {
        name: spec_config(cls, name, *method_settings(cls, name, preset, overrides, kind))
        for name, cls in classes.items()
    }
    return classes, broken, configs


def open_request(request: Request, data: TaskData | None = None, rank: int = 0) -> Session:
    """Check everything and load the data, unless they are given. Raises BenchError before anything is trained.

    `rank`: which of the processes of one training this is.
    """
    task = get_task(request.task)
    preset = get_preset(request.preset, task.kind)
    runtime = request_runtime(request, task.sizes[request.preset], rank)
    classes, broken, configs = request_settings(request)
    budget = Budget.parse(request.budget) if request.budget else Budget("images", preset.images)
    if data is None:
        data = load_data(task, request.data, task.sizes[request.preset], request.domains, request.val)
        if parent_process() is None:
            say(data.note)
            if not data.labelled:
                say(WITHOUT_CLASSES)
    configs = {name: method_config_with_clusters(config, len(data.classes)) for name, config in configs.items()}
    jobs = [
        request_job(task, data, request.preset, name, cls, configs[name], budget, seed)
        for name, cls in classes.items()
        for seed in request.seeds
    ]
    refused = {
        name: NO_CLUSTERS.format(name)
        for name, config in configs.items()
        if not data.labelled and _wants_clusters(classes[name], config, data.size)
    }
    jobs = [replace(job, refused=refused.get(job.spec.method, "")) for job in jobs]
    for job in jobs[:: len(request.seeds)]:
        if not job.refused:
            check_request(job, task, request.devices)
    return Session(task, data, jobs, broken, preset, runtime)


def _wants_clusters(cls: type[Translator], config: Any, size: int) -> bool:
    """Whether the method refuses `config` because the number of clusters is open in it."""
    if getattr(config, "clusters", None) != 0:
        return False
    constructor: Callable[..., Translator] = cls
    for clusters in (0, 2):
        try:
            with torch.device("meta"):
                constructor(replace(config, clusters=clusters), size)
            return clusters != 0
        except ValueError:
            continue
    return False


def request_runtime(request: Request, image_size: int, rank: int = 0) -> Runtime:
    """The runtime to check the request with: cells of a cluster run elsewhere, and this machine may have no GPU.

    Raises BenchError as Runtime does, for an address without `launch="ray"`, and for a profile or several devices
    with it.
    """
    check_device_precision(request.precision)
    if request.launch == "ray" and request.profile:
        raise BenchError("--profile looks at the steps of this machine", "leave out --launch ray or --profile")
    if request.tensorboard:
        if request.launch == "ray":
            raise BenchError("--tensorboard writes on this machine", "leave out --launch ray or --tensorboard")
        check_tensorboard()
    if request.devices > 1 and (request.launch == "ray" or request.profile):
        other = "--profile" if request.profile else "--launch ray"
        raise BenchError(f"{other} is for trainings on one device each", f"leave out --devices or {other}")
    if request.launch == "ray":
        if request.device not in DEVICES:
            raise BenchError(f"unknown device '{request.device}'", error_remedy(request.device, DEVICES))
        return Runtime("cpu", image_size)
    if request.address:
        raise BenchError(f"--address {request.address} is of a cluster", "add --launch ray, or leave it out")
    return Runtime(request.device, image_size, request.precision, request.devices, rank)


def request_job(
    task: Task, data: TaskData, preset: str, name: str, cls: type[Translator], config: Any, budget: Budget, seed: int,
    weights: str = "",
) -> Job:  # fmt: skip
    """The resolved specification and the constructor call of one cell."""
    spec = RunSpec(
        task=task.name, domains=data.domains, data_kind=data.kind, data_version=data.version, image_size=data.size,
        preset=preset, method=name, method_version=cls.version, config=spec_values(config), budget=budget, seed=seed,
        weights=weights,
    )  # fmt: skip
    constructor: Callable[..., Translator] = cls
    told = {"directions": task.directions} if request_tells_directions(cls) else {}
    return Job(spec, lambda: constructor(config, data.size, **told))


def request_tells_directions(cls: type[Translator]) -> bool:
    """Whether the constructor of `cls` asks which directions the task scores."""
    return "directions" in signature(cls.__init__).parameters


def served_directions(method: Translator, directions: Sequence[Direction]) -> list[Direction]:
    """Those of the task's `directions` that `method` translates in."""
    return [direction for direction in directions if direction in method.directions]


def method_to_ask(job: Job) -> Translator:
    """The method of `job`, untrained, to be asked what it supports: on the meta device, which makes no weights.

    On the CPU if its constructor does not work there. Raises what the constructor raises.
    """
    build = job.build  # made before: a module that is imported on the meta device has no constants
    try:
        with torch.device("meta"):
            return build()
    except ValueError:  # a setting that it refuses, wherever it is built
        raise
    except Exception:  # somebody's constructor that looks at its weights, or loads a file
        with seeded(0, "ask"):
            return build()


def check_request(job: Job, task: Task, devices: int = 1) -> None:
    """Refuse a setting that the method's constructor refuses, directions that it does not serve, and what it cannot do
    on so many devices, before any cell is trained. A constructor that fails costs its own cells, later."""
    name = job.spec.method
    try:
        method = method_to_ask(job)
    except ValueError as error:
        raise BenchError(
            f"{name} at {job.spec.image_size} px: {error}", f"change it with --set {name}.key=value"
        ) from error
    except Exception as error:  # other people's code may raise anything
        say(f"warning: {name} cannot be built: {type(error).__name__}: {error}")
        return
    if not served_directions(method, task.directions):
        wanted = ", ".join(
            f"{job.spec.domains[source]}->{job.spec.domains[target]}" for source, target in task.directions
        )
        raise BenchError(f"{name} does not translate {wanted}", f"leave out {name}, or choose another --task")
    if devices == 1:
        return
    if job.spec.budget.kind == "seconds":
        raise BenchError(f"--budget {job.spec.budget} is timed on one device", "with --devices give --budget images=N")
    try:
        method.check_divisible(devices)
    except ValueError as error:
        raise BenchError(
            f"{job.spec.method} cannot be trained on {devices} devices: {error}",
            f"leave out --devices, or {job.spec.method} from --methods, or change the setting it names",
        ) from error
