"""Two metrics, an encoder, and a metric that fails: the documented example of metrics outside udt-bench."""

import numpy as np
import torch

from metrics.encoders.base import encoder_identity
from metrics.plugin import ImageMetric, SetMetric


def edges(images: np.ndarray) -> np.ndarray:
    """uint8 (N, 3, H, W) -> (N, H, W - 1): how much darker or lighter each pixel is than its left neighbour."""
    return np.diff(images.mean(axis=1), axis=-1)


def kept_edges(translations: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Correlation of the strengths of edges in a translation and in its source: (N,) in [-1, 1]."""
    a, b = (np.abs(edges(images)).reshape(len(images), -1) for images in (translations, sources))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) + 1e-9)


KEPT_EDGES = ImageMetric(
    values=kept_edges,
    formula="mean correlation of the horizontal gradients' sizes in a translation and in its source",
    higher_is_better=True,
)


class MeanColour:
    """An encoder that a metric brings: the mean colour of each quarter of an image."""

    name, width = "mean-colour-of-quarters", 12
    identity = encoder_identity({"weights": torch.ones(1)})  # of a network: encoder_identity(network.state_dict())

    def __call__(self, images, batch_size=None, progress=None):
        half = images.shape[-1] // 2
        quarters = [images[..., rows, columns] for rows in _halves(half) for columns in _halves(half)]
        return np.concatenate([np.asarray(q, np.float32).mean(axis=(2, 3)) / 255 for q in quarters], axis=1)


def _halves(half: int) -> tuple[slice, slice]:
    return slice(0, half), slice(half, None)


def colour_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Distance of the means of two sets of features."""
    return float(np.linalg.norm(x.mean(axis=0, dtype=np.float64) - y.mean(axis=0, dtype=np.float64)))


COLOUR_DISTANCE = SetMetric(
    value=colour_distance,
    formula="distance between the mean colours of translations and of real images",
    higher_is_better=False,
    encoder=MeanColour,
    preparation="uint8 / 255, mean of each quarter",
    per_class=True,
)


def _broken(translations: np.ndarray, sources: np.ndarray) -> np.ndarray:
    raise RuntimeError("a bug in somebody's metric")


BROKEN = ImageMetric(values=_broken, formula="nothing: it raises", higher_is_better=True)
