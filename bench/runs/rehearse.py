"""A dress rehearsal: every code path of a request with its own data, networks and batches, and two steps a training.

Semantic stages, judges and the translators make two steps each; a training is stopped after the first one and resumed.
A few images are scored, by judges that saw a few. Everything goes into a scratch folder: no real result is touched.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.device import Runtime
from bench.core.errors import BenchError, Interrupted
from bench.core.files import read_json
from bench.core.progress import say
from bench.data.types import Split, TaskData
from bench.evaluation.encoders import Encoders, make_encoders
from bench.runs.cell import run_cell
from bench.runs.local import local_request
from bench.runs.plan import duration
from bench.runs.request import Job, Request, Session, method_to_ask, open_request
from bench.spec import presets
from bench.spec.presets import EvaluationSize, KindPreset
from bench.spec.run_spec import Budget
from bench.store.cell import Cell, read_cell_metrics
from bench.training import train as training
from bench.training.train import training_domains
from methods.base import Context, Domains, Progress, Stage, StageRunner, Translator

STEPS = 2
"""Of every training: one before the interruption, one after it."""
FEW = EvaluationSize(sources_per_class=3, reference_per_class=8)
"""Images that are scored."""
REAL = 12
"""Real images of each class and split that judges and encoders see. Methods see all."""


@dataclass
class Clock:
    """Seconds that were measured in the rehearsal of a cell."""

    runtime: Runtime
    step: float = 0.0
    """Of the last training step."""
    stages: dict[str, tuple[float, float, int]] = field(default_factory=dict)
    """Stage -> (seconds of its last step, seconds of all but its steps, its real number of steps)."""

    def now(self) -> float:
        """Seconds, once the device has finished."""
        self.runtime.synchronise()
        return time.perf_counter()

    @property
    def stage_seconds(self) -> float:
        """What the stages would take, whole."""
        return sum(step * steps + rest for step, rest, steps in self.stages.values())


@dataclass(frozen=True)
class Rehearsed:
    """What the rehearsal of one cell showed."""

    label: str
    failure: str
    """Why it would have failed; empty: it would not."""
    missing: tuple[str, ...] = ()
    """Protocols without a value, and what they need."""
    peak_bytes: int | None = None
    """While training."""
    train: float | None = None
    """Seconds of the whole training, by its last step."""
    stages: float | None = None
    """Seconds of the whole semantic stages, by their last steps."""
    scoring: float | None = None
    """Seconds of scoring a few images, judges of two steps included."""


def rehearse_run(request: Request, scratch: Path) -> list[Rehearsed]:
    """Rehearse every method of `request` with its first seed. Raises BenchError if the request cannot be met."""
    request = replace(request, results=scratch, seeds=tuple(request.seeds)[:1], jobs=1)
    return rehearse_session(request, open_request(request))


def rehearse_session(request: Request, session: Session) -> list[Rehearsed]:
    """Rehearse every cell of `session`, one after the other in this process; `request` names the scratch folder."""
    if request.launch != "local" or request.devices > 1:
        raise BenchError("a rehearsal is for one device of this machine", "leave out --launch ray and --devices")
    preset = _shortened_preset(session.preset)
    domains, few = training_domains(session.data, session.runtime), _few_images(session.data)
    encoders = make_encoders(request.results, few, preset, session.runtime, request.protocols)
    rehearsed = []
    with session.runtime.threads_pinned(session.runtime.threads), _untrained_networks_allowed():
        for job in session.jobs:
            clock = Clock(session.runtime)
            say(f"rehearsing {job.spec.method}")
            short = _shortened(job, clock)
            of_cell = replace(session, data=few, jobs=[short], preset=preset)
            failure = _twice(short, of_cell, domains, encoders, local_request(request, job))
            rehearsed.append(_outcome(job, short, clock, request.results, failure))
    return rehearsed


def _twice(job: Job, session: Session, domains: Domains, encoders: Encoders, request: Request) -> str:
    """Train up to the interruption, then resume and score; why that failed, or empty."""
    try:
        run_cell(job, session, domains, encoders, request)
    except Interrupted:
        say(f"{job.spec.method}: interrupted after its first step, as rehearsed")
    except BenchError as error:
        return f"{error.what} ({error.remedy})"
    else:
        status = Cell(request.results, job.spec).status()
        return str(status.get("reason", "it was not interrupted"))
    try:
        good = run_cell(job, session, domains, encoders, request)
    except BenchError as error:
        return f"{error.what} ({error.remedy})"
    return "" if good else str(Cell(request.results, job.spec).status().get("reason", "no reason given"))


def _outcome(job: Job, short: Job, clock: Clock, results: Path, failure: str) -> Rehearsed:
    cell = Cell(results, short.spec)
    if not cell.is_trained():
        return Rehearsed(job.spec.method, failure)
    cost = read_json(cell.cost)
    budget = job.spec.budget
    per_step = cost["images_per_domain"] / cost["steps"]
    whole = float(budget.amount) if budget.kind == "seconds" else clock.step * budget.amount / per_step
    missing = [
        f"{record['protocol']} ({record['missing']})"
        for style in cell.styles()
        for record in read_cell_metrics(cell.metrics(style))["records"]
        if record.get("missing", "").startswith("needs:")
    ]
    scoring = cell.folder / "scoring.json"
    return Rehearsed(
        job.spec.method, failure, tuple(dict.fromkeys(missing)), cost["peak_memory_bytes"], whole,
        clock.stage_seconds, float(read_json(scoring)["seconds"]) if scoring.exists() else None,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------- shortening


def _shortened_preset(preset: KindPreset) -> KindPreset:
    size = replace(FEW, protocols=preset.evaluation.protocols)
    return replace(preset, judge=replace(preset.judge, steps=STEPS), evaluation=size)


def _few_images(data: TaskData) -> TaskData:
    """The first REAL images of each class in each split."""
    splits = {}
    for key, split in data.splits.items():
        rows = np.sort(np.concatenate([np.flatnonzero(split.labels == c)[:REAL] for c in np.unique(split.labels)]))
        splits[key] = Split(split.images[rows], split.labels[rows], tuple(split.ids[row] for row in rows))
    return replace(data, splits=splits)


@contextmanager
def _untrained_networks_allowed() -> Iterator[None]:
    """What stands in for VGG-19 makes two steps, too, and outputs that are one and the same image are no failure."""
    settings, spread = presets.STAND_IN_SETTINGS, training.output_spread
    presets.STAND_IN_SETTINGS = replace(settings, steps=STEPS, train_per_class=1, test_per_class=1)
    training.output_spread = lambda *given, **named: max(1.0, spread(*given, **named))
    try:
        yield
    finally:
        presets.STAND_IN_SETTINGS, training.output_spread = settings, spread


def _shortened(job: Job, clock: Clock) -> Job:
    """The same cell with two steps, of which the first asks for an interruption once, and with timed steps."""
    images = STEPS * _images_per_step(job)
    interrupted: list[int] = []

    def build() -> Translator:
        method = job.build()
        prepare, draw, update = method.prepare, method.draw, method.update_ema
        begun = [0.0]

        def drawn(domains: Domains, rng: Any, progress: Progress) -> Any:
            if not interrupted:
                interrupted.append(progress.step)
                signal.raise_signal(signal.SIGTERM)  # noted by the loop, which saves and stops after this step
            begun[0] = clock.now()
            return draw(domains, rng, progress)

        def updated() -> None:
            update()
            clock.step = clock.now() - begun[0]

        def prepared(domains: Domains, context: Context) -> None:
            prepare(domains, Context(context.weights, _short_stages(context.run_stage, clock)))

        replacements: Mapping[str, Callable[..., Any]] = {"prepare": prepared, "draw": drawn, "update_ema": updated}
        for name, replacement in replacements.items():
            setattr(method, name, replacement)
        return method

    return Job(replace(job.spec, budget=Budget("images", images)), build)


def _images_per_step(job: Job) -> int:
    """Images of a step; 1 of a method that cannot be built, which its cell then says."""
    try:
        return method_to_ask(job).images_per_step
    except Exception:  # other people's code may raise anything
        return 1


def _short_stages(run_stage: StageRunner, clock: Clock) -> Any:
    """`run_stage` for stages of two steps at most, timed."""

    def run(build: Callable[[], Stage], attempt: int = 0) -> Stage:
        timed: dict[str, Any] = {"step": 0.0, "first": 0.0, "steps": 0, "real": 0}

        def short() -> Stage:
            stage = build()
            timed["real"], stage.steps = stage.steps, min(STEPS, stage.steps)
            step, update = stage.training_step, stage.update_ema

            def stepped(batch: Any) -> Any:
                timed["first"] = clock.now()
                return step(batch)

            def updated() -> None:
                update()
                timed["step"] = clock.now() - timed["first"]
                timed["steps"] += 1

            for name, replacement in (("training_step", stepped), ("update_ema", updated)):
                setattr(stage, name, replacement)
            return stage

        begun = clock.now()
        stage = run_stage(short, attempt)
        rest = max(0.0, clock.now() - begun - timed["steps"] * timed["step"])
        if timed["steps"] or not timed["real"]:
            clock.stages.setdefault(f"{stage.name} {attempt}", (timed["step"], rest, timed["real"]))
        return stage

    return run


# ------------------------------------------------------------------------------------------------------------- text


def rehearsal_text(rehearsed: Sequence[Rehearsed]) -> str:
    """What each cell showed, as Markdown, and what the whole would take."""
    from tabulate import tabulate

    rows = [
        [
            row.label,
            "FAILS" if row.failure else "runs",
            "?" if row.peak_bytes is None else f"{row.peak_bytes / 2**30:.2f} GiB",
            *("?" if seconds is None else duration(seconds) for seconds in (row.train, row.stages, row.scoring)),
        ]
        for row in rehearsed
    ]
    headers = ["cell", "rehearsal", "peak memory", "whole training", "whole stages", "scoring a few images"]
    lines = [tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True), ""]
    lines += [f"{row.label} would have failed: {row.failure}" for row in rehearsed if row.failure]
    for row in rehearsed:
        if row.missing:
            lines.append(f"{row.label} would have no value of: {', '.join(row.missing)}")
    known = [row.train + (row.stages or 0.0) for row in rehearsed if row.train is not None]
    if known:
        lines.append(f"One seed of these {len(known)} cells, without judges and scoring: {duration(sum(known))}.")
    return "\n".join(lines)
