"""Writing files so that a reader, a second process or a killed one never meets a half-written one."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from bench.core.errors import BenchError

if TYPE_CHECKING:
    import numpy as np


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to disk, and put it in place of `path`.

    Raises BenchError if the disk refuses (full, read only); `path` is then as it was and the temporary file is gone.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise refused(path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise refused(path, error) from error
        raise


def write_text(path: Path, text: str) -> None:
    """`text` as UTF-8, atomically."""
    write_atomically(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: Mapping[str, Any] | Sequence[Any]) -> None:
    """`value` as indented JSON with sorted keys (equal values give equal bytes), atomically. NaN is refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def write_array(path: Path, array: np.ndarray) -> None:
    """`array` as .npy (no pickles), atomically."""
    import numpy as np

    write_atomically(path, lambda file: np.save(file, array, allow_pickle=False))


@contextmanager
def exclusive(lock: Path, timeout: float = -1) -> Iterator[None]:
    """Hold the lock file `lock`, whose folder is made; wait at most `timeout` seconds for it (-1: however long).

    The operating system frees the lock of a dead process. Raises BenchError if the disk refuses, and filelock.Timeout.
    """
    from filelock import FileLock, Timeout

    held = FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held.acquire(timeout=timeout)
    except Timeout:  # an OSError, too
        raise
    except OSError as error:
        raise refused(lock, error) from error
    try:
        yield
    finally:
        held.release()


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Remove what a killed process had begun to write in place of `folder / name`. For whoever holds its lock."""
    for path in folder.glob(f".{name}.*.tmp"):
        path.unlink(missing_ok=True)


def refused(path: Path, error: OSError) -> BenchError:
    """The error for a file that the disk does not take."""
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        remedy = f"make {path.parent} writable, or choose another --results folder"
    else:
        remedy = "free some space (or choose another --results folder)"
    return BenchError(
        f"could not write {path}: {error.strerror or error}", f"{remedy} and run the same command again: it resumes"
    )
