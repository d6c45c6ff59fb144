"""Cells on this machine: one after the other in this process, or several processes at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.core.errors import in_turn
from bench.evaluation.encoders import make_encoders
from bench.runs.cell import run_cell
from bench.runs.request import Job, Request, Session, open_session
from bench.store.cell import Cell
from bench.training.pretrained import weights_for
from bench.training.stages import StageStore
from bench.training.train import prepared, training_domains
from methods.base import Context, Domains


def one_cell(request: Request, job: Job) -> Request:
    """The request for `job` alone."""
    overrides = [text for text in request.overrides if text.startswith(f"{job.spec.method}.")]
    return replace(request, methods=(job.spec.method,), seeds=(job.spec.seed,), overrides=overrides)


def run_alone(request: Request) -> bool:
    """The one cell of `request`, in a process of its own; True unless it failed."""
    return run_here(request, open_session(request))


def run_here(request: Request, session: Session) -> bool:
    """Every cell of `session`, one after the other in this process; True unless one failed.

    A cell that cannot be worked on (held by another process, damaged) does not keep the others from it: the BenchError
    comes at the end.
    """
    encoders = make_encoders(request.results, session.data, session.preset, session.runtime, request.protocols)
    domains = training_domains(session.data, session.runtime)
    with session.runtime.threads_pinned(session.runtime.threads):

        def one(job: Job) -> bool:
            good = run_cell(job, session, domains, encoders, one_cell(request, job))
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
    profile = profile_steps(method, domains, spec.seed, runtime, cell.folder / "profile")
    print(f"\n{spec.method} seed {spec.seed}: where a training step's time goes ({cell.folder / 'profile'})\n")
    print(profile.text())
