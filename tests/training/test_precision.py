"""`--precision`: what is computed in it, and that it is kept to."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from as_typed import run
from test_resume import finish, wait_for_checkpoint
from tiny import SOURCES

from bench.core.device import Runtime
from bench.core.errors import BenchError
from bench.runs.request import Request
from bench.store.cell import read_cells

SCRIPT = Path(tiny.__file__)


def bf16_cell(shapes: Path, results: Path, **changes: object) -> Request:
    values = {"precision": "bf16", "device": "cpu", "jobs": 1, **changes}
    return Request(
        task="folder",
        methods=("toys:Toy",),
        preset="quick",
        data=str(shapes),
        seeds=(0,),
        overrides=(),
        budget="images=40",
        results=results,
        **values,
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "name", "product"),
    [
        ("auto", "32-true", torch.float32),
        ("float32", "32-true", torch.float32),
        ("bf16", "bf16-mixed", torch.bfloat16),
    ],
)
def test_products_are_made_in_it(asked: str, name: str, product: torch.dtype) -> None:
    """On the CPU bf16 only when it is asked for; what cells share stays in float32 even then."""
    runtime = Runtime("cpu", 32, asked)
    assert runtime.precision == name
    a = torch.ones(2, 2)
    with runtime.autocast():
        assert (a @ a).dtype == product
    with runtime.usual_autocast():
        assert (a @ a).dtype == torch.float32


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(BenchError, match="did you mean 'bf16'"):
        Runtime("cpu", 32, "bf61")


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
def test_a_run_in_bf16_is_finite_recorded_and_told(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bf16_cell(shapes, tmp_path)) == 0
    (cell,) = read_cells(tmp_path, "folder")
    folder = next(tmp_path.glob("runs/folder/*/*/"))
    assert json.loads((folder / "plan.json").read_text())["precision"] == "bf16-mixed"
    assert cell["cost"]["precision"] == "bf16"
    losses = [json.loads(line)["losses"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert losses
    assert all(math.isfinite(value) for line in losses for value in line.values())
    assert "trained in bf16: toys:Toy" in capsys.readouterr().out


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
def test_a_resume_in_another_precision_is_refused_with_what_to_type(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise BenchError("stopped", "after the plan was written")

    with monkeypatch.context() as patched:
        patched.setattr("bench.training.train._Loop.one_step", stopped)
        with pytest.raises(BenchError, match="stopped"):
            run(bf16_cell(shapes, tmp_path))
    with pytest.raises(BenchError, match=r"was begun on cpu in bf16, .* is on cpu in float32") as refused:
        run(bf16_cell(shapes, tmp_path, precision="auto"))
    assert "--precision bf16" in refused.value.remedy
    assert run(bf16_cell(shapes, tmp_path)) == 0


@pytest.mark.slow
def test_killed_in_bf16_and_resumed_equals_uninterrupted(shapes: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ, "PYTHONPATH": SOURCES, "UDT_BENCH_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    environment.pop("UDT_BENCH_FILES", None)

    def start(results: Path) -> subprocess.Popen[str]:
        words = [
            "run", "--task", "folder", "--data", str(shapes), "--methods", "stargan_v2", "--results", str(results),
            "--budget", "images=160", "--device", "cpu", "--precision", "bf16",
        ]  # fmt: skip
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), *words], env=environment, stdout=pipe, stderr=pipe, text=True
        )

    finish(start(tmp_path / "whole"))
    process = start(tmp_path / "broken")
    wait_for_checkpoint(tmp_path / "broken", process, 20)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert "resuming at step" in finish(start(tmp_path / "broken"))
    whole, broken = (next((tmp_path / name).rglob("weights.safetensors")).read_bytes() for name in ("whole", "broken"))
    assert whole == broken
