"""Distances for comparisons: every decision is that of scipy's cdist, and the bound that this rests on holds."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from metrics.parts.exact_distances import Distances

KINDS = ["normal", "offset", "grid", "repeats", "outlier", "tiny", "one direction"]


def vectors(rng: np.random.Generator, n: int, d: int, kind: str) -> np.ndarray:
    """(n, d) float64 with |values| <= 1, of a kind that a rounding argument may stumble over."""
    x = rng.uniform(-1, 1, (n, d))
    if kind == "offset":  # |a|² + |b|² - 2ab keeps 3 digits of these, without a common centre
        return 0.75 + x * 2.0**-23
    if kind == "grid":  # thirds: equal distances abound, and none is free of rounding
        return np.round(3 * x) / 3
    if kind == "repeats":
        return x[rng.integers(0, max(1, n // 3), n)]
    if kind == "outlier":
        return np.where(np.arange(n)[:, None] == n - 1, x, x * 1e-9)
    if kind == "tiny":
        return np.where(np.arange(n)[:, None] == n - 1, x, x * 1e-160)
    if kind == "one direction":
        return np.outer(rng.integers(-8, 9, n) / 24, np.ones(d))
    return x


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    d, (n, m) = draw(st.integers(1, 200)), (draw(st.integers(1, 40)) for _ in range(2))
    x, y = (vectors(rng, count, d, draw(st.sampled_from(KINDS))) for count in (n, m))
    if draw(st.booleans()):
        y[: n // 2] = x[: min(n // 2, m)][: len(y[: n // 2])]  # equal vectors in both sets
    return x, y


@settings(max_examples=150, deadline=None)
@given(pairs(), st.integers(0, 2**32), st.sampled_from([1 / 16, 1.0]))
def test_decisions_are_those_of_cdist(pair: tuple[np.ndarray, np.ndarray], seed: int, sparse: float) -> None:
    """Thresholds are distances that occur, so many comparisons are ties; "the k-th smallest" is the same number.

    With few rows a stripe is nearly always computed as a whole; with `sparse` = 1 always pair by pair.
    """
    x, y = pair
    rng, exact = np.random.default_rng(seed), cdist(x, y, "sqeuclidean")
    of_columns, of_rows = rng.choice(exact.ravel(), len(y)), rng.choice(exact.ravel(), (len(x), 1))
    ks = sorted({0, int(rng.integers(len(y)))})
    with patch("metrics.parts.exact_distances.SPARSE", sparse):
        stripe = Distances(x, y).stripe(0, len(x))
        assert np.array_equal(stripe.within(of_columns), exact <= of_columns)
        assert np.array_equal(stripe.within(of_rows), exact <= of_rows)
        assert np.array_equal(Distances(x, y).stripe(0, len(x)).smallest(ks), np.sort(exact, axis=1)[:, ks])


@settings(max_examples=100, deadline=None)
@given(pairs())
def test_no_distance_is_off_by_more_than_the_bound(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """The bound of the docstring, which is doubled in use."""
    x, y = pair
    stripe = Distances(x, y).stripe(0, len(x))
    assert (np.abs(stripe._values - cdist(x, y, "sqeuclidean")) <= stripe._slack / 2).all()


@pytest.mark.parametrize("d", [1, 7, 512, 2048])
def test_few_pairs_need_the_exact_computation(d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes it fast: of 90,000 distances without ties, the 6 nearest of each row and little more."""
    computed = 0

    def counted(a: np.ndarray, b: np.ndarray, metric: str) -> np.ndarray:
        nonlocal computed
        computed += len(a) * len(b)
        return cdist(a, b, metric)

    monkeypatch.setattr("metrics.parts.exact_distances.cdist", counted)
    x = np.random.default_rng(d).uniform(0, 1, (300, d))
    among = Distances(x, x)
    radii = np.concatenate([among.stripe(i, i + 100).smallest([5]) for i in range(0, 300, 100)])
    assert computed <= 6 * 300 + 20
    assert among.stripe(0, 300).within(radii).sum() == 6 * 300  # on the surface counts
    assert computed <= 7 * 300 + 40
