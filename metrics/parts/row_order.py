"""An order of rows that follows from their content, so that what is drawn from a seed does not depend on file order."""

from __future__ import annotations

from hashlib import sha256

import numpy as np


def row_keys(rows: np.ndarray) -> list[bytes]:
    """SHA-256 of each row of a finite real array (n, ...), of its values as little-endian float64.

    Equal values have equal keys whatever their dtype; 0.0 and -0.0 are equal.
    """
    return [sha256((np.asarray(row, "<f8") + 0.0).tobytes()).digest() for row in rows]


def content_order(keys: list[bytes]) -> np.ndarray:
    """int64 (n,): the indices that sort rows by their `keys`; only the places of equal rows depend on the input."""
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)


def in_content_order(rows: np.ndarray) -> np.ndarray:
    """Sort rows (n, ...) by their content, so that no bit of a sum depends on the order in which they came."""
    return rows[content_order(row_keys(rows))]


def pair_order(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """int64 (n,): indices that sort the pairs of row i of `a` (n, ...) and row i of `b` (n, ...) by their content.

    Sorted within a pair, so that it is the same order for (a, b) and for (b, a).
    """
    return content_order([b"".join(sorted(pair)) for pair in zip(row_keys(a), row_keys(b), strict=True)])
