"""Translations of the test images by a trained method: computed once, rounded once, kept beside the cell."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.core.files import read_array, read_json, write_array, write_json
from bench.core.progress import progress
from bench.core.randomness import randomness
from bench.data.types import TaskData
from bench.spec.protocols import TRANSLATION, TranslationProtocol
from bench.store.cell import Cell
from methods.base import Exemplar, Noise, Style, Translator, to_model_range, to_uint8

Watch = Callable[[Tensor, int], None]
"""Function of translations before rounding, (B, 3, H, W) clamped to [-1, 1], and the number of the first of them."""


@dataclass(frozen=True)
class Translations:
    """One direction's sources and their translations by one method."""

    source: int
    target: int
    index: np.ndarray
    """Rows of the source domain's test split, (S,)."""
    labels: np.ndarray
    """True classes of the sources, (S,)."""
    images: np.ndarray
    """uint8 (S, K, 3, H, W); K = 1 for a deterministic method."""

    @property
    def digest(self) -> str:
        """sha256 (hex) of the images' bytes."""
        return hashlib.sha256(np.ascontiguousarray(self.images).data).hexdigest()


def chosen_style_source(method: Translator, wanted: str | None = None) -> str:
    """The style source to score with: `wanted`, else the method's default; `none` for a deterministic one."""
    if wanted is None:
        return method.style_sources[0] if method.style_sources else "none"
    if wanted not in (method.style_sources or ("none",)):
        raise ValueError(f"this method takes styles from {method.style_sources or ('none',)}, not from '{wanted}'")
    return wanted


def first_rows_of_each_class(labels: np.ndarray, limit: int | None) -> np.ndarray:
    """Rows of the first `limit` images of each class (all if None), ascending. The order is that of content hashes."""
    if limit is None:
        return np.arange(len(labels))
    chosen = [np.flatnonzero(labels == label)[:limit] for label in np.unique(labels)]
    return np.sort(np.concatenate(chosen))


def translate_test_images(
    method: Translator, data: TaskData, source: int, target: int, per_class: int | None, style: str,
    batch_size: int | None = None, watch: Watch | None = None,
) -> Translations:  # fmt: skip
    """Translate the first `per_class` test images of each class (None: all) of `source`, in every style.

    `batch_size` is how many translations the caller wants held on the device at once; it is rounded up to whole
    protocol batches, which alone decide the arithmetic, so the result does not depend on it. `watch` sees the
    translations before they are rounded, in order: source after source, each in all its styles.
    """
    split = data.splits[source, TRANSLATION.sources]
    index = first_rows_of_each_class(split.labels, per_class)
    styles = 1 if style == "none" else TRANSLATION.styles
    pairs = [(row, k) for row in index for k in range(styles)]
    translated = np.empty((len(pairs), 3, data.size, data.size), np.uint8)
    batch = TRANSLATION.batch
    step = batch * max(1, -(-(batch_size or 8 * batch) // batch))
    label = f"translating {data.domains[source]}->{data.domains[target]}"
    with progress(label, len(pairs), "images") as advance:
        for start in range(0, len(pairs), step):
            block = pairs[start : start + step]
            floats = _translate_block(method, data, source, target, style, block, TRANSLATION, advance)
            translated[start : start + len(block)] = to_uint8(floats).cpu().numpy()
            if watch is not None:
                watch(floats, start)
    shape = (len(index), styles, 3, data.size, data.size)
    return Translations(source, target, index, np.array(split.labels[index]), translated.reshape(shape))


@torch.inference_mode()
def _translate_block(
    method: Translator, data: TaskData, source: int, target: int, style: str, pairs: Sequence[tuple[int, int]],
    protocol: TranslationProtocol, advance: Callable[[int], None],
) -> Tensor:  # fmt: skip
    """(len(pairs), 3, H, W), clamped to [-1, 1]. `advance` is told of every batch: at 256 px a block takes minutes."""
    split = data.splits[source, protocol.sources]
    device = next(method.parameters()).device
    padded = list(pairs) + [pairs[-1]] * (-len(pairs) % protocol.batch)
    results = []
    for start in range(0, len(padded), protocol.batch):
        part = padded[start : start + protocol.batch]
        x = to_model_range(torch.from_numpy(split.images[[row for row, _ in part]]).to(device))  # (B, 3, H, W) [-1, 1]
        styles = draw_styles(method, data, target, style, [(split.ids[row], k) for row, k in part], device)
        translated = method.translate(x, source, target, styles)
        if not translated.isfinite().all():
            raise ValueError(f"translations {data.domains[source]}->{data.domains[target]} are not finite")
        results.append(translated.float().clamp(-1.0, 1.0))
        advance(min(protocol.batch, len(pairs) - start))
    return torch.cat(results)[: len(pairs)]


def draw_styles(
    method: Translator, data: TaskData, target: int, style: str, keys: Sequence[tuple[str, int]], device: torch.device
) -> Style:
    """The style of each (source id, style index), from a generator of its own: the same for all methods and batches."""
    if style == "none":
        return None
    if style == "noise":
        return Noise(
            torch.stack([torch.randn(method.noise_dim, generator=randomness("z", *key)) for key in keys]).to(device)
        )
    exemplars = data.splits[target, "train"]
    rows = [exemplar_row(identifier, k, len(exemplars)) for identifier, k in keys]
    return Exemplar(to_model_range(torch.from_numpy(exemplars.images[rows]).to(device)))


def exemplar_row(identifier: str, k: int, count: int) -> int:
    """Row, of `count` training images, of exemplar `k` of a source: another one for every k below `count`."""
    rng = randomness("exemplar", identifier)
    drawn: list[int] = []
    while len(drawn) <= k % count:
        row = int(torch.randint(count, (), generator=rng))
        if row not in drawn:
            drawn.append(row)
    return drawn[-1]


# ----------------------------------------------------------------------------------------------------------- keeping


def translation_provenance(
    data: TaskData, source: int, target: int, per_class: int | None, style: str, weights: str
) -> dict[str, Any]:
    """JSON record of everything that determines a method's translations; `weights` is the identity of its state."""
    split = data.splits[source, TRANSLATION.sources]
    ids = [split.ids[row] for row in first_rows_of_each_class(split.labels, per_class)]
    return {
        "translation": asdict(TRANSLATION),
        "data_version": data.version,
        "direction": [data.domains[source], data.domains[target]],
        "sources": hashlib.sha256("\n".join(ids).encode()).hexdigest(),
        "style": style,
        "weights": weights,
    }


def keep_translations(
    cell: Cell, direction: str, style: str, translations: Translations, origin: dict[str, Any]
) -> None:
    """Store `translations`, and last their `translation_provenance`: an array without it is never trusted."""
    path = cell.translations(direction, style)
    path.with_suffix(".json").unlink(missing_ok=True)
    write_array(path, translations.images)
    write_json(path.with_suffix(".json"), {**origin, "images": translations.digest})


def kept_translations(
    cell: Cell, direction: str, style: str, data: TaskData, source: int, target: int, origin: dict[str, Any],
    per_class: int | None,
) -> Translations | None:  # fmt: skip
    """The translations that `keep_translations` stored, if they have the same `origin` and are undamaged; else None."""
    path = cell.translations(direction, style)
    try:
        record = read_json(path.with_suffix(".json"))
        images = read_array(path)
    except (OSError, ValueError):
        return None  # absent, cut off or damaged: translated again
    split = data.splits[source, TRANSLATION.sources]
    index = first_rows_of_each_class(split.labels, per_class)
    translations = Translations(source, target, index, np.array(split.labels[index]), images)
    return translations if record == {**origin, "images": translations.digest} else None


def scored_translations(
    path: Path, digest: str | None, data: TaskData, direction: tuple[int, int], per_class: int | None
) -> Translations | None:
    """The translations stored at `path`; None if they are absent or not those behind the cell's metrics.

    `digest` and `per_class` (number of sources of each class) are what those metrics state.
    """
    try:
        images = read_array(path)
    except (OSError, ValueError):
        return None
    split = data.splits[direction[0], TRANSLATION.sources]
    index = first_rows_of_each_class(split.labels, per_class)
    translations = Translations(*direction, index, np.array(split.labels[index]), images)
    return translations if translations.digest == digest and len(images) == len(index) else None
