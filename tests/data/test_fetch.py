"""`fetch` against a server on 127.0.0.1, and safe extraction (bench/data/fetch/fetch.py, unpack.py)."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import json
import os
import re
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bench.core.errors import BenchError
from bench.data.fetch import fetch as fetch_module
from bench.data.fetch import locate
from bench.data.fetch.fetch import fetch, list_fetchable, list_missing_files
from bench.data.fetch.manifest import DOMAINNET_CLASSES, ManifestEntry, ManifestForm
from bench.data.fetch.unpack import unpack_archive

CONTENT = np.random.default_rng(0).bytes(3 << 20)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PATH = "datasets/toy/toy.bin"


@dataclass
class Server:
    """What the test server offers, how it misbehaves, and what it was asked."""

    address: str = ""
    offered: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    cut_after: int | None = None
    etag: str = '"1"'
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            body = state.offered.get(self.path)
            if body is None:
                self.send_error(404)
                return
            start = 0
            if wanted and state.ranges and self.headers.get("If-Range") == state.etag:
                start = int(re.fullmatch(r"bytes=(\d+)-", wanted).group(1))  # type: ignore[union-attr]
                if start >= len(body):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            self.send_header("ETag", state.etag)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(body[start : state.cut_after])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
    thread.start()
    state.address = f"http://127.0.0.1:{httpd.server_port}"
    yield state
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UDT_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("UDT_BENCH_FILES", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def manifest(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put entries in place of the manifest's."""

    def install(*entries: ManifestEntry) -> None:
        monkeypatch.setattr(fetch_module, "ENTRIES", entries)
        monkeypatch.setattr(locate, "ENTRIES", entries)
        monkeypatch.setattr(locate, "TASK_GROUPS", {})

    return install


def toy(*urls: str, form: ManifestForm | None = None) -> ManifestEntry:
    chosen = form or ManifestForm(PATH, size=len(CONTENT), sha256=SHA256)
    return ManifestEntry(name="toy/toy", group="toy", licence="none", forms=(chosen,), urls=urls)


def left_in(folder: Path) -> list[str]:
    """Every file but the locks."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")


# ---------------------------------------------------------------------------------------------------- downloading


def test_full_download(server: Server, cache: Path, manifest: Callable[..., None]) -> None:
    manifest(toy(f"{server.address}/toy.bin"))
    server.offered["/toy.bin"] = CONTENT
    lines: list[str] = []
    assert [row.name for row in list_missing_files()] == ["toy/toy"]
    (result,) = fetch(["toy"], show=lines.append)
    assert (result.action, result.check, result.path) == ("downloaded", "verified", cache / PATH)
    assert result.path.read_bytes() == CONTENT
    assert left_in(cache) == [PATH]
    assert "checksum verified" in lines[0]
    assert list_missing_files() == []
    assert list_fetchable()[0].path == result.path
    (again,) = fetch(["toy/toy"], show=lines.append)
    assert again.action == "present"
    assert len(server.asked) == 1


def test_broken_download_is_resumed(server: Server, cache: Path, manifest: Callable[..., None]) -> None:
    manifest(toy(f"{server.address}/toy.bin"))
    server.offered["/toy.bin"] = CONTENT
    server.cut_after = 2_000_000
    with pytest.raises(BenchError, match=f"ended after 2000000 of {len(CONTENT)} bytes") as caught:
        fetch(["toy"])
    assert "--from" in caught.value.remedy
    assert left_in(cache) == [f"{PATH}.part", f"{PATH}.part.json"]
    server.cut_after = None
    (result,) = fetch(["toy"], show=lambda line: None)
    assert server.asked[-1] == ("/toy.bin", "bytes=2000000-")
    assert result.path.read_bytes() == CONTENT
    assert left_in(cache) == [PATH]


@pytest.mark.parametrize("change", ["no ranges", "another file now", "part too long", "note lost", "other address"])
def test_what_cannot_be_resumed_begins_anew(
    server: Server, cache: Path, manifest: Callable[..., None], change: str
) -> None:
    manifest(toy(f"{server.address}/toy.bin"))
    server.offered["/toy.bin"] = server.offered["/mirror.bin"] = CONTENT
    server.cut_after = 2_000_000
    with pytest.raises(BenchError):
        fetch(["toy"])
    server.cut_after = None
    part = cache / f"{PATH}.part"
    part.write_bytes(bytes(2_000_000))  # other bytes: a wrong continuation would show in the checksum
    if change == "no ranges":
        server.ranges = False
    elif change == "another file now":
        server.etag = '"2"'
    elif change == "part too long":
        part.write_bytes(bytes(len(CONTENT) + 5))
    elif change == "note lost":
        part.with_name(f"{part.name}.json").unlink()
    else:
        manifest(toy(f"{server.address}/mirror.bin"))
    (result,) = fetch(["toy"], show=lambda line: None)
    assert result.path.read_bytes() == CONTENT
    assert left_in(cache) == [PATH]


def test_a_part_goes_on_by_date_where_the_tag_is_weak_and_only_at_its_end(cache: Path) -> None:
    """A weak ETag does not promise equal bytes (RFC 9110, 13.1.5); nor may other bytes than those asked for follow."""
    answer = SimpleNamespace(headers={"ETag": 'W/"1"', "Last-Modified": "Thu, 26 Nov 2026 01:00:00 GMT"}, status=200)
    assert fetch_module._validator(answer) == "Thu, 26 Nov 2026 01:00:00 GMT"  # type: ignore[arg-type]
    answer.headers["ETag"] = '"1"'
    assert fetch_module._validator(answer) == '"1"'  # type: ignore[arg-type]
    assert fetch_module._begins_at(answer, 100) == 0  # type: ignore[arg-type]
    answer.status, answer.headers["Content-Range"] = 206, "bytes 100-199/200"
    assert fetch_module._begins_at(answer, 100) == 100  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="asked for the bytes from 50, the server sent 'bytes 100-199/200'"):
        fetch_module._begins_at(answer, 50)  # type: ignore[arg-type]


def test_a_copy_that_fails_leaves_nothing(
    cache: Path, manifest: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick" / "toy.bin").write_bytes(CONTENT)
    manifest(toy())

    def torn(source: Path, target: Path) -> None:
        target.write_bytes(CONTENT[:100])
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fetch_module.shutil, "copyfile", torn)
    with pytest.raises(BenchError, match=r"could not copy .*toy\.bin to .*: Input/output error"):
        fetch(["toy"], tmp_path / "stick")
    assert left_in(cache) == []


def test_wrong_checksum_leaves_nothing(server: Server, cache: Path, manifest: Callable[..., None]) -> None:
    manifest(toy(f"{server.address}/toy.bin", form=ManifestForm(PATH, sha256=SHA256)))
    server.offered["/toy.bin"] = b"<html>we have moved</html>"
    got = hashlib.sha256(server.offered["/toy.bin"]).hexdigest()
    with pytest.raises(BenchError, match=f"toy.bin is damaged .*expected {SHA256}, got {got}") as caught:
        fetch(["toy"])
    assert ".part" not in caught.value.what
    assert "--from" in caught.value.remedy
    assert left_in(cache) == []


def test_next_address_after_404_and_after_wrong_content(
    server: Server, cache: Path, manifest: Callable[..., None]
) -> None:
    addresses = [f"{server.address}/{name}" for name in ("gone.bin", "wrong.bin", "good.bin")]
    manifest(toy(*addresses))
    server.offered.update({"/wrong.bin": CONTENT[:-1], "/good.bin": CONTENT})
    (result,) = fetch(["toy"], show=lambda line: None)
    assert [path for path, _ in server.asked] == ["/gone.bin", "/wrong.bin", "/good.bin"]
    assert result.path.read_bytes() == CONTENT


def test_no_network(cache: Path, manifest: Callable[..., None], server: Server) -> None:
    manifest(toy("http://127.0.0.1:9/toy.bin", f"{server.address}/gone.bin"))  # port 9: nothing listens
    with pytest.raises(
        BenchError, match=r"could not download toy/toy \(toy\.bin\): .*no connection.*answered 404"
    ) as caught:
        fetch(["toy"])
    assert "udt-bench fetch toy --from" in caught.value.remedy
    assert left_in(cache) == []


def test_the_others_are_fetched_when_one_fails(server: Server, cache: Path, manifest: Callable[..., None]) -> None:
    bad = ManifestEntry(
        "toy/bad", "toy", "none", (ManifestForm("datasets/toy/bad.bin"),), (f"{server.address}/bad.bin",)
    )
    worse = ManifestEntry("toy/worse", "toy", "none", (ManifestForm("datasets/toy/worse.bin"),), how="ask the author")
    manifest(bad, worse, toy(f"{server.address}/toy.bin"))
    server.offered["/toy.bin"] = CONTENT
    with pytest.raises(BenchError, match=r"(?s)toy/bad .*404.*toy/worse cannot be downloaded") as caught:
        fetch(["toy"], show=lambda line: None)
    assert "ask the author" in caught.value.remedy
    assert left_in(cache) == [PATH]


def test_unpublished_checksum_is_recorded(server: Server, cache: Path, manifest: Callable[..., None]) -> None:
    form = ManifestForm("datasets/domainnet/sketch.zip", holds=tuple(f"sketch/{name}" for name in DOMAINNET_CLASSES))
    manifest(toy(f"{server.address}/sketch.zip", form=form))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in DOMAINNET_CLASSES[:-1]:
            archive.writestr(f"sketch/{name}/1.jpg", b"image")
    server.offered["/sketch.zip"] = buffer.getvalue()
    with pytest.raises(BenchError, match="nothing in sketch/tiger"):
        fetch(["toy"])
    assert left_in(cache) == []
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("sketch/tiger/1.jpg", b"image")
    server.offered["/sketch.zip"] = buffer.getvalue()
    lines: list[str] = []
    (result,) = fetch(["toy"], show=lines.append)
    assert result.check == "unverified"
    assert "could NOT be verified" in lines[0]
    record = json.loads(locate.digest_record_path(result.path).read_text())
    assert record["sha256"] == hashlib.sha256(buffer.getvalue()).hexdigest()
    assert fetch(["toy"], show=lines.append)[0].check == "recorded"


def test_damaged_copy_is_replaced_in_the_cache_but_not_elsewhere(
    server: Server, cache: Path, manifest: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manifest(toy(f"{server.address}/toy.bin"))
    server.offered["/toy.bin"] = CONTENT
    path = cache / PATH
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged")
    assert fetch(["toy"], show=lambda line: None)[0].action == "downloaded"
    assert path.read_bytes() == CONTENT
    shared = tmp_path / "shared" / PATH
    shared.parent.mkdir(parents=True)
    shared.write_bytes(b"damaged")
    monkeypatch.setenv("UDT_BENCH_FILES", str(tmp_path / "shared"))
    with pytest.raises(BenchError, match=r"shared/datasets/toy/toy\.bin is damaged"):
        fetch(["toy"])
    assert shared.read_bytes() == b"damaged"


def test_full_disk(server: Server, cache: Path, manifest: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    manifest(toy(f"{server.address}/toy.bin"))
    server.offered["/toy.bin"] = CONTENT
    monkeypatch.setattr(locate, "SPARE", 1 << 60)
    with pytest.raises(BenchError, match="MB are free"):
        fetch(["toy"])
    assert left_in(cache) == []


# ------------------------------------------------------------------------------------------------- copied by hand


def test_from_folder(cache: Path, manifest: Callable[..., None], tmp_path: Path) -> None:
    packed = ManifestForm("datasets/toy/toy.gz", size=len(CONTENT), sha256=SHA256, unpacked=True)
    plain = ManifestForm("datasets/toy/toy", size=len(CONTENT), sha256=SHA256)
    manifest(ManifestEntry("toy/toy", "toy", "none", (packed, plain), ("http://127.0.0.1:9/toy.gz",)))
    source = tmp_path / "stick" / "some" / "where"
    source.mkdir(parents=True)
    with pytest.raises(BenchError, match=r"none of toy\.gz, toy is under"):
        fetch(["toy"], from_dir=tmp_path / "stick")
    with pytest.raises(BenchError, match="no such folder"):
        fetch(["toy"], from_dir=tmp_path / "nowhere")
    (source / "toy").write_bytes(CONTENT)
    assert fetch(["toy"], tmp_path / "stick", lambda line: None)[0].path == cache / "datasets/toy/toy"
    (cache / "datasets/toy/toy").unlink()
    (source / "toy.gz").write_bytes(gzip.compress(CONTENT, 1))  # recompressed: other bytes, same content
    (result,) = fetch(["toy"], tmp_path / "stick", lambda line: None)
    assert (result.action, result.check, result.path) == ("copied", "verified", cache / "datasets/toy/toy.gz")


def test_from_folder_takes_the_copy_that_verifies(cache: Path, manifest: Callable[..., None], tmp_path: Path) -> None:
    manifest(toy())
    for name, content in (("a", b"damaged"), ("b", CONTENT)):
        (tmp_path / "stick" / name).mkdir(parents=True)
        (tmp_path / "stick" / name / "toy.bin").write_bytes(content)
    assert fetch(["toy"], tmp_path / "stick", lambda line: None)[0].path.read_bytes() == CONTENT
    (cache / PATH).unlink()
    (tmp_path / "stick" / "b" / "toy.bin").unlink()
    with pytest.raises(BenchError, match=r"a/toy\.bin is damaged"):
        fetch(["toy"], tmp_path / "stick")
    assert left_in(cache) == []


def test_from_folder_unpacks_an_archive(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    with zipfile.ZipFile(tmp_path / "stick" / "PACS.zip", "w") as archive:
        for domain in ("sketch", "photo", "cartoon"):
            archive.writestr(f"PACS/{domain}/dog/1.png", b"image")
    (result,) = fetch(["pacs"], tmp_path / "stick", lambda line: None)
    assert (result.action, result.path) == ("unpacked", cache / "datasets/pacs")
    assert (cache / "datasets/pacs/photo/dog/1.png").read_bytes() == b"image"
    assert locate.missing_files("pacs") == []


# ---------------------------------------------------------------------------------------------------- extraction


def tar(path: Path, *members: tarfile.TarInfo, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return path


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    member.size = 3 if kind == tarfile.REGTYPE else 0
    return member


@pytest.mark.parametrize(
    "member",
    [
        tar_member("/etc/passwd"),
        tar_member("../evil"),
        tar_member("a/../../evil"),
        tar_member("C:/evil"),
        tar_member("..\\evil"),
        tar_member("link", tarfile.SYMTYPE, "/etc"),
        tar_member("link", tarfile.SYMTYPE, "../.."),
        tar_member("hard", tarfile.LNKTYPE, "/etc/passwd"),
        tar_member("null", tarfile.CHRTYPE),
        tar_member("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda member: f"{member.name} {member.linkname}",
)
def test_unsafe_tar_member_is_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    archive = tar(tmp_path / "x.tar.gz", tar_member("good"), member)
    with pytest.raises(BenchError, match=re.escape(f"'{member.name}'")) as caught:
        unpack_archive(archive, tmp_path / "deep" / "target")
    assert "nothing was written" in caught.value.remedy
    assert left_in(tmp_path) == ["x.tar.gz"]


def test_tar_member_of_negative_size_is_refused(tmp_path: Path) -> None:
    """Read naively, it leads back to the member before it, for ever."""
    member = tar_member("back")
    member.pax_headers = {"size": "-1536"}
    archive = tar(tmp_path / "x.tar", tar_member("good"), member, mode="w")
    with pytest.raises(BenchError, match=r"x\.tar.*'back' \(a negative size\)"):
        unpack_archive(archive, tmp_path / "target")
    assert left_in(tmp_path) == ["x.tar"]


@pytest.mark.parametrize("name", ["/etc/evil", "../evil", "a/../../evil", "C:\\evil"])
def test_unsafe_zip_member_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("good", b"abc")
        archive.writestr(name, b"abc")
    with pytest.raises(BenchError, match=re.escape(f"'{name}'")):
        unpack_archive(tmp_path / "x.zip", tmp_path / "target")
    assert left_in(tmp_path) == ["x.zip"]


def test_zip_symlink_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, "/etc")
    with pytest.raises(BenchError, match=r"'link' .*link or device"):
        unpack_archive(tmp_path / "x.zip", tmp_path / "target")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("kind", ["w", "w:gz", "w:bz2", "w:xz"])
def test_good_tar(tmp_path: Path, kind: str) -> None:
    members = (
        tar_member(".", tarfile.DIRTYPE),
        tar_member("./a", tarfile.DIRTYPE),
        tar_member("./a/b"),
        tar_member("c/d"),
    )
    unpack_archive(tar(tmp_path / "x", *members, mode=kind), tmp_path / "target")
    assert left_in(tmp_path / "target") == ["a/b", "c/d"]
    assert (tmp_path / "target/a/b").read_bytes() == bytes(3)
    assert os.stat(tmp_path / "target").st_mode & 0o777 == 0o755
    with pytest.raises(BenchError, match="already there"):
        unpack_archive(tmp_path / "x", tmp_path / "target")


def test_damaged_archives_leave_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.bin", CONTENT)
    content = bytearray(path.read_bytes())
    content[100_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(BenchError, match=r"x\.zip is damaged"):
        unpack_archive(path, tmp_path / "target")
    whole = tar(tmp_path / "x.tar.gz", tar_member("a"), tar_member("b")).read_bytes()
    (tmp_path / "x.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BenchError, match=r"x\.tar\.gz is damaged"):
        unpack_archive(tmp_path / "x.tar.gz", tmp_path / "target")
    (tmp_path / "x.txt").write_text("text")
    with pytest.raises(BenchError, match="neither a zip nor a tar"):
        unpack_archive(tmp_path / "x.txt", tmp_path / "target")
    assert left_in(tmp_path) == ["x.tar.gz", "x.txt", "x.zip"]


def test_only_fetch_opens_sockets() -> None:
    """The harness, the methods and the metrics import no network module; `fetch` does, and `--launch ray` asks its own
    cluster whether it answers."""
    network = re.compile(
        r"urllib\.request|\bhttp\.client|\bimport requests|\bftplib|socket\.socket|create_connection"
        r"|download_url|load_state_dict_from_url|hub\.load"
    )
    root = Path(__file__).parents[2]
    sources = [path for package in ("bench", "methods", "metrics") for path in (root / package).rglob("*.py")]
    assert len(sources) > 10
    found = [str(path.relative_to(root)) for path in sources if network.search(path.read_text())]
    assert sorted(found) == ["bench/data/fetch/fetch.py", "bench/runs/ray/driver.py"]


def test_a_zip_that_separates_folders_by_backslashes(tmp_path: Path) -> None:
    for name, bad in (("plain", False), ("bad", True)):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for member in ("photo\\dog\\1.png", "sketch\\dog\\2.png", *(["..\\out.png"] if bad else [])):
                archive.writestr(member, member)
    unpack_archive(tmp_path / "plain.zip", tmp_path / "plain", ("photo", "sketch"))
    assert (tmp_path / "plain/photo/dog/1.png").read_text() == "photo\\dog\\1.png"
    assert (tmp_path / "plain/sketch/dog/2.png").is_file()
    with pytest.raises(BenchError, match="a path out of the folder"):
        unpack_archive(tmp_path / "bad.zip", tmp_path / "bad", ("photo",))
    assert not (tmp_path / "out.png").exists()
