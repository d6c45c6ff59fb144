"""One cell, brought to its end from wherever it stands: trained, stored, scored, or failed with a reason."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from textwrap import shorten

import torch

from bench.core.environment import describe_environment
from bench.core.errors import BenchError, Interrupted
from bench.core.files import write_atomically, write_json
from bench.core.progress import say
from bench.evaluation.encoders import Encoders
from bench.evaluation.evaluate import evaluate_cell
from bench.evaluation.self_test.doctor import doctor_record
from bench.evaluation.translate import chosen_style_source
from bench.runs.request import Job, Request, Session, method_to_ask, open_request, served_directions
from bench.spec.tasks import Task
from bench.store.cell import Cell, read_cell_metrics
from bench.training.loop import TrainingFailed
from bench.training.pretrained import MissingWeights, weights_loader
from bench.training.several_devices import Join, Processes, leading_devices
from bench.training.train import follow_training, train, training_domains
from bench.training.weights import load_trained_weights, store_weights
from methods.base import Domains, Translator


def run_cell(job: Job, session: Session, domains: Domains, encoders: Encoders, request: Request) -> bool:
    """Bring the one cell of `request` to its end from wherever it stands; True unless it failed."""
    cell, runtime = Cell(request.results, job.spec), session.runtime
    label = f"{job.spec.method} seed {job.spec.seed}"
    with cell.locked():
        if _failed_before(cell, label):
            return False
        if job.refused:
            cell.begin()
            cell.set_state("failed", reason=job.refused)
            say(f"{label}: FAILED: {job.refused}")
            return False
        try:
            if not cell.is_trained():
                _train(job, cell, domains, request, session)
            cell.checkpoints.clear()
            method = load_trained_weights(job.build, cell, runtime)
            style = chosen_style_source(method)
            if cell.state() == "done" and not _scorable(cell, style, encoders):
                say(f"{label}: finished before, skipped ({cell.folder.name})")
                return True
            with cell.scoring_timed():
                directions = served_directions(method, session.task.directions)
                evaluate_cell(method, session.data, directions, cell, encoders, style)
            cell.set_state("done")
            return True
        except TrainingFailed as error:
            cell.set_state("failed", reason=error.reason, step=error.step)
            say(f"{label}: FAILED: {error}")
            return False
        except MissingWeights as error:  # no step is noted: the same command tries again
            cell.set_state("failed", reason=str(error))
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
    """The reason that a table gives for a crash."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text:
        return f"out of memory, a smaller batch_size needs less: {shorten(text, 300)}"
    return text


def _train(job: Job, cell: Cell, domains: Domains, request: Request, session: Session) -> None:
    runtime = session.runtime
    cell.begin()  # before anything of the method's runs: a constructor that fails is a failed row
    cell.begin(method_to_ask(job).supervision)
    write_json(cell.environment, {**describe_environment(runtime.device.type), "doctor": doctor_record()})
    weights = cell.recording(weights_loader(request.results, runtime))
    together: Callable[[], AbstractContextManager[Processes | None]] = nullcontext
    if request.devices > 1:
        together = lambda: leading_devices(follow_cell, request, request.devices, runtime.device)  # noqa: E731
    method, cost = train(job.build, domains, weights, job.spec, cell, runtime, together, request.tensorboard)
    for remark in cell.note([*method.remarks, *_unserved(method, session.task)]):
        say(f"{job.spec.method} seed {job.spec.seed}: WARNING: {remark}")
    store_weights(method, cell)
    write_json(cell.cost, asdict(cost))
    cell.set_state("trained")


def _unserved(method: Translator, task: Task) -> list[str]:
    """A remark for each direction of `task` that `method` does not translate in."""
    missing = [direction for direction in task.directions if direction not in method.directions]
    return [f"it does not translate {{{source}}} -> {{{target}}}" for source, target in missing]


def follow_cell(request: Request, rank: int, join: Join) -> None:
    """Take part in the training of a cell on several devices, as one of the other processes."""
    session = open_request(request, rank=rank)
    (job,), runtime = session.jobs, session.runtime
    domains, weights = training_domains(session.data, runtime), weights_loader(request.results, runtime)
    follow_training(job.build, domains, weights, job.spec, Cell(request.results, job.spec), runtime, join)


def is_cell_settled(cell: Cell, label: str, encoders: Encoders) -> bool | None:
    """Whether nothing is left to do, which is said: True for a finished cell, False for a failed one; else None."""
    if _failed_before(cell, label):
        return False
    if cell.state() != "done" or not cell.styles() or any(_scorable(cell, style, encoders) for style in cell.styles()):
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


def _scorable(cell: Cell, style: str, encoders: Encoders) -> bool:
    """Whether scoring anew would add something: no metrics yet, or an encoder that was missing is there now."""
    path = cell.metrics(style)
    if not path.exists():
        return True
    records = read_cell_metrics(path)["records"]
    missing = {record["protocol"] for record in records if record.get("missing", "").startswith("needs:")}
    absent = {protocol.name for protocol in encoders.protocols} - {record["protocol"] for record in records}
    return encoders.measurable(missing | absent)
