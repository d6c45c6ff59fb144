"""A run's identity, its settings and the errors for wrong ones."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from bench.core.errors import BenchError
from bench.spec.presets import get_preset
from bench.spec.run_spec import (
    Budget,
    RunSpec,
    check_spec_overrides,
    flat_spec_values,
    spec_config,
    spec_config_from,
    spec_overrides,
    spec_values,
)
from methods.cats_udt import CatsUDT
from methods.cyclegan import CycleGAN
from methods.stargan_v2 import StarGANv2

SPEC = RunSpec(
    task="pacs", domains=("sketch", "photo"), data_kind="real", data_version="abc", image_size=32, preset="quick",
    method="cyclegan", method_version=1, config={"width": 8, "betas": [0.5, 0.999]},
    budget=Budget("images", 100), seed=0,
)  # fmt: skip


def test_identity_is_the_same_in_another_process() -> None:
    code = (
        "from bench.spec.run_spec import *; print(RunSpec(task='pacs', domains=('sketch', 'photo'), data_kind='real',"
        "data_version='abc', image_size=32, preset='quick', method='cyclegan', method_version=1,"
        "config={'betas': [0.5, 0.999], 'width': 8}, budget=Budget('images', 100), seed=0).identity())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == SPEC.identity()


@pytest.mark.parametrize(
    "change",
    [
        {"task": "folder"}, {"data_version": "abd"}, {"image_size": 64}, {"preset": "paper"}, {"method": "stargan_v2"},
        {"method_version": 2}, {"config": {"width": 9, "betas": [0.5, 0.999]}}, {"budget": Budget("seconds", 100)},
        {"seed": 1},
    ],
)  # fmt: skip
def test_every_setting_changes_the_identity(change: dict[str, object]) -> None:
    assert dataclasses.replace(SPEC, **change).identity() != SPEC.identity()  # type: ignore[arg-type]


def test_layers_override_in_order_and_strings_are_converted() -> None:
    config = spec_config(CycleGAN, "cyclegan", {"width": 8, "flip": False}, {"width": "16", "betas": "[0.0,0.9]"})
    assert (config.width, config.flip, config.betas) == (16, False, (0.0, 0.9))
    assert spec_values(config)["betas"] == [0.0, 0.9]
    assert config.lambda_cycle == 10.0  # the published default


def test_nested_settings_are_reached_by_dots_and_restored_from_json() -> None:
    layers = {"semantics.imsat.width": 8, "semantics.space": "features"}, {"semantics.imsat.scale": "[0.9,1.1]"}
    config = spec_config(CatsUDT, "cats_udt", *layers)
    assert (config.semantics.imsat.width, config.semantics.imsat.scale) == (8, (0.9, 1.1))
    assert config.semantics.space == "features"
    assert config.semantics.adaptation.width == 256  # the published default
    values = spec_values(config)
    assert values["semantics"]["imsat"]["scale"] == [0.9, 1.1]
    assert spec_config_from(CatsUDT.Config, values) == config
    assert flat_spec_values(values)["semantics.imsat.width"] == 8


def test_a_text_setting_can_be_emptied() -> None:
    """The features of quick pictures adapted in the clustered encoder's own, as published."""
    quick = get_preset("quick", "pictures").methods["cats_udt"]
    (texts,) = spec_overrides(["cats_udt.semantics.transfer_encoder="]).values()
    assert spec_config(CatsUDT, "cats_udt", quick).semantics.transfer_encoder == "gradients"
    assert spec_config(CatsUDT, "cats_udt", quick, texts).semantics.transfer_encoder == ""


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("semantics.imsat.widht", "3", "did you mean 'semantics.imsat.width'"),
        ("semantics.imsat.width", "wide", "int wanted"),
        ("semantics.imsat.width", "0", "width >= 1"),
        ("semantics.imsat", "3", "no setting 'semantics.imsat'"),
    ],
)
def test_nested_settings_are_checked(key: str, value: str, message: str) -> None:
    with pytest.raises(BenchError) as caught:
        spec_config(CatsUDT, "cats_udt", {key: value})
    assert message in str(caught.value)


def test_a_whole_number_serves_as_a_float() -> None:
    assert spec_config(StarGANv2, "stargan_v2", {"lambda_ds": "2"}).lambda_ds == 2.0


def test_unknown_key_names_the_nearest() -> None:
    with pytest.raises(BenchError, match="cyclegan has no setting 'lambda_cycel'") as caught:
        spec_config(CycleGAN, "cyclegan", {"lambda_cycel": "1"})
    assert "did you mean 'lambda_cycle'" in caught.value.remedy


@pytest.mark.parametrize(("key", "value"), [("width", "wide"), ("width", "1.5"), ("flip", "maybe"), ("betas", "0.5")])
def test_wrong_type(key: str, value: str) -> None:
    with pytest.raises(BenchError, match=rf"cyclegan\.{key}={value} is of the wrong type"):
        spec_config(CycleGAN, "cyclegan", {key: value})


def test_value_out_of_range() -> None:
    with pytest.raises(BenchError, match="width >= 1"):
        spec_config(CycleGAN, "cyclegan", {"width": "0"})


def test_overrides_are_parsed() -> None:
    texts = ["a.x=1", "a.y=[1,2]", "pkg.mod:Cls.z=b=c", "a.deep.er=3", "a:variant.deep.er=4", "pkg.mod:Cls.deep.er=5"]
    assert spec_overrides(texts) == {
        "a": {"x": "1", "y": "[1,2]", "deep.er": "3"},
        "pkg.mod:Cls": {"z": "b=c", "deep.er": "5"},
        "a:variant": {"deep.er": "4"},
    }


@pytest.mark.parametrize("text", ["width=3", "cyclegan.width", "cyclegan.=3", ".width=3"])
def test_override_of_another_shape(text: str) -> None:
    with pytest.raises(BenchError, match="not understood"):
        spec_overrides([text])


def test_override_of_a_method_that_is_not_run() -> None:
    with pytest.raises(BenchError, match="not among this run's methods"):
        check_spec_overrides({"munit": {}}, ["cyclegan"])


@pytest.mark.parametrize("text", ["images", "images=0", "images=-3", "epochs=3", "images=1.5", "=3"])
def test_budget_of_another_shape(text: str) -> None:
    with pytest.raises(BenchError, match="not understood"):
        Budget.parse(text)


def test_budget() -> None:
    assert Budget.parse("seconds=12") == Budget("seconds", 12)
    assert str(Budget.parse("images=7")) == "images=7"
