"""Scoring a trained method: translate once, round once, encode once, then every metric reads the same arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from bench.atomic import write_array, write_json
from bench.data.contract import TaskData
from bench.features import FeatureCache
from bench.figures import sample_grid
from bench.judge import Judge
from bench.presets import EvaluationSize
from bench.progress import progress
from bench.protocol import PROTOCOLS, TRANSLATION, TranslationProtocol
from bench.randomness import generator
from bench.results import SCHEMA, Cell
from methods.base import Exemplar, Noise, Style, Translator, to_model_range, to_uint8
from metrics.accuracy import accuracy, per_class_accuracy
from metrics.checks import pinned_blas
from metrics.encoders import InceptionEncoder, LpipsAlexNet
from metrics.frechet import frechet_distance, per_class_frechet
from metrics.kernel import kernel_distance, per_class_kernel
from metrics.lpips_diversity import cosine_diversity, within_source_diversity
from metrics.per_class import ClassDistance

ALL = "all"
"""Name of the row that pools every class."""


@dataclass(frozen=True)
class Missing:
    """An encoder that is not to be had."""

    remedy: str
    """What stands in the table instead of a value."""


@dataclass(frozen=True)
class Instruments:
    """What is needed to score cells of one task; made once, shared by all methods and seeds."""

    judge: Callable[[int], Judge]
    """Domain index -> the judge of that domain."""
    inception: InceptionEncoder | Missing
    """For FID."""
    alexnet: LpipsAlexNet | Missing
    """For LPIPS."""
    cache: FeatureCache
    """Features of real and translated images."""
    size: EvaluationSize
    """How many images are scored."""

    def available(self) -> set[str]:
        """Names of the encoders that are there."""
        return {"judge"} | {name for name in ("inception", "alexnet") if not isinstance(getattr(self, name), Missing)}


@dataclass(frozen=True)
class Translations:
    """One direction's sources and what a method made of them."""

    source: int
    target: int
    index: np.ndarray
    """Rows of the source domain's test split, (S,)."""
    labels: np.ndarray
    """True classes of the sources, (S,)."""
    images: np.ndarray
    """uint8 (S, K, 3, H, W); K = 1 for a deterministic method."""


@dataclass(frozen=True)
class Record:
    """One value, or why there is none."""

    metric: str
    protocol: str
    direction: str
    label: str
    """Class of the sources, or `all`."""
    value: float | None
    n: int
    """Number of translated images (accuracy, FID) or of sources (diversity)."""
    n_reference: int
    """Number of real images on the other side; 0 where there is none."""
    encoder: str
    """First 12 digits of the encoder's identity; empty if it is missing."""
    missing: str = ""
    """Why there is no value."""
    on_real: float | None = None
    """The same measure on the target domain's own test images, where it has one (accuracy: the judge's)."""


def style_name(method: Translator, wanted: str | None = None) -> str:
    """The style source to score with: `wanted`, else the method's default; `none` for a deterministic one."""
    if wanted is None:
        return method.style_sources[0] if method.style_sources else "none"
    if wanted not in (method.style_sources or ("none",)):
        raise ValueError(f"this method takes styles from {method.style_sources or ('none',)}, not from '{wanted}'")
    return wanted


def evaluate_cell(
    method: Translator, data: TaskData, directions: Sequence[tuple[int, int]], cell: Cell, tools: Instruments,
    style: str, batch_size: int | None = None,
) -> list[Record]:  # fmt: skip
    """Score `method` in every direction and store translations, grids and metrics in `cell`."""
    method.eval()
    records, images, judges = [], {}, {}
    for source, target in directions:
        name = f"{data.domains[source]}->{data.domains[target]}"
        made = translate_test_images(method, data, source, target, tools.size, style, batch_size)
        write_array(cell.translations(name, style), made.images)
        sample_grid(cell.grid(name, style), data, made)
        images[name] = hashlib.sha256(made.images.tobytes()).hexdigest()
        judge = tools.judge(target)
        judges[name] = {"identity": judge.encoder.identity, "accuracy": judge.accuracy, "n": judge.test_images}
        records += score_direction(data, made, name, tools)
    write_json(
        cell.metrics(style),
        {
            "schema": SCHEMA,
            "translation": asdict(TRANSLATION),
            "style_source": style,
            "images": images,
            "judges": judges,
            "records": [asdict(record) for record in records],
        },
    )
    return records


# ------------------------------------------------------------------------------------------------------- translate


def first_per_class(labels: np.ndarray, limit: int | None) -> np.ndarray:
    """Rows of the first `limit` images of each class (all if None), ascending. The order is that of content hashes."""
    if limit is None:
        return np.arange(len(labels))
    chosen = [np.flatnonzero(labels == label)[:limit] for label in np.unique(labels)]
    return np.sort(np.concatenate(chosen))


def translate_test_images(
    method: Translator, data: TaskData, source: int, target: int, size: EvaluationSize, style: str,
    batch_size: int | None = None,
) -> Translations:  # fmt: skip
    """Translate the test images of `source` in every style.

    `batch_size` is how many translations the caller wants held on the device at once; it is rounded up to whole
    protocol batches, which alone decide the arithmetic, so the result does not depend on it.
    """
    split = data.splits[source, TRANSLATION.sources]
    index = first_per_class(split.labels, size.sources_per_class)
    styles = 1 if style == "none" else TRANSLATION.styles
    pairs = [(row, k) for row in index for k in range(styles)]
    made = np.empty((len(pairs), 3, data.size, data.size), np.uint8)
    batch = TRANSLATION.batch
    step = batch * max(1, -(-(batch_size or 8 * batch) // batch))
    label = f"translating {data.domains[source]}->{data.domains[target]}"
    with progress(label, len(pairs), "images") as advance:
        for start in range(0, len(pairs), step):
            block = pairs[start : start + step]
            made[start : start + len(block)] = _translate_block(method, data, source, target, style, block, TRANSLATION)
            advance(len(block))
    shape = (len(index), styles, 3, data.size, data.size)
    return Translations(source, target, index, np.array(split.labels[index]), made.reshape(shape))


@torch.inference_mode()
def _translate_block(
    method: Translator, data: TaskData, source: int, target: int, style: str, pairs: Sequence[tuple[int, int]],
    protocol: TranslationProtocol,
) -> np.ndarray:  # fmt: skip
    split = data.splits[source, protocol.sources]
    device = next(method.parameters()).device
    padded = list(pairs) + [pairs[-1]] * (-len(pairs) % protocol.batch)
    results = []
    for start in range(0, len(padded), protocol.batch):
        part = padded[start : start + protocol.batch]
        x = to_model_range(torch.from_numpy(split.images[[row for row, _ in part]]).to(device))  # (B, 3, H, W) [-1, 1]
        given = styles_for(method, data, target, style, [(split.ids[row], k) for row, k in part], device)
        made = method.translate(x, source, target, given)
        if not made.isfinite().all():
            raise ValueError(f"translations {data.domains[source]}->{data.domains[target]} are not finite")
        results.append(to_uint8(made))
    return torch.cat(results)[: len(pairs)].cpu().numpy()


def styles_for(
    method: Translator, data: TaskData, target: int, style: str, keys: Sequence[tuple[str, int]], device: torch.device
) -> Style:
    """The style of each (source id, style index), from a generator of its own: the same for all methods and batches."""
    if style == "none":
        return None
    if style == "noise":
        return Noise(
            torch.stack([torch.randn(method.noise_dim, generator=generator("z", *key)) for key in keys]).to(device)
        )
    exemplars = data.splits[target, "train"]
    rows = [exemplar_row(identifier, k, len(exemplars)) for identifier, k in keys]
    return Exemplar(to_model_range(torch.from_numpy(exemplars.images[rows]).to(device)))


def exemplar_row(identifier: str, k: int, count: int) -> int:
    """Which of `count` training images is exemplar `k` of a source: another one for every k below `count`."""
    rng = generator("exemplar", identifier)
    drawn: list[int] = []
    while len(drawn) <= k % count:
        row = int(torch.randint(count, (), generator=rng))
        if row not in drawn:
            drawn.append(row)
    return drawn[-1]


# ----------------------------------------------------------------------------------------------------------- score


def score_direction(data: TaskData, made: Translations, direction: str, tools: Instruments) -> list[Record]:
    """Every protocol's records for one direction."""
    records: list[Record] = []
    for protocol in PROTOCOLS.values():
        base = Record(protocol.metric, protocol.name, direction, ALL, None, 0, 0, "")
        encoder = tools.judge(made.target).encoder if protocol.encoder == "judge" else getattr(tools, protocol.encoder)
        if isinstance(encoder, Missing):
            records.append(replace(base, missing=encoder.remedy))
            continue
        base = replace(base, encoder=encoder.identity[:12])
        score = {
            "accuracy": _accuracy, "fid": _distance, "kid": _distance, "lpips": _lpips,
            "judge_diversity": _judge_diversity,
        }  # fmt: skip
        records += score[protocol.metric](data, made, base, encoder, tools)
    return records


def _encoded(encoder: Any, images: np.ndarray, tools: Instruments) -> np.ndarray:
    """float32 (N, width) features of uint8 (N, 3, H, W), from the cache if they were ever made."""

    def encode() -> np.ndarray:
        with progress(f"encoding ({encoder.name})", len(images), "images") as advance:
            return encoder(images, progress=advance)

    return tools.cache.get(images, encoder.identity, encoder.name, encode)


def _accuracy(data: TaskData, made: Translations, base: Record, encoder: Any, tools: Instruments) -> list[Record]:
    judge = tools.judge(made.target)
    predicted = encoder.classify(_encoded(encoder, made.images[:, 0], tools))
    pooled = 100 * accuracy(predicted, made.labels)
    records = [replace(base, value=pooled, n=len(predicted), on_real=100 * judge.accuracy)]
    for index, own in per_class_accuracy(predicted, made.labels, range(len(data.classes))).items():
        value = None if own.value is None else 100 * own.value
        missing = "no source" if value is None else ""
        name, on_real = data.classes[index], 100 * judge.per_class[data.classes[index]]
        records.append(replace(base, label=name, value=value, n=own.n, missing=missing, on_real=on_real))
    return records


DISTANCES: Mapping[str, tuple[Callable[..., float], Callable[..., dict[int, ClassDistance]]]] = {
    "fid": (frechet_distance, per_class_frechet),
    "kid": (kernel_distance, per_class_kernel),
}
"""Metric -> the distance of two sets of features, and the same class by class."""


def _distance(data: TaskData, made: Translations, base: Record, encoder: Any, tools: Instruments) -> list[Record]:
    fake = _encoded(encoder, made.images[:, 0], tools)  # first: another process may be encoding the real ones
    real_images, real_labels = reference(data, made.target, tools.size.reference_per_class)
    real = _encoded(encoder, real_images, tools)
    pooled, by_class = DISTANCES[base.metric]
    with pinned_blas():
        records = [replace(base, value=pooled(fake, real), n=len(fake), n_reference=len(real))]
        classes = by_class(fake, made.labels, real, real_labels, range(len(data.classes)))
    for index, own in classes.items():
        name = data.classes[index]
        records.append(replace(base, label=name, value=own.value, n=own.n, n_reference=own.m, missing=own.reason))
    return records


def reference(data: TaskData, domain: int, per_class: int | None) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images and labels of train + test of `domain`, the first `per_class` of each class by content hash."""
    train, test = data.splits[domain, "train"], data.splits[domain, "test"]
    ids = np.array(train.ids + test.ids)
    order = np.argsort(ids, kind="stable")
    labels = np.concatenate([train.labels, test.labels])[order]
    rows = first_per_class(labels, per_class)
    images = np.concatenate([train.images, test.images])[order[rows]]
    return images, labels[rows]


def _lpips(data: TaskData, made: Translations, base: Record, encoder: Any, tools: Instruments) -> list[Record]:
    if made.images.shape[1] == 1:
        return _deterministic(data, made, base)

    def measure() -> np.ndarray:
        with progress(f"measuring ({encoder.name})", made.images.shape[0] * made.images.shape[1], "images") as advance:
            return encoder.pair_distances(made.images, progress=advance)

    distances = tools.cache.get(made.images, encoder.identity, f"{encoder.name}-pairs", measure)
    return [
        replace(record, value=within_source_diversity(distances[rows])) for record, rows in _groups(data, made, base)
    ]


def _judge_diversity(
    data: TaskData, made: Translations, base: Record, encoder: Any, tools: Instruments
) -> list[Record]:
    sources, styles = made.images.shape[:2]
    if styles == 1:
        return _deterministic(data, made, base)
    features = _encoded(encoder, made.images.reshape(-1, *made.images.shape[2:]), tools)
    features = features.reshape(sources, styles, -1)
    return [replace(record, value=cosine_diversity(features[rows])) for record, rows in _groups(data, made, base)]


def _groups(data: TaskData, made: Translations, base: Record) -> list[tuple[Record, np.ndarray]]:
    """(record without value, rows) for all sources and for those of each class that has any."""
    groups = [(ALL, np.arange(len(made.labels)))]
    groups += [(name, np.flatnonzero(made.labels == index)) for index, name in enumerate(data.classes)]
    return [(replace(base, label=name, n=len(rows)), rows) for name, rows in groups if len(rows)]


def _deterministic(data: TaskData, made: Translations, base: Record) -> list[Record]:
    """Diversity 0 by construction: every style of a source gives the same image."""
    return [replace(record, value=0.0) for record, _ in _groups(data, made, base)]
