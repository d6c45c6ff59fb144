"""MNIST, SVHN and USPS from small files in their original formats (bench/data/sources/digits.py), and from the real
ones."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import numpy as np
import pytest
from real_files import real_file
from scipy.io import savemat

from bench.core.errors import BenchError
from bench.data.load import data_kind_of_choice, load_data
from bench.data.sources.digits import Mnist, Svhn, Usps, read_digits_idx
from bench.spec.data_kinds import data_kind_note, data_kind_of_other_files, is_real_data_kind
from bench.spec.tasks import get_task


def idx(array: np.ndarray) -> bytes:
    """A uint8 array in the idx format."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist(folder: Path, packed: bool = True, tests: int = 5) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    paths = {}
    for part, count in (("train", 12), ("t10k", tests)):
        arrays = {"images": rng.integers(0, 256, (count, 28, 28)), "labels": np.arange(count) % 10}
        for kind, array in arrays.items():
            path = folder / (f"{part}-{kind}.gz" if packed else f"{part}-{kind}")
            path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
            paths[f"{part}-{kind}"] = path
    return paths


def test_mnist_items(tmp_path: Path) -> None:
    source = Mnist(write_mnist(tmp_path))
    items = list(source.items())
    assert source.count() == len(items) == 17
    assert [item.split for item in items] == ["train"] * 12 + ["test"] * 5
    assert [item.label for item in items[:12]] == [*range(10), 0, 1]
    assert items[0].pixels.shape == (28, 28, 3)
    expected = np.random.default_rng(0).integers(0, 256, (12, 28, 28))
    assert (items[3].pixels == expected[3][:, :, None]).all()
    assert items[3].name.endswith("train-images.gz#3")
    assert source.resample == "nearest"


def test_mnist_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "gz").mkdir()
    (tmp_path / "plain").mkdir()
    packed, plain = (Mnist(write_mnist(tmp_path / name, name == "gz")) for name in ("gz", "plain"))
    assert packed.fingerprint() == plain.fingerprint()
    path = plain.paths["test"][1]
    path.write_bytes(idx(np.array([1, 1, 2, 3, 4])))
    assert packed.fingerprint() != plain.fingerprint()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (gzip.compress(idx(np.zeros((12, 28, 28))))[:-20], "damaged"),
        (b"plain text", "damaged"),
        (gzip.compress(idx(np.zeros((12, 28, 28)))[:-1]), r"9424 bytes expected for shape \(12, 28, 28\), got 9423"),
        (gzip.compress(idx(np.zeros((12, 28)))), "does not begin like an idx file of 3 dimensions"),
        (gzip.compress(idx(np.zeros((12, 27, 28)))), "images of 27x28"),
        (gzip.compress(idx(np.zeros((11, 28, 28)))), "12 labels for 11 images"),
    ],
    ids=["truncated gz", "no gz", "short", "labels as images", "wrong side", "wrong count"],
)
def test_mnist_damaged(tmp_path: Path, content: bytes, complaint: str) -> None:
    paths = write_mnist(tmp_path)
    paths["train-images"].write_bytes(content)
    with pytest.raises(BenchError, match=complaint) as caught:
        list(Mnist(paths).items())
    assert "train-" in caught.value.what


def test_mnist_label_out_of_range(tmp_path: Path) -> None:
    paths = write_mnist(tmp_path)
    paths["t10k-labels"].write_bytes(gzip.compress(idx(np.array([0, 1, 2, 3, 10]))))
    with pytest.raises(BenchError, match=r"t10k-labels.*0 to 10"):
        list(Mnist(paths).items())


def write_svhn(path: Path, images: np.ndarray, labels: np.ndarray, compress: bool = True) -> Path:
    """As published: X (32, 32, 3, N) uint8, y (N, 1) uint8 with 10 for the digit 0, MATLAB v5."""
    savemat(path, {"X": images.transpose(1, 2, 3, 0), "y": labels[:, None].astype(np.uint8)}, do_compression=compress)
    return path


def test_svhn_items(tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    labels = np.array([10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1])
    train = write_svhn(tmp_path / "train_32x32.mat", images, labels)
    test = write_svhn(tmp_path / "test_32x32.mat", images[:5], labels[:5])
    source = Svhn(train, test)
    items = list(source.items())
    assert source.count() == len(items) == 17
    assert [item.label for item in items[:12]] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert all((item.pixels == image).all() for item, image in zip(items, [*images, *images[:5]], strict=True))
    assert source.resample == "lanczos"


def test_svhn_damaged(tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(1, 13) % 10
    path = write_svhn(tmp_path / "train_32x32.mat", images, labels)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BenchError, match=r"train_32x32\.mat is damaged"):
        list(Svhn(path, path).items())
    path.write_bytes(b"<html>moved</html>")
    with pytest.raises(BenchError, match=r"train_32x32\.mat is damaged"):
        Svhn(path, path).count()
    write_svhn(path, images[:11], labels)
    with pytest.raises(BenchError, match=r"expected uint8 \(32, 32, 3, 12\)"):
        list(Svhn(path, path).items())


def usps_array() -> np.ndarray:
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (9298, 256), dtype=np.uint8)
    return np.concatenate([pixels, (np.arange(9298) % 10 + 1).astype(np.uint8)[:, None]], axis=1)


def libsvm(rows: np.ndarray) -> bytes:
    """Rows of `usps_all.mat` as LIBSVM's text: values in [-1, 1], label digit + 1."""
    lines = []
    for row in rows:
        # + 0.5: the middle of a byte's interval, so that the text's rounding cannot change the byte
        values = (row[:256].astype(float) + 0.5) / 255.5 * 2 - 1
        lines.append(f"{row[256]} " + " ".join(f"{k + 1}:{value:.6f}" for k, value in enumerate(values)))
    return bz2.compress("\n".join(lines).encode() + b"\n")


def test_usps_matlab(tmp_path: Path) -> None:
    array = usps_array()
    path = tmp_path / "usps_all.mat"
    savemat(path, {"usps_all": array}, do_compression=True)
    source = Usps(path, path)
    items = list(source.items())
    assert source.count() == len(items) == 9298
    assert [item.split for item in items].count("test") == 2007
    assert items[7290].split == "train"
    assert items[7291].split == "test"
    assert items[7291].label == 7291 % 10
    assert (items[7291].pixels[:, :, 1] == array[7291, :256].reshape(16, 16)).all()


def test_usps_other_selection_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "usps_all.mat"
    savemat(path, {"data": np.zeros((256, 1100, 10), np.uint8)}, do_compression=True)
    with pytest.raises(BenchError, match=r"1,100 images per digit without a train/test split"):
        list(Usps(path, path).items())
    savemat(path, {"usps_all": np.zeros((9297, 257), np.uint8)}, do_compression=True)
    with pytest.raises(BenchError, match=r"expected one uint8 array \(9298, 257\)"):
        list(Usps(path, path).items())


def test_usps_libsvm_text(tmp_path: Path) -> None:
    rows = usps_array()[:40]
    rows[0, 0], rows[0, 1] = 0, 255
    paths = tmp_path / "usps.bz2", tmp_path / "usps.t.bz2"
    for path, part in zip(paths, (rows[:30], rows[30:]), strict=True):
        path.write_bytes(libsvm(part))
    source = Usps(*paths)
    source.train_count, source.total = 30, 40
    items = list(source.items())
    assert [item.label for item in items] == [k % 10 for k in range(40)]
    assert (np.stack([item.pixels[:, :, 0].ravel() for item in items]) == rows[:, :256]).all()
    source.total = 41
    with pytest.raises(BenchError, match=r"usps\.t\.bz2.*10 test images, 11 expected"):
        list(source.items())
    paths[0].write_bytes(paths[0].read_bytes()[:-30])
    with pytest.raises(BenchError, match=r"usps\.bz2 is damaged"):
        list(source.items())


def own_files(folder: Path) -> Path:
    """A folder of MNIST and SVHN files in the publishers' formats, with few digits."""
    folder.mkdir(parents=True)
    for part, path in write_mnist(folder, tests=10).items():
        path.rename(folder / f"{part}-idx{3 if 'images' in part else 1}-ubyte.gz")
    rng = np.random.default_rng(1)
    for name, count in (("train", 20), ("test", 10)):
        write_svhn(
            folder / f"{name}_32x32.mat", rng.integers(0, 256, (count, 32, 32, 3), np.uint8), np.arange(count) % 10
        )
    return folder


def test_files_that_are_not_the_published_ones_are_data_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_files(tmp_path / "root" / "datasets" / "few")
    monkeypatch.setenv("UDT_BENCH_FILES", str(tmp_path / "root"))
    task = get_task("mnist2svhn")
    data = load_data(task, "datasets/few", 16)
    assert data.kind == data_kind_of_choice(task, "datasets/few") == "real-mnist-12-10-svhn-20-10"
    wording = "MNIST: 12 / 10 images; SVHN: 20 / 10 images, not the published files"
    assert data_kind_note(data.kind) == wording
    assert wording in data.note
    assert [len(data.splits[1, split]) for split in ("train", "test")] == [20, 10]
    other = own_files(tmp_path / "others")
    noise = np.random.default_rng(2).integers(0, 256, (10, 32, 32, 3), np.uint8)
    write_svhn(other / "test_32x32.mat", noise, np.arange(10))
    assert load_data(task, str(other), 16).version != data.version
    assert data_kind_of_choice(task, "auto") == "embedded", (
        "a folder of another name is never taken for the published files"
    )


def test_a_part_of_the_files_is_refused_or_taken_from_the_published_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own_files(tmp_path / "own")
    monkeypatch.setenv("UDT_BENCH_FILES", str(tmp_path / "nothing"))
    (folder / "test_32x32.mat").unlink()
    with pytest.raises(BenchError, match="a part of svhn only\n  put there, too: svhn/test"):
        load_data(get_task("mnist2svhn"), str(folder), 16)
    with pytest.raises(BenchError, match="missing: datasets/usps"):
        load_data(get_task("mnist2usps"), str(folder), 16)
    with pytest.raises(BenchError, match=r"holds no file of mnist2svhn\n  it takes: .*train_32x32.mat"):
        load_data(get_task("mnist2svhn"), str(tmp_path), 16)


def test_published_files_are_recognised_wherever_they_lie() -> None:
    folder = real_file("datasets/mnist")
    assert data_kind_of_choice(get_task("mnist2usps"), str(folder)) == "real"


def test_the_kind_of_other_files_says_what_they_are() -> None:
    kind = data_kind_of_other_files({"svhn": (8000, 2000)})
    assert (kind, data_kind_note(kind)) == (
        "real-svhn-8000-2000", "SVHN: 8,000 / 2,000 images, not the published files",
    )  # fmt: skip
    assert is_real_data_kind(kind)
    assert [data_kind_note(other) for other in ("real", "embedded", "mnist-drawn")] == ["", "", ""]


def test_real_mnist() -> None:
    folder = real_file("datasets/mnist/train-images-idx3-ubyte.gz").parent
    images = read_digits_idx(folder / "train-images-idx3-ubyte.gz", 3)
    labels = read_digits_idx(folder / "train-labels-idx1-ubyte.gz", 1)
    assert images.shape == (60_000, 28, 28)
    assert images.mean() / 255 == pytest.approx(0.1307, abs=1e-4)  # the field's published normalisation constants
    assert images.std() / 255 == pytest.approx(0.3081, abs=1e-4)
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def test_real_usps() -> None:
    path = real_file("datasets/usps/usps_all.mat")
    items = list(Usps(path, path).items())
    counts = np.bincount([item.label for item in items])
    assert counts.tolist() == [1553, 1269, 929, 824, 852, 716, 834, 792, 708, 821]
    assert sum(item.split == "train" for item in items) == 7291
