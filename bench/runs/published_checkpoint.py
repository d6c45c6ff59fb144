"""Scoring a published checkpoint: read its files, load them by the original's names, see that nothing is missing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import torch
from torch import Tensor

from bench.core.environment import describe_environment
from bench.core.errors import BenchError
from bench.core.files import read_weights_file, write_json
from bench.core.progress import say
from bench.data.fetch.locate import SPARE
from bench.data.fetch.unpack import MAX_GROWTH
from bench.data.types import TaskData
from bench.evaluation.self_test.doctor import doctor_record
from bench.evaluation.translate import draw_styles
from bench.runs.request import Job
from bench.store.cell import Cell
from bench.training.cost import Cost
from bench.training.weights import store_weights
from methods.base import Translator, to_model_range

States = dict[str, dict[str, Tensor]]
"""Network name -> its state dict, by the original's own keys."""


@dataclass(frozen=True)
class Checkpoint:
    """What the files given with `--weights` hold."""

    states: States
    """What the method is given."""
    identity: str
    """12 hex digits over names, shapes and bytes of all tensors."""


def read_published_checkpoint(texts: Sequence[str]) -> Checkpoint:
    """Read `[NAME=]FILE` each: torch's formats (tensors alone, no code), .safetensors, or .npz.

    A file of plain tensors is the state dict of network NAME. A file of several state dicts gives their own names,
    with `NAME_` before them if NAME is given; everything else in it (optimisers, counters) is left out. Raises
    BenchError for a file that cannot be read, holds no state dict, or lacks the NAME that it needs.
    """
    states: States = {}
    for text in texts:
        name, _, file = text.rpartition("=")
        for key, state in _networks(name, Path(file), _read(Path(file))).items():
            if key in states:
                raise BenchError(f"--weights {text}: network '{key}' is given twice", "give each network once")
            states[key] = state
    return Checkpoint(states, _identity(states))


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise BenchError(f"--weights {path}: no such file", "write --weights FILE or --weights NETWORK=FILE")
    try:
        if path.suffix == ".safetensors":
            return read_weights_file(path)
        if path.suffix == ".npz":
            return _read_arrays(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's and numpy's readers raise whatever they stumble over
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BenchError(
            f"--weights {path}: cannot be read: {first:.200}",
            "files of tensors alone are read (torch's, .safetensors, .npz); nothing that needs code is run",
        ) from error
    if not isinstance(content, Mapping):
        raise BenchError(
            f"--weights {path}: holds a {type(content).__name__}, not state dicts", "give the file as it was published"
        )
    return content


def _read_arrays(path: Path) -> dict[str, Tensor]:
    """Tensors of an .npz file, whose arrays may be packed, but not to a hundredth."""
    with ZipFile(path) as packed:
        size, limit = sum(info.file_size for info in packed.infolist()), MAX_GROWTH * path.stat().st_size + SPARE
    if size > limit:
        raise ValueError(f"its arrays would take {size:,} bytes")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) > 0 and all(isinstance(v, Tensor) for v in value.values())


def _networks(name: str, path: Path, content: Mapping[str, Any]) -> States:
    for key, value in [
        pair for level in (content, *content.values()) if isinstance(level, Mapping) for pair in level.items()
    ]:
        if isinstance(value, Tensor) and not _is_plain(value):
            raise BenchError(
                f"--weights {path}: '{key}' claims more numbers than the file holds",
                "give the file as it was published",
            )
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        if not name:
            raise BenchError(f"--weights {path}: the state dict of which network?", f"write --weights NETWORK={path}")
        return {name: tensors}
    networks = {str(key): {str(k): v for k, v in value.items()} for key, value in content.items() if _is_state(value)}
    if not networks:
        raise BenchError(
            f"--weights {path}: no state dict in it", f"found: {', '.join(map(str, content)) or 'nothing'}"
        )
    if left := sorted(str(key) for key in content if str(key) not in networks):
        say(f"{path.name}: left out: {', '.join(left)}")
    return {f"{name}_{key}" if name else key: state for key, state in networks.items()}


def _is_plain(tensor: Tensor) -> bool:
    """Whether each of its numbers is stored: a view of one number can have the shape of terabytes."""
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _identity(states: States) -> str:
    digest = hashlib.sha256()
    for name in sorted(states):
        for key in sorted(states[name]):
            value = states[name][key].contiguous()
            digest.update(repr((name, key, tuple(value.shape), str(value.dtype))).encode())
            digest.update(value.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:12]


def load_published_checkpoint(
    method: Translator, checkpoint: Checkpoint, data: TaskData, directions: Sequence[tuple[int, int]], style: str
) -> list[tuple[int, int]]:
    """Load it, and return those `directions` whose translation it is complete for.

    A network that the files lack would translate with random weights and be scored as if nothing were wrong. So every
    parameter is NaN before loading, and a translation that comes out with NaN needs one that was never loaded. Raises
    BenchError if the files do not fit, or are complete for no direction.
    """
    initial = {name: p.detach().clone() for name, p in method.named_parameters()}
    with torch.no_grad():
        for p in method.parameters():
            p.fill_(float("nan"))
    try:
        method.load_official(checkpoint.states)
    except ValueError as error:
        raise BenchError(str(error), "networks are named with --weights NETWORK=FILE") from error
    absent = [name for name, p in method.named_parameters() if p.numel() and bool(p.isnan().all())]
    complete = [direction for direction in directions if _is_finite(method, data, direction, style)]
    networks = ", ".join(dict.fromkeys(name.split(".")[0 if not name.startswith("ema.") else 1] for name in absent))
    for source, target in directions:
        if (source, target) not in complete:
            say(f"{data.domains[source]}->{data.domains[target]}: passed over: not in the files: {networks}")
    if not complete:
        raise BenchError(f"these weights translate in no direction: not in the files: {networks}", "give all networks")
    with torch.no_grad():  # what no translation needs, such as discriminators
        for name, p in method.named_parameters():
            if name in absent:
                p.copy_(initial[name])
    return complete


def _is_finite(method: Translator, data: TaskData, direction: tuple[int, int], style: str) -> bool:
    source, target = direction
    device = next(method.parameters()).device
    x = to_model_range(torch.from_numpy(np.array(data.splits[source, "test"].images[:1])).to(device))
    given = draw_styles(method, data, target, style, [(data.splits[source, "test"].ids[0], 0)], device)
    return bool(method.translate(x, source, target, given).isfinite().all())


def store_published_checkpoint(method: Translator, job: Job, cell: Cell, directions: Sequence[tuple[int, int]]) -> None:
    """Record the cell as if it had been trained, at no cost; `directions`: those that it can translate."""
    cell.begin(method.supervision)
    cell.limit_directions(directions)
    device = next(method.parameters()).device.type
    write_json(cell.environment, {**describe_environment(device), "doctor": doctor_record()})
    store_weights(method, cell)
    parameters = sum(method.parameter_counts().values())
    write_json(cell.cost, asdict(Cost(0.0, {}, None, parameters, None, None, 0, 0, "", 1)))
    cell.set_state("trained")
