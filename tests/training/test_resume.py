"""A run that was killed and started again gives the same bytes as one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tiny
from tiny import METHODS, SOURCES

from bench.spec.run_spec import spec_config
from methods.registry import BUILT_IN, load_registered

SCRIPT = Path(tiny.__file__)
COMPARED = ("weights.safetensors", "metrics-*.json", "translations-*.npy", "log.jsonl")


STEPS = 40
KILLED_AT = (10, 30)
"""Checkpoints after which a run is killed: the first in a stage where there are any (of 20 steps), the second not."""


def budget(method: str) -> str:
    """Of STEPS iterations."""
    cls = load_registered(BUILT_IN[method].target)
    built: Any = cls
    config = spec_config(cls, method, METHODS[method], {"clusters": 2} if method == "cats_udt" else {})
    return f"images={STEPS * built(config, 32).images_per_step}"


def command(method: str, data: Path, results: Path) -> list[str]:
    return [
        sys.executable, str(SCRIPT), "run", "--task", "folder", "--data", str(data), "--methods", method,
        "--results", str(results), "--budget", budget(method), "--device", "cpu",
    ]  # fmt: skip


def start(method: str, data: Path, results: Path, cache: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": SOURCES, "UDT_BENCH_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    environment.pop("UDT_BENCH_FILES", None)
    pipe = subprocess.PIPE
    return subprocess.Popen(command(method, data, results), env=environment, stdout=pipe, stderr=pipe, text=True)


def wait_for_checkpoint(results: Path, process: subprocess.Popen[str], step: int) -> None:
    """Until a checkpoint of at least `step` lies there."""
    for _ in range(3000):
        steps = [int(path.name[5:14]) for path in results.rglob("step-*.pt")]
        if steps and max(steps) >= step:
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    raise AssertionError("no checkpoint appeared in a minute")


def finish(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, output + errors
    return errors


def contents(results: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for pattern in COMPARED
        for path in sorted(results.rglob(pattern))
        if "runs" in path.parts
    }


KILLED_BY_DEFAULT = ("cats_udt",)
"""The method with the most stages. `bench conform` resumes every method within one process."""


@pytest.mark.parametrize(
    "method", [name if name in KILLED_BY_DEFAULT else pytest.param(name, marks=pytest.mark.slow) for name in BUILT_IN]
)
def test_killed_twice_and_resumed_equals_uninterrupted(method: str, shapes: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    whole = tmp_path / "whole"
    finish(start(method, shapes, whole, cache))
    broken = tmp_path / "broken"
    for step in KILLED_AT:  # wherever the process stands when the signal arrives
        process = start(method, shapes, broken, cache)
        wait_for_checkpoint(broken, process, step)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it ended before it was killed"
    errors = finish(start(method, shapes, broken, cache))
    assert "resuming at step" in errors
    expected, got = contents(whole), contents(broken)
    assert sorted(expected) == sorted(got)
    assert len(expected) == 5  # weights, metrics, log, both directions' translations
    for name in expected:
        assert expected[name] == got[name], f"{name} differs"


def test_sigterm_saves_and_exits(shapes: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    process = start("cyclegan", shapes, results, tmp_path / "cache")
    wait_for_checkpoint(results, process, 10)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert "the same command resumes" in errors
    assert "resuming at step" in finish(start("cyclegan", shapes, results, tmp_path / "cache"))
