"""The folder of a stored code baseline: inputs, tiny trained weights, and the values that were measured with them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from bench.checks.gate.code.values import LIMITS, Value
from bench.core.files import write_atomically, write_text

FORMAT = 1
"""Version of the layout of stored parts and of the measurement of values: baselines of another one do not count."""
REQUIRED = 4
"""Fields of a Value without a default."""


class StoredUnusable(Exception):
    """A stored part is missing, damaged or of another format; the text says which and why."""


@dataclass(frozen=True)
class CodeBaseline:
    """The content of the folder."""

    arrays: Mapping[str, np.ndarray]
    """Images, labels and features."""
    weights: Mapping[str, Mapping[str, Tensor]]
    """Method (or `judge`) -> its state, by the names of its state dict."""
    values: Sequence[Value]
    """Values that the code gave when the baseline was recorded."""
    recorded_with: Mapping[str, str]
    """Versions of the libraries, for the reader of a difference."""
    outside: Mapping[str, str]
    """Method from outside this project -> the precision that it was measured in."""


def write_stored_inputs(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """`inputs.npz`."""
    write_atomically(folder / "inputs.npz", lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def write_stored_weights(folder: Path, name: str, state: Mapping[str, Tensor]) -> None:
    """`weights-<name>.safetensors`; floats in half precision, exact in `state` already (`halved_as_stored`)."""
    payload = save({key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in state.items()})
    write_atomically(folder / f"weights-{name}.safetensors", lambda file: file.write(payload))


def write_stored_values(
    folder: Path, values: Sequence[Value], recorded_with: Mapping[str, str], outside: Mapping[str, str]
) -> None:
    """`expected.json`, which is written last and names the other files by content: without it there is no baseline."""
    weights = sorted(folder.glob("weights-*.safetensors"))
    head = {
        "format": FORMAT,
        "recorded_with": dict(recorded_with),
        "files": {path.name: _digest(path) for path in [*weights, folder / "inputs.npz"]},
        **({"outside": dict(outside)} if outside else {}),
    }
    rows = [json.dumps(_row(value), allow_nan=False) for value in values]
    text = json.dumps(head, indent=1)[:-2] + ',\n "values": [\n' + ",\n".join(rows) + "\n]}\n"
    write_text(folder / "expected.json", text)  # a value a line: a diff shows what a new baseline changes


def _row(value: Value) -> list[float | str]:
    """The fields in order, without trailing zeros."""
    row = list(astuple(value))
    while row[-1] == 0.0 and len(row) > REQUIRED:
        row.pop()
    return row


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def halved_as_stored(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` on the CPU, every float rounded to half precision, given as float32: stored in half the bytes."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    return {name: tensor.half().float() if tensor.is_floating_point() else tensor for name, tensor in kept.items()}


def read_stored(folder: Path, names: Sequence[str]) -> CodeBaseline:
    """The baseline in `folder` with the weights called `names`. Raises Unusable."""
    expected = _expected(folder / "expected.json")
    if expected.get("format") != FORMAT:
        raise StoredUnusable(
            f"{folder / 'expected.json'} has format {expected.get('format')}, this code reads {FORMAT}"
        )
    try:
        values = [Value(*row) for row in expected["values"]]
        recorded_with, files = dict(expected["recorded_with"]), dict(expected["files"])
        outside = dict(expected.get("outside", {}))
    except (KeyError, TypeError, ValueError) as error:
        raise StoredUnusable(f"{folder / 'expected.json'} is damaged: {error!r}") from error
    unknown = sorted({value.kind for value in values} - set(LIMITS))
    if unknown or not values:
        raise StoredUnusable(
            f"{folder / 'expected.json'} has " + (f"kinds {', '.join(unknown)}" if unknown else "no values")
        )
    for name in ("inputs.npz", *(f"weights-{name}.safetensors" for name in names)):
        _check_content(folder / name, files.get(name))
    weights = {name: read_stored_weights(folder, name) for name in names}
    return CodeBaseline(_arrays(folder / "inputs.npz"), weights, values, recorded_with, outside)


def read_stored_weights(folder: Path, name: str) -> dict[str, Tensor]:
    """The state that `write_stored_weights` wrote, floats as float32. Raises Unusable."""
    path = folder / f"weights-{name}.safetensors"
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise StoredUnusable(f"{path} cannot be read: {error}") from error
    return {key: tensor.float() if tensor.dtype == torch.float16 else tensor for key, tensor in state.items()}


def _check_content(path: Path, digest: str | None) -> None:
    try:
        actual = _digest(path)
    except OSError as error:
        raise StoredUnusable(f"{path} cannot be read: {error}") from error
    if actual != digest:
        raise StoredUnusable(f"{path} is damaged, or of another baseline than the expected.json beside it")


def _expected(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise StoredUnusable(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise StoredUnusable(f"{path} is no code baseline")
    return content


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise StoredUnusable(f"{path} cannot be read: {error}") from error
