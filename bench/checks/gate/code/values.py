"""A value that is compared with the stored one, and how far apart the two may lie."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class ValueLimit:
    """Two numbers agree if they differ by at most absolute + relative * max(|stored|, the value's scale)."""

    relative: float
    absolute: float = 0.0


# Measured: the same code on the same inputs with oneDNN held to SSE4.1, torch's and OpenBLAS' kernels without vector
# instructions and MKL in its compatible mode, or with two threads, differs by up to 1e-15 (metrics), 5e-7 (input),
# 2e-4 (stage: a judge's logits), 1e-4 (features), and in training by what `slack` allows.
LIMITS: Mapping[str, ValueLimit] = {
    "exact": ValueLimit(0.0),
    "metric": ValueLimit(1e-6, 1e-9),
    "input": ValueLimit(1e-5),
    "grey levels": ValueLimit(0.0, 0.25),
    "step 0": ValueLimit(1e-5, 1e-9),
    "later": ValueLimit(1e-4, 1e-9),
    "learned": ValueLimit(1e-3, 1e-9),
    "stage": ValueLimit(1e-3, 1e-6),
    "features": ValueLimit(1e-3, 1e-6),
    "share": ValueLimit(1e-6),
}
"""Kind of value -> its limit.

`exact`: counts and texts. `metric`: metrics of stored features, learning rates. `input`: what follows from stored
images by a few operations, drawn numbers. `grey levels`: pixels that numpy, Pillow or FreeType may round differently.
`step 0`: losses and gradient norms of the first step from stored weights. `later`: of the steps after it. `learned`:
how far weights moved. `stage`: a few float32 steps of a semantic stage or of a judge. `features`: what follows from an
encoder's features of stored images or of translations by stored weights. `share`: accuracies.
"""


@dataclass(frozen=True)
class Value:
    """One measurement."""

    subject: str
    """A method, the metrics, the data of a task, the judge, ..."""
    quantity: str
    """Which value of it."""
    kind: str
    """Key of LIMITS."""
    value: float | str
    """A finite number, or a text (`exact` only)."""
    scale: float = 0.0
    """Size of the terms whose sum is `value`, where they may cancel."""
    slack: float = 0.0
    """Difference that is allowed beyond the limit, found when the value was stored: what rounding of drawn numbers does
    to it in training, and to an accuracy the sources whose two best classes are nearly equal."""

    def allowed(self) -> float:
        """The largest difference from this (stored) number."""
        limit = LIMITS[self.kind]
        return limit.absolute + limit.relative * max(abs(float(self.value)), self.scale) + self.slack

    @property
    def shown(self) -> str:
        """The value as text for people."""
        return self.value if isinstance(self.value, str) else f"{self.value:.9g}"


@dataclass
class Values:
    """Measurements of one subject, in the order of events: the first that differs is nearest the cause."""

    subject: str
    measured: list[Value] = field(default_factory=list)

    def add(
        self, quantity: str, kind: str, value: float | str | Tensor, scale: float = 0.0, slack: float = 0.0
    ) -> None:
        """A number or a text. A number that is not finite is kept as a text, which equals no number."""
        if not isinstance(value, str):
            value = float(value)
            if not math.isfinite(value):
                value = f"{value}"
        self.measured.append(Value(self.subject, quantity, kind, value, float(f"{scale:.4g}"), float(f"{slack:.3g}")))

    def add_array(self, quantity: str, kind: str, array: np.ndarray | Tensor) -> None:
        """The mean of `array` and its product with fixed random signs: any lasting change of any part moves one."""
        if isinstance(array, Tensor):
            array = array.detach().to("cpu", torch.float64).numpy()
        flat = np.asarray(array, np.float64).ravel()
        if not len(flat):
            self.add(quantity, "exact", "empty")
            return
        size = float(np.sqrt(np.mean(flat**2)))
        self.add(f"{quantity}: mean", kind, float(flat.mean()), size)
        self.add(f"{quantity}: random signs", kind, float(_signs(quantity, len(flat)) @ flat / len(flat) ** 0.5), size)


def _signs(name: str, count: int) -> np.ndarray:
    """-1.0 or 1.0 (count,), from a hash: the same for every version of every library."""
    drawn = hashlib.shake_256(name.encode()).digest(-(-count // 8))
    return 1.0 - 2.0 * np.unpackbits(np.frombuffer(drawn, np.uint8))[:count]
