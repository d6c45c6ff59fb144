"""Parametric outlines of drawn objects that no task has: five living things and five made by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from bench.data.drawn.animals import both, mirrored
from bench.data.drawn.shapes import Figure, Part, ellipse, jittered, resampled, ribbon, smooth, stretched

Pairs = list[tuple[float, float]]


def _line(role: str, *outlines: np.ndarray, width: float = 0.02) -> Part:
    """A mark without relief."""
    return Part(role, outlines, pen="line", width=width, relief=0.0)


def _box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """A rectangle's corners (4, 2)."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def fish(rng: np.random.Generator) -> Figure:
    """A fish in side view: slim or round, plain or striped."""
    high, tail, striped = rng.uniform(0.65, 1.25), rng.uniform(0.8, 1.2), bool(rng.random() < 0.5)

    def shaped(points: Pairs) -> np.ndarray:
        p = jittered(rng, np.array(points), 0.01)
        p = np.where(p[:, :1] < -0.5, (-0.5, 0.0) + (p - (-0.5, 0.0)) * tail, p)
        return smooth(stretched(p, (0.0, 0.0), (1.0, high)))

    stripes = tuple(
        smooth([(x, -0.6 * high), (x - 0.08, 0.0), (x, 0.6 * high), (x + 0.1, 0.6 * high), (x + 0.05, 0.0),
                (x + 0.1, -0.6 * high)])
        for x in (-0.38, -0.12, 0.14)
    )  # fmt: skip
    fin = shaped([(0.10, 0.06), (-0.10, 0.00), (-0.26, 0.16), (-0.14, 0.24), (0.02, 0.18)])
    parts = (
        Part("fin", (shaped([(-0.48, -0.06), (-0.72, -0.30), (-0.95, -0.42), (-0.95, -0.42), (-0.80, 0.00),
                             (-0.95, 0.42), (-0.95, 0.42), (-0.72, 0.30), (-0.48, 0.06)]),)),
        Part("fin", (shaped([(0.30, -0.30), (0.05, -0.58), (-0.25, -0.60), (-0.25, -0.60), (-0.30, -0.24)]),)),
        Part("fin", (shaped([(0.05, 0.34), (-0.12, 0.58), (-0.28, 0.52), (-0.22, 0.28)]),)),
        Part("scale", (shaped([(0.84, 0.00), (0.62, -0.22), (0.28, -0.38), (-0.12, -0.34), (-0.48, -0.10),
                               (-0.58, 0.00), (-0.48, 0.10), (-0.12, 0.34), (0.28, 0.38), (0.62, 0.22)]),),
             name="body"),
        *((Part("stripe", stripes, relief=0.0, inside="body"),) if striped else ()),
        Part("fin", (fin,), relief=0.6),
        _line("stripe", smooth([(0.42, -0.26 * high), (0.34, 0.0), (0.42, 0.26 * high)], False)),
        Part("white", (ellipse(0.60, -0.08 * high, 0.07, 0.07),), relief=0.0),
        Part("eye", (ellipse(0.61, -0.08 * high, 0.035, 0.035),), pen="fill", relief=0.0),
    )  # fmt: skip
    return Figure("striped" if striped else "plain", parts)


def butterfly(rng: np.random.Generator) -> Figure:
    """A butterfly from above, its wings more or less spread."""
    spread, long = rng.uniform(0.75, 1.1), rng.uniform(0.85, 1.15)

    def wings(points: Pairs, amount: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
        return both(smooth(stretched(jittered(rng, np.array(points), amount), (0.0, 0.0), (spread, long))))

    upper = wings(
        [(0.04, -0.12), (0.20, -0.48), (0.55, -0.75), (0.90, -0.72), (0.92, -0.45), (0.70, -0.10), (0.30, 0.05)]
    )
    lower = wings([(0.04, 0.00), (0.35, 0.00), (0.66, 0.18), (0.68, 0.48), (0.45, 0.70), (0.22, 0.55), (0.06, 0.22)])
    x, y, size = rng.uniform(0.50, 0.66), rng.uniform(-0.52, -0.38), rng.uniform(0.09, 0.16)
    spots = (
        *both(ellipse(x * spread, y * long, size, size)),
        *both(ellipse(0.42 * spread, 0.36 * long, 0.7 * size, 0.7 * size)),
    )
    veins = (*both(np.array([(0.05, -0.1), (0.6 * spread, -0.25 * long)])),)
    feelers = both(smooth([(0.03, -0.36), (0.10, -0.62), (0.26, -0.80 - rng.uniform(0, 0.1))], False))
    body = smooth(
        [(0.0, -0.40), (0.07, -0.30), (0.06, 0.10), (0.03, 0.46), (-0.03, 0.46), (-0.06, 0.10), (-0.07, -0.30)]
    )
    parts = (
        Part("lower", lower, relief=0.6),
        Part("wing", upper, relief=0.6, name="body"),
        Part("spot", spots, relief=0.0),
        _line("trunk", *veins),
        _line("trunk", *feelers, width=0.03),
        Part("trunk", (body,), pen="fill"),
    )
    return Figure("spread", parts)


def snail(rng: np.random.Generator) -> Figure:
    """A snail creeping to the right under its coiled shell."""
    size, turns = rng.uniform(0.42, 0.54), rng.uniform(1.6, 2.6)
    lift = rng.uniform(-0.08, 0.10)
    centre = np.array([-0.18, 0.48 - size])
    slug = [(-0.95, 0.66), (-0.60, 0.44), (0.0, 0.40), (0.40, 0.36), (0.56, 0.05 + lift), (0.72, -0.08 + lift),
            (0.88, 0.02 + lift), (0.84, 0.30), (0.70, 0.62), (0.50, 0.68)]  # fmt: skip
    t = np.linspace(0.0, 1.0, 40)
    angle, radius = 2 * np.pi * turns * t + 0.6, size * (1.0 - 0.9 * t)
    coil = centre + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    horns = tuple(
        np.array([(x, -0.02 + lift), (x + lean, -0.34 + lift)])
        for x, lean in ((0.70, -0.02), (0.80, rng.uniform(0.06, 0.16)))
    )
    tips = tuple(ellipse(x, y, 0.045, 0.045, steps=12) for _, (x, y) in horns)
    parts = (
        _line("flesh", *horns, width=0.035),
        Part("flesh", (smooth(jittered(rng, np.array(slug), 0.012)),)),
        Part("eye", tips, pen="fill", relief=0.0),
        Part("shell", (ellipse(centre[0], centre[1], size, size * rng.uniform(0.9, 1.0)),), name="body"),
        Part("coil", (coil,), pen="line", width=0.05, relief=0.0),
    )
    return Figure("creeping", parts, ground=0.67)


def tree(rng: np.random.Generator) -> Figure:
    """A broad-leaved tree, or a fir."""
    return _fir(rng) if rng.random() < 0.4 else _broad_leaved(rng)


def _fir(rng: np.random.Generator) -> Figure:
    wide = rng.uniform(0.85, 1.2)
    tiers = [
        smooth([(0.0, top), (0.0, top), (half * wide, foot), (half * wide, foot), (0.0, foot + 0.06),
                (-half * wide, foot), (-half * wide, foot)])
        for top, half, foot in ((-0.10, 0.62, 0.62), (-0.48, 0.50, 0.26), (-0.92, 0.36, -0.14))
    ]  # fmt: skip
    trunk = Part("bark", (_box(-0.09, 0.55, 0.09, 0.95),))
    return Figure("fir", (trunk, *(Part("crown", (tier,), name="body") for tier in tiers)), ground=0.95)


def _broad_leaved(rng: np.random.Generator) -> Figure:
    wide, count = rng.uniform(0.85, 1.2), int(rng.integers(6, 10))
    turn = 2 * np.pi * (np.arange(count) + rng.uniform(-0.2, 0.2, count)) / count
    lobes = 0.42 * np.stack([wide * np.cos(turn), 0.9 * np.sin(turn)], axis=1) * rng.uniform(0.9, 1.15, (count, 1))
    outline = []
    for lobe, way in zip(lobes, turn, strict=True):  # each lobe is an arc that looks outwards
        arc = way + np.linspace(-1.1, 1.1, 7)
        outline.append(lobe + (0.0, -0.38) + 0.24 * np.stack([np.cos(arc), np.sin(arc)], axis=1))
    trunk = smooth([(-0.10, 0.05), (-0.08, 0.55), (-0.20, 0.95), (-0.20, 0.95), (0.20, 0.95), (0.20, 0.95),
                    (0.08, 0.55), (0.10, 0.05)])  # fmt: skip
    boughs = [np.array([(0.0, 0.25), (side * 0.22, -0.05)]) for side in (-1.0, 1.0)]
    parts = (
        Part("bark", (trunk,)),
        Part("crown", (np.concatenate(outline),), name="body"),
        _line("bark", *boughs, width=0.04),
    )
    return Figure("broad", parts, ground=0.95)


def mushroom(rng: np.random.Generator) -> Figure:
    """A toadstool: a domed or flat cap, often spotted, on a stout stem."""
    dome, stout, spotted = rng.uniform(0.6, 1.15), rng.uniform(0.75, 1.3), bool(rng.random() < 0.65)
    rim = rng.uniform(-0.05, 0.12)
    half: Pairs = [(0.0, rim - 0.80 * dome), (0.40, rim - 0.70 * dome), (0.72, rim - 0.34 * dome), (0.84, rim),
                   (0.76, rim + 0.07), (0.40, rim + 0.02), (0.0, rim + 0.01)]  # fmt: skip
    stem: Pairs = [(0.0, rim - 0.1), (0.17 * stout, rim - 0.1), (0.16 * stout, 0.45), (0.25 * stout, 0.85),
                   (0.12 * stout, 0.94), (0.0, 0.95)]  # fmt: skip
    spots = tuple(
        ellipse(x + rng.normal(0, 0.04), rim - y * dome + rng.normal(0, 0.03), size, 0.8 * size)
        for x, y, size in (
            (-0.52, 0.22, 0.10),
            (-0.18, 0.52, 0.13),
            (0.12, 0.20, 0.12),
            (0.36, 0.50, 0.10),
            (0.60, 0.18, 0.08),
        )
    )
    ring = smooth([(-0.18 * stout, rim + 0.16), (0.0, rim + 0.22), (0.18 * stout, rim + 0.16)], False)
    parts = (
        Part("stem", (smooth(mirrored(stem)),)),
        _line("gill", ring, width=0.03),
        Part("cap", (smooth(mirrored(half)),), name="body"),
        *((Part("spot", spots, relief=0.0, inside="body"),) if spotted else ()),
    )
    return Figure("spotted" if spotted else "plain", parts, ground=0.95)


def cup(rng: np.random.Generator) -> Figure:
    """A cup or a mug with its handle at the right, sometimes steaming, sometimes on a saucer."""
    taper, high, saucer = rng.uniform(0.05, 0.28), rng.uniform(0.85, 1.15), bool(rng.random() < 0.4)
    foot, deep = 0.62 * high, rng.uniform(0.08, 0.15)
    sweep = np.linspace(0.0, np.pi, 16)
    bottom = np.stack([(0.60 - taper) * np.cos(sweep), foot + deep * np.sin(sweep)], axis=1)
    side = np.array([(-0.60, -0.50), (0.60, -0.50)])
    handle = smooth([(0.52, -0.28), (0.82, -0.36), (0.98, -0.10), (0.84, 0.22), (0.46, 0.34)], False)
    outer = ribbon(resampled(handle, 24), rng.uniform(0.05, 0.09))
    steam = tuple(
        smooth([(x, -0.68), (x + 0.07, -0.80), (x - 0.05, -0.92), (x + 0.03, -1.04)], False) for x in (-0.2, 0.15)
    )
    band = [_box(-0.8, y, 0.8, y + 0.12) for y in rng.uniform(-0.2, 0.3, int(rng.integers(0, 3)))]
    parts = (
        *((Part("china", (ellipse(0.0, foot + 0.08, 0.95, 0.16),)),) if saucer else ()),
        Part("china", (outer,)),
        Part("china", (np.concatenate([side, bottom]),), name="body"),
        *((Part("band", tuple(band), relief=0.0, inside="body"),) if band else ()),
        Part("china", (ellipse(0.0, -0.50, 0.60, 0.15),), relief=0.0),
        Part("drink", (ellipse(0.0, -0.48, 0.50, 0.10),), relief=0.0),
        *((_line("steam", *steam, width=0.035),) if rng.random() < 0.4 else ()),
    )
    return Figure("saucer" if saucer else "mug", parts, ground=foot + deep)


def chair(rng: np.random.Generator) -> Figure:
    """A wooden chair seen from the side and a little from above, its back at the left."""
    rails, depth, thick = int(rng.integers(1, 4)), rng.uniform(0.22, 0.34), rng.uniform(0.055, 0.085)
    lean, away = rng.uniform(0.02, 0.16), np.array([0.34, -depth])
    near, front, under = np.array([-0.52, 0.12]), np.array([0.34, 0.12]), np.array([0.0, 0.09])
    top = near - np.array([lean, 1.0])

    def bar(start: np.ndarray, right: float, down: float) -> np.ndarray:
        return ribbon(np.array([start, start + np.array([right, down])]), thick)

    legs = (bar(near, -0.03, 0.80), bar(front, 0.02, 0.80))
    far_legs = (bar(near + away, -0.03, 0.72), bar(front + away, 0.03, 0.72))
    back = (bar(near, -lean, -1.0), bar(near + away, -lean, -1.0))
    slats = tuple(bar(near + (top - near) * at, *away) for at in np.linspace(0.95, 0.4, rails))
    seat = np.array([near, front, front + away, near + away])
    edge = np.array([near, front, front + under, near + under])
    parts = (
        Part("wood", far_legs, shade=0.7),
        Part("wood", back[1:], shade=0.8),
        Part("wood", slats, shade=0.9),
        Part("seat", (seat,), name="body"),
        Part("wood", (edge,)),
        Part("wood", (*legs, back[0])),
    )
    return Figure("wooden", parts, ground=0.92)


def key(rng: np.random.Generator) -> Figure:
    """A door key with a round or an angular bow and two to four teeth."""
    angular = bool(rng.random() < 0.35)
    bow, hole, thick = rng.uniform(0.28, 0.38), rng.uniform(0.45, 0.65), rng.uniform(0.055, 0.085)
    steps = 6 if angular else 24
    rim, inner = ellipse(-0.60, 0.0, bow, bow, steps=steps), ellipse(-0.60, 0.0, bow * hole, bow * hole, steps=steps)
    ring = np.concatenate([rim, rim[:1], inner[:1], inner[::-1]])  # a ring as one outline, with a seam at the shaft
    shaft = _box(-0.60 + bow * (1 + hole) / 2, -thick, 0.95, thick)
    teeth = [
        _box(x, 0.0, x + 0.09, thick + long)
        for x, long in zip(np.linspace(0.82, 0.40, int(rng.integers(2, 5))), rng.uniform(0.14, 0.32, 4), strict=False)
    ]
    collar = _box(-0.22, -1.6 * thick, -0.14, 1.6 * thick)
    parts = (
        Part("metal", tuple(teeth), relief=0.5),
        Part("metal", (shaft,), relief=0.5),
        Part("metal", (collar,), relief=0.5),
        Part("metal", (ring,), relief=0.7),
    )
    turn = np.deg2rad(rng.uniform(-60.0, 60.0))
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    turned = tuple(Part(p.role, tuple(line @ matrix for line in p.outlines), relief=p.relief) for p in parts)
    return Figure("angular" if angular else "round", turned)


def umbrella(rng: np.random.Generator) -> Figure:
    """An open umbrella with its hooked handle."""
    panels, high = int(rng.integers(3, 6)), rng.uniform(0.62, 0.90)
    sweep = np.linspace(np.pi, 2 * np.pi, 25)
    dome = np.stack([0.95 * np.cos(sweep), high * np.sin(sweep)], axis=1)
    edges = np.linspace(0.95, -0.95, panels + 1)
    scallops = [
        np.stack([np.linspace(a, b, 9), -0.16 * np.sin(np.linspace(0, np.pi, 9))], axis=1) for a, b in pairwise(edges)
    ]
    ribs = tuple(smooth([(0.0, -high), (0.62 * x, -0.62 * high), (x, 0.0)], False) for x in edges[1:-1])
    hook = smooth([(0.0, 0.0), (0.0, 0.66), (0.05, 0.84), (0.17, 0.86), (0.24, 0.72)], False)
    canopy = np.concatenate([dome, *scallops])
    parts = (
        Part("stick", (np.array([(0.0, -high - 0.10), (0.0, 0.0)]),), pen="line", width=0.05, relief=0.0),
        Part("stick", (hook,), pen="line", width=0.055, relief=0.0),
        Part("cloth", (canopy,), name="body"),
        *(
            (Part("panel", (np.concatenate([ribs[0], ribs[1][::-1]]),), relief=0.0, inside="body"),)
            if len(ribs) > 1
            else ()
        ),
        _line("rib", *ribs),
    )
    return Figure("open", parts)


def car(rng: np.random.Generator) -> Figure:
    """A saloon or a van in side view."""
    van, roof = bool(rng.random() < 0.35), rng.uniform(-0.48, -0.34)
    wheel = rng.uniform(0.16, 0.22)
    rear: Pairs = [(-0.90, roof + 0.06), (-0.86, roof)] if van else [(-0.88, -0.06), (-0.62, -0.10), (-0.40, roof)]
    bonnet: Pairs = [(0.28, roof), (0.52, -0.06), (0.88, 0.02), (0.95, 0.16), (0.94, 0.34)]
    body = [(-0.93, 0.34), (-0.95, 0.10), *rear, *bonnet]
    front = [(0.06, roof + 0.07), (0.22, roof + 0.07), (0.42, -0.07), (0.06, -0.07)]
    back = [(-0.80 if van else -0.34, roof + 0.07), (0.0, roof + 0.07), (0.0, -0.07), (-0.80 if van else -0.52, -0.07)]
    hubs = [(-0.54, 0.36), (0.56, 0.36)]
    parts = (
        Part("paint", (np.array(jittered(rng, np.array(body), 0.01)),), name="body"),
        Part("glass", (np.array(front), np.array(back)), relief=0.2),
        _line("seam", np.array([(0.03, -0.05), (0.03, 0.30)]), np.array([(-0.92, 0.14), (0.92, 0.16)])),
        Part("lamp", (ellipse(0.90, 0.12, 0.045, 0.06),), relief=0.0),
        Part("tyre", tuple(ellipse(x, y, wheel, wheel) for x, y in hubs), pen="fill"),
        Part("hub", tuple(ellipse(x, y, 0.5 * wheel, 0.5 * wheel) for x, y in hubs), relief=0.3),
    )
    return Figure("van" if van else "saloon", parts, ground=0.36 + wheel)


OBJECTS: dict[str, Callable[[np.random.Generator], Figure]] = {
    "butterfly": butterfly, "car": car, "chair": chair, "cup": cup, "fish": fish, "key": key, "mushroom": mushroom,
    "snail": snail, "tree": tree, "umbrella": umbrella,
}  # fmt: skip
"""Class -> what draws a figure's parameters."""
