"""Safe extraction of zip and tar archives: everything is checked before the first byte is written."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from bench.data import files
from bench.errors import BenchError


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
    sets need none), devices. Unpacks beside `target` and renames, so it is never there half. With `holds`, `target`
    becomes the folder in the archive (its top or one below) that has all these subfolders.
    """
    if target.exists():
        raise BenchError(f"{target} is already there", "remove it to unpack it again")
    files.make_folder(target.parent)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
    try:
        with _members(archive) as members:
            listed = list(members)
            for member in listed:
                if member.trouble:
                    raise BenchError(
                        f"{archive}: refused to unpack the member '{member.name}' ({member.trouble})",
                        "get the archive from its publisher; nothing was written",
                    )
            files.check_space(temporary, sum(member.size for member in listed))
            for member in listed:
                _write_member(member, temporary)
        temporary.chmod(0o755)  # mkdtemp makes private folders
        os.replace(_find_folder(temporary, holds, archive), target)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError, RuntimeError) as error:
        raise files.damaged(archive, str(error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tape:
            yield (_tar_member(tape, info) for info in tape)
    else:
        raise files.damaged(archive, "neither a zip nor a tar file")


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
