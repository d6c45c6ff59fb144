"""A trained method's weights on disk."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import shorten

from safetensors.torch import save

from bench.core.device import Runtime
from bench.core.files import read_weights_file, write_atomically
from bench.core.randomness import seeded
from bench.store.cell import Cell, damaged_cell
from methods.base import Translator


def store_weights(method: Translator, cell: Cell) -> None:
    """All of the method's state as one safetensors file: equal weights give equal bytes."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in method.state_dict().items()}
    payload = save(tensors)
    write_atomically(cell.weights, lambda file: file.write(payload))


def load_trained_weights(build: Callable[[], Translator], cell: Cell, runtime: Runtime) -> Translator:
    """The cell's method with its stored weights, on the device, in eval mode. Raises BenchError if they are damaged."""
    with seeded(cell.spec.seed, "init"):
        method = build()
    try:
        method.load_state_dict(read_weights_file(cell.weights))
    except (OSError, ValueError, RuntimeError) as error:
        raise damaged_cell(cell.weights, shorten(str(error), 200)) from error
    return method.to(runtime.device).eval()
