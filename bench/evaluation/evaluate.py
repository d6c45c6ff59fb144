"""Scoring a trained method: translate once, round once, encode once, then every metric reads the same arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from torch import Tensor

from bench.core.files import write_json
from bench.data.types import TaskData
from bench.evaluation.encoders import Instruments, Missing
from bench.evaluation.sample_grid import sample_grid
from bench.evaluation.score import Record, score_direction, unrounded_key
from bench.evaluation.self_test.doctor import doctor_record
from bench.evaluation.translate import Translations, keep, kept, provenance, translate_test_images
from bench.spec.protocols import TRANSLATION
from bench.store.cell import SCHEMA, Cell, read_metrics
from methods.base import Translator
from metrics.encoders import identity_of


def evaluate_cell(
    method: Translator, data: TaskData, directions: Sequence[tuple[int, int]], cell: Cell, tools: Instruments,
    style: str, batch_size: int | None = None,
) -> list[Record]:  # fmt: skip
    """Score `method` in every direction and store translations, grids and metrics in `cell`.

    Translations that the cell holds already, made from the same weights, data and protocol, are not made again.
    """
    method.eval()
    weights = identity_of(method.state_dict())
    records: list[Record] = []
    images, judges = {}, {}
    for source, target in directions:
        name = f"{data.domains[source]}->{data.domains[target]}"
        made = _translations(method, data, source, target, cell, tools, style, weights, batch_size)
        images[name] = made.digest
        judge = tools.judge(target)
        judges[name] = {"identity": judge.encoder.identity, "accuracy": judge.accuracy, "n": judge.test_images}
        records += score_direction(data, made, name, tools, weights)
    written = [asdict(record) for record in records] + _still_valid(cell, style, images, judges, tools)
    write_json(
        cell.metrics(style),
        {
            "schema": SCHEMA,
            "translation": asdict(TRANSLATION),
            "style_source": style,
            "images": images,
            "judges": judges,
            "size": _size(tools),
            "doctor": doctor_record(),
            "records": written,
        },
    )
    return records


def _size(tools: Instruments) -> dict[str, int | None]:
    """How many images were scored."""
    size = tools.size
    return {"sources_per_class": size.sources_per_class, "reference_per_class": size.reference_per_class}


def _translations(
    method: Translator, data: TaskData, source: int, target: int, cell: Cell, tools: Instruments, style: str,
    weights: str, batch_size: int | None,
) -> Translations:  # fmt: skip
    """The cell's own, or made now, in which case the unrounded ones are encoded, too, where a protocol wants it."""
    direction, per_class = f"{data.domains[source]}->{data.domains[target]}", tools.size.sources_per_class
    origin = provenance(data, source, target, per_class, style, weights)
    made = kept(cell, direction, style, data, source, target, origin, per_class)
    unrounded = _Unrounded(tools, target, 1 if style == "none" else TRANSLATION.styles)
    if made is None or not unrounded.known(made, weights):
        made = translate_test_images(
            method, data, source, target, per_class, style, batch_size, unrounded.see if unrounded.wanted else None
        )
        unrounded.store(made, weights)
        sample_grid(cell.grid(direction, style), data, made)
        keep(cell, direction, style, made, origin)  # last: what is kept is not made again after a kill
    return made


class _Unrounded:
    """Features of translations before they are rounded, made while these pass: they are not kept as floats."""

    def __init__(self, tools: Instruments, target: int, styles: int) -> None:
        self.tools, self.styles = tools, styles
        wanted = [protocol for protocol in tools.protocols if protocol.unrounded]
        self.encoder: Any = tools.encoder(wanted[0].encoder, target) if wanted else Missing("")
        self.wanted = sorted({min(p.styles, styles) for p in wanted}) if not isinstance(self.encoder, Missing) else []
        self.parts: list[np.ndarray] = []

    def known(self, made: Translations, weights: str) -> bool:
        """Whether the features of `made` are in the cache in every number of styles that is wanted."""
        keys = [unrounded_key(made, self.encoder, styles, weights) for styles in self.wanted]
        return all(self.tools.cache.find(*key) is not None for key in keys)

    def see(self, images: Tensor, first: int) -> None:
        """Encode those of `images` (B, 3, H, W) in [-1, 1] whose style is wanted; `first`: number of the first."""
        style = np.arange(first, first + len(images)) % self.styles
        chosen = images[np.flatnonzero(style < self.wanted[-1])].add(1).div(2)  # [0, 1]
        if len(chosen):
            self.parts.append(self.encoder.encode_floats(chosen.cpu().numpy()))

    def store(self, made: Translations, weights: str) -> None:
        """Put what was seen into the cache."""
        for styles in self.wanted:
            by_source = np.concatenate(self.parts).reshape(len(made.labels), self.wanted[-1], -1)
            features = by_source[:, :styles].reshape(len(made.labels) * styles, -1)
            self.tools.cache.put(*unrounded_key(made, self.encoder, styles, weights), features)


def _still_valid(
    cell: Cell, style: str, images: dict[str, str], judges: dict[str, Any], tools: Instruments
) -> list[dict[str, Any]]:
    """Stored records of protocols that were not asked for this time, if images, judges and sizes are the same."""
    path = cell.metrics(style)
    if not path.exists():
        return []
    stored = read_metrics(path)
    same = (stored.get("images"), stored.get("judges"), stored.get("size")) == (images, judges, _size(tools))
    measured = {protocol.name for protocol in tools.protocols}
    return [record for record in stored["records"] if same and record["protocol"] not in measured]
