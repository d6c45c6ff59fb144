"""Identities of specifications that users have stored: where code changes one, their results are no longer found."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from bench.spec.run_spec import Budget, RunSpec, flat_spec_values, spec_config_from, spec_values
from bench.spec.tasks import get_task
from bench.store.preset_match import preset_method, preset_mismatch
from methods.cats_udt import CatsUDTConfig
from methods.parts.settings import added_later

# Computed once, with the code before the tree was laid out anew. `paper` is fixed by what was published.
STORED = {
    ("cyclegan", "mnist2svhn"): "fbb186b262b1",
    ("cyclegan", "sketch2real"): "1c27134681a7",
    ("munit", "mnist2svhn"): "00404b5ac2f8",
    ("munit", "sketch2real"): "34aa9578c914",
    ("drit", "mnist2svhn"): "410a18ef6325",
    ("drit", "sketch2real"): "188f8b243377",
    ("stargan_v2", "mnist2svhn"): "287d0c3ad221",
    ("stargan_v2", "sketch2real"): "1405b386e653",
    ("egsc_it", "mnist2svhn"): "3bef053937cb",
    ("egsc_it", "sketch2real"): "19edf3ad4e85",
    ("cats_udt", "mnist2svhn"): "31a3c227d1d2",
    ("cats_udt", "sketch2real"): "fb4001c9183a",
    ("stargan_v2:original", "mnist2svhn"): "8174b4eafd57",
    ("cats_udt:vgg", "mnist2svhn"): "3d343adbe31a",
}


@pytest.mark.parametrize(("name", "task_name"), list(STORED))
def test_the_published_settings_keep_their_identity(name: str, task_name: str) -> None:
    task = get_task(task_name)
    method = preset_method(task, "paper", "real", name)
    spec = RunSpec(
        task=task.name, domains=task.domains, data_kind="real", data_version="v1", image_size=task.sizes["paper"],
        preset="paper", method=name, method_version=method.version, config=method.config,
        budget=Budget("images", 400_000), seed=0,
    )  # fmt: skip
    assert spec.identity() == STORED[name, task_name]


@dataclass(frozen=True)
class _Part:
    width: int = 4
    sample: int = added_later(int)


@dataclass(frozen=True)
class _Settings:
    betas: tuple[float, float] = (0.5, 0.9)
    part: _Part = field(default_factory=_Part)
    later: _Part = added_later(_Part)


def test_a_setting_that_came_later_is_stored_where_it_is_used() -> None:
    assert spec_values(_Settings()) == {"betas": [0.5, 0.9], "part": {"width": 4}}
    used = _Settings(part=_Part(sample=3), later=_Part(width=5))
    assert spec_values(used) == {"betas": [0.5, 0.9], "part": {"width": 4, "sample": 3}, "later": {"width": 5}}
    for settings in (_Settings(), used):
        assert spec_config_from(_Settings, spec_values(settings)) == settings
    assert flat_spec_values(_Settings()) == {  # what `--set` may name
        "betas": [0.5, 0.9], "part.width": 4, "part.sample": 0, "later.width": 4, "later.sample": 0,
    }  # fmt: skip


def test_results_from_before_a_setting_came_are_still_the_presets() -> None:
    wanted = preset_method(get_task("mnist2svhn"), "paper", "real", "cats_udt")
    assert "self_training" not in wanted.config["semantics"]
    assert not preset_mismatch(wanted.config, wanted.version, wanted)
    changed = preset_mismatch(wanted.config, wanted.version, wanted, (("semantics.spectral.sample", 7),))
    assert changed.settings == {"semantics.spectral.sample": (0, 7)}
    assert flat_spec_values(CatsUDTConfig())["semantics.spectral.sample"] == 0
