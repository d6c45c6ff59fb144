"""Safe extraction of zip and tar archives: everything is checked before the first byte is written."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from bench.core.errors import BenchError
from bench.data.fetch import locate as files

MAX_GROWTH = 20
"""Images are compressed already: an archive of them is about as large as they are."""
HEADER = 512
"""Bytes that a member takes beside its content."""
MAX_READ = 16 << 20
"""Bytes asked for at once: contents are read in pieces, and no header of a data set's archive is that long."""


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    trouble: str
    """Why it must not be extracted; empty: nothing against it."""
    folder: bool
    open: Callable[[], IO[bytes]]


def extract(archive: Path, target: Path, holds: tuple[str, ...] = ()) -> None:
    """Unpack a zip or tar file (plain, gz, bz2, xz) into the new folder `target`, which must not exist.

    All members are checked before the first byte is written. Refused: absolute paths, `..`, drive letters, links (data
    sets need none), devices, and what would grow to more than MAX_GROWTH times the archive's size. Unpacks beside
    `target` and renames, so it is never there half. With `holds`, `target` becomes the folder in the archive (its top
    or one below) that has all these subfolders.
    """
    if target.exists():
        raise BenchError(f"{target} is already there", "remove it to unpack it again")
    files.make_folder(target.parent)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
    try:
        with _members(archive) as members:
            listed = _checked(members, archive)
            files.check_space(temporary, sum(member.size for member in listed))
            for member in listed:
                _write_member(member, temporary)
        temporary.chmod(0o755)  # mkdtemp makes private folders
        os.replace(_find_folder(temporary, holds, archive), target)
    except files.BROKEN_ARCHIVE as error:
        raise files.damaged(archive, str(error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _checked(members: Iterable[_Member], archive: Path) -> list[_Member]:
    """All `members`, none of which must not be extracted. Stops at the first that is one too many."""
    listed: list[_Member] = []
    total, limit = 0, MAX_GROWTH * archive.stat().st_size + files.SPARE
    for member in members:
        total += member.size + HEADER
        trouble = member.trouble or ("" if total <= limit else f"the archive would grow to over {limit:,} bytes")
        if trouble:
            raise BenchError(
                f"{archive}: refused to unpack the member '{member.name}' ({trouble})",
                "get the archive from its publisher; nothing was written",
            )
        listed.append(member)
    return listed


def _write_member(member: _Member, folder: Path) -> None:
    path = folder / member.name
    if member.folder:
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as source, path.open("wb") as file:
        shutil.copyfileobj(source, file, files.CHUNK)


def _find_folder(top: Path, holds: tuple[str, ...], archive: Path) -> Path:
    below = sorted(path for path in top.iterdir() if path.is_dir())
    for folder in (top, *below):
        if all((folder / part).is_dir() for part in holds):
            return folder
    raise files.damaged(archive, f"no folder in it holds {', '.join(holds)}")


def _outside(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    if not name or path.is_absolute() or re.match("[A-Za-z]:", name):
        return "an absolute or empty path"
    return "a path out of the folder" if ".." in path.parts else ""


@contextmanager
def _members(archive: Path) -> Iterator[Iterable[_Member]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            yield (_zip_member(packed, info) for info in packed.infolist())
        return
    with archive.open("rb") as file:
        start = file.read(6)
    unpack = next((own for magic, own in PACKERS.items() if start.startswith(magic)), open)
    with unpack(archive, "rb") as stream, ExitStack() as opened:
        try:
            tape = opened.enter_context(tarfile.open(fileobj=_Bounded(stream), mode="r:"))
        except files.BROKEN_ARCHIVE as error:
            raise files.damaged(archive, f"neither a zip nor a tar file ({error})") from error
        yield (_tar_member(tape, info) for info in tape)


PACKERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
"""First bytes of a packed tar file -> what opens it."""


class _Bounded(io.RawIOBase):
    """`stream`, which refuses to hand out gigabytes at once: tarfile reads a header as long as the header says."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_READ:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self.stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        return self.stream.tell()


def _zip_member(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    kind = stat.S_IFMT(info.external_attr >> 16)
    special = kind not in (0, stat.S_IFREG, stat.S_IFDIR)
    trouble = _outside(info.filename) or ("a link or device" if special else "")
    return _Member(info.filename, info.file_size, trouble, info.is_dir(), lambda: packed.open(info))


def _tar_member(tape: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    special = not (info.isfile() or info.isdir())
    trouble = _outside(info.name) or ("a link or device" if special else "")

    def open_member() -> IO[bytes]:
        content = tape.extractfile(info)
        if content is None:
            raise tarfile.ReadError(f"{info.name} has no content")
        return content

    return _Member(info.name, info.size, trouble, info.isdir(), open_member)
