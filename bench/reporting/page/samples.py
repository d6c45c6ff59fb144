"""Sample grids: what every method makes of the same test images with the same noise, from stored translations."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from bench.core.errors import BenchError
from bench.data import prepare as store
from bench.data.fetch import locate
from bench.data.types import Split
from bench.evaluation.translate import first_rows_of_each_class
from bench.reporting.page.collect import PageResults, StoredCell, read_table_for_page
from bench.reporting.page.opening import MOST_ROWS
from bench.spec.presets import AS_CLASSES
from bench.spec.protocols import ALL
from bench.store.cell import cell_direction_file

SOURCES_PER_CLASS = 2
MOST_CLASSES = 12
"""More are not shown: the page says how many there are."""
SMALLEST_TILE = 48
"""Pixels on the page: smaller images are enlarged by a whole factor to at least this."""
LARGEST_TILE = 96
"""Larger images are shrunk to this (Lanczos)."""
MOST_OPENING, LARGEST_OPENING = 6, 64
"""Sources with which a direction opens, and their pixels at most."""
GAP = 2
"""Between the styles of a strip, in pixels of the file."""


@dataclass(frozen=True)
class PagePicture:
    """A PNG and how it stands on the page."""

    png: bytes
    width: int
    """Pixels on the page."""
    height: int
    alt: str


@dataclass(frozen=True)
class MethodSamples:
    """One method's translations of one direction."""

    row: str
    weak: bool
    style: str
    """Where its styles come from: `noise`, `exemplar`, `none`."""
    seed: int
    count: int
    """Styles per source; 1 for a deterministic method."""
    strips: tuple[PagePicture, ...]
    """One per source: its styles, from the left."""


@dataclass(frozen=True)
class OpeningStrip:
    """A row of the pictures that a direction opens with: the sources, or what one method made of them."""

    name: str
    weak: bool
    picture: PagePicture


@dataclass(frozen=True)
class SampleSheet:
    """The same sources for all methods."""

    opening: tuple[OpeningStrip, ...]
    """One image of each of the first classes, then what each method made of it in its first style."""
    left_out: str
    """Which rows `opening` does not show; empty: none."""

    labels: tuple[str, ...]
    """Class of each source; `test image k` where the data is not at hand."""
    sources: tuple[PagePicture, ...]
    """One image per label; none where the data is not at hand."""
    made: tuple[MethodSamples, ...]
    notes: tuple[str, ...]
    """What is not shown, and why."""


def sample_tiles(results: PageResults, direction: str) -> SampleSheet:
    """The first sources of each class, and what the lowest seed of every row made of them.

    Translations that are not those that were scored (another hash) are not shown; `notes` says so.
    """
    notes: list[str] = []
    shown = []
    for row in results.rows.values():
        stored_row, why = _of_row(row.cells, direction)
        shown += [stored_row] if stored_row else []
        notes += why
    if not shown:
        return SampleSheet((), "", (), (), (), tuple(notes))
    count = max(len(stored.images) for stored in shown)
    notes += [
        f"{stored.cell.name}: scored on other test images than the rest: not shown"
        for stored in shown
        if len(stored.images) != count
    ]
    shown = [stored for stored in shown if len(stored.images) == count]
    known = _sources(results, direction, shown[0])
    if known is None:
        notes.append(
            f"the test images of data version {results.setting.data_version} are not prepared on this machine, so the "
            "sources of these translations are not shown; any run or evaluation of this task prepares them"
        )
        rows = np.arange(min(count, SOURCES_PER_CLASS * AS_CLASSES))
        labels = [f"test image {row + 1}" for row in rows]
        sources: tuple[PagePicture, ...] = ()
        images = None
    else:
        rows, labels, images = known
        source = direction.partition("->")[0]
        sources = tuple(
            sample_strip(image[None], f"{source} test {_described(label)}")
            for image, label in zip(images, labels, strict=True)
        )
        if len(results.classes) > MOST_CLASSES:
            notes.append(f"{MOST_CLASSES} of {len(results.classes)} classes are shown")
    methods = tuple(_strips(stored, rows, labels, direction) for stored in shown)
    opening = _opening(shown[:MOST_ROWS], rows, labels, direction, images)
    absent = [row.name for row in results.rows.values() if row.name not in {strip.name for strip in opening}]
    left_out = f"without pictures here: {', '.join(absent)}" if absent else ""
    return SampleSheet(opening, left_out, tuple(labels), sources, methods, tuple(notes))


@dataclass(frozen=True)
class _Stored:
    """What a cell holds of one direction."""

    cell: StoredCell
    style: str
    images: np.ndarray
    """uint8 (S, K, 3, H, W), memory-mapped."""
    origin: dict[str, Any]
    """What it follows from (`bench.evaluation.translate.translation_provenance`); empty for cells older than that."""


def _of_row(cells: Sequence[StoredCell], direction: str) -> tuple[_Stored | None, list[str]]:
    """The translations of the first of `cells` that has sound ones, and what is wrong with those before it."""
    notes = []
    for cell in cells:
        for style, score in sorted(cell.scores.items()):
            digest = score.get("images", {}).get(direction)
            if digest is None:
                continue
            path = cell.folder / f"translations-{cell_direction_file(direction)}-{style}.npy"
            try:
                images = np.load(path, mmap_mode="r", allow_pickle=False)
                if images.dtype != np.uint8 or images.ndim != 5 or images.shape[2] != 3:
                    raise ValueError(f"{images.dtype} {images.shape}")
                sound = hashlib.sha256(np.ascontiguousarray(images).data).hexdigest() == digest
            except (OSError, ValueError, EOFError):
                notes.append(f"{cell.name}: the file of its translations is absent or damaged: not shown")
                continue
            if sound:
                return _Stored(cell, style, images, read_table_for_page(path.with_suffix(".json"))), notes
            notes.append(f"{cell.name}: its translations are not those that were scored: not shown")
    return None, notes


def _sources(results: PageResults, direction: str, stored: _Stored) -> tuple[np.ndarray, list[str], np.ndarray] | None:
    """(rows among the sources (R,), their classes, their images uint8 (R, 3, H, W)), from the prepared data.

    None where it is not at hand, or does not give the sources that were translated.
    """
    domains = stored.cell.spec["domains"]
    names = [f"{domains[a]}->{domains[b]}" for a, b in ((0, 1), (1, 0))]
    try:
        splits = store.find_prepared(results.setting.data_version, results.setting.image_size, locate.locate_cache())
    except BenchError:
        return None
    if splits is None or direction not in names:
        return None
    split = splits[names.index(direction), "test"]
    index = _index(split, stored)
    if index is not None and not results.classes:  # none to tell apart
        rows = np.arange(min(len(index), SOURCES_PER_CLASS * AS_CLASSES))
        return rows, [f"test image {row + 1}" for row in rows], split.images[index[rows]]
    if index is None or int(split.labels.max()) >= len(results.classes):
        return None
    labels = split.labels[index]
    chosen = [np.flatnonzero(labels == label)[:SOURCES_PER_CLASS] for label in range(len(results.classes))]
    rows = np.concatenate(chosen[:MOST_CLASSES])
    return rows, [results.classes[label] for label in labels[rows]], split.images[index[rows]]


def _described(label: str) -> str:
    """The label of a source in words: where there are no classes, it is a number already."""
    return label.removeprefix("test ") if label.startswith("test image ") else f"image of class {label}"


def _index(split: Split, stored: _Stored) -> np.ndarray | None:
    """Rows of the test split that were translated."""
    score = stored.cell.scores[stored.style]
    counts = [r["n"] for r in score["records"] if r["metric"] == "accuracy" and r["label"] != ALL]
    limit = score["size"]["sources_per_class"] if "size" in score else max(counts, default=None)
    index = first_rows_of_each_class(split.labels, limit)
    ids = hashlib.sha256("\n".join(split.ids[row] for row in index).encode()).hexdigest()
    sound = len(index) == len(stored.images) and stored.origin.get("sources", ids) == ids
    return index if sound else None


# ------------------------------------------------------------------------------------------------------- drawing


def _strips(stored: _Stored, rows: np.ndarray, labels: Sequence[str], direction: str) -> MethodSamples:
    source, _, target = direction.partition("->")
    count = stored.images.shape[1]
    styles = "" if count == 1 else f", styles 1 to {count} from the left"
    pictures = tuple(
        sample_strip(
            np.asarray(stored.images[row]),
            f"{source} {_described(label)} as {target} by {stored.cell.name}{styles}",
        )
        for row, label in zip(rows, labels, strict=True)
    )
    return MethodSamples(stored.cell.row, stored.cell.weak, stored.style, stored.cell.seed, count, pictures)


def _opening(
    shown: Sequence[_Stored], rows: np.ndarray, labels: Sequence[str], direction: str, images: np.ndarray | None
) -> tuple[OpeningStrip, ...]:
    """The first of each class, as many as stand side by side. `images`: the sources (R, 3, H, W); None: unknown."""
    first = [labels.index(label) for label in dict.fromkeys(labels)][:MOST_OPENING]
    names = ", ".join(labels[place] for place in first)
    source, _, target = direction.partition("->")
    strips = []
    if images is not None:
        picture = sample_strip(images[first], f"{source} test images: {names}", LARGEST_OPENING)
        strips.append(OpeningStrip("source", False, picture))
    for stored in shown:
        tiles = np.asarray(stored.images[rows[first]])[:, 0]
        alt = f"the same as {target} by {stored.cell.name}: {names}"
        strips.append(OpeningStrip(stored.cell.row, stored.cell.weak, sample_strip(tiles, alt, LARGEST_OPENING)))
    return tuple(strips)


def sample_strip(tiles: np.ndarray, alt: str, largest: int = LARGEST_TILE) -> PagePicture:
    """uint8 (K, 3, H, W) side by side, with transparent gaps; as stored, unless larger than `largest` pixels."""
    side = tiles.shape[-1]
    shown = min(side, largest)
    sheet = Image.new("RGBA", (len(tiles) * (shown + GAP) - GAP, shown))
    for place, tile in enumerate(tiles):
        picture = Image.fromarray(np.ascontiguousarray(tile.transpose(1, 2, 0)))
        if shown < side:
            picture = picture.resize((shown, shown), Image.Resampling.LANCZOS)
        sheet.paste(picture, (place * (shown + GAP), 0))
    factor = max(1, -(-SMALLEST_TILE // shown))
    file = io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    return PagePicture(file.getvalue(), sheet.width * factor, sheet.height * factor, alt)
