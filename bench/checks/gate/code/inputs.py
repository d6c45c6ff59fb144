"""Inputs that a baseline stores: a few prepared images of both tasks, and random features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.data.drawn.datasets import DrawnDigits, DrawnPictures
from bench.data.prepare import prepare_data
from bench.data.types import SPLITS, Source, Split, SplitName, TaskData
from bench.spec.tasks import get_task

TASKS = {"sketch2real": (2, 3), "mnist2svhn": (2, 1)}
"""Task -> training and test images of each class and domain."""
CLASSES = 3
"""Number of classes of the features."""


def draw_inputs(name: str, folder: Path) -> TaskData:
    """The first images of a task, drawn and prepared now, as a run does it at the quick preset's size."""
    train, test = TASKS[name]
    sources: tuple[Source, Source]
    if name == "sketch2real":
        sources = DrawnPictures("sketch", train, test), DrawnPictures("real", train, test)
    else:
        sources = DrawnDigits("mnist", train, test), DrawnDigits("svhn", train, test)
    return prepare_data(sources, get_task(name).sizes["quick"], folder, "embedded", "")


def inputs_as_arrays(name: str, data: TaskData) -> dict[str, np.ndarray]:
    """The images, labels and names of a task's data, as `task_inputs` reads them."""
    arrays = {}
    for (domain, split), part in data.splits.items():
        arrays[f"{name}-{domain}-{split}-images"] = np.array(part.images)
        arrays[f"{name}-{domain}-{split}-labels"] = np.array(part.labels)
        arrays[f"{name}-{domain}-{split}-ids"] = np.array(part.ids)
    return arrays


def task_inputs(arrays: Mapping[str, np.ndarray], name: str) -> TaskData:
    """The stored images of a task, as a run holds its data."""
    task = get_task(name)
    splits: dict[tuple[int, SplitName], Split] = {}
    for domain in (0, 1):
        for split in SPLITS:
            images, labels, ids = (arrays[f"{name}-{domain}-{split}-{part}"] for part in ("images", "labels", "ids"))
            splits[domain, split] = Split(images, labels, tuple(ids.tolist()))
    size = task.sizes["quick"]
    return TaskData("embedded", f"gate-{size}", task.classes, task.domains, splits, size, "")


def feature_inputs() -> dict[str, np.ndarray]:
    """Sets of float32 features with labels: `narrow`, more vectors than their width, and `wide`, fewer; clusters."""
    rng = np.random.default_rng(20)
    arrays: dict[str, np.ndarray] = {}
    for name, width, counts in (("narrow", 8, (60, 75)), ("wide", 64, (36, 48))):
        for side, n in zip("xy", counts, strict=True):
            labels = np.arange(n) % CLASSES if side == "y" else rng.integers(0, CLASSES, n)
            mixing = rng.normal(size=(width, width)) / np.sqrt(width)
            values = rng.normal(size=(n, width)) @ mixing + 0.5 * labels[:, None] * (side == "x")
            arrays[f"features-{name}-{side}"] = values.astype(np.float32)
            arrays[f"features-{name}-{side}-labels"] = labels.astype(np.int64)
    labels = np.repeat(np.arange(CLASSES), (30, 20, 10))
    noisy = np.where(rng.random(60) < 0.3, rng.integers(0, CLASSES, 60), (labels + 1) % CLASSES)
    arrays["clusters"], arrays["clusters-labels"] = noisy.astype(np.int64), labels.astype(np.int64)
    return arrays
