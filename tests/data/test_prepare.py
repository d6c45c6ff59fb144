"""The prepared uint8 store: content, order, identity, killed and simultaneous processes (bench/data/prepare.py)."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import shutil
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from folder_trees import folder_sources
from PIL import Image
from real_files import real_file

from bench.core.errors import BenchError
from bench.data.fetch import locate
from bench.data.prepare import PREPARATION, prepare_data, prepared_data_version, resize_image
from bench.data.types import Item


@dataclass
class Toy:
    """A source of `per_class` + 2 random images of each class, class by class; the first two of a class are test."""

    domain: str
    seed: int
    classes: tuple[str, ...] = ("a", "b", "c")
    resample: Literal["lanczos", "nearest"] = "lanczos"
    per_class: int = 5
    side: int = 12
    broken: int | None = None
    delay: float = 0.0
    decoded: int = 0

    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.seed} {self.per_class} {self.side}".encode()).hexdigest()

    def count(self) -> int:
        return len(self.classes) * (self.per_class + 2)

    def items(self) -> Iterator[Item]:
        rng = np.random.default_rng(self.seed)
        for k in range(self.count()):
            if k == self.broken:
                raise BenchError(f"{self.domain}/{k}.png cannot be decoded", "remove it")
            time.sleep(self.delay)
            self.decoded += 1
            pixels = rng.integers(0, 256, (self.side, self.side, 3), dtype=np.uint8)
            label, number = divmod(k, self.per_class + 2)
            yield Item(pixels, label, "test" if number < 2 else "train", f"{self.domain}#{k}")


def pair(**options: Any) -> tuple[Toy, Toy]:
    return Toy("left", 1, **options), Toy("right", 2, **options)


def leftovers(cache: Path) -> list[str]:
    """What is in the cache besides locks."""
    return sorted(p.name for p in (cache / "prepared").iterdir() if p.suffix != ".lock") if cache.exists() else []


def test_content_order_and_ids(tmp_path: Path) -> None:
    sources = pair()
    data = prepare_data(sources, 12, tmp_path, "real", "as found")
    assert (data.kind, data.note, data.size) == ("real", "as found", 12)
    assert (data.domains, data.classes) == (("left", "right"), ("a", "b", "c"))
    for index, source in enumerate(sources):
        wanted = {item.pixels.transpose(2, 0, 1).tobytes(): item for item in source.items()}
        for split, count in (("train", 15), ("test", 6)):
            part = data.splits[index, split]
            assert part.images.shape == (count, 3, 12, 12)
            assert part.images.dtype == np.uint8
            assert part.labels.dtype == np.int64
            assert list(part.ids) == sorted(part.ids)
            for image, label, name in zip(part.images, part.labels, part.ids, strict=True):
                item = wanted.pop(image.tobytes())
                assert (item.label, item.split) == (label, split)
                assert hashlib.sha256(image.tobytes()).hexdigest() == name
        assert not wanted


def test_order_does_not_betray_the_class(tmp_path: Path) -> None:
    data = prepare_data(pair(per_class=100), 4, tmp_path, "real", "")
    labels = data.splits[0, "train"].labels
    changes = np.count_nonzero(np.diff(labels))
    # 299 neighbours of 3 equal classes in random order differ with p = 2/3: 199 +- 8; in source order 2 of them would
    assert 199 - 40 < changes < 199 + 40


def test_arrays_are_mapped_and_read_only(tmp_path: Path) -> None:
    part = prepare_data(pair(), 12, tmp_path, "real", "").splits[0, "train"]
    assert isinstance(part.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        part.images[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        part.labels[0] = 0


def test_second_call_decodes_nothing(tmp_path: Path) -> None:
    sources = pair()
    first = prepare_data(sources, 8, tmp_path, "real", "")
    before = [source.decoded for source in sources]
    second = prepare_data(sources, 8, tmp_path, "real", "")
    assert [source.decoded for source in sources] == before == [21, 21]
    assert first.version == second.version
    assert all((first.splits[key].images == second.splits[key].images).all() for key in first.splits)


def test_version_depends_on_everything_that_changes_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = pair()
    versions = [
        prepared_data_version((left, right), 8),
        prepared_data_version((left, right), 16),
        prepared_data_version((right, left), 8),
        prepared_data_version((Toy("left", 3), right), 8),
        prepared_data_version((Toy("left", 1, resample="nearest"), right), 8),
        prepared_data_version((Toy("other", 1), right), 8),
        prepared_data_version((Toy("left", 1, classes=("x", "y", "z")), right), 8),
    ]
    monkeypatch.setattr("bench.data.prepare.PREPARATION", PREPARATION + 1)
    versions.append(prepared_data_version((left, right), 8))
    assert len(set(versions)) == len(versions)
    assert all(len(version) == 16 and int(version, 16) >= 0 for version in versions)


@pytest.mark.parametrize(("side", "size"), [(28, 32), (28, 16), (32, 32), (40, 32)])
@pytest.mark.parametrize("resample", ["nearest", "lanczos"])
def test_resize(side: int, size: int, resample: Literal["nearest", "lanczos"]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    out = resize_image(pixels, size, resample)
    if side == size:
        assert (out == pixels.transpose(2, 0, 1)).all()
    elif resample == "nearest" and side < size:
        rows = ((np.arange(size) + 0.5) * side / size).astype(int)  # pixel centres
        assert (out == pixels[rows][:, rows].transpose(2, 0, 1)).all()
    else:
        expected = Image.fromarray(pixels).resize((size, size), Image.Resampling.LANCZOS)
        assert (out == np.asarray(expected).transpose(2, 0, 1)).all()


def test_aspect_ratio_is_not_kept() -> None:
    pixels = np.zeros((10, 40, 3), np.uint8)
    pixels[:, :20] = 255
    out = resize_image(pixels, 8, "lanczos")
    assert out.shape == (3, 8, 8)
    # the left half stays the left half; Lanczos rings by a few grey levels beside the edge
    assert (out[:, :, :2] >= 250).all()
    assert (out[:, :, 6:] <= 5).all()


def test_a_broken_image_leaves_nothing(tmp_path: Path) -> None:
    sources = Toy("left", 1), Toy("right", 2, broken=9)
    with pytest.raises(BenchError, match=r"right/9\.png"):
        prepare_data(sources, 8, tmp_path, "real", "")
    assert leftovers(tmp_path) == []


def test_differing_classes_and_class_without_test_images(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="left has the classes a, b, c; right has a, b"):
        prepare_data((Toy("left", 1), Toy("right", 2, classes=("a", "b"))), 8, tmp_path, "real", "")

    class Lacking(Toy):
        def count(self) -> int:
            return super().count() - 2

        def items(self) -> Iterator[Item]:
            return (item for item in super_items(self) if (item.label, item.split) != (1, "test"))

    def super_items(source: Toy) -> Iterator[Item]:
        return Toy(source.domain, source.seed).items()

    with pytest.raises(BenchError, match="right: class 'b' has no test images"):
        prepare_data((Toy("left", 1), Lacking("right", 2)), 8, tmp_path, "real", "")
    assert leftovers(tmp_path) == []


def test_full_disk_is_noticed_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = pair()
    monkeypatch.setattr(locate.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(BenchError, match="MB are free"):
        prepare_data(sources, 8, tmp_path, "real", "")
    assert sources[0].decoded == 0
    assert leftovers(tmp_path) == []


def test_damaged_store_is_named(tmp_path: Path) -> None:
    data = prepare_data(pair(), 8, tmp_path, "real", "")
    path = tmp_path / "prepared" / data.version / "domain1.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BenchError, match=rf"{data.version} are damaged") as caught:
        prepare_data(pair(), 8, tmp_path, "real", "")
    assert "remove that folder" in caught.value.remedy


def test_duplicates_are_kept_and_counted(tmp_path: Path) -> None:
    class Leaky(Toy):
        def items(self) -> Iterator[Item]:
            items = list(Toy("", 1).items())
            items[4] = Item(items[0].image, 0, "train", "copy of test image 0")
            items[5] = Item(items[4].image, 0, "train", "and another one")
            yield from items

    data = prepare_data((Leaky("left", 3), Toy("right", 1)), 8, tmp_path, "real", "as found")
    assert len(data.splits[0, "train"]) == 15
    items = {side: list(source.items()) for side, source in (("left", Leaky("left", 3)), ("right", Toy("right", 1)))}
    content = {side: [item.pixels.tobytes() for item in items[side]] for side in items}
    left, right = (
        sum(one in content[other] for one in content[side]) for side, other in (("left", "right"), ("right", "left"))
    )
    train = [one for one, item in zip(content["left"], items["left"], strict=True) if item.split == "train"]
    tests = [one for one, item in zip(content["left"], items["left"], strict=True) if item.split == "test"]
    leaked = sum(one in train for one in tests)
    assert data.note == (
        f"as found; left: {leaked} of {len(tests)} test images are equal to training images; "
        f"{left + right} images are in both domains ({left} in left, {right} in right)"
    )
    again = prepare_data((Leaky("left", 3), Toy("right", 1)), 8, tmp_path, "real", "")
    assert again.note.startswith("left: 1 of 6 test")


def test_progress_sees_every_image(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []

    def progress(items: Iterable[Item], total: int, label: str) -> Iterator[Item]:
        for done, item in enumerate(items, 1):
            seen.append((label, done, total))
            yield item

    prepare_data(pair(), 8, tmp_path, "real", "", progress)
    assert seen[20] == ("preparing left", 21, 21)
    assert seen[-1] == ("preparing right", 21, 21)
    assert len(seen) == 42


def run_prepare(cache: Path, delay: float, results: Any) -> None:
    sources = pair(delay=delay)
    data = prepare_data(sources, 8, cache, "real", "")
    results.put((sources[0].decoded, data.splits[0, "train"].ids))


def test_killed_preparation_is_not_taken_as_whole(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=run_prepare, args=(tmp_path, 0.5, results))
    process.start()
    version = prepared_data_version(pair(), 8)
    temporary = tmp_path / "prepared" / f".{version}.part"
    deadline = time.monotonic() + 60
    while not (temporary / "unsorted").exists() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert leftovers(tmp_path) == [f".{version}.part"]
    data = prepare_data(pair(), 8, tmp_path, "real", "")
    assert leftovers(tmp_path) == [version]
    assert len(data.splits[0, "train"]) == 15


def test_two_processes_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=run_prepare, args=(tmp_path, 0.03, results)) for _ in range(2)]
    for process in processes:
        process.start()
    (first, ids), (second, same) = results.get(timeout=60), results.get(timeout=60)
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert sorted((first, second)) == [0, 21]  # one decoded, the other waited
    assert ids == same


def measure_memory(cache: Path, results: Any) -> None:
    sources = pair(side=256, per_class=98)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    prepare_data(sources, 256, cache, "real", "")
    results.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")  # a fresh process: the peak of this one is history
    results = context.Queue()
    process = context.Process(target=measure_memory, args=(tmp_path, results))
    process.start()
    kib = results.get(timeout=60)
    process.join()
    assert kib < 15 * 1024  # 600 images of 192 KiB are 115 MiB


@pytest.mark.slow
def test_real_pacs_at_32(tmp_path: Path) -> None:
    root = real_file("datasets/pacs")
    data = prepare_data(folder_sources(root, ("sketch", "photo")), 32, tmp_path, "real", "")
    assert np.bincount(data.splits[0, "test"].labels).tolist() == [154, 148, 151, 122, 163]
    assert np.bincount(data.splits[1, "train"].labels).tolist() == [151, 162, 146, 149, 159]
    assert data.note == ""


def test_leaks_are_counted_in_images_not_in_contents(tmp_path: Path) -> None:
    """Ten copies of one placeholder in a class of each domain: 2 of 4 test images leak, and 15 files are in both."""
    for seed, (domain, name) in enumerate((d, n) for d in ("ink", "paint") for n in ("cross", "disc")):
        (tmp_path / domain / name).mkdir(parents=True)
        rng = np.random.default_rng(seed)
        for number in range(10):
            same = name == "cross" and (domain == "ink" or number < 5)
            pixels = np.full((8, 8, 3), 7) if same else rng.integers(0, 256, (8, 8, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / domain / name / f"{number}.png")
    data = prepare_data(folder_sources(tmp_path), 8, tmp_path / "c", "real", "")
    assert "ink: 2 of 4 test images are equal to training images" in data.note
    assert data.note.endswith("15 images are in both domains (10 in ink, 5 in paint)")


def test_a_domain_of_one_image_is_named_before_training(tmp_path: Path) -> None:
    class Constant(Toy):
        def __init__(self, splits: tuple[str, ...]) -> None:
            super().__init__("paint", 1)
            self.splits = splits

        def items(self) -> Iterator[Item]:
            for item in super().items():
                image = np.zeros((8, 8, 3), np.uint8) if item.split in self.splits else item.image
                yield Item(image, item.label, item.split, item.name)

    for splits, said in ((("train", "test"), "all 21 images"), (("train",), "all [0-9]+ training images")):
        with pytest.raises(BenchError, match=f"{said} of paint are one and the same"):
            prepare_data((Toy("ink", 3), Constant(splits)), 8, tmp_path / splits[-1], "real", "")
