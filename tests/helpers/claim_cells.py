"""Cells and semantic stages of the paper's tasks with made-up values, for claims judged on a results folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any

from bench.reporting.claims.claims import CLAIMS
from bench.reporting.claims.formula import ClaimSubject, formula_leaves
from bench.spec.presets import get_preset
from bench.spec.run_spec import Budget, RunSpec
from bench.spec.tasks import get_task
from bench.store.cell import Cell
from bench.store.preset_match import PresetMethod, preset_methods

JUDGE = "aaaaaaaaaaaa"
IMAGES = (50, 200)
Values = Mapping[str, float]
"""`protocol direction` or `protocol direction label` -> value."""


_KEPT = TemporaryDirectory()
"""A results folder that keeps the settings, which take a second to resolve."""


@cache
def own(task: str = "mnist2svhn", preset: str = "quick", kind: str = "embedded") -> Mapping[str, PresetMethod]:
    """Every method of the claims as the harness resolves it."""
    pairs = [pair for claim in CLAIMS if claim.formula is not None for pair in formula_leaves(claim.formula)]
    sides = [side for pair in pairs for side in (pair.better, pair.than) if isinstance(side, ClaimSubject)]
    names = sorted({of.method for side in sides for of in side.candidates if not of.is_stage})
    return preset_methods(Path(_KEPT.name), get_task(task), preset, kind, names)


def record(key: str, value: float | None, **more: Any) -> dict[str, Any]:
    """What is stored of one value."""
    protocol, direction, label = f"{key} all".split()[:3]
    n, real = IMAGES if protocol.startswith("fid") else (IMAGES[0], 0)
    return {
        "metric": protocol.partition("-")[0], "protocol": protocol, "direction": direction, "label": label,
        "value": value, "n": n, "n_reference": real, "encoder": JUDGE, "missing": "", **more,
    }  # fmt: skip


def store(
    root: Path, method: str, values: Values | Sequence[Mapping[str, Any]] = (), seed: int = 0, task: str = "mnist2svhn",
    preset: str = "quick", kind: str = "embedded", changed: Mapping[str, Any] | None = None, failed: str = "",
    step: int | None = 7, state: str = "done", supervision: str = "none", **spec: Any,
) -> Cell:  # fmt: skip
    """A cell with the preset's own settings, but for `changed` ones; a failed one has no values."""
    of, found = get_task(task), own(task, preset, kind)[method]
    resolved: dict[str, Any] = {
        "task": task, "domains": of.domains, "data_kind": kind, "data_version": "v1", "image_size": of.sizes[preset],
        "preset": preset, "method": method, "method_version": found.version,
        "config": {**found.config, **(changed or {})}, "budget": Budget("images", get_preset(preset, of.kind).images),
        "seed": seed, **spec,
    }  # fmt: skip
    copytree(Path(_KEPT.name) / "index", root / "index", dirs_exist_ok=True)
    cell = Cell(root, RunSpec(**resolved))
    cell.begin(supervision)
    if failed:
        cell.set_state("failed", reason=failed, **({} if step is None else {"step": step}))
        return cell
    cell.set_state(state)  # type: ignore[arg-type]
    if state == "done":
        records = [record(key, value) for key, value in values.items()] if isinstance(values, Mapping) else values
        cell.metrics(found.style).write_text(json.dumps({"schema": 2, "records": list(records)}))
    return cell


def store_stage(
    root: Path, stage: str, accuracies: Mapping[tuple[str, str], float], seed: int, task: str = "mnist2svhn",
    changed: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """A stage of CatS-UDT's chain in the quick setting; (domain, split) -> accuracy in [0, 1]."""
    folder = root / "semantics" / task / f"{stage}-seed{seed}-{'changed' if changed else 'own'}"
    folder.mkdir(parents=True)
    rows = [
        {"stage": stage, "seed": seed, "domain": domain, "split": split, "n": 100, "accuracy": accuracy}
        for (domain, split), accuracy in accuracies.items()
    ]
    config = own(task)["cats_udt"].config
    setting = {"data_kind": "embedded", "data_version": "v1", "image_size": get_task(task).sizes["quick"]}
    content = {
        "task": task, **setting, "preset": "quick", "method": "cats_udt", "alignment": rows,
        "config": {**config, "semantics": {**config["semantics"], **(changed or {})}},
    }  # fmt: skip
    (folder / "alignment.json").write_text(json.dumps(content))
