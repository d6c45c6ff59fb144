"""Checks of the inputs of metrics, and the thread pinning of the linear algebra."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from threadpoolctl import threadpool_limits


def checked_features(features: np.ndarray, name: str, at_least: int = 2) -> np.ndarray:
    """`features` as float64 (n, d). ValueError that names `name` unless 2-D, real, n >= `at_least`, d >= 1, finite."""
    array = np.asarray(features)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"{name}: features of shape (n, d) with d >= 1 wanted, got {array.shape}")
    if len(array) < at_least:
        raise ValueError(f"{name}: at least {at_least} feature vectors wanted, got {len(array)}")
    return checked_finite(array, name)


def checked_feature_pair(x: np.ndarray, y: np.ndarray, largest: float = math.inf) -> tuple[np.ndarray, np.ndarray]:
    """Both as by `checked_features`; ValueError if their widths differ, or a value exceeds `largest` in size."""
    x, y = checked_features(x, "x"), checked_features(y, "y")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x and y: features of equal width wanted, got {x.shape[1]} and {y.shape[1]}")
    check_input_size(x, "x", largest)
    check_input_size(y, "y", largest)
    return x, y


def check_input_size(features: np.ndarray, name: str, largest: float) -> None:
    """ValueError that names `name` if a value of `features` (n, d) exceeds `largest` in size."""
    if max(features.max(), -features.min()) > largest:
        raise ValueError(f"{name}: features of at most {largest:g} in size wanted, got {np.abs(features).max():g}")


def checked_finite(values: np.ndarray, name: str) -> np.ndarray:
    """`values` as float64 of the same shape. ValueError unless they are real numbers without NaN and infinities."""
    array = np.asarray(values)
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise ValueError(f"{name}: real numbers wanted, got dtype {array.dtype}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: {int((~np.isfinite(array)).sum())} of {array.size} values are NaN or infinite")
    return array


def checked_samples(values: np.ndarray, name: str) -> np.ndarray:
    """`values` (n, ...) of 1 or more dimensions, of their own dtype: float64 would be 8 times an image's bytes.

    ValueError that names `name` unless they are real and finite.
    """
    array = np.asarray(values)
    if array.ndim == 0:
        raise ValueError(f"{name}: rows of shape (n, ...) wanted, got a single value")
    if not np.issubdtype(array.dtype, np.integer):  # integers are finite, and need no copy to know it
        checked_finite(array, name)
    return array


def checked_rows(samples: np.ndarray, name: str, at_least: int = 1) -> np.ndarray:
    """`samples` (n, ...), images or features, as (n, d) of their own dtype.

    ValueError that names `name` unless they are real and finite, of 2 or more dimensions, n >= `at_least`, d >= 1.
    """
    array = np.asarray(samples)
    if array.ndim < 2 or 0 in array.shape[1:]:
        raise ValueError(f"{name}: samples of shape (n, ...) with at least 1 value each wanted, got {array.shape}")
    if len(array) < at_least:
        raise ValueError(f"{name}: at least {at_least} samples wanted, got {len(array)}")
    return checked_samples(array, name).reshape(len(array), -1)


def checked_count(value: int, name: str, at_least: int = 1) -> int:
    """`value` as int. ValueError that names `name` unless it is a whole number >= `at_least`; True is none."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < at_least:
        raise ValueError(f"{name}: a whole number >= {at_least} wanted, got {value!r}")
    return int(value)


def checked_number(value: float, where: str) -> float:
    """`value` as float. ValueError that names `where` it came from unless it is finite."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"a finite value wanted, got {number} of {where}")
    return number


def checked_labels(labels: np.ndarray, name: str, count: int | None = None) -> np.ndarray:
    """`labels` as (n,) integers (booleans count as 0 and 1). ValueError unless 1-D, integer, and `count` of them."""
    array = np.asarray(labels)
    if array.ndim != 1 or not (np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_):
        raise ValueError(f"{name}: integer labels of shape (n,) wanted, got {array.dtype} {array.shape}")
    if count is not None and len(array) != count:
        raise ValueError(f"{name}: {count} labels wanted, got {len(array)}")
    return array.astype(np.int64)


@contextmanager
def pinned_blas(threads: int = 1) -> Iterator[None]:
    """Run BLAS on `threads` threads inside.

    With other work on the machine more threads wait for each other, and the linear algebra of a metric takes several
    times as long; and their number decides the order of sums, so the last digits.
    """
    with threadpool_limits(limits=threads, user_api="blas"):
        yield
