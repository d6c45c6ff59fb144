"""Cells in processes of their own: the same results, polite ends, no orphan."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
from tiny import SOURCES

SCRIPT = Path(tiny.__file__)


def start(data: Path, results: Path, cache: Path, *more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": SOURCES, "UDT_BENCH_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    environment.pop("UDT_BENCH_FILES", None)
    command = [
        sys.executable, str(SCRIPT), "run", "--task", "folder", "--data", str(data), "--results", str(results),
        "--device", "cpu", *more,
    ]  # fmt: skip
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stored(results: Path, name: str) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in results.rglob(f"runs/**/{name}")}


def test_two_processes_give_the_bytes_of_one(shapes: Path, tmp_path: Path) -> None:
    for jobs in ("1", "2"):
        process = start(
            shapes, tmp_path / jobs, tmp_path / "cache", "--methods", "cyclegan", "--seeds", "0,1", "--jobs", jobs
        )
        output, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
        assert "2/2" in output
    for name in ("weights.safetensors", "metrics-none.json"):
        one, two = stored(tmp_path / "1", name), stored(tmp_path / "2", name)
        assert len(one) == 2
        assert one == two, name


@pytest.mark.parametrize("jobs", [pytest.param("1", marks=pytest.mark.slow), "2"])
def test_on_a_terminal_one_process_draws_the_bars_of_all(shapes: Path, tmp_path: Path, jobs: str) -> None:
    import pty

    environment = {
        **os.environ,
        "PYTHONPATH": SOURCES,
        "UDT_BENCH_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "120",
    }
    environment.pop("UDT_BENCH_FILES", None)
    command = [
        sys.executable, str(SCRIPT), "run", "--task", "folder", "--data", str(shapes), "--results", str(tmp_path / "r"),
        "--methods", "cyclegan", "--seeds", "0,1", "--jobs", jobs,
    ]  # fmt: skip
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        drawn = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # how Linux says that the other side of a terminal was closed
                break
            drawn += part
    os.close(ours)
    text = drawn.decode(errors="replace")
    assert process.returncode == 0, text
    for wanted in ("cyclegan seed 0", "cyclegan seed 1", "12/12", "steps/s", "judge of paint: ", "━"):
        assert wanted in text, text[-3000:]


@pytest.mark.parametrize("ending", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL])
def test_when_the_parent_ends_the_children_save_and_end(shapes: Path, tmp_path: Path, ending: signal.Signals) -> None:
    results = tmp_path / "results"
    arguments = ("--methods", "cyclegan", "--seeds", "0,1", "--jobs", "2", "--budget", "images=20000")
    process = start(shapes, results, tmp_path / "cache", *arguments)
    wait_until(lambda: len(list(results.rglob("log.jsonl"))) == 2, process)
    process.send_signal(ending)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (128 + ending if ending == signal.SIGTERM else -ending), errors
    # Both children wrote a checkpoint of their last step and gave their cells free, however the parent ended.
    wait_until(lambda: len({path.parent for path in results.rglob("step-*.pt")}) == 2, None)
    wait_until(lambda: all(is_free(path) for path in results.rglob("runs/**/.lock")), None)


def wait_until(condition: object, process: subprocess.Popen[str] | None) -> None:
    assert callable(condition)
    for _ in range(3000):
        if condition():
            return
        assert process is None or process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    raise AssertionError("it did not happen in a minute")


def is_free(path: Path) -> bool:
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    lock.release()
    return True
