"""One digit of the embedded mnist2svhn at 32 px: scikit-learn's handwriting enlarged, and drawn house numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from bench.core.errors import BenchError
from bench.data.drawn.raster import hsv
from bench.data.drawn.shapes import smooth

DIGIT_SIDE = 32
"""Side of a drawn digit in pixels."""
FACES = ("plain", "bold", "round", "block", "nib", "hollow")
"""The lettering: Pillow's own typeface in two weights, and four drawn by a pen (round, angular, broad nib, outline)."""
_FINE = 3 * DIGIT_SIDE  # house numbers are drawn at three times their size
_HEIGHT = 66.0  # of a numeral, in fine pixels

Points = Sequence[tuple[float, float]] | np.ndarray
Sign = TypeVar("Sign", bound=int | str)
"""A digit or a letter."""

# Skeletons in a unit box, y downwards; a point given twice is a corner of the spline.
ROUND: dict[int, tuple[Points, ...]] = {
    0: (((0.5, 0.0), (0.84, 0.16), (0.94, 0.5), (0.84, 0.84), (0.5, 1.0), (0.16, 0.84), (0.06, 0.5), (0.16, 0.16),
         (0.5, 0.0)),),
    1: (((0.26, 0.22), (0.56, 0.0), (0.56, 0.0), (0.56, 1.0)),),
    2: (((0.10, 0.26), (0.22, 0.07), (0.52, 0.0), (0.82, 0.12), (0.84, 0.36), (0.56, 0.64), (0.08, 1.0), (0.08, 1.0),
         (0.92, 1.0)),),
    3: (((0.12, 0.14), (0.45, 0.0), (0.80, 0.12), (0.78, 0.36), (0.40, 0.46), (0.40, 0.46), (0.82, 0.57), (0.88, 0.82),
         (0.50, 1.0), (0.08, 0.86)),),
    4: (((0.68, 1.0), (0.68, 0.0), (0.68, 0.0), (0.04, 0.70), (0.04, 0.70), (0.96, 0.70)),),
    5: (((0.84, 0.0), (0.20, 0.0), (0.20, 0.0), (0.14, 0.45), (0.14, 0.45), (0.50, 0.37), (0.86, 0.52), (0.88, 0.80),
         (0.52, 1.0), (0.08, 0.88)),),
    6: (((0.76, 0.02), (0.36, 0.20), (0.11, 0.62), (0.22, 0.92), (0.52, 1.0), (0.84, 0.88), (0.87, 0.62), (0.54, 0.43),
         (0.14, 0.62)),),
    7: (((0.06, 0.0), (0.94, 0.0), (0.94, 0.0), (0.52, 0.5), (0.36, 1.0)),),
    8: (((0.5, 0.0), (0.80, 0.10), (0.80, 0.34), (0.5, 0.47), (0.14, 0.62), (0.12, 0.86), (0.5, 1.0), (0.88, 0.86),
         (0.86, 0.62), (0.5, 0.47), (0.20, 0.34), (0.20, 0.10), (0.5, 0.0)),),
    9: (((0.24, 0.98), (0.64, 0.80), (0.89, 0.38), (0.78, 0.08), (0.48, 0.0), (0.16, 0.12), (0.13, 0.38), (0.46, 0.57),
         (0.86, 0.38)),),
}  # fmt: skip
BLOCK: dict[int, tuple[Points, ...]] = {
    0: (((0.25, 0.0), (0.75, 0.0), (1.0, 0.16), (1.0, 0.84), (0.75, 1.0), (0.25, 1.0), (0.0, 0.84), (0.0, 0.16),
         (0.25, 0.0), (0.75, 0.0)),),
    1: (((0.2, 0.18), (0.55, 0.0), (0.55, 1.0)), ((0.2, 1.0), (0.9, 1.0))),
    2: (((0.0, 0.16), (0.25, 0.0), (0.75, 0.0), (1.0, 0.16), (1.0, 0.38), (0.0, 1.0), (1.0, 1.0)),),
    3: (((0.0, 0.12), (0.25, 0.0), (0.75, 0.0), (1.0, 0.15), (1.0, 0.34), (0.75, 0.47), (0.35, 0.47)),
        ((0.75, 0.47), (1.0, 0.60), (1.0, 0.85), (0.75, 1.0), (0.25, 1.0), (0.0, 0.88))),
    4: (((0.74, 1.0), (0.74, 0.0), (0.0, 0.68), (1.0, 0.68)),),
    5: (((0.95, 0.0), (0.05, 0.0), (0.05, 0.43), (0.72, 0.43), (1.0, 0.58), (1.0, 0.84), (0.75, 1.0), (0.25, 1.0),
         (0.0, 0.88)),),
    6: (((0.95, 0.08), (0.75, 0.0), (0.25, 0.0), (0.0, 0.16), (0.0, 0.84), (0.25, 1.0), (0.75, 1.0), (1.0, 0.84),
         (1.0, 0.60), (0.75, 0.45), (0.0, 0.45)),),
    7: (((0.0, 0.0), (1.0, 0.0), (0.4, 1.0)),),
    8: (((0.25, 0.47), (0.06, 0.34), (0.06, 0.14), (0.27, 0.0), (0.73, 0.0), (0.94, 0.14), (0.94, 0.34), (0.75, 0.47),
         (0.25, 0.47), (0.0, 0.62), (0.0, 0.85), (0.25, 1.0), (0.75, 1.0), (1.0, 0.85), (1.0, 0.62), (0.75, 0.47)),),
    9: (((0.05, 0.92), (0.25, 1.0), (0.75, 1.0), (1.0, 0.84), (1.0, 0.16), (0.75, 0.0), (0.25, 0.0), (0.0, 0.16),
         (0.0, 0.40), (0.25, 0.55), (1.0, 0.55)),),
}  # fmt: skip


@dataclass(frozen=True)
class HouseDigit:
    """A drawn house number and what is known of it."""

    pixels: np.ndarray
    """uint8 (32, 32, 3)."""
    label: int
    """The digit in the middle."""
    face: str
    """Its lettering, one of `FACES`."""
    neighbours: tuple[int | None, int | None]
    """The digits cut at the left and right edges; None: nothing there."""


@lru_cache(maxsize=2)
def digit_handwriting() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits: images uint8 (1797, 8, 8) in 0..16 and labels int64 (1797,), in the data set's order."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.images.astype(np.uint8), data.target.astype(np.int64)


def handwritten_digit(image: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
    """An 8x8 image (0..16) as a white stroke on black at 32 px: uint8 (32, 32, 3).

    Enlarged threefold (bicubic) to a 24 px box in the middle, as MNIST leaves a margin, then its soft edge is steepened
    to a stroke's. With `rng`: turned by up to 9 degrees, scaled by 0.92 to 1.08, sheared by up to 0.12 and shifted
    by up to 1.5 px. No other digit results from that.
    """
    padded = np.pad(image.astype(np.float32) / 16.0, 2)  # (12, 12): 36 px, of which the middle 32 are kept
    large = Image.fromarray(padded).resize((108, 108), Image.Resampling.BICUBIC)
    turn, grow, shear, shift = 0.0, 1.0, 0.0, np.zeros(2)
    if rng is not None:
        turn, grow, shear = np.deg2rad(rng.uniform(-9, 9)), rng.uniform(0.92, 1.08), rng.uniform(-0.12, 0.12)
        shift = rng.uniform(-4.5, 4.5, 2)
    matrix = np.array([[np.cos(turn), np.sin(turn) + shear], [-np.sin(turn), np.cos(turn)]]) / grow
    offset = 54.0 - matrix @ (np.array([48.0, 48.0]) + shift)
    data = (*matrix[0], offset[0], *matrix[1], offset[1])
    turned = large.transform((96, 96), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
    values = np.asarray(turned, np.float32).reshape(32, 3, 32, 3).mean(axis=(1, 3))
    grey = (np.clip((values - 0.32) / 0.5, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def draw_house_digit(label: int, seed: int) -> HouseDigit:
    """The house number that `seed` decides, with its ground truth. Raises ValueError unless 0 <= label <= 9."""
    if not 0 <= label <= 9:
        raise ValueError(f"label is 0 to 9, not {label}")
    rng = np.random.default_rng(seed)
    face = FACES[int(rng.integers(len(FACES)))]
    sides = [int(rng.integers(10)) if rng.random() < 0.55 else None for _ in range(2)]
    pixels = house_digit_sign(rng, face, label, sides, BLOCK if face == "block" else ROUND)
    return HouseDigit(pixels, label, face, (sides[0], sides[1]))


def house_digit_sign(
    rng: np.random.Generator,
    face: str,
    sign: Sign,
    sides: Sequence[Sign | None],
    skeletons: Mapping[Sign, tuple[Points, ...]],
) -> np.ndarray:
    """`sign` on a wall between its neighbours, photographed: uint8 (32, 32, 3)."""
    mask = placed_digit(rng, digit_lettering(rng, face, sign, sides, skeletons))
    canvas = _wall(rng)
    ink = _ink_colour(rng, canvas)
    shade = rng.random()
    if shade < 0.5:  # a shadow on the wall, or the edge of a raised numeral
        shifted = np.roll(mask, (int(rng.integers(1, 5)), int(rng.integers(-4, 5))), axis=(0, 1))
        canvas += 0.5 * shifted * ((0.0 if shade < 0.35 else 1.0) - canvas)
    light = 1.0 + rng.uniform(-0.18, 0.18) * np.linspace(-1, 1, _FINE, dtype=np.float32)[:, None]
    canvas += mask * (ink[:, None, None] * light - canvas)
    return _snapshot(rng, canvas)


@lru_cache(maxsize=1)
def _typeface() -> ImageFont.FreeTypeFont:
    try:
        font = ImageFont.load_default(88)
    except ImportError as error:
        raise BenchError(
            "this Pillow has no FreeType, so the embedded house numbers cannot be drawn",
            "install a Pillow wheel: pip install --force-reinstall --only-binary :all: Pillow",
        ) from error
    assert isinstance(font, ImageFont.FreeTypeFont)  # a size was given
    return font


def digit_lettering(
    rng: np.random.Generator,
    face: str,
    sign: Sign,
    sides: Sequence[Sign | None],
    skeletons: Mapping[Sign, tuple[Points, ...]],
) -> Image.Image:
    """`sign` and its neighbours (None: nothing there) in one lettering, centred: an L image 2 · _FINE wide
    and 1.5 · _FINE high.

    `skeletons`: what the faces drawn by a pen follow.
    """
    image = Image.new("L", (2 * _FINE, 3 * _FINE // 2))
    pen = ImageDraw.Draw(image)
    thickness, breadth, gap = rng.uniform(8.0, 13.0), rng.uniform(0.50, 0.68) * _HEIGHT, rng.uniform(16.0, 26.0)
    heavy = int(rng.integers(3, 6)) if face == "bold" else int(rng.integers(0, 2))
    for place, shown in zip((0, -1, 1), (sign, *sides), strict=True):
        if shown is None:
            continue
        x = _FINE + place * (breadth + gap)
        if face in ("plain", "bold"):
            pen.text((x, 0.75 * _FINE), str(shown), fill=255, font=_typeface(), anchor="mm", stroke_width=heavy)
        else:
            corner = (x - breadth / 2, 0.75 * _FINE - _HEIGHT / 2)
            _pen_sign(pen, skeletons[shown], face, corner, breadth, thickness)
    if face == "hollow":
        inner = image.filter(ImageFilter.MinFilter(7))
        outline = np.asarray(image, np.int16) - np.asarray(inner, np.int16)
        image = Image.fromarray(outline.clip(0, 255).astype(np.uint8))
    return image


def _pen_sign(
    pen: ImageDraw.ImageDraw,
    skeletons: tuple[Points, ...],
    face: str,
    corner: tuple[float, float],
    breadth: float,
    thickness: float,
) -> None:
    for skeleton in skeletons:
        points = np.asarray(skeleton) if face == "block" else smooth(skeleton, closed=False, steps=5)
        line = points * (breadth, _HEIGHT) + corner
        if face == "nib":
            # A broad nib: the union of thin strokes side by side, thick where the stroke crosses the nib's edge.
            for step in np.linspace(-0.5, 0.5, 5):
                _stroke(pen, line + np.array([1.3, -0.35]) * thickness * step, 0.42 * thickness)
        else:
            _stroke(pen, line, thickness * (1.5 if face == "hollow" else 1.0))


def _stroke(pen: ImageDraw.ImageDraw, line: np.ndarray, thickness: float) -> None:
    pen.line(line.ravel().tolist(), fill=255, width=max(1, round(thickness)), joint="curve")
    for x, y in (line[0], line[-1]):
        pen.ellipse((x - thickness / 2, y - thickness / 2, x + thickness / 2, y + thickness / 2), fill=255)


def placed_digit(rng: np.random.Generator, image: Image.Image) -> np.ndarray:
    """A lettering turned, slanted, scaled and shifted on the fine canvas: float32 (_FINE, _FINE) in [0, 1]."""
    turn, slant = np.deg2rad(rng.uniform(-9, 9)), rng.uniform(-0.28, 0.18)
    wide, high = rng.uniform(0.82, 1.15), rng.uniform(0.85, 1.18)
    forward = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.array(
        [[wide, slant], [0.0, high]]
    )
    a, b, c, d = forward.ravel()
    inverse = np.array([[d, -b], [-c, a]]) / (a * d - b * c)
    centre = np.array([_FINE, 0.75 * _FINE])
    offset = centre - inverse @ (np.array([_FINE / 2, _FINE / 2]) + rng.uniform(-5.0, 5.0, 2))
    data = (*inverse[0], offset[0], *inverse[1], offset[1])
    turned = image.transform((_FINE, _FINE), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
    return np.asarray(turned, np.float32) * np.float32(1 / 255)


def _wall(rng: np.random.Generator) -> np.ndarray:
    """Behind the number: a gradient, roughness, and sometimes a plate, planks, bricks or a cable. (3, _FINE, _FINE)."""
    colour = hsv(
        rng.random(),
        rng.choice([0.08, 0.25, 0.6], p=[0.45, 0.37, 0.18]) * rng.uniform(0.6, 1.3),
        rng.uniform(0.12, 0.95),
    )
    at = np.linspace(-1, 1, _FINE, dtype=np.float32)
    slope = rng.uniform(-0.22, 0.22, 2)
    rough = Image.fromarray(rng.uniform(-1, 1, (10, 10)).astype(np.float32)).resize(
        (_FINE, _FINE), Image.Resampling.BICUBIC
    )
    tone = 1.0 + slope[0] * at[:, None] + slope[1] * at[None, :] + rng.uniform(0.0, 0.12) * np.asarray(rough)
    canvas = (colour[:, None, None] * tone).astype(np.float32)
    kind = rng.random()
    if kind < 0.22:  # the edge of a plate
        low, high = rng.integers(0, 14), rng.integers(82, _FINE)
        factor = np.float32(rng.choice([0.6, 1.4]))
        canvas[:, :low] *= factor
        canvas[:, high:] *= factor
    elif kind < 0.5:  # planks or courses of bricks
        start, step = rng.integers(0, 20), rng.integers(18, 40)
        rows = np.zeros(_FINE, bool)
        for first in range(int(start), _FINE, int(step)):
            rows[first : first + 3] = True
        canvas *= np.where(rows, np.float32(rng.uniform(0.7, 0.9)), np.float32(1.0))[:, None]
        if rng.random() < 0.5:
            canvas = np.ascontiguousarray(canvas.transpose(0, 2, 1))
    elif kind < 0.65:  # something upright at one side: a frame, a pipe
        first = int(rng.choice([0, 78]))
        canvas[:, :, first : first + int(rng.integers(6, 18))] *= np.float32(rng.uniform(0.5, 1.5))
    return np.clip(canvas, 0.0, 1.0)


def _ink_colour(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """A colour (3,) that is lighter or darker than the wall by 0.32 to 0.7: not every number stands out."""
    wall = float(canvas.mean())
    step = rng.uniform(0.32, 0.7)
    lighter = wall + step <= 0.98 and (wall - step < 0.02 or rng.random() < 0.5)
    value = min(wall + step, 1.0) if lighter else max(wall - step, 0.02)
    tint = hsv(rng.random(), rng.choice([0.05, 0.5], p=[0.6, 0.4]), 1.0)
    return np.clip(value * tint / float(tint.mean()), 0.0, 1.0).astype(np.float32)


def _snapshot(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Blurred, of reduced contrast, noisy: (3, _FINE, _FINE) -> uint8 (32, 32, 3)."""
    fine = (np.clip(canvas, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8).transpose(1, 2, 0)
    image = Image.fromarray(np.ascontiguousarray(fine)).filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 3.4)))
    small = np.asarray(image.reduce(3), np.float32) * np.float32(1 / 255)
    contrast, lift = rng.uniform(0.65, 1.0), rng.uniform(-0.08, 0.08)
    noise = rng.normal(0.0, rng.uniform(0.002, 0.02), small.shape)
    out = 0.5 + (small - 0.5) * contrast + lift + noise
    return (np.clip(out, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
