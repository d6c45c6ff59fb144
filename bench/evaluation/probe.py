"""The probes: classifiers of Inception features, one per (data version, domain), fitted when a cell first asks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from bench.data.types import Split, TaskData
from bench.evaluation.feature_cache import FeatureCache
from bench.evaluation.translate import first_rows_of_each_class
from bench.spec.protocols import PROBE_TEST_IMAGES, PROBE_TRAINING_IMAGES
from metrics.accuracy import accuracy
from metrics.encoders.base import ImageEncoder
from metrics.parts.input_checks import pinned_blas
from metrics.probe import apply_probe, fit_probe

VERSION = "probe-v1"
"""Changed when the same images would give another probe."""


@dataclass(frozen=True)
class Probe:
    """A fitted probe of one domain's images."""

    encoder: ImageEncoder
    """Reads the images."""
    weights: np.ndarray
    """(classes, width + 1), see `metrics.probe.fit_probe`."""
    identity: str
    """sha256 (hex) over the encoder's identity and the images and labels that the probe was fitted to."""
    accuracy: float
    """On the domain's own real test images, in [0, 1]."""
    per_class: dict[str, float]
    """The same for each class."""
    test_images: int
    """Number of those test images."""

    def classify(self, features: np.ndarray) -> np.ndarray:
        """float32 (N, width) features of `encoder` -> int64 (N,): the most likely class."""
        return apply_probe(self.weights, features)


def get_probe(cache: FeatureCache, data: TaskData, domain: int, encoder: ImageEncoder) -> Probe:
    """The probe of `domain`, fitted now or read from the cache of features.

    It is fitted to the first training images of each class in order of content hash, and its accuracy is that on the
    first test images of each class.
    """
    images, labels = _first(data.splits[domain, "train"], PROBE_TRAINING_IMAGES)
    start = f"{VERSION} {encoder.identity} ".encode()
    identity = hashlib.sha256(start + labels.tobytes() + images.tobytes()).hexdigest()

    def fit() -> np.ndarray:
        with pinned_blas():
            return fit_probe(cache.encode(encoder, images), labels, len(data.classes))

    weights = cache.get(images, identity, VERSION, fit)
    images, labels = _first(data.splits[domain, "test"], PROBE_TEST_IMAGES)
    predicted = apply_probe(weights, cache.encode(encoder, images))
    per_class = {
        name: accuracy(predicted[labels == index], labels[labels == index]) for index, name in enumerate(data.classes)
    }
    return Probe(encoder, weights, identity, accuracy(predicted, labels), per_class, len(labels))


def _first(split: Split, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images and int64 labels of the first `per_class` of each class."""
    rows = first_rows_of_each_class(np.asarray(split.labels), per_class)
    return np.array(split.images[rows]), np.array(split.labels[rows], np.int64)
