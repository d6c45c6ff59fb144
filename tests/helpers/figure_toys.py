"""Stored results for the tests of figures: cells with the configs that the presets give, and numbers of our choice."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.files import write_array, write_json
from bench.data.types import Split, TaskData
from bench.evaluation.translate import first_rows_of_each_class
from bench.spec.presets import get_preset
from bench.spec.run_spec import Budget, RunSpec, flat_spec_values
from bench.spec.tasks import TASKS
from bench.store.cell import Cell
from bench.store.preset_match import preset_method

DIGITS, PICTURES = "mnist2svhn", "sketch2real"
M2S, S2M = "mnist->svhn", "svhn->mnist"
JUDGES = {M2S: "a" * 12, S2M: "b" * 12, "sketch->real": "c" * 12}
PER_CLASS = 9
"""Test images of each class, all of them translated."""
SIDE = 16
SIZE = {"sources_per_class": None, "reference_per_class": None}


def make_task_data(name: str, version: str = "v1") -> TaskData:
    """Noise images: PER_CLASS test images and 12 training images of each class and domain."""
    task, rng, splits = TASKS[name], np.random.default_rng(3), {}
    for domain in (0, 1):
        for split, count in (("train", 12), ("test", PER_CLASS)):
            labels = rng.permutation(np.repeat(np.arange(len(task.classes)), count))
            images = rng.integers(0, 256, (len(labels), 3, SIDE, SIDE), dtype=np.uint8)
            ids = tuple(f"{domain}{split}{row:04d}" for row in range(len(labels)))
            splits[domain, split] = Split(images, labels, ids)
    return TaskData("embedded", version, task.classes, task.domains, splits, SIDE, "")  # type: ignore[arg-type]


def accuracies(values: Mapping[str, float], **more: Any) -> list[dict[str, Any]]:
    """Records over all classes: direction -> accuracy."""
    base = {"metric": "accuracy", "protocol": "accuracy-judge-v1", "n": 500, "n_reference": 0, "on_real": 97.0}
    return [_record(direction, value, {**base, **more}) for direction, value in values.items()]


def distances(values: Mapping[str, float], **more: Any) -> list[dict[str, Any]]:
    """Records over all classes: direction -> FID."""
    base = {"metric": "fid", "protocol": "fid-judge-v1", "n": 500, "n_reference": 1000, "floor": 3.0}
    return [_record(direction, value, {**base, **more}) for direction, value in values.items()]


def _record(direction: str, value: float | None, rest: Mapping[str, Any]) -> dict[str, Any]:
    base = {"label": "all", "missing": "", "encoder": JUDGES[direction], "on_real": None}
    return {"direction": direction, "value": value, **base, **rest}


def store(
    root: Path, task: str, method: str, seed: int = 0, records: Sequence[dict[str, Any]] = (), state: str = "done",
    over: Mapping[str, Any] | None = None, supervision: str = "none", **changes: Any,
) -> Cell:  # fmt: skip
    """A cell of `method` with the preset's config and `over` laid over it; `changes`: other parts of its spec."""
    preset, kind = changes.get("preset", "quick"), changes.get("data_kind", "embedded")
    flat = dict(_config(method, task, preset, kind, tuple((over or {}).items())))
    version = flat.pop("method_version")
    spec = RunSpec(
        task=task, domains=TASKS[task].domains, data_kind=kind, data_version="v1", image_size=SIDE, preset=preset,
        method=method, method_version=version, config=_nested(flat), seed=seed,
        budget=Budget("images", get_preset(preset, TASKS[task].kind).images),
    )  # fmt: skip
    cell = Cell(root, replace(spec, **changes))
    cell.begin(supervision)
    cell.set_state(state, **({"reason": "loss is not finite", "step": 7} if state == "failed" else {}))  # type: ignore[arg-type]
    if state == "done":
        write_json(cell.metrics("noise"), {"records": list(records), "images": {}, "size": SIZE})
    return cell


@cache
def _config(method: str, task: str, preset: str, kind: str, over: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    resolved = preset_method(TASKS[task], preset, kind, method, dict(over))
    return {**flat_spec_values(dict(resolved.config)), "method_version": resolved.version}


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split(".")
        place = found
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return found


def add_translations(
    cell: Cell, data: TaskData, styles: int = 5, style: str = "noise", records: Sequence[dict[str, Any]] = ()
) -> dict[str, np.ndarray]:
    """Give `cell` translations in every direction, noise that no other cell has.

    Returns direction -> uint8 (S, K, 3, H, W).
    """
    made, digests = {}, {}
    for source, target in TASKS[cell.spec.task].directions:
        name = f"{data.domains[source]}->{data.domains[target]}"
        count = len(first_rows_of_each_class(data.splits[source, "test"].labels, None))
        rng = np.random.default_rng(int(cell.spec.identity(), 16) % 2**32 + source)
        images = rng.integers(0, 256, (count, styles, 3, data.size, data.size), dtype=np.uint8)
        write_array(cell.translations(name, style), images)
        digests[name] = hashlib.sha256(images.data).hexdigest()
        made[name] = images
    cell.metrics("noise").unlink(missing_ok=True)
    write_json(cell.metrics(style), {"records": list(records), "images": digests, "size": SIZE})
    return made


def fill(root: Path, data: Mapping[str, TaskData]) -> None:
    """One seed of every cell that a figure of the paper shows."""
    for task in (DIGITS, PICTURES):
        names = [TASKS[task].direction_name(direction) for direction in TASKS[task].directions]
        records = [*accuracies(dict.fromkeys(names, 50.0)), *distances(dict.fromkeys(names, 20.0))]
        methods = ["munit", "drit", "egsc_it", "stargan_v2:cats", "cats_udt"]
        methods += [f"cats_udt:{name}" for name in ("no_sem", "no_sty", "no_cyc", "no_ds", "none", "content")]
        methods += [f"cats_udt:{name}" for name in ("content_vgg", "vgg", "moco", "not_adapted", "map4")]
        for method in methods:
            add_translations(store(root, task, method), data[task], records=records)
        for value in (0.1, 0.5, 2.0, 5.0, 10.0):
            add_translations(store(root, task, "cats_udt", over={"lambda_sem": value}), data[task], records=records)
        for over in ({}, {"downsamplings": 2}) if task == PICTURES else ({},):
            add_translations(store(root, task, "cyclegan", over=over), data[task], 1, "none", records)
