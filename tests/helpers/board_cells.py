"""Stored cells of a folder's task with made-up values: for leaderboards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.spec.run_spec import Budget, RunSpec
from bench.store.cell import Cell

ENCODER = "aaaaaaaaaaaa"
FLOOR = {"floor": 4.0, "floor_deviation": 0.5, "floor_n": 10, "floor_reference": 12}


def record(value: float | None, n: int = 10, encoder: str = ENCODER, label: str = "all", **more: Any) -> dict[str, Any]:
    """One stored value."""
    return {
        "metric": "fid", "protocol": "fid-judge-v1", "direction": "ink->paint", "label": label, "value": value, "n": n,
        "n_reference": 20, "encoder": encoder, "missing": "", "on_real": None, **more,
    }  # fmt: skip


def add(
    root: Path, records: list[dict[str, Any]], state: str = "done", supervision: str = "none",
    stages: dict[str, float] | None = None, pretrained: tuple[str, ...] = (), **changes: Any,
) -> Cell:  # fmt: skip
    """A cell with `records`, in `state`."""
    values: dict[str, Any] = {
        "task": "folder", "domains": ("ink", "paint"), "data_kind": "real", "data_version": "v1", "image_size": 32,
        "preset": "quick", "method": "cyclegan", "method_version": 1, "config": {"width": 8},
        "budget": Budget("images", 100), "seed": 0,
    }  # fmt: skip
    cell = Cell(root, RunSpec(**{**values, **changes}))
    cell.begin(supervision)
    for name in pretrained:
        cell.recording(lambda name: name)(name)
    details = {"reason": "loss is not finite", "step": 7} if state == "failed" else {}
    cell.set_state(state, **details)  # type: ignore[arg-type]
    if state == "done":
        cost = {"seconds": 61.6, "parameters": 1234567, "flops": 2.5e12, "stage_seconds": stages or {}}
        cell.cost.write_text(json.dumps(cost))
        cell.metrics("none").write_text(json.dumps({"records": records}))
    return cell
