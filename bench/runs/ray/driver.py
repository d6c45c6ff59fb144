"""`--launch ray`: cells as tasks of a Ray cluster. Ray places them, and gives those of a lost worker to another one."""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError, Interrupted
from bench.core.installation import ROOT
from bench.core.progress import say
from bench.core.signals import stop_signals
from bench.evaluation.encoders import Encoders, make_encoders
from bench.evaluation.judge import judge_folder
from bench.runs.cell import is_cell_settled
from bench.runs.ray.node import NodeOrder, NodeOutcome, run_cell_on_node, train_judges_on_node
from bench.runs.ray.transfer import pack_transfer, store_gathered_cell, store_unit, transfer_units
from bench.runs.request import Job, Request, Session, method_to_ask
from bench.store.cell import Cell

RETRIES = 3
"""How often a cell whose worker was lost is given to another one."""
POLL_SECONDS = 0.5
ENDING_SECONDS = 60.0
"""How long cancelled cells may take to save their state."""
ANSWER_SECONDS = 5.0
"""How long the address may take to accept a connection."""

Wanted = tuple[Request, Session, Job]
"""A cell: its request, for it alone; the session that checked it; and its job."""


def drive_ray_cluster(wanted: Sequence[Wanted], device: str, address: str, at_once: int) -> bool:
    """Bring every cell to its end on the cluster at `address`, see `connect_driver`; True unless one failed.

    `device`: as typed; the sessions are of this machine, which may have no GPU. `at_once`: cells at a time, 0: as
    many as the cluster has room for. On SIGTERM and SIGINT the cells save their state and Interrupted is raised.
    Raises BenchError if there is no cluster, or no node of it has room for a cell.
    """
    left, good = _unsettled(wanted)
    if not left:
        return good
    with connect_driver(address), _token(left[0][0].results) as token:
        room = _room(device, max(session.runtime.threads for _, session, _ in left))
        run = _Run(room, token)
        with stop_signals() as stop:
            run.judges(left, stop)
            return run.cells(left, at_once, stop) and good


def _unsettled(wanted: Sequence[Wanted]) -> tuple[list[Wanted], bool]:
    """(the cells with something left to do, whether none of the others failed)."""
    left, good = [], True
    encoders: dict[int, Encoders] = {}
    for request, session, job in wanted:
        if id(session) not in encoders:
            runtime, protocols = session.runtime, request.protocols
            encoders[id(session)] = make_encoders(request.results, session.data, session.preset, runtime, protocols)
        settled = is_cell_settled(Cell(request.results, job.spec), _label(job), encoders[id(session)])
        if settled is None:
            left.append((request, session, job))
        else:
            good &= settled
    return left, good


# --------------------------------------------------------------------------------------------------------- cluster


@contextmanager
def connect_driver(address: str) -> Iterator[None]:
    """A connection to the cluster at `address`, HOST:PORT.

    Empty: $RAY_ADDRESS, else a cluster that runs on this machine, else one that is started here and ends with the
    connection.

    Raises BenchError without Ray, or if nothing answers.
    """
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # else Ray hides lines that differ in numbers alone
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's coming default: without it, it warns
    try:
        import ray
    except ModuleNotFoundError as error:
        raise BenchError("--launch ray needs Ray", 'type: pip install "udt-bench[cluster]"') from error
    given = address or os.environ.get("RAY_ADDRESS", "")
    if given and given != "auto":
        _check_answers(given)
    try:
        # Ray lets its workers search the current folder first: a user's own `metrics/` there would hide ours.
        with chdir(ROOT):
            ray.init(address=address or None, log_to_driver=True, logging_level="warning")
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise BenchError(
            f"no Ray cluster at {given or 'this machine'}: {str(error).splitlines()[0]}", _START
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


_AGAIN = "run the same command again: what is finished is skipped"
_START = (
    "type `ray start --head` on one machine, `ray start --address HOST:6379` on the others, then --address HOST:6379"
)


def _check_answers(address: str) -> None:
    """Raise BenchError unless something accepts connections at `address`: Ray itself would wait for minutes."""
    if address.startswith("ray://"):
        raise BenchError(
            f"--address {address} is that of a Ray client, which is not supported",
            "run the command on a machine of the cluster, with --address HOST:6379",
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise BenchError(f"--address {address!r} is not understood", "write HOST:PORT: --address 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise BenchError(f"no Ray cluster answers at {address}: {error}", _START) from error


@dataclass(frozen=True)
class Room:
    """The resources that a cell reserves."""

    device: str
    cpus: int
    gpus: int


def _room(device: str, threads: int) -> Room:
    """A cell's share of a node: one GPU with its part of the cores where there are GPUs, else its threads' cores.

    Raises BenchError if no node has it.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    with_gpus = [node for node in nodes if node.get("GPU", 0) >= 1]
    if device == "cuda" and not with_gpus:
        raise BenchError("no node of the cluster has a GPU", "choose --device cpu, or `ray start` on one that has")
    if with_gpus and device in ("auto", "cuda"):
        return Room("cuda", max(1, int(min(node.get("CPU", 0) // node["GPU"] for node in with_gpus))), 1)
    most = int(max((node.get("CPU", 0) for node in nodes), default=0))
    if most < threads:
        raise BenchError(
            f"no node of the cluster has {threads} cores, which a cell needs here; the largest has {most}",
            f"set OMP_NUM_THREADS={most}" if most else "start a node with cores: ray start --num-cpus N",
        )
    return Room("cpu" if device == "auto" else device, threads, 0)


@contextmanager
def _token(results: Path) -> Iterator[str]:
    """Name of a new file in the results folder: a node that sees it has the same folder."""
    path = results.absolute() / f".cluster-{uuid.uuid4().hex}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    try:
        yield path.name
    finally:
        path.unlink(missing_ok=True)


# ----------------------------------------------------------------------------------------------------------- tasks


class _Run:
    """The tasks of one command."""

    def __init__(self, room: Room, token: str) -> None:
        import ray

        self.room, self.token = room, token
        self.units: dict[str, Any] = {}
        # max_calls: a process for each task. A worker that is told to end saves its cell's state, raises Interrupted
        # and is given to another worker, as is one that dies; what else a task raises, it would raise again.
        options: dict[str, Any] = {
            "num_cpus": room.cpus, "num_gpus": room.gpus, "max_calls": 1, "max_retries": RETRIES,
            "retry_exceptions": [Interrupted],
        }  # fmt: skip
        self.do_cell, self.do_judges = (
            ray.remote(**options)(work) for work in (run_cell_on_node, train_judges_on_node)
        )

    def judges(self, wanted: Sequence[Wanted], stop: Sequence[int]) -> None:
        """Train the judges that the cells will ask for, where one is missing: once, whatever nodes the cells get.

        Raises BenchError if that fails.
        """
        missing: dict[Path, Wanted] = {}
        for request, session, job in wanted:
            for _, target in session.task.directions:
                folder = judge_folder(request.results, session.data, target, session.preset.judge)
                if not (folder / "judge.json").exists():
                    missing[folder] = (request, session, job)
        orders = {id(one[1].data): one for one in missing.values()}  # one task makes all judges of its data
        for (request, _, _), outcome in self.results(list(orders.values()), self.do_judges, 0, stop):
            if isinstance(outcome, Exception):
                raise BenchError(f"the judges could not be trained: {_first_line(outcome)}", _AGAIN) from outcome
            if outcome.problem:
                what, remedy = outcome.problem
                raise BenchError(f"the judges could not be trained on {outcome.node}: {what}", remedy)
            _gather_units(outcome, request.results)

    def cells(self, wanted: Sequence[Wanted], at_once: int, stop: Sequence[int]) -> bool:
        """Every cell; True unless one failed."""
        good = True
        for (request, _, job), outcome in self.results(wanted, self.do_cell, at_once, stop):
            try:
                if isinstance(outcome, Exception):
                    good = False
                    _record_lost(request, job, _first_line(outcome))
                else:
                    good &= _gathered(request, job, outcome)
            except BenchError as error:  # of a cell in which another command works meanwhile
                good = False
                say(f"{_label(job)}: error: {error}")
        return good

    def results(
        self, wanted: Sequence[Wanted], task: Any, at_once: int, stop: Sequence[int]
    ) -> Iterator[tuple[Wanted, NodeOutcome | Exception]]:
        """Each cell with what became of its task, as they end. Raises Interrupted once all were cancelled."""
        import ray

        waiting, running = list(wanted), dict[Any, Wanted]()
        while waiting or running:
            while waiting and not stop and (not at_once or len(running) < at_once):
                one = waiting.pop(0)
                running[task.remote(self.order(one))] = one
            if stop:
                _cancel(list(running))
                raise Interrupted(stop[0])
            ended, _ = ray.wait(list(running), timeout=POLL_SECONDS)
            for reference in ended:
                try:
                    outcome: NodeOutcome | Exception = ray.get(reference)
                except Exception as error:  # whatever a lost worker, a lost node or other people's code leads to
                    outcome = error
                yield running.pop(reference), outcome

    def order(self, wanted: Wanted) -> NodeOrder:
        """The task of a cell as it is sent now, with references to what the results folder has already."""
        import ray

        request, _, job = wanted
        results = request.results.absolute()
        cell = Cell(results, job.spec)
        for unit, paths in transfer_units(results, features=False).items():
            if unit not in self.units:
                self.units[unit] = ray.put({path.name: path.read_bytes() for path in paths})
        data = str(Path(request.data).absolute()) if Path(request.data).is_dir() else request.data
        return NodeOrder(
            replace(request, device=self.room.device, results=results, data=data, launch="local", address="", jobs=1),
            job.spec.identity(), self.room.cpus, self.token,
            hashlib.sha256(f"{socket.gethostname()}:{results}".encode()).hexdigest()[:12], Path.cwd(),
            dict(self.units), ray.put(pack_transfer(cell.folder)) if cell.state() != "new" else None,
        )  # fmt: skip


def _cancel(references: Sequence[Any]) -> None:
    """Ask the tasks to save and end, and wait for them; those that take too long are ended."""
    import ray

    for reference in reversed(references):  # those that wait come first, so that they do not begin meanwhile
        ray.cancel(reference)
    slow = ray.wait(list(references), num_returns=len(references), timeout=ENDING_SECONDS)[1] if references else ()
    for reference in slow:
        ray.cancel(reference, force=True)


def _gathered(request: Request, job: Job, outcome: NodeOutcome) -> bool:
    """Put what came back in its place; True unless the cell failed. BenchError if another command works on it."""
    if outcome.problem:
        say(f"{_label(job)}: error on {outcome.node}: {BenchError(*outcome.problem)}")
    _gather_units(outcome, request.results)
    cell = Cell(request.results, job.spec)
    if outcome.cell is not None and not store_gathered_cell(outcome.cell, cell):
        say(f"{_label(job)}: finished by another command meanwhile, kept as it is ({cell.folder.name})")
    return outcome.good


def _gather_units(outcome: NodeOutcome, results: Path) -> None:
    for unit, files in outcome.units.items():
        if not store_unit(unit, files, results):
            say(
                f"warning: {outcome.node} made {unit} with other bytes than the first node did (their processors or "
                "libraries differ): the first is kept, the cells of this node used their own"
            )


def _record_lost(request: Request, job: Job, reason: str) -> None:
    """A row for a cell whose workers were lost or whose task could not run; the next command tries it again.

    Raises BenchError if a worker that was given up still works on it.
    """
    say(f"{_label(job)}: FAILED on the cluster: {reason}")
    cell = Cell(request.results, job.spec)
    with cell.locked():
        if cell.state() == "new":
            cell.begin(method_to_ask(job).supervision)
        if cell.state() == "running":
            cell.set_state("failed", reason=f"on the cluster: {reason}")


def _label(job: Job) -> str:
    return f"{job.spec.method} seed {job.spec.seed}"


def _first_line(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {str(cause).strip().splitlines()[0] if str(cause).strip() else ''}".rstrip(": ")
