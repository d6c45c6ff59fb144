"""horse2zebra, apple2orange, summer2winter, afhq: small archives in exactly their layout, from `fetch` to arrays."""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core.errors import BenchError
from bench.data.fetch import fetch as fetch_module
from bench.data.fetch import locate
from bench.data.fetch.fetch import fetch
from bench.data.fetch.manifest import TASK_GROUPS, ManifestEntry, ManifestForm
from bench.data.load import load_data
from bench.spec.tasks import get_task

CYCLEGAN = {"trainA": 5, "trainB": 6, "testA": 3, "testB": 4}
AFHQ = {f"{s}/{d}": n + k for s, n in (("train", 5), ("val", 2)) for k, d in enumerate(("cat", "dog", "wild"))}
PUBLISHED = {
    "horse2zebra": ("horse2zebra", CYCLEGAN, "n02381460_{}.jpg"),
    "apple2orange": ("apple2orange", CYCLEGAN, "n07740461_{}.jpg"),
    "summer2winter": ("summer2winter_yosemite", CYCLEGAN, "2011-07-17 08:13:{}.jpg"),
    "afhq": ("afhq", AFHQ, "flickr_cat_{:06}.jpg"),
}
"""Task -> top folder of its archive, images in each folder below it, how files are called."""


@functools.cache  # a ZIP holds the time of its making: made twice, it would have two checksums
def archive(task: str) -> bytes:
    top, folders, name = PUBLISHED[task]
    rng, packed = np.random.default_rng(0), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr(f"{top}/", "")
        for folder, count in folders.items():
            file.writestr(f"{top}/{folder}/", "")
            for number in range(count):
                image = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(image, "JPEG")
                file.writestr(f"{top}/{folder}/{name.format(number)}", image.getvalue())
        file.writestr(f"__MACOSX/{top}/._trainA", b"junk")
    return packed.getvalue()


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UDT_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("UDT_BENCH_FILES", raising=False)
    return tmp_path


def pretend(task: str, content: bytes, root: Path, monkeypatch: pytest.MonkeyPatch) -> ManifestEntry:
    """The task's entry, but for what its address delivers (a file here), and with that file's checksum."""
    (entry,) = locate.manifest_entries([task])
    assert entry.archive is not None
    (root / "served.zip").write_bytes(content)
    known = entry.archive.verifiable
    sha256 = hashlib.sha256(content).hexdigest() if known else None
    form = ManifestForm(entry.archive.path, size=len(content) if known else None, sha256=sha256)
    entry = replace(entry, archive=form, urls=((root / "served.zip").as_uri(),))
    monkeypatch.setattr(locate, "ENTRIES", (entry,))
    monkeypatch.setattr(locate, "TASK_GROUPS", {task: TASK_GROUPS[task]})
    monkeypatch.setattr(fetch_module, "ENTRIES", (entry,))
    return entry


@pytest.mark.parametrize("task", PUBLISHED)
def test_from_the_address_to_arrays(task: str, roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(task, archive(task), roots, monkeypatch)
    with pytest.raises(BenchError, match=f"{task} has no embedded data, and these files are missing: datasets/{task}"):
        load_data(get_task(task), "auto", 8)
    lines: list[str] = []
    (fetched,) = fetch([task], show=lines.append)
    assert fetched.action == "downloaded"
    assert ("could NOT be verified: no checksum is known;" if task == "afhq" else "checksum verified") in lines[0]
    assert "licence: " in lines[0]
    assert [path.name for path in (roots / "cache/datasets").iterdir() if not path.name.startswith(".")] == [task]
    (again,) = fetch([task])
    assert again.action == "present"
    data = load_data(get_task(task), "auto", 8)
    assert (data.kind, data.domains, data.classes) == ("real", get_task(task).domains, ())
    counts = [len(data.splits[domain, split]) for domain in (0, 1) for split in ("train", "test")]
    assert counts == ([5, 2, 6, 3] if task == "afhq" else [5, 3, 6, 4])
    assert "the data's own split" in data.note


def test_any_two_domains_of_afhq(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend("afhq", archive("afhq"), roots, monkeypatch)
    fetch(["afhq"])
    data = load_data(get_task("afhq"), "auto", 8, "wild,cat")
    assert data.domains == ("wild", "cat")
    assert [len(data.splits[domain, "train"]) for domain in (0, 1)] == [7, 5]


def test_a_copy_by_hand_is_verified_before_it_is_unpacked(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend("horse2zebra", archive("horse2zebra"), roots, monkeypatch)
    (roots / "mine").mkdir()
    (roots / "mine/horse2zebra.zip").write_bytes(archive("apple2orange"))
    with pytest.raises(BenchError, match="damaged or another file"):
        fetch(["horse2zebra"], roots / "mine")
    assert not (roots / "cache/datasets/horse2zebra").exists()
    (roots / "mine/horse2zebra.zip").write_bytes(archive("horse2zebra"))
    (fetched,) = fetch(["horse2zebra"], roots / "mine")
    assert (fetched.action, fetched.check) == ("unpacked", "verified")


def test_an_archive_that_a_kill_left_is_unpacked_and_not_loaded_again(
    roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = pretend("apple2orange", archive("apple2orange"), roots, monkeypatch)
    assert entry.archive is not None
    left = roots / "cache" / entry.archive.path
    left.parent.mkdir(parents=True)
    left.write_bytes(archive("apple2orange"))
    (roots / "served.zip").unlink()
    (fetched,) = fetch(["apple2orange"])
    assert (fetched.check, left.exists()) == ("verified", False)
