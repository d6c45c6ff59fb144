"""Finding files and telling right ones from wrong ones (bench/data/fetch/locate.py, manifest.py)."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path

import pytest
from real_files import real_file

from bench.core.errors import BenchError
from bench.data.fetch import locate
from bench.data.fetch.manifest import ENTRIES, TASK_GROUPS, ManifestForm
from bench.spec.tasks import TASKS


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two read-only roots and the cache, all empty."""
    made = [tmp_path / name for name in ("first", "second", "cache")]
    for folder in made:
        folder.mkdir()
    monkeypatch.setenv("UDT_BENCH_FILES", os.pathsep.join(str(folder) for folder in made[:2]))
    monkeypatch.setenv("UDT_BENCH_CACHE", str(made[2]))
    return made


def put(root: Path, relative: str, content: bytes = b"x") -> Path:
    path = root / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_manifest_is_consistent() -> None:
    names = [entry.name for entry in ENTRIES]
    assert len(set(names)) == len(names)
    for entry in ENTRIES:
        assert entry.licence
        assert entry.urls or entry.how, f"{entry.name}: neither an address nor what to do by hand"
        for form in entry.forms:
            assert not form.path.startswith("/")
            assert ".." not in form.path
            assert form.sha256 is None or (len(form.sha256) == 64 and int(form.sha256, 16))
    assert set(TASK_GROUPS) <= set(TASKS)
    assert {group for groups in TASK_GROUPS.values() for group in groups} <= {entry.group for entry in ENTRIES}


def test_search_order_and_default_cache(roots: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate.search_folders() == roots
    put(roots[2], "weights/some")
    assert locate.locate_file("weights/some") == roots[2] / "weights/some"
    put(roots[1], "weights/some")
    assert locate.locate_file("weights/some") == roots[1] / "weights/some"
    put(roots[0], "weights/some")
    assert locate.locate_file("weights/some") == roots[0] / "weights/some"
    monkeypatch.delenv("UDT_BENCH_FILES")
    monkeypatch.delenv("UDT_BENCH_CACHE")
    assert locate.search_folders() == [locate.locate_cache()]
    assert locate.locate_cache().name == "udt-bench"


@pytest.mark.parametrize("name", ["weights-inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-nofc.pth"])
def test_weights_under_any_accepted_name(roots: list[Path], name: str) -> None:
    assert locate.locate_weights("inception") is None
    path = put(roots[1], f"weights/{name}")
    assert locate.locate_weights("inception") == path


def test_weights_without_a_published_checksum(roots: list[Path]) -> None:
    with pytest.raises(BenchError, match=r"missing: weights/dinov2_vitl14_pretrain\.pth") as caught:
        locate.locate_required("dinov2")
    assert "udt-bench fetch dinov2" in caught.value.remedy
    path = put(roots[0], "weights/dinov2_vitl14_pretrain.pth")
    assert locate.locate_weights("dinov2") == path
    assert locate.check_published_file(locate.manifest_entries(["dinov2"])[0].forms[0], path) == "unverified"


def test_missing_files_of_a_task_and_remedy(roots: list[Path]) -> None:
    put(roots[0], "datasets/svhn/train_32x32.mat")
    missing = locate.missing_files("mnist2svhn")
    assert len(missing) == 5
    assert "datasets/svhn/test_32x32.mat" in missing
    with pytest.raises(BenchError, match=r"test_32x32\.mat") as caught:
        locate.locate_required("svhn", verify=False)
    assert "udt-bench fetch svhn" in caught.value.remedy
    put(roots[1], "datasets/svhn/test_32x32.mat")
    assert locate.missing_files("svhn") == []
    assert set(locate.locate_required("svhn", verify=False)) == {"svhn/train", "svhn/test"}


def test_usps_is_complete_with_the_one_matlab_file(roots: list[Path]) -> None:
    path = put(roots[0], "datasets/usps/usps_all.mat")
    assert locate.missing_files("usps") == []
    assert locate.locate_required("usps") == {"usps/train": path, "usps/test": path}


def test_pacs_needs_both_domains(roots: list[Path]) -> None:
    (roots[0] / "datasets/pacs/sketch").mkdir(parents=True)
    assert locate.missing_files("pacs") == ["datasets/pacs"]
    with pytest.raises(BenchError, match="missing: datasets/pacs"):
        locate.locate_required("pacs")
    (roots[0] / "datasets/pacs/photo").mkdir()
    assert locate.missing_files("pacs") == []


def test_require_refuses_a_damaged_file(roots: list[Path]) -> None:
    for part in ("train", "test"):
        put(roots[0], f"datasets/svhn/{part}_32x32.mat", b"not the real thing")
    with pytest.raises(BenchError, match=r"train_32x32\.mat is damaged.*182040794, got 18"):
        locate.locate_required("svhn")


def test_unknown_name_lists_the_nearest() -> None:
    with pytest.raises(BenchError, match="mnits") as caught:
        locate.manifest_entries(["mnits"])
    assert "'mnist'" in caught.value.remedy


def test_gz_is_judged_by_its_content(tmp_path: Path) -> None:
    content = b"digits" * 100
    form = ManifestForm("x.gz", size=len(content), sha256=hashlib.sha256(content).hexdigest(), unpacked=True)
    for level in (1, 9):  # two compressions, one content
        path = put(tmp_path, f"{level}.gz", gzip.compress(content, level))
        assert locate.check_published_file(form, path) == "verified"
    with pytest.raises(BenchError, match=r"short\.gz is damaged"):
        locate.check_published_file(form, put(tmp_path, "short.gz", gzip.compress(content)[:-12]))
    with pytest.raises(BenchError, match=r"unpacked sha256: expected .* got"):
        locate.check_published_file(form, put(tmp_path, "other.gz", gzip.compress(b"digitz" * 100)))


def test_prefix_and_md5_are_checked(tmp_path: Path) -> None:
    path = put(tmp_path, "weights.pth", b"weights")
    sha256, md5 = hashlib.sha256(b"weights").hexdigest(), hashlib.md5(b"weights").hexdigest()
    assert locate.check_published_file(ManifestForm("w", sha256_prefix=sha256[:8]), path) == "verified"
    assert locate.check_published_file(ManifestForm("w", md5=md5), path) == "verified"
    with pytest.raises(BenchError, match=f"start of the sha256: expected 00000000, got {sha256[:8]}"):
        locate.check_published_file(ManifestForm("w", sha256_prefix="00000000"), path)
    with pytest.raises(BenchError, match="md5: expected"):
        locate.check_published_file(ManifestForm("w", md5="0" * 32), path)


def test_recorded_digest_recognises_a_change(tmp_path: Path) -> None:
    path = put(tmp_path, "real.zip", b"first download")
    assert not locate.matches_digest_record(path)
    locate.digest_record_path(path).write_text(json.dumps(locate.make_digest_record(path)))
    assert locate.matches_digest_record(path)
    os.utime(path, ns=(1, 1))  # another time, equal bytes: read again, and still right
    assert locate.matches_digest_record(path)
    path.write_bytes(b"later, damaged")
    with pytest.raises(BenchError, match=r"recorded at the first download"):
        locate.matches_digest_record(path)


def test_real_files_are_verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real_file("datasets/mnist/train-images-idx3-ubyte.gz")
    real_file("datasets/usps/usps_all.mat")
    monkeypatch.setenv("UDT_BENCH_CACHE", str(tmp_path))
    assert len(locate.locate_required("mnist2usps")) == 6
    for name in ("inception", "alexnet", "efficientnet"):
        entry = locate.manifest_entries([f"weights/{name}"])[0]
        place = locate.locate_entry(entry)
        assert place is None or locate.check_published_file(*place) == "verified"
