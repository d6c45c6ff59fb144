"""A dry run: every cell of a request, its state, and what is left to pay for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.core.errors import BenchError
from bench.runs.estimate import Costs, StageKey, estimate_stage_keys
from bench.runs.request import Job, Request, Session, open_request
from bench.store.cell import INTERRUPTED, Cell, cell_state


@dataclass(frozen=True)
class PlannedPart:
    """Cells of one method with one set of settings."""

    label: str
    """`cats_udt [lambda_sem=0.1]`."""
    request: Request
    session: Session
    jobs: Sequence[Job]


def plan_run(request: Request, rate: float = 0.0) -> tuple[str, dict[str, str]]:
    """(every cell of the request and what it would cost as text, methods that cannot be imported and why).

    Trains nothing. `rate`: see Costs. Raises BenchError as `run`.
    """
    session = open_request(request)
    parts = [
        PlannedPart(method, request, session, [job for job in session.jobs if job.spec.method == method])
        for method in dict.fromkeys(job.spec.method for job in session.jobs)
    ]
    at_once = min(len(session.jobs), request.jobs or session.runtime.cells_at_once)
    return plan_text(parts, at_once, rate), dict(session.broken)


@dataclass(frozen=True)
class PlannedCell:
    """One line of the plan. Seconds are those of what is left to do; None: not known."""

    preset: str
    label: str
    seed: int
    state: str
    train: float | None = 0.0
    stages: float | None = 0.0
    """Semantic stages that no cell above it, and no stored one, has paid for."""
    scoring: float | None = 0.0
    source: str = ""
    """Where the seconds come from, or why nothing is left to do."""
    settled: bool = False
    """Nothing is left to do."""

    @property
    def seconds(self) -> float | None:
        """Sum of the known seconds; None if those of the training are not known."""
        return None if self.train is None else self.train + (self.stages or 0) + (self.scoring or 0)


def planned_cells(parts: Sequence[PlannedPart], costs: dict[str, Costs], rate: float = 0.0) -> list[PlannedCell]:
    """Every cell with its state and what is left to pay for it. `costs`: preset -> its costs, filled here."""
    lines = []
    paid: set[StageKey] = set()
    for part in parts:
        preset = part.request.preset
        if preset not in costs:
            session = part.session
            costs[preset] = Costs(part.request.results, session.task, preset, session.runtime, rate)
            paid |= costs[preset].stages_done
        lines += [_planned(part, job, costs[preset], paid) for job in part.jobs]
    return lines


def _planned(part: PlannedPart, job: Job, costs: Costs, paid: set[StageKey]) -> PlannedCell:
    cell = Cell(part.request.results, job.spec)
    status = cell.status()
    line = PlannedCell(job.spec.preset, part.label, job.spec.seed, cell_state(cell.folder, status["state"]))
    if line.state == "done":
        return replace(line, settled=True)
    if line.state == "failed" and "step" in status:
        reason = f"stays failed ({status['reason']}); to try again remove {cell.folder}"
        return replace(line, source=reason, settled=True)
    estimate = costs.of(job)
    line = replace(line, scoring=estimate.scoring, source=estimate.source)
    if cell.is_trained():
        return line
    if estimate.stages is None:
        return replace(line, train=estimate.train, stages=None)
    due = {name: key for name, key in estimate_stage_keys(job.spec, estimate.stages).items() if key not in paid}
    paid.update(due.values())
    return replace(line, train=estimate.train, stages=sum(estimate.stages[name] for name in due))


def plan_text(parts: Sequence[PlannedPart], at_once: int, rate: float = 0.0) -> str:
    """The plan as Markdown: its cells, their sums, and what a training step of each part takes."""
    if rate < 0:
        raise BenchError(f"--rate {rate:g} is not a rate", "write the TFLOP/s of the card: --rate 40")
    costs: dict[str, Costs] = {}
    lines = planned_cells(parts, costs, rate)
    if not lines:
        return "no cells"
    several = len({line.preset for line in lines}) > 1
    rows = [
        [
            f"{line.preset}: {line.label}" if several else line.label,
            line.seed,
            line.state,
            *(
                "?" if part is None else f"{part:.0f}" if part else ""
                for part in (line.train, line.stages, line.scoring)
            ),
            line.source,
        ]
        for line in lines
    ]
    left = {(line.preset, line.label) for line in lines if not line.settled}
    steps = [
        [f"{part.request.preset}: {part.label}" if several else part.label, *_step_row(part, costs)]
        for part in parts
        if (part.request.preset, part.label) in left
    ]
    sums = _totals(lines, at_once)
    cells = _table(["cell", "seed", "state", "train s", "stages s", "scoring s", "estimated from"], "lrlrrrl", rows)
    if not steps:
        return "\n".join([cells, "", *sums])
    headers = ["a training step of", "GFLOP", "parameters", "memory", "images", "steps"]
    return "\n".join([cells, "", *sums, "", _table(headers, "lrrrrr", steps)])


def _step_row(part: PlannedPart, costs: dict[str, Costs]) -> list[str]:
    """Operations, parameters, peak memory and images of a step, and the number of steps."""
    job = part.jobs[0]
    step = costs[part.request.preset].step_of(job)
    if isinstance(step, str):
        return [f"not counted ({step})", "?", "?", "?", "?"]
    budget = job.spec.budget
    steps = f"{-(-budget.amount // step.images):,}" if budget.kind == "images" else f"{budget}"
    return [
        f"{step.flops / 1e9:,.2f}", f"{step.parameters / 1e6:.2f} M", f"{step.peak_bytes / 2**30:.2f} GiB",
        f"{step.images}", steps,
    ]  # fmt: skip


def _table(headers: list[str], columns: str, rows: Sequence[Sequence[object]]) -> str:
    from tabulate import tabulate

    align = [{"l": "left", "r": "right"}[column] for column in columns]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True, colalign=align)


def _totals(lines: Sequence[PlannedCell], at_once: int) -> list[str]:
    """Sentences that say what is left to do."""
    left = [line for line in lines if not line.settled]
    known = [line.seconds for line in left if line.seconds is not None]
    text = f"{len(lines)} cells, {len(left)} left to do"
    if known:
        text += f": {duration(sum(known))} of computing" + (f", {at_once} cells at once" if at_once > 1 else "")
    if len(known) < len(left):
        text += f"; {len(left) - len(known)} of them not measured: run one for an estimate of the others"
    notes = []
    if left:
        notes.append("The first cells also train, once for a results folder, the judges and what stands in for VGG-19.")
    if any(line.source.startswith("counted") for line in left):
        notes.append("Of counted cells the training alone is known: stages and scoring once a cell like them is done.")
    if any(line.state in ("running", INTERRUPTED) for line in left):
        notes.append("Unfinished cells resume, but are counted in full.")
    return [f"{text}.", *notes]


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
