"""The values that each metric can have, for intervals that stay inside."""

from __future__ import annotations

import math

from bench.spec.protocols import NDB_BINS, PROTOCOLS
from metrics.statistics.bounded import ANY, Range, image_ends

_PERCENT, _SHARE, _DISTANCE = Range(0.0, 100.0, share=True), Range(0.0, 1.0, share=True), Range(low=0.0)
RANGES = {
    "accuracy": _PERCENT, "alignment": _PERCENT, "hungarian": _PERCENT,
    "precision": _SHARE, "recall": _SHARE, "coverage": _SHARE,
    "nmi": Range(0.0, 1.0), "ari": Range(-0.5, 1.0), "jsd": Range(0.0, math.log(2)), "ndb": Range(0.0, float(NDB_BINS)),
    "fid": _DISTANCE, "lpips": _DISTANCE, "lpips_across": _DISTANCE, "judge_diversity": _DISTANCE,
    "density": _DISTANCE, "kid": ANY,
}  # fmt: skip
"""Metric -> range. KID is an unbiased estimate, which can be negative."""
OF_REAL_IMAGES = ("recall", "coverage")
"""Metrics that are a share of the real images, not of the translations."""


def metric_range(protocol: str) -> Range:
    """The range of the values by `protocol`; every number for an unknown one."""
    return RANGES.get(PROTOCOLS[protocol].metric, ANY) if protocol in PROTOCOLS else ANY


def ends_over_images(
    protocol: str, value: float, deviation: float | None, images: tuple[int, int] | None
) -> tuple[float, float] | None:
    """95 % interval over images of a value by `protocol`; None where neither a deviation nor the images are known.

    `images`: (n, n_reference); None: they differ between the seeds.
    """
    within, (n, n_reference) = metric_range(protocol), images or (0, 0)
    of_real = protocol in PROTOCOLS and PROTOCOLS[protocol].metric in OF_REAL_IMAGES
    return image_ends(value, deviation, n_reference if of_real else n, within)


def share_ends(protocol: str, value: float | None, images: tuple[int, int] | None) -> tuple[float, float] | None:
    """`ends_over_images` of a share of images, of which an interval over seeds is never narrower; None of others."""
    return ends_over_images(protocol, value, None, images) if value is not None else None
