"""Precision, recall, density and coverage against counts by hand, loops over exact integers, and torch-fidelity."""

from __future__ import annotations

from dataclasses import astuple
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metrics.manifold import ManifoldScores, manifold_scores

Four = tuple[float, float, float, float]


def four(scores: ManifoldScores) -> Four:
    return scores.precision, scores.recall, scores.density, scores.coverage


def by_loops(x: np.ndarray, y: np.ndarray, k_precision: int, k_density: int) -> Four:
    """The definitions over Python's exact integers, so that ties are ties. x, y hold integers."""
    ours, theirs = ([[int(v) for v in row] for row in features] for features in (x, y))

    def apart(a: list[int], b: list[int]) -> int:
        return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))

    def radius(rows: list[list[int]], i: int, k: int) -> int:
        others = rows[:i] + rows[i + 1 :]
        return sorted(apart(rows[i], other) for other in others)[k - 1]

    def caught(points: list[list[int]], rows: list[list[int]], k: int) -> list[set[int]]:
        """For each ball of `rows`, the points it holds."""
        balls = [(row, radius(rows, i, k)) for i, row in enumerate(rows)]
        return [{p for p, point in enumerate(points) if apart(point, row) <= r} for row, r in balls]

    precise, recalled = caught(ours, theirs, k_precision), caught(theirs, ours, k_precision)
    dense = caught(ours, theirs, k_density)
    return (
        len(set().union(*precise)) / len(ours),
        len(set().union(*recalled)) / len(theirs),
        sum(len(ball) for ball in dense) / (k_density * len(ours)),
        sum(1 for ball in dense if ball) / len(theirs),
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20190415)


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


@pytest.mark.parametrize(
    ("x", "y", "k", "expected"),
    [
        # k = 1: radii of y 1, 1, 2, 5 around 0, 1, 3, 8.
        # x = 2 is in those of 1 and 3; x = 20 in none. Radii of x 18, so the ball of 2 holds all of y.
        (column(2, 20), column(0, 1, 3, 8), 1, (0.5, 1.0, 2 / 2, 2 / 4)),
        # The surface counts: 13 is 5 from 8, the radius. Balls of x have radius 0.
        (column(13, 13), column(0, 1, 3, 8), 1, (1.0, 0.0, 1.0, 0.25)),
        (column(13.25, 13.25), column(0, 1, 3, 8), 1, (0.0, 0.0, 0.0, 0.0)),
        # k = 2: radii of y 3, 2, 3, 7 around 0, 1, 3, 8. x = 1 is in all four, 4 in those of 3 and 8, 5 in those too
        # (|5 - 3| = 2, |5 - 8| = 3). Radii of x 4, 3, 4 around 1, 4, 5: 0, 1, 3 and 8 (|8 - 5| = 3) are held.
        (column(1, 4, 5), column(0, 1, 3, 8), 2, (1.0, 1.0, 8 / 6, 1.0)),
    ],
)
def test_by_hand(x: np.ndarray, y: np.ndarray, k: int, expected: Four) -> None:
    scores = manifold_scores(x, y, k_precision=k, k_density=k)
    assert four(scores) == expected
    assert astuple(scores)[4:] == (k, k, len(x), len(y))


def test_the_papers_neighbours_are_the_default(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((30, 3)), rng.standard_normal((25, 3))
    scores = manifold_scores(x, y)
    assert scores == manifold_scores(x, y, k_precision=3, k_density=5)
    assert (scores.k_precision, scores.k_density, scores.n, scores.m) == (3, 5, 30, 25)


@pytest.mark.parametrize(("n", "d"), [(6, 1), (30, 2), (40, 64), (9, 2048)])
def test_identical_sets(rng: np.random.Generator, n: int, d: int) -> None:
    x = rng.standard_normal((n, d)).astype(np.float32)
    # without ties each ball holds its own vector and its k nearest
    assert four(manifold_scores(x, x.copy())) == pytest.approx((1, 1, 6 / 5, 1), abs=1e-12)
    repeats = np.repeat(x, 7, axis=0)  # radius 0 everywhere: a ball holds the 7 copies of its vector
    assert four(manifold_scores(repeats, repeats)) == pytest.approx((1, 1, 7 / 5, 1), abs=1e-12)


def test_disjoint_supports(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((20, 5)), rng.standard_normal((30, 5)) + 1000
    assert four(manifold_scores(x, y)) == (0, 0, 0, 0)


def test_constant_sets() -> None:
    """Radius 0: inside if equal, outside if not; every vector of x is in all m balls."""
    x, y = np.full((8, 3), 0.1), np.full((12, 3), 0.1)
    assert four(manifold_scores(x, y)) == (1, 1, 12 / 5, 1)
    assert four(manifold_scores(x, np.nextafter(y, 1))) == (0, 0, 0, 0)
    assert four(manifold_scores(np.zeros((8, 3)), np.zeros((12, 3)))) == (1, 1, 12 / 5, 1)


def test_a_mode_that_is_missing_and_one_that_is_invented(rng: np.random.Generator) -> None:
    modes = np.array([[0.0, 0], [100, 0], [0, 100]])
    a, b, c = (mode + rng.uniform(0, 1, (40, 2)) for mode in modes)
    copies = [mode + rng.uniform(0, 1, (40, 2)) for mode in modes]
    missing = manifold_scores(copies[0], np.concatenate([a, b]))
    assert missing.recall <= 0.5
    assert missing.coverage <= 0.5
    assert missing.precision > 0.8
    invented = manifold_scores(np.concatenate([copies[0], copies[2]]), a)
    assert invented.precision <= 0.5
    assert invented.recall > 0.8
    assert four(manifold_scores(c, a)) == (0, 0, 0, 0)


@pytest.mark.parametrize(("n", "m", "k"), [(10, 12, 5), (12, 8, 2)])
def test_expectations_for_one_distribution(rng: np.random.Generator, n: int, m: int, k: int) -> None:
    """Around a vector of y the others are exchangeable, which gives both expectations; 4 standard errors of 400 draws.

    One vector of x is among the k nearest of m with probability k/m: density 1. No x is in the ball if the k nearest of
    all n + m - 1 others are of y.
    """
    draws = [manifold_scores(*np.split(rng.standard_normal((n + m, 4)), [n]), k_density=k) for _ in range(400)]
    coverage = 1 - prod((m - j) / (n + m - j) for j in range(1, k + 1))
    for values, expected in (([s.density for s in draws], 1.0), ([s.coverage for s in draws], coverage)):
        assert np.mean(values) == pytest.approx(expected, abs=4 * np.std(values) / 20)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_and_recall_equal_torch_fidelity(rng: np.random.Generator, k: int) -> None:
    import torch
    from torch_fidelity.metric_prc import prc_features_to_metric

    x, y = rng.standard_normal((60, 16)), 1.1 * rng.standard_normal((50, 16)) + 0.4
    theirs = prc_features_to_metric(torch.from_numpy(x), torch.from_numpy(y), prc_neighborhood=k, verbose=False)
    ours = manifold_scores(x, y, k_precision=k)
    assert 0 < ours.precision < 1
    assert ours.precision != ours.recall
    assert ours.precision == pytest.approx(theirs["precision"], abs=1e-6)  # its means are float32
    assert ours.recall == pytest.approx(theirs["recall"], abs=1e-6)


@st.composite
def integer_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Two sets of 2 to 40 vectors of width 1 to 64 on a small grid, where ties abound; and two k that they allow."""
    d = draw(st.integers(1, 64))

    def features() -> np.ndarray:
        n, kind = draw(st.integers(2, 40)), draw(st.sampled_from(["full", "rank 1", "constant", "repeats"]))
        values = st.integers(-3, 3)
        if kind == "full":
            return draw(arrays(np.int64, (n, d), elements=values))
        if kind == "rank 1":
            return np.outer(draw(arrays(np.int64, n, elements=values)), draw(arrays(np.int64, d, elements=values)))
        few = draw(arrays(np.int64, (1 if kind == "constant" else 2, d), elements=values))
        return few[np.arange(n) % len(few)]

    x, y = features(), features()
    return x, y, draw(st.integers(1, min(len(x), len(y)) - 1)), draw(st.integers(1, len(y) - 1))


@settings(max_examples=60, deadline=None)
@given(integer_pairs(), st.randoms(use_true_random=False), st.integers(1, 50))
def test_equals_loops_in_any_order_and_block(
    case: tuple[np.ndarray, np.ndarray, int, int], random: object, block: int
) -> None:
    x, y, k_precision, k_density = case
    scores = manifold_scores(x, y, k_precision=k_precision, k_density=k_density)
    assert four(scores) == pytest.approx(by_loops(x, y, k_precision, k_density), rel=1e-12, abs=1e-12)
    order = list(range(len(x)))
    random.shuffle(order)
    again = manifold_scores(x[order], y[::-1], k_precision=k_precision, k_density=k_density, block=block)
    assert again == scores


@pytest.mark.parametrize("block", [1, 2, 7, 33, 1000])
def test_order_block_and_dtype_change_no_bit(rng: np.random.Generator, block: int) -> None:
    """Features that no rounding spares (thirds), with repeats within and between the sets: many exact ties."""
    pool = (rng.integers(-4, 5, (12, 37)) / 3).astype(np.float32)
    x, y = pool[rng.integers(0, 9, 50)], pool[rng.integers(3, 12, 45)]
    scores = manifold_scores(x, y, k_precision=6, k_density=9)
    assert 0 < scores.precision < 1
    assert 0 < scores.coverage < 1
    for _ in range(5):
        assert (
            manifold_scores(rng.permutation(x), rng.permutation(y), k_precision=6, k_density=9, block=block) == scores
        )
    wide = manifold_scores(np.asfortranarray(x.astype(np.float64)), y[::-1], k_precision=6, k_density=9, block=block)
    assert wide == scores


def test_precision_is_recall_with_the_sets_exchanged(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((40, 6)), 0.6 * rng.standard_normal((30, 6)) + 0.7
    one, other = manifold_scores(x, y), manifold_scores(y, x)
    assert (one.precision, one.recall) == (other.recall, other.precision)
    assert one.precision != one.recall


@pytest.mark.parametrize("factor", [2.0**-900, 2.0**-3, 2.0**900])
def test_any_magnitude(rng: np.random.Generator, factor: float) -> None:
    x, y = rng.standard_normal((20, 6)), rng.standard_normal((30, 6)) + 0.7
    assert manifold_scores(factor * x, factor * y) == manifold_scores(x, y)


def test_sets_of_very_different_magnitude(rng: np.random.Generator) -> None:
    """What is tiny beside the other set is at 0 for it, and squares of neither leave float64's range."""
    x, y = rng.standard_normal((20, 6)), rng.standard_normal((30, 6))
    y[0, 0] = 0
    tiny, huge, zeros = 2.0**-530 * x, 2.0**530 * y, np.zeros_like(x)
    assert manifold_scores(tiny, huge) == manifold_scores(zeros, y)
    assert manifold_scores(huge, tiny) == manifold_scores(y, zeros)
    assert manifold_scores(zeros, y).precision == 1  # 0 is in the middle of y


def test_a_large_offset_does_not_drown_the_distances(rng: np.random.Generator) -> None:
    """Steps of 2^-20 at 2^20: exact differences, of which |a|² + |b|² - 2ab would keep nothing."""
    x, y = rng.integers(0, 40, (20, 6)), rng.integers(20, 60, (30, 6))
    moved = manifold_scores(x * 2.0**-20 + 2.0**20, y * 2.0**-20 + 2.0**20)
    assert moved == manifold_scores(x, y)
    assert 0 < moved.coverage < 1


def test_memory_is_bounded_by_the_block(rng: np.random.Generator) -> None:
    """1,500 vectors: no matrix of 1,500 x 1,500 (18 MB), only stripes of 50 x 1,500."""
    import tracemalloc

    x, y = rng.standard_normal((2, 1500, 8))
    tracemalloc.start()
    try:
        manifold_scores(x, y, block=50)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * (x.nbytes + y.nbytes) + 3 * 50 * 1500 * 8


@pytest.mark.parametrize(
    ("x", "y", "given", "message"),
    [
        (np.zeros(5), np.zeros((9, 2)), {}, r"x: features of shape \(n, d\)"),
        (np.zeros((9, 2)), np.zeros((1, 2)), {}, "y: at least 2 feature vectors"),
        (np.zeros((9, 2)), np.zeros((9, 3)), {}, "equal width wanted, got 2 and 3"),
        (np.full((9, 2), np.nan), np.zeros((9, 2)), {}, "x: 18 of 18 values are NaN or infinite"),
        (np.zeros((9, 2)), np.zeros((9, 2), bool), {}, "y: real numbers wanted, got dtype bool"),
        (
            np.zeros((3, 2)),
            np.zeros((9, 2)),
            {},
            "x: more than 3 feature vectors wanted for 3 neighbours of each, got 3",
        ),
        (
            np.zeros((9, 2)),
            np.zeros((5, 2)),
            {},
            "y: more than 5 feature vectors wanted for 5 neighbours of each, got 5",
        ),
        (np.zeros((9, 2)), np.zeros((7, 2)), {"k_precision": 7}, "y: more than 7 .* got 7"),
        (np.zeros((9, 2)), np.zeros((9, 2)), {"k_density": 0}, "at least 1 wanted, got 3 and 0"),
        (np.zeros((9, 2)), np.zeros((9, 2)), {"block": 0}, "block: at least 1 wanted, got 0"),
    ],
)
def test_wrong_inputs_are_named(x: np.ndarray, y: np.ndarray, given: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        manifold_scores(x, y, **given)


def test_just_enough_vectors(rng: np.random.Generator) -> None:
    assert manifold_scores(rng.standard_normal((4, 2)), rng.standard_normal((6, 2))).n == 4
