"""Plane geometry of the drawn pictures: splines, strokes, and the parts that a figure is made of.

A figure lives in its own plane: x to the right, y downwards, facing right, within about [-1, 1]. A `Pose` then puts
it on the 256 px canvas. The two domains paint the same kind of figure, each from its own draw of the parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

SIDE = 256
"""Side of a drawn picture in pixels."""

Pen = Literal["outline", "fill", "line", "none"]


@dataclass(frozen=True)
class Part:
    """One layer of a figure, painted over those before it."""

    role: str
    """Material: the key of its colour in a palette."""
    outlines: tuple[np.ndarray, ...]
    """Polylines, float (N, 2) each: closed areas, or open lines of `width`."""
    pen: Pen = "outline"
    """Rendering in a sketch: contour, solid ink, a single line, or none."""
    width: float = 0.0
    """Thickness of an open line in the figure's units; 0: the outlines are closed areas."""
    shade: float = 1.0
    """Factor on the colour: limbs on the far side are darker."""
    relief: float = 1.0
    """Strength of the shading by the light (0: flat, such as a marking on a body)."""
    name: str = ""
    """Name by which another part is clipped to this one."""
    scenery: bool = False
    """True: belongs to the surroundings, may run off the canvas and has no part in choosing the scale."""
    inside: str = ""
    """Name of the earlier part that this one does not leave (markings)."""


@dataclass(frozen=True)
class Figure:
    """An object of one class with its parameters drawn, before it is posed."""

    variant: str
    """View of the class, for example `perched` or `flying`."""
    parts: tuple[Part, ...]
    """Layers from back to front."""
    ground: float | None = None
    """Height (y) of the ground it stands on; None where it casts no shadow there."""


@dataclass(frozen=True)
class Pose:
    """Placement of a figure on the canvas: p -> centre + 128 · scale · R(angle) · flip(p)."""

    variant: str
    """The figure's view."""
    flip: bool
    """True: facing left."""
    scale: float
    """Half canvas widths per unit of the figure's plane."""
    angle: float
    """Rotation in degrees, clockwise on the screen."""
    x: float
    """Position of the figure's origin, in pixels from the left."""
    y: float
    """Position of the origin, in pixels from the top."""

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Figure plane (N, 2) -> canvas pixels (N, 2)."""
        turn = np.deg2rad(self.angle)
        cos, sin = np.cos(turn), np.sin(turn)
        px = points[:, 0] * (-1.0 if self.flip else 1.0)
        py = points[:, 1]
        unit = self.scale * SIDE / 2
        return np.stack([self.x + unit * (cos * px - sin * py), self.y + unit * (sin * px + cos * py)], axis=1)


def draw_shape_pose(rng: np.random.Generator, figure: Figure, scale: tuple[float, float], tilt: float) -> Pose:
    """A random pose that keeps the figure on the canvas: `scale` is the range of its larger side over the canvas."""
    flip = bool(rng.random() < 0.5)
    angle = float(rng.uniform(-tilt, tilt))
    wish = rng.uniform(*scale)
    drift = rng.uniform(-1.0, 1.0, 2)
    points = np.concatenate([line for part in figure.parts if not part.scenery for line in part.outlines])
    unit = Pose(figure.variant, flip, 2.0 / SIDE, angle, 0.0, 0.0).apply(points)
    low, high = unit.min(axis=0), unit.max(axis=0)
    factor = wish * SIDE / float((high - low).max())
    free = np.maximum(SIDE - factor * (high - low) - 8.0, 0.0) / 2
    # The drift is at most a sixth of the canvas, so that the object stays the subject of the picture.
    centre = SIDE / 2 + drift * np.minimum(free, SIDE / 6) - factor * (low + high) / 2
    return Pose(figure.variant, flip, factor * 2.0 / SIDE, angle, float(centre[0]), float(centre[1]))


def posed_shape(figure: Figure, pose: Pose) -> Figure:
    """The figure with its outlines and widths in canvas pixels."""
    unit = pose.scale * SIDE / 2
    parts = tuple(
        replace(part, outlines=tuple(pose.apply(line) for line in part.outlines), width=part.width * unit)
        for part in figure.parts
    )
    return replace(figure, parts=parts)


def smooth(points: np.ndarray | Sequence[tuple[float, float]], closed: bool = True, steps: int = 6) -> np.ndarray:
    """Catmull-Rom spline through `points` (K, 2) -> (about K·steps, 2). A point given twice makes a corner."""
    knots = np.asarray(points, dtype=np.float64)
    if closed:
        around = np.concatenate([knots[-1:], knots, knots[:2]])
        before, start, after, beyond = around[:-3], knots, around[2:-1], around[3:]
    else:
        padded = np.concatenate([knots[:1], knots, knots[-1:]])
        before, start, after, beyond = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    # Between the two halves of a corner nothing may happen; left alone, the spline would make a tiny loop there.
    same = (start == after).all(axis=1, keepdims=True)
    before, beyond = np.where(same, start, before), np.where(same, after, beyond)
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (array[:, None, :] for array in (before, start, after, beyond))
    curve = b + 0.5 * t * ((c - a) + t * ((2 * a - 5 * b + 4 * c - d) + t * (3 * (b - c) + d - a)))
    line = curve.reshape(-1, 2)
    return line if closed else np.concatenate([line, knots[-1:]])


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0, steps: int = 24) -> np.ndarray:
    """An ellipse's outline (steps, 2); `angle` in degrees."""
    t = np.arange(steps) * (2 * np.pi / steps)
    turn = np.deg2rad(angle)
    u, v = rx * np.cos(t), ry * np.sin(t)
    return np.stack([x + u * np.cos(turn) - v * np.sin(turn), y + u * np.sin(turn) + v * np.cos(turn)], axis=1)


def resampled(line: np.ndarray, count: int) -> np.ndarray:
    """`count` points at equal distances along a polyline (N, 2)."""
    lengths = np.hypot(*(line[1:] - line[:-1]).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    at = np.arange(count) * (along[-1] / (count - 1))
    return np.stack([np.interp(at, along, line[:, 0]), np.interp(at, along, line[:, 1])], axis=1)


def ribbon(line: np.ndarray, half_widths: np.ndarray | float) -> np.ndarray:
    """The outline (2N, 2) of a stroke along `line` (N, 2) with the given half widths (N,)."""
    along = np.concatenate([line[1:2] - line[:1], line[2:] - line[:-2], line[-1:] - line[-2:-1]])
    scale = half_widths / np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)
    side = np.stack([-along[:, 1] * scale, along[:, 0] * scale], axis=1)
    return np.concatenate([line + side, (line - side)[::-1]])


def wedge(points: Sequence[tuple[float, float]] | np.ndarray, width: float, blunt: float = 0.0) -> np.ndarray:
    """A tapering stroke (a stripe) along a spline: `width` at its thickest, `blunt` the share at its start."""
    line = resampled(smooth(points, closed=False), 14)
    t = np.linspace(0.0, 1.0, 14)
    profile = np.sqrt(np.clip(np.minimum(t * 4 + blunt, 1.0), 0, 1)) * np.sqrt(1.0 - t)
    return ribbon(line, width / 2 * profile)


def jittered(rng: np.random.Generator, points: np.ndarray, amount: float) -> np.ndarray:
    """Control points (K, 2) each moved by a normal offset; points given twice (corners) move together."""
    moved = points + rng.normal(0.0, amount, points.shape)
    same = np.all(points[1:] == points[:-1], axis=1)
    moved[1:][same] = moved[:-1][same]
    return moved


def stretched(points: np.ndarray, centre: tuple[float, float], factors: tuple[float, float]) -> np.ndarray:
    """Points (K, 2) scaled about `centre` by (fx, fy)."""
    middle = np.asarray(centre)
    return middle + (points - middle) * np.asarray(factors)
