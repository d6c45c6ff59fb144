"""Scoring a trained method: translate once, round once, encode once, then every metric reads the same arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from torch import Tensor

from bench.core.files import write_json
from bench.data.types import TaskData
from bench.evaluation.alignment import alignment_records
from bench.evaluation.encoders import Encoders, MissingEncoder
from bench.evaluation.record import Record
from bench.evaluation.sample_grid import sample_grid
from bench.evaluation.score import score_direction, unrounded_feature_key
from bench.evaluation.self_test.doctor import doctor_record
from bench.evaluation.translate import (
    Translations,
    keep_translations,
    kept_translations,
    translate_test_images,
    translation_provenance,
)
from bench.spec.protocols import TRANSLATION, WITHOUT_CLASSES
from bench.store.cell import SCHEMA, Cell, read_cell_metrics
from bench.store.definitions import keep_definitions
from methods.base import Translator
from metrics.encoders import encoder_identity


def evaluate_cell(
    method: Translator, data: TaskData, directions: Sequence[tuple[int, int]], cell: Cell, encoders: Encoders,
    style: str, batch_size: int | None = None,
) -> list[Record]:  # fmt: skip
    """Score `method` in every direction and store translations, grids and metrics in `cell`.

    Translations that the cell holds already, from the same weights, data and protocol, are not computed again.
    """
    method.eval()
    weights = encoder_identity(method.state_dict())

    def scored() -> Iterator[tuple[Translations, list[Record]]]:
        for source, target in directions:
            name = f"{data.domains[source]}->{data.domains[target]}"
            translations = _translations(method, data, source, target, cell, encoders, style, weights, batch_size)
            records = score_direction(data, translations, name, encoders, weights)
            yield translations, records + alignment_records(method, data, source, target, encoders)

    return _store(scored(), data, cell, encoders, style)


def evaluate_images(
    data: TaskData, given: Sequence[Translations], cell: Cell, encoders: Encoders, style: str
) -> list[Record]:
    """As `evaluate_cell`, for translations that somebody else made."""

    def scored() -> Iterator[tuple[Translations, list[Record]]]:
        for one in given:
            name, direction = direction_of(data, one), (one.source, one.target)
            origin = translation_provenance(data, *direction, encoders.size.sources_per_class, style, "")
            sample_grid(cell.grid(name, style), data, one)
            keep_translations(cell, name, style, one, origin)
            records = score_direction(data, one, name, encoders)
            yield one, records + alignment_records(None, data, *direction, encoders)

    return _store(scored(), data, cell, encoders, style)


def direction_of(data: TaskData, translations: Translations) -> str:
    """Name of their direction, such as `sketch->real`."""
    return f"{data.domains[translations.source]}->{data.domains[translations.target]}"


def _store(
    scored: Iterable[tuple[Translations, list[Record]]], data: TaskData, cell: Cell, encoders: Encoders, style: str
) -> list[Record]:
    """Write the metrics of every direction; returns their records."""
    records: list[Record] = []
    images, judges = {}, {}
    for translations, of_direction in scored:
        name = direction_of(data, translations)
        images[name] = translations.digest
        if data.labelled:
            judge = encoders.judge(translations.target)
            judges[name] = {"identity": judge.encoder.identity, "accuracy": judge.accuracy, "n": judge.test_images}
        records += of_direction
    keep_definitions(cell.root, encoders.protocols)
    written = [asdict(record) for record in records] + _still_valid(cell, style, images, judges, encoders)
    write_json(
        cell.metrics(style),
        {
            "schema": SCHEMA,
            "translation": asdict(TRANSLATION),
            "style_source": style,
            "images": images,
            "judges": judges,
            "size": _size(encoders),
            "doctor": doctor_record(),
            **({} if data.labelled else {"left_out": WITHOUT_CLASSES}),
            "records": written,
        },
    )
    return records


def _size(encoders: Encoders) -> dict[str, int | None]:
    """Number of images that were scored, as JSON."""
    size = encoders.size
    return {"sources_per_class": size.sources_per_class, "reference_per_class": size.reference_per_class}


def _translations(
    method: Translator, data: TaskData, source: int, target: int, cell: Cell, encoders: Encoders, style: str,
    weights: str, batch_size: int | None,
) -> Translations:  # fmt: skip
    """The stored translations, or new ones; those are also encoded before rounding, where a protocol wants it."""
    direction, per_class = f"{data.domains[source]}->{data.domains[target]}", encoders.size.sources_per_class
    origin = translation_provenance(data, source, target, per_class, style, weights)
    translations = kept_translations(cell, direction, style, data, source, target, origin, per_class)
    unrounded = _Unrounded(encoders, target, 1 if style == "none" else TRANSLATION.styles)
    if translations is None or not unrounded.known(translations, weights):
        translations = translate_test_images(
            method, data, source, target, per_class, style, batch_size, unrounded.see if unrounded.wanted else None
        )
        unrounded.store(translations, weights)
        sample_grid(cell.grid(direction, style), data, translations)
        keep_translations(cell, direction, style, translations, origin)  # last: after a kill, kept means complete
    return translations


class _Unrounded:
    """Features of translations before they are rounded, computed while these pass: floats are not kept."""

    def __init__(self, encoders: Encoders, target: int, styles: int) -> None:
        self.encoders, self.styles = encoders, styles
        wanted = [protocol for protocol in encoders.protocols if protocol.unrounded]
        self.encoder: Any = encoders.encoder(wanted[0].encoder, target) if wanted else MissingEncoder("")
        self.wanted = (
            sorted({min(p.styles, styles) for p in wanted}) if not isinstance(self.encoder, MissingEncoder) else []
        )
        self.parts: list[np.ndarray] = []

    def known(self, translations: Translations, weights: str) -> bool:
        """Whether the features of `translations` are in the cache in every number of styles that is wanted."""
        keys = [unrounded_feature_key(translations, self.encoder, styles, weights) for styles in self.wanted]
        return all(self.encoders.cache.find(*key) is not None for key in keys)

    def see(self, images: Tensor, first: int) -> None:
        """Encode the images of (B, 3, H, W) in [-1, 1] whose style is wanted; `first`: number of the first image."""
        style = np.arange(first, first + len(images)) % self.styles
        chosen = images[np.flatnonzero(style < self.wanted[-1])].add(1).div(2)  # [0, 1]
        if len(chosen):
            self.parts.append(self.encoder.encode_floats(chosen.cpu().numpy()))

    def store(self, translations: Translations, weights: str) -> None:
        """Store the features of the images that were seen in the cache."""
        for styles in self.wanted:
            by_source = np.concatenate(self.parts).reshape(len(translations.labels), self.wanted[-1], -1)
            features = by_source[:, :styles].reshape(len(translations.labels) * styles, -1)
            self.encoders.cache.put(*unrounded_feature_key(translations, self.encoder, styles, weights), features)


def _still_valid(
    cell: Cell, style: str, images: dict[str, str], judges: dict[str, Any], encoders: Encoders
) -> list[dict[str, Any]]:
    """Stored records of protocols that were not asked for this time, if images, judges and sizes are the same."""
    path = cell.metrics(style)
    if not path.exists():
        return []
    stored = read_cell_metrics(path)
    same = (stored.get("images"), stored.get("judges"), stored.get("size")) == (images, judges, _size(encoders))
    measured = {protocol.name for protocol in encoders.protocols}
    return [record for record in stored["records"] if same and record["protocol"] not in measured]
