"""Records of translations: every protocol's value over all and per class, its n, its deviation and its floor.

One function per kind of measurement. It gets the protocols that share an encoder and a computation (`MEASURES`), so
that nothing is encoded or computed twice, and returns a record for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.core.progress import explained, progress
from bench.data.types import TaskData
from bench.evaluation.distributions import DISTRIBUTIONS, Distribution, distribution_floors
from bench.evaluation.encoders import Encoders, MissingEncoder
from bench.evaluation.judge import Judge
from bench.evaluation.outside_metrics import outside_distribution, outside_image_values
from bench.evaluation.probe import Probe
from bench.evaluation.record import Record
from bench.evaluation.translate import Translations, first_rows_of_each_class
from bench.spec.protocols import ACROSS_GROUP, ALL, OUTSIDE, Protocol, SplitName
from metrics.lpips_diversity import cosine_diversities, within_source_diversities
from metrics.parts.input_checks import pinned_blas
from metrics.plugin import SetMetric
from metrics.statistics.intervals import mean_interval

PUBLISHED_SOURCES, PUBLISHED_BATCH = 128, 512
"""Sources per batch, and images per Inception batch, of the paper's code when it computes its FID."""


def score_direction(
    data: TaskData, translations: Translations, direction: str, encoders: Encoders, weights: str = ""
) -> list[Record]:
    """Records of every protocol for one direction. A metric's ValueError becomes a record with the reason.

    `weights`: see `Scoring`.
    """
    records: list[Record] = []
    for protocols in group_protocols([protocol for protocol in encoders.protocols if protocol.encoder != "categories"]):
        first = protocols[0]
        encoder = encoders.encoder(first.encoder, translations.target)
        identity = "pixels" if encoder is None else getattr(encoder, "identity", "")[:12]
        bases = [Record(p.metric, p.name, direction, ALL, None, 0, 0, identity) for p in protocols]
        if isinstance(encoder, MissingEncoder):
            records += [replace(base, missing=encoder.remedy) for base in bases]
            continue
        try:
            with explained(f"measuring {', '.join(protocol.name for protocol in protocols)} of {direction}"):
                measure = _outside if first.name in OUTSIDE else MEASURES[first.metric]
                records += measure(Scoring(data, translations, encoders, encoder, weights), protocols, bases)
        except ValueError as error:
            records += [replace(base, missing=str(error)) for base in bases]
    return records


@dataclass(frozen=True)
class Scoring:
    """The inputs of one measurement."""

    data: TaskData
    translations: Translations
    encoders: Encoders
    encoder: Any
    """The one of `encoders` that the protocols name; None where they read pixels."""
    weights: str
    """Identity of the method's state, which the features of unrounded translations are kept under; empty: no method."""

    def encode(self, images: np.ndarray) -> np.ndarray:
        """float32 (N, width) features of uint8 (N, 3, H, W), from the cache if they were ever computed."""
        return self.encoders.cache.encode(self.encoder, images)


MetricFunction = Callable[[Scoring, Sequence[Protocol], Sequence[Record]], list[Record]]


def group_protocols(protocols: Sequence[Protocol]) -> Iterator[tuple[Protocol, ...]]:
    """The protocols that one computation serves, in the order of their first."""
    groups: dict[tuple[Any, ...], list[Protocol]] = {}
    for p in protocols:
        kind: Any = p.name if p.name in OUTSIDE else MEASURES.get(p.metric)  # none: it is broken, and so its encoder is
        if p.metric in DISTRIBUTIONS:
            kind = (DISTRIBUTIONS[p.metric], p.reference, p.styles, p.unrounded, p.as_published)
        groups.setdefault((kind, p.encoder), []).append(p)
    return (tuple(group) for group in groups.values())


# -------------------------------------------------------------------------------------------------------- features


def reference_images(
    data: TaskData, domain: int, splits: Sequence[SplitName], per_class: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images and labels of `splits` of `domain`, the first `per_class` of each class by content hash."""
    parts = [data.splits[domain, name] for name in splits]
    order = np.argsort(np.array([identifier for part in parts for identifier in part.ids]), kind="stable")
    labels = np.concatenate([part.labels for part in parts])[order]
    rows = first_rows_of_each_class(labels, per_class)
    images = np.empty((len(rows), *parts[0].images.shape[1:]), np.uint8)
    start = 0
    for part in parts:  # only what is wanted leaves the disk, once: all of them together can be gigabytes
        place = np.flatnonzero((order[rows] >= start) & (order[rows] < start + len(part)))
        for row in place:
            images[row] = part.images[order[rows[row]] - start]
        start += len(part)
    return images, labels[rows]


def reference_features(scoring: Scoring, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """Features (or pixels) of the real images, (M, ...), and their labels (M,)."""
    per_class = scoring.encoders.size.reference_per_class
    images, labels = reference_images(scoring.data, scoring.translations.target, protocol.reference, per_class)
    features = images.reshape(len(images), -1) if scoring.encoder is None else scoring.encode(images)
    return features, labels


def translation_features(scoring: Scoring, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """Features (or pixels) of the translations, (N, ...), and the labels of their sources (N,)."""
    translations, styles = scoring.translations, min(protocol.styles, scoring.translations.images.shape[1])
    labels = np.repeat(scoring.translations.labels, styles)
    if scoring.encoder is None:
        return translations.images[:, :styles].reshape(len(labels), -1), labels
    if protocol.unrounded:
        if not scoring.weights:
            raise ValueError("needs translations before rounding, and these images are rounded")
        features = scoring.encoders.cache.find(
            *unrounded_feature_key(translations, scoring.encoder, styles, scoring.weights)
        )
        if features is None:
            raise ValueError("the translations before rounding were not encoded: evaluate again")
        return features, labels
    return scoring.encode(translations.images[:, :styles].reshape(-1, *translations.images.shape[2:])), labels


def unrounded_feature_key(
    translations: Translations, encoder: Any, styles: int, weights: str
) -> tuple[np.ndarray, str, str]:
    """Arguments of `FeatureCache.find` for translations that `encoder` saw before they were rounded."""
    return translations.images, f"{encoder.identity} of {weights}", f"{encoder.name}-unrounded-{styles}"


# -------------------------------------------------------------------------------------------------- the measurements


def _right(scoring: Scoring) -> np.ndarray:
    """100 where the judge sees the source's class in its translation, 0 elsewhere."""
    judge = _judge(scoring)
    features = scoring.encoders.cache.encode(judge.encoder, scoring.translations.images[:, 0])
    predicted = judge.classify(features)
    return 100.0 * (predicted == scoring.translations.labels)


def _lpips_within(scoring: Scoring) -> np.ndarray:
    """LPIPS within each source; 0 for a deterministic method, whose styles all give the same image."""
    sources, styles = scoring.translations.images.shape[:2]
    return np.zeros(sources) if styles == 1 else within_source_diversities(_lpips_distances(scoring)[0])


def _judge_diversity(scoring: Scoring) -> np.ndarray:
    """Cosine diversity of the judge's features; 0 for a deterministic method."""
    images = scoring.translations.images
    sources, styles = images.shape[:2]
    if styles == 1:
        return np.zeros(sources)
    features = scoring.encode(images.reshape(-1, *images.shape[2:]))
    return cosine_diversities(features.reshape(sources, styles, -1))


def _lpips_source(scoring: Scoring) -> np.ndarray:
    return _distances_to_source(scoring, scoring.encoder.distances)


def _structure(scoring: Scoring) -> np.ndarray:
    return _distances_to_source(scoring, scoring.encoder.structure_distances)


def _distances_to_source(scoring: Scoring, measure: Callable[..., np.ndarray]) -> np.ndarray:
    """float32 (S,): `measure` of each source and its translation in the first style."""
    translations, encoder = scoring.translations, scoring.encoder
    sources = scoring.data.splits[translations.source, "test"].images[translations.index]
    pairs = np.stack([sources, translations.images[:, 0]], axis=1)  # (S, 2, 3, H, W)

    def compute() -> np.ndarray:
        with progress(f"comparing with sources ({encoder.name})", len(pairs), "pairs") as advance:
            return measure(pairs[:, 0], pairs[:, 1], progress=advance)

    return scoring.encoders.cache.get(pairs, encoder.identity, f"{encoder.name}-to-source", compute)


PER_SOURCE: dict[str, Callable[[Scoring], np.ndarray]] = {
    "accuracy": _right,
    "lpips": _lpips_within,
    "judge_diversity": _judge_diversity,
    "lpips_source": _lpips_source,
    "structure": _structure,
}
"""Metrics that are a mean over sources -> the value of each source, float64 (S,)."""


def _per_source(scoring: Scoring, protocols: Sequence[Protocol], bases: Sequence[Record]) -> list[Record]:
    records = list[Record]()
    for base in bases:
        records += _of_sources(scoring, base, PER_SOURCE[base.metric](scoring))
    return records


def _of_sources(scoring: Scoring, base: Record, values: np.ndarray) -> list[Record]:
    """The mean of `values` (S,) over all sources and over those of each class."""
    records = []
    for label, rows in _classes(scoring.data, scoring.translations.labels):
        if rows.any():
            value, deviation = _mean(values[rows])
            records.append(replace(base, label=label, value=value, deviation=deviation, n=int(rows.sum())))
        else:
            records.append(replace(base, label=label, missing="no source"))
    return records


def _judge(scoring: Scoring) -> Judge | Probe:
    """The classifier of the target domain that the protocol names: a trained network, or a probe."""
    if isinstance(scoring.encoder, Probe):
        return scoring.encoder
    return scoring.encoders.judge(scoring.translations.target)


def _accuracy(scoring: Scoring, protocols: Sequence[Protocol], bases: Sequence[Record]) -> list[Record]:
    judge = _judge(scoring)
    on_real = {ALL: judge.accuracy, **judge.per_class}
    return [replace(record, on_real=100 * on_real[record.label]) for record in _per_source(scoring, protocols, bases)]


def _lpips_across(scoring: Scoring, protocols: Sequence[Protocol], bases: Sequence[Record]) -> list[Record]:
    """A mean over pairs of different sources; the groups are disjoint, so their means are the independent part."""
    distances = _lpips_distances(scoring)[1]
    if distances.shape[1] == 0:
        raise ValueError("at least 2 sources wanted for distances across sources, got 1")
    value, deviation = _mean(distances.mean(axis=1, dtype=np.float64))
    return [replace(base, value=value, deviation=deviation, n=len(scoring.translations.labels)) for base in bases]


def _lpips_distances(scoring: Scoring) -> tuple[np.ndarray, np.ndarray]:
    """float32 (S, K(K-1)/2) within each source and (G, g(g-1)/2) across those of each group: AlexNet runs once."""
    translations, encoder, (sources, styles) = (
        scoring.translations,
        scoring.encoder,
        scoring.translations.images.shape[:2],
    )
    groups = group_across_sources(sources)

    def measure() -> np.ndarray:
        with progress(f"measuring ({encoder.name})", groups.size * styles, "images") as advance:
            within, across = encoder.grouped_distances(translations.images, groups, progress=advance)
        return np.concatenate([within.ravel(), across.ravel()])

    key = f"{encoder.name}-groups-of-{groups.shape[1]}"
    flat = scoring.encoders.cache.get(translations.images, encoder.identity, key, measure)
    pairs = sources * (styles * (styles - 1) // 2)
    return flat[:pairs].reshape(sources, -1), flat[pairs:].reshape(len(groups), -1)


def group_across_sources(sources: int, size: int = ACROSS_GROUP) -> np.ndarray:
    """int64 (G, size): every one of `sources` in a random group; the last is filled up with those of the first.

    One group of all if they are fewer than `size`. The order follows from the number of sources alone, which stand in
    the order of their content hashes: it is the same for all methods.
    """
    size = min(size, sources)
    order = np.random.default_rng(sources).permutation(sources)
    return np.concatenate([order, order[: -sources % size]]).reshape(-1, size)


def _mean(values: np.ndarray) -> tuple[float, float | None]:
    """The mean and its deviation, which a single value does not have."""
    if len(values) < 2:
        return float(values.mean()), None
    interval = mean_interval(values)
    return interval.value, interval.deviation


def _classes(data: TaskData, labels: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """(name, bool (N,)) of all and of each class, if there are several."""
    yield ALL, np.ones(len(labels), bool)
    for index, name in enumerate(data.classes if data.labelled else ()):
        yield name, labels == index


def _outside(scoring: Scoring, protocols: Sequence[Protocol], bases: Sequence[Record]) -> list[Record]:
    """Of one metric from outside."""
    name, (base,) = protocols[0].name, bases
    metric = OUTSIDE[name]
    if isinstance(metric, SetMetric):
        return _distribution(scoring, protocols, bases, outside_distribution(name, metric))
    return _of_sources(scoring, base, outside_image_values(metric, scoring.data, scoring.translations))


def _distribution(
    scoring: Scoring, protocols: Sequence[Protocol], bases: Sequence[Record], given: Distribution | None = None
) -> list[Record]:
    """`given`: in place of the computation of ours that the metric names."""
    first, how = protocols[0], given or DISTRIBUTIONS[protocols[0].metric]
    fake, fake_labels = translation_features(scoring, first)  # first: another process may be encoding the real ones
    real, real_labels = reference_features(scoring, first)
    styles = len(fake) // len(scoring.translations.labels)
    records: list[Record] = []
    with pinned_blas():
        real_classes = dict(_classes(scoring.data, real_labels))
        for label, rows in _classes(scoring.data, fake_labels) if how.per_class else [(ALL, np.ones(len(fake), bool))]:
            x, y = fake[rows], real[real_classes[label]]
            if first.as_published:
                x, y = x[rows_of_whole_batches(len(x), styles)], y[: count_in_whole_batches(len(y))]
            records += _compared(scoring, how, bases, label, x, y, independent=styles == 1)
    return records


def _compared(
    scoring: Scoring,
    how: Distribution,
    bases: Sequence[Record],
    label: str,
    x: np.ndarray,
    y: np.ndarray,
    independent: bool,
) -> list[Record]:
    """The records of x (n, ...), translations, against y (m, ...), real images.

    Where several translations are of one source they are not `independent`: half-samples of rows would tell too small a
    deviation, and there is none.
    """
    bases = [replace(base, label=label, n=len(x), n_reference=len(y)) for base in bases]
    if min(len(x), len(y)) < 2:
        reason = f"at least 2 images on each side wanted, got {len(x)} and {len(y)}"
        return [replace(base, missing=reason) for base in bases]
    try:
        values = how.values(x, y)
        deviation = how.deviation(x, y) if how.deviation is not None and independent else None
    except ValueError as error:
        return [replace(base, missing=str(error)) for base in bases]
    floor_of = distribution_floors(scoring.encoders.cache, how, y, len(x))
    records = []
    for base in bases:
        record = replace(base, value=values[base.metric], deviation=deviation)
        if base.metric in floor_of:
            floor = floor_of[base.metric]
            record = replace(
                record, floor=floor["value"], floor_deviation=floor["deviation"], floor_n=floor["n"],
                floor_reference=floor["m"],
            )  # fmt: skip
        records.append(record)
    return records


def rows_of_whole_batches(count: int, styles: int) -> np.ndarray:
    """int64: which of `count` translations the paper's code uses, those of a source standing together.

    For each 128 sources it takes the first style of all, then the second, and so on; what does not fill a batch of 512
    is dropped.
    """
    by_source = np.arange(count).reshape(-1, styles)
    order = [by_source[i : i + PUBLISHED_SOURCES].T.ravel() for i in range(0, len(by_source), PUBLISHED_SOURCES)]
    return np.concatenate(order)[: count_in_whole_batches(count)] if order else np.arange(0)


def count_in_whole_batches(count: int) -> int:
    """Number of images in the whole batches of 512 of `count`; all where there are fewer than one batch."""
    return count if count < PUBLISHED_BATCH else count - count % PUBLISHED_BATCH


MEASURES: dict[str, MetricFunction] = {
    **dict.fromkeys(PER_SOURCE, _per_source),
    "accuracy": _accuracy,
    "lpips_across": _lpips_across,
    **dict.fromkeys(DISTRIBUTIONS, _distribution),
}
"""Metric -> the measurement that gives it."""
