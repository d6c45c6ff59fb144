"""Precision, recall, density and coverage: what lies inside the k-nearest-neighbour balls of the other set.

A set's balls are one around each of its vectors, out to the k-th nearest *other* vector of that set.

    precision  share of x inside at least one ball of y                 Kynkaanniemi et al. 2019, eq. 1 and 2
    recall     share of y inside at least one ball of x                 the same
    density    number of balls of y that a vector of x is in, over k    Naeem et al. 2020, section 3
    coverage   share of balls of y that hold at least one vector of x   the same

Ties: a ball holds its surface, so a distance *equal* to the radius is inside, as in Kynkaanniemi's published code.
Naeem's published code asks for < instead: there repeated vectors, whose radius is 0, are not even in their own ball,
and two identical sets of repeats score 0. Without ties the two agree.

Distances are sums of squared differences, each computed alike wherever its vectors stand: rounding by position, as a
matrix product does, would let equal distances compare by chance. See `exact_distances.py` for how that is made fast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metrics.parts.exact_distances import Distances
from metrics.parts.input_checks import checked_feature_pair


@dataclass(frozen=True)
class ManifoldScores:
    """The four, and what they were taken from. "If alike": expected for two samples of one distribution."""

    precision: float
    """0 to 1: how much of x looks like y."""
    recall: float
    """0 to 1: how much of y looks like x."""
    density: float
    """0 to m / k_density; 1 if alike, more where x crowds into dense parts of y."""
    coverage: float
    """0 to 1; 1 - (m-1)...(m-k) / ((n+m-1)...(n+m-k)) if alike, with k = k_density."""
    k_precision: int
    """Neighbours that set the radii of precision and recall."""
    k_density: int
    """Neighbours that set the radii of density and coverage."""
    n: int
    """Feature vectors in x."""
    m: int
    """Feature vectors in y."""

    def numbers(self) -> dict[str, float]:
        """The four by name, as `floors.real_floors` takes them."""
        return {name: getattr(self, name) for name in ("precision", "recall", "density", "coverage")}


def manifold_scores(
    x: np.ndarray, y: np.ndarray, *, k_precision: int = 3, k_density: int = 5, block: int = 256
) -> ManifoldScores:
    """The four scores of generated features x (n, d) against real ones y (m, d), any real dtype; float64.

    1 in all but density if x = y, 0 in all if no ball holds a vector of the other set. Precision is recall with x and y
    exchanged. The order of the vectors changes no bit. The scores depend on n and m: compare at equal numbers.

    About three times `block` x max(n, m) numbers are held at once (30 MB at 5,000), beside four float64 copies of x and
    y. Takes three matrix products of n x d x m: 1.2 s on one core for n = m = 2,000, d = 2,048, and ten times that if
    most distances tie. ValueError for features that are not 2-D, finite, at least 2, or of equal width; where a vector
    has too few others for k; and for a k or block below 1.
    """
    x, y = checked_feature_pair(x, y)
    _check_neighbours(len(x), len(y), k_precision, k_density)
    if block < 1:
        raise ValueError(f"block: at least 1 wanted, got {block}")
    x, y = _of_unit_size(x, y)
    (radius_x,) = _radii(x, [k_precision], block)
    radius_y, density_radius = _radii(y, [k_precision, k_density], block)

    precise, recalled, covered, held = 0, np.zeros(len(y), bool), np.zeros(len(y), bool), 0
    between = Distances(x, y)
    for start in range(0, len(x), block):
        stripe = between.stripe(start, start + block)
        precise += int(stripe.within(radius_y).any(axis=1).sum())
        recalled |= stripe.within(radius_x[start : start + block, None]).any(axis=0)
        inside = stripe.within(density_radius)
        covered |= inside.any(axis=0)
        held += int(inside.sum())
    precision, recall, coverage = precise / len(x), float(recalled.mean()), float(covered.mean())
    density = held / (k_density * len(x))
    return ManifoldScores(precision, recall, density, coverage, k_precision, k_density, len(x), len(y))


def _check_neighbours(n: int, m: int, k_precision: int, k_density: int) -> None:
    if min(k_precision, k_density) < 1:
        raise ValueError(f"k_precision and k_density: at least 1 wanted, got {k_precision} and {k_density}")
    for name, count, k in (("x", n, k_precision), ("y", m, max(k_precision, k_density))):
        if count <= k:
            raise ValueError(f"{name}: more than {k} feature vectors wanted for {k} neighbours of each, got {count}")


def _of_unit_size(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both over one power of two, which rounds nothing: squares of huge or tiny values would leave float64's range."""
    exponent = np.frexp(max(np.abs(x).max(), np.abs(y).max()))[1]
    return np.ldexp(x, -exponent), np.ldexp(y, -exponent)


def _radii(features: np.ndarray, ks: list[int], block: int) -> np.ndarray:
    """(len(ks), n): squared distance from each vector to its k-th nearest other."""
    among = Distances(features, features)
    # a vector itself is at distance 0, so its k-th other stands at index k
    stripes = [among.stripe(start, start + block).smallest(ks) for start in range(0, len(features), block)]
    return np.concatenate(stripes).T
