"""Metrics of others: what a package offers under the entry point `udt_bench.metrics`, or at `package.module:name`.

Both kinds get arrays and return numbers, and know nothing of files, devices and tasks. An exception, or a number that
is not finite, costs the metric's own cells of a table, which say why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metrics.encoders.base import ImageEncoder


@dataclass(frozen=True)
class ImageMetric:
    """A number for each translation, whose mean over all and over each class is reported."""

    values: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """Translations and their own sources, uint8 (N, 3, H, W) each -> N numbers. Each follows from its row alone."""
    formula: str
    """What it computes, in one line: it stands in `list protocols` and in the report."""
    higher_is_better: bool
    """Whether larger values are better."""
    unit: str = ""
    """Unit of the value."""


@dataclass(frozen=True)
class SetMetric:
    """A number for all translations against the real images of the target domain; the floor is computed, too."""

    value: Callable[[np.ndarray, np.ndarray], float]
    """Features of translations (n, width), features of real images (m, width), float32 -> a number."""
    formula: str
    """What it computes, in one line."""
    higher_is_better: bool
    """Whether larger values are better."""
    encoder: str | Callable[[], ImageEncoder] = "inception"
    """`inception`, `inception-clean`, `inception-pytorch`, `dinov2`, `judge` or `pixels` (uint8, flattened); or what
    makes an encoder of its own, when it is first needed. Its features are kept under its `name` and `identity`."""
    preparation: str = ""
    """Steps from uint8 images to the encoder's input, for the reader."""
    per_class: bool = False
    """Whether it is also computed within each class."""
    unit: str = ""
    """Unit of the value."""


Metric = ImageMetric | SetMetric
