"""Masks, noise and compositing on the 256 px canvas, with numpy and Pillow alone and nothing that depends on BLAS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from bench.data.drawn.shapes import SIDE, Part

OVERSAMPLING = 2
"""Shapes are filled at this multiple of the canvas and averaged down: smooth edges."""


class Mask(NamedTuple):
    """The coverage of a shape, on the part of the canvas that it touches."""

    rows: slice
    columns: slice
    alpha: np.ndarray
    """float32 (rows, columns) in [0, 1]."""

    def full(self) -> np.ndarray:
        """The coverage over the whole canvas, (SIDE, SIDE)."""
        canvas = np.zeros((SIDE, SIDE), np.float32)
        canvas[self.rows, self.columns] = self.alpha
        return canvas


def outline_window(outlines: Sequence[np.ndarray], margin: float) -> tuple[slice, slice]:
    """Rows and columns of the canvas that the outlines touch, widened by `margin` pixels; empty off the canvas."""
    points = np.concatenate(outlines)
    low = np.floor(points.min(axis=0) - margin).clip(0, SIDE)
    high = np.ceil(points.max(axis=0) + margin).clip(0, SIDE)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def outline_coverage(outlines: Sequence[np.ndarray], width: float = 0.0) -> Mask | None:
    """Coverage of closed outlines (canvas pixels), or of open lines `width` pixels thick; None off the canvas."""
    rows, columns = outline_window(outlines, width + 1)
    height, breadth = rows.stop - rows.start, columns.stop - columns.start
    if min(height, breadth) <= 0:
        return None
    low = np.array([columns.start, rows.start], dtype=np.float64)
    image = Image.new("L", (OVERSAMPLING * breadth, OVERSAMPLING * height))
    pen = ImageDraw.Draw(image)
    for line in outlines:
        # Pixel centres lie at half integers on the fine grid too.
        flat = ((line - low) * OVERSAMPLING - 0.5).ravel().tolist()
        if width == 0.0:
            pen.polygon(flat, fill=255)
        else:
            thick = max(1, round(width * OVERSAMPLING))
            pen.line(flat, fill=255, width=thick, joint="curve")
            _round_ends(pen, flat, thick / 2)
    alpha = np.asarray(image.reduce(OVERSAMPLING), np.float32) * np.float32(1 / 255)
    return Mask(rows, columns, alpha)


def _round_ends(pen: ImageDraw.ImageDraw, flat: list[float], radius: float) -> None:
    for x, y in (flat[:2], flat[-2:]):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)


def part_coverage(part: Part, named: dict[str, np.ndarray]) -> Mask | None:
    """Coverage of a posed part, clipped to the part it lies on; `named` keeps the masks that others refer to."""
    mask = outline_coverage(part.outlines, part.width)
    if mask is None:
        return None
    if part.inside in named:
        mask = mask._replace(alpha=mask.alpha * named[part.inside][mask.rows, mask.columns])
    if part.name:
        named[part.name] = mask.full()
    return mask


def enlarged_raster(values: np.ndarray, side: int = SIDE) -> np.ndarray:
    """A small float array (h, w) brought to (side, side), bicubic: smooth, so it may overshoot its range a little."""
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))


def noise(rng: np.random.Generator, rows: int, columns: int, octaves: int = 1) -> np.ndarray:
    """Smooth noise (SIDE, SIDE) around 0, in about [-1, 1], with `rows` x `columns` bumps; octaves halve in size."""
    field = rng.uniform(-1.0, 1.0, (rows, columns)).astype(np.float32)
    for octave in range(1, octaves):
        rows, columns = 2 * rows, 2 * columns
        finer = Image.fromarray(field).resize((columns, rows), Image.Resampling.BICUBIC)
        field = np.asarray(finer) + rng.uniform(-1.0, 1.0, (rows, columns)).astype(np.float32) * np.float32(0.5**octave)
    return enlarged_raster(field)


def blurred_raster(values: np.ndarray, radius: int) -> np.ndarray:
    """Three box averages of (2·radius + 1)²: nearly Gaussian; zero beyond the edges. float32 (h, w), same shape."""
    window = 2 * radius + 1
    out = values.astype(np.float32)
    for _ in range(2):  # down the columns, then, transposed, along the rows
        for _ in range(3):
            above, under = np.zeros((radius + 1, out.shape[1])), np.zeros((radius, out.shape[1]))
            sums = np.concatenate([above, out, under]).cumsum(axis=0)
            out = ((sums[window:] - sums[:-window]) * (1.0 / window)).astype(np.float32)
        out = out.T
    return out


def vertical_gradient(stops: Sequence[tuple[float, np.ndarray]]) -> np.ndarray:
    """A vertical colour gradient (3, SIDE, 1) through (height in [0, 1], colour in [0, 1]) stops."""
    at = (np.arange(SIDE) + 0.5) / SIDE
    heights = [height for height, _ in stops]
    return np.stack([np.interp(at, heights, [c[i] for _, c in stops]) for i in range(3)])[..., None].astype(np.float32)


def blend_colour(canvas: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> None:
    """Paint `colour` ((3,) or (3, h, w)) over `canvas` (3, h, w), in place, with coverage `alpha` (h, w)."""
    paint = colour[:, None, None] if colour.ndim == 1 else colour
    step = paint - canvas
    step *= alpha
    canvas += step


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """One RGB colour, float32 (3,) in [0, 1]; `hue` in turns."""
    k = (np.array([5.0, 3.0, 1.0]) + 6.0 * hue) % 6.0
    return (value - value * saturation * np.clip(np.minimum(k, 4.0 - k), 0.0, 1.0)).astype(np.float32)
