"""`--launch ray`: on a cluster of two local nodes, one of which is killed, cells are neither lost nor done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import test_processes
import tiny_cluster

from bench.store.cell import read_cells

pytest.importorskip("ray", reason='needs Ray: pip install "udt-bench[cluster]"')
pytestmark = pytest.mark.slow

SCRIPT = Path(tiny_cluster.__file__)
STORE_BYTES = 80 << 20
"""Memory of a node's object store: about the least that Ray takes."""
HEALTH = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 500, "health_check_failure_threshold": 4}


class Nodes:
    """A head without cores, and nodes of one core each."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self.folder, self.journal = folder, folder / "journal"
        self.nodes: dict[str, Any] = {}
        os.environ["TINY_JOURNAL"] = str(self.journal)
        self.cluster = Cluster()
        self.cluster.add_node(
            num_cpus=0, object_store_memory=STORE_BYTES, include_dashboard=False, _system_config=HEALTH
        )

    def add(self, name: str, scratch: bool) -> None:
        """One more node; with `scratch` it works in a folder of its own."""
        os.environ.pop("UDT_BENCH_SCRATCH", None)
        if scratch:
            os.environ["UDT_BENCH_SCRATCH"] = str(self.folder / name)
        self.nodes[name] = self.cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)

    def kill(self, name: str) -> None:
        """As by a power cut."""
        self.cluster.remove_node(self.nodes.pop(name), allow_graceful=False)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The command on the cluster."""
        self.journal.unlink(missing_ok=True)
        command = [sys.executable, str(SCRIPT), *arguments, "--launch", "ray", "--address", self.cluster.address]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def events(self, event: str) -> list[str]:
        """Identities of the cells that `event` was noted of."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [line.split()[1] for line in lines if line.split()[0] == event]


@pytest.fixture
def nodes(cluster: Nodes) -> Iterator[Nodes]:
    """The cluster without nodes but its head; those that the test adds and leaves are killed."""
    yield cluster
    for name in list(cluster.nodes):
        cluster.kill(name)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UDT_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("UDT_BENCH_SCRATCH", "")
        patch.setenv("TINY_JOURNAL", "")
        patch.delenv("UDT_BENCH_FILES", raising=False)
        made = Nodes(tmp_path_factory.mktemp("nodes"))
        yield made
        made.cluster.shutdown()


def arguments(shapes: Path, results: Path, *more: str) -> list[str]:
    own = ["--task", "folder", "--data", str(shapes), "--results", str(results), "--device", "cpu"]
    return ["run", *own, *more]


LONG = ("--methods", "cyclegan", "--seeds", "0,1,2", "--budget", "images=240")
"""Three cells of 120 steps, each with checkpoints on the way."""


@pytest.fixture(scope="module")
def alone(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LONG without a cluster, one cell after the other."""
    results = tmp_path_factory.mktemp("alone")
    command = [sys.executable, str(SCRIPT), *arguments(shapes, results, *LONG, "--jobs", "1")]
    environment = {**os.environ, "UDT_BENCH_CACHE": str(results / "cache"), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    return results


@pytest.mark.parametrize("scratch", [False, True], ids=["shared folder", "gathered"])
def test_a_node_is_killed_and_no_cell_is_lost_or_done_twice(
    scratch: bool, nodes: Nodes, shapes: Path, alone: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    nodes.add("first", scratch)
    nodes.add("second", scratch)
    process = nodes.start(*arguments(shapes, results, *LONG))
    wait_until(lambda: len(nodes.events("begin")) == 2 and checkpoints(nodes, results, scratch) >= 2, process)
    nodes.kill("second")
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "3/3" in output
    # Every cell was begun once, and the one of the killed node once more; every cell was ended once.
    cells = {cell["spec"]["seed"]: cell for cell in read_cells(results, "folder")}
    assert {seed: cell["status"]["state"] for seed, cell in cells.items()} == dict.fromkeys(range(3), "done")
    begun, ended = Counter(nodes.events("begin")), Counter(nodes.events("end"))
    assert sorted(begun.values()) == [1, 1, 2]
    assert ended == {cell["spec"]["identity"]: 1 for cell in cells.values()}
    assert len(nodes.events("judges")) == 1
    # What is stored is what one process makes: the same files, and in those that hold no times the same bytes.
    assert kinds(results) == kinds(alone)
    for name in ("weights.safetensors", "metrics-none.json", "translations-*.npy", "judge.json", "spec.json"):
        assert contents(results, name) == contents(alone, name), name
    assert not list(results.glob(".cluster-*"))
    left = {path.relative_to(nodes.folder).parts[0] for path in nodes.folder.rglob("runs/*/*/*/*")}
    assert left <= {"second"}  # nothing that was gathered stays on a node, where a later command would find it

    process = nodes.start(*arguments(shapes, results, *LONG))
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert errors.count("finished before, skipped") == 3
    assert not nodes.events("begin")


def test_failed_cells_are_rows_and_a_sweep_runs_there_too(nodes: Nodes, shapes: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        f"task: folder\ndata: {shapes}\ncells:\n  - method: toys:Toy\n    grid: {{fault: ['', nan, raise]}}\n"
    )
    nodes.add("third", scratch=True)
    process = nodes.start("sweep", str(file), "--results", str(tmp_path / "results"))
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 1, errors
    states = {
        cell["spec"]["config"]["fault"]: (cell["status"]["state"], cell["status"].get("reason"))
        for cell in read_cells(tmp_path / "results", "folder")
    }
    assert states == {
        "": ("done", None),
        "nan": ("failed", "loss 1:generator.adv is not finite"),
        "raise": ("failed", "RuntimeError: a bug in somebody's method"),
    }
    assert len(nodes.events("begin")) == 3  # what fails in the method is not tried again


def test_interrupted_cells_save_their_state_and_resume(nodes: Nodes, shapes: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    nodes.add("fourth", scratch=False)
    more = ("--methods", "cyclegan", "--seeds", "0,1", "--budget", "images=20000")
    process = nodes.start(*arguments(shapes, results, *more))
    wait_until(lambda: bool(list(results.rglob("log.jsonl"))), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 128 + signal.SIGINT, errors
    assert "the same command resumes" in errors
    assert len(list(results.rglob("step-*.pt"))) == 1
    assert len(nodes.events("begin")) == 1  # the second cell waited for the node's core, and was not begun
    test_processes.wait_until(lambda: all(test_processes.is_free(p) for p in results.rglob("runs/**/.lock")), None)


def checkpoints(nodes: Nodes, results: Path, scratch: bool) -> int:
    """Cells that have one."""
    folder = nodes.folder if scratch else results
    return len({path.parent for path in folder.rglob("runs/**/step-*.pt")})


def kinds(results: Path) -> Counter[str]:
    """Names of the files of cells, judges and the feature cache, with how many there are."""
    found: Counter[str] = Counter()
    for path in results.rglob("*"):
        part = path.relative_to(results).parts[0]
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".lock" and part in ("runs", "judges"):
            found[path.name] += 1
    return found


def contents(results: Path, name: str) -> dict[str, bytes]:
    found = {str(path.relative_to(results)): path.read_bytes() for path in results.rglob(name)}
    assert found
    return found


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "it did not happen in two minutes"
        time.sleep(0.05)
