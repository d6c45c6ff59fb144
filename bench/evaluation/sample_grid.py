"""The sample grid of a cell: test images and their translations as one PNG."""

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
ROWS_WITHOUT_CLASSES = 10


def sample_grid(path: Path, data: TaskData, translations: Translations) -> None:
    """Write a PNG of two sources of each class, a row each: the source at the left, then its styles.

    The sources are the same for every method: the first of each class in order of content hash; ten without classes.
    """
    count = ROWS_PER_CLASS if data.labelled else ROWS_WITHOUT_CLASSES
    rows = np.concatenate([np.flatnonzero(translations.labels == label)[:count] for label in range(len(data.groups))])
    sources = data.splits[translations.source, "test"].images[translations.index[rows]]  # uint8 (R, 3, H, W)
    tiles = np.concatenate([sources[:, None], translations.images[rows]], axis=1)  # (R, 1 + K, 3, H, W)
    scale = -(-SMALLEST_TILE // data.size) if data.size < SMALLEST_TILE else 1
    side = data.size * scale + GAP
    sheet = Image.new("RGB", (LEFT + tiles.shape[1] * side, TOP + len(rows) * side), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    headings = [data.domains[translations.source]] + [
        f"{data.domains[translations.target]} {k + 1}" for k in range(translations.images.shape[1])
    ]
    for column, heading in enumerate(headings):
        draw.text((LEFT + column * side, 4), heading, "black", font)
    for row, tile_row in enumerate(tiles):
        draw.text((4, TOP + row * side + side // 2 - 8), data.groups[translations.labels[rows[row]]], "black", font)
        for column, pixels in enumerate(tile_row):
            tile = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
            tile = tile.resize((side - GAP, side - GAP), Image.Resampling.NEAREST)
            sheet.paste(tile, (LEFT + column * side, TOP + row * side))
    write_atomically(path, lambda file: sheet.save(file, "PNG"))
