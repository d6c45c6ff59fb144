"""The one training loop: phases, precision, EMA, derived randomness, checkpoints, exact resume, failure detection."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.core.device import Runtime, device_precision
from bench.core.files import read_json, write_json
from bench.core.progress import explained
from bench.core.randomness import randomness, seeded
from bench.data.types import TaskData
from bench.spec.run_spec import RunSpec
from bench.store.cell import Cell, damaged_cell
from bench.training.cost import Cost, Meter, cost_in_flops
from bench.training.loop import Loop, LossLog, TrainingFailed, load_loop_state, loop_state
from bench.training.several_devices import Join, Processes
from bench.training.stages import StageStore
from bench.training.tensorboard import TensorBoardWriter
from methods.base import Context, Domains, Exemplar, Noise, Progress, Style, Translator, run_step, to_uint8

ZERO_LOSS = 1e-4
"""A discriminator whose losses sum to less than this has won: the generator gets no gradient any more."""
CALIBRATION_STEPS = 10
"""Steps that are timed (and thrown away) to turn `budget seconds=S` into a number of steps."""


@dataclass(frozen=True)
class TrainingPlan:
    """Values fixed at a cell's first step and reused on resume, because each of them could change the bytes."""

    steps: int
    """Iterations of the whole training."""
    device: str
    """`cpu`, `cuda`, ..."""
    precision: str
    """Fabric's name, for example `32-true`."""
    threads: int
    """torch's CPU threads."""
    torch: str
    """torch's version."""
    devices: int = 1
    """Number of devices that it is divided over."""


def train(
    build: Callable[[], Translator],
    domains: Domains,
    weights: Callable[[str], Mapping[str, Tensor]],
    spec: RunSpec,
    cell: Cell,
    runtime: Runtime,
    together: Callable[[], AbstractContextManager[Processes | None]] = nullcontext,
    tensorboard: bool = False,
) -> tuple[Translator, Cost]:
    """Train the cell from wherever it stands to its end, its stages first. `weights`: see `Context.weights`.

    `together`: starts the other processes of a training on several devices, once `follow_training` finds its plan.
    `tensorboard`: whether losses and samples are also written for it.

    Returns the trained method (on the device) and the cost. Raises TrainingFailed, Interrupted, or BenchError.
    """
    stages = StageStore(cell.semantics, spec.data_version, spec.seed, runtime)
    renew = lambda: prepare_method(build, domains, Context(weights, stages), spec, runtime)  # noqa: E731
    method = renew()
    plan = _plan(cell, renew, method, domains, spec, runtime)
    with runtime.threads_pinned(plan.threads), together() as processes:
        loop = _Loop(method, domains, spec, cell, runtime, plan, processes)
        loop.watched = tensorboard
        try:
            loop.run()
        finally:
            if loop.writer is not None:
                loop.writer.close()
    return method, loop.cost(stages.seconds)


def follow_training(
    build: Callable[[], Translator],
    domains: Domains,
    weights: Callable[[str], Mapping[str, Tensor]],
    spec: RunSpec,
    cell: Cell,
    runtime: Runtime,
    join: Join,
) -> None:
    """Make the steps that another process's `train` of the same cell makes, from its checkpoint on; write nothing.

    The stages are finished by then, and the plan is written.
    """
    stages = StageStore(cell.semantics, spec.data_version, spec.seed, runtime)
    method = prepare_method(build, domains, Context(weights, stages), spec, runtime)
    plan = _stored_plan(cell.plan)
    with runtime.threads_pinned(plan.threads):
        loop = _Loop(method, domains, spec, cell, runtime, plan)
        checkpoint = cell.checkpoints.load_latest()
        if checkpoint is not None:
            loop.step, state = checkpoint
            loop.load_state(state)
        loop.processes = join(runtime.device)
        loop.follow()


def prepare_method(
    build: Callable[[], Translator], domains: Domains, context: Context, spec: RunSpec, runtime: Runtime
) -> Translator:
    """A new method before its first step, its stages done (or taken from the store)."""
    with seeded(spec.seed, "init"):
        method = build()
    method.to(runtime.device)
    method.train()
    named = f"{spec.method} seed {spec.seed}: preparing what its first step needs"
    with explained(named), seeded(spec.seed, "prepare"), runtime.threads_pinned(runtime.threads):
        method.prepare(domains, context)
    return method


def _plan(
    cell: Cell,
    renew: Callable[[], Translator],
    method: Translator,
    domains: Domains,
    spec: RunSpec,
    runtime: Runtime,
) -> TrainingPlan:
    if cell.plan.exists():
        plan = _stored_plan(cell.plan)
        runtime.check_can_resume(plan.device, plan.precision, plan.devices, plan.torch, cell.folder)
        return plan
    if spec.budget.kind == "images":
        steps = math.ceil(spec.budget.amount / method.images_per_step)
    else:  # timed on another instance: the timed steps are thrown away
        steps = max(1, int(spec.budget.amount / _seconds_per_step(renew(), domains, runtime)))
    plan = TrainingPlan(
        steps, runtime.device.type, runtime.precision, runtime.threads, torch.__version__, runtime.devices
    )
    write_json(cell.plan, asdict(plan))
    return plan


def _stored_plan(path: Path) -> TrainingPlan:
    try:
        plan = TrainingPlan(**read_json(path))
        if type(plan.steps) is not int or type(plan.threads) is not int or min(plan.steps, plan.threads) < 1:
            raise ValueError(f"{plan.steps!r} steps on {plan.threads!r} threads")
    except (OSError, ValueError, TypeError) as error:
        raise damaged_cell(path, str(error)) from error
    return plan


def _seconds_per_step(method: Translator, domains: Domains, runtime: Runtime) -> float:
    with runtime.threads_pinned(runtime.threads):
        step = lambda index: run_step(  # noqa: E731
            method, method.draw(domains, randomness("calibration", index), Progress(index, 10_000)), runtime.autocast
        )
        step(0)
        runtime.synchronise()
        meter = Meter(runtime.device)
        for index in range(1, CALIBRATION_STEPS + 1):
            step(index)
        runtime.synchronise()
        return meter.seconds() / CALIBRATION_STEPS


def begin_train_step(method: Translator, domains: Domains, seed: int, progress: Progress) -> Any:
    """Set the step's learning rates and return its inputs: with the method's state, they determine the step."""
    for name, rate in method.learning_rates(progress).items():
        for group in method.optimizers[name].param_groups:
            group["lr"] = rate
    return method.draw(domains, randomness(seed, "draw", progress.step), progress)


class _Loop(Loop):
    """The training of one cell."""

    def __init__(
        self, method: Translator, domains: Domains, spec: RunSpec, cell: Cell, runtime: Runtime, plan: TrainingPlan,
        processes: Processes | None = None,
    ) -> None:  # fmt: skip
        super().__init__(f"{spec.method} seed {spec.seed}", plan.steps, cell.checkpoints, LossLog(cell.log), runtime)
        self.method, self.domains, self.spec, self.processes = method, domains, spec, processes
        self.drawn: Any = None
        self.energy_before: float | None = 0.0
        self.flops_per_step: int | None = None
        self.zero_since: int | None = None
        self.watched, self.folder = False, cell.folder
        self.writer: TensorBoardWriter | None = None

    def one_step(self) -> dict[str, Tensor]:
        """Draw and train; the operations of the first step are counted."""
        batch = self.drawn = begin_train_step(
            self.method, self.domains, self.spec.seed, Progress(self.step, self.steps)
        )
        average = None
        if self.processes is not None:
            batch, average = self.processes.part(batch, self.method.batch_rows), self.processes.average
        step = lambda: run_step(self.method, batch, self.runtime.autocast, average)  # noqa: E731
        if self.step > 0:
            return step()
        flops, losses = cost_in_flops(step)
        self.flops_per_step = flops * self.runtime.devices
        return losses

    def follow(self) -> None:
        """Take the steps of `run` alone; the first process logs and saves them."""
        self.check_same()
        while self.step < self.steps:
            self.one_step()
            self.step += 1
            if self.is_due():
                self.check_same()

    def check_same(self) -> None:
        """Raise RuntimeError if the processes have different states, or have drawn different batches."""
        if self.processes is not None:
            parts = {"state": loop_state(self.method), "batch": vars(self.drawn) if self.drawn is not None else ()}
            self.processes.check_same(parts, self.step)

    def begin(self) -> None:
        """Check that all processes have the same state; begin to write for TensorBoard, if that was asked for."""
        self.check_same()
        if self.watched:
            self.writer = TensorBoardWriter(self.folder, self.step)

    def check_losses(self, means: Mapping[str, float]) -> None:
        """Raise TrainingFailed if the discriminator has long won: the generator then has no gradient."""
        if self.writer is not None:
            self.writer.losses(self.step, means)
        if not _discriminator_won(means):
            self.zero_since = None
            return
        if self.zero_since is None:
            self.zero_since = self.step
        if self.step - self.zero_since >= max(500, self.steps // 10):
            raise TrainingFailed(f"discriminator losses below {ZERO_LOSS} since step {self.zero_since}", self.step)

    def check_outputs(self) -> None:
        """Raise TrainingFailed if, in the second half of a training, all outputs are the same image."""
        self.check_same()
        if self.writer is not None:
            with evaluating_while_training(self.method):
                self.writer.samples(self.step, self.method, self.domains)
        if self.step < self.steps / 2:
            return
        for source, target in self.method.directions:
            if output_spread(self.method, self.domains, source, target) == 0.0:
                raise TrainingFailed(f"collapsed: all outputs {source}->{target} are one and the same image", self.step)

    def state(self) -> dict[str, Any]:
        """The method's state, with the counters of the cost and of the failure detection."""
        return {
            **loop_state(self.method),
            "energy": self._energy(),
            "flops_per_step": self.flops_per_step,
            "zero_since": self.zero_since,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        load_loop_state(self.method, state)
        self.energy_before = state["energy"]
        self.flops_per_step, self.zero_since = state["flops_per_step"], state["zero_since"]

    def _energy(self) -> float | None:
        energy = self.meter.energy()
        return None if energy is None or self.energy_before is None else self.energy_before + energy

    def cost(self, stages: Mapping[str, float]) -> Cost:
        """Cost of the finished training; `stages`: seconds of each stage before it."""
        return Cost(
            seconds=round(self.seconds(), 2),
            stage_seconds={name: round(seconds, 2) for name, seconds in stages.items()},
            peak_memory_bytes=self.meter.peak_memory(),
            parameters=sum(self.method.parameter_counts().values()),
            flops=None if self.flops_per_step is None else self.flops_per_step * self.steps,
            energy_joules=self._energy(),
            steps=self.steps,
            images_per_domain=self.steps * self.method.images_per_step,
            precision=device_precision(self.runtime.precision),
            devices=self.runtime.devices,
        )


def _discriminator_won(means: Mapping[str, float]) -> bool:
    """Whether the losses of the phases that train discriminators only sum to almost nothing.

    Names are `<phase>:<networks joined by +>.<loss>`; a gradient penalty is not the discriminator's error, and neither
    is its loss as a classifier of categories.
    """
    sums = list[float]()
    for name, value in means.items():
        networks, _, loss = name.partition(":")[2].rpartition(".")
        only_discriminators = all(net.startswith("discriminator") for net in networks.split("+"))
        if loss not in ("r1", "sem", "grad_norm") and only_discriminators:
            sums.append(value)
    return bool(sums) and sum(sums) < ZERO_LOSS


@torch.no_grad()
def output_spread(method: Translator, domains: Domains, source: int, target: int, count: int = 8) -> float:
    """Mean over pixels of the standard deviation between the uint8 translations of `count` different images.

    One style for all, so that what varies is the content. 0.0 means: one and the same image whatever the input.
    """
    rng = randomness("probe", source, target)
    x = domains.sample(source, count, rng)
    style: Style = None
    if "noise" in method.style_sources:
        style = Noise(torch.randn(1, method.noise_dim, generator=rng).to(x.device).expand(count, -1))
    elif "exemplar" in method.style_sources:
        style = Exemplar(domains.sample(target, 1, rng).expand(count, -1, -1, -1))
    with evaluating_while_training(method):
        return float(to_uint8(method.translate(x, source, target, style)).float().std(dim=0).mean())


@contextmanager
def evaluating_while_training(method: nn.Module) -> Iterator[None]:
    """Put `method` in eval mode inside the context; restore the mode of every part after it."""
    modes = {part: part.training for part in method.modules()}
    method.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


def training_domains(data: TaskData, runtime: Runtime) -> Domains:
    """The training images on the device, without labels: all that a method ever sees."""
    first, second = (torch.tensor(data.splits[domain, "train"].images[:], device=runtime.device) for domain in (0, 1))
    return Domains((first, second))
