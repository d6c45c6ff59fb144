"""Readers of files that others made: whatever is in them, the answer is a value or one clear error, soon and small.

Each reader is given damaged copies of a good file. It may read them, or raise BenchError with the file's name and a
remedy; it may not raise anything else, take more than SECONDS of the processor, or grow by more than BYTES.
"""

from __future__ import annotations

import ast
import bz2
import gzip
import hashlib
import io
import json
import pickle
import resource
import shutil
import signal
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damage import damaged, damaged_json
from hypothesis import HealthCheck, given, settings
from PIL import Image
from safetensors.torch import save
from scipy.io import savemat
from stored_cells import fid, store

import bench
import bench.data.sources.domainnet as domainnet_module
import methods
import metrics
from bench.core.errors import BenchError
from bench.core.files import read_array
from bench.data.fetch import locate
from bench.data.fetch.manifest import DOMAINNET_CLASSES, ManifestForm
from bench.data.fetch.unpack import unpack_archive
from bench.data.prepare import _open
from bench.data.sources.decode import decode_rgb
from bench.data.sources.digits import Svhn, read_digits_idx, read_digits_libsvm, read_digits_mat
from bench.data.sources.domainnet import DomainNet, _opened, _read_member
from bench.evaluation.feature_cache import FeatureCache, feature_cache_key
from bench.reporting.leaderboard.leaderboards import all_leaderboards, render_boards
from bench.runs.published_checkpoint import read_published_checkpoint as read_published
from bench.runs.sweep.file import SHIPPED, load_sweep
from bench.store import index
from bench.store.cell import Cell, read_cell_metrics, read_cells
from bench.store.checkpoints import CheckpointFolder
from bench.store.index import read_index
from bench.training.loop import LossLog
from bench.training.train import _stored_plan
from metrics.encoders.base import read_encoder_tensors

SECONDS = 5.0
BYTES = 512 << 20
WEBP_BYTES = 89_478_485 * 2 * 4 + BYTES
"""Pillow's WebP decoder has two RGBA canvases of the header's size: as many pixels as are accepted."""


@dataclass(frozen=True)
class Reader:
    """One reader and a good file of its format."""

    name: str
    file: str
    good: bytes
    read: Callable[[Path], object]
    pack: Callable[[bytes], bytes] = field(default=lambda content: content)
    """What is done to the damaged bytes: a damaged file may be packed as well as any other."""
    names: str = ""
    """What an error has to name; empty: the file."""
    limit: int = BYTES
    """Growth of the process in bytes that fails."""


# ----------------------------------------------------------------------------------------------------- good files

RNG = np.random.default_rng(0)
TENSORS = {"a.weight": torch.arange(12.0).reshape(3, 4), "b": torch.ones(5, dtype=torch.int64)}


def idx() -> bytes:
    return bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (3, 28, 28)) + RNG.bytes(3 * 784)


def mat(compressed: bool) -> bytes:
    buffer = io.BytesIO()
    images = RNG.integers(0, 256, (32, 32, 3, 4)).astype(np.uint8)
    savemat(buffer, {"X": images, "y": np.array([[1], [2], [10], [4]], np.uint8)}, do_compression=compressed)
    return buffer.getvalue()


def libsvm() -> bytes:
    row = " ".join(f"{index + 1}:{value:.3f}" for index, value in enumerate(RNG.uniform(-1, 1, 256)))
    return "".join(f"{label} {row}\n" for label in (1, 10, 3)).encode()


def torch_file(content: object, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def arrays(packed: bool = False) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(buffer, **{name: value.numpy() for name, value in TENSORS.items()})
    return buffer.getvalue()


def array(shape: tuple[int, ...] = (6, 5), dtype: str = "float32") -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, RNG.integers(0, 256, shape).astype(dtype))
    return buffer.getvalue()


def labels() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, labels=np.zeros(2, np.int64), ids=np.zeros((2, 32), np.uint8), train=np.int64(1))
    return buffer.getvalue()


def picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (20, 24, 3)).astype(np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def tar(mode: str = "w", format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=format) as archive:  # type: ignore[call-overload]
        for name in ("photo/dog/1.png", f"sketch/{'long' * 40}.png", "sketch/é.png"):
            member = tarfile.TarInfo(name)
            member.size = 600
            archive.addfile(member, io.BytesIO(RNG.bytes(600)))
    return buffer.getvalue()


def zipped(names: tuple[str, ...], content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name in names:
            archive.writestr(name, content)
    return buffer.getvalue()


def domainnet() -> bytes:
    return zipped(tuple(f"sketch/{c}/{k:03d}.png" for c in DOMAINNET_CLASSES for k in range(16)), picture("PNG"))


# -------------------------------------------------------------------------------------------------------- readers


def unpack(path: Path) -> None:
    """Into a folder that nothing may leave."""
    jail = path.parent / "jail"
    shutil.rmtree(jail, ignore_errors=True)
    jail.mkdir()
    beside = sorted(path.parent.iterdir())
    try:
        unpack_archive(path, jail / "inner" / "target")
    finally:
        assert sorted(path.parent.iterdir()) == beside
        assert [found.name for found in jail.iterdir()] in ([], ["inner"])
        assert [found.name for found in jail.glob("inner/*")] in ([], ["target"])
        assert not [found for found in jail.rglob("*") if found.is_symlink()]


def svhn(path: Path) -> None:
    source = Svhn(path, path)
    source.count()
    list(source.items())


def pictures(path: Path) -> None:
    source = DomainNet(path, "sketch")
    source.fingerprint()
    for item, _ in zip(source.items(), range(3), strict=False):
        assert item.pixels.dtype == np.uint8
    locate.check_published_file(ManifestForm("x.zip", holds=("sketch/dog",)), path)


def load_training(path: Path) -> None:
    """A checkpoint whose name says that its bytes are right."""
    folder = path.parent / "checkpoints"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    content = path.read_bytes()
    (folder / f"step-000000010-{hashlib.sha256(content).hexdigest()[:16]}.pt").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is passed over
        found = CheckpointFolder(folder).load_latest()
    assert found is None or isinstance(found[1], dict)


def features(path: Path) -> None:
    images = np.zeros((1, 3, 2, 2), np.uint8)
    cache = FeatureCache(path.parent / "features")
    stored = cache._path("p", feature_cache_key(images, "e", "p"), ".npy")
    stored.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, stored)
    cache.find(images, "e", "p")
    made = cache.get(images, "e", "p", lambda: np.ones((1, 2), np.float32))
    assert isinstance(made, np.ndarray)


def prepared(path: Path) -> None:
    folder = path.parent / "prepared"
    folder.mkdir(exist_ok=True)
    for domain in (0, 1):
        (folder / f"domain{domain}.npy").write_bytes(array((2, 3, 4, 4), "uint8"))
        (folder / f"domain{domain}.npz").write_bytes(labels())
    (folder / "prepared.json").write_text('{"duplicates": []}')
    shutil.copyfile(path, folder / path.name)
    _open(folder, 4)


def decode(path: Path) -> None:
    decode_rgb(path.read_bytes(), path.name)


def encoder(path: Path) -> None:
    try:
        with path.open("rb") as file:
            read_encoder_tensors(file, path)
    except ValueError as error:  # as bench.evaluation.encoders does
        raise BenchError(str(error), "fetch it") from error


def log(path: Path) -> None:
    LossLog(path).truncate(10)
    assert all(json.loads(line)["step"] <= 10 for line in path.read_text().splitlines())


READERS = [
    Reader("idx", "x-ubyte", idx(), lambda path: read_digits_idx(path, 3)),
    Reader("idx in gz", "x.gz", idx(), lambda path: read_digits_idx(path, 3), gzip.compress),
    Reader("gz of idx", "x.gz", gzip.compress(idx()), lambda path: read_digits_idx(path, 3)),
    Reader("mat", "x.mat", mat(False), svhn),
    Reader("mat, packed", "x.mat", mat(True), svhn),
    Reader("mat, any", "x.mat", mat(False), read_digits_mat),
    Reader("libsvm in bz2", "x.bz2", libsvm(), read_digits_libsvm, bz2.compress),
    Reader("bz2 of libsvm", "x.bz2", bz2.compress(libsvm()), read_digits_libsvm),
    Reader("zip", "x.zip", zipped(("a/1.png", "b/2.png"), b"content" * 50), unpack),
    Reader("zip, lzma", "x.zip", zipped(("a/1.png",), b"content" * 50, zipfile.ZIP_LZMA), unpack),
    Reader("tar", "x.tar", tar(), unpack),
    Reader("tar, gnu", "x.tar", tar(format=tarfile.GNU_FORMAT), unpack),
    Reader("tar in gz", "x.tar.gz", tar(), unpack, lambda content: gzip.compress(content, 1)),
    Reader("tar.xz", "x.tar.xz", tar("w:xz"), unpack),
    Reader("tar.bz2", "x.tar.bz2", tar("w:bz2"), unpack),
    Reader("domainnet", "x.zip", domainnet(), pictures),
    *(
        Reader(f"picture {kind}", f"x.{kind.lower()}", picture(kind), decode, limit=limit)
        for kind, limit in (("PNG", BYTES), ("JPEG", BYTES), ("WEBP", WEBP_BYTES), ("BMP", BYTES))
    ),
    Reader("training checkpoint", "x.pt", torch_file({"module": TENSORS, "seconds": 1.0}), load_training),
    Reader("weights .pth", "x.pth", torch_file({"net": TENSORS}), lambda path: read_published([str(path)])),
    Reader("weights, old", "x.pth", torch_file({"net": TENSORS}, False), lambda path: read_published([str(path)])),
    Reader("weights .safetensors", "x.safetensors", save(TENSORS), lambda path: read_published([f"n={path}"])),
    Reader("weights .npz", "x.npz", arrays(), lambda path: read_published([f"n={path}"])),
    Reader("weights .npz, packed", "x.npz", arrays(True), lambda path: read_published([f"n={path}"])),
    Reader("encoder", "x.pth", torch_file(TENSORS), encoder),
    Reader("features", "x.npy", array(), features),
    Reader("prepared images", "domain0.npy", array((2, 3, 4, 4), "uint8"), prepared, names="prepared"),
    Reader("prepared labels", "domain1.npz", labels(), prepared, names="prepared"),
    Reader("loss log", "log.jsonl", b'{"step": 9, "losses": {"a": 1.0}}\n{"step": 20, "losses": {}}\n' * 3, log),
    Reader("sweep", "x.yaml", (SHIPPED / "table3a.yaml").read_bytes(), load_sweep),
]  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ tests


@contextmanager
def soon() -> Iterator[None]:
    """What takes more than SECONDS of the processor fails."""

    def late(number: int, frame: object) -> None:
        raise AssertionError(f"it took more than {SECONDS} s")

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def small(limit: int = BYTES) -> Iterator[None]:
    """What makes this process grow by `limit` bytes or more fails."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew from what is in use
    before = _peak()
    yield
    assert _peak() - before < limit, f"grown by {(_peak() - before) >> 20} MB"


def _peak() -> int:
    """The most memory that this process had since its peak was reset (on Linux, else ever), in bytes."""
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def try_one(reader: Reader, content: bytes, folder: Path) -> None:
    path = folder / reader.file
    path.write_bytes(reader.pack(content))
    with soon():
        try:
            reader.read(path)
        except BenchError as error:
            refused = error
        else:
            return
    assert (reader.names or path.name) in refused.what, refused.what
    assert refused.remedy


def search(reader: Reader, folder: Path, examples: int) -> None:
    folder.mkdir(exist_ok=True)

    @settings(settings.default, max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(damaged(reader.good))
    def every(content: bytes) -> None:
        try_one(reader, content, folder)

    try_one(reader, reader.good, folder)
    with small(reader.limit):
        every()


def ids(reader: Reader) -> str:
    return reader.name


@pytest.mark.parametrize("reader", READERS, ids=ids)
def test_damaged_files_are_read_or_refused(reader: Reader, tmp_path: Path) -> None:
    search(reader, tmp_path, 40)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS, ids=ids)
def test_thousands_of_damaged_files_are_read_or_refused(reader: Reader, tmp_path: Path) -> None:
    search(reader, tmp_path, 2000)


# ---------------------------------------------------------------------------------------------------------- results

RECORDS = [
    fid(12.0),
    fid(11.0, label="bird"),
    fid(None, protocol="fid-inception-v1", missing="needs: bench fetch inception"),
]
CELL_FILES = (
    "spec.json", "status.json", "cost.json", "remarks.json", "pretrained.json", "metrics-none.json", "plan.json",
    "directions.json", "scoring.json",
)  # fmt: skip


def stored_cell(root: Path) -> Cell:
    """One of two finished cells."""
    store(root, "cyclegan", RECORDS, seed=1)
    cell = store(root, "cyclegan", RECORDS)
    cost = {"seconds": 1.0, "stage_seconds": {"imsat": 2.0}, "parameters": 5, "flops": None, "peak_memory_bytes": 7}
    (cell.folder / "cost.json").write_text(json.dumps({**cost, "steps": 3, "images_per_domain": 6}))
    (cell.folder / "remarks.json").write_text('["a remark"]')
    (cell.folder / "pretrained.json").write_text('["vgg19"]')
    (cell.folder / "scoring.json").write_text('{"seconds": 1.0}')
    (cell.folder / "directions.json").write_text("[[0, 1]]")
    (cell.folder / "plan.json").write_text(json.dumps(PLAN))
    return cell


PLAN = {"steps": 10, "device": "cpu", "precision": "32-true", "threads": 1, "torch": "2.14"}


def read_everything(root: Path, cell: Cell) -> None:
    """What tables, and a run that goes on, read of a cell."""
    found = all_leaderboards(root, "sketch2real")
    assert "| cyclegan" in render_boards(found, "markdown")  # the other cell, whatever became of this one
    assert "<script>" not in render_boards(found, "html")
    for stored in read_cells(root, "sketch2real"):
        spec = stored["spec"]
        assert {"method", "seed", "config", "budget", "preset", "data_version", "method_version"} <= spec.keys()
    readers: tuple[Callable[[], object], ...] = (
        cell.status,
        lambda: cell.directions(((0, 1), (1, 0))),
        lambda: _stored_plan(cell.plan),
        lambda: read_cell_metrics(cell.metrics("none")),
        lambda: cell.scoring_timed().__enter__(),
        lambda: cell.recording(lambda name: name)("vgg19"),
    )
    for read in readers:
        try:
            read()
        except BenchError as error:
            refused = error
        else:
            continue
        assert str(cell.folder) in refused.what


def search_results(name: str, root: Path, examples: int) -> None:
    cell = stored_cell(root)
    good = (cell.folder / name).read_bytes()

    @settings(settings.default, max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(damaged_json(good))
    def every(content: bytes) -> None:
        (cell.folder / name).write_bytes(content)
        with soon():
            read_everything(root, cell)

    with small():
        every()
    (cell.folder / name).write_bytes(good)
    read_everything(root, cell)
    assert len(list(read_cells(root, "sketch2real"))) == 2


@pytest.mark.parametrize("name", CELL_FILES)
def test_damaged_results_are_named_and_the_others_are_shown(name: str, tmp_path: Path) -> None:
    search_results(name, tmp_path, 25)


@pytest.mark.parametrize("number", ["-Infinity", "NaN", "1e999"])
def test_an_infinite_cost_costs_its_own_cell(number: str, tmp_path: Path) -> None:
    cell = stored_cell(tmp_path)
    (cell.folder / "cost.json").write_text(f'{{"seconds": {number}}}')
    read_everything(tmp_path, cell)
    assert "no finite number: seconds" in read_index(tmp_path, "sketch2real").complaints[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", CELL_FILES)
def test_thousands_of_damaged_results(name: str, tmp_path: Path) -> None:
    search_results(name, tmp_path, 1000)


def test_a_damaged_index_of_results_costs_time_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "WORTH", 1)
    cell = stored_cell(tmp_path)
    all_leaderboards(tmp_path, "sketch2real")
    stored = tmp_path / "index" / "sketch2real.npz"
    good = stored.read_bytes()

    @settings(settings.default, max_examples=60, suppress_health_check=list(HealthCheck))
    @given(damaged(good))
    def every(content: bytes) -> None:
        stored.write_bytes(content)
        with soon():
            read_everything(tmp_path, cell)

    with small(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile: overlapping or repeated names
        every()


# ------------------------------------------------------------------------------------------- what nobody does by chance


def refused(read: Callable[[Path], object], path: Path, message: str) -> None:
    with small(), soon(), pytest.raises(BenchError, match=message) as caught:
        read(path)
    assert path.name in caught.value.what


def test_a_header_of_terabytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes([0, 0, 8, 3]) + b"\xff" * 12 + b"a few bytes")
    refused(lambda path: read_digits_idx(path, 3), tmp_path / "x", "no data set here has it")
    huge = io.BytesIO()
    savemat(huge, {"X": np.zeros((2, 2), np.uint8)})
    dims = np.array([2, 2], "<i4").tobytes()
    for sides in ([2**31 - 1, 2**31 - 1], [-1, 2], [2**15, 2**15]):
        (tmp_path / "x.mat").write_bytes(huge.getvalue().replace(dims, np.array(sides, "<i4").tobytes()))
        refused(read_digits_mat, tmp_path / "x.mat", "x.mat is damaged")
    header = np.lib.format.magic(1, 0) + (118).to_bytes(2, "little")
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000, 1000)}".ljust(117) + "\n"
    (tmp_path / "x.npy").write_bytes(header + text.encode())
    with small(), pytest.raises(ValueError, match="8000000000000000 bytes expected"):
        read_array(tmp_path / "x.npy")


def test_small_files_that_hold_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """4 GB of zeros take 4 MB in gzip, and less in others."""
    zeros = bytes(1 << 20)
    head = bytes([0, 0, 8, 1]) + (10).to_bytes(4, "big")
    (tmp_path / "idx.gz").write_bytes(gzip.compress(head) + 4096 * gzip.compress(zeros))
    refused(lambda path: read_digits_idx(path, 1), tmp_path / "idx.gz", "18 bytes expected for shape .10,., got more")
    form = ManifestForm("idx.gz", size=18, sha256="0" * 64, unpacked=True)
    refused(lambda path: locate.check_published_file(form, path), tmp_path / "idx.gz", "unpacked size: expected 18")
    refused(unpack, tmp_path / "idx.gz", "neither a zip nor a tar")
    (tmp_path / "usps.bz2").write_bytes(4096 * bz2.compress(zeros))
    refused(read_digits_libsvm, tmp_path / "usps.bz2", "it holds more than 67,108,864 bytes")
    bird = ("sketch/bird/0.png",)
    (tmp_path / "x.zip").write_bytes(zipped(tuple(f"sketch/dog/{number}.png" for number in range(70)) + bird, zeros))
    refused(unpack, tmp_path / "x.zip", "would grow to over")
    monkeypatch.setattr(domainnet_module, "MAX_PICTURE", 1 << 19)
    refused(_read_bird, tmp_path / "x.zip", "1,048,576 bytes are more than a picture has")
    (tmp_path / "x.npz").write_bytes(zipped(tuple(f"{number}.npy" for number in range(70)), zeros))
    refused(lambda path: read_published([f"n={path}"]), tmp_path / "x.npz", "would take 73,400,320 bytes")


def _read_bird(path: Path) -> None:
    with _opened(path) as archive:
        _read_member(archive, "sketch/bird/0.png", path)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_a_tar_header_of_gigabytes(kind: bytes, suffix: str, tmp_path: Path) -> None:
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, 2 << 30
    path = tmp_path / f"x.{suffix}"
    with gzip.open(path, "wb", 1) if suffix == "tar.gz" else path.open("wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        for _ in range(300 if suffix == "tar.gz" else 1):
            file.write(bytes(1 << 20))
    refused(unpack, path, "a header of 2,147,483,648 bytes")


def test_tensors_that_are_larger_than_their_file(tmp_path: Path) -> None:
    for content in ({"w": torch.zeros(1).expand(1 << 40)}, {"net": {"w": torch.zeros(1).expand(1 << 40)}}):
        torch.save(content, tmp_path / "x.pth")
        refused(lambda path: read_published([f"n={path}"]), tmp_path / "x.pth", "more numbers than the file holds")


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("import pathlib; pathlib.Path('/tmp/udt-bench-was-here').write_text('x')",)


@pytest.mark.parametrize("protocol", [2, 4])
def test_no_pickle_is_run_wherever_it_lies(protocol: int, tmp_path: Path) -> None:
    mark = Path("/tmp/udt-bench-was-here")
    mark.unlink(missing_ok=True)
    code = pickle.dumps({"net": _Runs()}, protocol)
    in_zip = zipped(("archive/data.pkl", "archive/version"), code, zipfile.ZIP_STORED)
    in_array = io.BytesIO()
    np.save(in_array, np.array([_Runs()], dtype=object), allow_pickle=True)
    for name, content in (("x.pth", code), ("z.pth", in_zip), ("x.npz", zipped(("w.npy",), in_array.getvalue()))):
        (tmp_path / name).write_bytes(content)
        refused(lambda path: read_published([f"n={path}"]), tmp_path / name, "cannot be read")
        load_training(tmp_path / name)
    (tmp_path / "x.npy").write_bytes(in_array.getvalue())
    with pytest.raises(ValueError, match="an array of object"):
        read_array(tmp_path / "x.npy")
    features(tmp_path / "x.npy")
    assert not mark.exists()


def test_nothing_evaluates_text() -> None:
    """No `eval`, `exec`, pickle, unsafe YAML or unsafe loading of arrays and weights in what we ship."""
    unsafe = {"eval", "exec", "pickle.load", "pickle.loads", "yaml.load", "yaml.unsafe_load", "marshal.loads"}
    for package in (bench, methods, metrics):
        for path in Path(package.__path__[0]).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text())):
                if isinstance(call, ast.Call):
                    name, words = ast.unparse(call.func), {word.arg: ast.unparse(word.value) for word in call.keywords}
                    assert name not in unsafe, (path, name)
                    assert words.get("allow_pickle", "False") == "False", path
                    assert name != "torch.load" or words.get("weights_only") == "True", path
