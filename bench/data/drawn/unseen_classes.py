"""Another drawn set of classes, which no task has: for a small network that is trained with labels
(bench/training/stand_in.py).

Twelve letters, drawn as the house numbers are and as white pen strokes; ten objects, drawn as sketches and as scenes.
So every way of drawing of the embedded tasks occurs, and none of their classes. Every item has its own seed from the
version, class, style, split and index, as the tasks' items have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from bench.core.randomness import derived_seed
from bench.data.drawn.digits import DIGIT_SIDE
from bench.data.drawn.letters import LETTERS, painted_letter, pen_letter
from bench.data.drawn.objects import OBJECTS
from bench.data.drawn.pictures import paint_picture
from bench.data.drawn.raster import hsv, noise
from bench.data.drawn.scenes import Colour, Style, bokeh, lawn, pick, rgb, room, sky
from bench.data.drawn.shapes import Figure, Pose, draw_shape_pose, posed_shape
from bench.data.drawn.sketch import sketch
from bench.data.types import SplitName

OTHERS_VERSION = 1
"""Part of every seed. Raised by a change to any of these drawings."""
OTHER_SIDE = DIGIT_SIDE
"""Side of an item in pixels."""
OTHER_CLASSES = (*(f"letter {letter}" for letter in LETTERS), *OBJECTS)
STYLES = (("strokes", "sign"), ("sketch", "scene"))
"""The two styles of letters and of objects: without and with colours."""


class UnseenClasses(NamedTuple):
    """Items of one split."""

    images: np.ndarray
    """uint8 (N, 3, 32, 32)."""
    labels: np.ndarray
    """int64 (N,), indices into OTHER_CLASSES."""


def draw_unseen_classes(
    split: SplitName, per_class: int, advance: Callable[[int], None] = lambda count: None
) -> UnseenClasses:
    """`per_class` items of each class, the two styles in turns; `advance` is called for each. Raises BenchError without
    FreeType.
    """
    images, labels = [], []
    for label in range(len(OTHER_CLASSES)):
        for index in range(per_class):
            images.append(draw_unseen_class(label, index % 2, split, index))
            labels.append(label)
            advance(1)
    return UnseenClasses(np.stack(images).transpose(0, 3, 1, 2), np.array(labels, np.int64))


def draw_unseen_class(label: int, style: int, split: SplitName, index: int) -> np.ndarray:
    """One item, uint8 (32, 32, 3). `style`: index into the pair of STYLES that belongs to the class."""
    name = OTHER_CLASSES[label]
    letter = label < len(LETTERS)
    seed = derived_seed("others", OTHERS_VERSION, name, STYLES[0 if letter else 1][style], split, index)
    rng = np.random.default_rng(seed)
    if letter:
        return (pen_letter, painted_letter)[style](rng, LETTERS[label])
    figure = OBJECTS[name](rng)
    pose = draw_shape_pose(rng, figure, scale=(0.76, 0.97), tilt=8.0)
    if style == 0:
        pixels = sketch(rng, posed_shape(figure, pose))
    else:
        pixels = paint_picture(rng, posed_shape(figure, pose), _style(rng, name, figure, pose))
    return np.asarray(Image.fromarray(pixels).resize((OTHER_SIDE, OTHER_SIDE), Image.Resampling.LANCZOS))


# ------------------------------------------------------------------------------------------ materials and places


class Hues(NamedTuple):
    """A colour of any hue."""

    saturation: tuple[float, float]
    value: tuple[float, float]


WHITE, BLACK, BROWN = rgb(0.95, 0.95, 0.93), rgb(0.10, 0.09, 0.10), rgb(0.42, 0.28, 0.17)
VIVID, PALE = Hues((0.55, 0.9), (0.55, 0.95)), Hues((0.05, 0.35), (0.8, 0.97))
GREENS = (rgb(0.16, 0.36, 0.14), rgb(0.30, 0.50, 0.16), rgb(0.45, 0.52, 0.20), rgb(0.72, 0.42, 0.12))
METALS = (rgb(0.78, 0.62, 0.25), rgb(0.72, 0.73, 0.76), rgb(0.50, 0.36, 0.24))
WOODS = (BROWN, rgb(0.62, 0.42, 0.24), rgb(0.75, 0.58, 0.38), WHITE, BLACK)
SKINS = (rgb(0.72, 0.60, 0.42), rgb(0.50, 0.44, 0.36), rgb(0.80, 0.70, 0.55))

PALETTES: dict[str, dict[str, Hues | Sequence[Colour]]] = {
    "butterfly": {"wing": VIVID, "lower": VIVID, "spot": (WHITE, BLACK), "trunk": (BLACK,)},
    "car": {"paint": VIVID, "glass": (rgb(0.35, 0.45, 0.52),), "seam": (BLACK,), "lamp": (rgb(0.98, 0.93, 0.7),),
            "tyre": (BLACK,), "hub": (rgb(0.7, 0.71, 0.74),)},
    "chair": {"wood": WOODS, "seat": VIVID},
    "cup": {"china": PALE, "band": VIVID, "drink": (rgb(0.25, 0.14, 0.07), rgb(0.55, 0.33, 0.12)), "steam": (WHITE,)},
    "fish": {"scale": VIVID, "fin": VIVID, "stripe": (WHITE, BLACK), "white": (WHITE,)},
    "key": {"metal": METALS},
    "mushroom": {"cap": (rgb(0.80, 0.14, 0.10), rgb(0.55, 0.33, 0.18), rgb(0.85, 0.55, 0.25)), "gill": (BROWN,),
                 "stem": (rgb(0.93, 0.88, 0.78),), "spot": (WHITE,)},
    "snail": {"flesh": SKINS, "shell": (BROWN, rgb(0.75, 0.52, 0.28), rgb(0.85, 0.75, 0.5)), "coil": (BLACK, WHITE)},
    "tree": {"crown": GREENS, "bark": (BROWN, rgb(0.35, 0.30, 0.26))},
    "umbrella": {"cloth": VIVID, "panel": VIVID, "rib": (BLACK,), "stick": (BROWN, BLACK)},
}  # fmt: skip
"""Class -> role of a part -> its colours."""


def _water(rng: np.random.Generator, figure: Figure, pose: Pose) -> np.ndarray:
    return bokeh(rng, hsv(rng.uniform(0.45, 0.62), 0.7, rng.uniform(0.3, 0.7)), rgb(0.6, 0.85, 0.9))


def _leaves(rng: np.random.Generator, figure: Figure, pose: Pose) -> np.ndarray:
    return bokeh(rng, hsv(rng.uniform(0.2, 0.38), 0.6, rng.uniform(0.25, 0.6)), rgb(0.8, 0.9, 0.6))


def _cloth(rng: np.random.Generator, figure: Figure, pose: Pose) -> np.ndarray:
    """A lit surface of any colour."""
    colour = hsv(rng.random(), rng.uniform(0.05, 0.5), rng.uniform(0.25, 0.9))
    return bokeh(rng, colour, np.minimum(colour * 1.2, 1.0).astype(np.float32))


def _open_sky(rng: np.random.Generator, figure: Figure, pose: Pose) -> np.ndarray:
    return sky(rng)


Place = Callable[[np.random.Generator, Figure, Pose], np.ndarray]
PLACES: dict[str, tuple[Place, ...]] = {
    "butterfly": (_leaves, _open_sky), "car": (lawn, _cloth), "chair": (room, room, lawn), "cup": (room, _cloth),
    "fish": (_water, _water, _cloth), "key": (_cloth, room), "mushroom": (_leaves, lawn), "snail": (_leaves, lawn),
    "tree": (lawn, _open_sky), "umbrella": (_open_sky, _cloth, _leaves),
}  # fmt: skip
"""Class -> where it is seen."""


def _style(rng: np.random.Generator, name: str, figure: Figure, pose: Pose) -> Style:
    """Background, palette and textures of one scene."""
    places = PLACES[name]
    background = places[int(rng.integers(len(places)))](rng, figure, pose)
    palette = {role: _colour(rng, colours) for role, colours in PALETTES[name].items()}
    main = next(iter(palette))
    return Style(background, palette, {main: 1.0 + 0.15 * noise(rng, 32, 40)}, gloss=rng.uniform(0.05, 0.3))


def _colour(rng: np.random.Generator, colours: Hues | Sequence[Colour]) -> Colour:
    if isinstance(colours, Hues):
        return hsv(rng.random(), rng.uniform(*colours.saturation), rng.uniform(*colours.value))
    return pick(rng, colours, 0.04)
