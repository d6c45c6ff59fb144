"""Stored results for tests of the report: written as the harness writes them, with any names that are asked for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.load import load_data
from bench.data.types import TaskData
from bench.spec.run_spec import Budget, RunSpec
from bench.spec.tasks import get_task
from bench.store.cell import SCHEMA

CLASSES = ("cross", "disc")
PROTOCOLS = {
    "accuracy": ("accuracy-judge-v1", 0), "fid": ("fid-judge-v1", 16), "kid": ("kid-judge-v1", 16),
    "precision": ("precision-judge-v1", 16),
}  # fmt: skip
ENVIRONMENT = {
    "python": "3.11.7", "system": "Linux", "processor": "a processor", "cores": 2, "device": "cpu",
    "packages": {"torch": "2.14.1", "lpips": None}, "source": {"revision": "abc123", "changed": True},
    "doctor": {"passed": 84, "checks": 85, "failed": [{"name": "fid of a set", "expected": 0.0, "got": 1.5}]},
}  # fmt: skip


def folder_data(shapes: Path) -> TaskData:
    """Both domains of the `shapes` fixture, prepared in the test's cache."""
    return load_data(get_task("folder"), str(shapes), 32)


def spec(**changes: Any) -> RunSpec:
    """Of a cell of the `folder` task."""
    values: dict[str, Any] = {
        "task": "folder", "domains": ("ink", "paint"), "data_kind": "real", "data_version": "v1", "image_size": 32,
        "preset": "quick", "method": "cyclegan", "method_version": 1, "config": {"width": 8},
        "budget": Budget("images", 24), "seed": 0,
    }  # fmt: skip
    return RunSpec(**{**values, **changes})


def records(
    base: float, n: int = 6, classes: tuple[str, ...] = CLASSES, direction: str = "ink->paint", **more: Any
) -> list[dict[str, Any]]:
    """Of every protocol in PROTOCOLS over all and per class; all values differ and follow from `base`."""
    found = []
    for place, (metric, (protocol, real)) in enumerate(PROTOCOLS.items()):
        for offset, label in enumerate(("all", *classes)):
            if metric == "precision" and label != "all":
                continue
            found.append({
                "metric": metric, "protocol": protocol, "direction": direction, "label": label,
                "value": base + 10 * place + offset, "n": n if label == "all" else n // 2, "n_reference": real,
                "encoder": "aaaaaaaaaaaa", "missing": "",
                "on_real": 97.5 + offset / 10 if metric == "accuracy" else None,
                "deviation": 1.5 + offset if metric != "precision" else None,
                "floor": 0.25 + place if real else None, "floor_deviation": 0.125 if real else None,
                "floor_n": n if real else 0, "floor_reference": 10 if real else 0, **more,
            })  # fmt: skip
    return found


def add(
    root: Path, run: RunSpec, scores: list[dict[str, Any]] | None = None, *, style: str = "none", seconds: float = 60.0,
    supervision: str = "none", status: dict[str, Any] | None = None, remarks: tuple[str, ...] = (),
    images: dict[str, np.ndarray] | None = None, losses: list[dict[str, float]] | None = None,
    environment: dict[str, Any] | None = None,
) -> Path:  # fmt: skip
    """The folder of a new cell of `run`. `scores`: its records; None: it was never scored."""
    parent = root / "runs" / run.task / f"{run.data_kind}-{run.preset}"
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f"{len(list(parent.iterdir())):03d}-{run.identity()}"  # rows in the order in which they came
    folder.mkdir()
    known = {"schema": SCHEMA, "identity": run.identity(), "supervision": supervision}
    write(folder / "spec.json", {**known, **asdict(run)})
    write(folder / "status.json", status or {"state": "done" if scores else "running"})
    write(folder / "remarks.json", list(remarks))
    write(folder / "environment.json", environment or ENVIRONMENT)
    lines = [json.dumps({"step": 10 * (i + 1), "losses": entry}) for i, entry in enumerate(losses or [])]
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    if scores is not None:
        cost = {"seconds": seconds, "parameters": 1_234_567, "flops": 2.5e12, "stage_seconds": {"moco": 5.0}}
        write(folder / "cost.json", cost)
        for direction, made in (images or {}).items():
            np.save(folder / f"translations-{direction.replace('->', '2').replace('/', '_')}-{style}.npy", made)
        digests = {name: hashlib.sha256(made.tobytes()).hexdigest() for name, made in (images or {}).items()}
        doctor = (environment or ENVIRONMENT)["doctor"]
        size = {"sources_per_class": 2, "reference_per_class": 8}
        content = {"schema": SCHEMA, "images": digests, "size": size, "doctor": doctor, "records": scores}
        write(folder / f"metrics-{style}.json", content)
    return folder


def write(path: Path, value: Any) -> None:
    """As JSON."""
    path.write_text(json.dumps(value))


def translations(seed: int, sources: int = 4, styles: int = 5, size: int = 32) -> np.ndarray:
    """uint8 (sources, styles, 3, size, size)."""
    return np.random.default_rng(seed).integers(0, 256, (sources, styles, 3, size, size), np.uint8)


def usual(root: Path, version: str = "v1") -> None:
    """Three methods: two seeds of one, a weakly supervised one, and one whose training failed."""
    losses = [{"0:discriminator.real": 1.0 / (i + 1), "1:generator.adv": float(i)} for i in range(9)]
    for seed, base in ((0, 20.0), (1, 24.0)):
        add(
            root, spec(seed=seed, data_version=version), records(base), losses=losses, seconds=100.0 + seed,
            images={"ink->paint": translations(seed, styles=1)},
        )  # fmt: skip
    add(
        root, spec(method="egsc_it", data_version=version), records(50.0), style="exemplar", supervision="weak",
        seconds=300.0, images={"ink->paint": translations(7)}, remarks=("one cluster holds 93 % of paint",),
    )  # fmt: skip
    add(
        root, spec(method="munit", data_version=version),
        status={"state": "failed", "reason": "loss 1:generator.adv is not finite", "step": 431},
    )  # fmt: skip
