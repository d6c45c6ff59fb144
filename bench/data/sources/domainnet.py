"""DomainNet's five classes for sketch2real, read from the published archives without extracting their gigabytes.

Split as CatS-UDT does: per class and domain the first 15 files in name order are test, the rest train. The official
train and test lists are not used.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

from bench.core.errors import BenchError
from bench.data.fetch import locate
from bench.data.fetch.manifest import DOMAINNET_CLASSES
from bench.data.sources.decode import DECODING_VERSION, decode_rgb
from bench.data.sources.folder import class_image_files, read_image_bytes
from bench.data.sources.walk import SUFFIXES
from bench.data.types import Item, SplitName

TESTS = 15
"""Test images per class and domain."""
MAX_PICTURE = 1 << 28
"""Largest image file in bytes."""
SPLIT_VERSION = "first-15-by-name-1"


@dataclass(frozen=True)
class _Picture:
    member: str
    """`<class>/<file name>`."""
    size: int
    crc: int


class DomainNet:
    """One domain (`sketch` or `real`): from `<domain>.zip`, or from the folder it extracts to.

    Both forms have one fingerprint. CRC-32 stands for the content in it: the archive carries it, so that no start of
    a run has to read gigabytes, and reading a member checks it.
    """

    classes = DOMAINNET_CLASSES
    resample: Literal["lanczos", "nearest"] = "lanczos"

    def __init__(self, path: Path, domain: str) -> None:
        """`path`: the archive, with members `<domain>/<class>/<file>`, or a folder with `<class>/<file>`."""
        self.path = path
        self.domain = domain

    @classmethod
    def locate(cls, domain: str) -> DomainNet:
        """The file found by `locate.require`, checked; raises BenchError if it is missing or damaged."""
        return cls(locate.locate_required(f"domainnet/{domain}")[f"domainnet/{domain}"], domain)

    @cached_property
    def _pictures(self) -> list[tuple[_Picture, int, SplitName]]:
        """(picture, label, split) class by class in name order."""
        listed: list[tuple[_Picture, int, SplitName]] = []
        present = self._in_folder() if self.path.is_dir() else self._in_archive()
        for label, name in enumerate(self.classes):
            pictures = sorted((p for p in present if p.member.startswith(f"{name}/")), key=lambda p: p.member)
            if len(pictures) <= TESTS:
                raise BenchError(
                    f"{self.path}: class '{name}' has {len(pictures)} images; the first {TESTS} are test images, "
                    "so more are needed",
                    "get the complete archive with `udt-bench fetch domainnet`",
                )
            listed += [(picture, label, "test" if k < TESTS else "train") for k, picture in enumerate(pictures)]
        return listed

    def _in_archive(self) -> list[_Picture]:
        prefix = f"{self.domain}/"
        with _opened(self.path) as archive:
            return [
                _Picture(info.filename.removeprefix(prefix), info.file_size, info.CRC)
                for info in archive.infolist()
                if info.filename.startswith(prefix)
                and info.filename.lower().endswith(SUFFIXES)
                and not Path(info.filename).name.startswith(".")
            ]

    def _in_folder(self) -> list[_Picture]:
        pictures = []
        for name in self.classes:
            folder = self.path / name
            for path in class_image_files(folder) if folder.is_dir() else []:
                data = read_image_bytes(path)
                pictures.append(_Picture(f"{name}/{path.name}", len(data), zlib.crc32(data)))
        return pictures

    def fingerprint(self) -> str:
        """sha256 over domain, classes, versions of split and decoding, and each picture's name, size and CRC-32."""
        lines = [self.domain, *self.classes, SPLIT_VERSION, f"decoding {DECODING_VERSION}"]
        lines += [f"{picture.member} {picture.size} {picture.crc:08x}" for picture, _, _ in self._pictures]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def count(self) -> int:
        """Number of images of the five classes."""
        return len(self._pictures)

    def items(self) -> Iterator[Item]:
        """Every image once, class by class. It, or its `pixels`, raises BenchError with a damaged member's name."""
        with self._reader() as read:
            for picture, label, split in self._pictures:
                name = f"{self.path}:{picture.member}"
                # Read here: the archive is closed when the last item is out, which may be before it is decoded.
                yield Item(partial(decode_rgb, read(picture.member), name), label, split, name)

    @contextmanager
    def _reader(self) -> Iterator[Callable[[str], bytes]]:
        if self.path.is_dir():
            yield lambda member: read_image_bytes(self.path / member)
            return
        with _opened(self.path) as archive:
            yield lambda member: _read_member(archive, f"{self.domain}/{member}", self.path)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except locate.BROKEN_ARCHIVE as error:
        raise locate.damaged_file_error(path, str(error)) from error
    with archive:
        yield archive


def _read_member(archive: zipfile.ZipFile, member: str, path: Path) -> bytes:
    try:
        if (size := archive.getinfo(member).file_size) > MAX_PICTURE:
            raise ValueError(f"{size:,} bytes are more than a picture has")
        return archive.read(member)
    except locate.BROKEN_ARCHIVE as error:
        raise locate.damaged_file_error(path, f"member {member}: {error}") from error
