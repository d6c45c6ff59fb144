"""MNIST, SVHN and USPS as sources, read from the formats in which they are distributed."""

from __future__ import annotations

import bz2
import hashlib
import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Self

import numpy as np

from bench.data.fetch import locate
from bench.data.sources.matlab import MAX_BYTES, read_mat_variables
from bench.data.types import SPLITS, Item, SplitName
from bench.spec.tasks import DIGITS

MAX_TEXT = 1 << 26
"""Largest text in bytes: USPS has 22 million, and Python needs several times as much to split it."""
MNIST_NAMES: dict[SplitName, str] = {"train": "train", "test": "t10k"}


class _Digits:
    """A digit data set: one file (or two) per split, each decoded to an array when it is needed."""

    domain: str
    classes = DIGITS
    resample: Literal["lanczos", "nearest"]
    paths: dict[SplitName, tuple[Path, ...]]

    def _load(self, split: SplitName) -> tuple[np.ndarray, np.ndarray]:
        """(images uint8 (N, h, w) or (N, h, w, 3), labels int64 (N,)). Raises BenchError naming the damaged file."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """sha256 over the domain and the files' bytes (unpacked, where they are .gz), train then test."""
        whole = hashlib.sha256(f"{self.domain}-1".encode())
        for split in SPLITS:
            for path in self.paths[split]:
                whole.update(bytes.fromhex(locate.file_digest(path, path.suffix == ".gz")[1]))
        return whole.hexdigest()

    @classmethod
    def of_files(cls, files: Mapping[str, Path]) -> Self:
        """From the paths of all files of the data set, by the names of the manifest's entries."""
        raise NotImplementedError

    @classmethod
    def locate(cls) -> Self:
        """From the files found by `locate.require`, verified; raises BenchError if one is missing or damaged."""
        return cls.of_files(locate.locate_required(cls.domain))

    def counts(self) -> tuple[int, int]:
        """Numbers of training and of test images."""
        train, test = (len(self._load(split)[1]) for split in SPLITS)
        return train, test

    def count(self) -> int:
        """Number of images in both splits."""
        return sum(self.counts())

    def items(self) -> Iterator[Item]:
        """Every image, grey ones as three equal channels: train in the file's order, then test."""
        for split in SPLITS:
            images, labels = self._load(split)
            for index, (pixels, label) in enumerate(zip(images, labels, strict=True)):
                rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)  # (h, w, 3)
                yield Item(rgb, int(label), split, f"{self.paths[split][0]}#{index}")


class Mnist(_Digits):
    """MNIST's four idx files, as .gz or unpacked: 60,000 + 10,000 grey images of 28x28."""

    domain = "mnist"
    resample = "nearest"  # as CatS-UDT brings it to 32 px

    def __init__(self, paths: Mapping[str, Path]) -> None:
        """`paths`: `train-images`, `train-labels`, `t10k-images`, `t10k-labels` -> file."""
        self.paths = {split: (paths[f"{name}-images"], paths[f"{name}-labels"]) for split, name in MNIST_NAMES.items()}

    @classmethod
    def of_files(cls, files: Mapping[str, Path]) -> Self:
        """From the four idx files."""
        return cls({entry.removeprefix("mnist/").rpartition("-idx")[0]: path for entry, path in files.items()})

    def _load(self, split: SplitName) -> tuple[np.ndarray, np.ndarray]:
        images = read_digits_idx(self.paths[split][0], dims=3)
        labels = read_digits_idx(self.paths[split][1], dims=1).astype(np.int64)
        if len(images) != len(labels):
            raise locate.damaged_file_error(self.paths[split][1], f"{len(labels)} labels for {len(images)} images")
        if images.shape[1:] != (28, 28):
            raise locate.damaged_file_error(
                self.paths[split][0], f"images of {images.shape[1]}x{images.shape[2]}, 28x28 expected"
            )
        _check_labels(self.paths[split][1], labels)
        return images, labels

    def counts(self) -> tuple[int, int]:
        """Numbers of training and of test images, from the label files."""
        train, test = (len(read_digits_idx(self.paths[split][1], dims=1)) for split in SPLITS)
        return train, test


def read_digits_idx(path: Path, dims: int) -> np.ndarray:
    """An idx file of bytes, plain or .gz -> uint8 array with `dims` axes.

    Raises BenchError naming the file if its magic number, dimensions or length are not those of such a file, or if it
    is larger than MAX_BYTES (a .gz file of a megabyte may hold a gigabyte).
    """
    header = 4 + 4 * dims
    magic = 0x0800 + dims  # 0x08: unsigned bytes, then the number of dimensions
    try:
        with locate.open_checked_file(path, path.suffix == ".gz") as file:
            head = file.read(header)
            if len(head) < header or int.from_bytes(head[:4], "big") != magic:
                raise locate.damaged_file_error(
                    path, f"does not begin like an idx file of {dims} dimensions (magic number {magic})"
                )
            shape = tuple(int.from_bytes(head[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(dims))
            expected = math.prod(shape)
            if expected > MAX_BYTES:
                raise locate.damaged_file_error(
                    path, f"its shape {shape} is that of {expected:,} bytes; no data set here has it"
                )
            data = file.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise locate.damaged_file_error(path, str(error)) from error
    if len(data) != expected:
        length = header + len(data) if len(data) < expected else "more"
        raise locate.damaged_file_error(path, f"{header + expected} bytes expected for shape {shape}, got {length}")
    return np.frombuffer(data, np.uint8).reshape(shape)


class Svhn(_Digits):
    """SVHN's cropped digits (`train_32x32.mat`, `test_32x32.mat`): 73,257 + 26,032 colour images of 32x32."""

    domain = "svhn"
    resample = "lanczos"

    def __init__(self, train: Path, test: Path) -> None:
        self.paths = {"train": (train,), "test": (test,)}

    @classmethod
    def of_files(cls, files: Mapping[str, Path]) -> Self:
        """From the two .mat files."""
        return cls(files["svhn/train"], files["svhn/test"])

    def _load(self, split: SplitName) -> tuple[np.ndarray, np.ndarray]:
        path = self.paths[split][0]
        content = read_digits_mat(path)
        if "X" not in content or "y" not in content:
            raise locate.damaged_file_error(path, "no variables X and y in it")
        images, labels = content["X"], content["y"].ravel().astype(np.int64)  # (32, 32, 3, N)
        if images.shape != (32, 32, 3, len(labels)) or images.dtype != np.uint8:
            raise locate.damaged_file_error(
                path, f"X is {images.dtype} {images.shape}, expected uint8 (32, 32, 3, {len(labels)})"
            )
        labels[labels == 10] = 0  # the publisher writes the digit 0 as 10
        _check_labels(path, labels)
        return images.transpose(3, 0, 1, 2), labels

    def counts(self) -> tuple[int, int]:
        """Numbers of training and of test images, from the arrays' headers."""
        train, test = (_mat_shape(self.paths[split][0], "y")[0] for split in SPLITS)
        return train, test


class Usps(_Digits):
    """USPS digits, grey 16x16, from either of two distributions:

    - all 9,298 in `usps_all.mat`: a uint8 array (9298, 257), rows of 256 pixels and digit + 1 (so 1 means 0); rows
      0-7290 are train and 7291-9297 test;
    - LIBSVM's text files `usps.bz2` (7,291 train) and `usps.t.bz2` (2,007 test): digit + 1, then `index:value` with
      values in [-1, 1], brought to bytes as torchvision does.

    Enlarged by Lanczos: at 32 px blocks of four equal pixels would tell a USPS digit from any other by the blocks.
    (The file `usps_all.mat` of cs.nyu.edu/~roweis holds another selection, an array (256, 1100, 10) of 1,100 images
    of each digit 1, ..., 9, 0 without a split; it is refused with that explanation.)
    """

    domain = "usps"
    resample = "lanczos"
    train_count = 7291
    total = 9298

    def __init__(self, train: Path, test: Path) -> None:
        """`train`, `test`: files, which may both be the same `usps_all.mat`."""
        self.paths = {"train": (train,), "test": (test,)}

    @classmethod
    def of_files(cls, files: Mapping[str, Path]) -> Self:
        """From either distribution."""
        return cls(files["usps/train"], files["usps/test"])

    def _load(self, split: SplitName) -> tuple[np.ndarray, np.ndarray]:
        path = self.paths[split][0]
        pixels, labels = self._read_all(path, split) if path.suffix == ".mat" else read_digits_libsvm(path)
        expected = self.train_count if split == "train" else self.total - self.train_count
        if len(labels) != expected:
            raise locate.damaged_file_error(path, f"{len(labels)} {split} images, {expected} expected")
        _check_labels(path, labels)
        return pixels.reshape(-1, 16, 16), labels

    def _read_all(self, path: Path, split: SplitName) -> tuple[np.ndarray, np.ndarray]:
        """(pixels uint8 (N, 256), labels int64 (N,)) of one split."""
        arrays = list(read_digits_mat(path).values())
        shapes = [getattr(value, "shape", None) for value in arrays]
        if (256, 1100, 10) in shapes:
            raise locate.damaged_file_error(
                path, "this is the selection of 1,100 images per digit without a train/test split, not the 9,298 digits"
            )
        if shapes != [(self.total, 257)] or arrays[0].dtype != np.uint8:
            raise locate.damaged_file_error(path, f"expected one uint8 array ({self.total}, 257), got {shapes}")
        rows = arrays[0][: self.train_count] if split == "train" else arrays[0][self.train_count :]
        return rows[:, :256], rows[:, 256].astype(np.int64) - 1

    def counts(self) -> tuple[int, int]:
        """7,291 and 2,007: `items` raises if the files hold another number."""
        return self.train_count, self.total - self.train_count


DIGIT_SOURCES: dict[str, type[Mnist] | type[Svhn] | type[Usps]] = {
    source.domain: source for source in (Mnist, Svhn, Usps)
}
"""Domain -> where its images come from."""


def read_digits_libsvm(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A .bz2 text file of `digit+1 index:value ...` lines, values in [-1, 1] -> (uint8 (N, 256), int64 (N,))."""
    try:
        lines = _bunzip2(path).decode("ascii").splitlines()
        rows = [line.split() for line in lines]
        values = np.array([[field.partition(":")[2] for field in row[1:]] for row in rows], dtype=np.float32)
        labels = np.array([int(row[0]) for row in rows], dtype=np.int64) - 1
    except (OSError, EOFError, ValueError, IndexError, OverflowError) as error:
        raise locate.damaged_file_error(path, str(error)) from error
    if values.ndim != 2 or values.shape[1] != 256 or not (np.abs(values) <= 1.0).all():
        raise locate.damaged_file_error(path, f"256 values in [-1, 1] a line expected, got an array {values.shape}")
    return ((values + 1) / 2 * 255).astype(np.uint8), labels


def _bunzip2(path: Path) -> bytes:
    """Content of a .bz2 file. ValueError if it is longer than MAX_TEXT."""
    with bz2.open(path) as file:
        content = file.read(MAX_TEXT + 1)
    if len(content) > MAX_TEXT:
        raise ValueError(f"it holds more than {MAX_TEXT:,} bytes")
    return content


def read_digits_mat(path: Path) -> dict[str, np.ndarray]:
    """Name -> array of the variables of a MATLAB v5 file. Raises BenchError as `read_mat_variables` does."""
    return {variable.name: variable.array() for variable in read_mat_variables(path)}


def _mat_shape(path: Path, name: str) -> tuple[int, ...]:
    shapes = {variable.name: variable.shape for variable in read_mat_variables(path)}
    if name not in shapes:
        raise locate.damaged_file_error(path, f"no variable {name} in it")
    return shapes[name]


def _check_labels(path: Path, labels: np.ndarray) -> None:
    if len(labels) == 0 or labels.min() < 0 or labels.max() > 9:
        span = f"{labels.min()} to {labels.max()}" if len(labels) else "none"
        raise locate.damaged_file_error(path, f"labels of the digits 0 to 9 expected, got {span}")
