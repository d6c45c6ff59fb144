"""The Fréchet distance against closed forms, against scipy's matrix root, and against torch-fidelity on real images."""

from __future__ import annotations

import time

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from real_files import INCEPTION, pacs, real_file

from metrics.frechet import (
    ClassDistance,
    Moments,
    ReferenceMoments,
    frechet_between_moments,
    frechet_distance,
    frechet_to_reference,
    moments,
    per_class_frechet,
)
from metrics.parts.input_checks import pinned_blas


def exact_sample(rng: np.random.Generator, n: int, mean: np.ndarray, root: np.ndarray) -> np.ndarray:
    """(n, d) features whose sample mean is `mean` and whose sample covariance is root.T @ root, up to rounding."""
    noise = rng.standard_normal((n, len(root)))
    orthonormal = np.linalg.qr(noise - noise.mean(axis=0))[0]
    return mean + np.sqrt(n - 1) * orthonormal @ root


def power_law(rng: np.random.Generator, n: int, d: int, exponent: float = 0.5) -> np.ndarray:
    """(n, d) correlated features whose spectrum falls as that of real ones."""
    mixing = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -exponent @ mixing


def trace_of(*sets: np.ndarray) -> float:
    return float(sum(features.var(axis=0, ddof=1).sum() for features in sets))


def by_sqrtm(x: np.ndarray, y: np.ndarray) -> float:
    """The textbook formula with scipy's matrix square root."""
    s_x, s_y = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    cross = np.trace(scipy.linalg.sqrtm(s_x @ s_y).real)
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s_x) + np.trace(s_y) - 2 * cross)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)


# n below, at and above d = 8: the cross-Gram, its edge, and the covariance form.
@pytest.mark.parametrize(("n", "m"), [(9, 9), (9, 200), (200, 9), (300, 200)])
def test_gaussians_with_commuting_covariances(rng: np.random.Generator, n: int, m: int) -> None:
    sd_x, sd_y = np.linspace(0.5, 2, 8), np.linspace(3, 0.1, 8)
    mean = rng.standard_normal(8)
    x, y = exact_sample(rng, n, mean, np.diag(sd_x)), exact_sample(rng, m, mean + 0.5, np.diag(sd_y))
    assert frechet_distance(x, y) == pytest.approx(8 * 0.25 + ((sd_x - sd_y) ** 2).sum(), rel=1e-10)


@pytest.mark.parametrize("n", [3, 50])
def test_gaussians_with_covariances_that_do_not_commute(rng: np.random.Generator, n: int) -> None:
    roots = np.array([[1.0, 2.0], [0.0, 0.3]]), np.array([[0.7, 0.0], [-1.1, 1.5]])
    s_x, s_y = (root.T @ root for root in roots)
    x, y = (exact_sample(rng, n, np.zeros(2), root) for root in roots)
    # 2 x 2: tr sqrt(M) = sqrt(tr M + 2 sqrt(det M))
    cross = np.sqrt(np.trace(s_x @ s_y) + 2 * np.sqrt(np.linalg.det(s_x @ s_y)))
    assert frechet_distance(x, y) == pytest.approx(np.trace(s_x) + np.trace(s_y) - 2 * cross, rel=1e-10)


def rotated(rng: np.random.Generator, *sets: np.ndarray) -> list[np.ndarray]:
    """The sets in other coordinates, the same for all: no direction is along an axis any more."""
    axes = rng.standard_normal((3, sets[0].shape[1]))
    for axis in axes / np.linalg.norm(axes, axis=1, keepdims=True):
        sets = tuple(features - 2 * np.outer(features @ axis, axis) for features in sets)  # a reflection
    return list(sets)


BELOW_AND_ABOVE = [
    (20, 30, 64), (60, 300, 64), (300, 60, 64), (300, 200, 64), (65, 66, 64), (100, 100, 2048), (30, 2, 2048),
    pytest.param(2500, 700, 2048, marks=pytest.mark.slow),
    pytest.param(2500, 3000, 2048, marks=pytest.mark.slow),
]  # fmt: skip


@pytest.mark.parametrize(("n", "m", "d"), BELOW_AND_ABOVE)
def test_gaussians_whose_covariances_share_their_axes(rng: np.random.Generator, n: int, m: int, d: int) -> None:
    """Samples of exactly these moments: n vectors vary along the first n - 1 axes, m along the last m - 1.

    |shift|² + sum of (sd_x - sd_y)², where an axis along which a set does not vary has sd 0.
    """
    sd_x, sd_y = rng.uniform(0.1, 3, d), rng.uniform(0.1, 3, d)
    sd_x[n - 1 :], sd_y[: d - min(d, m - 1)] = 0, 0
    shift = rng.standard_normal(d)
    x = exact_sample(rng, n, np.ones(d), np.diag(sd_x)[sd_x > 0])
    y = exact_sample(rng, m, np.ones(d) + shift, np.diag(sd_y)[sd_y > 0])
    x, y = rotated(rng, x, y)
    expected = (shift**2).sum() + ((sd_x - sd_y) ** 2).sum()
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-11)
    assert frechet_distance(x.astype(np.float32), y.astype(np.float32)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("n", "d"), [(12, 12), (12, 64), (500, 64), (40, 2048)])
def test_gaussians_of_any_covariances(rng: np.random.Generator, n: int, d: int) -> None:
    """Two covariances of rank 8 in one space of 8 directions: the cross trace from the eigenvalues of their product."""
    a, b = (rng.standard_normal((8, 8)) + 2 * np.eye(8) for _ in range(2))
    directions = np.linalg.qr(rng.standard_normal((d, 8)))[0].T  # (8, d)
    x, y = (exact_sample(rng, n, np.zeros(d), root @ directions) for root in (a, b))
    cross = np.sqrt(np.linalg.eigvals(a.T @ a @ b.T @ b).real).sum()
    assert frechet_distance(x, y) == pytest.approx((a**2).sum() + (b**2).sum() - 2 * cross, rel=1e-10)


@pytest.mark.parametrize(("n", "m", "d"), [(20, 30, 64), (300, 200, 64), (60, 300, 64)])
def test_grows_with_a_shift(rng: np.random.Generator, n: int, m: int, d: int) -> None:
    """By t² |v|² - 2 t gapᵀv exactly, so without end once it grows."""
    x, y, v = power_law(rng, n, d), power_law(rng, m, d), rng.standard_normal(d)
    gap = x.mean(axis=0) - y.mean(axis=0)
    v *= -np.sign(gap @ v)  # away from x
    steps = np.array([0, 1e-6, 1e-3, 0.1, 1, 10, 1000])
    distances = np.array([frechet_distance(x, y + t * v) for t in steps])
    assert (np.diff(distances) > 0).all()
    added = steps**2 * (v @ v) - 2 * steps * (gap @ v)
    assert distances - distances[0] == pytest.approx(added, rel=1e-9, abs=1e-12 * trace_of(x, y))


@pytest.mark.parametrize(("n", "m"), [(5, 5), (40, 12), (12, 40), (40, 60)])
def test_few_directions(rng: np.random.Generator, n: int, m: int) -> None:
    """Each set varies along one direction of 12 (a collapsed generator): tr (S_x S_y)^½ = sd_x sd_y |cos|."""
    u, v = rng.standard_normal((2, 12))
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    a, b = rng.standard_normal((n, 1)), rng.standard_normal((m, 1))
    sd_a, sd_b = a.std(ddof=1), b.std(ddof=1)
    expected = ((a.mean() * u - b.mean() * v) ** 2).sum() + sd_a**2 + sd_b**2 - 2 * sd_a * sd_b * abs(u @ v)
    assert frechet_distance(a * u, b * v) == pytest.approx(expected, rel=1e-9)


def test_collapsed_against_full_set_above_the_width(rng: np.random.Generator) -> None:
    """By covariances each of 63 null directions would leave the square root of rounding: 1e-8, not 1e-16."""
    full, u = power_law(rng, 300, 64), rng.standard_normal(64)
    a = rng.standard_normal((300, 1))
    # tr (S S_y)^½ with S = sd² u uᵀ is sd sqrt(uᵀ S_y u)
    cross = a.std(ddof=1) * np.sqrt(u @ np.cov(full, rowvar=False) @ u)
    shift = ((a.mean() * u - full.mean(0)) ** 2).sum()
    expected = shift + trace_of(a * u, full) - 2 * cross
    assert frechet_distance(a * u, full) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(full, a * u) == pytest.approx(expected, rel=1e-12)


SHAPES = [(2, 1), (2, 7), (5, 7), (7, 7), (8, 7), (100, 7), (2, 2048), (30, 2048)]


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_identical_sets_have_distance_zero(rng: np.random.Generator, n: int, d: int) -> None:
    x = rng.standard_normal((n, d)) + 3
    assert frechet_distance(x, x.copy()) <= 1e-12 * trace_of(x)
    repeated = x[np.arange(3 * n) % max(1, n // 2)]  # duplicates, rank n/2 - 1, and n above d for small d
    assert frechet_distance(repeated, repeated) <= 1e-12 * trace_of(x)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_a_shift_adds_its_squared_length(rng: np.random.Generator, n: int, d: int) -> None:
    x, shift = rng.standard_normal((n, d)), rng.standard_normal(d)
    assert frechet_distance(x, x + shift) == pytest.approx((shift**2).sum(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("n", "m", "d"), [(20, 20, 50), (20, 70, 50), (80, 70, 50)])
def test_symmetric_and_independent_of_order_and_dtype(rng: np.random.Generator, n: int, m: int, d: int) -> None:
    x, y = power_law(rng, n, d).astype(np.float32), power_law(rng, m, d).astype(np.float32) + 0.25
    distance = frechet_distance(x, y)
    assert frechet_distance(y, x) == pytest.approx(distance, rel=1e-12)
    assert frechet_distance(rng.permutation(x), rng.permutation(y)) == distance
    assert frechet_distance(x.astype(np.float64), y) == distance


@pytest.mark.parametrize(("n", "m", "d"), [(40, 40, 8), (200, 100, 32), (33, 500, 32)])
def test_agrees_with_the_matrix_square_root(rng: np.random.Generator, n: int, m: int, d: int) -> None:
    x, y = power_law(rng, n, d), 1.3 * power_law(rng, m, d) + 0.1
    assert frechet_distance(x, y) == pytest.approx(by_sqrtm(x, y), rel=1e-4)


@pytest.mark.parametrize("exponent", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("n", [20, 70, 300])
def test_all_forms_agree(rng: np.random.Generator, n: int, exponent: float) -> None:
    """Cross-Gram, kept reference, moments alone: the same number, whatever the conditioning."""
    x, y = power_law(rng, n, 64, exponent), power_law(rng, 90, 64, exponent) + 0.1
    a, b = ((z - z.mean(0)) / np.sqrt(len(z) - 1) for z in (x, y))
    shift = ((x.mean(0) - y.mean(0)) ** 2).sum()
    expected = shift + trace_of(x, y) - 2 * np.linalg.svd(a @ b.T, compute_uv=False).sum()
    tolerance = 1e-6 * trace_of(x, y)
    reference = ReferenceMoments.from_features(y)
    assert frechet_distance(x, y) == pytest.approx(expected, abs=tolerance)
    assert frechet_to_reference(x, reference) == pytest.approx(expected, abs=tolerance)
    assert frechet_between_moments(moments(x), reference) == pytest.approx(expected, abs=tolerance)
    assert reference.root @ reference.root.T == pytest.approx(moments(y).covariance, abs=1e-12)


def test_constant_features(rng: np.random.Generator) -> None:
    x = rng.standard_normal((10, 4))
    for count in (3, 30):  # below and above the width
        constant = np.full((count, 4), 2.5)
        expected = trace_of(x) + ((x.mean(0) - 2.5) ** 2).sum()
        assert frechet_distance(x, constant) == pytest.approx(expected, rel=1e-12)
        assert frechet_distance(constant, constant) == 0


def test_two_vectors_of_width_one() -> None:
    x, y = np.array([[0.0], [2.0]]), np.array([[5.0], [11.0]])  # means 1, 8; variances 2, 18
    assert frechet_distance(x, y) == pytest.approx(49 + (18**0.5 - 2**0.5) ** 2)


values = st.floats(-1e4, 1e4, width=32)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4).flatmap(lambda d: st.tuples(*(arrays(np.float32, (n, d), elements=values) for n in (2, 6)))))
def test_finite_symmetric_and_not_negative(pair: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = pair
    distance = frechet_distance(x, y)
    assert np.isfinite(distance)
    assert distance >= 0
    scale = 1e-7 * (1 + trace_of(x.astype(np.float64), y.astype(np.float64)))
    assert frechet_distance(y, x) == pytest.approx(distance, abs=scale, rel=1e-9)
    assert frechet_distance(y, y) <= 1e-12 * trace_of(y.astype(np.float64)) + 1e-12


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros(5), np.zeros((5, 2)), r"x: features of shape \(n, d\)"),
        (np.zeros((5, 2)), np.zeros((1, 2)), "y: at least 2 feature vectors"),
        (np.zeros((5, 2)), np.zeros((5, 3)), "equal width wanted, got 2 and 3"),
        (np.zeros((5, 0)), np.zeros((5, 0)), "d >= 1"),
        (np.full((5, 2), np.nan), np.zeros((5, 2)), "x: 10 of 10 values are NaN or infinite"),
        (np.zeros((5, 2)), np.array([[0, np.inf], [0, 0]]), "y: 1 of 4"),
        (np.zeros((5, 2)), np.zeros((5, 2), complex), "y: real numbers wanted, got dtype complex128"),
        (np.full((5, 2), 1e120), np.zeros((5, 2)), r"x: features of at most 1e\+100 in size wanted, got 1e\+120"),
        (
            np.zeros((5, 2)),
            np.array([[-1e120, 0], [1, 2]]),
            r"y: features of at most 1e\+100 in size wanted, got 1e\+120",
        ),
    ],
)
def test_wrong_features_are_named(x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frechet_distance(x, y)


def test_wrong_moments_are_named() -> None:
    with pytest.raises(ValueError, match="eigenvalues >= 0 wanted, got -1"):
        ReferenceMoments.from_moments(Moments(np.zeros(2), np.diag([2.0, -1.0]), 5))
    with pytest.raises(ValueError, match="covariance"):
        ReferenceMoments.from_moments(Moments(np.zeros(3), np.eye(2), 5))
    reference = ReferenceMoments.from_features(np.eye(3))
    with pytest.raises(ValueError, match="reference's width 3 wanted, got 2"):
        frechet_to_reference(np.eye(2), reference)
    with pytest.raises(ValueError, match="reference's width 3 wanted, got 2"):
        frechet_between_moments(moments(np.eye(2)), reference)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_the_root_of_a_covariance_leaves_out_what_is_rounding(rng: np.random.Generator, size: float) -> None:
    """Rank 5 of 40, in any unit: square roots of rounding would be directions that the set does not vary in."""
    y = size * rng.standard_normal((30, 5)) @ rng.standard_normal((5, 40))
    reference = ReferenceMoments.from_moments(Moments(y.mean(axis=0), np.cov(y, rowvar=False), 30))
    assert reference.root.shape == (40, 5)
    x = size * rng.standard_normal((30, 40))
    assert frechet_to_reference(x, reference) == pytest.approx(frechet_distance(x, y), rel=1e-10)


def test_a_reference_without_any_spread(rng: np.random.Generator) -> None:
    """The moments of one image, published or repeated: its covariance has no root, and the cross trace is 0."""
    x, point = rng.standard_normal((20, 3)), np.array([1.0, -2.0, 0.5])
    reference = ReferenceMoments.from_moments(Moments(point, np.zeros((3, 3)), 7))
    assert (reference.root.shape, reference.n) == ((3, 0), 7)
    expected = ((x.mean(axis=0) - point) ** 2).sum() + trace_of(x)
    assert frechet_between_moments(moments(x), reference) == pytest.approx(expected, rel=1e-12)
    assert frechet_to_reference(x, reference) == pytest.approx(expected, rel=1e-12)


def test_per_class(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((9, 4)), rng.standard_normal((8, 4))
    x_labels, y_labels = np.array([0, 0, 0, 1, 1, 1, 1, 2, 3]), np.array([0, 0, 1, 1, 1, 2, 2, 3])
    result = per_class_frechet(x, x_labels, y, y_labels, classes=range(5))
    assert result[0] == ClassDistance(frechet_distance(x[:3], y[:2]), 3, 2)
    assert result[1] == ClassDistance(frechet_distance(x[3:7], y[2:5]), 4, 3)
    assert [(result[k].value, result[k].n, result[k].m) for k in (2, 3, 4)] == [
        (None, 1, 2),
        (None, 1, 1),
        (None, 0, 0),
    ]
    assert result[4].reason == "class 4: at least 2 feature vectors on each side wanted, got 0 and 0"
    with pytest.raises(ValueError, match="y_labels: 8 labels wanted, got 7"):
        per_class_frechet(x, x_labels, y, y_labels[:7], classes=[0])


@pytest.mark.slow
def test_per_class_size_at_least_200_times_as_fast_as_the_matrix_root(rng: np.random.Generator) -> None:
    """n = 100 of width 2048. Measured: 1,700 times, on a busy machine."""
    x, y = power_law(rng, 100, 2048), power_law(rng, 100, 2048) + 0.01
    with pinned_blas():
        ours = min(_seconds(lambda: frechet_distance(x, y)) for _ in range(5))
        start = time.perf_counter()
        expected = by_sqrtm(x, y)
        theirs = time.perf_counter() - start
    print(f"frechet_distance {1e3 * ours:.1f} ms, sqrtm {theirs:.1f} s: {theirs / ours:.0f} times")
    assert theirs >= 200 * ours
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-4)


def _seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch-fidelity's own
@pytest.mark.parametrize("pair", ["sketches and photographs", "halves of the photographs"])
def test_fid_of_real_images_equals_torch_fidelity(pair: str) -> None:
    """100 PACS images against 100 at 64 px: network, resize and formula together, within 1e-4."""
    import torch
    import torch_fidelity

    from metrics.encoders import TF1, InceptionEncoder, InceptionNetwork

    class Images(torch.utils.data.Dataset):
        def __init__(self, images: np.ndarray) -> None:
            self.images = torch.from_numpy(images)

        def __len__(self) -> int:
            return len(self.images)

        def __getitem__(self, index: int) -> torch.Tensor:
            return self.images[index]

    weights = real_file(INCEPTION)
    if pair == "sketches and photographs":
        x, y = (pacs(real_file(f"datasets/pacs/{domain}"), 100) for domain in ("sketch", "photo"))
    else:
        photos = pacs(real_file("datasets/pacs/photo"), 200)
        x, y = photos[::2], photos[1::2]  # every class in both
    theirs = torch_fidelity.calculate_metrics(
        input1=Images(x), input2=Images(y), fid=True, feature_extractor_weights_path=str(weights),
        cuda=False, cache=False, verbose=False, batch_size=16,
    )["frechet_inception_distance"]  # fmt: skip
    encoder = InceptionEncoder(InceptionNetwork(weights), TF1)
    ours = frechet_distance(encoder(x), encoder(y))
    print(f"{pair}: FID {ours:.8f}, torch-fidelity {theirs:.8f}, relative difference {abs(ours / theirs - 1):.1e}")
    assert ours == pytest.approx(theirs, rel=1e-4)
