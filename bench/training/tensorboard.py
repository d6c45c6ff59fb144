"""TensorBoard's view of one training: its losses as they are read, and a grid of samples at each checkpoint.

What is watched does not change what is trained: samples are drawn from a stream of their own, of training images, and
the losses are those of `log.jsonl`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.core.errors import BenchError
from bench.core.randomness import randomness
from methods.base import Direction, Domains, Exemplar, Noise, Style, Translator, to_uint8

SOURCES, STYLES = 6, 3
"""Rows of a grid, and columns beside the sources; a deterministic method has one."""
FOLDER = "tensorboard"


def check_tensorboard() -> None:
    """Raise BenchError where the package is not installed."""
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise BenchError(
            "--tensorboard needs the package tensorboard", "pip install 'udt-bench[tensorboard]'"
        ) from error


class TensorBoardWriter:
    """Writes the events of the training in a cell's `folder`. What an earlier run wrote after `step` is dropped."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / FOLDER), purge_step=step if step else None)

    def losses(self, step: int, means: Mapping[str, float]) -> None:
        """A scalar for each loss: `discriminator/real`, and the phase before it where there are several of a name."""
        for name, value in means.items():
            phase, _, rest = name.partition(":")
            networks, _, loss = rest.rpartition(".")
            self._writer.add_scalar(f"{phase} {networks}/{loss}", value, step)

    def samples(self, step: int, method: Translator, domains: Domains) -> None:
        """A grid for each direction: a training image and its translations in a row. `method` is in eval mode."""
        for source, target in method.directions:
            grid = tensorboard_grid(method, domains, (source, target))
            self._writer.add_image(f"samples/{source} -> {target}", grid, step, dataformats="CHW")
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


@torch.no_grad()
def tensorboard_grid(method: Translator, domains: Domains, direction: Direction) -> np.ndarray:
    """uint8 (3, SOURCES * H, columns * W): the same images and styles at each step."""
    source, target = direction
    rng = randomness("tensorboard", source, target)
    x = domains.sample(source, SOURCES, rng)
    columns = [x, *(method.translate(x, source, target, style) for style in _styles(method, domains, target, rng))]
    rows = torch.cat([to_uint8(column) for column in columns], dim=3)  # (SOURCES, 3, H, columns * W)
    return torch.cat(list(rows), dim=1).cpu().numpy()


def _styles(method: Translator, domains: Domains, target: int, rng: torch.Generator) -> Iterator[Style]:
    """STYLES styles, each for all sources; None once for a deterministic method."""
    if not method.style_sources:
        yield None
        return

    def of_all(one: Tensor) -> Tensor:
        return one.expand(SOURCES, *one.shape[1:])

    for _ in range(STYLES):
        if method.style_sources[0] == "noise":
            yield Noise(of_all(torch.randn(1, method.noise_dim, generator=rng).to(domains.device)))
        else:
            yield Exemplar(of_all(domains.sample(target, 1, rng)))
