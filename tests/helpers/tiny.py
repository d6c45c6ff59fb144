"""The whole harness in seconds: tiny images, judges and networks in place of the quick preset's.

`python tests/helpers/tiny.py run ...` is the real command line with these settings; tests that kill a process use it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import bench
from bench.spec import presets
from bench.spec.presets import EvaluationSize, JudgeSettings, KindPreset, StandInSettings
from methods.registry import registered

SOURCES = str(Path(bench.__file__).resolve().parent.parent)
"""What has to be in $PYTHONPATH of a process that is to run the package that is tested, and not one installed."""

METHODS = {
    "cyclegan": {
        "width": 4, "blocks": 1, "discriminator_width": 4, "discriminator_layers": 1, "pool_size": 4, "batch_size": 2,
    },
    "stargan_v2": {"base_width": 4, "max_width": 8, "mapping_width": 16, "style_dim": 8, "batch_size": 4},
    "munit": {
        "width": 4, "blocks": 1, "mlp_width": 8, "discriminator_width": 4, "discriminator_layers": 2,
        "discriminator_scales": 2, "batch_size": 2,
    },
    "cats_udt": {
        "base_width": 4, "max_width": 8, "mapping_width": 16, "style_dim": 8, "batch_size": 4, "bottleneck_blocks": 1,
        "semantics.imsat.width": 4, "semantics.imsat.critic_width": 8, "semantics.imsat.steps": 20,
        "semantics.imsat.batch_size": 8, "semantics.adaptation.width": 4, "semantics.adaptation.steps": 20,
        "semantics.adaptation.batch_size": 8,
    },
    "drit": {"width": 4, "discriminator_scales": 2, "content_discriminator": "small"},
    "egsc_it": {
        "width": 4, "discriminator_width": 4, "discriminator_layers": 3, "perceptual": "stand_in", "batch_size": 1,
        "generator_updates": 1, "autoencoder_steps": 20, "stages": 2, "init_std": 0.2,
    },
}  # fmt: skip

STAND_INS = {name: {"semantics.encoder": "stand_in"} for name in ("cats_udt:vgg", "cats_udt:content_vgg")}
"""Variants whose encoder would have to be downloaded -> settings with one that is not."""

TINY = KindPreset(
    images=24,
    judge=JudgeSettings(10, 1, 0.0, steps=8, batch_size=16, learning_rate=0.05, augment=True, tolerance=0.0),
    evaluation=EvaluationSize(sources_per_class=3, reference_per_class=8),
    methods=METHODS,
)


TINY_STAND_IN = StandInSettings(train_per_class=1, test_per_class=1, steps=2, batch_size=8)


def install() -> None:
    """Put TINY in place of the quick preset, in this process."""
    presets.STAND_IN_SETTINGS = TINY_STAND_IN
    presets.PRESETS["quick"] = {"pictures": TINY, "digits": TINY}


def settings(name: str) -> dict[str, Any]:
    """Tiny settings of a registered method or variant."""
    own = {} if name in METHODS else registered()[name].settings
    return {**METHODS[name.partition(":")[0]], **own, **STAND_INS.get(name, {})}


def make_folder(root: Path, domains: tuple[str, ...] = ("ink", "paint"), per_class: int = 12, size: int = 32) -> Path:
    """`root/<domain>/<class>/*.png`: grey discs and crosses in the first domain, coloured ones in the others."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size - 0.5
    for number, domain in enumerate(domains):
        for label in ("cross", "disc"):
            folder = root / domain / label
            folder.mkdir(parents=True)
            for index in range(per_class):
                cx, cy = rng.uniform(-0.15, 0.15, 2)
                near, bar = np.hypot(x - cx, y - cy) < 0.25, np.minimum(abs(x - cx), abs(y - cy)) < 0.08
                shape = near if label == "disc" else bar
                colour = rng.integers(60, 255, 3) if number else np.zeros(3)
                background = rng.integers(0, 60, 3) if number else np.full(3, 255)
                pixels = np.where(shape[..., None], colour, background) + rng.normal(0, 4, (size, size, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{index:03d}.png")
    return root


if __name__ in ("__main__", "__mp_main__"):  # the second: a process that the first one started for a cell
    install()

if __name__ == "__main__":
    from bench.cli.commands import main

    main()
