"""Cluster-alignment accuracy of methods that have categories: do the clusters of both domains name the classes?

The map from clusters to classes follows from the clustered domain's training images alone (CatS-UDT, eq. 14), and is
then applied to test images of both domains: those of the translated sources, and as many of the target domain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch

from bench.data.types import SplitName, TaskData
from bench.evaluation.encoders import Encoders
from bench.evaluation.record import Record
from bench.evaluation.translate import first_rows_of_each_class
from bench.spec.protocols import ALIGNMENT_REFERENCE_IMAGES, ALL, NO_CATEGORIES
from methods.base import Translator
from metrics.alignment import (
    adjusted_rand_index,
    alignment_accuracy,
    cluster_map,
    hungarian_accuracy,
    normalized_mutual_information,
)

Clusters = tuple[np.ndarray, np.ndarray]
"""(clusters, classes) of some images, int64 (N,) each."""


def alignment_records(
    method: Translator | None, data: TaskData, source: int, target: int, encoders: Encoders
) -> list[Record]:
    """The records of every alignment protocol of one direction.

    For a method without categories, or images without a method, each says so.
    """
    direction = f"{data.domains[source]}->{data.domains[target]}"
    protocols = [protocol for protocol in encoders.protocols if protocol.encoder == "categories"]
    blank = [Record(p.metric, p.name, direction, ALL, None, 0, 0, "", missing=NO_CATEGORIES) for p in protocols]
    clustered = method.clustered_domain if method is not None else None
    if method is None or clustered is None or not protocols:
        return blank
    clusters, classes = _clusters(method, data, clustered, "train", ALIGNMENT_REFERENCE_IMAGES)
    mapping = cluster_map(clusters, classes, int(clusters.max()) + 1, len(data.classes))
    sides = {
        domain: _clusters(method, data, domain, "test", encoders.size.sources_per_class) for domain in (source, target)
    }
    records = []
    for record in blank:
        side = sides[target if record.protocol.partition("-")[2].startswith("target") else source]
        value = SCORES[record.metric](side, mapping)
        records.append(replace(record, value=value, n=len(side[1]), encoder="categories", missing=""))
    return records


def _clusters(method: Translator, data: TaskData, domain: int, split: SplitName, per_class: int | None) -> Clusters:
    """Of the first `per_class` images of each class."""
    images = data.splits[domain, split]
    rows = first_rows_of_each_class(np.asarray(images.labels), per_class)
    pixels = torch.from_numpy(np.array(images.images[rows])).to(next(method.parameters()).device)
    return method.clusters_of(pixels).cpu().numpy(), np.array(images.labels[rows])


def _mapped(side: Clusters, mapping: np.ndarray) -> float:
    """Eq. 14; a cluster that no reference image is in names no class."""
    clusters, classes = side
    known = clusters < len(mapping)
    return (
        100 * alignment_accuracy(clusters[known], classes[known], mapping) * float(known.mean()) if known.any() else 0.0
    )


SCORES: Mapping[str, Callable[[Clusters, np.ndarray], float]] = {
    "alignment": _mapped,
    "hungarian": lambda side, mapping: 100 * hungarian_accuracy(*side),
    "nmi": lambda side, mapping: normalized_mutual_information(*side),
    "ari": lambda side, mapping: adjusted_rand_index(*side),
}
"""Metric -> its value of one set of images, through the map from clusters to classes."""
