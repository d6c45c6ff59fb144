"""Layouts that are not <domain>/<class>/: refused before anything trains, with both readings (bench/data/sources)."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.errors import BenchError
from bench.data.load import load_data
from bench.data.sources.folder import discover_folder
from bench.spec.tasks import get_task


def folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "0.png").touch()
    return root


def test_cyclegan_s_layout_has_no_classes(tmp_path: Path) -> None:
    folders(tmp_path, "trainA", "trainB", "testA", "testB")
    with pytest.raises(BenchError, match=r"layout trainA, trainB, testA, testB .*: no classes") as caught:
        discover_folder(tmp_path)
    assert "without classes cannot be used" in caught.value.remedy
    with pytest.raises(BenchError, match="no classes"):
        discover_folder(tmp_path, ("trainA", "trainB"))


@pytest.mark.parametrize("splits", [("train", "val"), ("Train", "Test"), ("valid", "train")])
def test_splits_are_never_trained_on_each_other(tmp_path: Path, splits: tuple[str, str]) -> None:
    """AFHQ's layout, or domains of that name: which one, nobody can tell from the folders."""
    folders(tmp_path, *(f"{split}/{name}" for split in splits for name in ("cat", "dog", "wild")))
    with pytest.raises(BenchError) as caught:
        discover_folder(tmp_path)
    first, second = sorted(splits)
    assert f"domains, {first} and {second}, with the classes cat, dog, wild" in caught.value.what
    assert f"splits, {first} and {second}, of the domains cat, dog, wild" in caught.value.what
    assert "if they are domains, rename them" in caught.value.remedy


def test_three_splits_are_no_three_domains_to_choose_from(tmp_path: Path) -> None:
    folders(tmp_path, *(f"{split}/{name}" for split in ("train", "val", "test") for name in ("cat", "dog")))
    for choice in (None, ("train", "val")):
        with pytest.raises(BenchError, match="or splits, test and train and val, of the domains cat, dog"):
            discover_folder(tmp_path, choice)


def test_splits_inside_the_domains(tmp_path: Path) -> None:
    folders(tmp_path, *(f"{d}/{split}/{c}" for d in ("ink", "paint") for split in ("train", "test") for c in "ab"))
    with pytest.raises(BenchError, match="domains with the classes test, train; or domains with splits of their own"):
        discover_folder(tmp_path)


def test_a_class_or_domain_may_be_called_like_a_split(tmp_path: Path) -> None:
    folders(tmp_path, "train/steam", "train/toy", "photo/steam", "photo/toy")
    assert discover_folder(tmp_path) == (("photo", "train"), ("steam", "toy"))
    folders(tmp_path / "vehicles", "ink/train", "ink/bus", "paint/train", "paint/bus")
    assert discover_folder(tmp_path / "vehicles")[1] == ("bus", "train")


def test_flat_domains_and_one_class(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="has no class folders") as caught:
        discover_folder(folders(tmp_path / "flat", "ink", "paint"))
    assert "without classes cannot be used" in caught.value.remedy
    with pytest.raises(BenchError, match="has one class only, thing"):
        load_data(get_task("folder"), str(folders(tmp_path / "one", "ink/thing", "paint/thing")), 8)
