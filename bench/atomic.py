"""Writing files so that a reader, or a killed process, never meets a half-written one."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from bench.errors import BenchError

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
        raise _refused(path, error) from error
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
            raise _refused(path, error) from error
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


def _refused(path: Path, error: OSError) -> BenchError:
    return BenchError(
        f"could not write {path}: {error.strerror or error}",
        "free some space (or choose another --results folder) and run the same command again: it resumes",
    )
