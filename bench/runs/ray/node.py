"""What a task of the cluster does on its node: one cell, or the judges.

A node that reaches the results folder works in it. Any other has a scratch folder of its own, the same for all cells
of that results folder, so that its cells share judges and stages and an unfinished one resumes; what is finished
travels back as bytes.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bench.core.errors import BenchError
from bench.core.installation import prefer_installed_packages
from bench.data.fetch.locate import locate_cache
from bench.data.load import load_data
from bench.evaluation.encoders import make_encoders
from bench.runs.local import run_session_locally
from bench.runs.ray.transfer import Files, pack_transfer, pack_units, store_unit, transfer_units, unpack_transfer
from bench.runs.request import Request, Session, open_request
from bench.spec.tasks import get_task
from bench.store.cell import Cell

LOCK_SECONDS = 60.0
"""How long the lock of a cell may outlive its holder: until a node that was given up notices it itself."""
SCRATCH = "UDT_BENCH_SCRATCH"
"""Environment variable of a node: a folder for its cells, although it may reach the results folder."""


@dataclass(frozen=True)
class NodeOrder:
    """One task, as it travels to a node."""

    request: Request
    """For one method and seed, with absolute paths, and a device instead of `auto`."""
    identity: str
    """Of the cell that is wanted."""
    threads: int
    """torch's CPU threads: as many as the task reserves."""
    token: str
    """Name of a file in the results folder that is there during this command."""
    scratch: str
    """Name of the scratch folder for this results folder."""
    folder: Path
    """Where the command was typed; a method given as `package.module:Class` may lie there."""
    units: Mapping[str, Any] = field(default_factory=dict)
    """What cells share and the results folder has: name -> reference to its files."""
    begun: Any = None
    """Reference to the files of a cell that was begun, None for a new one."""


@dataclass(frozen=True)
class NodeOutcome:
    """The result of a task, as it travels back."""

    good: bool
    """Whether the cell did not fail."""
    node: str
    """Host name."""
    problem: tuple[str, str] | None = None
    """What went wrong, and the remedy, if the user can mend it; the cell was not touched."""
    cell: Files | None = None
    """The finished or failed cell; None if it is in its place."""
    units: Mapping[str, Files] = field(default_factory=dict)
    """What cells share and was made here, unless it is in its place."""


def run_cell_on_node(order: NodeOrder) -> NodeOutcome:
    """Bring the cell to its end from wherever it stands. Raises Interrupted (state saved)."""
    return _guarded(order, _do_cell)


def train_judges_on_node(order: NodeOrder) -> NodeOutcome:
    """Train the judges of the cell's task, if they are not there."""
    return _guarded(order, _do_judges)


def _guarded(order: NodeOrder, work: Any) -> NodeOutcome:
    try:
        prefer_installed_packages(order.folder)
        return work(order)
    except BenchError as error:
        return NodeOutcome(False, socket.gethostname(), problem=(error.what, error.remedy))


def _do_cell(order: NodeOrder) -> NodeOutcome:
    home, session = _open(order)
    cell = Cell(home, session.jobs[0].spec)
    here = home == order.request.results
    before = set() if here else set(transfer_units(home, features=True))
    _wait_for(cell)
    if not here:
        _receive_cell(order, cell)
    good = run_session_locally(replace(order.request, results=home), session)
    if here:
        return NodeOutcome(good, socket.gethostname())
    outcome = NodeOutcome(good, socket.gethostname(), cell=pack_transfer(cell.folder), units=pack_units(home, before))
    shutil.rmtree(cell.folder)
    return outcome


def _do_judges(order: NodeOrder) -> NodeOutcome:
    home, session = _open(order)
    encoders = make_encoders(home, session.data, session.preset, session.runtime, order.request.protocols)
    for target in sorted({target for _, target in session.task.directions}):
        encoders.judge(target)
    here = home == order.request.results
    return NodeOutcome(True, socket.gethostname(), units={} if here else pack_units(home, order.units))


def _open(order: NodeOrder) -> tuple[Path, Session]:
    """(results folder or scratch folder, with what cells share in it; the session of the one cell).

    Raises BenchError if this node would make another cell: with other data, or another version of the code.
    """
    os.environ["OMP_NUM_THREADS"] = str(order.threads)  # this process does nothing else, see `driver.OPTIONS`
    request = order.request
    task = get_task(request.task)
    data = load_data(task, request.data, task.sizes[request.preset], request.domains, request.val)
    session = open_request(request, data)
    if [job.spec.identity() for job in session.jobs] != [order.identity]:
        raise BenchError(
            f"{socket.gethostname()} would make another cell of {request.methods[0]}: its {data.note}",
            "install the same udt-bench on every node, and give each the same files (UDT_BENCH_FILES, set where "
            "`ray start` is typed)",
        )
    home = _home(order)
    for unit in set(order.units) - set(transfer_units(home, features=False)) if home != request.results else ():
        store_unit(unit, _fetched(order.units[unit]), home)
    return home, session


def _home(order: NodeOrder) -> Path:
    scratch = os.environ.get(SCRATCH)
    if scratch:
        return Path(scratch).expanduser() / order.scratch
    if (order.request.results / order.token).exists():
        return order.request.results
    return locate_cache() / "cluster" / order.scratch


def _wait_for(cell: Cell) -> None:
    """Wait until nobody holds the cell, at most LOCK_SECONDS: `Cell.locked` then says who does."""
    cell.folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cell.folder / ".lock")
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        return
    lock.release()


def _receive_cell(order: NodeOrder, cell: Cell) -> None:
    """The cell as the results folder has it, unless what an earlier attempt left here is further."""
    if order.begun is None:
        return
    files = _fetched(order.begun)
    trained = {cell.weights.name, cell.cost.name} <= set(files)
    if trained or cell.state() == "new":
        unpack_transfer(files, cell.folder, "status.json")


def _fetched(reference: Any) -> Files:
    import ray

    return ray.get(reference)
