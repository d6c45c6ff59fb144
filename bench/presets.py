"""The two presets, whole and in one place: image budgets, judges, evaluation sizes, and each method's settings.

`quick` is for two CPU cores and minutes: small networks, few images. `paper` is each method's published setting.
Any method value can be overridden: `--set method.key=value`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.errors import BenchError, nearest


@dataclass(frozen=True)
class JudgeSettings:
    """How an evaluation classifier (a pre-activation Wide ResNet) is trained."""

    depth: int
    """Convolution layers, 6 n + 4."""
    widen: int
    """Width factor over 16, 32, 64 channels."""
    dropout: float
    """Dropout inside the blocks."""
    steps: int
    """SGD steps."""
    batch_size: int
    """Images per step."""
    learning_rate: float
    """Peak learning rate; cosine to 0."""
    augment: bool
    """Random flips and shifted crops (pictures only: a flipped digit is another digit)."""


@dataclass(frozen=True)
class EvaluationSize:
    """How many images are scored. Not part of a run's identity; n stands beside every value."""

    sources_per_class: int | None
    """Test images per class that are translated (the first in order of content hash); None: all."""
    reference_per_class: int | None
    """Real images per class that FID compares with (train + test, first in order of content hash); None: all."""


@dataclass(frozen=True)
class KindPreset:
    """A preset for one kind of task (`digits` or `pictures`)."""

    images: int
    """Budget: source images per domain that every method sees, repetitions counted."""
    judge: JudgeSettings
    """The evaluation classifiers."""
    evaluation: EvaluationSize
    """How much is scored."""
    methods: Mapping[str, Mapping[str, Any]]
    """Method -> settings that differ from its published defaults."""


PUBLISHED_JUDGE = JudgeSettings(16, 8, 0.4, steps=50_001, batch_size=128, learning_rate=0.01, augment=False)

PRESETS: dict[str, dict[str, KindPreset]] = {
    "quick": {
        "pictures": KindPreset(
            images=10_000,
            judge=JudgeSettings(10, 2, 0.0, steps=500, batch_size=64, learning_rate=0.1, augment=True),
            evaluation=EvaluationSize(sources_per_class=100, reference_per_class=200),
            methods={"cyclegan": {}, "stargan_v2": {}},
        ),
        "digits": KindPreset(
            images=16_000,
            judge=JudgeSettings(10, 2, 0.0, steps=500, batch_size=64, learning_rate=0.1, augment=False),
            evaluation=EvaluationSize(sources_per_class=50, reference_per_class=200),
            methods={"cyclegan": {}, "stargan_v2": {}},
        ),
    },
    "paper": {
        "pictures": KindPreset(
            images=400_000,  # 100,000 iterations of batch 8 over two domains, CatS-UDT's and StarGAN-v2's length
            judge=PUBLISHED_JUDGE,
            evaluation=EvaluationSize(None, None),
            methods={},
        ),
        "digits": KindPreset(
            images=400_000,
            judge=PUBLISHED_JUDGE,
            evaluation=EvaluationSize(None, None),
            methods={"cyclegan": {}, "stargan_v2": {}},
        ),
    },
}

SUMMARIES = {
    "quick": "small networks and few images: minutes for all methods on two CPU cores; not comparable with the paper",
    "paper": "the published settings at the published size; one GPU",
}


def get_preset(name: str, kind: str) -> KindPreset:
    """The preset `name` for tasks of `kind`; raises BenchError with the nearest valid name."""
    if name not in PRESETS:
        raise BenchError(f"unknown preset '{name}'", nearest(name, list(PRESETS)))
    return PRESETS[name][kind]
