"""Atomic writing, and reading of files that may be damaged or hostile.

No reader, no second process and no killed one meets a half-written file. Anything wrong with a file that is read is a
ValueError that says what; memory follows from its length and never from a number that it states about itself.
"""

from __future__ import annotations

import errno
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from bench.core.errors import BenchError
from bench.core.progress import explained

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to disk, and put it in place of `path`.

    Raises BenchError if the disk refuses (full, read only); `path` is then as it was and the temporary file is gone.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise refused_file(path, error) from error
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
            raise refused_file(path, error) from error
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
def file_lock(lock: Path, timeout: float = -1) -> Iterator[None]:
    """Hold the lock file `lock`, whose folder is created; wait at most `timeout` seconds for it (-1: for ever).

    The operating system frees the lock of a dead process. Raises BenchError if the disk refuses, and filelock.Timeout.
    """
    from filelock import FileLock, Timeout

    held = FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with explained(f"waiting for another process, which holds {lock}") if timeout < 0 else nullcontext():
            held.acquire(timeout=timeout)
    except Timeout:  # an OSError, too
        raise
    except OSError as error:
        raise refused_file(lock, error) from error
    try:
        yield
    finally:
        held.release()


def remove_leftover_files(folder: Path, name: str = "*") -> None:
    """Remove temporary files of a killed process that was writing `folder / name`. The caller holds its lock."""
    for path in folder.glob(f".{name}.*.tmp"):
        path.unlink(missing_ok=True)


FILE_ENDINGS = (".md", ".txt", ".csv", ".tex", ".html", ".htm", ".json", ".xml", ".pdf", ".svg", ".png", ".zip")
"""Endings of files, which no folder is given by mistake."""


def check_file_ending(option: str, path: Path | None, endings: Sequence[str]) -> None:
    """BenchError if `path`, as given with `option`, has an ending that is not among `endings`."""
    if path is not None and path.suffix and path.suffix not in endings:
        raise BenchError(f"{option} {path}: a file that ends in {path.suffix} is not written here",
                         f"end it in {' or '.join(endings)}")  # fmt: skip


def check_folder_name(option: str, path: Path | None) -> None:
    """BenchError if `path`, as given with `option`, is named like a file where a folder is written."""
    if path is not None and path.suffix.lower() in FILE_ENDINGS and not path.is_dir():
        raise BenchError(f"{option} {path} is named like a file, and a folder is written", f"{option} {path.stem}")


def refused_file(path: Path, error: OSError, elsewhere: str = "choose another --results folder") -> BenchError:
    """The BenchError for a file that cannot be written; `elsewhere`: how it is put into another place."""
    remedies = {
        errno.EDQUOT: f"free some of your quota (or {elsewhere})",
        errno.ENAMETOOLONG: f"shorten the name (a name has at most 255 bytes), or {elsewhere}, less deep",
        errno.ENOTDIR: f"a part of this path is a file: remove it, or {elsewhere}",
        errno.EISDIR: f"a folder is in its place: remove it, or {elsewhere}",
    }
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        remedy = f"make {path.parent} writable, or {elsewhere}"
    else:
        remedy = remedies.get(error.errno or 0, f"free some space (or {elsewhere})")
    return BenchError(
        f"could not write {path}: {error.strerror or error}", f"{remedy} and run the same command again: it resumes"
    )


# -------------------------------------------------------------------------------------------------------- reading


def damaged_folder_error(folder: Path, error: Exception) -> BenchError:
    """The BenchError for a damaged `folder` of results, which the command creates anew once it is removed."""
    return BenchError(f"{folder} is damaged: {error}", f"remove it (rm -r {folder}) and run the same command again")


def read_json(path: Path) -> Any:
    """The JSON value in `path`. ValueError if it holds none, or one nested too deep; OSError if it cannot be read."""
    try:
        return json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError("lists or tables nested too deep") from error


def read_array(path: Path) -> np.ndarray:
    """The .npy array in `path` (no pickles). ValueError for another file, or one longer or shorter than it should be.

    OSError if it cannot be read.
    """
    import numpy as np

    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):  # what numpy writes for every array of plain numbers
                raise ValueError(f"version {version} of the format")
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        except OSError:
            raise
        except Exception as error:  # numpy evaluates the header as Python's literals, which fail in many ways
            raise ValueError(f"no header of an array: {error}") from error
        if dtype.hasobject or dtype.itemsize == 0:
            raise ValueError(f"an array of {dtype}")
        expected, length = math.prod(shape) * dtype.itemsize, path.stat().st_size - file.tell()
        if expected != length:
            raise ValueError(f"{expected} bytes expected for shape {shape}, got {length}")
        file.seek(0)
        return np.load(file, allow_pickle=False)


def read_weights_file(path: Path) -> dict[str, Tensor]:
    """The tensors in the .safetensors file `path`. ValueError if it is damaged; OSError if it cannot be read."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, KeyError, OverflowError, RuntimeError, TypeError) as error:
        raise ValueError(f"not a whole .safetensors file: {error}") from error
