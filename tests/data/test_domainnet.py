"""DomainNet's five classes from small archives in exactly the published format (bench/data/sources/domainnet.py)."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core.errors import BenchError
from bench.data.fetch import locate
from bench.data.fetch.manifest import DOMAINNET_CLASSES
from bench.data.sources.domainnet import DomainNet

NUMBERS = {"bird": 26, "dog": 91, "flower": 114, "speedboat": 274, "tiger": 316, "zebra": 343}


def jpeg(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def pictures(domain: str, count: int = 18) -> dict[str, bytes]:
    """Member -> content, not in name order; six classes, of which five are the task's."""
    members = {}
    for name, number in NUMBERS.items():
        for k in reversed(range(1, count + 1)):
            members[f"{domain}/{name}/{domain}_{number:03d}_{k:06d}.jpg"] = jpeg(1000 * number + k)
    return members


def write_archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sketch/", b"")
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_five_classes_and_the_first_fifteen(tmp_path: Path) -> None:
    source = DomainNet(write_archive(tmp_path / "sketch.zip", pictures("sketch")), "sketch")
    items = list(source.items())
    assert tuple(source.classes) == ("bird", "dog", "flower", "speedboat", "tiger")
    assert source.count() == len(items) == 5 * 18
    for label, name in enumerate(DOMAINNET_CLASSES):
        mine = [item for item in items if item.label == label]
        assert [item.split for item in mine] == ["test"] * 15 + ["train"] * 3
        assert [item.name for item in mine] == sorted(item.name for item in mine)
        assert mine[14].name.endswith(f":{name}/sketch_{NUMBERS[name]:03d}_000015.jpg")
    with Image.open(io.BytesIO(jpeg(26_001))) as expected:
        assert (items[0].pixels == np.asarray(expected)).all()
    assert source.resample == "lanczos"


def test_archive_and_extracted_tree_are_one_data_set(tmp_path: Path) -> None:
    packed = DomainNet(write_archive(tmp_path / "real.zip", pictures("real")), "real")
    with zipfile.ZipFile(packed.path) as archive:
        archive.extractall(tmp_path)
    tree = DomainNet(tmp_path / "real", "real")
    assert tree.fingerprint() == packed.fingerprint()
    pairs = list(zip(tree.items(), packed.items(), strict=True))
    assert len(pairs) == 90
    assert all((a.pixels == b.pixels).all() and (a.label, a.split) == (b.label, b.split) for a, b in pairs)
    name = "real/tiger/real_316_000001.jpg"
    (tmp_path / name).write_bytes(jpeg(7))
    assert DomainNet(tmp_path / "real", "real").fingerprint() != packed.fingerprint()


def test_too_few_or_no_images_of_a_class(tmp_path: Path) -> None:
    few = {name: content for name, content in pictures("sketch").items() if "tiger" not in name or "00001" in name}
    source = DomainNet(write_archive(tmp_path / "sketch.zip", few), "sketch")
    with pytest.raises(BenchError, match="class 'tiger' has 10 images"):
        source.count()
    none = {name: content for name, content in few.items() if "tiger" not in name}
    path = write_archive(tmp_path / "sketch.zip", none)
    form = locate.manifest_entries(["domainnet/sketch"])[0].forms[0]
    with pytest.raises(BenchError, match="nothing in sketch/tiger"):
        locate.check_published_file(form, path)


def test_damaged_member_and_archive(tmp_path: Path) -> None:
    members = pictures("sketch")
    name = "sketch/dog/sketch_091_000002.jpg"
    members[name] = members[name][:200]
    path = write_archive(tmp_path / "sketch.zip", members)
    with pytest.raises(BenchError, match=r"sketch\.zip:dog/sketch_091_000002\.jpg cannot be decoded"):
        [item.pixels for item in DomainNet(path, "sketch").items()]

    path = write_archive(tmp_path / "sketch.zip", pictures("sketch"))
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("sketch/bird/sketch_026_000003.jpg").header_offset
    content = bytearray(path.read_bytes())
    content[start + 120 : start + 140] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(BenchError, match=r"sketch_026_000003\.jpg"):
        [item.pixels for item in DomainNet(path, "sketch").items()]

    path.write_bytes(bytes(content[: len(content) // 2]))
    with pytest.raises(BenchError, match=r"sketch\.zip is damaged"):
        DomainNet(path, "sketch").count()


def test_located_and_checked_against_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UDT_BENCH_FILES", str(tmp_path))
    monkeypatch.setenv("UDT_BENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(BenchError, match=r"missing: datasets/domainnet/sketch\.zip"):
        DomainNet.locate("sketch")
    folder = tmp_path / "datasets/domainnet"
    folder.mkdir(parents=True)
    path = write_archive(folder / "sketch.zip", pictures("sketch"))
    assert DomainNet.locate("sketch").path == path
    locate.digest_record_path(path).write_text('{"sha256": "00", "size": 1, "mtime_ns": 1}')
    with pytest.raises(BenchError, match="recorded at the first download: expected 00"):
        DomainNet.locate("sketch")
