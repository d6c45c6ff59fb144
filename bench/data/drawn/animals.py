"""Parametric outlines of the drawn animals: bird (perched, flying), dog and tiger (standing, head)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.data.drawn.shapes import Figure, Part, ellipse, jittered, resampled, smooth, stretched, wedge

Points = Sequence[tuple[float, float]]

# Side views face right; the contour runs clockwise from the crown over the back.
BIRD_BODY: Points = (
    (0.42, -0.70), (0.23, -0.63), (0.08, -0.38), (-0.18, -0.08), (-0.40, 0.17), (-0.62, 0.38), (-0.92, 0.66),
    (-0.92, 0.66), (-0.78, 0.74), (-0.78, 0.74), (-0.54, 0.54), (-0.34, 0.43), (-0.08, 0.47), (0.22, 0.37),
    (0.45, 0.10), (0.53, -0.16), (0.57, -0.36), (0.63, -0.50), (0.57, -0.65),
)  # fmt: skip
BIRD_WING: Points = (
    (0.24, -0.22), (0.04, -0.27), (-0.22, -0.02), (-0.48, 0.22), (-0.74, 0.50), (-0.74, 0.50), (-0.42, 0.40),
    (-0.10, 0.32), (0.16, 0.16), (0.28, -0.04),
)  # fmt: skip
FLYING_BODY: Points = (
    (0.62, -0.20), (0.44, -0.18), (0.18, -0.12), (-0.15, -0.08), (-0.42, -0.04), (-0.90, -0.14), (-0.90, -0.14),
    (-0.86, 0.02), (-0.86, 0.02), (-0.92, 0.14), (-0.92, 0.14), (-0.45, 0.12), (-0.10, 0.22), (0.25, 0.20),
    (0.50, 0.08), (0.68, 0.02), (0.74, -0.08), (0.70, -0.16),
)  # fmt: skip
# The trailing edge: rounded feather tips (two points each) between notches (corners).
FLYING_WING: Points = (
    (0.30, -0.04), (0.30, -0.30), (0.14, -0.62), (-0.14, -0.94), (-0.27, -0.97), (-0.30, -0.86), (-0.24, -0.72),
    (-0.24, -0.72), (-0.40, -0.78), (-0.43, -0.66), (-0.34, -0.54), (-0.34, -0.54), (-0.51, -0.58), (-0.54, -0.45),
    (-0.41, -0.35), (-0.41, -0.35), (-0.54, -0.36), (-0.56, -0.23), (-0.38, -0.10), (-0.10, 0.06), (0.16, 0.08),
)  # fmt: skip
FEATHER_TIPS = (4, 8, 12, 16)
"""Indices in FLYING_WING at which the long feathers end."""

DOG_BODY: Points = (
    (0.60, -0.66), (0.47, -0.60), (0.37, -0.42), (0.22, -0.28), (-0.10, -0.22), (-0.40, -0.25), (-0.53, -0.20),
    (-0.68, -0.34), (-0.80, -0.58), (-0.90, -0.66), (-0.90, -0.50), (-0.80, -0.24), (-0.63, -0.03), (-0.63, 0.06),
    (-0.60, 0.20), (-0.68, 0.36), (-0.62, 0.55), (-0.65, 0.72), (-0.63, 0.78), (-0.47, 0.78), (-0.45, 0.72),
    (-0.52, 0.60), (-0.52, 0.40), (-0.38, 0.26), (-0.28, 0.12), (-0.05, 0.16), (0.19, 0.21), (0.23, 0.40),
    (0.23, 0.72), (0.25, 0.78), (0.42, 0.78), (0.43, 0.72), (0.36, 0.64), (0.38, 0.30), (0.45, 0.08), (0.51, -0.10),
    (0.57, -0.22), (0.72, -0.24), (0.90, -0.25), (0.98, -0.31), (0.98, -0.40), (0.82, -0.45), (0.76, -0.54),
    (0.70, -0.63),
)  # fmt: skip
DOG_EAR_HANGING: Points = (
    (0.60, -0.64), (0.50, -0.63), (0.41, -0.44), (0.40, -0.26), (0.47, -0.20), (0.55, -0.30), (0.60, -0.46),
)  # fmt: skip
DOG_EAR_PRICKED: Points = (
    (0.42, -0.50),
    (0.40, -0.68),
    (0.44, -0.88),
    (0.50, -0.86),
    (0.60, -0.72),
    (0.63, -0.58),
    (0.54, -0.48),
)
HIND_LEG: Points = (
    (-0.52, 0.00), (-0.50, 0.20), (-0.56, 0.36), (-0.50, 0.55), (-0.52, 0.70), (-0.50, 0.75), (-0.36, 0.75),
    (-0.35, 0.70), (-0.41, 0.58), (-0.40, 0.40), (-0.28, 0.22), (-0.25, 0.05),
)  # fmt: skip
FORE_LEG: Points = (
    (0.10, 0.05), (0.12, 0.40), (0.12, 0.70), (0.14, 0.75), (0.29, 0.75), (0.30, 0.70), (0.25, 0.62), (0.26, 0.30),
    (0.32, 0.05),
)  # fmt: skip

TIGER_BODY: Points = (
    (0.66, -0.36), (0.48, -0.34), (0.34, -0.30), (0.18, -0.30), (-0.10, -0.22), (-0.38, -0.27), (-0.58, -0.20),
    (-0.66, -0.06), (-0.66, 0.14), (-0.62, 0.26), (-0.70, 0.40), (-0.66, 0.56), (-0.70, 0.68), (-0.68, 0.74),
    (-0.46, 0.74), (-0.44, 0.67), (-0.50, 0.58), (-0.48, 0.44), (-0.36, 0.30), (-0.24, 0.20), (0.00, 0.24),
    (0.18, 0.24), (0.20, 0.42), (0.20, 0.66), (0.21, 0.74), (0.45, 0.74), (0.46, 0.67), (0.39, 0.60), (0.42, 0.36),
    (0.50, 0.14), (0.62, 0.08), (0.72, -0.10),
)  # fmt: skip
TIGER_TAIL: Points = ((-0.58, -0.12), (-0.78, 0.02), (-0.88, 0.24), (-0.94, 0.44), (-1.08, 0.50), (-1.20, 0.36))
TIGER_FACE: Points = (
    (0.00, -0.78), (0.30, -0.72), (0.52, -0.52), (0.62, -0.22), (0.66, 0.08), (0.78, 0.30), (0.60, 0.42), (0.52, 0.60),
    (0.28, 0.76), (0.00, 0.82),
)  # fmt: skip
DOG_FACE: Points = (
    (0.00, -0.72), (0.28, -0.68), (0.46, -0.46), (0.50, -0.16), (0.44, 0.12), (0.36, 0.36), (0.32, 0.58),
    (0.18, 0.76), (0.00, 0.80),
)  # fmt: skip
DOG_FACE_EAR: Points = (
    (0.26, -0.70), (0.52, -0.70), (0.74, -0.40), (0.82, 0.00), (0.76, 0.32), (0.62, 0.36), (0.52, 0.10), (0.46, -0.30),
)  # fmt: skip
# Half of each face stripe's spine (the other half is its mirror image), and its width.
FACE_STRIPES: tuple[tuple[Points, float], ...] = (
    (((0.10, -0.80), (0.14, -0.62), (0.09, -0.46)), 0.10),
    (((0.28, -0.74), (0.32, -0.58), (0.24, -0.42)), 0.10),
    (((0.62, -0.28), (0.50, -0.24), (0.38, -0.30)), 0.10),
    (((0.67, -0.02), (0.54, 0.02), (0.40, -0.02)), 0.11),
    (((0.76, 0.26), (0.60, 0.24), (0.44, 0.20)), 0.11),
    (((0.58, 0.50), (0.48, 0.44), (0.38, 0.40)), 0.09),
)


def mirrored(half: Points) -> np.ndarray:
    """A contour symmetric about x = 0 from its right half, given from the top to the bottom (both on the axis)."""
    right = np.asarray(half, dtype=np.float64)
    return np.concatenate([right, right[-2:0:-1] * (-1.0, 1.0)])


def both(line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A polyline and its mirror image about x = 0."""
    return line, line * (-1.0, 1.0)


def bird(rng: np.random.Generator) -> Figure:
    """A songbird on a branch, or one in flight with its wings raised."""
    return _perched_bird(rng) if rng.random() < 0.65 else _flying_bird(rng)


def _perched_bird(rng: np.random.Generator) -> Figure:
    plump, tail, beak = rng.uniform(0.9, 1.15), rng.uniform(0.7, 1.1), rng.uniform(0.75, 1.5)
    lean = rng.uniform(-0.10, 0.16)

    def shaped(points: Points) -> np.ndarray:
        p = jittered(rng, np.array(points, dtype=np.float64), 0.008)
        p = np.where(p[:, :1] < -0.40, (-0.40, 0.22) + (p - (-0.40, 0.22)) * tail, p)
        # Fuller across the diagonal from head to tail; the head leans forwards or back.
        p = stretched(p, (0.1, 0.0), (plump, 1.0))
        return p + np.stack([-lean * p[:, 1], np.zeros(len(p))], axis=1)

    head = shaped([(0.45, -0.53)])[0]
    eye = ellipse(head[0] + 0.03, head[1], 0.045, 0.045)
    bill = np.array([(0.14, -0.05), (0.14 + 0.22 * beak, 0.07), (0.14 + 0.22 * beak, 0.07), (0.12, 0.13)]) + head
    feathers = tuple(
        smooth(
            shaped([(0.10 - 0.1 * i, 0.12 - 0.05 * i), (-0.16, 0.22 - 0.03 * i), (0.03 * i - 0.52, 0.40 - 0.02 * i)]),
            False,
        )
        for i in range(3)
    )
    legs = tuple(np.array([(x, 0.40), (x + 0.03, 0.57), (x + 0.02, 0.70)]) for x in (0.02, 0.17))
    toes = tuple(np.array([(x - 0.05, 0.75), (x + 0.03, 0.69), (x + 0.13, 0.75)]) for x in (0.02, 0.17))
    parts = (
        *_branch(rng),
        Part("leg", legs + toes, pen="line", width=0.035, relief=0.0),
        Part("beak", (smooth(bill),)),
        Part("plumage", (smooth(shaped(BIRD_BODY)),), name="body"),
        Part("breast", (smooth(shaped([(0.58, -0.42), (0.38, -0.30), (0.26, 0.02), (0.02, 0.30), (-0.25, 0.46),
                                       (0.10, 0.56), (0.50, 0.30), (0.66, -0.10)])),), pen="none", relief=0.0,
             inside="body"),
        Part("cap", (smooth(shaped([(0.66, -0.60), (0.44, -0.56), (0.24, -0.44), (0.10, -0.50), (0.30, -0.84),
                                    (0.60, -0.80)])),), pen="none", relief=0.0, inside="body"),
        Part("wing", (smooth(shaped(BIRD_WING)),), relief=0.8),
        Part("feather", feathers, pen="line", width=0.018, relief=0.0),
        *_eye(eye, head + np.array([0.03, 0.0]), 0.045),
    )  # fmt: skip
    return Figure("perched", parts)


def _branch(rng: np.random.Generator) -> tuple[Part, ...]:
    tilt, sag = rng.uniform(-0.10, 0.10), rng.uniform(-0.04, 0.05)
    spine = smooth(
        [(-1.5, 0.76 + tilt), (-0.5, 0.77 + sag), (0.1, 0.745), (0.6, 0.76 - sag), (1.5, 0.74 - tilt)], False
    )
    side = 1.0 if rng.random() < 0.5 else -1.0
    twig = [(0.55, 0.76), (0.75, 0.76 - 0.16 * side), (1.02, 0.74 - 0.30 * side)]
    leaves = []
    for x, y, turn in ((0.78, 0.76 - 0.16 * side, -30), (1.0, 0.74 - 0.30 * side, -70), (0.9, 0.74 - 0.2 * side, 10)):
        tip = np.deg2rad(turn * side + rng.uniform(-25, 25))
        along = np.array([np.cos(tip), np.sin(tip)]) * rng.uniform(0.20, 0.28)
        across = np.array([-along[1], along[0]]) * 0.28
        start = np.array([x, y])
        bulge = 0.5 * along + across, 0.5 * along - across
        leaves.append(smooth(start + np.stack([0 * along, 0 * along, bulge[0], along, along, bulge[1]])))
    return (
        Part("bark", (spine,), pen="line", width=rng.uniform(0.07, 0.10), relief=0.6, scenery=True),
        Part("bark", (smooth(twig, False),), pen="line", width=0.035, relief=0.3, scenery=True),
        Part("leaf", tuple(leaves), relief=0.5, scenery=True),
    )


def _flying_bird(rng: np.random.Generator) -> Figure:
    lift, sweep, span = rng.uniform(0.80, 1.05), rng.uniform(-0.25, 0.2), rng.uniform(0.9, 1.1)

    def wing(far: bool) -> np.ndarray:
        p = jittered(rng, np.array(FLYING_WING, dtype=np.float64), 0.01)
        p = stretched(p, (0.1, 0.0), (span, lift * (0.85 if far else 1.0)))
        slant = sweep + (-0.55 if far else 0.0)
        return p + np.stack([slant * np.minimum(p[:, 1], 0), np.zeros(len(p))], axis=1)

    near = wing(False)
    tips, roots = near[list(FEATHER_TIPS)], np.array([(0.16, -0.10), (0.10, -0.06), (0.02, -0.03), (-0.06, 0.0)])
    quills = tuple(
        np.stack([root + 0.25 * (tip - root), root + 0.92 * (tip - root)])
        for tip, root in zip(tips, roots, strict=True)
    )
    body = smooth(jittered(rng, np.array(FLYING_BODY, dtype=np.float64), 0.008))
    bill = [(0.70, -0.13), (0.94, -0.03), (0.94, -0.03), (0.70, -0.01)]
    parts = (
        Part("wing", (smooth(wing(True)),), shade=0.75),
        Part("beak", (smooth(bill),)),
        Part("plumage", (body,), name="body"),
        Part("breast", (smooth([(0.74, 0.0), (0.45, -0.02), (0.1, 0.06), (-0.35, 0.08), (-0.2, 0.3), (0.4, 0.26)]),),
             pen="none", relief=0.0, inside="body"),
        Part("cap", (smooth([(0.8, -0.12), (0.55, -0.10), (0.36, -0.14), (0.4, -0.3), (0.7, -0.3)]),), pen="none",
             relief=0.0, inside="body"),
        Part("wing", (smooth(near),), relief=0.8),
        Part("feather", quills, pen="line", width=0.016, relief=0.0),
        *_eye(ellipse(0.60, -0.10, 0.036, 0.036), np.array([0.60, -0.10]), 0.036),
    )  # fmt: skip
    return Figure("flying", parts)


def _eye(outline: np.ndarray, centre: np.ndarray, radius: float) -> tuple[Part, ...]:
    glint = ellipse(centre[0] - 0.3 * radius, centre[1] - 0.35 * radius, 0.34 * radius, 0.34 * radius, steps=10)
    return (
        Part("eye", (outline,), pen="fill", relief=0.0),
        Part("glint", (glint,), pen="none", relief=0.0),
    )


def dog(rng: np.random.Generator) -> Figure:
    """A dog standing in side view, or its head from the front; ears hang or are pricked."""
    return _standing_dog(rng) if rng.random() < 0.65 else _dog_head(rng)


def _standing_dog(rng: np.random.Generator) -> Figure:
    legs, length, snout = rng.uniform(0.72, 1.08), rng.uniform(0.85, 1.12), rng.uniform(0.85, 1.15)
    nod, gait, pricked = rng.uniform(-0.06, 0.08), rng.uniform(-0.10, 0.12), bool(rng.random() < 0.35)
    wag = rng.uniform(-0.25, 0.20)

    def shaped(points: Points, stride: float) -> np.ndarray:
        p = jittered(rng, np.array(points, dtype=np.float64), 0.006)
        low = np.maximum(p[:, 1] - 0.15, 0.0)
        fore = np.where(p[:, 0] > 0, 1.0, -1.0)
        tail = np.maximum(-0.60 - p[:, 0], 0.0) * (p[:, 1] < 0.0)
        head = np.clip((p[:, 0] - 0.3) / 0.2, 0, 1) * (p[:, 1] < 0)
        x = p[:, 0] + stride * fore * low + (snout - 1) * np.maximum(p[:, 0] - 0.72, 0.0)
        x = np.where(x < 0.3, 0.3 + (x - 0.3) * length, x)
        y = p[:, 1] + (legs - 1) * low + nod * head - wag * 1.5 * tail
        return np.stack([x, y], axis=1)

    hind, fore = shaped(HIND_LEG, -gait), shaped(FORE_LEG, -gait)
    nose = ellipse(0.955 + (snout - 1) * 0.24, -0.375 + nod, 0.055, 0.045)
    eye = np.array([0.74, -0.49 + nod])
    ear = shaped(DOG_EAR_PRICKED if pricked else DOG_EAR_HANGING, 0.0)
    mouth = smooth(shaped([(0.95, -0.30), (0.86, -0.29), (0.76, -0.31)], 0.0), False)
    saddle = shaped([(0.25, -0.40), (0.20, -0.10), (-0.1, 0.02), (-0.40, -0.02), (-0.62, -0.05), (-0.5, -0.4)], 0.0)
    parts = [
        Part("fur", (smooth(hind), smooth(fore)), shade=0.68),
        Part("fur", (smooth(shaped(DOG_BODY, gait)),), name="body"),
        Part("patch", (smooth(saddle),), pen="none", relief=0.0, inside="body"),
        Part("belly", (smooth(shaped([(0.62, -0.20), (0.46, -0.12), (0.30, 0.16), (-0.2, 0.10), (-0.2, 0.3),
                                      (0.36, 0.3), (0.6, 0.0)], gait)),), pen="none", relief=0.0, inside="body"),
        Part("belly", (smooth(shaped([(1.1, -0.36), (0.84, -0.36), (0.70, -0.28), (0.7, -0.15), (1.1, -0.15)], 0.0)),),
             pen="none", relief=0.0, inside="body"),
        Part("collar", (smooth(shaped([(0.34, -0.36), (0.44, -0.22), (0.56, -0.16)], 0.0), False),), pen="line",
             width=0.06, relief=0.0, inside="body"),
        Part("mouth", (mouth,), pen="line", width=0.02, relief=0.0),
        Part("ear", (smooth(ear),), shade=0.9),
        Part("nose", (nose,), pen="fill", relief=0.0),
        *_eye(ellipse(eye[0], eye[1], 0.033, 0.036), eye, 0.035),
    ]  # fmt: skip
    return Figure("standing", tuple(parts), ground=0.15 + 0.63 * legs)


def _dog_head(rng: np.random.Generator) -> Figure:
    wide, pricked, panting = rng.uniform(0.9, 1.12), bool(rng.random() < 0.35), bool(rng.random() < 0.6)

    def shaped(points: np.ndarray | Points) -> np.ndarray:
        return stretched(jittered(rng, np.array(points, dtype=np.float64), 0.01), (0.0, 0.0), (wide, 1.0))

    ears = [(0.12, -0.62), (0.40, -1.02), (0.54, -1.08), (0.54, -1.08), (0.60, -0.80), (0.52, -0.36), (0.36, -0.40)]
    ear = both(smooth(shaped(ears if pricked else DOG_FACE_EAR)))
    face = Part("fur", (smooth(shaped(mirrored(DOG_FACE))),), name="body")
    muzzle = [(0.0, 0.02), (0.20, 0.10), (0.34, 0.34), (0.30, 0.58), (0.14, 0.68), (0.0, 0.64)]
    blaze = [(0.0, -0.80), (0.07, -0.60), (0.09, -0.30), (0.16, 0.10), (0.0, 0.14)]
    tongue = smooth([(-0.10, 0.60), (0.10, 0.60), (0.12, 0.84), (0.0, 0.96), (-0.12, 0.84)])
    lips = both(smooth([(0.0, 0.42), (0.03, 0.54), (0.14, 0.60), (0.26, 0.52)], False))
    nose = mirrored([(0.0, 0.13), (0.13, 0.16), (0.15, 0.26), (0.06, 0.36), (0.0, 0.38)])
    eyes = [np.array([side * 0.23 * wide, -0.14]) for side in (-1.0, 1.0)]
    neck = smooth(mirrored([(0.0, 0.4), (0.36, 0.42), (0.50, 0.90), (0.80, 1.70), (0.0, 1.70)]))
    parts = [
        Part("fur", (neck,), shade=0.82, scenery=True),
        *([Part("ear", ear, shade=0.9)] if pricked else []),
        *([Part("tongue", (tongue,))] if panting else []),
        face,
        Part("belly", (smooth(shaped(mirrored(blaze))),), pen="none", relief=0.0, inside="body"),
        Part("belly", (smooth(shaped(mirrored(muzzle))),), relief=0.7, pen="none"),
        *([] if pricked else [Part("ear", ear, shade=0.9)]),
        Part("mouth", lips, pen="line", width=0.028, relief=0.0),
        Part("nose", (smooth(nose),), pen="fill", relief=0.5),
        *(part for eye in eyes for part in _eye(ellipse(eye[0], eye[1], 0.075, 0.085), eye, 0.08)),
    ]
    return Figure("head", tuple(parts))


def tiger(rng: np.random.Generator) -> Figure:
    """A tiger walking in side view with its face towards us, or its face alone; striped in both domains."""
    return _walking_tiger(rng) if rng.random() < 0.65 else _tiger_head(rng)


def _walking_tiger(rng: np.random.Generator) -> Figure:
    legs, length, gait = rng.uniform(0.85, 1.05), rng.uniform(0.95, 1.15), rng.uniform(-0.16, 0.18)
    sway, head_y = rng.uniform(0.6, 1.25), rng.uniform(-0.30, -0.10)

    def shaped(points: np.ndarray | Points, stride: float = 0.0) -> np.ndarray:
        p = jittered(rng, np.array(points, dtype=np.float64), 0.006)
        low = np.maximum(p[:, 1] - 0.15, 0.0)
        x = p[:, 0] + stride * np.where(p[:, 0] > 0, 1.0, -1.0) * low
        x = np.where(x < 0.3, 0.3 + (x - 0.3) * length, x)
        return np.stack([x, p[:, 1] + (legs - 1) * low], axis=1)

    def thick(points: Points) -> np.ndarray:
        centre = float(np.mean([x for x, _ in points]))
        return shaped(stretched(np.array(points), (centre, 0.0), (1.35, 0.97)), -gait)

    spine = shaped(stretched(np.array(TIGER_TAIL), (-0.58, -0.12), (0.7, sway)))
    tail = resampled(smooth(spine, False), 40)
    rings = (*(tail[i : i + 3] for i in range(12, 36, 6)), tail[36:])
    stripes = tuple(shaped(line) for line in _flank_stripes(rng, gait))
    parts = (
        Part("fur", (smooth(thick(HIND_LEG)), smooth(thick(FORE_LEG))), shade=0.68, name="far"),
        Part("fur", (tail,), pen="line", width=0.095, relief=0.5),
        Part("stripe", rings, pen="line", width=0.10, relief=0.0),
        Part("fur", (smooth(shaped(TIGER_BODY, gait)),), name="body"),
        Part("belly", (smooth(shaped([(-0.40, 0.14), (0.0, 0.12), (0.3, 0.12), (0.6, -0.05), (0.7, 0.1), (0.3, 0.3),
                                      (-0.3, 0.3)])),), pen="none", relief=0.0, inside="body"),
        Part("stripe", stripes, pen="fill", relief=0.0, inside="body"),
        *_tiger_face(rng, np.array([0.68, head_y]), 0.36),
    )  # fmt: skip
    return Figure("walking", parts, ground=0.15 + 0.59 * legs)


def _flank_stripes(rng: np.random.Generator, gait: float) -> list[np.ndarray]:
    stripes = []
    for x in np.linspace(-0.52, 0.36, 8):
        top, reach = -0.34, rng.uniform(0.26, 0.42)
        bend, width = rng.uniform(-0.06, 0.06), rng.uniform(0.065, 0.095)
        at = x + rng.uniform(-0.02, 0.02)
        stripes.append(wedge([(at, top), (at + bend, top + 0.5 * reach), (at - 0.04, top + reach)], width, 0.6))
    for x, heights in ((-0.58, (0.22, 0.38, 0.52)), (0.31, (0.34, 0.50))):
        for y in heights:
            shift = gait * max(y - 0.15, 0.0) * (1.0 if x > 0 else -1.0)
            stripes.append(wedge([(x - 0.14 + shift, y), (x + shift, y + 0.03), (x + 0.10 + shift, y)], 0.055, 0.6))
    for x in (-0.30, -0.05, 0.15):
        stripes.append(wedge([(x, 0.32), (x + 0.03, 0.18), (x + 0.01, 0.04)], 0.06, 0.6))
    return stripes


def _tiger_face(rng: np.random.Generator, centre: np.ndarray, size: float) -> tuple[Part, ...]:
    """The face from the front; `size` is the figure's units per unit of the face's own plane."""
    wide, ear_turn = rng.uniform(0.94, 1.08), rng.uniform(-0.05, 0.05)
    face_name = "face"

    def put(line: np.ndarray) -> np.ndarray:
        return centre + line * (wide, 1.0) * size

    def pair(points: Points) -> tuple[np.ndarray, ...]:
        return tuple(put(line) for line in both(smooth(points)))

    face = smooth(jittered(rng, mirrored(TIGER_FACE), 0.012))
    stripes = [wedge(points, width * rng.uniform(1.0, 1.3), 0.7) for points, width in FACE_STRIPES]
    crown = wedge([(0.0, -0.80), (0.01, -0.62), (0.0, -0.40)], 0.11, 0.7)
    nose = mirrored([(0.0, 0.18), (0.13, 0.18), (0.11, 0.27), (0.0, 0.37)])
    lips = both(smooth([(0.0, 0.36), (0.02, 0.48), (0.13, 0.55), (0.24, 0.49)], False))
    cheeks = [(0.0, 0.30), (0.16, 0.26), (0.34, 0.38), (0.36, 0.52), (0.26, 0.70), (0.0, 0.80)]
    eyes = [(0.12, -0.08), (0.22, -0.20), (0.36, -0.20), (0.40, -0.12), (0.26, -0.04)]
    brows = [(0.15, -0.25), (0.22, -0.33), (0.34, -0.31), (0.38, -0.24), (0.26, -0.25)]
    pupils = tuple(put(ellipse(side * 0.27, -0.125, 0.055, 0.065)) for side in (-1.0, 1.0))
    return (
        Part("fur", tuple(put(ellipse(s * 0.46, -0.68 + ear_turn, 0.23, 0.23)) for s in (-1.0, 1.0)), shade=0.95),
        Part("stripe", tuple(put(ellipse(s * 0.46, -0.66 + ear_turn, 0.13, 0.13)) for s in (-1.0, 1.0)), relief=0.0),
        Part("fur", (put(face),), name=face_name),
        Part("belly", (put(smooth(mirrored(cheeks))),), relief=0.6, pen="none", inside=face_name),
        Part("belly", pair(brows), relief=0.0, pen="none", inside=face_name),
        Part("belly", pair([(0.60, 0.28), (0.84, 0.28), (0.66, 0.56), (0.40, 0.74), (0.42, 0.52)]), pen="none",
             relief=0.0, inside=face_name),
        Part("stripe", (*(put(side) for line in stripes for side in both(line)), put(crown)), pen="fill",
             relief=0.0, inside=face_name),
        Part("iris", pair(eyes), relief=0.0),
        Part("eye", pupils, pen="fill", relief=0.0),
        Part("muzzle", (put(smooth(nose)),), pen="fill", relief=0.4),
        Part("mouth", tuple(put(line) for line in lips), pen="line", width=0.035 * size, relief=0.0),
    )  # fmt: skip


def _tiger_head(rng: np.random.Generator) -> Figure:
    neck = smooth(mirrored([(0.0, 0.2), (0.60, 0.30), (0.80, 0.80), (1.00, 1.70), (0.0, 1.70)]))
    bands = tuple(
        side for y, x in ((0.62, 0.86), (0.85, 0.92), (1.08, 0.96), (1.31, 0.99))
        for side in both(wedge([(x, y), (x - 0.22, y + 0.08), (x - 0.42, y + 0.06)], 0.13, 0.7))
    )  # fmt: skip
    parts = (
        Part("fur", (neck,), shade=0.8, name="body", scenery=True),
        Part("belly", (ellipse(0.0, 1.15, 0.34, 0.52),), pen="none", relief=0.0, inside="body", scenery=True),
        Part("stripe", bands, pen="fill", relief=0.0, inside="body", scenery=True),
        *_tiger_face(rng, np.array([0.0, 0.0]), 1.0),
    )
    return Figure("head", parts)
