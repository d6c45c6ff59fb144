"""Stored results for the tests of figures: cells with the configs that the presets give, and numbers of our choice."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.atomic import write_array, write_json
from bench.data.contract import Split, TaskData
from bench.figures.collect import Setting, preset_config
from bench.presets import get_preset
from bench.results import Cell
from bench.spec import Budget, RunSpec
from bench.tasks import TASKS
from bench.translations import first_per_class

JUDGES = {"mnist->svhn": "a" * 12, "svhn->mnist": "b" * 12, "sketch->real": "c" * 12}
PER_CLASS = 6
"""Test images of each class, all of them translated."""


def make_task_data(name: str, side: int = 16, version: str = "v1") -> TaskData:
    """Noise images: PER_CLASS test images and 12 training images of each class and domain."""
    task, rng, splits = TASKS[name], np.random.default_rng(3), {}
    for domain in (0, 1):
        for split, count in (("train", 12), ("test", PER_CLASS)):
            labels = rng.permutation(np.repeat(np.arange(len(task.classes)), count))
            images = rng.integers(0, 256, (len(labels), 3, side, side), dtype=np.uint8)
            ids = tuple(f"{domain}{split}{row:04d}" for row in range(len(labels)))
            splits[domain, split] = Split(images, labels, ids)
    return TaskData("embedded", version, task.classes, task.domains, splits, side, "")  # type: ignore[arg-type]


def values_of(
    accuracy: Mapping[str, float] | None = None, fid: Mapping[str, float] | None = None, **more: Any
) -> list[dict[str, Any]]:
    """Records over all classes: direction -> value."""
    records = []
    for metric, protocol, values in (
        ("accuracy", "accuracy-judge-v1", accuracy), ("fid", "fid-judge-v1", fid),
    ):  # fmt: skip
        for direction, value in (values or {}).items():
            records.append(
                {
                    "metric": metric, "protocol": protocol, "direction": direction, "label": "all", "value": value,
                    "n": 500, "n_reference": 1000 if metric == "fid" else 0, "encoder": JUDGES[direction],
                    "missing": "",
                    "on_real": 97.0 if metric == "accuracy" else None, "floor": 3.0 if metric == "fid" else None,
                    **more,
                }
            )  # fmt: skip
    return records


def store(
    root: Path, task: str, method: str, seed: int = 0, records: Sequence[dict[str, Any]] = (), state: str = "done",
    over: Mapping[str, Any] | None = None, supervision: str = "none", **changes: Any,
) -> Cell:  # fmt: skip
    """A cell of `method` with the preset's config and `over` laid over it; `changes`: other parts of its spec."""
    preset, size = changes.pop("preset", "quick"), changes.pop("image_size", 16)
    setting = Setting(task, changes.get("data_kind", "embedded"), "v1", size, preset, "")
    flat = {**preset_config(method, setting, over)}
    version = flat.pop("method_version")
    budget = Budget("images", get_preset(preset, TASKS[task].kind).images)
    spec = RunSpec(
        task=task, domains=TASKS[task].domains, data_kind="embedded", data_version="v1", image_size=size,
        preset=preset, method=method, method_version=version, config=_nested(flat), budget=budget, seed=seed,
    )  # fmt: skip
    cell = Cell(root, replace(spec, **changes))
    cell.begin(supervision)
    cell.set_state(state, **({"reason": "loss is not finite", "step": 7} if state == "failed" else {}))  # type: ignore[arg-type]
    if state == "done":
        write_json(cell.metrics("noise"), {"records": list(records), "images": {}, "size": _SIZE})
    return cell


_SIZE = {"sources_per_class": None, "reference_per_class": None}


def add_translations(cell: Cell, data: TaskData, styles: int = 5, style: str = "noise") -> dict[str, np.ndarray]:
    """Give `cell` translations in every direction: image k of source i is filled with a value of its own.

    Returns direction -> uint8 (S, K, 3, H, W).
    """
    made, digests = {}, {}
    for source, target in TASKS[cell.spec.task].directions:
        name = f"{data.domains[source]}->{data.domains[target]}"
        index = first_per_class(data.splits[source, "test"].labels, None)
        rng = np.random.default_rng(int(cell.spec.identity(), 16) % 2**32)
        images = rng.integers(0, 256, (len(index), styles, 3, data.size, data.size), dtype=np.uint8)
        write_array(cell.translations(name, style), images)
        digests[name] = hashlib.sha256(images.data).hexdigest()
        made[name] = images
    cell.metrics("noise").unlink(missing_ok=True)
    write_json(cell.metrics(style), {"records": [], "images": digests, "size": _SIZE})
    return made


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split(".")
        place = found
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return found
