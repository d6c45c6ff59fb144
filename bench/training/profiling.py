"""Profile of a training step: `bench run --profile`.

A new instance of the cell's method, its stages taken from the store, trains for a few steps that are thrown away: what
the cell trained, and its files, are as without the profile. In the cell's folder, `profile/` gets `steps.txt` (printed,
too), `steps.json` (the same numbers) and `trace.json.gz`, for https://ui.perfetto.dev or chrome://tracing.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tabulate import tabulate
from torch.optim import Optimizer
from torch.profiler import ProfilerActivity, profile, record_function

from bench.core.device import Runtime
from bench.core.files import write_atomically, write_json, write_text
from bench.training.train import begin_train_step
from methods.base import Domains, Phase, Progress, Trainable, Translator, run_step

WARM_UP = 3
"""Steps before anything is timed: the first ones choose algorithms and allocate."""
TIMED = 20
"""Steps whose parts are timed, without torch's profiler, which would cost more than small operations do."""
TRACED = 3
"""Steps in the trace."""
OPERATORS = 15
"""Rows of the table of operators."""


@dataclass(frozen=True)
class StepProfile:
    """Times of a step and of its parts."""

    step_ms: float
    """Milliseconds of a step as the training makes it, draw included; mean over TIMED steps."""
    parts_ms: dict[str, float]
    """Part -> milliseconds a step. The device is waited for after each, so on a GPU the parts may sum to more."""
    operators: list[dict[str, Any]]
    """`{name, ms, share, calls}` a step, of the operators that took most time themselves in the traced steps."""

    def text(self) -> str:
        """Two tables as text: parts, and operators."""
        total = sum(self.parts_ms.values())
        parts = [(name, f"{ms:.2f}", f"{100 * ms / total:.1f} %") for name, ms in self.parts_ms.items()]
        operators = [
            (row["name"], f"{row['ms']:.2f}", f"{100 * row['share']:.1f} %", f"{row['calls']:.0f}")
            for row in self.operators
        ]
        columns = ("left", "right", "right", "right")
        return (
            f"a step: {self.step_ms:.2f} ms; in parts, the device waited for after each: {total:.2f} ms\n\n"
            + tabulate(parts, ["part", "ms", "share"], colalign=columns[:3], disable_numparse=True)
            + "\n\noperators by the time they took themselves; the profiler makes small ones look larger\n\n"
            + tabulate(operators, ["operator", "ms", "share", "calls"], colalign=columns, disable_numparse=True)
            + "\n"
        )


def profile_steps(method: Translator, domains: Domains, seed: int, runtime: Runtime, folder: Path) -> StepProfile:
    """Train `method` (prepared; spent afterwards) for some steps, and write the profile's files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with runtime.threads_pinned(runtime.threads):
        _run(method, method, domains, seed, runtime, WARM_UP)
        start = time.perf_counter()
        _run(method, method, domains, seed, runtime, TIMED)
        step_ms = 1e3 * (time.perf_counter() - start) / TIMED
        stopwatch = _Stopwatch(runtime)
        _run(method, _Watched(method, stopwatch), domains, seed, runtime, TIMED, stopwatch)
        with profile(activities=_activities(runtime), acc_events=True) as profiler:
            _run(method, _Watched(method, _Stopwatch(None)), domains, seed, runtime, TRACED)
    parts = {name: 1e3 * seconds / TIMED for name, seconds in stopwatch.parts.items()}
    result = StepProfile(step_ms, parts, _operators(profiler, runtime))
    write_text(folder / "steps.txt", result.text())
    write_json(folder / "steps.json", asdict(result))
    with TemporaryDirectory() as temporary:
        profiler.export_chrome_trace(f"{temporary}/trace.json")
        packed = gzip.compress(Path(temporary, "trace.json").read_bytes())
    write_atomically(folder / "trace.json.gz", lambda file: file.write(packed))
    return result


class _Stopwatch:
    """Adds the time since its last mark to a named part. Without a runtime: does nothing."""

    def __init__(self, runtime: Runtime | None) -> None:
        self.runtime, self.parts, self.last = runtime, dict[str, float](), 0.0

    def mark(self, part: str = "") -> None:
        """Add the time since the last mark to `part`; to none if it has no name."""
        if self.runtime is None:
            return
        self.runtime.synchronise()
        now = time.perf_counter()
        if part:
            self.parts[part] = self.parts.get(part, 0.0) + now - self.last
        self.last = now


def _run(
    method: Translator, trained: Trainable, domains: Domains, seed: int, runtime: Runtime, steps: int,
    stopwatch: _Stopwatch | None = None,
) -> None:  # fmt: skip
    """`steps` steps of `trained`: `method` itself, or `method` watched."""
    stopwatch = stopwatch or _Stopwatch(None)
    for step in range(steps):
        stopwatch.mark()
        with record_function("draw"):
            batch = begin_train_step(method, domains, seed, Progress(step, 10_000))
        stopwatch.mark("draw")
        run_step(trained, batch, runtime.autocast)
    runtime.synchronise()


class _Watched:
    """Stands in for a method in `run_step`, which stays as it is: marks where a phase's parts begin and end."""

    def __init__(self, method: Translator, stopwatch: _Stopwatch) -> None:
        self.method, self.stopwatch = method, stopwatch
        self.phase = ""
        self.optimizers: dict[str, Any] = {
            name: _WatchedOptimizer(self, optimizer) for name, optimizer in method.optimizers.items()
        }

    def __getattr__(self, name: str) -> Any:
        """The method's networks."""
        return getattr(self.method, name)

    def training_step(self, batch: Any) -> Iterator[Phase]:
        """The method's phases: what precedes each is its forward pass."""
        phases = self.method.training_step(batch)
        index = 0
        while True:
            with record_function(f"{index} forward"):
                phase = next(phases, None)
            if phase is None:
                return
            self.phase = f"{index} {' + '.join(phase.trains)}"
            self.stopwatch.mark(f"{self.phase}: forward")
            yield phase
            index += 1

    def update_ema(self) -> None:
        """Mark the time of the moving average apart."""
        self.stopwatch.mark("between")
        self.method.update_ema()
        self.stopwatch.mark("average")


class _WatchedOptimizer:
    """An optimiser whose step marks the end of the backward pass (with clipping) before it."""

    def __init__(self, watched: _Watched, optimizer: Optimizer) -> None:
        self.watched, self.optimizer = watched, optimizer

    def step(self) -> None:
        """The optimiser's step."""
        self.watched.stopwatch.mark(f"{self.watched.phase}: backward")
        self.optimizer.step()
        self.watched.stopwatch.mark(f"{self.watched.phase}: optimiser")


def _activities(runtime: Runtime) -> list[ProfilerActivity]:
    on_gpu = runtime.device.type == "cuda"
    return [ProfilerActivity.CPU, ProfilerActivity.CUDA] if on_gpu else [ProfilerActivity.CPU]


def _operators(profiler: profile, runtime: Runtime) -> list[dict[str, Any]]:
    """The operators with most time of their own: the GPU's time where there is one, else the processor's."""
    column = "self_device_time_total" if runtime.device.type == "cuda" else "self_cpu_time_total"
    averages = profiler.key_averages()
    total = sum(getattr(row, column) for row in averages) or 1.0
    longest = sorted(averages, key=lambda row: -getattr(row, column))[:OPERATORS]
    return [
        {
            "name": row.key,
            "ms": getattr(row, column) / 1e3 / TRACED,  # torch counts microseconds
            "share": getattr(row, column) / total,
            "calls": row.count / TRACED,
        }
        for row in longest
    ]
