"""The domains of a folder of images (bench/data/sources/layouts.py says how it is read) as sources.

What is the content of a folder of images: image files by their suffix (any case). Hidden files, `__MACOSX`, `Thumbs.db`
and `desktop.ini` are ignored anywhere, and so are plain files beside the folders of domains, splits and classes (a
README, lists). Any other file or folder among the images is an error: skipping, say, a `.gif` in silence would change
the data set.

A split of the data's own is used as it is. Where there is none, the split does not depend on names: per class and
domain, files sorted by the sha256 of their bytes, the first 20 % (at least 2) are test.

All problems are reported at once (`bench.core.errors.results_or_errors`), not file by file: folders collected by hand
have many.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np

from bench.core.errors import BenchError, results_or_errors
from bench.data.sources.decode import DECODING_VERSION, decode_rgb
from bench.data.sources.layouts import Part
from bench.data.sources.names import printable
from bench.data.sources.walk import SUFFIXES, image_suffix, visible_in
from bench.data.types import SPLITS, Item, SplitName

MINIMUM = 2
"""Images per class, domain and split."""
SPLIT_VERSION = "sha256-first-fifth-1"
OWN_SPLIT_VERSION = "own-split-1"


def class_image_files(folder: Path) -> list[Path]:
    """The images in `folder`, sorted by name. Raises BenchError for anything else that is not ignored."""
    paths = visible_in(folder)
    results_or_errors(paths, _check_image_file)
    return paths


def _check_image_file(path: Path) -> None:
    if path.is_dir():
        raise BenchError(
            f"{printable(path)} is a folder among the images of {printable(path.parent)}",
            "move its images up, or remove it",
        )
    if image_suffix(path) and not path.is_file():
        raise BenchError(
            f"{printable(path)} is {_kind_of(path)}, not a file", "remove it, or put an image in its place"
        )
    if not image_suffix(path):
        raise BenchError(
            f"{printable(path)} is not an image of a known type", f"convert it ({', '.join(SUFFIXES)}) or remove it"
        )


def _kind_of(path: Path) -> str:
    """What stands at `path` that is neither a file nor a folder; it is never opened (reading a pipe would wait)."""
    kinds = {
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    try:
        return kinds.get(stat.S_IFMT(path.stat().st_mode), "of an unknown kind")
    except OSError as error:
        return f"a link that leads nowhere ({error.strerror})" if path.is_symlink() else "gone"


@dataclass(frozen=True)
class _File:
    path: Path
    label: int
    split: SplitName
    sha256: str


class FolderDomain:
    """One domain of such a folder."""

    resample: Literal["lanczos", "nearest"] = "lanczos"

    def __init__(self, domain: str, classes: Sequence[str], parts: Sequence[Part]) -> None:
        """Looks at names only; `parts` say where the images of each class lie. BenchError for too few of them."""
        self.domain = domain
        self.classes = tuple(classes)
        self._own_split = any(part.split is not None for part in parts)
        listed = results_or_errors(parts, lambda part: [(part, path) for path in class_image_files(part.folder)])
        self._images = [image for of_part in listed for image in of_part]
        results_or_errors(sorted({part.label for part in parts}), lambda label: self._check_count(label, parts))

    def _check_count(self, label: int, parts: Sequence[Part]) -> None:
        """Raise BenchError if a class has too few images."""
        what = "these images" if len(self.classes) < 2 else "the class in both domains"
        for split in SPLITS if self._own_split else (None,):
            folders = [part.folder for part in parts if (part.label, part.split) == (label, split)]
            count = sum((part.label, part.split) == (label, split) for part, _ in self._images)
            where = " and ".join(str(folder) for folder in folders)
            if not count:
                raise BenchError(f"{where} holds no images", f"put images into it, or remove {what}")
            least, use = (MINIMUM, "") if split else (2 * MINIMUM, f" ({MINIMUM} to train on, {MINIMUM} to test on)")
            if count < least:
                raise BenchError(
                    f"{where} has {count} images; at least {least} are needed{use}", f"add images, or remove {what}"
                )

    @cached_property
    def _files(self) -> list[_File]:
        """Every file with its digest and split, class by class."""
        hashed = sorted(
            (part.label, hashlib.sha256(read_image_bytes(path)).hexdigest(), path, part.split)
            for part, path in self._images
        )
        listed = []
        for _, files in groupby(hashed, key=lambda file: file[0]):
            of_class = list(files)
            tests = max(MINIMUM, round(0.2 * len(of_class)))
            for rank, (label, sha256, path, split) in enumerate(of_class):
                listed.append(_File(path, label, split or ("test" if rank < tests else "train"), sha256))
        return listed

    def fingerprint(self) -> str:
        """sha256 over domain, classes, versions, and each file's (class, split, sha256); names do not count."""
        split = OWN_SPLIT_VERSION if self._own_split else SPLIT_VERSION
        lines = [self.domain, *self.classes, split, f"decoding {DECODING_VERSION}"]
        lines += [f"{file.label} {file.split} {file.sha256}" for file in self._files]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def count(self) -> int:
        """Number of image files."""
        return len(self._images)

    def items(self) -> Iterator[Item]:
        """Every image once, class by class; its `pixels` raise BenchError with the file's name if it is damaged."""
        for file in self._files:
            yield Item(partial(_decode_file, file.path), file.label, file.split, printable(file.path))


def _decode_file(path: Path) -> np.ndarray:
    return decode_rgb(read_image_bytes(path), printable(path))


def read_image_bytes(path: Path) -> bytes:
    """The file's bytes; raises BenchError naming it if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BenchError(
            f"{printable(path)} cannot be read: {error.strerror}", "check the file and its permissions"
        ) from error
