"""Metrics from outside this project (metrics/plugin.py), as measurements of ours: whatever they raise is a reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.data.types import TaskData
from bench.evaluation.distributions import Distribution
from bench.evaluation.translate import Translations
from metrics.encoders.base import ImageEncoder
from metrics.plugin import ImageMetric, SetMetric

SPLITS = 5
"""Random splits of the real images behind a floor."""


def outside_image_values(metric: ImageMetric, data: TaskData, translations: Translations) -> np.ndarray:
    """float64 (S,), of the first style of each source. ValueError, with the reason, if there are no such numbers."""
    sources = np.array(data.splits[translations.source, "test"].images[translations.index])
    try:
        values = np.asarray(metric.values(translations.images[:, 0].copy(), sources), np.float64)
    except Exception as error:  # somebody's code may raise anything
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if values.shape != translations.labels.shape:
        raise ValueError(f"it gave numbers of shape {values.shape} for {len(translations.labels)} images")
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).sum())} of {len(values)} values are not finite")
    return values


def outside_distribution(name: str, metric: SetMetric) -> Distribution:
    """The computation of the metric called `name`."""

    def values(x: np.ndarray, y: np.ndarray) -> Mapping[str, float]:
        try:
            value = float(metric.value(x, y))
        except Exception as error:  # somebody's code may raise anything
            raise ValueError(f"{type(error).__name__}: {error}") from error
        if not np.isfinite(value):
            raise ValueError(f"the value is {value}")
        return {name: value}

    return Distribution(f"outside {name}", values, None, None, per_class=metric.per_class, splits=SPLITS)


class OutsideEncoder:
    """An encoder that somebody brings, whose errors are ValueErrors, and whose features are checked."""

    def __init__(self, encoder: ImageEncoder) -> None:
        self.encoder, self.name, self.identity, self.width = encoder, encoder.name, encoder.identity, encoder.width

    def __call__(self, images: Any, batch_size: int | None = None, progress: Any = None) -> np.ndarray:
        """uint8 (N, 3, H, W) -> float32 (N, width)."""
        try:
            features = np.asarray(self.encoder(images, batch_size, progress), np.float32)
        except Exception as error:  # somebody's code may raise anything
            raise ValueError(f"{self.name}: {type(error).__name__}: {error}") from error
        if features.shape != (len(images), self.width):
            raise ValueError(f"{self.name} gave features of shape {features.shape}, not ({len(images)}, {self.width})")
        return features
