"""Extraction of zip and tar archives that nobody vouches for: all members are checked before the first is written."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from bench.core.errors import BenchError
from bench.data.fetch import locate

MAX_GROWTH = 20
"""Images are compressed already: an archive of them is about as large as they are."""
HEADER = 512
"""Bytes that a member takes beside its content."""
MAX_LONG_HEADER = 16 << 20
"""Bytes of a tar header of variable length, which tarfile reads at once; names are far shorter."""
LONG_HEADERS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
                tarfile.GNUTYPE_LONGLINK)  # fmt: skip


def unpack_archive(archive: Path, target: Path, holds: tuple[str, ...] = ()) -> None:
    """Unpack a zip or tar file (plain, gz, bz2, xz) into the new folder `target`, which must not exist.

    All members are checked before the first byte is written. Refused: absolute paths, `..`, drive letters, links (data
    sets need none), devices, and what would grow to more than MAX_GROWTH times the archive's size. Unpacks beside
    `target` and renames, so it is never there half. With `holds`, `target` becomes the folder in the archive (its top
    or one below) that has all these subfolders.
    """
    if target.exists():
        raise BenchError(f"{target} is already there", "remove it to unpack it again")
    locate.create_folder(target.parent)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
    try:
        _unpack(archive, temporary)
        temporary.chmod(0o755)  # mkdtemp makes private folders
        os.replace(_find_folder(temporary, holds, archive), target)
    except locate.BROKEN_ARCHIVE as error:
        raise locate.damaged_file_error(archive, str(error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unpack(archive: Path, folder: Path) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            members = ((info.filename, info.file_size, _is_plain(info)) for info in packed.infolist())
            locate.check_disk_space(folder, _checked_size(members, archive))
            for info in packed.infolist():
                if "/" not in info.filename:  # some programs of Windows separate folders by backslashes
                    info.filename = info.filename.replace("\\", "/")
                packed.extract(info, folder)
        return
    with _open_tar(archive) as tape:
        members = ((info.name, info.size, info.isfile() or info.isdir()) for info in tape)
        locate.check_disk_space(folder, _checked_size(members, archive))
        tape.extractall(folder, filter="data")


def _is_plain(info: zipfile.ZipInfo) -> bool:
    """Whether the attributes speak of a file or folder, or of nothing."""
    return stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)


def _open_tar(archive: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(archive, tarinfo=_TarInfo)
    except tarfile.ReadError as error:
        raise locate.damaged_file_error(archive, "neither a zip nor a tar file") from error


class _TarInfo(tarfile.TarInfo):
    """A member whose header is not read if it claims to be gigabytes long: tarfile would hold all of it in memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _TarInfo:
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0 or (info.type in LONG_HEADERS and info.size > MAX_LONG_HEADER):
            raise ValueError(f"a header of {info.size:,} bytes")  # not a ReadError: that would mean "no tar file"
        return info


def _checked_size(members: Iterable[tuple[str, int, bool]], archive: Path) -> int:
    """Bytes of all `members` (name, size, whether it is a plain file or a folder).

    Raises BenchError at the first that must not be extracted or is one too many.
    """
    total, limit = 0, MAX_GROWTH * archive.stat().st_size + locate.SPARE
    for name, size, plain in members:
        total += size + HEADER
        trouble = _outside(name) or ("" if plain else "a link or device") or ("a negative size" if size < 0 else "")
        if not trouble and total > limit:
            trouble = f"the archive would grow to over {limit:,} bytes"
        if trouble:
            raise BenchError(
                f"{archive}: refused to unpack the member '{name}' ({trouble})",
                "get the archive from its publisher; nothing was written",
            )
    return total


def _outside(name: str) -> str:
    """Why `name` is no path inside a folder; empty if it is. The standard library would quietly change such names."""
    path = PurePosixPath(name.replace("\\", "/"))
    if not name or path.is_absolute() or re.match("[A-Za-z]:", name):
        return "an absolute or empty path"
    return "a path out of the folder" if ".." in path.parts else ""


def _find_folder(top: Path, holds: tuple[str, ...], archive: Path) -> Path:
    below = sorted(path for path in top.iterdir() if path.is_dir())
    for folder in (top, *below):
        if all((folder / part).is_dir() for part in holds):
            return folder
    names = ", ".join(path.name for path in below[:5]) or "no folder"
    raise locate.damaged_file_error(archive, f"no folder in it holds {', '.join(holds)} (it holds {names})")
