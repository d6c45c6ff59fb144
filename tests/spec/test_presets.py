"""The presets: every method and variant can be built from each, and `paper` has the published sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.spec.methods import method_settings
from bench.spec.presets import PRESETS
from bench.spec.run_spec import spec_config
from bench.spec.tasks import TASKS
from methods.base import Translator
from methods.registry import BUILT_IN, VARIANTS, load_registered, registered

SIZES = {(preset, task.kind): size for task in TASKS.values() for preset, size in task.sizes.items()}


def built(name: str, preset: str, kind: str, data_kind: str = "real") -> Translator:
    """On the meta device: shapes, and no memory."""
    cls: Any = load_registered(registered()[name].target)
    clusters = {"clusters": 10 if kind == "digits" else 5} if name.startswith("cats_udt") else {}
    config = spec_config(cls, name, *method_settings(cls, name, PRESETS[preset][kind], {}, data_kind), clusters)
    with torch.device("meta"):
        return cls(config, SIZES[preset, kind])


@pytest.mark.parametrize("data_kind", ["embedded", "real"])
@pytest.mark.parametrize(("preset", "kind"), list(SIZES))
@pytest.mark.parametrize("name", [*BUILT_IN, *(name for name in VARIANTS if not name.startswith("cats_udt"))])
def test_every_method_can_be_built_from_every_preset(name: str, preset: str, kind: str, data_kind: str) -> None:
    method = built(name, preset, kind, data_kind)
    assert all(count > 0 for count in method.parameter_counts().values())
    if name != "cats_udt":
        assert method.supervision == ("weak" if name == "egsc_it" else "none")
    flips = getattr(method.config, "flip", None)
    assert flips is (kind == "pictures")  # a mirrored digit is another digit
    # Within a preset all see as many images: a step consumes a small share of them.
    assert PRESETS[preset][kind].images / method.images_per_step >= 70


@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        ("cyclegan", "pictures", 2 * (11_378_179 + 2_764_737)),
        ("munit", "pictures", 46_594_716),
        ("munit", "digits", 2 * (15_026_187 + 1_318_274)),
        ("drit", "pictures", 65_039_315),
        ("drit:feature_wise", "pictures", 75_462_691),
        ("drit", "digits", 21_270_982 + 4 * 5_514_114 + 1_442_817),
        ("stargan_v2", "pictures", 78_100_485),
        ("stargan_v2:original", "digits", 67_981_061),
        ("stargan_v2:cats", "pictures", 78_100_485 - 33_892_995 + 53_041_795),
        ("stargan_v2:cats", "digits", 67_981_061 - 28_740_099 + 47_888_899),
        ("egsc_it", "pictures", 18_017_286 + 2 * 2_758_849),
        ("egsc_it", "digits", 1_053_318 + 2 * 2_758_849),
    ],
)
def test_the_paper_preset_has_the_published_networks(name: str, kind: str, count: int) -> None:
    """Trained parameters, from the specifications' tables."""
    assert sum(built(name, "paper", kind).parameter_counts().values()) == count
