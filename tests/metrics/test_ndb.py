"""NDB and JSD: a published example, counts by hand and by brute force, on made and on real images; bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from eval_toys import smooth_images
from real_files import pacs, real_file
from scipy.spatial.distance import jensenshannon
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from metrics.ndb import Bins, Ndb, assign, different_bins, jensen_shannon, make_bins, ndb, ndb_to_bins

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


def blobs(counts: list[int], seed: int = 0) -> np.ndarray:
    """Samples (sum, 2) in groups far apart: group i lies within 0.5 of (10 i, 0) in each coordinate."""
    rng = np.random.default_rng(seed)
    offsets = rng.uniform(-0.5, 0.5, (sum(counts), 2))
    return offsets + np.repeat([[10.0 * i, 0.0] for i in range(len(counts))], counts, axis=0)


def nearest(samples: np.ndarray, bins: Bins) -> list[int]:
    """The nearest centre of each sample, one at a time and without the module's distances."""
    found = []
    for row in samples.reshape(len(samples), -1).astype(float):
        gaps = [(row[bins.coordinates] - centre[bins.coordinates]) / bins.scale for centre in bins.centres]
        found.append(min(range(len(gaps)), key=lambda i: math.fsum(gaps[i] ** 2)))
    return found


def count_by_hand(ours: list[int], theirs: list[int], k: int) -> int:
    """NDB from two lists of bins, each test written out: two-tailed at 5 %."""
    different = 0
    for i in range(k):
        a, b, n, m = ours.count(i), theirs.count(i), len(ours), len(theirs)
        pooled = (a + b) / (n + m)
        if 0 < pooled < 1:
            z = abs(a / n - b / m) / math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
            different += math.erfc(z / math.sqrt(2)) < 0.05
    return different


def check_by_brute_force(reference: np.ndarray, samples: np.ndarray, bins: Bins) -> Ndb:
    """Asserts that `bins` are k-means bins of `reference` and that NDB and JSD follow from counting."""
    k, ours, theirs = len(bins.shares), nearest(reference, bins), nearest(samples, bins)
    counts = [ours.count(i) for i in range(k)]
    assert counts == sorted(counts, reverse=True)
    assert bins.shares == pytest.approx(np.array(counts) / len(ours), abs=1e-15)
    flat = reference.reshape(len(reference), -1).astype(float)
    for i, centre in enumerate(bins.centres):  # the mean of its members, in all dimensions
        assert centre == pytest.approx(flat[np.array(ours) == i].mean(axis=0), rel=1e-12, abs=1e-12)
    assert assign(samples, bins).tolist() == theirs
    result = ndb_to_bins(samples, bins)
    shares = np.bincount(theirs, minlength=k) / len(theirs)
    assert result.count == count_by_hand(ours, theirs, k)
    assert result.jsd == pytest.approx(jensenshannon(bins.shares, shares) ** 2, abs=1e-12)
    assert (result.k, result.n, result.m) == (k, len(reference), len(samples))
    assert result.share == result.count / k
    return result


def test_blobs_by_hand() -> None:
    """Shares 0.5, 0.3, 0.2 of 100 against 0.5, 0.45, 0.05 of 100.

    z = 0; 0.15 / sqrt(0.375 * 0.625 / 50) = 2.19; 0.15 / sqrt(0.125 * 0.875 / 50) = 3.21; 1.96 is significant.
    """
    result = ndb(blobs([30, 50, 20]), blobs([45, 50, 5], seed=1), k=3)
    assert result == Ndb(count=2, jsd=result.jsd, k=3, n=100, m=100)
    by_hand = 0.0
    for p, q in ((0.5, 0.5), (0.3, 0.45), (0.2, 0.05)):
        by_hand += p / 2 * math.log(2 * p / (p + q)) + q / 2 * math.log(2 * q / (p + q))
    assert result.jsd == pytest.approx(by_hand, rel=1e-12)
    assert ndb(blobs([30, 50, 20]), blobs([45, 50, 5], seed=1), k=3, alpha=0.01).count == 1  # 2.58 is significant


def test_published_example_from_samples() -> None:
    """The shares above, as samples: bins are found, largest first, and counted."""
    bins = make_bins(blobs([150, 500, 50, 300]), k=4)
    assert bins.shares.tolist() == P
    assert bins.centres[:, 0] == pytest.approx([10, 30, 0, 20], abs=0.2)
    result = ndb_to_bins(blobs([100, 225, 0, 175], seed=1), bins)
    assert (result.count, round(result.jsd, 7), result.n, result.m) == (3, 0.0207412, 1000, 500)


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("size", [8, 20])
def test_equals_brute_force(size: int, whiten: bool) -> None:
    reference, samples = smooth_images(150, size, 0), smooth_images(90, size, 1)
    bins = make_bins(reference, k=8, starts=2, whiten=whiten)
    assert len(bins.coordinates) == {8: 192, 20: 200}[size]  # 3 * 20 * 20 = 1200 is above 1000: a sixth
    flat = reference.reshape(150, -1)[:, bins.coordinates]
    assert bins.scale == pytest.approx(flat.std(axis=0) + 1e-6 if whiten else 1.0, rel=1e-12)
    check_by_brute_force(reference, samples, bins)


@pytest.mark.parametrize("size", [16, 20])
def test_equals_brute_force_on_real_images(size: int) -> None:
    photos = pacs(real_file("datasets/pacs/photo"), 300, size)
    sketches = pacs(real_file("datasets/pacs/sketch"), 150, size)
    bins = make_bins(photos[::2])
    same = check_by_brute_force(photos[::2], photos[1::2], bins)
    other = check_by_brute_force(photos[::2], sketches, bins)
    assert same.share <= 0.15  # nothing: 2 or 3 of 20 bins by chance
    assert other.share >= 0.35  # sketches miss most bins, but one with fewer than 4 of 150 photos cannot differ
    assert same.jsd < 0.06 < 0.4 < other.jsd  # two samples of 150: (K - 1) / (4 n) = 0.03


def test_the_defaults_are_the_papers() -> None:
    """20 bins, 10 starts, 5 %: they stand in every record of NDB."""
    reference, samples = smooth_images(120, 8, 9), smooth_images(60, 8, 10)
    assert ndb(reference, samples) == ndb(reference, samples, 20, 0, alpha=0.05, whiten=False, starts=10)
    assert np.array_equal(make_bins(reference).centres, make_bins(reference, 20, 0, whiten=False, starts=10).centres)
    assert len(make_bins(reference).shares) == 20
    assert make_bins(reference, k=5, seed=2**32 - 1, starts=1).n == 120  # the largest seed of k-means


def test_one_bin_cannot_differ() -> None:
    reference, samples = smooth_images(20, 8, 11), smooth_images(10, 8, 12)
    assert ndb(reference, samples, k=1) == Ndb(0, 0.0, 1, 20, 10)
    assert jensen_shannon([1.0], [1.0]) == 0.0


def test_bins_are_as_good_as_those_of_plain_k_means() -> None:
    reference = smooth_images(200, 8, 2).reshape(200, -1).astype(float)
    bins = make_bins(reference, k=10)
    inertia = ((reference - bins.centres[assign(reference, bins)]) ** 2).sum()
    others = [KMeans(10, n_init=10, random_state=seed).fit(reference).inertia_ for seed in range(3)]
    assert inertia == pytest.approx(min(others), rel=0.03)


def test_whitening_makes_units_irrelevant() -> None:
    """Two groups along y and a coordinate x that is only large: bins by x without whitening, by y with it."""
    rng = np.random.default_rng(0)
    reference = np.stack([rng.uniform(-1000, 1000, 200), np.repeat([-1.0, 1.0], 100)], axis=1)
    plain, white = make_bins(reference, k=2), make_bins(reference, k=2, whiten=True)
    assert np.abs(plain.centres[:, 1]).max() < 0.5
    assert sorted(white.centres[:, 1]) == pytest.approx([-1, 1], abs=1e-12)
    own = assign(np.array([[900.0, -1.0], [-900.0, 1.0]]), white)
    assert white.centres[own, 1] == pytest.approx([-1, 1], abs=1e-12)


def test_k_means_runs_until_it_rests() -> None:
    """2000 points without groups: at scikit-learn's own tolerance some are left in a bin that is not the nearest."""
    reference = np.random.default_rng(3).uniform(size=(2000, 2))
    check_by_brute_force(reference, reference[:500], make_bins(reference, k=20, starts=3))


@pytest.mark.parametrize("steps", [100, 1])
def test_a_set_does_not_differ_from_itself(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in bins of noise, and where k-means was stopped before it came to rest."""
    monkeypatch.setattr("metrics.ndb.MAX_STEPS", steps)
    reference = np.random.default_rng(3).standard_normal((400, 30))
    assert ndb(reference, reference, k=20) == Ndb(0, 0.0, 20, 400, 400)


@pytest.mark.parametrize("size", [8, 20])
def test_neither_order_nor_threads_nor_dtype_matter(size: int) -> None:
    rng = np.random.default_rng(4)
    reference, samples = smooth_images(120, size, 5), smooth_images(80, size, 6)
    reference[7] = reference[3]  # equal rows, too
    bins, result = make_bins(reference, k=6), ndb(reference, samples, k=6)
    for _ in range(3):
        a, b = reference[rng.permutation(120)], samples[rng.permutation(80)]
        with threadpool_limits(2):
            again = make_bins(a, k=6)
        assert np.array_equal(again.centres, bins.centres)
        assert ndb(a, b, k=6) == result
    assert ndb(reference.astype(np.float32), samples.astype(np.float32), k=6) == result


def test_the_seed_draws_the_dimensions_and_the_starts() -> None:
    reference = smooth_images(100, 20, 7)
    one, two = make_bins(reference, k=5, seed=1), make_bins(reference, k=5, seed=2)
    assert not np.array_equal(one.coordinates, two.coordinates)
    assert len(set(one.coordinates.tolist())) == 200
    assert len(make_bins(reference, k=5, dimensions=1200).coordinates) == 1200
    assert make_bins(reference, k=5, dimensions=7).centres.shape == (5, 1200)


def test_samples_are_not_mixed_with_the_reference_across_ranges() -> None:
    reference = smooth_images(50, 8, 8)
    with pytest.raises(ValueError, match="samples: integers wanted, as in the reference, got dtype float64"):
        ndb(reference, reference / 255, k=3)
    with pytest.raises(ValueError, match="samples: floating point numbers wanted"):
        ndb(reference / 255, reference, k=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": np.zeros(5)}, r"reference: samples of shape \(n, \.\.\.\)"),
        ({"reference": np.zeros((5, 0))}, "at least 1 value each"),
        ({"reference": np.zeros((0, 4))}, "at least 1 samples wanted, got 0"),
        ({"reference": np.full((30, 2), np.nan)}, "reference: 60 of 60 values are NaN or infinite"),
        ({"reference": np.zeros((30, 2), complex)}, "reference: real numbers wanted"),
        ({"reference": np.zeros((30, 2))}, "at least k=3 different samples wanted, got 1 among 30"),
        ({"samples": np.zeros((4, 3))}, "samples: the reference's 2 values each wanted, got 3"),
        ({"samples": np.zeros((0, 2))}, "samples: at least 1 samples wanted"),
        ({"samples": np.full((4, 2), np.inf)}, "samples: 8 of 8 values"),
        ({"k": 0}, "k: a whole number >= 1 wanted, got 0"),
        ({"k": 2.0}, "k: a whole number"),
        ({"starts": 0}, "starts: a whole number"),
        ({"seed": -1}, "seed: a whole number >= 0"),
        ({"seed": 2**32}, r"seed: below 2\^32"),
        ({"dimensions": 3}, "dimensions: at most the 2 of a sample wanted, got 3"),
        ({"dimensions": 0}, "dimensions: a whole number"),
        ({"alpha": 1.0}, "alpha=1.0"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], message: str) -> None:
    given: dict[str, object] = {"reference": blobs([10, 10, 10]), "samples": blobs([4, 4, 4]), "k": 3}
    with pytest.raises(ValueError, match=message):
        ndb(**(given | change))  # type: ignore[arg-type]
