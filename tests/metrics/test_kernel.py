"""The kernel distance against hand-computed values, exact fractions, other estimators' sums, and torch-fidelity."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, permutations, product
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from real_files import INCEPTION, pacs, real_file

from metrics.kernel import kernel_distance, per_class_kernel, subset_kernel_distance
from metrics.parts.per_class import ClassDistance


def exact(x: np.ndarray, y: np.ndarray) -> Fraction:
    """The definition, pair by pair, without any rounding."""
    d = x.shape[1]
    x_rows, y_rows = ([[Fraction(float(v)) for v in row] for row in features] for features in (x, y))

    def mean(pairs: object) -> Fraction:
        kernels = [(sum((p * q for p, q in zip(a, b, strict=True)), Fraction(0)) / d + 1) ** 3 for a, b in pairs]
        return sum(kernels, Fraction(0)) / len(kernels)

    within = mean(permutations(x_rows, 2)) + mean(permutations(y_rows, 2))
    return within - 2 * mean(product(x_rows, y_rows))


def scale(*sets: np.ndarray) -> float:
    """What rounding is relative to: no kernel value is larger."""
    return float((max((features.astype(np.float64) ** 2).mean(axis=1).max() for features in sets) + 1) ** 3)


def features_like(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """(n, d) features as an Inception network's: not negative, many of them 0."""
    return np.maximum(rng.standard_normal((n, d)), 0) * rng.uniform(0, 1, d)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20180104)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        # width 1, k = (ab + 1)³: within x 1, within y 7³, between (1 + 1 + 27 + 64) / 4
        ([[0], [1]], [[2], [3]], 1 + 343 - 2 * 93 / 4),
        # unequal n: within x 1, within y (7³ + 1 + 1) / 3, between (1 + 1 + 1 + 27 + 64 + 1) / 6
        ([[0], [1]], [[2], [3], [0]], 1 + 115 - 2 * 95 / 6),
        # width 2: the product is halved. Within x (0 + 1)³, within y (4/2 + 1)³, between (2³ + 2³ + 2³ + 1) / 4
        ([[1, 0], [0, 1]], [[2, 2], [2, -0.0]], 1 + 27 - 2 * (8 + 8 + 8 + 1) / 4),
        # one set twice: -1 times what the missing diagonal adds, 1 + 1 - 2 (1 + 1 + 1 + 8) / 4
        ([[0], [1]], [[1], [0]], -3.5),
        ([[-1], [-1]], [[1], [1]], 8 + 8 - 2 * 0),
    ],
)
def test_by_hand(x: list[list[float]], y: list[list[float]], expected: float) -> None:
    assert kernel_distance(np.array(x, np.float32), np.array(y, np.float32)) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize(("n", "m", "d"), [(2, 2, 1), (5, 9, 3), (12, 7, 20)])
def test_equals_exact_fractions(rng: np.random.Generator, n: int, m: int, d: int, offset: float) -> None:
    x, y = rng.standard_normal((n, d)) + offset, rng.standard_normal((m, d)) + offset
    assert kernel_distance(x, y) == pytest.approx(float(exact(x, y)), rel=0, abs=1e-14 * scale(x, y))


@pytest.mark.parametrize(("n", "m"), [(4, 4), (5, 3)])
def test_mean_over_all_subsets_is_the_value_of_the_whole(rng: np.random.Generator, n: int, m: int) -> None:
    """Only the unbiased estimator has this: the biased one grows as the subsets shrink."""
    x, y = rng.standard_normal((n, 6)), rng.standard_normal((m, 6)) + 1
    values = [
        kernel_distance(x[list(i)], y[list(j)]) for i in combinations(range(n), 2) for j in combinations(range(m), 2)
    ]
    assert fmean(values) == pytest.approx(kernel_distance(x, y), rel=1e-12)


@pytest.mark.parametrize(("n", "m", "d"), [(30, 30, 2048), (40, 25, 64)])
def test_one_full_subset_equals_torch_fidelity(rng: np.random.Generator, n: int, m: int, d: int) -> None:
    x, y = features_like(rng, n, d), 1.2 * features_like(rng, m, d) + 0.1
    size = min(n, m)  # torch-fidelity's estimator wants equal sets
    assert kernel_distance(x[:size], y[:size]) == pytest.approx(by_torch_fidelity(x[:size], y[:size]), abs=1e-9)


@pytest.mark.filterwarnings("ignore")  # torch-fidelity's own
def test_equals_torch_fidelity_on_real_images() -> None:
    """8 PACS sketches against 8 photographs through the FID network: same features, float64 here and float32 there."""
    from metrics.encoders import TF1, InceptionEncoder, InceptionNetwork

    encoder = InceptionEncoder(InceptionNetwork(real_file(INCEPTION)), TF1)
    sketches, photos = (encoder(pacs(real_file(f"datasets/pacs/{domain}"), 8)) for domain in ("sketch", "photo"))
    ours = kernel_distance(sketches, photos)
    assert ours == pytest.approx(by_torch_fidelity(sketches, photos), abs=1e-6)
    assert abs(kernel_distance(photos[::2], photos[1::2])) < ours / 4


def by_torch_fidelity(x: np.ndarray, y: np.ndarray) -> float:
    """Its KID of one subset that is the whole set: the mean over one draw, and the order does not matter."""
    import torch
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    result = kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=1, kid_subset_size=len(x), rng_seed=3, verbose=False
    )
    return float(result[KEY_METRIC_KID_MEAN])


def test_no_bias_at_any_n(rng: np.random.Generator) -> None:
    """Means over 400 draws of one distribution: 0 within 4 standard errors; the biased form is off by far more."""
    for n in (2, 5, 20):
        draws = rng.standard_normal((400, 2, n, 4))
        values = [kernel_distance(x, y) for x, y in draws]
        assert abs(np.mean(values)) < 4 * np.std(values) / 20
        assert min(values) < 0


@pytest.mark.parametrize("block", [1, 2, 7, 19, 20, 1000])
def test_block_size_does_not_matter(rng: np.random.Generator, block: int) -> None:
    x, y = features_like(rng, 20, 33), features_like(rng, 13, 33) + 0.5
    assert kernel_distance(x, y, block=block) == pytest.approx(kernel_distance(x, y), rel=1e-12)


def test_memory_is_bounded_by_the_block(rng: np.random.Generator) -> None:
    """1,500 vectors: no matrix of 1,500 x 1,500 (18 MB), only blocks of 100 x 100."""
    import tracemalloc

    x, y = rng.standard_normal((2, 1500, 8))
    tracemalloc.start()
    try:
        kernel_distance(x, y, block=100)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * (x.nbytes + y.nbytes) + 3 * 100 * 100 * 8 + 100_000


def test_order_and_dtype_change_nothing(rng: np.random.Generator) -> None:
    x, y = features_like(rng, 60, 40).astype(np.float32), features_like(rng, 50, 40).astype(np.float32)
    distance = kernel_distance(x, y, block=16)
    for _ in range(5):
        assert kernel_distance(rng.permutation(x), rng.permutation(y), block=16) == distance
    assert kernel_distance(x.astype(np.float64), np.asfortranarray(y), block=16) == distance


@st.composite
def degenerate_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of 2 to 40 vectors of width 1 to 64: full, of rank 1, constant, or with repeats."""
    d = draw(st.integers(1, 64))
    values = st.floats(-100, 100, width=32)

    def features() -> np.ndarray:
        n, kind = draw(st.integers(2, 40)), draw(st.sampled_from(["full", "rank 1", "constant", "repeats"]))
        if kind == "full":
            return draw(arrays(np.float32, (n, d), elements=values))
        if kind == "rank 1":
            return np.outer(draw(arrays(np.float32, n, elements=values)), draw(arrays(np.float32, d, elements=values)))
        few = draw(arrays(np.float32, (1 if kind == "constant" else 2, d), elements=values))
        return few[np.arange(n) % len(few)]

    return features(), features()


@settings(max_examples=40, deadline=None)
@given(degenerate_pairs(), st.randoms(use_true_random=False))
def test_finite_symmetric_and_independent_of_order(pair: tuple[np.ndarray, np.ndarray], random: object) -> None:
    x, y = pair
    distance = kernel_distance(x, y)
    rounding = 1e-13 * scale(x, y)
    assert np.isfinite(distance)
    assert kernel_distance(y, x) == pytest.approx(distance, abs=rounding, rel=1e-10)
    assert kernel_distance(x, y, block=3) == pytest.approx(distance, abs=rounding, rel=1e-10)
    order = list(range(len(x)))
    random.shuffle(order)
    assert kernel_distance(x[order], y[::-1]) == pytest.approx(distance, abs=0, rel=1e-10)


@settings(max_examples=20, deadline=None)
@given(arrays(np.float32, (2, 5), elements=st.floats(-50, 50, width=32)), st.integers(2, 9), st.integers(2, 9))
def test_constant_sets(vectors: np.ndarray, n: int, m: int) -> None:
    """All vectors a, all vectors b: k(a, a) + k(b, b) - 2 k(a, b), whatever n and m."""
    a, b = vectors.astype(np.float64)
    expected = (a @ a / 5 + 1) ** 3 + (b @ b / 5 + 1) ** 3 - 2 * (a @ b / 5 + 1) ** 3
    result = kernel_distance(np.tile(a, (n, 1)), np.tile(b, (m, 1)))
    assert result == pytest.approx(expected, abs=1e-13 * scale(vectors))
    assert abs(kernel_distance(np.tile(a, (n, 1)), np.tile(a, (m, 1)))) <= 1e-13 * scale(vectors)


# ------------------------------------------------------------------------------------------------------ subsets


def test_one_subset_of_everything_is_the_full_form(rng: np.random.Generator) -> None:
    x, y = features_like(rng, 17, 12), features_like(rng, 17, 12) + 0.3
    full = kernel_distance(x, y)
    for block in (1, 5, 1024):
        drawn = subset_kernel_distance(x, y, subsets=3, subset_size=17, seed=1, block=block)
        assert drawn == pytest.approx(full, rel=1e-12)


def test_subsets_are_of_the_seed_and_expect_the_full_form(rng: np.random.Generator) -> None:
    x, y = features_like(rng, 30, 12), features_like(rng, 40, 12) + 0.3
    one, same, other = (subset_kernel_distance(x, y, subsets=5, subset_size=8, seed=seed) for seed in (4, 4, 5))
    assert one == same != other
    single = [subset_kernel_distance(x, y, subsets=1, subset_size=8, seed=seed) for seed in range(200)]
    error = np.std(single) / np.sqrt(200)
    assert np.mean(single) == pytest.approx(kernel_distance(x, y), abs=4 * error)
    many = subset_kernel_distance(x, y, subsets=200, subset_size=8, seed=9)
    assert many == pytest.approx(kernel_distance(x, y), abs=4 * error)


def test_a_subset_holds_no_vector_twice() -> None:
    """All different, so a draw of all of them without replacement is the set, and any repeat would change the value."""
    x = 10.0 ** np.arange(4)[:, None]
    full = kernel_distance(x, x + 1)
    for seed in range(10):
        drawn = subset_kernel_distance(x, x + 1, subsets=1, subset_size=4, seed=seed)
        assert drawn == pytest.approx(full, abs=1e-13 * scale(x + 1))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"subset_size": 6}, r"subset_size: 2 to 5 \(the smaller set\) wanted, got 6"),
        ({"subset_size": 1}, "subset_size: 2 to 5"),
        ({"subset_size": 2, "subsets": 0}, "got subsets=0"),
        ({"subset_size": 2, "seed": -1}, "seed=-1"),
        ({"subset_size": 2, "block": 0}, "block=0"),
        ({}, "subset_size: 2 to 5 .* got 1000"),
    ],
)
def test_impossible_subsets_are_named(given: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        subset_kernel_distance(np.zeros((8, 2)), np.zeros((5, 2)), **given)


# ------------------------------------------------------------------------------------------- per class, wrong inputs


def test_per_class(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((7, 4)), rng.standard_normal((6, 4))
    x_labels, y_labels = np.array([0, 1, 0, 1, 1, 2, 0]), np.array([1, 0, 1, 0, 2, 2])
    result = per_class_kernel(x, x_labels, y, y_labels, classes=range(4))
    assert result[0] == ClassDistance(kernel_distance(x[[0, 2, 6]], y[[1, 3]]), 3, 2)
    assert result[1] == ClassDistance(kernel_distance(x[[1, 3, 4]], y[[0, 2]]), 3, 2)
    assert [(result[k].value, result[k].n, result[k].m) for k in (2, 3)] == [(None, 1, 2), (None, 0, 0)]
    assert result[2].reason == "class 2: at least 2 feature vectors on each side wanted, got 1 and 2"
    with pytest.raises(ValueError, match="x_labels: 7 labels wanted, got 6"):
        per_class_kernel(x, x_labels[:6], y, y_labels, classes=[0])


@pytest.mark.parametrize("distance", [kernel_distance, subset_kernel_distance])
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros(5), np.zeros((5, 2)), r"x: features of shape \(n, d\)"),
        (np.zeros((5, 2)), np.zeros((1, 2)), "y: at least 2 feature vectors"),
        (np.zeros((5, 2)), np.zeros((5, 3)), "equal width wanted, got 2 and 3"),
        (np.zeros((5, 0)), np.zeros((5, 0)), "d >= 1"),
        (np.full((5, 2), np.nan), np.zeros((5, 2)), "x: 10 of 10 values are NaN or infinite"),
        (np.zeros((5, 2)), np.zeros((5, 2), complex), "y: real numbers wanted, got dtype complex128"),
        (np.zeros((5, 2)), np.full((5, 2), -1e60), r"y: features of at most 1e\+40 in size wanted, got 1e\+60"),
    ],
)
def test_wrong_features_are_named(distance: object, x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        distance(x, y)


def test_block_of_nothing() -> None:
    with pytest.raises(ValueError, match="block: at least 1 wanted, got 0"):
        kernel_distance(np.zeros((5, 2)), np.zeros((5, 2)), block=0)


def test_the_largest_features_allowed_give_a_number() -> None:
    x, y = np.full((3, 2), 1e40), np.full((3, 2), -1e40)
    assert kernel_distance(x, y) == pytest.approx(2 * 1e240 + 2 * 1e240, rel=1e-12)
