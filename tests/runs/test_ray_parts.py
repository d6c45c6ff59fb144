"""The parts of `--launch ray` that need no cluster: what a node does, what travels, and what is refused."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bench.cli.commands import main
from bench.core.errors import BenchError
from bench.runs import cell as cell_module
from bench.runs.cell import is_cell_settled
from bench.runs.ray import driver, node
from bench.runs.ray.node import NodeOrder, NodeOutcome, run_cell_on_node, train_judges_on_node
from bench.runs.ray.transfer import pack_transfer, store_gathered_cell, store_unit, transfer_units
from bench.runs.request import Request, open_request
from bench.store.cell import Cell

pytestmark = pytest.mark.usefixtures("tiny_preset", "no_real_files")

TOKEN = ".cluster-here"


@pytest.fixture(autouse=True)
def on_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """References are what they refer to, and the node has no scratch folder set."""
    monkeypatch.setattr(node, "_fetched", lambda reference: reference)
    monkeypatch.delenv(node.SCRATCH, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def order(shapes: Path, tmp_path: Path) -> NodeOrder:
    """A cell of a quick toy, from a results folder that this node does not reach."""
    request = Request(
        task="folder", methods=("toys:Toy",), preset="quick", data=str(shapes), seeds=(0,), overrides=(), device="cpu",
        results=(tmp_path / "results").absolute(),
    )  # fmt: skip
    spec = open_request(request).jobs[0].spec
    return NodeOrder(request, spec.identity(), 1, TOKEN, "a-driver", tmp_path)


def cell_of(order: NodeOrder, root: Path | None = None) -> Cell:
    return Cell(root or order.request.results, open_request(order.request).jobs[0].spec)


def test_a_cell_made_elsewhere_is_the_cell_made_in_place(
    order: NodeOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = run_cell_on_node(order)
    assert away.good
    assert away.cell is not None
    assert not order.request.results.exists()
    assert not list((tmp_path / "cache" / "cluster" / "a-driver").glob("runs/*/*/*"))  # nothing stays to be found twice
    gather(away, order)
    here = replace(order, request=replace(order.request, results=tmp_path / "other"))
    here.request.results.mkdir()
    (here.request.results / TOKEN).touch()
    outcome = run_cell_on_node(here)
    assert (outcome.good, outcome.cell, outcome.units) == (True, None, {})
    first, second = pack_transfer(cell_of(order).folder), pack_transfer(cell_of(here).folder)
    assert first.keys() == second.keys()
    for name in ("weights.safetensors", "spec.json", "status.json", "metrics-noise.json"):
        assert first[name] == second[name], name
    units = [transfer_units(one.request.results, features=True) for one in (order, here)]
    assert units[0].keys() == units[1].keys()
    # With a scratch folder a node gathers, although it reaches the results.
    monkeypatch.setenv(node.SCRATCH, str(tmp_path / "scratch"))
    assert run_cell_on_node(here).cell is not None


def gather(outcome: NodeOutcome, order: NodeOrder) -> None:
    assert outcome.cell is not None
    for unit, files in outcome.units.items():
        assert store_unit(unit, files, order.request.results)
    assert store_gathered_cell(outcome.cell, cell_of(order))


def test_a_node_that_would_make_another_cell_makes_none(order: NodeOrder, tmp_path: Path) -> None:
    outcome = run_cell_on_node(replace(order, identity="another"))
    assert not outcome.good
    assert outcome.cell is None
    assert outcome.problem is not None
    assert "would make another cell of toys:Toy" in outcome.problem[0]
    assert not (tmp_path / "cache" / "cluster").exists()


def test_judges_of_the_results_folder_are_used_and_not_trained_again(
    order: NodeOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = train_judges_on_node(order)
    assert sorted(unit.split("/")[0] for unit in made.units) == ["judges", "judges"]
    monkeypatch.setenv(node.SCRATCH, str(order.request.results.parent / "second node"))
    monkeypatch.setattr("bench.evaluation.judge._train_and_store", fail)
    outcome = run_cell_on_node(replace(order, units=made.units))
    assert outcome.good
    assert not [unit for unit in outcome.units if unit.startswith("judges")]  # they do not travel back


def fail(*arguments: Any) -> None:
    raise AssertionError("it was done again")


def test_a_trained_cell_that_was_begun_here_is_only_scored_there(
    order: NodeOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    gather(run_cell_on_node(order), order)
    cell = cell_of(order)
    cell.metrics("noise").unlink()
    cell.set_state("trained")
    monkeypatch.setattr(cell_module, "train", fail)
    outcome = run_cell_on_node(replace(order, begun=pack_transfer(cell.folder)))
    assert outcome.good
    gather(outcome, order)
    assert cell.state() == "done"
    assert cell.metrics("noise").exists()


def test_a_finished_cell_is_not_overwritten_by_another_training(order: NodeOrder) -> None:
    outcome = run_cell_on_node(order)
    gather(outcome, order)
    cell = cell_of(order)
    before = pack_transfer(cell.folder)
    assert outcome.cell is not None
    other = {**outcome.cell, "weights.safetensors": b"other", "metrics-noise.json": b"{}"}
    assert not store_gathered_cell(other, cell)
    assert pack_transfer(cell.folder) == before
    assert store_gathered_cell({**outcome.cell, "scoring.json": b"{}"}, cell)  # the same training, scored anew
    assert pack_transfer(cell.folder)["scoring.json"] == b"{}"
    with cell.locked(), pytest.raises(BenchError, match="is being worked on"):
        store_gathered_cell(outcome.cell, cell)


def test_of_two_nodes_judges_the_first_is_kept_whole(tmp_path: Path) -> None:
    first, second = ({"weights.safetensors": content, "judge.json": b"{}"} for content in (b"first", b"second"))
    # Half of one is there, from a command that was killed: not complete, so all of it is replaced.
    (tmp_path / "judges/ink-1").mkdir(parents=True)
    (tmp_path / "judges/ink-1/weights.safetensors").write_bytes(b"half")
    assert not transfer_units(tmp_path, features=True)
    assert store_unit("judges/ink-1", first, tmp_path)
    assert not store_unit("judges/ink-1", second, tmp_path)
    assert store_unit("judges/ink-1", first, tmp_path)
    assert pack_transfer(tmp_path / "judges/ink-1") == first
    assert store_unit("features/a/b.npy", {"b.npy": b"1"}, tmp_path)
    assert (tmp_path / "features/a/b.npy").read_bytes() == b"1"


def test_settled_cells_are_not_sent(order: NodeOrder, capsys: pytest.CaptureFixture[str]) -> None:
    session = open_request(order.request)
    wanted = [(order.request, session, session.jobs[0])]
    assert driver._unsettled(wanted) == (wanted, True)
    gather(run_cell_on_node(order), order)
    assert driver._unsettled(wanted) == ([], True)
    assert "finished before, skipped" in capsys.readouterr().err
    cell = cell_of(order)
    cell.set_state("failed", reason="a crash")  # without a step: tried again
    assert driver._unsettled(wanted) == (wanted, True)
    cell.set_state("failed", reason="loss adv is not finite", step=3)
    assert driver._unsettled(wanted) == ([], False)
    assert is_cell_settled(cell, "toys:Toy seed 0", None) is False  # type: ignore[arg-type]


def test_a_cell_whose_workers_were_lost_is_a_row(order: NodeOrder) -> None:
    job = open_request(order.request).jobs[0]
    cell = cell_of(order)
    driver._record_lost(order.request, job, "WorkerCrashedError")
    assert cell.status() == {"state": "failed", "reason": "on the cluster: WorkerCrashedError"}
    cell.set_state("done")
    driver._record_lost(order.request, job, "the node died after the cell was finished")
    assert cell.state() == "done"


# --------------------------------------------------------------------------------------------------------- refused


def closed_port() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{unused.getsockname()[1]}"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (closed_port, "no Ray cluster answers at 127.0.0.1:"),
        (lambda: "head", "--address 'head' is not understood"),
        (lambda: "ray://head:10001", "of a Ray client, which is not supported"),
    ],
)
def test_an_address_where_no_cluster_is(
    address: Callable[[], str], message: str, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    status, errors = command(["--launch", "ray", "--address", address()], shapes, tmp_path, monkeypatch, capsys)
    assert status == 2
    assert message in errors
    assert "--address" in errors.split("error: ")[1].splitlines()[1]
    assert not list(tmp_path.rglob("runs"))


def test_without_ray(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    status, errors = command(["--launch", "ray"], shapes, tmp_path, monkeypatch, capsys)
    assert status == 2
    assert '--launch ray needs Ray\n  type: pip install "udt-bench[cluster]"' in errors


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--launch", "slurm"], "--launch 'slurm' is not understood"),
        (["--address", "head:6379"], "--address head:6379 is of a cluster\n  add --launch ray"),
        (["--launch", "ray", "--profile"], "--profile looks at the steps of this machine\n  leave out --launch ray"),
        (["--launch", "ray", "--device", "gpu"], "unknown device 'gpu'"),
    ],
)
def test_options_that_do_not_go_together(
    more: list[str], message: str, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    status, errors = command(more, shapes, tmp_path, monkeypatch, capsys)
    assert (status, message in errors) == (2, True), errors


def command(
    more: list[str], shapes: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """(exit status, standard error) of a run."""
    own = ["run", "--task", "folder", "--data", str(shapes), "--methods", "toys:Toy", "--results", str(folder / "r")]
    monkeypatch.setattr(sys, "argv", ["udt-bench", *own, *more])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize(
    ("device", "nodes", "room"),
    [
        ("auto", [{"CPU": 4.0}], driver.Room("cpu", 2, 0)),
        ("auto", [{"CPU": 64.0, "GPU": 8.0}, {"CPU": 16.0, "GPU": 4.0}, {"CPU": 2.0}], driver.Room("cuda", 4, 1)),
        ("cpu", [{"CPU": 64.0, "GPU": 8.0}], driver.Room("cpu", 2, 0)),
        ("cuda", [{"CPU": 4.0}], "no node of the cluster has a GPU"),
        ("auto", [{"CPU": 1.0}, {}], "no node of the cluster has 2 cores"),
        ("auto", [], "no node of the cluster has 2 cores"),
    ],
)
def test_a_cells_share_of_a_node(
    device: str, nodes: list[dict[str, float]], room: driver.Room | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = ModuleType("ray")
    dead = {"Alive": False, "Resources": {"CPU": 99.0, "GPU": 1.0}}
    ray.nodes = lambda: [dead, *({"Alive": True, "Resources": node} for node in nodes)]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", ray)
    if isinstance(room, str):
        with pytest.raises(BenchError, match=room):
            driver._room(device, 2)
    else:
        assert driver._room(device, 2) == room
