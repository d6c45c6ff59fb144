"""The linear probe against its definition, computed without scikit-learn, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from metrics.probe import INVERSE_REGULARISATION, apply_probe, fit_probe


def classes_apart(n: int, width: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features around a centre of each class, on scales that differ by a factor of 10^4."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = np.random.default_rng(7).normal(0, 2, (classes, width))
    scales = np.logspace(-2, 2, width)
    return (centres[labels] + rng.normal(0, 1, (n, width))) * scales + 3 * scales, labels


@pytest.mark.parametrize("classes", [2, 5])
def test_its_gradient_is_zero_where_it_ends(classes: int) -> None:
    x, y = classes_apart(60, 8, classes)
    probe = fit_probe(x, y, classes)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    z = (x - mean) / scale
    weights = probe[:, :-1] * scale
    constants = probe[:, -1] + probe[:, :-1] @ mean
    logits = z @ weights.T + constants
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    error = shares - np.eye(classes)[y]
    # Sum of log losses times C, plus half the squared norm; two classes share one vector of weights in scikit-learn.
    penalty = weights if classes > 2 else 2 * weights
    gradient = INVERSE_REGULARISATION * error.T @ z + penalty
    assert np.abs(gradient).max() < 1e-3 * max(1.0, np.abs(penalty).max())


def test_it_tells_classes_apart_that_it_was_fitted_to_and_new_ones() -> None:
    probe = fit_probe(*classes_apart(200, 16, 4), 4)
    x, y = classes_apart(200, 16, 4, seed=1)
    assert (apply_probe(probe, x) == y).mean() > 0.95
    assert (apply_probe(probe, x[:, ::-1]) == y).mean() < 0.6, "other features are not read as these"


def test_a_constant_feature_and_the_order_of_rows_change_nothing() -> None:
    x, y = classes_apart(80, 6, 3)
    probe = fit_probe(x, y, 3)
    with_constant = fit_probe(np.column_stack([x, np.full(80, 5.0)]), y, 3)
    assert np.allclose(with_constant[:, :-2], probe[:, :-1], rtol=1e-3, atol=1e-9)
    assert (with_constant[:, -2] == 0).all()
    order = np.random.default_rng(2).permutation(80)
    assert (apply_probe(fit_probe(x[order], y[order], 3), x) == apply_probe(probe, x)).all()


def test_what_it_refuses() -> None:
    x, y = classes_apart(20, 4, 2)
    with pytest.raises(ValueError, match="labels of every class"):
        fit_probe(x, y, 3)
    with pytest.raises(ValueError, match="20 features, but 19 labels"):
        fit_probe(x, y[1:], 2)
    with pytest.raises(ValueError, match="features"):
        fit_probe(np.full_like(x, np.nan), y, 2)
    with pytest.raises(ValueError, match="width 4 wanted, got 3"):
        apply_probe(fit_probe(x, y, 2), x[:, :3])
