"""The script for the machine with the GPU works, there where nothing but torch and numpy is installed."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import gpu_checks
import gpu_steps
import pytest
import torch

from methods.registry import BUILT_IN

SCRIPT = Path(__file__).with_name("gpu_steps.py")
ROOT = SCRIPT.parent.parent.parent
ABSENT = """
import runpy, sys

class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        absent = name.partition(".")[0] in {names}
        return None if absent else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
sys.path[:0] = [{root!r}, {folder!r}]
sys.argv = ["gpu_steps.py", "--small", "--device", "cpu", {out!r}]
runpy.run_path({script!r}, run_name="__main__")
"""
MODULES = {
    "scikit-learn": "sklearn", "torch-fidelity": "torch_fidelity", "lightning-fabric": "lightning_fabric",
    "PyYAML": "yaml", "Pillow": "PIL", "Jinja2": "jinja2",
}  # fmt: skip
"""Packages whose module has another name."""


def our_dependencies() -> set[str]:
    """Modules of the packages that the project asks for, and timm; torch and numpy apart."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    packages = [text.split(">")[0].split("=")[0] for text in wanted]
    return {MODULES.get(package, package) for package in packages} - {"torch", "numpy"} | {"timm"}


@pytest.mark.slow
def test_it_measures_everything_with_torch_and_numpy_alone(tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    names = {"root": str(ROOT), "folder": str(SCRIPT.parent), "out": str(out), "script": str(SCRIPT)}
    code = ABSENT.format(names=our_dependencies(), **names)
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["skipped"] == []
    assert set(found["large"]) == set(found["resume"]) == set(BUILT_IN)
    assert set(found["step"]) == {f"{name} 32" for name in BUILT_IN}
    assert set(found["stage"]) == set(gpu_checks.STAGES)
    assert set(found["scoring"]) == {"judge"}
    assert {row["difference"] for row in found["resume"].values()} == {0.0}
    assert set(found["steps"]) == {"cats_udt", "stargan_v2"}
    for row in found["steps"].values():
        assert row["gflop"] < row["reference gflop"]
        assert row["ratio, no TF32"]["median"] > 0
        # 100,000 iterations of so many milliseconds, in hours
        assert abs(row["hours of 100,000 iterations"] / (row["ms"]["ours"] / 36) - 1) < 1e-9
    assert "cats_udt 16 px" in done.stdout
    assert json.loads(done.stdout.partition("\n\n")[0]) == found
    assert done.stdout.splitlines()[-1].startswith("verdict: passed: all ")


def test_it_goes_on_where_it_ended_and_says_what_failed(tmp_path: Path) -> None:
    out, device, size = tmp_path / "found.json", gpu_steps.Device("cpu"), gpu_steps.small()
    calls: list[str] = []

    def given(name: str, fails: bool = False) -> gpu_steps.Task:
        def call() -> dict[str, int]:
            calls.append(name)
            assert json.loads(out.read_text())["g"] == {"a": {"n": 1}} if calls[-2:] == ["a", "b"] else True
            if fails:
                raise ValueError("no such kernel")
            return {"n": 1}

        return "g", name, call

    tasks = [given("a"), given("b", fails=True)]
    found = gpu_steps.measure(tasks, size, device, out)
    assert found["skipped"] == ["g b: ValueError: no such kernel"]
    assert gpu_steps.verdict(found, tasks) == "verdict: FAILED: 1 of 2: g b"
    hurried = dataclasses.replace(size, minutes=0.0)
    late = gpu_steps.measure(tasks, hurried, device, out)
    assert gpu_steps.verdict(late, tasks) == (
        "verdict: not finished: 1 of 2 done, none failed; the same command goes on"
    )
    tasks[1] = given("b")
    found = gpu_steps.measure(tasks, size, device, out)
    assert calls == ["a", "b", "b"]
    assert json.loads(out.read_text())["g"] == found["g"] == {"a": {"n": 1}, "b": {"n": 1}}
    assert gpu_steps.verdict(found, tasks) == "verdict: passed: all 2"


def test_tf32_is_off_inside_alone() -> None:
    before = torch.backends.cudnn.allow_tf32
    with gpu_steps.tf32_off():
        assert torch.backends.cudnn.allow_tf32 is False
    assert torch.backends.cudnn.allow_tf32 is before is True
