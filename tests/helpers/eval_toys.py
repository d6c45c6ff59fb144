"""Small data and encoders for the tests of evaluation."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.data.types import Split, TaskData
from bench.evaluation.encoders import Encoders, MissingEncoder
from bench.evaluation.feature_cache import FeatureCache
from bench.evaluation.judge import Judge
from bench.spec.presets import EvaluationSize
from bench.spec.protocols import PROTOCOLS, select_protocols
from metrics.encoders import JudgeEncoder
from metrics.encoders.wide_resnet import WideResNet

MISSING = MissingEncoder("needs: bench fetch x")
ENCODERS = {protocol.encoder for protocol in PROTOCOLS.values()} - {"judge", "pixels"}


def make_data(per_class: int = 20, side: int = 8) -> TaskData:
    """Noise images of two classes and two domains, `per_class` of each in every split."""
    rng = np.random.default_rng(1)
    splits = {}
    for domain in (0, 1):
        for name in ("train", "test"):
            images = rng.integers(0, 256, (2 * per_class, 3, side, side), dtype=np.uint8)
            labels = rng.permutation(np.repeat([0, 1], per_class))
            ids = tuple(f"{domain}{name}{row:04d}" for row in range(len(images)))
            splits[domain, name] = Split(images, labels, ids)
    return TaskData("real", "v", ("a", "b"), ("one", "two"), splits, side, "")  # type: ignore[arg-type]


def make_encoders(root: Path, protocols: tuple[str, ...] = (), **pretrained: Any) -> Encoders:
    """A judge of random weights, and `pretrained` (`-` as `_`); the others are missing."""
    torch.manual_seed(0)
    judge = Judge(JudgeEncoder(WideResNet(10, 1, 2, 0.0)), 0.9, {"a": 0.8, "b": 1.0}, 40)
    known = {name.replace("_", "-"): encoder for name, encoder in pretrained.items()}
    return Encoders(
        judge=lambda domain: judge,
        probe=lambda domain: MISSING,
        pretrained={name: partial(known.get, name, MISSING) for name in ENCODERS},
        cache=FeatureCache(root),
        size=EvaluationSize(None, None),
        protocols=select_protocols(protocols),
    )


class PixelEncoder:
    """Mean colour of each quarter, 12 numbers: fast, and different for every image."""

    name = "quarters"
    width = 12

    def __init__(self, identity: str = "0123456789abcdef") -> None:
        self.identity = identity
        self.seen = 0

    def __call__(self, images: np.ndarray, batch_size: int | None = None, progress: Any = None) -> np.ndarray:
        return self._quarters(images / 255)

    def encode_floats(self, images: np.ndarray, batch_size: int | None = None, progress: Any = None) -> np.ndarray:
        assert images.min() >= 0
        assert images.max() <= 1
        return self._quarters(images)

    def _quarters(self, images: np.ndarray) -> np.ndarray:
        self.seen += len(images)
        n, _, height, width = images.shape
        parts = images.reshape(n, 3, 2, height // 2, 2, width // 2).mean(axis=(3, 5))
        return parts.reshape(n, 12).astype(np.float32)


class PairEncoder:
    """In LPIPS's place: the mean absolute difference of pixels."""

    name = "pixel-pairs"
    identity = "fedcba9876543210"

    def grouped_distances(
        self, images: np.ndarray, groups: np.ndarray, batch_size: int = 64, progress: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        flat = images.reshape(*images.shape[:2], -1) / 255
        within = [_distances(source) for source in flat]
        across = [_distances(flat[group, 0]) for group in groups]
        return np.array(within, np.float32), np.array(across, np.float32)

    def distances(self, x: np.ndarray, y: np.ndarray, batch_size: int = 32, progress: Any = None) -> np.ndarray:
        return np.abs(x / 255 - y / 255).mean(axis=(1, 2, 3)).astype(np.float32)

    structure_distances = distances


def _distances(rows: np.ndarray) -> np.ndarray:
    first, second = np.triu_indices(len(rows), 1)
    return np.abs(rows[first] - rows[second]).mean(axis=1)


def smooth_images(n: int, size: int, seed: int) -> np.ndarray:
    """Smooth colour images uint8 (n, 3, size, size), so that k-means has something to find."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 3, 2, 2)).repeat(size // 2, axis=2).repeat(size // 2, axis=3)
    return (0.9 * coarse + rng.integers(0, 25, coarse.shape)).astype(np.uint8)
