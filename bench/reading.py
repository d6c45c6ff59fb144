"""Reading files that may be damaged or somebody else's: whatever is wrong with one is a ValueError that says what.

Memory follows from the file's length and never from a number that the file states about itself.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import BenchError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def damaged_folder(folder: Path, error: Exception) -> BenchError:
    """The error for a `folder` of the results that is made anew where it is missing."""
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
        expected, found = math.prod(shape) * dtype.itemsize, path.stat().st_size - file.tell()
        if expected != found:
            raise ValueError(f"{expected} bytes expected for shape {shape}, got {found}")
        file.seek(0)
        return np.load(file, allow_pickle=False)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors in the .safetensors file `path`. ValueError if it is damaged; OSError if it cannot be read."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, KeyError, OverflowError, RuntimeError, TypeError) as error:
        raise ValueError(f"not a whole .safetensors file: {error}") from error
