"""NDB's test and JSD: numbers of the CatS-UDT specification (section 11), closed forms, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metrics.ndb import different_bins, jensen_shannon

P, Q = [0.5, 0.3, 0.15, 0.05], [0.45, 0.35, 0.2, 0.0]


def test_published_example() -> None:
    assert different_bins(P, 1000, Q, 500).tolist() == [False, True, True, True]
    assert round(jensen_shannon(P, Q), 7) == 0.0207412


def test_z_of_two_equal_samples() -> None:
    """p = 0.5, q = 0.4, n = m: z = 0.1 / sqrt(0.45 * 0.55 * 2 / n) passes 1.96 between n = 190 and n = 191."""
    assert not different_bins([0.5, 0.5], 190, [0.4, 0.6], 190).any()
    assert different_bins([0.5, 0.5], 191, [0.4, 0.6], 191).all()


def test_empty_bins_do_not_differ() -> None:
    assert different_bins([1.0, 0.0], 10, [1.0, 0.0], 10).tolist() == [False, False]


def test_jensen_shannon_bounds_and_symmetry() -> None:
    assert jensen_shannon(P, P) == 0.0
    assert jensen_shannon([1.0, 0.0], [0.0, 1.0]) == pytest.approx(math.log(2))
    assert jensen_shannon(P, Q) == pytest.approx(jensen_shannon(Q, P), abs=1e-15)


@pytest.mark.parametrize(
    ("p", "q"), [([0.5, 0.4], [0.5, 0.5]), ([1.5, -0.5], [0.5, 0.5]), ([1.0], [0.5, 0.5]), ([np.nan, 1], [0.5, 0.5])]
)
def test_bad_shares(p: list[float], q: list[float]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        jensen_shannon(p, q)
    with pytest.raises(ValueError, match="wanted"):
        different_bins(p, 10, q, 10)


def test_bad_counts() -> None:
    with pytest.raises(ValueError, match="n=0"):
        different_bins(P, 0, Q, 10)
