"""The semantic stages on their own: train (or resume) one chain up to a stage and say how well its clusters align."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.core.device import Runtime
from bench.core.errors import BenchError, error_remedy
from bench.core.files import write_json
from bench.core.progress import say
from bench.data.load import data_kind_of_choice, load_data
from bench.data.types import SPLITS, SplitName, TaskData
from bench.spec.methods import method_config_with_clusters, method_settings
from bench.spec.presets import KindPreset, get_preset
from bench.spec.run_spec import check_spec_overrides, spec_config, spec_overrides, spec_values
from bench.spec.tasks import get_task
from bench.spec.where import Where
from bench.store.cell import ALIGNMENT
from bench.training.loop import TrainingFailed
from bench.training.pretrained import weights_loader
from bench.training.stages import StageStore
from bench.training.train import training_domains
from methods.base import Context, Stage
from methods.registry import load_registered, registered
from methods.semantics.categories import Categories, build_categories
from methods.semantics.imsat import IMSAT, imsat_cluster_of
from methods.semantics.spectral import Spectral, encode_images
from metrics.alignment import (
    adjusted_rand_index,
    alignment_accuracy,
    cluster_map,
    hungarian_accuracy,
    normalized_mutual_information,
)

DomainSplit = tuple[int, SplitName]
"""Domain and split."""
CHAINED = "cats_udt"
"""The method whose settings (`cats_udt.semantics....`) the chain takes."""


@dataclass(frozen=True, kw_only=True)
class SemanticsRequest(Where):
    """What the user asked for, as typed."""

    stage: str
    """The stage to end with, or empty: the last one."""
    method: str
    """`cats_udt` or a variant of it."""
    seeds: Sequence[int]
    """One chain per seed."""
    overrides: Sequence[str]
    """`cats_udt.semantics.key=value`."""
    map_from: str
    """`clusterer` or `adapted`: whose predictions make the map from clusters to labels; empty: as the original."""
    map_split: str
    """`train` or `test`: of which images; empty: as the original."""
    assignment: str
    """`majority` (eq. 14) or `hungarian`."""
    device: str
    """As for `run`."""


@dataclass(frozen=True)
class Alignment:
    """Cluster-alignment accuracy of one set of images."""

    stage: str
    seed: int
    domain: str
    split: str
    n: int
    accuracy: float
    """In [0, 1]."""
    hungarian: float
    """Accuracy in [0, 1] under the one-to-one map that suits these images best: no map from elsewhere."""
    nmi: float
    """Normalised mutual information of clusters and classes, in [0, 1]."""
    ari: float
    """Adjusted Rand index of clusters and classes; 0 by chance."""
    largest: float
    """Share of the images in the largest cluster, in [0, 1]: near 1 the categories have collapsed."""
    map_from: str
    """Which predictions the map from clusters to labels was made of."""


def run_semantics(request: SemanticsRequest) -> tuple[list[Alignment], bool]:
    """Run the chain for every seed: (how well its clusters align, whether no training failed).

    Raises BenchError before anything is trained if the request cannot be met.
    """
    task = get_task(request.task)
    preset = get_preset(request.preset, task.kind)
    runtime = Runtime(request.device, task.sizes[request.preset])
    overrides = spec_overrides(request.overrides)
    check_spec_overrides(overrides, [request.method])
    config = _config(request, preset, overrides, data_kind_of_choice(task, request.data))
    data = load_data(task, request.data, task.sizes[request.preset], request.domains, request.val)
    say(data.note)
    if not data.labelled:
        raise BenchError(
            "semantics measures how categories agree with classes, and this data has none to tell apart",
            f"to train with N categories: run --methods {request.method} --set {request.method}.clusters=N",
        )
    config = method_config_with_clusters(config, len(data.classes))
    make = lambda: build_categories(config.categories, config.semantics, data.size, config.clusters)  # noqa: E731
    names = make().stage_names
    if not names:
        raise BenchError(f"{request.method} has no semantic stages: its encoder is given", "choose another --method")
    wanted = request.stage or names[-1]
    if wanted not in names:
        raise BenchError(f"{request.method} on {task.name} has no stage '{wanted}'", f"its stages: {', '.join(names)}")
    rows: list[Alignment] = []
    failed = False
    with runtime.threads_pinned(runtime.threads):
        for seed in request.seeds:
            try:
                rows += _one_seed(make(), wanted, config, data, seed, runtime, request)
            except TrainingFailed as error:
                say(f"{wanted} seed {seed}: FAILED: {error}")
                failed = True
    return rows, not failed


def _config(request: SemanticsRequest, preset: KindPreset, overrides: Any, kind: str) -> Any:
    known = registered()
    if request.method not in known or request.method.partition(":")[0] != CHAINED:
        chained = [name for name in known if name.partition(":")[0] == CHAINED]
        raise BenchError(f"'{request.method}' has no semantic stages", error_remedy(request.method, chained))
    cls = load_registered(known[request.method].target)
    return spec_config(cls, request.method, *method_settings(cls, request.method, preset, overrides, kind))


def _one_seed(
    categories: Categories, wanted: str, config: Any, data: TaskData, seed: int, runtime: Runtime,
    request: SemanticsRequest,
) -> list[Alignment]:  # fmt: skip
    store = StageStore(request.results / "semantics" / request.task, data.version, seed, runtime)
    categories.to(runtime.device)
    domains = training_domains(data, runtime)
    passed: list[Stage] = []
    for stage in categories.stages(domains, Context(weights_loader(request.results, runtime), store)):
        passed.append(stage)
        if stage.name == wanted:
            break
    clusters_of = semantics_predictions(categories, passed, data, runtime.device)
    mapped, where, origin = _reference(categories, passed, clusters_of, data, runtime.device, request)
    labels = data.splits[where].labels
    mapping = cluster_map(mapped, labels, categories.category_dim, len(data.classes), request.assignment)
    rows = [
        Alignment(
            stage=wanted,
            seed=seed,
            domain=data.domains[domain],
            split=split,
            n=len(clusters),
            accuracy=alignment_accuracy(clusters, data.splits[domain, split].labels, mapping),
            hungarian=hungarian_accuracy(clusters, data.splits[domain, split].labels),
            nmi=normalized_mutual_information(clusters, data.splits[domain, split].labels),
            ari=adjusted_rand_index(clusters, data.splits[domain, split].labels),
            largest=float(np.bincount(clusters).max() / len(clusters)),
            map_from=origin,
        )
        for (domain, split), clusters in clusters_of.items()
    ]
    _store(store.folder(passed[-1]), request, data, config, rows)
    return rows


def _store(folder: Path, request: SemanticsRequest, data: TaskData, config: Any, rows: Sequence[Alignment]) -> None:
    """Write the rows and their setting beside the stage. Another map has a file of its own."""
    asked = [request.assignment, request.map_from, request.map_split]
    name = ALIGNMENT if asked == ["majority", "", ""] else f"alignment-{'-'.join(filter(None, asked))}.json"
    write_json(
        folder / name,
        {
            "task": request.task,
            "data_kind": data.kind,
            "data_version": data.version,
            "image_size": data.size,
            "preset": request.preset,
            "method": request.method,
            "config": spec_values(config),
            "assignment": request.assignment,
            "alignment": [vars(row) for row in rows],
        },
    )


# --------------------------------------------------------------------------------------------------- predictions


def semantics_predictions(
    categories: Categories, passed: Sequence[Stage], data: TaskData, device: torch.device
) -> dict[DomainSplit, np.ndarray]:
    """Clusters of all images by the last of the `passed` stages: {(domain, split): int64 (N,)}.

    The last stage of a chain answers with h. Before it, IMSAT answers with its network; encoders and spectral clusters,
    which have no answer for new images, with the nearest centre in feature space (of k-means, or of the clusters).
    """
    answer = _answer(categories, passed, data, device)
    clusters = {}
    for domain in (0, 1):
        for split in SPLITS:
            images = torch.from_numpy(np.array(data.splits[domain, split].images)).to(device)
            clusters[domain, split] = answer(images).cpu().numpy()
    return clusters


def _answer(
    categories: Categories, passed: Sequence[Stage], data: TaskData, device: torch.device
) -> Callable[[Tensor], Tensor]:
    last = passed[-1]
    if last.name == categories.stage_names[-1] and categories.discrete:
        return categories.of_all
    if isinstance(last, IMSAT):
        return lambda images: imsat_cluster_of(last.encoder, images)
    source = categories.config.clustered_domain
    encoder = categories.encoder()
    features = encode_images(encoder, torch.from_numpy(np.array(data.splits[source, "train"].images)).to(device))
    features = features[: len(last.labels)] if isinstance(last, Spectral) else features  # clustered: the first of them
    labels = last.labels if isinstance(last, Spectral) else _k_means(features, categories.clusters)
    centres = torch.stack([_unit(features[labels == k]).mean(0) for k in range(categories.clusters)])
    return lambda images: (_unit(encode_images(encoder, images)) @ _unit(centres).T).argmax(1)


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=1)


def _k_means(features: Tensor, k: int) -> Tensor:
    """int64 (N,): k-means of unit-length features; for encoders alone."""
    from sklearn.cluster import KMeans

    return torch.from_numpy(KMeans(k, n_init=10, random_state=0).fit_predict(_unit(features).cpu().numpy())).long()


def _reference(
    categories: Categories,
    passed: Sequence[Stage],
    clusters_of: dict[DomainSplit, np.ndarray],
    data: TaskData,
    device: torch.device,
    request: SemanticsRequest,
) -> tuple[np.ndarray, DomainSplit, str]:
    """Predictions that make the map, which images they are of, and a name for both.

    Default as in the original: IMSAT on the clustered domain's test images; in feature space h on the clustered
    domain's training images. With `clusterer` in feature space: the spectral clusters, which exist on those alone.
    """
    images = categories.config.space not in ("features", "self_training")
    split: SplitName = "train" if (request.map_split or ("test" if images else "train")) == "train" else "test"
    where: DomainSplit = (categories.config.clustered_domain, split)
    place = f"on {data.domains[where[0]]} {split}"
    clusterers = [index for index, stage in enumerate(passed) if isinstance(stage, IMSAT | Spectral)]
    last = passed[-1].name
    if (request.map_from or ("clusterer" if images else "adapted")) == "adapted" or not clusterers:
        return clusters_of[where], where, f"{'adapted' if last == 'adaptation' else last} {place}"
    clusterer = passed[clusterers[0]]
    if isinstance(clusterer, Spectral):
        if split == "test":
            raise BenchError("spectral clusters exist for training images alone", "use --map-split train")
        return clusterer.labels.cpu().numpy(), where, f"clusterer {place}"
    if last != clusterer.name:
        clusters_of = semantics_predictions(categories, passed[: clusterers[0] + 1], data, device)
    return clusters_of[where], where, f"clusterer {place}"


def semantics_alignment_table(rows: Sequence[Alignment]) -> str:
    """Markdown: one row per stage, seed, domain and split."""
    from tabulate import tabulate

    headers = [
        "stage", "seed", "domain", "split", "n", "cluster-alignment accuracy %", "map from", "Hungarian %", "NMI",
        "ARI", "largest cluster %",
    ]  # fmt: skip
    body = [
        [
            r.stage, r.seed, r.domain, r.split, r.n, f"{100 * r.accuracy:.2f}", r.map_from, f"{100 * r.hungarian:.2f}",
            f"{r.nmi:.3f}", f"{r.ari:.3f}", f"{100 * r.largest:.0f}",
        ]
        for r in rows
    ]  # fmt: skip
    return tabulate(body, headers=headers, tablefmt="github", disable_numparse=True)
