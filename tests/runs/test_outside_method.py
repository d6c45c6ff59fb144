"""The example of a method outside this project, installed as its README says: listed, conformant, run, scored; and the
broken one beside it, which costs its own cell alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.store.cell import read_cells
from bench.training.train import begin_train_step
from methods.base import Domains, Noise, Progress, run_step, to_model_range

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "examples" / "outside_method"
TINY = ROOT / "tests" / "helpers" / "tiny.py"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built and installed by pip without network into a folder of its own."""
    folder = tmp_path_factory.mktemp("outside")
    source, target = folder / "source", folder / "installed"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-build-isolation", "--no-deps"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True, text=True)
    return target


def bench(installed: Path, cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, with the package on its path and tiny presets."""
    path = os.pathsep.join([str(installed), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "UDT_BENCH_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    environment.pop("UDT_BENCH_FILES", None)
    command = [sys.executable, str(TINY), *arguments]
    return subprocess.run(command, env=environment, cwd=cache.parent, capture_output=True, text=True, check=False)


def test_it_is_listed_and_conforms(installed: Path, tmp_path: Path) -> None:
    listed = bench(installed, tmp_path / "cache", "list", "methods")
    assert "colour_transfer         plug-in" in listed.stdout
    conforming = bench(installed, tmp_path / "cache", "conform", "colour_transfer")
    assert conforming.returncode == 0, conforming.stdout + conforming.stderr
    assert "FAILED" not in conforming.stdout


def test_the_broken_one_is_told_where(installed: Path, tmp_path: Path) -> None:
    done = bench(installed, tmp_path / "cache", "conform", "colour_transfer_broken", "--size", "32")
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("FAILED") == 1
    assert "seen      RuntimeError: a bug in somebody's method" in done.stdout
    assert "broken.py:15" in done.stdout


@pytest.mark.slow
def test_it_is_scored_beside_a_built_in_and_the_broken_one_costs_its_own_cell(
    installed: Path, shapes: Path, tmp_path: Path
) -> None:
    methods, results = "cyclegan,colour_transfer_broken,colour_transfer", tmp_path / "results"
    arguments = ("--task", "folder", "--results", str(results))
    run = ("run", *arguments, "--data", str(shapes), "--methods", methods, "--budget", "images=64", "--jobs", "1")
    done = bench(installed, tmp_path / "cache", *run, "--device", "cpu")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "colour_transfer_broken seed 0: CRASHED: RuntimeError: a bug in somebody's method" in done.stderr
    states = {cell["spec"]["method"]: cell["status"]["state"] for cell in read_cells(results, "folder")}
    assert states == {"cyclegan": "done", "colour_transfer": "done", "colour_transfer_broken": "failed"}
    table = bench(installed, tmp_path / "cache", "table", *arguments).stdout
    rows = {line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|")}
    assert {"cyclegan", "colour_transfer"} <= rows
    assert "failed: colour_transfer_broken seed 0: RuntimeError: a bug in somebody's method" in table


def test_it_learns_the_colours(shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean colour of translations is within a fifth of the way that lies between the domains."""
    monkeypatch.syspath_prepend(PACKAGE)
    from colour_transfer.method import ColourTransfer, Config  # type: ignore[import-not-found]

    def domain(name: str) -> torch.Tensor:
        files = sorted((shapes / name).rglob("*.png"))
        return torch.from_numpy(np.stack([np.asarray(Image.open(file)).transpose(2, 0, 1) for file in files]))

    domains = Domains((domain("ink"), domain("paint")))
    torch.manual_seed(0)
    method = ColourTransfer(Config(width=32), 32)
    for step in range(300):
        run_step(method, begin_train_step(method, domains, 0, Progress(step, 300)))
    for source, target in ((0, 1), (1, 0)):
        x, y = (to_model_range(domains.images[number]) for number in (source, target))
        z = torch.randn(len(x), 4, generator=torch.Generator().manual_seed(0))
        made = method.translate(x, source, target, Noise(z))
        before, after = ((images.mean((0, 2, 3)) - y.mean((0, 2, 3))).abs().mean() for images in (x, made))
        assert after < before / 5
        other = method.translate(x, source, target, Noise(-z))
        assert (made - other).abs().mean() > 0.05
