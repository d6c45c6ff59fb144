"""Cells of the paper's tasks as the harness stores them, with made-up values: for tables from a results folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bench.spec.presets import get_preset
from bench.spec.run_spec import Budget, RunSpec
from bench.spec.tasks import get_task
from bench.store.cell import Cell
from bench.store.preset_match import PresetMethod, preset_method

JUDGE = "aaaaaaaaaaaa"
CLASSES = ("all", "bird", "dog", "flower", "speedboat", "tiger")


@cache
def own(method: str, task: str = "sketch2real", preset: str = "quick", kind: str = "embedded") -> PresetMethod:
    """As the harness resolves it."""
    return preset_method(get_task(task), preset, kind, method)


def fid(value: float | None, label: str = "all", protocol: str = "fid-judge-v1", **more: Any) -> dict[str, Any]:
    """A record."""
    return {
        "metric": "fid", "protocol": protocol, "direction": "sketch->real", "label": label, "value": value, "n": 100,
        "n_reference": 200, "encoder": JUDGE, "missing": "", **more,
    }  # fmt: skip


def judged(value: float, n: int = 500, on_real: float = 97.5, **more: Any) -> dict[str, Any]:
    """A record of accuracy."""
    kind = {"metric": "accuracy", "protocol": "accuracy-judge-v1", "n": n, "n_reference": 0, "on_real": on_real}
    return fid(value, **{**kind, **more})


def store(
    root: Path, method: str, records: Sequence[Mapping[str, Any]], seed: int = 0, task: str = "sketch2real",
    preset: str = "quick", kind: str = "embedded", changed: Mapping[str, Any] | None = None, style: str = "",
    failed: str = "", state: str = "done", **spec: Any,
) -> Cell:  # fmt: skip
    """A cell with the preset's own settings, but for `changed` ones. A failed one has no metrics."""
    of, found = get_task(task), own(method, task, preset, kind)
    values: dict[str, Any] = {
        "task": task, "domains": of.domains, "data_kind": kind, "data_version": "v1", "image_size": of.sizes[preset],
        "preset": preset, "method": method, "method_version": found.version,
        "config": {**found.config, **(changed or {})}, "budget": Budget("images", get_preset(preset, of.kind).images),
        "seed": seed, **spec,
    }  # fmt: skip
    cell = Cell(root, RunSpec(**values))
    cell.begin()
    if failed:
        cell.set_state("failed", reason=failed, step=7)
    else:
        cell.set_state(state)  # type: ignore[arg-type]
    if state == "done" and not failed:
        directions = {of.direction_name(direction) for direction in of.directions}
        judges = {name: {"identity": JUDGE, "accuracy": 0.975, "n": 777} for name in directions}
        content = {"schema": 2, "judges": judges, "records": list(records)}
        cell.metrics(style or found.style).write_text(json.dumps(content))
    return cell
