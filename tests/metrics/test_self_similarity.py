"""Distances between self-similarity matrices: closed forms, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from metrics.self_similarity import self_similarities, structure_distance, structure_distances


def test_two_tokens_in_closed_form() -> None:
    """Keys at an angle of 90 degrees against keys at 60: of the four entries two differ, by 1/2."""
    right = np.array([[[1.0, 0.0], [0.0, 2.0]]])
    sixty = np.array([[[3.0, 0.0], [0.5, np.sqrt(0.75)]]])
    np.testing.assert_allclose(self_similarities(sixty)[0], [[1, 0.5], [0.5, 1]])
    assert structure_distances(right, sixty) == pytest.approx([2 * 0.25 / 4])
    assert structure_distances(right, -right) == pytest.approx([0])
    opposite, equal = np.array([[[1.0], [-1.0]]]), np.array([[[1.0], [1.0]]])
    assert structure_distances(opposite, equal) == pytest.approx([2 * 4 / 4])
    both = structure_distance(np.concatenate([right, right]), np.concatenate([sixty, right]))
    assert both == pytest.approx(0.125 / 2)


def test_rotations_and_lengths_of_keys_do_not_matter_and_places_do() -> None:
    rng = np.random.default_rng(0)
    keys = rng.normal(size=(4, 30, 8))
    rotation, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    lengths = 10.0 ** rng.uniform(-150, 150, (4, 30, 1))  # squares of these leave float64's range
    assert structure_distances(keys, keys @ rotation * lengths) == pytest.approx(np.zeros(4), abs=1e-20)
    assert structure_distances(keys, keys[:, ::-1]).min() > 0.01
    moved = rng.normal(size=keys.shape)
    assert structure_distances(keys, moved) == pytest.approx(structure_distances(moved, keys))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((2, 3, 4)), np.ones((2, 3, 5)), "two arrays of one shape"),
        (np.ones((3, 4)), np.ones((3, 4)), r"\(images, tokens, d\) wanted"),
        (np.ones((0, 3, 4)), np.ones((0, 3, 4)), r"\(images, tokens, d\) wanted"),
        (np.full((1, 2, 2), np.nan), np.ones((1, 2, 2)), "NaN"),
        (np.ones((1, 2, 2)), np.array([[[1.0, 0.0], [0.0, 0.0]]]), "image 0, token 1 is all zero"),
        (np.full((1, 2, 2), True), np.full((1, 2, 2), True), "real numbers wanted"),
    ],
)
def test_what_is_refused(x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        structure_distances(x, y)
