"""The sketch domain: figures as jittered pen and pencil strokes on near-white paper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from bench.data.drawn.raster import OVERSAMPLING, noise, outline_window, part_coverage
from bench.data.drawn.shapes import SIDE, Figure, Part, resampled, ribbon


@dataclass(frozen=True)
class Hand:
    """Drawing manner of one sketch."""

    passes: int
    """Number of times that each contour is drawn."""
    width: float
    """Stroke width in pixels."""
    ink: float
    """Darkness of a stroke, 0 to 1."""
    wobble: float
    """Amplitude of the hand's tremor in pixels."""
    grain: float
    """Visibility of the paper's grain (pencil), 0 to 1."""
    hatching: float
    """Share of the parts that are shaded by parallel strokes."""
    slope: float
    """Direction of those strokes in radians."""


def draw_sketch_hand(rng: np.random.Generator) -> Hand:
    """A random tool: fine pen, pencil or marker."""
    tool = int(rng.integers(3))
    passes = (1, 2, 1)[tool] + int(rng.random() < 0.4)
    return Hand(
        passes=passes,
        width=rng.uniform(*((2.2, 3.2), (2.6, 4.0), (4.0, 5.6))[tool]),
        ink=rng.uniform(*((0.85, 0.97), (0.55, 0.75), (0.80, 0.95))[tool]),
        wobble=rng.uniform(0.6, 1.5),
        grain=(0.1, 0.55, 0.15)[tool],
        hatching=rng.choice([0.0, 0.35, 0.7], p=[0.4, 0.35, 0.25]),
        slope=rng.uniform(-1.2, -0.5),
    )


def sketch(rng: np.random.Generator, figure: Figure) -> np.ndarray:
    """A posed figure as a drawing: uint8 (SIDE, SIDE, 3), almost grey."""
    hand = draw_sketch_hand(rng)
    blank = np.ones((SIDE, SIDE), np.float32)  # what the strokes leave of the paper's light
    named: dict[str, np.ndarray] = {}
    for part in figure.parts:
        if part.pen == "none" and not part.name:
            continue
        mask = part_coverage(part, named) if part.pen == "outline" or part.name else None
        if mask is not None and part.pen == "outline":
            # A part hides the strokes behind it, as an artist leaves hidden lines out.
            seen = blank[mask.rows, mask.columns]
            seen += mask.alpha * (1.0 - seen)
        if part.pen != "none":
            _ink_part(rng, blank, part, hand, named)
    return _on_paper(rng, 1.0 - blank, hand)


def _ink_part(
    rng: np.random.Generator, blank: np.ndarray, part: Part, hand: Hand, named: dict[str, np.ndarray]
) -> None:
    """Darken `blank` (SIDE, SIDE) by the strokes of one part."""
    rows, columns = outline_window(part.outlines, margin=8.0)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    size = (OVERSAMPLING * (columns.stop - columns.start), OVERSAMPLING * (rows.stop - rows.start))
    corner = np.array([columns.start, rows.start], dtype=np.float64)
    # Only parts with a name can be hatched: the strokes are clipped to them.
    hatched = bool(part.name) and part.pen == "outline" and part.relief >= 0.5 and rng.random() < hand.hatching
    seen = blank[rows, columns]
    for again in range(hand.passes + hatched):
        layer = Image.new("L", size, 255)
        pen = ImageDraw.Draw(layer)
        level = round(255 * (1.0 - hand.ink * (1.0 if again == 0 else 0.6)))
        if again == hand.passes:
            _hatch(rng, hand, part, pen, corner)
        else:
            _stroke_contours(rng, hand, part, pen, corner, level, solid=part.pen == "fill" and again == 0)
        light = np.asarray(layer.reduce(OVERSAMPLING), np.float32) * np.float32(1 / 255)
        clip = part.inside if again < hand.passes else part.name
        if clip in named:
            light = 1.0 - (1.0 - light) * named[clip][rows, columns]
        seen *= light


def _stroke_contours(
    rng: np.random.Generator,
    hand: Hand,
    part: Part,
    pen: ImageDraw.ImageDraw,
    corner: np.ndarray,
    level: int,
    solid: bool,
) -> None:
    for line in part.outlines:
        shapes = [line] if solid else _strokes(rng, line, part.pen != "line", hand)
        for shape in shapes:
            pen.polygon(((shape - corner) * OVERSAMPLING).ravel().tolist(), fill=level)


def _strokes(rng: np.random.Generator, line: np.ndarray, closed: bool, hand: Hand) -> list[np.ndarray]:
    """A contour as outlines of strokes that start and end at its corners, overlap or leave a gap, and tremble."""
    track = np.concatenate([line, line[:1]]) if closed else line
    length = float(np.hypot(*(track[1:] - track[:-1]).T).sum())
    if length < 14.0:  # a dot: its first pass was filled
        return []
    points = resampled(track, max(6, int(length / 3.0)))
    count = len(points)
    if closed:  # start anywhere, end where it started
        first = int(rng.integers(count - 1))
        points = np.concatenate([points[first:-1], points[: first + 1]])
    cuts = _cuts(rng, points, length)
    # Tremor and pressure change slowly along the contour; each stroke is also a little off as a whole.
    at, size = np.arange(float(count)), min(1.0, length / 60.0)
    grid = np.arange(max(3, count // 8 + 2)) * (count / max(2, count // 8 + 1))
    tremor = rng.normal(0.0, 0.8 * hand.wobble * size, (2, len(grid)))
    points[:, 0] += np.interp(at, grid, tremor[0])
    points[:, 1] += np.interp(at, grid, tremor[1])
    pressure = np.interp(at, grid, rng.uniform(0.75, 1.15, len(grid))) * ((0.3 + 0.2 * size) * hand.width)
    band = ribbon(points, pressure)
    left, right = band[:count], band[count:][::-1]
    offsets = rng.normal(0.0, 0.5 * hand.wobble * size, (len(cuts), 2))
    ends = rng.integers(-1, 3, (len(cuts), 2)).tolist()
    strokes = []
    for first, last, offset, (early, late) in zip(cuts[:-1], cuts[1:], offsets, ends, strict=False):
        piece = slice(max(0, first - early), min(count, last + 1 + late))
        # The ends taper: the pen comes down before and leaves after the stroke's full width.
        near, far = left[piece] + offset, right[piece][::-1] + offset
        if len(near) > 2:
            strokes.append(
                np.concatenate([points[piece][:1] + offset, near[1:-1], points[piece][-1:] + offset, far[1:-1]])
            )
    return strokes


def _cuts(rng: np.random.Generator, points: np.ndarray, length: float) -> list[int]:
    """Indices where one stroke ends and the next begins: at sharp corners, and every 70 to 150 pixels.

    A contour of under 40 pixels is one stroke.
    """
    if length < 40.0:
        return [0, len(points) - 1]
    steps = points[1:] - points[:-1]
    along = (steps[1:] * steps[:-1]).sum(axis=1)
    # A turn of more than 55 degrees between neighbours 3 pixels apart is a corner.
    sharp = along < 0.57 * np.hypot(*steps[1:].T) * np.hypot(*steps[:-1].T)
    corners = (np.flatnonzero(sharp) + 1).tolist()
    pieces = max(1, round(length / rng.uniform(70.0, 150.0)))
    even = np.linspace(0, len(points) - 1, pieces + 1).astype(int).tolist()
    kept = [cut for cut in even[1:-1] if all(abs(cut - corner) > 5 for corner in corners)]
    return sorted({0, len(points) - 1, *corners, *kept})


def _hatch(rng: np.random.Generator, hand: Hand, part: Part, pen: ImageDraw.ImageDraw, corner: np.ndarray) -> None:
    """Parallel strokes over the lower side of a part; the caller clips them to it."""
    points = np.concatenate(part.outlines)
    low, high = points.min(axis=0), points.max(axis=0)
    along = np.array([np.cos(hand.slope), np.sin(hand.slope)])
    reach = 0.45 * float((high - low).min())
    for at in np.arange(low[0], high[0] + 2.0, rng.uniform(4.5, 7.0)):
        start = np.array([at, high[1] - rng.uniform(0.0, 0.25) * (high[1] - low[1])]) + rng.normal(0.0, 1.0, 2)
        end = start + along * reach * rng.uniform(0.6, 1.1)
        flat = ((np.stack([start, end]) - corner) * OVERSAMPLING).ravel().tolist()
        pen.line(flat, fill=round(255 * (1.0 - 0.6 * hand.ink)), width=max(2, round(hand.width)))


def _on_paper(rng: np.random.Generator, ink: np.ndarray, hand: Hand) -> np.ndarray:
    """Ink (SIDE, SIDE) on paper: its grey, a slight tint, uneven light and tooth."""
    tooth = 2.0 * rng.random((SIDE, SIDE), np.float32) - 1.0
    covered = ink * (1.0 - hand.grain * np.clip(0.5 + 0.7 * tooth, 0.0, 1.0))
    paper = np.float32(rng.uniform(0.92, 0.99)) + 0.02 * noise(rng, 2, 2) + 0.008 * tooth
    tint = 1.0 + rng.uniform(-0.012, 0.012, 3).astype(np.float32)
    dark = np.float32(rng.uniform(0.05, 0.16))
    grey = paper * (1.0 - covered) + dark * covered
    planes = [np.clip(grey * (255.0 * t) + 0.5, 0.0, 255.0).astype(np.uint8) for t in tint]
    return np.stack(planes, axis=-1)
