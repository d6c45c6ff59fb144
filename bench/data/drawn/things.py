"""Parametric outlines of the drawn flower (daisy, tulip) and speedboat."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.data.drawn.shapes import Figure, Part, ellipse, jittered, resampled, ribbon, smooth, stretched


def flower(rng: np.random.Generator) -> Figure:
    """A flower on its stem: an open one with petals around a centre, or a tulip from the side."""
    return _open_flower(rng) if rng.random() < 0.75 else _tulip(rng)


def _petal(kind: int, length: float, width: float) -> np.ndarray:
    """A petal along +x from the origin (K, 2): rounded, pointed or notched."""
    half = {
        0: ((0.0, 0.0), (0.30, 0.55), (0.70, 1.0), (0.95, 0.62)),
        1: ((0.0, 0.0), (0.30, 0.80), (0.60, 0.90), (1.0, 0.0), (1.0, 0.0)),
        2: ((0.0, 0.0), (0.30, 0.55), (0.72, 1.0), (0.98, 0.55), (0.90, 0.0)),
    }[kind]
    top = np.array(half) * (length, width / 2)
    return np.concatenate([top, top[:0:-1] * (1.0, -1.0)])


def _open_flower(rng: np.random.Generator) -> Figure:
    kind, count = int(rng.integers(3)), int(rng.integers(5, 15))
    length = rng.uniform(0.46, 0.60)
    width = min(2.2 * np.pi * length * 0.62 / count, 0.62) * rng.uniform(0.85, 1.1)
    squash, turn, disc = rng.uniform(0.72, 1.0), rng.uniform(0, 2 * np.pi), rng.uniform(0.13, 0.20)
    centre = np.array([0.0, -0.32])
    rounds = 2 if count <= 9 and rng.random() < 0.4 else 1

    def placed(points: np.ndarray, angle: float) -> np.ndarray:
        cos, sin = np.cos(angle), np.sin(angle)
        return centre + points @ np.array([[cos, sin], [-sin, cos]]) * (1.0, squash)

    petals = []
    for ring in range(rounds):
        for i in range(count):
            angle = turn + 2 * np.pi * (i + 0.5 * ring) / count + rng.normal(0.0, 0.04)
            size = (1.0 - 0.3 * ring) * rng.uniform(0.93, 1.07)
            shape = jittered(rng, _petal(kind, length * size, width * size), 0.008)
            petals.append(Part("petal", (smooth(placed(shape, angle)),), shade=rng.uniform(0.88, 1.06)))
            vein = np.array([(0.3, 0.0), (0.8, 0.0)]) * length * size
            petals.append(Part("vein", (placed(vein, angle),), pen="line", width=0.014, relief=0.0))
    # Petals are laid in an order that is not the order round the flower, as real ones overlap.
    order = [2 * i + j for i in (*range(0, count, 2), *range(1, count, 2)) for j in (0, 1)]
    first = [petals[i] for i in order]
    heart = ellipse(centre[0], centre[1], disc, disc * squash)
    seeds = tuple(
        ellipse(centre[0] + r * np.cos(a), centre[1] + r * squash * np.sin(a), 0.016, 0.016, steps=8)
        for r, a in zip(disc * np.sqrt(rng.uniform(0.05, 0.8, 14)), rng.uniform(0, 2 * np.pi, 14), strict=True)
    )
    parts = (
        *_stem(rng, centre),
        *first,
        *petals[2 * count :],
        Part("heart", (heart,)),
        Part("seed", seeds, pen="fill", relief=0.0),
    )
    return Figure(("rounded", "pointed", "notched")[kind], parts)


def _stem(rng: np.random.Generator, top: np.ndarray) -> tuple[Part, ...]:
    bend, foot = rng.uniform(-0.18, 0.18), rng.uniform(-0.15, 0.15)
    spine = smooth(np.array([top, (bend, 0.25), (0.6 * bend + 0.5 * foot, 0.65), (foot, 1.02)]), closed=False)
    stem = ribbon(resampled(spine, 30), np.linspace(0.024, 0.036, 30))
    leaves = []
    side = 1.0 if rng.random() < 0.5 else -1.0
    for i in range(int(rng.integers(1, 4))):
        at = spine[int(len(spine) * (0.50 + 0.15 * i))]
        reach, rise = rng.uniform(0.34, 0.52) * side, rng.uniform(0.05, 0.32)
        leaf = np.array([
            (0.0, 0.0), (0.0, 0.0), (0.25 * reach, -0.5 * rise - 0.13), (0.7 * reach, -rise - 0.08), (reach, -rise),
            (reach, -rise), (0.65 * reach, 0.08 - 0.5 * rise), (0.25 * reach, 0.04),
        ])  # fmt: skip
        rib = np.array([(0.0, 0.0), (0.5 * reach, -0.62 * rise - 0.01), (reach, -rise)])
        leaves += [
            Part("leaf", (smooth(at + leaf),), shade=rng.uniform(0.85, 1.1)),
            Part("rib", (smooth(at + rib, closed=False),), pen="line", width=0.014, relief=0.0),
        ]
        side = -side
    return (Part("leaf", (stem,), relief=0.6), *leaves)


def _tulip(rng: np.random.Generator) -> Figure:
    wide, high = rng.uniform(0.85, 1.15), rng.uniform(0.9, 1.1)
    top = np.array([0.0, -0.05])

    def shaped(points: list[tuple[float, float]]) -> np.ndarray:
        return smooth(stretched(jittered(rng, np.array(points), 0.01), (0.0, 0.0), (wide, high)))

    back = shaped([(0.0, -0.05), (-0.22, -0.45), (-0.14, -0.90), (-0.14, -0.90), (0.0, -0.72), (0.15, -0.92),
                   (0.15, -0.92), (0.22, -0.45)])  # fmt: skip
    left = shaped([(0.02, 0.0), (-0.24, -0.04), (-0.40, -0.30), (-0.40, -0.62), (-0.34, -0.86), (-0.34, -0.86),
                   (-0.14, -0.58), (-0.02, -0.30)])  # fmt: skip
    right = shaped([(-0.02, 0.0), (0.24, -0.04), (0.40, -0.30), (0.40, -0.62), (0.35, -0.86), (0.35, -0.86),
                    (0.14, -0.58), (0.02, -0.30)])  # fmt: skip
    middle = shaped([(0.0, 0.02), (-0.20, -0.10), (-0.22, -0.42), (0.0, -0.74), (0.0, -0.74), (0.22, -0.42),
                     (0.20, -0.10)])  # fmt: skip
    veins = tuple(
        smooth([(0.05 * s * wide, -0.08), (0.10 * s * wide, -0.35 * high), (0.03 * s * wide, -0.6 * high)], False)
        for s in (-1.0, 1.0)
    )
    parts = (
        *_stem(rng, top),
        Part("petal", (back,), shade=0.72),
        Part("petal", (left,), shade=0.92),
        Part("petal", (right,), shade=0.92),
        Part("petal", (middle,), shade=1.06),
        Part("vein", veins, pen="line", width=0.014, relief=0.0),
    )
    return Figure("tulip", parts)


def speedboat(rng: np.random.Generator) -> Figure:
    """A motor boat at speed in side view: raised bow, raked windshield, often a cabin, a driver, spray and wake."""
    rise, bow, deck = rng.uniform(0.10, 0.26), rng.uniform(0.9, 1.08), rng.uniform(-0.04, 0.06)
    rake, cabin = rng.uniform(0.10, 0.24), bool(rng.random() < 0.35)

    def shaped(points: list[tuple[float, float]]) -> np.ndarray:
        p = np.array(points)
        lift = rise * np.maximum(p[:, 0] + 0.6, 0.0) * 0.6
        return np.stack([p[:, 0] * bow, p[:, 1] - lift + deck * (p[:, 1] < 0)], axis=1)

    hull = shaped([(-0.88, 0.02), (-0.88, 0.02), (-0.3, 0.05), (0.3, 0.02), (0.98, -0.10), (0.98, -0.10), (0.80, 0.16),
                   (0.46, 0.34), (0.0, 0.42), (-0.82, 0.42), (-0.82, 0.42)])  # fmt: skip
    trim = shaped([(-0.90, 0.13), (-0.2, 0.17), (0.4, 0.13), (0.95, 0.00), (0.95, 0.00), (0.7, 0.16), (0.3, 0.23),
                   (-0.2, 0.26), (-0.9, 0.22)])  # fmt: skip
    keel = shaped([(-0.9, 0.32), (0.0, 0.34), (0.5, 0.25), (0.9, 0.1), (0.9, 0.5), (-0.9, 0.5)])
    foredeck = shaped([(0.02, 0.03), (0.02, 0.03), (0.30, -0.08), (0.66, -0.12), (0.97, -0.10), (0.97, -0.10),
                       (0.5, 0.03)])  # fmt: skip
    glass = shaped([(0.30, -0.06), (0.30, -0.06), (0.30 - rake, -0.32), (0.30 - rake, -0.32), (-0.02, -0.28),
                    (-0.02, -0.28), (0.02, 0.02), (0.02, 0.02)])  # fmt: skip
    motor = shaped([(-0.86, -0.02), (-0.86, -0.02), (-0.88, -0.18), (-1.0, -0.2), (-1.06, -0.08), (-1.02, 0.10),
                    (-0.98, 0.34), (-0.90, 0.34)])  # fmt: skip
    seat = shaped([(-0.50, 0.06), (-0.56, -0.12), (-0.44, -0.14), (-0.38, 0.06)])
    parts = [
        *_spray(rng),
        Part("motor", (smooth(motor),)),
        Part("seat", (smooth(seat),)),
        *(_cabin(shaped, rake) if cabin else _driver(rng, shaped)),
        Part("glass", (smooth(glass),), relief=0.3),
        Part("deck", (smooth(foredeck),), relief=0.4),
        Part("hull", (smooth(hull),), name="body"),
        Part("trim", (smooth(trim),), relief=0.0, inside="body"),
        Part("keel", (smooth(keel),), pen="none", relief=0.0, inside="body"),
        Part("rail", (smooth(shaped([(0.40, -0.10), (0.55, -0.22), (0.80, -0.22), (0.96, -0.10)]), False),), pen="line",
             width=0.018, relief=0.0),
        *_wake(rng),
    ]  # fmt: skip
    return Figure("cabin" if cabin else "open", tuple(parts), ground=None)


Shaper = Callable[[list[tuple[float, float]]], np.ndarray]


def _cabin(shaped: Shaper, rake: float) -> tuple[Part, ...]:
    roof = shaped([(-0.44, 0.06), (-0.44, 0.06), (-0.40, -0.36), (-0.40, -0.36), (0.26 - rake, -0.40),
                   (0.26 - rake, -0.40), (0.24, 0.04), (0.24, 0.04)])  # fmt: skip
    pane = shaped([(-0.33, -0.10), (-0.33, -0.10), (-0.31, -0.28), (-0.31, -0.28), (-0.06, -0.30), (-0.06, -0.30),
                   (-0.05, -0.12), (-0.05, -0.12)])  # fmt: skip
    return (
        Part("deck", (smooth(roof),), relief=0.5),
        Part("glass", (smooth(pane),), relief=0.2),
    )


def _driver(rng: np.random.Generator, shaped: Shaper) -> tuple[Part, ...]:
    if rng.random() < 0.25:
        return ()
    head = shaped([(-0.22, -0.36)])[0]
    body = smooth(shaped([(-0.34, 0.08), (-0.34, -0.14), (-0.26, -0.24), (-0.16, -0.22), (-0.08, -0.06), (-0.1, 0.08)]))
    arm = smooth(shaped([(-0.22, -0.16), (-0.12, -0.04), (0.0, -0.12)]), False)
    hair = ellipse(head[0] - 0.015, head[1] - 0.045, 0.085, 0.06)
    return (
        Part("shirt", (body,)),
        Part("skin", (ellipse(head[0], head[1], 0.08, 0.09),)),
        Part("hair", (hair,), pen="fill"),
        Part("skin", (arm,), pen="line", width=0.055, relief=0.0),
    )


def _spray(rng: np.random.Generator) -> tuple[Part, ...]:
    """Spray of the propeller behind the boat."""
    high, far = rng.uniform(0.12, 0.34), rng.uniform(1.28, 1.45)
    plume = [(-0.80, 0.40), (-0.98, 0.24), (-1.10, 0.30 - high), (-1.22, 0.34 - 0.6 * high), (-far, 0.36 - 0.5 * high),
             (-far + 0.06, 0.42), (-far, 0.50), (-0.90, 0.52)]  # fmt: skip
    return (Part("foam", (smooth(jittered(rng, np.array(plume), 0.02)),), relief=0.5, scenery=True),)


def _wake(rng: np.random.Generator) -> tuple[Part, ...]:
    """The bow wave along the water line, which hides the bottom of the hull, and ripples beneath."""
    xs = np.linspace(-1.30, 0.72, 13)
    crest = 0.40 + 0.03 * np.sin(xs * 9 + rng.uniform(0, 6)) + rng.normal(0, 0.012, len(xs)) - 0.10 * (xs > 0.35)
    top = np.stack([xs, crest], axis=1)
    bottom = np.stack([xs[::-1], 0.53 + rng.normal(0, 0.012, len(xs)) - 0.12 * np.maximum(xs[::-1], 0)], axis=1)
    curl = [(0.40, 0.34), (0.58, 0.20), (0.74, 0.22), (0.70, 0.34), (0.82, 0.38), (0.62, 0.46), (0.40, 0.48)]
    ripples = []
    for y in (0.62, 0.72, 0.83):
        start, length = rng.uniform(-1.2, 0.2), rng.uniform(0.6, 1.1)
        t = np.linspace(0.0, 1.0, 24)
        ripples.append(np.stack([start + length * t, y + 0.022 * np.sin(t * length * 22)], axis=1))
    return (
        Part("foam", (smooth(np.concatenate([top, bottom])),), relief=0.4, scenery=True),
        Part("foam", (smooth(jittered(rng, np.array(curl), 0.015)),), relief=0.5),
        Part("ripple", tuple(ripples), pen="line", width=0.02, relief=0.0, scenery=True),
    )
