"""One measured value as it is stored and shown. Imports nothing, so that readers of records need no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """One value, or why there is none."""

    metric: str
    protocol: str
    direction: str
    label: str
    """Class of the sources, or `all`."""
    value: float | None
    n: int
    """Number of translated images (accuracy, distributions) or of sources (diversity)."""
    n_reference: int
    """Number of real images on the other side; 0 where there is none."""
    encoder: str
    """First 12 digits of the encoder's identity; empty if it is missing, `pixels` if there is none."""
    missing: str = ""
    """Reason why there is no value; empty if there is one."""
    on_real: float | None = None
    """The same measure on the target domain's own test images, where it has one (accuracy: the judge's)."""
    deviation: float | None = None
    """Standard deviation of the value because its images are a sample, by half-samples; None where not known."""
    floor: float | None = None
    """The same measure between real images of the target domain and others of them; distributions only."""
    floor_deviation: float | None = None
    """Sample standard deviation of the floor between random splits of the real images."""
    floor_n: int = 0
    """Real images that took the translations' place: n where there are enough."""
    floor_reference: int = 0
    """Real images on the other side: all that are left."""
