"""Which data a run takes, and that it says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from PIL import Image
from real_files import real_file

from bench.core.errors import BenchError
from bench.data.drawn.datasets import DrawnDigits, DrawnPictures
from bench.data.load import _choose, load_data
from bench.spec.tasks import get_task


@pytest.mark.usefixtures("no_real_files")
def test_auto_takes_the_embedded_data_and_says_what_was_missing() -> None:
    kind, sources, note = _choose(get_task("sketch2real"), "auto", None)
    assert kind == "embedded"
    assert all(isinstance(source, DrawnPictures) for source in sources)
    assert "the real files are missing: datasets/domainnet/sketch.zip, datasets/domainnet/real.zip" in note


def test_auto_takes_the_real_data_when_every_file_is_there() -> None:
    real_file("datasets/usps/usps_all.mat")
    kind, sources, note = _choose(get_task("mnist2usps"), "auto", None)
    assert kind == "real"
    assert [source.domain for source in sources] == ["mnist", "usps"]
    assert "every file found" in note


def test_mnist_drawn_is_a_kind_of_its_own() -> None:
    real_file("datasets/mnist/train-images-idx3-ubyte.gz")
    kind, sources, _ = _choose(get_task("mnist2svhn"), "mnist-drawn", None)
    assert kind == "mnist-drawn"
    assert sources[0].count() == 70_000
    assert isinstance(sources[1], DrawnDigits)


def test_a_folder_with_the_wrong_classes_for_its_task(shapes: Path) -> None:
    with pytest.raises(BenchError, match="holds the classes cross, disc; sketch2real has bird"):
        load_data(get_task("sketch2real"), str(shapes), 32)


def test_three_domains_need_a_choice_whose_order_is_the_direction(tmp_path: Path) -> None:
    root = tiny.make_folder(tmp_path / "root", domains=("ink", "oil", "paint"))
    with pytest.raises(BenchError, match="holds 3 domains") as caught:
        load_data(get_task("folder"), str(root), 16)
    assert "--domains ink,oil" in caught.value.remedy
    assert load_data(get_task("folder"), str(root), 16, "paint,ink").domains == ("paint", "ink")


def test_domains_without_a_folder() -> None:
    with pytest.raises(BenchError, match="--domains a,b needs a folder"):
        load_data(get_task("sketch2real"), "embedded", 32, "a,b")


def test_a_truncated_image_stops_before_anything_is_written(tmp_path: Path) -> None:
    root = tiny.make_folder(tmp_path / "root")
    victim = root / "paint" / "disc" / "003.png"
    victim.write_bytes(victim.read_bytes()[:-40])
    with pytest.raises(BenchError, match=r"paint/disc/003\.png"):
        load_data(get_task("folder"), str(root), 16)
    assert list(tmp_path.rglob("*.npy")) == []
    victim.unlink()
    data = load_data(get_task("folder"), str(root), 16)
    assert len(data.splits[1, "train"]) + len(data.splits[1, "test"]) == 23


def test_a_changed_image_is_another_version(tmp_path: Path) -> None:
    root = tiny.make_folder(tmp_path / "root")
    before = load_data(get_task("folder"), str(root), 16).version
    assert load_data(get_task("folder"), str(root), 16).version == before
    Image.new("RGB", (32, 32), "red").save(root / "ink" / "disc" / "000.png")
    assert load_data(get_task("folder"), str(root), 16).version != before
