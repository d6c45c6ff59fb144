"""`results/index/<task>.npz`: what the cells' files say, so that a table need not read tens of thousands of them.

The files are the truth, and the index is never believed about a cell unless its folder and each of its files have the
times, size and inode that they had when they were read. Not even then if they were younger than SETTLES at that time:
a clock's tick may hide a second change. Such cells are read again. Removing the index loses nothing but time. On a
network file system, which may answer for a while from what it remembers, a table can be as old as that.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from json import dumps, loads
from pathlib import Path

import numpy as np

from bench.core.errors import BenchError
from bench.core.files import write_atomically
from bench.store.cell import cell_files, damaged_cell, read_cell
from bench.store.columns import (
    CELL_NUMBERS,
    CELL_TEXTS,
    RECORD_COUNTS,
    RECORD_NUMBERS,
    RECORD_TEXTS,
    ColumnsBuilder,
    Records,
    joined_columns,
)
from bench.store.definitions import know_definitions

SOURCES = (
    *(Path(__file__).with_name(name) for name in ("index.py", "columns.py", "cell.py")),
    Path(__file__).parents[1] / "core" / "files.py",
)
"""The code that reads cells: when it changes, every index is made anew."""
WORTH = 50
"""Fewer changed cells than this are read again each time: that is faster than to write the index anew."""
SETTLES = 2_000_000_000
"""Nanoseconds: the coarsest step of a file's time in use (FAT)."""


def read_index(root: Path, task: str) -> Records:
    """Everything stored of `task` in the results folder `root`, cells in the order of their folders.

    Cells that cannot be read are left out and named in `complaints`. Writes the index where that is worth it and the
    folder can be written.
    """
    know_definitions(root)
    base, path = root / "runs" / task, root / "index" / f"{task}.npz"
    known = _load(path)
    folders = sorted(_folders(base))
    numbers = {folder: number for number, folder in enumerate(known.records.texts("folder"))}
    kept: list[str] = []
    stale: list[str] = []
    for folder in folders:
        number = numbers.get(folder)
        unchanged = number is not None and _signature(f"{base}/{folder}", known.files[number])[0] == known.seen[number]
        (kept if unchanged else stale).append(folder)
    if not stale and len(kept) == len(numbers):
        return known.records
    now = _file_time(root) if len(stale) + len(numbers) - len(kept) >= WORTH else None
    index, complaints = _updated(known, [numbers[folder] for folder in kept], base, stale, now)
    if now is not None:
        _store(path, index)
    return replace(index.records, complaints=tuple(complaints))


@dataclass(frozen=True)
class _Index:
    """Records, and per cell what its files looked like when they were read."""

    records: Records
    files: list[tuple[str, ...]]
    """Names of the files that were read."""
    seen: list[bytes]
    """`_signature`; empty where it is not to be believed."""


_NOTHING = _Index(ColumnsBuilder().build(), [], [])


def _updated(
    known: _Index, kept: Sequence[int], base: Path, stale: Sequence[str], now: int | None
) -> tuple[_Index, list[str]]:
    """`known` with the cells numbered `kept` alone and those in the folders `stale`, read now; and complaints."""
    builder = ColumnsBuilder(known.records.words)
    files, seen, complaints = [*known.files], [*known.seen], []
    for name in stale:
        folder = base / name
        try:
            names = cell_files(folder)
            if "spec.json" not in names:
                continue
            signature, newest = _signature(str(folder), names)  # before the files are read: a later change will differ
            builder.add(name, read_cell(folder, names))
        except FileNotFoundError:
            continue  # removed meanwhile
        except BenchError as error:
            complaints.append(error.what)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            complaints.append(damaged_cell(folder, f"{type(error).__name__}: {error}").what)
        else:
            files.append(names)
            seen.append(signature if now is not None and newest + SETTLES < now else b"")
    both = joined_columns(known.records, builder.build())
    folders = both.texts("folder")
    order = sorted([*kept, *range(len(known.files), len(folders))], key=folders.__getitem__)
    records = both.take(np.array(order, dtype=np.int64))
    return _Index(records, [files[i] for i in order], [seen[i] for i in order]), complaints


def _folders(base: Path) -> Iterator[str]:
    """`<data>-<preset>/<cell>` of everything that may be a cell."""
    if base.is_dir():
        for group in os.scandir(base):
            if group.is_dir():
                yield from (f"{group.name}/{cell.name}" for cell in os.scandir(group.path) if cell.is_dir())


def _signature(folder: str, names: Sequence[str]) -> tuple[bytes, int]:
    """Digest of times, inode and size of `folder` and of its files `names`, and the newest of the times.

    The folder's own time changes when a file comes, goes or is replaced; a file's when it is written in place. The time
    of change (ctime) is in it because nobody can set it back. Empty and 0 if one is not there.
    """
    try:
        stats = [os.stat(folder), *(os.stat(f"{folder}/{name}") for name in names)]
    except OSError:
        return b"", 0
    seen = [(at.st_mtime_ns, at.st_ctime_ns, at.st_ino, at.st_size) for at in stats]
    return blake2b(repr(seen).encode(), digest_size=16).digest(), max(max(times[:2]) for times in seen)


def _file_time(root: Path) -> int | None:
    """Now, by the clock of the file system, in ns; None where nothing can be written."""
    try:
        with tempfile.TemporaryFile(dir=root) as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return None


# ------------------------------------------------------------------------------------------------------ the file


def _store(path: Path, index: _Index) -> None:
    records = index.records
    words = list(records.words)
    names = ["\n".join(names_of_cell) for names_of_cell in index.files]
    texts = {text: len(words) + i for i, text in enumerate(dict.fromkeys(names))}
    arrays = {
        "code": np.frombuffer(_code(), np.uint8),
        "words": _bytes([*words, *texts]),
        "files": np.array([texts[name] for name in names], dtype=np.int32),
        "seen": np.frombuffer(b"".join(names_of_cell or bytes(16) for names_of_cell in index.seen), np.uint8).reshape(
            -1, 16
        ),
        "cell": records.records["cell"],
        **{name: np.stack([source[column] for column in columns]) for name, source, columns in _blocks(records)},
    }
    try:
        write_atomically(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]  # no keyword of savez
    except BenchError:
        return  # a full disk or a folder of somebody else's: every table reads the files then


def _load(path: Path) -> _Index:
    """What was stored; nothing where there is no index, or a damaged one, or one that other code made."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if bytes(stored["code"]) != _code():
                return _NOTHING
            arrays = {name: stored[name] for name in stored.files}  # with checksums
        words = loads(bytes(arrays["words"]))
        records = Records(words, {}, {"cell": arrays["cell"]})
        for name, target, columns in _blocks(records):
            target.update(zip(columns, arrays[name], strict=True))
        files = [tuple(words[code].split("\n")) for code in arrays["files"].tolist()]
        return _Index(records, files, [bytes(signature) if signature.any() else b"" for signature in arrays["seen"]])
    except Exception:  # what is damaged may fail in any way, and everything in it can be read elsewhere
        return _NOTHING


def _blocks(records: Records) -> tuple[tuple[str, dict[str, np.ndarray], tuple[str, ...]], ...]:
    """(name in the file, where its columns belong, their names)."""
    return (
        ("cell_texts", records.cells, CELL_TEXTS),
        ("cell_numbers", records.cells, CELL_NUMBERS),
        ("record_texts", records.records, RECORD_TEXTS),
        ("record_numbers", records.records, RECORD_NUMBERS),
        ("record_counts", records.records, RECORD_COUNTS),
    )


def _code() -> bytes:
    return blake2b(b"".join(source.read_bytes() for source in SOURCES), digest_size=16).digest()


def _bytes(value: object) -> np.ndarray:
    return np.frombuffer(dumps(value).encode(), np.uint8)
