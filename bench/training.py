"""The one training loop: phases, precision, EMA, derived randomness, checkpoints, exact resume, failure detection."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from bench.atomic import write_json
from bench.cost import Cost, Meter, count_flops
from bench.device import Runtime
from bench.errors import Interrupted
from bench.progress import progress, say
from bench.randomness import generator, seeded
from bench.results import Cell
from bench.signals import stop_signals
from bench.spec import RunSpec
from methods.base import Context, Domains, Exemplar, Noise, Progress, Style, Translator, run_step, to_uint8

STEPS_PER_READ = 10
"""Losses stay on the device and are read back, checked and logged once per this many steps."""
CHECKPOINTS = 20
"""How many checkpoints a training writes."""
ZERO_LOSS = 1e-4
"""A discriminator whose losses sum to less than this has won: the generator gets no gradient any more."""
CALIBRATION_STEPS = 10
"""Steps that are timed (and thrown away) to turn `budget seconds=S` into a number of steps."""


class TrainingFailed(Exception):
    """The training itself went wrong (not the machine): a result, which the table shows."""

    def __init__(self, reason: str, step: int) -> None:
        super().__init__(f"{reason} (step {step})")
        self.reason = reason
        self.step = step


@dataclass(frozen=True)
class Plan:
    """Fixed at a cell's first step and reused on resume, because each value here could change the bytes."""

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


def train(
    build: Callable[[], Translator], domains: Domains, context: Context, spec: RunSpec, cell: Cell, runtime: Runtime
) -> tuple[Translator, Cost]:
    """Train the cell from wherever it stands to its end.

    Returns the trained method (on the device) and the cost. Raises TrainingFailed, Interrupted, or BenchError.
    """
    method = _fresh(build, spec, runtime)
    with seeded(spec.seed, "prepare"):
        method.prepare(domains, context)
    plan = _plan(cell, build, domains, spec, runtime)
    with runtime.threads_pinned(plan.threads):
        loop = _Loop(method, domains, spec, cell, runtime, plan)
        cost = loop.run()
    return method, cost


def _fresh(build: Callable[[], Translator], spec: RunSpec, runtime: Runtime) -> Translator:
    with seeded(spec.seed, "init"):
        method = build()
    method.to(runtime.device)
    method.train()
    return method


def _plan(cell: Cell, build: Callable[[], Translator], domains: Domains, spec: RunSpec, runtime: Runtime) -> Plan:
    if cell.plan.exists():
        plan = Plan(**json.loads(cell.plan.read_text()))
        runtime.check_can_resume(plan.device, plan.precision, plan.torch, cell.folder)
        return plan
    method = _fresh(build, spec, runtime)
    if spec.budget.kind == "images":
        steps = math.ceil(spec.budget.amount / method.images_per_step)
    else:
        steps = max(1, int(spec.budget.amount / _seconds_per_step(method, domains, runtime)))
    plan = Plan(steps, runtime.device.type, runtime.precision, runtime.threads, torch.__version__)
    write_json(cell.plan, asdict(plan))
    return plan


def _seconds_per_step(method: Translator, domains: Domains, runtime: Runtime) -> float:
    with runtime.threads_pinned(runtime.threads):
        step = lambda index: run_step(  # noqa: E731
            method, method.draw(domains, generator("calibration", index), Progress(index, 10_000)), runtime.autocast
        )
        step(0)
        runtime.synchronise()
        meter = Meter(runtime.device)
        for index in range(1, CALIBRATION_STEPS + 1):
            step(index)
        runtime.synchronise()
        return meter.seconds() / CALIBRATION_STEPS


class _Loop:
    """The state of one running training."""

    def __init__(
        self, method: Translator, domains: Domains, spec: RunSpec, cell: Cell, runtime: Runtime, plan: Plan
    ) -> None:
        self.method, self.domains, self.spec = method, domains, spec
        self.cell, self.runtime, self.plan = cell, runtime, plan
        self.step = 0
        self.seconds_before = 0.0
        self.energy_before = 0.0
        self.flops_per_step: int | None = None
        self.zero_since: int | None = None
        self.pending: list[dict[str, Tensor]] = []
        self.meter = Meter(runtime.device)

    def run(self) -> Cost:
        """Resume, train to the end, save."""
        self._restore()
        every = max(1, self.plan.steps // CHECKPOINTS // STEPS_PER_READ) * STEPS_PER_READ
        label = f"{self.spec.method} seed {self.spec.seed}"
        with (
            progress(label, self.plan.steps, "steps", done=self.step) as advance,
            stop_signals() as stop,
        ):
            while self.step < self.plan.steps:
                self._one_step()
                advance(1)
                if self.step % STEPS_PER_READ == 0 or self.step == self.plan.steps:
                    self._read_losses()
                if stop:
                    self._read_losses()
                    self._save()
                    raise Interrupted(stop[0])
                if self.step % every == 0 or self.step == self.plan.steps:
                    self._check_outputs()
                    self._save()
        return self._cost()

    def _one_step(self) -> None:
        progress_now = Progress(self.step, self.plan.steps)
        for name, rate in self.method.learning_rates(progress_now).items():
            for group in self.method.optimizers[name].param_groups:
                group["lr"] = rate
        batch = self.method.draw(self.domains, generator(self.spec.seed, "draw", self.step), progress_now)
        if self.step == 0:
            self.flops_per_step, losses = count_flops(lambda: run_step(self.method, batch, self.runtime.autocast))
        else:
            losses = run_step(self.method, batch, self.runtime.autocast)
        self.pending.append(losses)
        self.step += 1

    # --------------------------------------------------------------------------------- log and failure detection

    def _read_losses(self) -> None:
        if not self.pending:
            return
        names = list(self.pending[0])
        values = torch.stack([torch.stack([step[name].float() for name in names]) for step in self.pending]).cpu()
        first = self.step - len(self.pending)
        self.pending = []
        bad = (~torch.isfinite(values)).nonzero()
        if len(bad):
            row, column = bad[0].tolist()
            raise TrainingFailed(f"loss {names[column]} is not finite", first + row)
        means = dict(zip(names, values.mean(0).tolist(), strict=True))
        with self.cell.log.open("a") as log:
            log.write(json.dumps({"step": self.step, "losses": means}) + "\n")
        self._check_discriminators(means)

    def _check_discriminators(self, means: Mapping[str, float]) -> None:
        if not _discriminator_won(means):
            self.zero_since = None
            return
        if self.zero_since is None:
            self.zero_since = self.step
        if self.step - self.zero_since >= max(500, self.plan.steps // 10):
            raise TrainingFailed(f"discriminator losses below {ZERO_LOSS} since step {self.zero_since}", self.step)

    def _check_outputs(self) -> None:
        if self.step < self.plan.steps / 2:
            return
        for source, target in ((0, 1), (1, 0)):
            if spread_of_outputs(self.method, self.domains, source, target) == 0.0:
                raise TrainingFailed(f"collapsed: all outputs {source}->{target} are one and the same image", self.step)

    # -------------------------------------------------------------------------------------------- save and restore

    def _save(self) -> None:
        self.cell.checkpoints.save(
            self.step,
            {
                "module": self.method.state_dict(),
                "optimizers": {name: optimizer.state_dict() for name, optimizer in self.method.optimizers.items()},
                "seconds": self._seconds(),
                "energy": self._energy(),
                "flops_per_step": self.flops_per_step,
                "zero_since": self.zero_since,
            },
        )

    def _restore(self) -> None:
        found = self.cell.checkpoints.load_latest()
        if found is not None:
            self.step, state = found
            self.method.load_state_dict(state["module"])
            for name, optimizer in self.method.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
            self.seconds_before, self.energy_before = state["seconds"], state["energy"]
            self.flops_per_step, self.zero_since = state["flops_per_step"], state["zero_since"]
            if self.step < self.plan.steps:
                say(f"{self.spec.method} seed {self.spec.seed}: resuming at step {self.step}")
        self.cell.truncate_log(self.step)

    def _seconds(self) -> float:
        return self.seconds_before + self.meter.seconds()

    def _energy(self) -> float | None:
        energy = self.meter.energy()
        return None if energy is None or self.energy_before is None else self.energy_before + energy

    def _cost(self) -> Cost:
        return Cost(
            seconds=round(self._seconds(), 2),
            peak_memory_bytes=self.meter.peak_memory(),
            parameters=sum(self.method.parameter_counts().values()),
            flops=None if self.flops_per_step is None else self.flops_per_step * self.plan.steps,
            energy_joules=self._energy(),
            steps=self.plan.steps,
            images_per_domain=self.plan.steps * self.method.images_per_step,
        )


def _discriminator_won(means: Mapping[str, float]) -> bool:
    """Whether the losses of the phases that train discriminators only sum to almost nothing.

    Names are `<phase>:<networks joined by +>.<loss>`; a gradient penalty is not the discriminator's error.
    """
    total, found = 0.0, False
    for name, value in means.items():
        networks, _, loss = name.partition(":")[2].rpartition(".")
        if loss not in ("r1", "grad_norm") and all(net.startswith("discriminator") for net in networks.split("+")):
            total, found = total + value, True
    return found and total < ZERO_LOSS


@torch.no_grad()
def spread_of_outputs(method: Translator, domains: Domains, source: int, target: int, count: int = 8) -> float:
    """Mean over pixels of the standard deviation between the uint8 translations of `count` different images.

    One style for all, so that what varies is the content. 0.0 means: one and the same image whatever the input.
    """
    rng = generator("probe", source, target)
    x = domains.sample(source, count, rng)
    style: Style = None
    if "noise" in method.style_sources:
        style = Noise(torch.randn(1, method.noise_dim, generator=rng).to(x.device).expand(count, -1))
    elif "exemplar" in method.style_sources:
        style = Exemplar(domains.sample(target, 1, rng).expand(count, -1, -1, -1))
    return float(to_uint8(method.translate(x, source, target, style)).float().std(dim=0).mean())
