"""Decoding, once: a pair of sources becomes one uint8 array per domain on disk, memory-mapped from then on.

`<cache>/prepared/<version>/` holds `domain0.npy`, `domain1.npy` (uint8 (N, 3, size, size), train rows before test rows,
each sorted by content hash), their labels and hashes in `domain0.npz`, `domain1.npz`, and `prepared.json`. The folder
is built beside its place under a lock and renamed when complete, so that it is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from filelock import FileLock
from PIL import Image

from bench.core.environment import available_cores, omp_num_threads
from bench.core.errors import BenchError, merged_errors
from bench.core.files import refused_file, write_atomically, write_json
from bench.data.fetch import locate
from bench.data.types import SPLITS, Item, Source, Split, SplitName, TaskData, Tracker

T = TypeVar("T")
R = TypeVar("R")
PREPARATION = 1
"""Raised when `resize_image` or the order of the rows changes: part of the data's version. Decoding has a
version of its own (bench/data/sources/decode.py): drawn data and digits do not depend on it."""

SAME_IMAGES = "a method can learn nothing of one image: look at these files, and write them anew"


def prepare_data(
    sources: tuple[Source, Source],
    size: int,
    cache: Path,
    kind: str,
    note: str,
    progress: Tracker | None = None,
) -> TaskData:
    """Load both domains at `size` x `size`, from the cache if they were prepared before.

    The version is a hash over both sources' fingerprints, classes and resampling, the size and PREPARATION. Images are
    streamed: memory does not grow with their number (except about 100 bytes each). Two processes at once are safe: one
    prepares, the other waits. If a test image is also a training image, `note` says how often.

    Raises BenchError, with nothing left behind, if an image cannot be decoded, the disk is too small, a class is
    without images in a split, or the sources' classes differ.
    """
    if tuple(sources[0].classes) != tuple(sources[1].classes):
        raise BenchError(
            f"{sources[0].domain} has the classes {', '.join(sources[0].classes)}; "
            f"{sources[1].domain} has {', '.join(sources[1].classes)}",
            "both domains need the same classes",
        )
    version = prepared_data_version(sources, size)
    folder = cache / "prepared" / version
    if not folder.is_dir():
        locate.create_folder(folder.parent)
        with FileLock(folder.with_name(f".{version}.lock")):
            if not folder.is_dir():
                _build(sources, size, folder, progress or _plain)
    splits = _open(folder, size)
    domains = (sources[0].domain, sources[1].domain)
    _check_varied(domains, splits)
    duplicates = _duplicates(domains, splits)
    return TaskData(
        kind=kind,
        version=version,
        classes=tuple(sources[0].classes),
        domains=domains,
        splits=splits,
        size=size,
        note="; ".join([note, *duplicates] if note else duplicates),
    )


def find_prepared(version: str, size: int, cache: Path) -> dict[tuple[int, SplitName], Split] | None:
    """The splits of the data called `version`, if they were prepared in `cache`; needs no source.

    Raises BenchError if they are damaged.
    """
    folder = cache / "prepared" / version
    return _open(folder, size) if folder.is_dir() else None


def prepared_data_version(sources: tuple[Source, Source], size: int) -> str:
    """16 hex digits that name the data's content and preparation. Reads the files, decodes nothing."""
    described = [[s.domain, list(s.classes), s.resample, s.fingerprint()] for s in sources]
    text = json.dumps([PREPARATION, size, described])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def resize_image(pixels: np.ndarray, size: int, resample: Literal["lanczos", "nearest"]) -> np.ndarray:
    """uint8 (h, w, 3) -> uint8 (3, size, size) by Pillow; the aspect ratio is not kept, as in the paper's code.

    An image that has the size already is not touched. `nearest` holds for enlarging only (MNIST 28 -> 32): shrinking
    by it drops pixels, so thin strokes break (MNIST at 16 px), and Lanczos is used instead.
    """
    height, width = pixels.shape[:2]
    if (height, width) != (size, size):
        enlarging = size >= max(height, width)
        method = Image.Resampling.NEAREST if resample == "nearest" and enlarging else Image.Resampling.LANCZOS
        pixels = np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((size, size), method))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _plain(items: Iterable[Item], total: int, label: str) -> Iterable[Item]:
    return items


# ----------------------------------------------------------------------------------------------------- building


@dataclass
class _Rows:
    """Digests, labels and splits of a domain's images, in the order in which they were decoded."""

    digests: list[bytes] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    splits: list[SplitName] = field(default_factory=list)

    def order(self, split: SplitName) -> list[int]:
        """The rows of `split`, sorted by content (and label, for equal images)."""
        rows = [row for row, name in enumerate(self.splits) if name == split]
        return sorted(rows, key=lambda row: (self.digests[row], self.labels[row]))


def _build(sources: tuple[Source, Source], size: int, folder: Path, progress: Tracker) -> None:
    counts = [source.count() for source in sources]
    row_bytes = 3 * size * size
    locate.check_disk_space(folder.parent, (sum(counts) + max(counts)) * row_bytes)  # one domain also lies unsorted
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)  # left by a killed process: this one holds the lock
    try:
        temporary.mkdir()
        rows = []
        for index, (source, count) in enumerate(zip(sources, counts, strict=True)):
            unsorted = temporary / "unsorted"
            rows.append(_decode(source, count, size, unsorted, progress))
            _check_classes(source, rows[-1])
            _write_sorted(rows[-1], unsorted, temporary / f"domain{index}", size)
            unsorted.unlink()
        description = {
            "domains": [source.domain for source in sources],
            "fingerprints": [source.fingerprint() for source in sources],
        }
        write_json(temporary / "prepared.json", description)
        os.replace(temporary, folder)
    except OSError as error:
        raise refused_file(folder, error, "set UDT_BENCH_CACHE to a folder elsewhere") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _decode(source: Source, count: int, size: int, unsorted: Path, progress: Tracker) -> _Rows:
    """Append every image to the file `unsorted`. Plain writes, not a memory map: its pages would count as memory.

    Several images are decoded and resized at once, where there are cores, and written in the source's order. Raises one
    BenchError, at the end, that names every image that cannot be decoded.
    """
    rows, failures = _Rows(), list[BenchError]()

    def prepared_one(item: Item) -> tuple[bytes, bytes, int, SplitName] | BenchError:
        try:
            content = resize_image(item.pixels, size, source.resample).tobytes()
        except BenchError as error:
            return error
        return content, hashlib.sha256(content).digest(), item.label, item.split

    items = progress(source.items(), count, f"preparing {source.domain}")
    with unsorted.open("wb") as file:
        for result in map_in_order(prepared_one, items, omp_num_threads() or available_cores()):
            if isinstance(result, BenchError):
                failures.append(result)
                continue
            content, digest, label, split = result
            file.write(content)
            rows.digests.append(digest)
            rows.labels.append(label)
            rows.splits.append(split)
    if failures:
        raise merged_errors(failures)
    if len(rows.labels) != count:
        raise RuntimeError(f"source {source.domain} announced {count} images and yielded {len(rows.labels)}")
    return rows


def _check_classes(source: Source, rows: _Rows) -> None:
    present = set(zip(rows.splits, rows.labels, strict=True))
    for split in SPLITS:
        for label, name in enumerate(source.classes or ("",)):
            if (split, label) not in present:
                what = f"class '{name}' has" if name else "there are"
                raise BenchError(f"{source.domain}: {what} no {split} images", "complete the data set and run again")


def _write_sorted(rows: _Rows, unsorted: Path, target: Path, size: int) -> None:
    """`<target>.npy` with the images, `<target>.npz` with labels, hashes and the number of training rows."""
    train = rows.order("train")
    order = train + rows.order("test")
    row_bytes = 3 * size * size
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(order), 3, size, size)}
    with unsorted.open("rb") as source, target.with_suffix(".npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for row in order:
            source.seek(row * row_bytes)
            file.write(source.read(row_bytes))
        file.flush()
        os.fsync(file.fileno())
    labels = np.array([rows.labels[row] for row in order], np.int64)
    digests = np.frombuffer(b"".join(rows.digests[row] for row in order), np.uint8).reshape(-1, 32)
    write_atomically(
        target.with_suffix(".npz"), lambda file: np.savez(file, labels=labels, ids=digests, train=np.int64(len(train)))
    )


def _check_varied(domains: tuple[str, str], splits: dict[tuple[int, SplitName], Split]) -> None:
    """Raise BenchError for a domain whose images, or those of one split, are all one: nothing can be learned of it."""
    for index, domain in enumerate(domains):
        contents = {split: set(splits[index, split].ids) for split in SPLITS}
        alike = [split for split in SPLITS if len(contents[split]) == 1]
        if len(contents["train"] | contents["test"]) == 1:
            count = sum(len(splits[index, split]) for split in SPLITS)
            raise BenchError(f"all {count} images of {domain} are one and the same", SAME_IMAGES)
        for split in alike:
            what = "training" if split == "train" else "test"
            count = len(splits[index, split])
            raise BenchError(f"all {count} {what} images of {domain} are one and the same", SAME_IMAGES)


def _duplicates(domains: tuple[str, str], splits: dict[tuple[int, SplitName], Split]) -> list[str]:
    """A line for each pair of sets (training and test, or the two domains) that share images, counted in images."""
    lines = []
    for index, domain in enumerate(domains):
        train, test = set(splits[index, "train"].ids), splits[index, "test"].ids
        leaked = sum(image in train for image in test)
        if leaked:
            lines.append(f"{domain}: {leaked} of {len(test)} test images are equal to training images")
    ids = [[image for split in SPLITS for image in splits[index, split].ids] for index in (0, 1)]
    shared = [sum(image in other for image in images) for images, other in ((ids[0], {*ids[1]}), (ids[1], {*ids[0]}))]
    if any(shared):
        lines.append(
            f"{sum(shared)} images are in both domains ({shared[0]} in {domains[0]}, {shared[1]} in {domains[1]})"
        )
    return lines


# ------------------------------------------------------------------------------------------------------ opening


def _open(folder: Path, size: int) -> dict[tuple[int, SplitName], Split]:
    """The splits, memory-mapped read only."""
    splits: dict[tuple[int, SplitName], Split] = {}
    try:
        for index in (0, 1):
            images = np.load(folder / f"domain{index}.npy", mmap_mode="r", allow_pickle=False)
            with (folder / f"domain{index}.npz").open("rb") as file, np.load(file, allow_pickle=False) as kept:
                labels, digests, train = kept["labels"], kept["ids"], int(kept["train"])
            if images.shape != (len(labels), 3, size, size) or digests.shape != (len(labels), 32):
                raise ValueError(f"domain{index}: {images.shape} images and {len(labels)} labels")
            labels.setflags(write=False)
            ids = tuple(row.tobytes().hex() for row in digests)
            splits[index, "train"] = Split(images[:train], labels[:train], ids[:train])
            splits[index, "test"] = Split(images[train:], labels[train:], ids[train:])
    except Exception as error:  # numpy reads headers as Python's literals, which fail in many ways
        raise BenchError(
            f"the prepared images in {folder} are damaged: {error}",
            "remove that folder; the next run prepares them again",
        ) from error
    return splits


def map_in_order(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Yield `work(item)` of every item, in order, `threads` at once; at most twice as many items are held.

    `items` are taken one after the other by the caller's thread. What `work` raises, is raised where its result would
    stand, and nothing further is begun.
    """
    if threads == 1:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(threads)
    begun: deque[Future[R]] = deque()
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) == 2 * threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
