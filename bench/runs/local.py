"""Cells on this machine: one after the other in this process, or several processes at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.core.errors import all_true_or_errors
from bench.evaluation.encoders import make_encoders
from bench.runs.cell import run_cell
from bench.runs.request import Job, Request, Session, open_request
from bench.store.cell import Cell
from bench.training.pretrained import weights_loader
from bench.training.stages import StageStore
from bench.training.train import prepare_method, training_domains
from methods.base import Context, Domains


def local_request(request: Request, job: Job) -> Request:
    """The request for `job` alone."""
    overrides = [text for text in request.overrides if text.startswith(f"{job.spec.method}.")]
    return replace(request, methods=(job.spec.method,), seeds=(job.spec.seed,), overrides=overrides)


def run_cell_locally(request: Request) -> bool:
    """The one cell of `request`, in a process of its own; True unless it failed."""
    return run_session_locally(request, open_request(request))


def run_session_locally(request: Request, session: Session) -> bool:
    """Every cell of `session`, one after the other in this process; True unless one failed.

    A cell that cannot be worked on (held by another process, damaged) does not keep the others from it: the BenchError
    comes at the end.
    """
    encoders = make_encoders(request.results, session.data, session.preset, session.runtime, request.protocols)
    domains = training_domains(session.data, session.runtime)
    with session.runtime.threads_pinned(session.runtime.threads):

        def one(job: Job) -> bool:
            good = run_cell(job, session, domains, encoders, local_request(request, job))
            if good and request.profile:
                profile_cell_locally(job, session, domains, request.results)
            return good

        return all_true_or_errors(session.jobs, one)


def profile_cell_locally(job: Job, session: Session, domains: Domains, results: Path) -> None:
    """Say where a training step's time goes, on a new instance of the cell's method."""
    from bench.training.profiling import profile_steps

    cell, spec, runtime = Cell(results, job.spec), job.spec, session.runtime
    stages = StageStore(cell.semantics, spec.data_version, spec.seed, runtime)
    method = prepare_method(job.build, domains, Context(weights_loader(results, runtime), stages), spec, runtime)
    profile = profile_steps(method, domains, spec.seed, runtime, cell.folder / "profile")
    print(f"\n{spec.method} seed {spec.seed}: where a training step's time goes ({cell.folder / 'profile'})\n")
    print(profile.text())
