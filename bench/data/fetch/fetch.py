"""`udt-bench fetch`: the only module that opens a socket. Downloads or copies files, verifies them, puts them in place.

Everything is written under `locate.cache_folder()`: to `<name>.part` first, verified there, then `os.replace`d. A
download that broke is resumed; a file with the wrong checksum never gets its name.
"""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Literal

from filelock import FileLock

from bench.core.errors import BenchError, merged_errors
from bench.core.files import read_json, write_json
from bench.core.progress import progress, say
from bench.data.fetch import locate
from bench.data.fetch.manifest import ENTRIES, ManifestEntry, ManifestForm
from bench.data.fetch.unpack import unpack_archive

TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True)
class FileStatus:
    """One line of `fetch --list`."""

    name: str
    group: str
    path: Path | None
    """Path of the file; None: missing."""
    size: int | None
    """Bytes, unpacked for MNIST; None where not known beforehand."""
    licence: str
    checksum: str
    """Kind of checksum that is known beforehand, or how one is obtained."""


@dataclass(frozen=True)
class Fetched:
    """Result of fetching one entry."""

    name: str
    path: Path
    action: Literal["present", "downloaded", "copied", "unpacked"]
    check: locate.Verification


# ------------------------------------------------------------------------------------------------ the commands


def list_fetchable(names: Iterable[str] = ()) -> list[FileStatus]:
    """Status of every entry of the manifest (or of the groups, tasks or entries named), present or not."""
    chosen = list(names)
    rows = []
    for entry in locate.manifest_entries(chosen) if chosen else ENTRIES:
        place = locate.locate_entry(entry)
        form = entry.archive or entry.forms[0]
        if form.verifiable:
            checksum = "sha256" if form.sha256 else "sha256 prefix" if form.sha256_prefix else "md5"
        else:
            recorded = entry.urls and entry.archive is None
            checksum = "none published" + (", recorded at the first download" if recorded else "")
        rows.append(
            FileStatus(entry.name, entry.group, place[1] if place else None, form.size, entry.licence, checksum)
        )
    return rows


def list_missing_files(names: Iterable[str] = ()) -> list[FileStatus]:
    """The entries that are in no root."""
    return [row for row in list_fetchable(names) if row.path is None]


def fetch(
    names: Iterable[str],
    from_dir: Path | None = None,
    show: Callable[[str], None] = say,
) -> list[Fetched]:
    """Get every entry of the groups, tasks or entries named: download, or copy from `from_dir` (searched by name).

    Each is verified before it gets its name. Goes on with the others when one fails, and raises one BenchError at the
    end that names all failures; what succeeded stays.
    """
    done: list[Fetched] = []
    failures: list[BenchError] = []
    if from_dir is not None and not from_dir.is_dir():
        raise BenchError(f"--from {from_dir}: no such folder", "name the folder that holds the files")
    for entry in locate.manifest_entries(list(names)):
        try:
            result = _fetch_entry(entry, from_dir)
        except BenchError as error:
            failures.append(error)
            continue
        done.append(result)
        show(_line(result, entry))
    if failures:
        raise merged_errors(failures)
    return done


def _line(result: Fetched, entry: ManifestEntry) -> str:
    notes = {
        "verified": "checksum verified",
        "recorded": "equal to the digest recorded at its first download",
        "unverified": "could NOT be verified: no checksum is known"
        + ("" if result.path.is_dir() else "; the digest is kept to recognise later changes"),
    }
    licence = "" if result.action == "present" else f"; licence: {entry.licence}"
    return f"{result.name}: {result.action} ({notes[result.check]}{licence}): {result.path}"


def _fetch_entry(entry: ManifestEntry, from_dir: Path | None) -> Fetched:
    root = locate.locate_cache()
    present = _present(entry, root)
    if present is not None:
        return present
    target = root / entry.forms[0].path
    locate.create_folder(target.parent)
    with FileLock(target.with_name(f".{target.name}.lock")):  # a second `fetch` waits instead of writing the same .part
        present = _present(entry, root)
        if present is not None:
            return present
        if from_dir is not None:
            return _copy(entry, from_dir, root)
        if not entry.urls:
            raise BenchError(f"{entry.name} cannot be downloaded", entry.how)
        return _download(entry, root) if entry.archive is None else _download_unpacked(entry, entry.archive, root)


def _present(entry: ManifestEntry, root: Path) -> Fetched | None:
    """The entry if it is there already, checked; None: absent, or damaged in the cache folder and so to be replaced."""
    place = locate.locate_entry(entry)
    if place is None:
        return None
    try:
        return Fetched(entry.name, place[1], "present", locate.check_published_file(*place))
    except BenchError:
        if place[1].is_relative_to(root):
            return None
        raise  # in a folder of $UDT_BENCH_FILES: never written to, and it would hide a good copy


# ------------------------------------------------------------------------------------------------- downloading


class _TransferError(Exception):
    """One address did not deliver; the next may."""


def _download_unpacked(entry: ManifestEntry, archive: ManifestForm, root: Path) -> Fetched:
    """The archive is there only until it is unpacked; one that a kill left behind is not loaded again."""
    packed, target = root / archive.path, root / entry.forms[0].path
    check = locate.check_published_file(archive, packed) if packed.is_file() else _download(entry, root).check
    unpack_archive(packed, target, entry.forms[0].holds)
    packed.unlink()
    locate.digest_record_path(packed).unlink(missing_ok=True)
    return Fetched(entry.name, target, "downloaded", check)


def _download(entry: ManifestEntry, root: Path) -> Fetched:
    form = entry.archive or entry.forms[0]
    target = root / form.path
    part = target.with_name(f"{target.name}.part")
    broken: list[str] = []
    wrong: BenchError | None = None
    for url in entry.urls:
        try:
            _transfer(url, part, entry.name)
            return Fetched(entry.name, target, "downloaded", _put_in_place(part, target, form))
        except _TransferError as error:
            broken.append(f"{url}: {error}")
        except BenchError as error:  # the address delivered something else
            wrong = BenchError(f"{error.what} (from {url})", error.remedy)
    if wrong is not None:
        raise wrong
    raise BenchError(
        f"could not download {entry.name} ({' or '.join(_accepted_names(entry))}): {'; '.join(broken)}",
        "run the same command again to resume, or copy the files to a folder by hand and type "
        f"`udt-bench fetch {entry.group} --from THAT_FOLDER`",
    )


def _transfer(url: str, part: Path, name: str) -> None:
    """Bring `part` to the whole content of `url`, continuing what is there. Raises _TransferError."""
    note = part.with_name(f"{part.name}.json")
    offset, validator = _resumable(part, note, url)
    try:
        with _open(url, offset, validator) as response:
            offset = _begins_at(response, offset)
            length = response.headers.get("Content-Length")
            total = None if length is None else offset + int(length)
            locate.check_disk_space(part.parent, (total or 0) - offset)
            write_json(note, {"url": url, "validator": _validator(response)})
            bar = progress(name, total, "bytes", offset) if total else nullcontext(lambda count: None)
            with part.open("ab" if offset else "wb") as file, bar as advance:
                for chunk in locate.read_chunks(response):
                    file.write(chunk)
                    advance(len(chunk))
    except (OSError, HTTPException, ValueError) as error:
        raise _TransferError(_reason(error)) from error
    received = part.stat().st_size
    if total is not None and received != total:
        raise _TransferError(f"the connection ended after {received} of {total} bytes")
    note.unlink(missing_ok=True)


def _begins_at(response: HTTPResponse, offset: int) -> int:
    """Offset at which the body starts: status 206 continues at `offset`; 200 sends all, whatever was requested."""
    if response.status != 206:
        return 0
    answered = response.headers.get("Content-Range") or ""
    if not answered.startswith(f"bytes {offset}-"):
        raise ValueError(f"asked for the bytes from {offset}, the server sent '{answered}'")
    return offset


def _resumable(part: Path, note: Path, url: str) -> tuple[int, str | None]:
    """(bytes to keep, validator): only what came from the same address, and only if the server can confirm that its
    file is still the same."""
    try:
        kept = read_json(note)
        size = part.stat().st_size
    except (OSError, ValueError):
        return 0, None
    if not isinstance(kept, dict) or kept.get("url") != url or not isinstance(kept.get("validator"), str):
        return 0, None
    return size, kept["validator"]


def _validator(response: HTTPResponse) -> str | None:
    etag = response.headers.get("ETag")
    if etag and not etag.startswith("W/"):  # a weak ETag may not be used with If-Range
        return etag
    return response.headers.get("Last-Modified")


def _open(url: str, offset: int, validator: str | None) -> HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "udt-bench", "Accept-Encoding": "identity"})
    if offset and validator:
        request.add_header("Range", f"bytes={offset}-")
        request.add_header("If-Range", validator)
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        error.close()  # the part is as long as the file or longer: begin anew
        return _open(url, 0, None)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"no connection ({error.reason})"
    return f"{type(error).__name__}: {error}"


def _put_in_place(part: Path, target: Path, form: ManifestForm) -> locate.Verification:
    """Verify `part` and give it its name; record its digest where none is published. A bad part is removed."""
    try:
        result = locate.check_published_file(form, part)
    except BenchError as error:
        part.unlink(missing_ok=True)
        raise BenchError(error.what.replace(str(part), str(target)), error.remedy) from error
    record = None if form.verifiable else locate.make_digest_record(part)
    os.replace(part, target)
    if record is not None:
        write_json(locate.digest_record_path(target), record)
    return result


# ---------------------------------------------------------------------------------------- files copied by hand


def _accepted_names(entry: ManifestEntry) -> list[str]:
    return [Path(form.path).name for form in entry.forms if not form.folder] + list(entry.archives)


def _copy(entry: ManifestEntry, from_dir: Path, root: Path) -> Fetched:
    """The first file under `from_dir` with an accepted name that verifies, copied to its place under `root`."""
    wrong: list[BenchError] = []
    for form in entry.forms:
        if form.folder:
            continue
        for source in sorted(path for path in from_dir.rglob(Path(form.path).name) if path.is_file()):
            try:
                locate.check_published_file(form, source)
                return _copy_file(entry, form, source, root / form.path)
            except BenchError as error:
                wrong.append(error)
    for name in entry.archives:
        for source in sorted(path for path in from_dir.rglob(name) if path.is_file()):
            target = root / entry.forms[0].path
            try:
                check = locate.check_published_file(entry.archive, source) if entry.archive else "unverified"
            except BenchError as error:
                wrong.append(error)
                continue
            unpack_archive(source, target, entry.forms[0].holds)
            return Fetched(entry.name, target, "unpacked", check)
    if wrong:
        raise wrong[0]
    names = ", ".join(_accepted_names(entry))
    raise BenchError(f"{entry.name}: none of {names} is under {from_dir}", "check the folder given with --from")


def _copy_file(entry: ManifestEntry, form: ManifestForm, source: Path, target: Path) -> Fetched:
    locate.create_folder(target.parent)
    locate.check_disk_space(target.parent, source.stat().st_size)
    part = target.with_name(f"{target.name}.part")
    try:
        shutil.copyfile(source, part)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BenchError(
            f"could not copy {source} to {target}: {error.strerror}", "make sure that both are accessible"
        ) from error
    return Fetched(entry.name, target, "copied", _put_in_place(part, target, form))
