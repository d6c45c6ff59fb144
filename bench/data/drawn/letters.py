"""Letters, on house walls and by hand: classes that no task has. None looks like a digit (no O, I, S, B, Z, G, ...)."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from bench.data.drawn.digits import DIGIT_SIDE, FACES, Points, digit_lettering, house_digit_sign, placed_digit
from bench.data.drawn.shapes import jittered

# Skeletons in a unit box, as the digits'.
SKELETONS: dict[str, tuple[Points, ...]] = {
    "A": (((0.0, 1.0), (0.5, 0.0), (0.5, 0.0), (1.0, 1.0)), ((0.20, 0.65), (0.80, 0.65))),
    "E": (((0.95, 0.0), (0.1, 0.0), (0.1, 0.0), (0.1, 1.0), (0.1, 1.0), (0.95, 1.0)), ((0.1, 0.48), (0.80, 0.48))),
    "H": (((0.1, 0.0), (0.1, 1.0)), ((0.9, 0.0), (0.9, 1.0)), ((0.1, 0.5), (0.9, 0.5))),
    "K": (((0.1, 0.0), (0.1, 1.0)), ((0.9, 0.0), (0.12, 0.58)), ((0.38, 0.40), (0.95, 1.0))),
    "M": (((0.0, 1.0), (0.06, 0.0), (0.06, 0.0), (0.5, 0.65), (0.5, 0.65), (0.94, 0.0), (0.94, 0.0), (1.0, 1.0)),),
    "N": (((0.1, 1.0), (0.1, 0.0), (0.1, 0.0), (0.9, 1.0), (0.9, 1.0), (0.9, 0.0)),),
    "P": (((0.12, 1.0), (0.12, 0.0), (0.12, 0.0), (0.62, 0.0), (0.90, 0.12), (0.90, 0.41), (0.62, 0.53),
           (0.12, 0.53)),),
    "R": (((0.12, 1.0), (0.12, 0.0), (0.12, 0.0), (0.62, 0.0), (0.90, 0.12), (0.90, 0.39), (0.62, 0.50),
           (0.12, 0.50)), ((0.48, 0.50), (0.95, 1.0))),
    "T": (((0.0, 0.0), (1.0, 0.0)), ((0.5, 0.0), (0.5, 1.0))),
    "U": (((0.08, 0.0), (0.08, 0.62), (0.20, 0.90), (0.5, 1.0), (0.80, 0.90), (0.92, 0.62), (0.92, 0.0)),),
    "X": (((0.05, 0.0), (0.95, 1.0)), ((0.95, 0.0), (0.05, 1.0))),
    "Y": (((0.02, 0.0), (0.5, 0.48), (0.5, 0.48), (0.5, 1.0)), ((0.98, 0.0), (0.5, 0.48))),
}  # fmt: skip
LETTERS = tuple(SKELETONS)


def painted_letter(rng: np.random.Generator, letter: str) -> np.ndarray:
    """Drawn as the house numbers are, between other letters: uint8 (32, 32, 3)."""
    face = FACES[int(rng.integers(len(FACES)))]
    sides = [LETTERS[int(rng.integers(len(LETTERS)))] if rng.random() < 0.55 else None for _ in range(2)]
    return house_digit_sign(rng, face, letter, sides, SKELETONS)


def pen_letter(rng: np.random.Generator, letter: str) -> np.ndarray:
    """White pen strokes on black, each letter a little different: uint8 (32, 32, 3)."""
    strokes = tuple(jittered(rng, np.array(stroke), 0.04) for stroke in SKELETONS[letter])
    written = placed_digit(rng, digit_lettering(rng, "round", letter, (None, None), {letter: strokes}))
    soft = Image.fromarray((written * 255.0 + 0.5).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(rng.uniform(1.0, 2.5))
    )
    grey = np.asarray(soft.resize((DIGIT_SIDE, DIGIT_SIDE), Image.Resampling.BOX))
    return np.repeat(grey[..., None], 3, axis=2)
