"""The real domain's surroundings and materials: for each class its own colours, textures and places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.data.drawn.raster import blend_colour, enlarged_raster, hsv, noise, outline_coverage, vertical_gradient
from bench.data.drawn.shapes import SIDE, Figure, Pose

Colour = np.ndarray  # float32 (3,) in [0, 1]


@dataclass(frozen=True)
class Style:
    """Background, palette and textures of one scene."""

    background: np.ndarray
    """float32 (3, SIDE, SIDE) in about [0, 1]."""
    palette: dict[str, Colour]
    """Role of a part -> colour."""
    textures: dict[str, np.ndarray]
    """Role -> factor on its colour, float32 (SIDE, SIDE) around 1."""
    gloss: float
    """Strength of the highlight on modelled parts."""
    foreground: tuple[tuple[np.ndarray, ...], Colour] | None = None
    """Blades of grass in front of the feet, and their colour."""


def rgb(red: float, green: float, blue: float) -> Colour:
    """A colour, float32 (3,)."""
    return np.array([red, green, blue], np.float32)


def pick(rng: np.random.Generator, colours: Sequence[Colour], spread: float = 0.05) -> Colour:
    """One of `colours`, a little off."""
    chosen = colours[int(rng.integers(len(colours)))]
    return np.clip(chosen + rng.uniform(-spread, spread, 3), 0.02, 1.0).astype(np.float32)


def soft_spot(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    """A soft spot (SIDE, SIDE) of height 1 at pixel (x, y) with radii rx, ry."""
    at = np.arange(SIDE, dtype=np.float32) + 0.5
    across, down = np.exp(-(((at - x) / rx) ** 2)), np.exp(-(((at - y) / ry) ** 2))
    return (down[:, None] * across[None, :]).astype(np.float32)


def below_row(y: float, softness: float) -> np.ndarray:
    """0 above row `y` and 1 below it, (SIDE, 1), with an edge `softness` pixels wide."""
    at = np.arange(SIDE, dtype=np.float32) + 0.5
    return np.clip((at - y) / softness + 0.5, 0.0, 1.0)[:, None].astype(np.float32)


def _flat(top: Colour, bottom: Colour) -> np.ndarray:
    return np.repeat(vertical_gradient([(0.0, top), (1.0, bottom)]), SIDE, axis=2)


def sky(rng: np.random.Generator) -> np.ndarray:
    """Blue to pale, with soft clouds; sometimes the warm colours of an evening."""
    if rng.random() < 0.2:
        canvas = _flat(hsv(rng.uniform(0.58, 0.68), 0.35, 0.75), hsv(rng.uniform(0.03, 0.1), 0.45, 0.97))
    else:
        hue, depth = rng.uniform(0.54, 0.61), rng.uniform(0.35, 0.75)
        canvas = _flat(hsv(hue, depth, rng.uniform(0.75, 0.95)), hsv(hue, 0.4 * depth, 0.96))
    clouds = noise(rng, 3, 2, octaves=4) + rng.uniform(-0.5, 0.3)
    blend_colour(canvas, rgb(0.97, 0.97, 0.98), np.clip(clouds, 0.0, 1.0) * 0.85)
    return canvas


def bokeh(rng: np.random.Generator, base: Colour, light: Colour) -> np.ndarray:
    """A background far out of focus: broad patches and discs of light."""
    canvas = _flat(base * rng.uniform(0.8, 1.25), base * rng.uniform(0.5, 0.95))
    blend_colour(canvas, light, np.clip(noise(rng, 4, 4, octaves=2) * 0.6, 0.0, 0.7))
    blend_colour(canvas, base * 0.35, np.clip(noise(rng, 3, 3) * 0.8, 0.0, 0.7))
    for _ in range(int(rng.integers(2, 7))):
        radius, strength = rng.uniform(10, 30), rng.uniform(0.12, 0.35)
        spot = soft_spot(rng.uniform(0, SIDE), rng.uniform(0, SIDE), radius, radius)
        blend_colour(canvas, np.minimum(light * 1.3, 1.0), np.clip((spot - 0.4) * 6, 0.0, 1.0) * np.float32(strength))
    return canvas


def _bird(rng: np.random.Generator, figure: Figure, pose: Pose) -> Style:
    hues = ((0.0, 0.80, 0.80), (0.60, 0.75, 0.75), (0.14, 0.85, 0.95), (0.06, 0.80, 0.85), (0.30, 0.6, 0.6),
            (0.52, 0.6, 0.65), (0.07, 0.45, 0.45))  # fmt: skip
    hue, saturation, value = hues[int(rng.integers(len(hues)))]
    plumage = hsv(hue + rng.uniform(-0.025, 0.025), saturation * rng.uniform(0.85, 1.1), value * rng.uniform(0.8, 1.05))
    wing = plumage * rng.uniform(0.45, 0.8) if rng.random() < 0.7 else rgb(0.16, 0.16, 0.2)
    breast = pick(rng, (rgb(0.95, 0.93, 0.88), rgb(0.9, 0.75, 0.5), np.minimum(plumage * 1.35, 1.0)))
    cap = plumage * 0.55 if rng.random() < 0.4 else pick(rng, (plumage, rgb(0.12, 0.12, 0.14), plumage), 0.02)
    if figure.variant == "flying" or rng.random() < 0.5:
        background = sky(rng)
    else:
        base = pick(rng, (rgb(0.35, 0.55, 0.25), rgb(0.45, 0.6, 0.4), rgb(0.6, 0.62, 0.35)))
        background = bokeh(rng, base, rgb(0.75, 0.88, 0.7))
    palette = {
        "plumage": plumage, "wing": wing, "breast": breast, "cap": cap, "feather": wing * 0.5,
        "beak": pick(rng, (rgb(0.95, 0.6, 0.1), rgb(0.25, 0.22, 0.2), rgb(0.9, 0.75, 0.25))),
        "leg": rgb(0.3, 0.22, 0.18), "bark": pick(rng, (rgb(0.36, 0.26, 0.18), rgb(0.45, 0.38, 0.32))),
        "leaf": hsv(rng.uniform(0.2, 0.34), 0.65, 0.55),
    }  # fmt: skip
    down = 1.0 + 0.16 * noise(rng, 40, 56)
    barbs = 1.0 + 0.22 * noise(rng, 20, 64)
    textures = {"plumage": down, "breast": down, "cap": down, "wing": barbs, "bark": 1.0 + 0.35 * noise(rng, 64, 24)}
    return Style(background, palette, textures, gloss=0.10)


def _dog(rng: np.random.Generator, figure: Figure, pose: Pose) -> Style:
    coats = (rgb(0.52, 0.33, 0.18), rgb(0.86, 0.76, 0.58), rgb(0.16, 0.14, 0.13), rgb(0.76, 0.54, 0.28),
             rgb(0.38, 0.22, 0.13), rgb(0.88, 0.86, 0.82), rgb(0.50, 0.47, 0.45))  # fmt: skip
    coat = pick(rng, coats, 0.04)
    dark, pale = coat * rng.uniform(0.35, 0.6), np.minimum(coat * 0.5 + 0.48, 1.0).astype(np.float32)
    patch = (coat, dark, pale)[int(rng.choice(3, p=[0.4, 0.4, 0.2]))]
    at_home = bool(rng.random() < 0.35)
    background = room(rng, figure, pose) if at_home else lawn(rng, figure, pose)
    palette = {
        "fur": coat, "patch": patch, "belly": pale if rng.random() < 0.7 else coat, "mouth": rgb(0.08, 0.05, 0.05),
        "ear": dark if rng.random() < 0.6 else coat * 0.85, "nose": rgb(0.09, 0.08, 0.08),
        "tongue": rgb(0.87, 0.42, 0.45),
        "collar": pick(rng, (rgb(0.8, 0.12, 0.1), rgb(0.1, 0.25, 0.7), rgb(0.1, 0.5, 0.3), rgb(0.15, 0.1, 0.08))),
    }  # fmt: skip
    hair = 1.0 + 0.15 * noise(rng, 64, 150) + 0.09 * noise(rng, 8, 8)
    textures = dict.fromkeys(("fur", "patch", "belly", "ear"), hair)
    blades = None if at_home else _blades(rng, figure, pose, 60, 12.0)
    grass = background[:, -30:].mean(axis=(1, 2)) * np.float32(0.8)
    return Style(background, palette, textures, gloss=0.05, foreground=None if blades is None else (blades, grass))


def _ground_row(rng: np.random.Generator, figure: Figure, pose: Pose, high: float) -> float:
    """The row where the ground begins: above the feet, or anywhere below the middle for a portrait."""
    if figure.ground is None:
        return float(rng.uniform(0.55, 0.95) * SIDE)
    return float(pose.apply(np.array([(0.0, figure.ground)]))[0, 1] - rng.uniform(18.0, high))


def lawn(rng: np.random.Generator, figure: Figure, pose: Pose) -> np.ndarray:
    """Grass, sometimes sand or snow, before hedges or the sky."""
    kind = rng.random()
    ground = hsv(rng.uniform(0.22, 0.31), rng.uniform(0.5, 0.7), rng.uniform(0.45, 0.68))
    if kind > 0.85:
        ground = pick(rng, (rgb(0.80, 0.72, 0.55), rgb(0.88, 0.90, 0.94)))
    behind = sky(rng) if rng.random() < 0.4 else bokeh(rng, hsv(rng.uniform(0.24, 0.36), 0.4, 0.5), rgb(0.7, 0.8, 0.6))
    row = _ground_row(rng, figure, pose, 80.0)
    depth = vertical_gradient([(row / SIDE - 0.01, ground * 0.8), (1.0, ground * 1.05)])
    field = depth * (1.0 + 0.20 * noise(rng, 72, 40) + 0.15 * noise(rng, 10, 4))
    blend_colour(behind, field, below_row(row, 6.0))
    return behind


def room(rng: np.random.Generator, figure: Figure, pose: Pose) -> np.ndarray:
    """A wall with the light of a window, and a wooden floor or carpet."""
    wall = pick(rng, (rgb(0.85, 0.80, 0.70), rgb(0.75, 0.72, 0.70), rgb(0.78, 0.66, 0.55), rgb(0.66, 0.70, 0.68)))
    canvas = _flat(wall, wall * 0.85)
    window = soft_spot(rng.uniform(0, SIDE), rng.uniform(0, SIDE), rng.uniform(60, 130), rng.uniform(60, 130))
    canvas *= 0.85 + 0.3 * window
    floor = pick(rng, (rgb(0.55, 0.36, 0.22), rgb(0.68, 0.50, 0.32), rgb(0.50, 0.44, 0.40)))
    row = _ground_row(rng, figure, pose, 60.0)
    grain = floor[:, None, None] * (1.0 + 0.12 * noise(rng, 90, 6) + 0.10 * noise(rng, 7, 3))
    blend_colour(canvas, grain * vertical_gradient([(0.3, rgb(0.75, 0.75, 0.75)), (1.0, rgb(1.1, 1.1, 1.1))]),
          below_row(row, 1.5))  # fmt: skip
    canvas[:, max(int(row) - 5, 0) : max(int(row), 0)] *= 0.8  # the skirting board
    return canvas


def _blades(
    rng: np.random.Generator, figure: Figure, pose: Pose, count: int, height: float
) -> tuple[np.ndarray, ...] | None:
    """Triangles of grass rooted at and below the feet."""
    if figure.ground is None:
        return None
    foot = float(pose.apply(np.array([(0.0, figure.ground)]))[0, 1])
    roots = np.stack([rng.uniform(-5, SIDE + 5, count), foot + rng.uniform(2.0, 18.0, count)], axis=1)
    tips = roots + np.stack([rng.normal(0, 0.35 * height, count), -height * rng.uniform(0.6, 1.6, count)], axis=1)
    half = rng.uniform(1.0, 2.2, count)
    return tuple(np.array([(x - w, y), tip, (x + w, y)]) for (x, y), tip, w in zip(roots, tips, half, strict=True))


def _flower(rng: np.random.Generator, figure: Figure, pose: Pose) -> Style:
    petals = ((0.98, 0.80, 0.85), (0.92, 0.55, 0.95), (0.85, 0.70, 0.85), (0.76, 0.60, 0.80), (0.14, 0.85, 0.98),
              (0.07, 0.85, 0.97), (0.15, 0.06, 0.98), (0.63, 0.60, 0.85))  # fmt: skip
    hue, saturation, value = petals[int(rng.integers(len(petals)))]
    petal = hsv(hue + rng.uniform(-0.02, 0.02), saturation * rng.uniform(0.85, 1.05), value * rng.uniform(0.9, 1.0))
    green = hsv(rng.uniform(0.20, 0.38), rng.uniform(0.4, 0.75), rng.uniform(0.22, 0.6))
    if rng.random() < 0.2:  # seen against the sky
        green = hsv(rng.uniform(0.52, 0.6), rng.uniform(0.3, 0.5), rng.uniform(0.7, 0.85))
    leaf = hsv(rng.uniform(0.24, 0.34), rng.uniform(0.55, 0.8), rng.uniform(0.42, 0.62))
    heart = pick(rng, (rgb(0.95, 0.75, 0.12), rgb(0.35, 0.2, 0.1), rgb(0.75, 0.7, 0.2)))
    palette = {
        "petal": petal,
        "vein": petal * 0.75,
        "heart": heart,
        "seed": heart * 0.5,
        "leaf": leaf,
        "rib": leaf * 1.4,
    }
    x, y = pose.apply(np.array([(0.0, -0.32)]))[0]
    reach = 0.34 * pose.scale * SIDE / 2
    # Petals are deeper in colour towards the heart, leaves have a fine grain.
    deep = 1.08 - 0.45 * soft_spot(x, y, reach, reach) + 0.06 * noise(rng, 40, 40)
    textures = {"petal": deep, "leaf": 1.0 + 0.14 * noise(rng, 24, 24, 2), "heart": 1.0 + 0.35 * noise(rng, 70, 70)}
    return Style(bokeh(rng, green, hsv(rng.uniform(0.16, 0.30), 0.45, 0.8)), palette, textures, gloss=0.10)


def _speedboat(rng: np.random.Generator, figure: Figure, pose: Pose) -> Style:
    white = rgb(0.95, 0.95, 0.95)
    hull = pick(
        rng, (white, white, rgb(0.8, 0.12, 0.12), rgb(0.12, 0.25, 0.6), rgb(0.95, 0.78, 0.15), rgb(0.1, 0.12, 0.15))
    )
    bright = bool(hull.mean() > 0.8)
    trim = (
        pick(rng, (rgb(0.8, 0.1, 0.1), rgb(0.1, 0.2, 0.6), rgb(0.1, 0.45, 0.5), rgb(0.9, 0.5, 0.1)))
        if bright
        else white
    )
    water = float(pose.apply(np.array([(0.0, 0.40)]))[0, 1])
    sea = hsv(rng.uniform(0.48, 0.61), rng.uniform(0.5, 0.8), rng.uniform(0.4, 0.7))
    palette = {
        "hull": hull, "trim": trim, "keel": hull * 0.55, "deck": pick(rng, (white, rgb(0.75, 0.6, 0.42), white)),
        "glass": rgb(0.30, 0.42, 0.50), "motor": rgb(0.18, 0.19, 0.22),
        "seat": pick(rng, (rgb(0.7, 0.2, 0.15), white * 0.8)),
        "shirt": hsv(rng.random(), 0.6, 0.8), "skin": pick(rng, (rgb(0.85, 0.65, 0.52), rgb(0.5, 0.33, 0.24))),
        "hair": rgb(0.2, 0.14, 0.1), "rail": rgb(0.8, 0.82, 0.85), "foam": rgb(0.96, 0.98, 1.0),
        "ripple": np.minimum(sea * 0.5 + 0.5, 1.0).astype(np.float32),
    }  # fmt: skip
    textures = {"foam": 0.95 + 0.14 * noise(rng, 40, 28, 2)}
    return Style(_sea(rng, sea, water - rng.uniform(18.0, 80.0)), palette, textures, gloss=0.30)


def _sea(rng: np.random.Generator, sea: Colour, horizon: float) -> np.ndarray:
    """Waves to the horizon under a sky, sometimes with a coast."""
    canvas = sky(rng)
    if rng.random() < 0.5:
        hills = horizon - 4.0 - 16.0 * np.abs(enlarged_raster(rng.uniform(-1, 1, (2, 6)))[:1])
        coast = hsv(rng.uniform(0.30, 0.6), 0.25, rng.uniform(0.35, 0.6))
        at = np.arange(SIDE, dtype=np.float32)[:, None]
        blend_colour(canvas, coast, np.clip(at - hills, 0.0, 1.0).astype(np.float32))
    # Crests are finer near the horizon: two scales, mixed by the distance below it.
    near = below_row(horizon + 60.0, 120.0)
    waves = noise(rng, 80, 16) * (1.0 - near) + (0.7 * noise(rng, 34, 9) + 0.5 * noise(rng, 80, 30)) * near
    depth = vertical_gradient([(max(horizon, 0.0) / SIDE, sea * 0.5 + 0.35), (1.0, sea * 0.75)])
    water = depth * (1.0 + 0.30 * waves) + 0.25 * np.clip(waves - 0.55, 0.0, 1.0)
    blend_colour(canvas, water, below_row(horizon, 1.5))
    return canvas


def _tiger(rng: np.random.Generator, figure: Figure, pose: Pose) -> Style:
    coat = hsv(rng.uniform(0.055, 0.09), rng.uniform(0.72, 0.9), rng.uniform(0.78, 0.95))
    dry = bool(rng.random() < 0.45)
    grass = hsv(rng.uniform(0.11, 0.15), 0.5, rng.uniform(0.6, 0.78)) if dry else hsv(rng.uniform(0.2, 0.32), 0.6, 0.38)
    background = _jungle(rng, figure, pose, grass, dry)
    palette = {
        "fur": coat, "belly": rgb(0.97, 0.93, 0.85), "stripe": rgb(0.08, 0.06, 0.05), "mouth": rgb(0.12, 0.07, 0.06),
        "iris": pick(rng, (rgb(0.85, 0.7, 0.2), rgb(0.6, 0.7, 0.3))), "muzzle": rgb(0.80, 0.42, 0.38),
    }  # fmt: skip
    hair = 1.0 + 0.14 * noise(rng, 64, 48) + 0.10 * noise(rng, 8, 8)
    textures = {"fur": hair, "belly": hair}
    blades = _blades(rng, figure, pose, 110, 22.0)
    return Style(background, palette, textures, 0.05, None if blades is None else (blades, grass * np.float32(0.85)))


def _jungle(rng: np.random.Generator, figure: Figure, pose: Pose, grass: Colour, dry: bool) -> np.ndarray:
    """Dense growth or dry reeds: upright streaks, trunks, shade, and the ground."""
    shade = (
        hsv(rng.uniform(0.10, 0.14), 0.5, 0.45) if dry else hsv(rng.uniform(0.25, 0.38), 0.6, rng.uniform(0.16, 0.30))
    )
    canvas = bokeh(rng, shade, grass * 0.9 + 0.1)
    canvas *= 1.0 + 0.35 * noise(rng, 6, 48) + 0.2 * noise(rng, 20, 30)
    for _ in range(int(rng.integers(0, 4))):
        x, width = rng.uniform(0, SIDE), rng.uniform(5, 13)
        trunk = np.array(
            [(x - width, 0), (x + width, 0), (x + 1.1 * width + rng.normal(0, 8), SIDE), (x - 1.1 * width, SIDE)]
        )
        mask = outline_coverage([trunk])
        if mask is not None:
            blend_colour(canvas[:, mask.rows, mask.columns], shade * 0.45, mask.alpha * np.float32(0.75))
    row = _ground_row(rng, figure, pose, 50.0)
    field = vertical_gradient([(row / SIDE - 0.01, grass * 0.7), (1.0, grass)]) * (1.0 + 0.25 * noise(rng, 48, 60))
    blend_colour(canvas, field, below_row(row, 14.0))
    return canvas


STYLES: tuple[Callable[[np.random.Generator, Figure, Pose], Style], ...] = (_bird, _dog, _flower, _speedboat, _tiger)
"""Label -> function that draws a real picture's colours and textures."""
