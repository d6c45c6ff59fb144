"""A judge of two classes that is trained in a moment."""

from __future__ import annotations

import numpy as np

from bench.data.types import Split, TaskData
from bench.spec.presets import JudgeSettings

SETTINGS = JudgeSettings(10, 1, 0.1, steps=30, batch_size=32, learning_rate=0.1, augment=True, tolerance=0.0)


def make_data(seed: int = 0) -> TaskData:
    """Class 0 is dark, class 1 is bright: a judge that learns anything tells them apart."""
    rng = np.random.default_rng(seed)
    splits = {}
    for domain in (0, 1):
        for name, count in (("train", 64), ("test", 20)):
            labels = rng.permutation(np.arange(count) % 2)
            images = rng.integers(0, 100, (count, 3, 8, 8)) + 150 * labels[:, None, None, None]
            ids = tuple(f"{domain}{name}{row:03d}" for row in range(count))
            splits[domain, name] = Split(images.astype(np.uint8), labels, ids)
    return TaskData("real", f"v{seed}", ("dark", "bright"), ("one", "two"), splits, 8, "")  # type: ignore[arg-type]
