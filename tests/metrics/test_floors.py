"""Floors between disjoint real sets: closed forms, sizes, several numbers at once, classes, and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from real_files import pacs, real_file

from metrics.frechet import frechet_distance
from metrics.kernel import kernel_distance
from metrics.manifold import manifold_scores
from metrics.ndb import ndb
from metrics.statistics.floors import Floor, disjoint_sets, real_floor, real_floors
from metrics.statistics.intervals import half_sample_interval


def mean_gap(x: np.ndarray, y: np.ndarray) -> float:
    return float(x.mean() - y.mean())


def test_disjoint_sets_are_rows_of_the_real_set_and_share_none() -> None:
    real = np.random.default_rng(9).standard_normal((25, 2))
    one, two = disjoint_sets(real, 10)
    found = [tuple(row) for row in np.concatenate([one, two])]
    assert one.shape == two.shape == (10, 2)
    assert len(set(found)) == 20
    assert set(found) <= {tuple(row) for row in real}
    again = disjoint_sets(real[::-1], 10)
    assert all(np.array_equal(a, b) for a, b in zip((one, two), again, strict=True))
    assert not np.array_equal(one, disjoint_sets(real, 10, seed=1)[0])
    changed = real.copy()
    changed[0, 0] += 1e-9  # another set, another draw
    assert not np.allclose(one, disjoint_sets(changed, 10)[0])


@pytest.mark.parametrize("pool", [40, 90])
def test_floor_of_a_mean_is_known(pool: int) -> None:
    """E (mean gap)² = 2 S²/n for two disjoint sets of any pool: being disjoint cancels that the pool is finite."""
    real = np.random.default_rng(pool).standard_normal(pool)
    floor = real_floor(lambda x, y: mean_gap(x, y) ** 2, real, n=20, splits=3000)
    assert floor.value == pytest.approx(2 * real.var(ddof=1) / 20, rel=0.1)  # 3.9 standard errors: sqrt(2 / 3000) each
    assert (floor.n, floor.splits) == (20, 3000)
    assert floor.deviation == pytest.approx(math.sqrt(2) * floor.value, rel=0.15)  # chi-square, one degree


def test_floor_of_one_split_has_no_deviation() -> None:
    assert real_floor(mean_gap, np.ones(8), n=4, splits=1) == Floor(0.0, None, 4, 4, 1)


def test_floor_on_real_images_falls_with_n_and_is_below_another_domain() -> None:
    photos = pacs(real_file("datasets/pacs/photo"), 160, 4).reshape(160, -1) / 255
    sketches = pacs(real_file("datasets/pacs/sketch"), 80, 4).reshape(80, -1) / 255
    small, large = (real_floor(frechet_distance, photos, n, splits=5) for n in (20, 80))
    assert large.value < small.value
    between = half_sample_interval(frechet_distance, photos[::2], sketches, repeats=40)
    assert large.value < between.low
    assert 0 < between.deviation < between.value


def test_two_sizes() -> None:
    """n against the N - n others: all rows, once each; with m = n given, the sets of m left out."""
    real = np.random.default_rng(11).standard_normal((25, 2))
    one, two = disjoint_sets(real, 8, 17, seed=3)
    assert (one.shape, two.shape) == ((8, 2), (17, 2))
    assert np.array_equal(np.sort(np.concatenate([one, two]), axis=0), np.sort(real, axis=0))
    same = zip(disjoint_sets(real, 8, 8, seed=3), disjoint_sets(real, 8, seed=3), strict=True)
    assert all(np.array_equal(a, b) for a, b in same)
    assert real_floor(mean_gap, real, 8, 17, splits=2) != real_floor(mean_gap, real, 17, 8, splits=2)


def test_floor_of_two_sizes_is_known() -> None:
    """E (mean gap)² = S² (1/n + 1/m): which of the sets is which, and both sizes, count."""
    real = np.random.default_rng(12).standard_normal(60)
    floor = real_floor(lambda x, y: mean_gap(x, y) ** 2 + len(x), real, 10, 50, splits=3000)
    assert floor.value - 10 == pytest.approx(real.var(ddof=1) * (1 / 10 + 1 / 50), rel=0.1)
    assert (floor.n, floor.m, floor.splits) == (10, 50, 3000)


def test_several_numbers_are_those_of_each_alone_from_one_computation() -> None:
    real = np.random.default_rng(13).standard_normal((40, 3))
    calls = 0

    def statistics(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
        nonlocal calls
        calls += 1
        return {"fid": frechet_distance(x, y), "kid": kernel_distance(x, y), **manifold_scores(x, y).numbers()}

    floors = real_floors(statistics, real, 12, 28, splits=4, seed=5)
    assert calls == 4
    assert floors["fid"] == real_floor(frechet_distance, real, 12, 28, splits=4, seed=5)
    assert floors["kid"] == real_floor(kernel_distance, real, 12, 28, splits=4, seed=5)
    coverage = real_floor(lambda x, y: manifold_scores(x, y).coverage, real, 12, 28, splits=4, seed=5)
    assert floors["coverage"] == coverage
    assert list(floors) == ["fid", "kid", "precision", "recall", "density", "coverage"]


def test_images_keep_their_dtype() -> None:
    """As float64 they would be 8 times the bytes, and the bins of NDB would not know pixels from shares."""
    images = np.random.default_rng(14).integers(0, 256, (60, 3, 4, 4)).astype(np.uint8)
    assert {part.dtype for part in disjoint_sets(images, 20)} == {np.dtype(np.uint8)}
    floors = real_floors(lambda x, y: ndb(y, x, k=5, starts=1).numbers(), images, 20, 40, splits=2)
    assert set(floors) == {"ndb", "jsd"}
    assert 0 <= floors["ndb"].value <= 5
    assert 0 < floors["jsd"].value < math.log(2)


def test_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(8)
    real = rng.standard_normal((41, 4))
    again = real[rng.permutation(41)]
    assert real_floor(frechet_distance, again, 20, splits=3) == real_floor(frechet_distance, real, 20, splits=3)


X = np.arange(12.0).reshape(6, 2)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="at least 2 n = 8 rows wanted, got 6"):
        disjoint_sets(X, 4)
    with pytest.raises(ValueError, match=r"at least n \+ m = 7 rows wanted, got 6"):
        disjoint_sets(X, 2, 5)
    with pytest.raises(ValueError, match="m: a whole number >= 1"):
        disjoint_sets(X, 2, 0)
    with pytest.raises(ValueError, match="n: a whole number >= 1"):
        real_floor(mean_gap, X, 0)
    with pytest.raises(ValueError, match="splits: a whole number >= 1"):
        real_floor(mean_gap, X, 2, splits=0)
    with pytest.raises(ValueError, match="got nan of the statistic in split 0"):
        real_floor(lambda x, y: math.nan, X, 2)
    with pytest.raises(ValueError, match="got inf of jsd in split 0"):
        real_floors(lambda x, y: {"ndb": 0.0, "jsd": math.inf}, X, 2)
    names = iter("01")
    with pytest.raises(ValueError, match=r"\['0'\] wanted in each split, got \['1'\] in 1"):
        real_floors(lambda x, y: {next(names): 0.0}, X, 2)
    with pytest.raises(ValueError, match="real: 12 of 12 values are NaN"):
        real_floors(lambda x, y: {}, X * math.nan, 2)
