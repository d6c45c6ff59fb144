"""Pictures of results: for now the sample grid of a cell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench.core.files import write_atomically

if TYPE_CHECKING:
    from bench.data.types import TaskData
    from bench.evaluation.translate import Translations

SMALLEST_TILE = 96
"""Tiles are enlarged by a whole factor to at least this many pixels."""
GAP = 4
LEFT = 96
TOP = 24
ROWS_PER_CLASS = 2


def sample_grid(path: Path, data: TaskData, made: Translations) -> None:
    """A PNG: two sources of each class (one row each), the source at the left, then its styles.

    The same sources for every method: the first of each class in order of content hash.
    """
    rows = np.concatenate([np.flatnonzero(made.labels == label)[:ROWS_PER_CLASS] for label in range(len(data.classes))])
    sources = data.splits[made.source, "test"].images[made.index[rows]]  # uint8 (R, 3, H, W)
    tiles = np.concatenate([sources[:, None], made.images[rows]], axis=1)  # (R, 1 + K, 3, H, W)
    scale = -(-SMALLEST_TILE // data.size) if data.size < SMALLEST_TILE else 1
    side = data.size * scale + GAP
    sheet = Image.new("RGB", (LEFT + tiles.shape[1] * side, TOP + len(rows) * side), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    headings = [data.domains[made.source]] + [
        f"{data.domains[made.target]} {k + 1}" for k in range(made.images.shape[1])
    ]
    for column, heading in enumerate(headings):
        draw.text((LEFT + column * side, 4), heading, "black", font)
    for row, tile_row in enumerate(tiles):
        draw.text((4, TOP + row * side + side // 2 - 8), data.classes[made.labels[rows[row]]], "black", font)
        for column, pixels in enumerate(tile_row):
            tile = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
            tile = tile.resize((side - GAP, side - GAP), Image.Resampling.NEAREST)
            sheet.paste(tile, (LEFT + column * side, TOP + row * side))
    write_atomically(path, lambda file: sheet.save(file, "PNG"))
