"""The loop that every training shares: steps, log, failure detection, checkpoints, exact resume, graceful stop."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.core.device import Runtime
from bench.core.errors import Interrupted
from bench.core.files import refused_file, write_text
from bench.core.progress import progress, say
from bench.core.signals import stop_signals
from bench.store.checkpoints import CheckpointFolder
from bench.training.cost import Meter

STEPS_PER_READ = 10
"""Losses stay on the device and are read back, checked and logged once per this many steps."""
CHECKPOINTS = 20
"""Number of checkpoints that a training writes."""


class TrainingFailed(Exception):
    """The training itself went wrong (not the machine): a result, which the table shows."""

    def __init__(self, reason: str, step: int) -> None:
        super().__init__(f"{reason} (step {step})")
        self.reason = reason
        self.step = step


class LossLog:
    """JSON lines `{"step": ..., "losses": {...}}`, one per read-back."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, step: int, means: Mapping[str, float]) -> None:
        """Add a line. Raises BenchError if the disk refuses; a torn line is dropped when the training resumes."""
        try:
            with self.path.open("a") as log:
                log.write(json.dumps({"step": step, "losses": means}) + "\n")
        except OSError as error:
            raise refused_file(self.path, error) from error

    def truncate(self, step: int) -> None:
        """Drop lines after `step` (from a killed run) and a torn last line."""
        if not self.path.exists():
            return
        lines = self.path.read_text(errors="replace").split("\n")
        kept = [line for line in lines if _logged_step(line) <= step]
        write_text(self.path, "".join(f"{line}\n" for line in kept))


def _logged_step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return math.inf  # torn by a kill in mid-write, or damaged: treated as after every checkpoint


class Loop:
    """The state of one running training; subclasses define the step and the saved state."""

    def __init__(self, label: str, steps: int, checkpoints: CheckpointFolder, log: LossLog, runtime: Runtime) -> None:
        self.label, self.steps = label, steps
        self.checkpoints, self.log, self.runtime = checkpoints, log, runtime
        self.step = 0
        self.seconds_before = 0.0
        self.pending: list[dict[str, Tensor]] = []
        self.meter = Meter(runtime.device)

    def run(self) -> None:
        """Resume, train to the end, save. Raises TrainingFailed, and Interrupted (state saved)."""
        self._restore()
        self.begin()
        with progress(self.label, self.steps, "steps", done=self.step) as advance, stop_signals() as stop:
            while self.step < self.steps:
                self.pending.append(self.one_step())
                self.step += 1
                if self.step % STEPS_PER_READ == 0 or self.step == self.steps:
                    advance.note(losses_in_short(self._read_losses()))
                advance(1)
                if stop:
                    self._read_losses()
                    self._save()
                    raise Interrupted(stop[0])
                if self.is_due():
                    self.check_outputs()
                    self._save()

    def is_due(self) -> bool:
        """Whether a checkpoint is written after `self.step` steps."""
        every = max(1, self.steps // CHECKPOINTS // STEPS_PER_READ) * STEPS_PER_READ
        return self.step % every == 0 or self.step == self.steps

    def seconds(self) -> float:
        """Wall clock so far, summed over resumed runs."""
        return self.seconds_before + self.meter.seconds()

    # ----------------------------------------------------------------------------------- overridden by subclasses

    def one_step(self) -> dict[str, Tensor]:
        """Step number `self.step`; returns its losses, still on the device."""
        raise NotImplementedError

    def begin(self) -> None:
        """Hook that is called once the state is restored, before the first step."""

    def check_losses(self, means: Mapping[str, float]) -> None:
        """Raise TrainingFailed if the means of the last read-back show a failure."""

    def check_outputs(self) -> None:
        """Raise TrainingFailed if the outputs show a failure; called before every checkpoint."""

    def state(self) -> dict[str, Any]:
        """State that the next step depends on, for a checkpoint."""
        raise NotImplementedError

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        raise NotImplementedError

    # --------------------------------------------------------------------------------------- log, save, restore

    def _read_losses(self) -> Mapping[str, float]:
        if not self.pending:
            return {}
        names = list(self.pending[0])
        values = torch.stack([torch.stack([step[name].float() for name in names]) for step in self.pending]).cpu()
        first = self.step - len(self.pending)
        self.pending = []
        bad = (~torch.isfinite(values)).nonzero()
        if len(bad):
            row, column = bad[0].tolist()
            raise TrainingFailed(f"loss {names[column]} is not finite", first + row)
        means = dict(zip(names, values.mean(0).tolist(), strict=True))
        self.log.append(self.step, means)
        self.check_losses(means)
        return means

    def _save(self) -> None:
        self.checkpoints.save(self.step, {**self.state(), "seconds": self.seconds()})

    def _restore(self) -> None:
        checkpoint = self.checkpoints.load_latest()
        if checkpoint is not None:
            self.step, state = checkpoint
            self.seconds_before = state["seconds"]
            self.load_state(state)
            if self.step < self.steps:
                say(f"{self.label}: resuming at step {self.step}")
        self.log.truncate(self.step)


def losses_in_short(means: Mapping[str, float]) -> str:
    """`discriminator 0.523, generator 1.87 + 2.1`: the sum of each phase's losses, under the name of its first network;
    `+` where several phases train it."""
    sums: dict[str, float] = {}
    for name, value in means.items():
        phase, loss = name.rpartition(".")[::2]
        if loss != "grad_norm":
            sums[phase] = sums.get(phase, 0.0) + value
    networks: dict[str, list[str]] = {}
    for phase, value in sums.items():
        networks.setdefault(phase.partition(":")[2].partition("+")[0], []).append(f"{value:.3g}")
    return ", ".join(f"{network} {' + '.join(values)}" for network, values in networks.items())


def loop_state(trained: Any) -> dict[str, Any]:
    """Networks, buffers and optimisers of a Translator or a Stage."""
    return {
        "module": trained.state_dict(),
        "optimizers": {name: optimizer.state_dict() for name, optimizer in trained.optimizers.items()},
    }


def load_loop_state(trained: Any, state: Mapping[str, Any]) -> None:
    """The inverse of `loop_state`."""
    trained.load_state_dict(state["module"])
    for name, optimizer in trained.optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
