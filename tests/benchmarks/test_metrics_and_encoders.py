"""Each encoder and each metric on inputs of the usual size: a table of pytest-benchmark. Random images and features."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from real_files import INCEPTION, real_file

from metrics.alignment import adjusted_rand_index, cluster_map, hungarian_accuracy, normalized_mutual_information
from metrics.encoders import TF1, InceptionEncoder, InceptionNetwork, JudgeEncoder, LpipsAlexNet
from metrics.encoders.wide_resnet import WideResNet
from metrics.frechet import frechet_distance, per_class_frechet
from metrics.kernel import kernel_distance, per_class_kernel
from metrics.lpips_diversity import cosine_diversity
from metrics.manifold import manifold_scores
from metrics.ndb import ndb
from metrics.parts.input_checks import pinned_blas
from metrics.statistics.half_samples import frechet_interval, kernel_interval

COUNT, WIDTH, CLASSES = 500, 2048, 5
RNG = np.random.default_rng(0)
X, Y = (np.maximum(RNG.standard_normal((COUNT, WIDTH)), 0).astype(np.float32) for _ in range(2))
PIXELS = [RNG.integers(0, 256, (COUNT, 3, 32, 32), dtype=np.uint8) for _ in range(2)]
LABELS, CLUSTERS = np.arange(COUNT) % CLASSES, RNG.integers(0, CLASSES, COUNT)

METRICS: dict[str, Callable[[], object]] = {
    "FID": lambda: frechet_distance(X, Y),
    "FID interval": lambda: frechet_interval(X, Y),
    "FID per class": lambda: per_class_frechet(X, LABELS, Y, LABELS, range(CLASSES)),
    "KID": lambda: kernel_distance(X, Y),
    "KID interval": lambda: kernel_interval(X, Y),
    "KID per class": lambda: per_class_kernel(X, LABELS, Y, LABELS, range(CLASSES)),
    "precision, recall, density, coverage": lambda: manifold_scores(X, Y),
    "NDB and JSD": lambda: ndb(*PIXELS, k=20),
    "diversity of features": lambda: cosine_diversity(X.reshape(COUNT // 5, 5, WIDTH)),
    "cluster map": lambda: cluster_map(CLUSTERS, LABELS, CLASSES, CLASSES),
    "Hungarian accuracy": lambda: hungarian_accuracy(CLUSTERS, LABELS),
    "NMI": lambda: normalized_mutual_information(CLUSTERS, LABELS),
    "ARI": lambda: adjusted_rand_index(CLUSTERS, LABELS),
}


def pedantic(benchmark: Any, call: Callable[[], object], rounds: int = 3) -> None:
    with pinned_blas():
        benchmark.pedantic(call, rounds=rounds, warmup_rounds=1, iterations=1)


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("name", list(METRICS))
def test_metric(name: str, benchmark: Any) -> None:
    """500 against 500 images, features of 2,048 numbers."""
    pedantic(benchmark, METRICS[name])


@pytest.mark.benchmark(timer=time.process_time)
def test_inception(benchmark: Any) -> None:
    """8 images of 32 px, which are enlarged to 299."""
    encoder = InceptionEncoder(InceptionNetwork(real_file(INCEPTION)), TF1)
    pedantic(benchmark, lambda: encoder(PIXELS[0][:8]))


@pytest.mark.benchmark(timer=time.process_time)
def test_lpips(benchmark: Any) -> None:
    """8 sources of 32 px in 5 styles, and between the sources."""
    network = LpipsAlexNet(real_file("weights/alexnet-features.pth"))
    styles, group = PIXELS[0][:40].reshape(8, 5, 3, 32, 32), np.arange(8)[None]
    pedantic(benchmark, lambda: network.grouped_distances(styles, group))


@pytest.mark.benchmark(timer=time.process_time)
def test_the_judge_of_the_quick_preset(benchmark: Any) -> None:
    """64 images of 32 px."""
    encoder = JudgeEncoder(WideResNet(10, 2, CLASSES, 0.0))
    pedantic(benchmark, lambda: encoder(PIXELS[0][:64]))
