"""Baselines and later trainings with made-up values, and a code check that finds nothing wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from stored_cells import JUDGE, fid, judged, store

from bench.checks.gate.save import SaveBaselineRequest, save_gate_baseline
from bench.checks.gate.verdict import Finding, Verdict

METHODS = ("cyclegan", "munit")
"""The first is far above chance (20 %), the second is not: three series."""
STORED = 12
NEW = range(STORED, STORED + 4)
RECORDED = "code.json"


def stand_in_code_check(monkeypatch: pytest.MonkeyPatch, verdict: Verdict = Verdict.PASS) -> None:
    """In place of `bench.checks.gate.code.code_check`: one finding, if its stored input is there."""

    def check(folder: Path) -> list[Finding]:
        text = (folder / RECORDED).read_text()
        return [Finding("code", "fid-judge-v1", "value", verdict, text, text, "within 1e-6")]

    module = ModuleType("bench.checks.gate.code.code_check")

    def record(folder: Path, outside: Sequence[str] = ()) -> None:
        folder.mkdir()
        (folder / RECORDED).write_text("1.5")

    module.record_code_check = record  # type: ignore[attr-defined]
    module.run_code_check = check  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bench.checks.gate.code.code_check", module)


def values(method: str, seed: int, accuracy: float = 0.0, distance: float = 0.0) -> list[dict[str, Any]]:
    """Records of a training: what a seed gives, changed by so much."""
    rng = np.random.default_rng([METHODS.index(method), seed])
    level = 70.0 if method == "cyclegan" else 24.0
    return [judged(level + 2 * rng.normal() + accuracy), fid(10 + rng.normal() + distance)]


def train(root: Path, seeds: Sequence[int], methods: Sequence[str] = METHODS, **changes: Any) -> None:
    """Store trainings; `accuracy` and `distance` change their values, the rest goes to `store`."""
    change = {name: changes.pop(name) for name in ("accuracy", "distance") if name in changes}
    for method in methods:
        for seed in seeds:
            store(root, method, values(method, seed, **change), seed=seed, **changes)


def store_judge(root: Path) -> None:
    """The one that the made-up values are by."""
    folder = root / "judges" / "real-0123456789ab"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "judge.json").write_text(json.dumps({"identity": JUDGE + "0" * 52}))
    (folder / "weights.safetensors").write_bytes(b"weights")


def save_baseline(root: Path, name: str = "main", **changes: Any) -> None:
    """Of everything that is stored."""
    fields: dict[str, Any] = {
        "name": name, "task": "sketch2real", "methods": (), "seeds": (), "preset": "quick", "data": "", "domains": "",
        "budget": "", "results": root,
    }  # fmt: skip
    assert save_gate_baseline(SaveBaselineRequest(**{**fields, **changes})) == 0
