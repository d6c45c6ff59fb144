"""From requests to finished cells, here or on a cluster. What was done is returned; commands print it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.core.errors import all_true_or_errors
from bench.evaluation.self_test.doctor import warn_if_doctor_fails
from bench.runs.local import local_request, run_cell_locally, run_session_locally
from bench.runs.processes import run_in_processes
from bench.runs.request import Request, open_request


@dataclass(frozen=True)
class RunOutcome:
    """What became of a request's cells."""

    task: str
    """Name of the task."""
    good: bool
    """Whether no cell failed."""
    broken: Mapping[str, str]
    """Methods that cannot be imported, and why."""
    identities: frozenset[str]
    """Of the cells that were asked for."""


def run(request: Request) -> RunOutcome:
    """Train and score everything asked for. Finished cells are skipped, others resume.

    Raises BenchError before anything is trained if the request cannot be met, and Interrupted (state saved) on SIGTERM
    and SIGINT.
    """
    return run_together([request])


def run_together(requests: Sequence[Request]) -> RunOutcome:
    """As `run`, for requests that differ in methods, seeds, settings or length alone: their cells share the machine."""
    first = requests[0]
    sessions = [open_request(first)]
    sessions += [open_request(other, sessions[0].data) for other in requests[1:]]
    warn_if_doctor_fails()
    cells = [
        (local_request(request, job), session, job)
        for request, session in zip(requests, sessions, strict=True)
        for job in session.jobs
    ]
    at_once = min(len(cells), first.jobs or sessions[0].runtime.cells_at_once)
    if first.launch == "ray":
        from bench.runs.ray.driver import drive_ray_cluster

        good = drive_ray_cluster(cells, first.device, first.address, first.jobs)
    elif at_once > 1:
        good = run_in_processes([alone for alone, _, _ in cells], run_cell_locally, at_once)
    else:
        good = all_true_or_errors(list(zip(requests, sessions, strict=True)), lambda pair: run_session_locally(*pair))
    broken = {name: why for session in sessions for name, why in session.broken.items()}
    return RunOutcome(sessions[0].task.name, good, broken, frozenset(job.spec.identity() for _, _, job in cells))
