"""One drawn picture of sketch2real: a figure of its class, its pose, and the domain's way of painting it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from bench.data.drawn.animals import bird, dog, tiger
from bench.data.drawn.raster import Mask, blend_colour, blurred_raster, noise, outline_coverage, part_coverage
from bench.data.drawn.scenes import STYLES, Style, soft_spot
from bench.data.drawn.shapes import SIDE, Figure, Part, Pose, draw_shape_pose, posed_shape
from bench.data.drawn.sketch import sketch
from bench.data.drawn.things import flower, speedboat

PictureDomain = Literal["sketch", "real"]
PICTURE_CLASSES = ("bird", "dog", "flower", "speedboat", "tiger")
FIGURES: tuple[Callable[[np.random.Generator], Figure], ...] = (bird, dog, flower, speedboat, tiger)
"""Label -> function that draws a figure's parameters."""


@dataclass(frozen=True)
class DrawnPicture:
    """A drawn picture and its ground truth."""

    pixels: np.ndarray
    """uint8 (256, 256, 3)."""
    label: int
    """Index into `PICTURE_CLASSES`."""
    pose: Pose
    """View, mirroring, scale, angle and position of the object."""


def draw_picture(domain: PictureDomain, label: int, seed: int) -> DrawnPicture:
    """The picture that `seed` decides, with its ground truth. The same seed gives the two domains the same pose.

    Raises ValueError for a domain or label that does not exist.
    """
    if domain not in ("sketch", "real"):
        raise ValueError(f"domain is 'sketch' or 'real', not {domain!r}")
    if not 0 <= label < len(PICTURE_CLASSES):
        raise ValueError(f"label is 0 to {len(PICTURE_CLASSES) - 1}, not {label}")
    rng = np.random.default_rng(seed)
    figure = FIGURES[label](rng)
    pose = draw_shape_pose(rng, figure, scale=(0.76, 0.97), tilt=8.0)
    if domain == "sketch":
        pixels = sketch(rng, posed_shape(figure, pose))
    else:
        pixels = paint_picture(rng, posed_shape(figure, pose), STYLES[label](rng, figure, pose))
    return DrawnPicture(pixels, label, pose)


def paint_picture(rng: np.random.Generator, figure: Figure, style: Style) -> np.ndarray:
    """A posed figure painted into its surroundings under one light: uint8 (SIDE, SIDE, 3)."""
    canvas = style.background.astype(np.float32)
    angle = rng.uniform(-0.75, 0.75)
    light = np.array([np.sin(angle), -np.cos(angle)], np.float32)  # towards the light, from above
    if figure.ground is not None:
        _ground_shadow(canvas, figure, light)
    named: dict[str, np.ndarray] = {}
    for part in figure.parts:
        mask = part_coverage(part, named)
        if mask is not None:
            _paint(canvas, part, mask, style, light)
    if style.foreground is not None:
        blades, colour = style.foreground
        mask = outline_coverage(blades)
        if mask is not None:
            tone = (1.0 + 0.5 * noise(rng, 6, 64))[mask.rows, mask.columns]
            blend_colour(canvas[:, mask.rows, mask.columns], colour[:, None, None] * tone, mask.alpha * np.float32(0.9))
    return _photographed(rng, canvas)


def _ground_shadow(canvas: np.ndarray, figure: Figure, light: np.ndarray) -> None:
    points = np.concatenate([line for part in figure.parts for line in part.outlines])
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low[0] + high[0]) / 2 - 12.0 * float(light[0])
    canvas *= 1.0 - 0.55 * soft_spot(middle, high[1] - 3.0, 0.42 * (high[0] - low[0]), 9.0)


def _paint(canvas: np.ndarray, part: Part, mask: Mask, style: Style, light: np.ndarray) -> None:
    """One part: the shade it casts on what lies behind, its colour and texture, the light on it."""
    colour = style.palette.get(part.role, DETAIL.get(part.role))
    if colour is None:
        raise KeyError(f"no colour for the role {part.role!r}")
    here = (mask.rows, mask.columns)
    if part.relief >= 0.5 and not part.scenery:
        _contact_shade(canvas, mask, light)
    tone = np.full(mask.alpha.shape, part.shade, np.float32)
    if part.role in style.textures:
        tone *= style.textures[part.role][here]
    if part.relief > 0.0:
        slope = _slope(mask, light) * np.float32(part.relief)
        tone *= 1.0 + 0.42 * slope
        painted = colour[:, None, None] * tone + style.gloss * np.clip(slope - 0.25, 0.0, 1.0)
    else:
        painted = colour[:, None, None] * tone
    blend_colour(canvas[:, mask.rows, mask.columns], painted, mask.alpha)


DETAIL: dict[str, np.ndarray] = {
    "eye": np.array([0.05, 0.04, 0.04], np.float32),
    "glint": np.array([0.98, 0.98, 0.98], np.float32),
}
"""Roles that look the same in every class."""


def _contact_shade(canvas: np.ndarray, mask: Mask, light: np.ndarray) -> None:
    """Darken what lies behind a part along the edge that is turned away from the light."""
    dx, dy = round(-3.0 * float(light[0])), round(-3.0 * float(light[1]))
    rows, columns = mask.rows, mask.columns
    top, left = max(rows.start + dy, 0), max(columns.start + dx, 0)
    bottom, right = min(rows.stop + dy, SIDE), min(columns.stop + dx, SIDE)
    if top < bottom and left < right:
        alpha = mask.alpha[top - dy - rows.start : bottom - dy - rows.start]
        alpha = alpha[:, left - dx - columns.start : right - dx - columns.start]
        canvas[:, top:bottom, left:right] *= 1.0 - 0.28 * alpha


def _slope(mask: Mask, light: np.ndarray) -> np.ndarray:
    """How far a part, thought of as a cushion, faces the light: (rows, columns), about -1 to 1."""
    height, width = mask.alpha.shape
    if min(height, width) < 28:
        # Too small to model: lit from one side to the other.
        y, x = np.linspace(-0.7, 0.7, height, dtype=np.float32), np.linspace(-0.7, 0.7, width, dtype=np.float32)
        return y[:, None] * light[1] + x[None, :] * light[0]
    coarse = np.pad(mask.alpha[2::4, 2::4], 4)
    radius = max(1, min(coarse.shape) // 9)
    cushion = blurred_raster(coarse, radius)
    rise, run = np.gradient(cushion)
    slope = -(rise * light[1] + run * light[0])[4:-4, 4:-4] * np.float32(3.2 * radius + 1.0)
    image = Image.fromarray(np.ascontiguousarray(slope, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def _photographed(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Exposure, colour balance, vignetting and sensor noise: (3, SIDE, SIDE) -> uint8 (SIDE, SIDE, 3)."""
    gain = rng.uniform(0.86, 1.12) * rng.uniform(0.95, 1.05, 3)
    fall = np.float32(rng.uniform(0.0, 0.22))
    at = (np.arange(SIDE, dtype=np.float32) + 0.5) / (SIDE / 2) - 1.0
    vignette = 1.0 - 0.5 * fall * (at[:, None] ** 2 + at[None, :] ** 2)
    grain = (rng.random((SIDE, SIDE), np.float32) - 0.5) * np.float32(rng.uniform(0.01, 0.06))
    canvas *= gain.astype(np.float32)[:, None, None]
    canvas *= vignette
    canvas += grain
    np.clip(canvas, 0.0, 1.0, out=canvas)
    canvas *= 255.0
    canvas += 0.5
    return np.ascontiguousarray(canvas.astype(np.uint8).transpose(1, 2, 0))
