"""From a request to finished cells: everything is checked first, then cells are made, here or on a cluster."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from multiprocessing import parent_process
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar

import torch
from safetensors.torch import save

from bench.core.device import DEVICES, Runtime, check_precision
from bench.core.environment import describe
from bench.core.errors import BenchError, Interrupted, in_turn, nearest
from bench.core.files import write_atomically, write_json
from bench.core.progress import say
from bench.core.randomness import seeded
from bench.core.terminal import show
from bench.data.fetch.locate import find_weights
from bench.data.load import data_kind, load_data
from bench.data.types import TaskData
from bench.evaluation.encoders import Instruments, make_instruments
from bench.evaluation.evaluate import evaluate_cell
from bench.evaluation.self_test.doctor import doctor_record, warn_if_unwell
from bench.evaluation.translate import style_name
from bench.reading import read_weights
from bench.reporting.leaderboard.leaderboards import leaderboards, write_leaderboards
from bench.runs.processes import run_in_processes
from bench.spec import presets
from bench.spec.presets import STAND_IN, KindPreset, get_preset
from bench.spec.protocols import select
from bench.spec.run_spec import (
    Budget,
    RunSpec,
    check_override_methods,
    config_values,
    parse_overrides,
    resolve_config,
)
from bench.spec.tasks import Task, get_task
from bench.store.cell import Cell, damaged, read_metrics
from bench.training.loop import TrainingFailed
from bench.training.several_devices import Group, Join, leading
from bench.training.stages import StageStore
from bench.training.stand_in import stand_in_weights
from bench.training.train import follow, prepared, train
from methods.base import Context, Domains, Translator
from methods.registry import BUILT_IN, load, registered

T = TypeVar("T")
Weights = Callable[[str], Mapping[str, torch.Tensor]]
"""Name of a network -> its state dict, see `Context.weights`."""


@dataclass(frozen=True)
class Request:
    """What the user asked for, as typed."""

    task: str
    """Task name."""
    methods: Sequence[str]
    """Names, or `package.module:Class`; empty: every built-in method."""
    preset: str
    """`quick` or `paper`."""
    data: str
    """`auto`, `embedded`, `mnist-drawn` or a folder."""
    domains: str
    """`a,b` for a folder with more than two domains, else empty."""
    seeds: Sequence[int]
    """One cell per method and seed."""
    overrides: Sequence[str]
    """`method.key=value`."""
    budget: str
    """`images=N`, `seconds=S` or empty: the preset's."""
    device: str
    """`auto`, `cpu`, `cuda`, `mps`."""
    results: Path
    """The results folder."""
    jobs: int = 0
    """Cells at once, each in a process of its own; 0: as many as fill the machine."""
    protocols: Sequence[str] = ()
    """Protocols to measure beside those that always are."""
    launch: str = "local"
    """`local`, or `ray`: each cell is a task of a Ray cluster."""
    address: str = ""
    """Of the cluster, see `bench.runs.ray.driver.connected`."""
    profile: bool = False
    """Whether to profile some training steps of each cell, see bench/training/profiling.py."""
    precision: str = "auto"
    """`auto`, `float32` or `bf16`: of the methods' training, see bench/core/device.py."""
    devices: int = 1
    """How many one training is divided over, see bench/training/several_devices.py."""


@dataclass(frozen=True)
class Job:
    """A cell to be made: its specification and how to build its method."""

    spec: RunSpec
    build: Callable[[], Translator]


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


def resolve_settings(request: Request) -> tuple[dict[str, type[Translator]], dict[str, str], dict[str, Any]]:
    """({name: class}, {name: why it cannot be imported}, {name: its Config}). Reads no data.

    Raises BenchError for an unknown task, preset, method or setting.
    """
    task = get_task(request.task)
    preset = get_preset(request.preset, task.kind)
    select(request.protocols)
    classes, broken = resolve_methods(request.methods)
    overrides = parse_overrides(request.overrides)
    check_override_methods(overrides, list(classes))
    kind = data_kind(task, request.data)
    configs = {
        name: resolve_config(cls, name, *layers(cls, name, preset, overrides, kind)) for name, cls in classes.items()
    }
    return classes, broken, configs


def open_session(request: Request, data: TaskData | None = None, rank: int = 0) -> Session:
    """Check everything and load the data, unless they are given. Raises BenchError before anything is trained.

    `rank`: which of the processes of one training this is.
    """
    task = get_task(request.task)
    preset = get_preset(request.preset, task.kind)
    runtime = runtime_here(request, task.sizes[request.preset], rank)
    classes, broken, configs = resolve_settings(request)
    budget = Budget.parse(request.budget) if request.budget else Budget("images", preset.images)
    if data is None:
        data = load_data(task, request.data, task.sizes[request.preset], request.domains)
        if parent_process() is None:
            say(data.note)
    configs = {name: with_clusters(config, data) for name, config in configs.items()}
    jobs = [
        make_job(task, data, request.preset, name, cls, configs[name], budget, seed)
        for name, cls in classes.items()
        for seed in request.seeds
    ]
    for job in jobs[:: len(request.seeds)]:
        check_buildable(job, request.devices)
    return Session(task, data, jobs, broken, preset, runtime)


def run(request: Request) -> int:
    """Train and score everything asked for, write and print the leaderboard.

    Returns the exit status: 0, or 1 if any cell failed. Raises BenchError before anything is trained if the request
    cannot be met, and Interrupted (state saved) on SIGTERM and SIGINT.
    """
    return run_together([request])


def run_together(requests: Sequence[Request]) -> int:
    """As `run`, for requests that differ in methods, seeds, settings or length alone: their cells share the machine."""
    first = requests[0]
    sessions = [open_session(first)]
    sessions += [open_session(other, sessions[0].data) for other in requests[1:]]
    warn_if_unwell()
    cells = [
        (_one_cell(request, job), session, job)
        for request, session in zip(requests, sessions, strict=True)
        for job in session.jobs
    ]
    at_once = min(len(cells), first.jobs or sessions[0].runtime.cells_at_once)
    if first.launch == "ray":
        from bench.runs.ray.driver import run_on_cluster

        good = run_on_cluster(cells, first.device, first.address, first.jobs)
    elif at_once > 1:
        good = run_in_processes([alone for alone, _, _ in cells], run_alone, at_once)
    else:
        good = in_turn(list(zip(requests, sessions, strict=True)), lambda pair: run_here(*pair))
    task, broken = sessions[0].task.name, {name: why for session in sessions for name, why in session.broken.items()}
    path = write_leaderboards(first.results, task)
    show("\n".join(leaderboards(first.results, task)))
    say(f"leaderboard: {path}")
    for name, reason in broken.items():
        print(f"\nfailed: {name}: {reason}")
    return 0 if good and not broken else 1


def _one_cell(request: Request, job: Job) -> Request:
    """The request for `job` alone."""
    own = [text for text in request.overrides if text.startswith(f"{job.spec.method}.")]
    return replace(request, methods=(job.spec.method,), seeds=(job.spec.seed,), overrides=own)


def run_alone(request: Request) -> bool:
    """The one cell of `request`, in a process of its own; True unless it failed."""
    return run_here(request, open_session(request))


def run_here(request: Request, session: Session) -> bool:
    """Every cell of `session`, one after the other in this process; True unless one failed.

    A cell that cannot be worked on (held by another process, damaged) does not keep the others from it: the BenchError
    comes at the end.
    """
    tools = make_instruments(request.results, session.data, session.preset, session.runtime, request.protocols)
    domains = training_domains(session.data, session.runtime)
    with session.runtime.threads_pinned(session.runtime.threads):

        def one(job: Job) -> bool:
            good = run_cell(job, session, domains, tools, _one_cell(request, job))
            if good and request.profile:
                profile_cell(job, session, domains, request.results)
            return good

        return in_turn(session.jobs, one)


def profile_cell(job: Job, session: Session, domains: Domains, results: Path) -> None:
    """Say where a training step's time goes, on a new instance of the cell's method."""
    from bench.training.profiling import profile_steps

    cell, spec, runtime = Cell(results, job.spec), job.spec, session.runtime
    stages = StageStore(cell.semantics, spec.data_version, spec.seed, runtime)
    method = prepared(job.build, domains, Context(weights_for(results, runtime), stages), spec, runtime)
    found = profile_steps(method, domains, spec.seed, runtime, cell.folder / "profile")
    print(f"\n{spec.method} seed {spec.seed}: where a training step's time goes ({cell.folder / 'profile'})\n")
    print(found.text())


# ------------------------------------------------------------------------------------------------- before training


def runtime_here(request: Request, image_size: int, rank: int = 0) -> Runtime:
    """What to check the request with: cells of a cluster run elsewhere, and this machine may have no GPU.

    Raises BenchError as Runtime does, for an address without `launch="ray"`, and for a profile or several devices
    with it.
    """
    check_precision(request.precision)
    if request.launch == "ray" and request.profile:
        raise BenchError("--profile looks at the steps of this machine", "leave out --launch ray or --profile")
    if request.devices > 1 and (request.launch == "ray" or request.profile):
        other = "--profile" if request.profile else "--launch ray"
        raise BenchError(f"{other} is for trainings on one device each", f"leave out --devices or {other}")
    if request.launch == "ray":
        if request.device not in DEVICES:
            raise BenchError(f"unknown device '{request.device}'", nearest(request.device, DEVICES))
        return Runtime("cpu", image_size)
    if request.address:
        raise BenchError(f"--address {request.address} is of a cluster", "add --launch ray, or leave it out")
    return Runtime(request.device, image_size, request.precision, request.devices, rank)


def resolve_methods(names: Sequence[str]) -> tuple[dict[str, type[Translator]], dict[str, str]]:
    """({name: class}, {name: why it cannot be imported}).

    Raises BenchError for a name that is neither registered nor `package.module:Class`. A plug-in that fails to import
    is a warned line and a failed method; the others go on.
    """
    classes: dict[str, type[Translator]] = {}
    broken: dict[str, str] = {}
    for name in names or list(BUILT_IN):
        target = target_of(name)
        try:
            classes[name] = load(target)
        except Exception as error:  # other people's code may raise anything while it is imported
            if name in BUILT_IN:
                raise
            broken[name] = f"{type(error).__name__}: {error}"
            say(f"warning: method {name} ({target}) cannot be imported: {broken[name]}")
    return classes, broken


def target_of(name: str) -> str:
    """`package.module:Class` of the method `name`; raises BenchError for a name that is neither that nor registered."""
    known = registered()
    base, _, rest = name.partition(":")
    if name not in known and base in known:
        variants = [other for other in known if other.startswith(f"{base}:")]
        raise BenchError(f"{base} has no variant '{rest}'", nearest(name, [base, *variants]))
    if name not in known and not rest:
        raise BenchError(f"unknown method '{name}'", nearest(name, list(known)) + ", or package.module:Class")
    return known[name].target if name in known else name


def layers(
    cls: type[Translator], name: str, preset: KindPreset, overrides: Mapping[str, Mapping[str, Any]], data_kind: str
) -> Iterator[Mapping[str, Any]]:
    """Settings over the method's defaults: the preset's for that kind of data, the variant's, the preset's for this
    variant, the user's."""
    base = name if name in BUILT_IN else name.partition(":")[0]
    yield preset.settings(base, data_kind) if base in BUILT_IN else cls.quick
    known = registered()
    yield known[name].settings if name in known else {}
    yield preset.methods.get(name, {}) if name != base else {}
    yield overrides.get(name, {})


def with_clusters(config: Any, data: TaskData) -> Any:
    """`config` with as many clusters as the task has classes, where it leaves their number open (0).

    The number is all that a method learns of the classes; the paper gives it too.
    """
    return replace(config, clusters=len(data.classes)) if getattr(config, "clusters", None) == 0 else config


def make_job(
    task: Task, data: TaskData, preset: str, name: str, cls: type[Translator], config: Any, budget: Budget, seed: int,
    weights: str = "",
) -> Job:  # fmt: skip
    """The resolved specification and the constructor call of one cell."""
    spec = RunSpec(
        task=task.name, domains=data.domains, data_kind=data.kind, data_version=data.version, image_size=data.size,
        preset=preset, method=name, method_version=cls.version, config=config_values(config), budget=budget, seed=seed,
        weights=weights,
    )  # fmt: skip
    constructor: Callable[..., Translator] = cls
    return Job(spec, lambda: constructor(config, data.size))


def check_buildable(job: Job, devices: int = 1) -> None:
    """Refuse a setting that the method's constructor refuses, or what it cannot do on so many devices, before any cell
    is trained."""
    try:
        with torch.device("meta"):
            method = job.build()
    except ValueError as error:
        raise BenchError(
            f"{job.spec.method} at {job.spec.image_size} px: {error}",
            f"change it with --set {job.spec.method}.key=value",
        ) from error
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


def training_domains(data: TaskData, runtime: Runtime) -> Domains:
    """The training images alone, on the device: all that a method ever sees."""
    first, second = (torch.tensor(data.splits[domain, "train"].images[:], device=runtime.device) for domain in (0, 1))
    return Domains((first, second))


def weights_for(results: Path, runtime: Runtime) -> Weights:
    """`Context.weights`: the stand-in, trained when it is first asked for, and whatever was fetched."""

    def weights(name: str) -> Mapping[str, torch.Tensor]:
        return (
            stand_in_weights(results, presets.STAND_IN_SETTINGS, runtime) if name == STAND_IN else fetched_weights(name)
        )

    return weights


def fetched_weights(name: str) -> Mapping[str, torch.Tensor]:
    """The state dict of a fetched network; raises LookupError with the remedy if it is absent."""
    path = find_weights(name)
    if path is None:
        raise LookupError(f"no weights called '{name}': bench fetch {name}")
    return torch.load(path, map_location="cpu", weights_only=True)


# ------------------------------------------------------------------------------------------------------- one cell


def run_cell(job: Job, session: Session, domains: Domains, tools: Instruments, request: Request) -> bool:
    """Bring the one cell of `request` to its end from wherever it stands; True unless it failed."""
    cell, runtime = Cell(request.results, job.spec), session.runtime
    label = f"{job.spec.method} seed {job.spec.seed}"
    with cell.locked():
        if _failed_before(cell, label):
            return False
        try:
            if not cell.is_trained():
                _train(job, cell, domains, request, runtime)
            cell.checkpoints.clear()
            method = load_trained(job, cell, runtime)
            style = style_name(method)
            if cell.state() == "done" and not _scorable(cell, style, tools):
                say(f"{label}: finished before, skipped ({cell.folder.name})")
                return True
            with cell.scoring_timed():
                evaluate_cell(method, session.data, session.task.directions, cell, tools, style)
            cell.set_state("done")
            return True
        except TrainingFailed as error:
            cell.set_state("failed", reason=error.reason, step=error.step)
            say(f"{label}: FAILED: {error}")
            return False
        except (BenchError, Interrupted):
            raise
        except Exception as error:  # one method's crash costs one row; the trace stays in its folder
            write_atomically(cell.folder / "crash.txt", lambda file: file.write(traceback.format_exc().encode()))
            cell.set_state("failed", reason=_reason(error))
            say(f"{label}: CRASHED: {_reason(error)} (trace: {cell.folder / 'crash.txt'})")
            return False


def _reason(error: Exception) -> str:
    """What a table says of a crash."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text:
        return f"out of memory, a smaller batch_size needs less: {shorten(text, 300)}"
    return text


def _train(job: Job, cell: Cell, domains: Domains, request: Request, runtime: Runtime) -> None:
    with torch.device("meta"):
        supervision = job.build().supervision
    cell.begin(supervision)
    write_json(cell.environment, {**describe(runtime.device.type), "doctor": doctor_record()})
    weights = cell.recording(weights_for(request.results, runtime))
    together: Callable[[], AbstractContextManager[Group | None]] = nullcontext
    if request.devices > 1:
        together = lambda: leading(follow_cell, request, request.devices, runtime.device)  # noqa: E731
    method, cost = train(job.build, domains, weights, job.spec, cell, runtime, together)
    for remark in cell.note(method.remarks):
        say(f"{job.spec.method} seed {job.spec.seed}: WARNING: {remark}")
    store_weights(method, cell)
    write_json(cell.cost, asdict(cost))
    cell.set_state("trained")


def follow_cell(request: Request, rank: int, join: Join) -> None:
    """What the other processes of a training on several devices do."""
    session = open_session(request, rank=rank)
    (job,), runtime = session.jobs, session.runtime
    domains, weights = training_domains(session.data, runtime), weights_for(request.results, runtime)
    follow(job.build, domains, weights, job.spec, Cell(request.results, job.spec), runtime, join)


def store_weights(method: Translator, cell: Cell) -> None:
    """All of the method's state as one safetensors file: equal weights give equal bytes."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in method.state_dict().items()}
    payload = save(tensors)
    write_atomically(cell.weights, lambda file: file.write(payload))


def load_trained(job: Job, cell: Cell, runtime: Runtime) -> Translator:
    """The cell's method with its stored weights, on the device, in eval mode. Raises BenchError if they are damaged."""
    with seeded(job.spec.seed, "init"):
        method = job.build()
    try:
        method.load_state_dict(read_weights(cell.weights))
    except (OSError, ValueError, RuntimeError) as error:
        raise damaged(cell.weights, shorten(str(error), 200)) from error
    return method.to(runtime.device).eval()


def is_settled(cell: Cell, label: str, tools: Instruments) -> bool | None:
    """Whether nothing is left to do, which is said: True for a finished cell, False for a failed one; else None."""
    if _failed_before(cell, label):
        return False
    if cell.state() != "done" or not cell.styles() or any(_scorable(cell, style, tools) for style in cell.styles()):
        return None
    say(f"{label}: finished before, skipped ({cell.folder.name})")
    return True


def _failed_before(cell: Cell, label: str) -> bool:
    """Whether the cell's training failed, which would happen again; it is said."""
    status = cell.status()
    failed = status["state"] == "failed" and "step" in status
    if failed:
        say(f"{label}: failed before ({status['reason']}); remove {cell.folder} to try again")
    return failed


def _scorable(cell: Cell, style: str, tools: Instruments) -> bool:
    """Whether scoring anew would add something: no metrics yet, or an encoder that was missing is there now."""
    path = cell.metrics(style)
    if not path.exists():
        return True
    records = read_metrics(path)["records"]
    missing = {record["protocol"] for record in records if record.get("missing", "").startswith("needs:")}
    absent = {protocol.name for protocol in tools.protocols} - {record["protocol"] for record in records}
    return tools.measurable(missing | absent)
