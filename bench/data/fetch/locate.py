"""Location and verification of data files and weights, which `fetch.py` downloads.

Roots are searched in this order: each folder of `$UDT_BENCH_FILES` (joined by os.pathsep, never written to), then the
user's cache folder (`$UDT_BENCH_CACHE` if set). Under each root the layout is the manifest's: `datasets/...`,
`weights/...`.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal, cast

import platformdirs

from bench.core.errors import BenchError, error_remedy
from bench.core.files import read_json
from bench.data.fetch.manifest import ENTRIES, TASK_GROUPS, ManifestEntry, ManifestForm

Verification = Literal["verified", "recorded", "unverified"]
"""By a published checksum; by the digest recorded at the first download; not at all, but for the structure."""

CHUNK = 1 << 20
SPARE = 64 << 20  # bytes that are left free on a disk
BROKEN_ARCHIVE = (
    OSError, EOFError, RuntimeError, ValueError, LookupError, OverflowError, MemoryError, struct.error, zlib.error,
    lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError,
)  # fmt: skip
"""Exceptions that reading a damaged archive may raise."""


def locate_cache() -> Path:
    """The user's cache folder: where `fetch` writes and prepared data sets lie. Not created here."""
    chosen = os.environ.get("UDT_BENCH_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("udt-bench"))


def search_folders() -> list[Path]:
    """Roots in the order in which they are searched."""
    folders = os.environ.get("UDT_BENCH_FILES", "").split(os.pathsep)
    return [*(Path(folder).expanduser() for folder in folders if folder), locate_cache()]


def manifest_entries(names: list[str]) -> list[ManifestEntry]:
    """The manifest's entries of groups, tasks or entry names, each once, in the manifest's order."""
    valid = sorted({entry.group for entry in ENTRIES} | set(TASK_GROUPS) | {entry.name for entry in ENTRIES})
    wanted: set[str] = set()
    for name in names:
        if name not in valid:
            raise BenchError(f"unknown file or group '{name}'", error_remedy(name, valid))
        wanted.update(TASK_GROUPS.get(name, (name,)))
    return [entry for entry in ENTRIES if entry.group in wanted or entry.name in wanted]


def locate_file(name: str) -> Path | None:
    """The path of an entry (in any of its forms) or of a path relative to a root; None where it is absent."""
    for entry in ENTRIES:
        if entry.name == name:
            place = locate_entry(entry)
            return place[1] if place else None
    return next((root / name for root in search_folders() if (root / name).exists()), None)


def locate_entry(entry: ManifestEntry) -> tuple[ManifestForm, Path] | None:
    """(form, path) of the first form of `entry` that exists: root after root, each in all forms; else None."""
    for root in search_folders():
        for form in entry.forms:
            path = root / form.path
            if path.is_dir() and all((path / part).is_dir() for part in form.holds) if form.folder else path.is_file():
                return form, path
    return None


def locate_in_folder(folder: Path, group: str) -> dict[str, tuple[ManifestForm, Path]]:
    """Entry name -> (form, path) of the group's files that lie in `folder` itself, under their own names."""
    found: dict[str, tuple[ManifestForm, Path]] = {}
    for entry in manifest_entries([group]):
        places = [(form, folder / Path(form.path).name) for form in entry.forms]
        if present := [(form, path) for form, path in places if path.is_file()]:
            found[entry.name] = present[0]
    return found


def locate_folder(name: str) -> Path | None:
    """The folder `name`: as a path, or relative to one of `search_folders`; None where there is none."""
    places = [Path(name).expanduser(), *(root / name for root in search_folders())]
    return next((place for place in places if place.is_dir()), None)


def missing_files(name: str) -> list[str]:
    """Relative paths (as downloaded) of what is absent of a group, task or entry; empty: every file is there."""
    return [entry.forms[0].path for entry in manifest_entries([name]) if locate_entry(entry) is None]


def locate_required(name: str, verify: bool = True) -> dict[str, Path]:
    """Entry name -> path for every entry of a group or task, each checked (`check_published_file`) if `verify`.

    Raises BenchError naming what is missing and the command that fetches it, or the file that is damaged.
    """
    paths: dict[str, Path] = {}
    absent: list[ManifestEntry] = []
    for entry in manifest_entries([name]):
        place = locate_entry(entry)
        if place is None:
            absent.append(entry)
            continue
        if verify:
            check_published_file(*place)
        paths[entry.name] = place[1]
    if absent:
        raise BenchError(f"missing: {', '.join(entry.forms[0].path for entry in absent)}", _how_to_get(absent))
    return paths


def _how_to_get(absent: list[ManifestEntry]) -> str:
    by_hand = [entry.how for entry in absent if not entry.urls]
    groups = " ".join(dict.fromkeys(entry.group for entry in absent if entry.urls))
    command = [f"udt-bench fetch {groups} (with --from DIR for files copied by hand)"] if groups else []
    return "; ".join([*command, *dict.fromkeys(by_hand)])


def locate_weights(name: str) -> Path | None:
    """The file of a pretrained network (`inception`, `alexnet`, `dinov2`, `vgg19`, `moco`, `efficientnet`, ...) under
    any of its accepted names, unchecked: protocols identify weights by their tensors."""
    return locate_file(f"weights/{name}")


# -------------------------------------------------------------------------------------------------- verification


def check_published_file(form: ManifestForm, path: Path) -> Verification:
    """Compare `path` with what is known of `form`. Raises BenchError naming the file, the expected and the
    actual value."""
    if form.folder:
        _check_folder(form, path)
        return "unverified"
    if form.verifiable or form.size is not None:
        _compare(form, path)
    if form.holds:
        _check_members(form, path)
    if form.verifiable:
        return "verified"
    return "recorded" if matches_digest_record(path) else "unverified"


def is_published_file(form: ManifestForm, path: Path) -> bool:
    """Whether `path` has the size and checksum that the publisher states, where one is stated."""
    try:
        check_published_file(form, path)
    except BenchError:
        return False
    return True


def _compare(form: ManifestForm, path: Path) -> None:
    size, sha256 = file_digest(path, form.unpacked, limit=form.size)
    md5 = file_digest(path, form.unpacked, "md5")[1] if form.md5 else ""
    what = "unpacked " if form.unpacked else ""
    comparisons = (
        (f"{what}size", None if form.size is None else str(form.size), str(size)),
        (f"{what}sha256", form.sha256, sha256),
        ("start of the sha256", form.sha256_prefix, sha256[: len(form.sha256_prefix or "")]),
        ("md5", form.md5, md5),
    )
    for label, expected, actual in comparisons:
        if expected is not None and expected != actual:
            raise damaged_file_error(path, f"{label}: expected {expected}, got {actual}")


def damaged_file_error(path: Path | str, detail: str) -> BenchError:
    """The BenchError for a file that is not what it should be."""
    return BenchError(
        f"{path} is damaged or another file: {detail}",
        "remove it and run `udt-bench fetch` again, or put a good copy in its place with `udt-bench fetch --from DIR`",
    )


def file_digest(
    path: Path, unpacked: bool = False, algorithm: Literal["sha256", "md5"] = "sha256", limit: int | None = None
) -> tuple[int, str]:
    """(bytes, hex digest) of a file, or of what a .gz file holds. Raises BenchError if it cannot be read.

    Reading ends soon after `limit` bytes, so that a small .gz file of terabytes takes no time.
    """
    size, state = 0, hashlib.new(algorithm, usedforsecurity=False)
    try:
        with open_checked_file(path, unpacked) as file:
            for chunk in read_chunks(file):
                size += len(chunk)
                state.update(chunk)
                if limit is not None and size > limit:
                    break
    except (OSError, EOFError, zlib.error) as error:
        raise damaged_file_error(path, str(error)) from error
    return size, state.hexdigest()


def open_checked_file(path: Path, unpacked: bool) -> IO[bytes]:
    """The file's bytes, or what its gzip stream holds."""
    if unpacked:
        return cast(IO[bytes], gzip.open(path, "rb"))
    return path.open("rb")


def read_chunks(file: IO[bytes]) -> Iterator[bytes]:
    """The rest of `file` in pieces of 1 MiB."""
    while chunk := file.read(CHUNK):
        yield chunk


def _check_folder(form: ManifestForm, path: Path) -> None:
    for part in form.holds:
        if not (path / part).is_dir():
            raise damaged_file_error(path, f"the folder '{part}' is missing")


def _check_members(form: ManifestForm, path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            present = {name.rpartition("/")[0] for name in archive.namelist() if not name.endswith("/")}
    except BROKEN_ARCHIVE as error:
        raise damaged_file_error(path, str(error)) from error
    absent = [part for part in form.holds if part not in present]
    if absent:
        raise damaged_file_error(path, f"nothing in {', '.join(absent)}")


# ------------------------------------------------------- files without a published checksum: trust on first use


def digest_record_path(path: Path) -> Path:
    """Path of the recorded digest of a file without a published checksum, beside the file."""
    return path.with_name(f"{path.name}.sha256.json")


def make_digest_record(path: Path) -> dict[str, str | int]:
    """The digest of `path` with the size and time by which an unchanged file is recognised without reading it."""
    status = path.stat()
    return {"sha256": file_digest(path)[1], "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def matches_digest_record(path: Path) -> bool:
    """True: equal to the digest recorded at the first download; False: none was recorded. Raises if it differs.

    An archive of gigabytes is read again only when its size or time has changed since the record.
    """
    record = digest_record_path(path)
    if not record.is_file():
        return False
    try:
        kept = read_json(record)
        expected, size, mtime = kept["sha256"], kept["size"], kept["mtime_ns"]
    except (ValueError, KeyError, TypeError) as error:
        raise damaged_file_error(record, f"not a record of a digest ({error})") from error
    status = path.stat()
    if (status.st_size, status.st_mtime_ns) == (size, mtime):
        return True
    actual = file_digest(path)[1]
    if actual != expected:
        raise damaged_file_error(path, f"sha256 recorded at the first download: expected {expected}, got {actual}")
    return True


# -------------------------------------------------------------------------------------------------------- writing


def create_folder(folder: Path) -> None:
    """Create `folder` and its parents; raises BenchError where that is not allowed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(
            f"cannot write to {folder}: {error.strerror}", "set UDT_BENCH_CACHE to another folder"
        ) from error


def check_disk_space(folder: Path, needed: int) -> None:
    """Raise BenchError if `needed` bytes do not fit on the disk of `folder`, which must exist."""
    free = shutil.disk_usage(folder).free
    if needed + SPARE > free:
        raise BenchError(
            f"{folder}: {needed / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free",
            "free some space, or set UDT_BENCH_CACHE to a folder on another disk",
        )
