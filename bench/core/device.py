"""Device, precision and threads of a run, through Lightning Fabric."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from bench.core.environment import available_cores, omp_num_threads
from bench.core.errors import BenchError, error_remedy
from bench.core.memory import keep_memory_blocks

SMALL_IMAGE = 64
"""Side in pixels up to which one CPU thread per cell makes the best use of the cores."""
DEVICES = ["auto", "cpu", "cuda", "mps"]
PRECISIONS = {"float32": "32-true", "bf16": "bf16-mixed"}
"""Value of `--precision` -> Fabric's name. `auto` is resolved by `Runtime`."""


class Runtime:
    """One device (of those that train together), one precision, a thread count."""

    def __init__(self, device: str, image_size: int, precision: str = "auto", devices: int = 1, rank: int = 0) -> None:
        """`device`: one of DEVICES. `precision`: `float32`, `bf16` (autocast; weights and optimisers stay float32), or
        `auto`: bf16 on CUDA cards that have it, float32 elsewhere. `devices`: how many one training is divided over,
        of which this is number `rank`; on the CPU they are processes.

        Raises BenchError for an unknown name, a device that is not there, and bf16 where the device has none.
        """
        keep_memory_blocks()
        check_device_precision(precision)
        if device not in DEVICES:
            raise BenchError(f"unknown device '{device}'", error_remedy(device, DEVICES))
        chosen = _best_device() if device == "auto" else device
        if chosen not in _available():
            raise BenchError(f"device '{chosen}' is not available here", f"valid: {', '.join(['auto', *_available()])}")
        count = torch.cuda.device_count() if chosen == "cuda" else 1 if chosen == "mps" else devices
        if devices > count:
            raise BenchError(f"--devices {devices}: there are {count} of kind '{chosen}'", f"choose --devices {count}")
        usual = "bf16" if chosen == "cuda" and torch.cuda.is_bf16_supported() else "float32"
        if precision == "bf16" and (chosen == "mps" or (chosen == "cuda" and usual == "float32")):
            raise BenchError(f"device '{chosen}' does not compute in bf16 here", "choose --precision float32")
        self.precision = PRECISIONS[usual if precision == "auto" else precision]
        self.usual_precision = PRECISIONS[usual]
        self.devices, self.rank = devices, rank
        index: Any = [rank] if chosen == "cuda" else 1
        self.fabric = Fabric(accelerator=chosen, devices=index, precision=self.precision)  # type: ignore[arg-type]
        self.device: torch.device = self.fabric.device
        self.threads = _threads(image_size, devices)

    @property
    def cells_at_once(self) -> int:
        """Number of cells that fill the machine: one on GPUs; on the CPU, cores over threads of a cell."""
        return 1 if self.device.type != "cpu" else max(1, available_cores() // (self.threads * self.devices))

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which a method's forward pass is computed."""
        return self.fabric.autocast()

    def usual_autocast(self) -> AbstractContextManager[Any]:
        """The context of semantic stages, which cells share: the usual precision, whatever one cell asked for."""
        return torch.autocast(self.device.type, torch.bfloat16) if "bf16" in self.usual_precision else nullcontext()

    def synchronise(self) -> None:
        """Wait until the device has finished, for timings."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @contextmanager
    def threads_pinned(self, threads: int) -> Iterator[None]:
        """torch uses `threads` CPU threads inside: their number decides the order of sums, and so the bytes."""
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def check_can_resume(self, device: str, precision: str, devices: int, version: str, cell: Path) -> None:
        """Refuse another device, precision or number of devices in mid-run (BenchError); warn about another torch."""
        if (device, precision, devices) != (self.device.type, self.precision, self.devices):
            raise BenchError(
                f"{cell} was begun on {_count_text(device, devices)} in {device_precision(precision)}, this run is on "
                f"{_count_text(self.device.type, self.devices)} in {device_precision(self.precision)}",
                f"add --device {device} --precision {device_precision(precision)} --devices {devices}, or remove the "
                "folder to begin anew",
            )
        if version != torch.__version__:
            warnings.warn(
                f"{cell} was begun with torch {version}: resumed with {torch.__version__}, bytes may differ",
                RuntimeWarning,
                stacklevel=2,
            )


def check_device_precision(precision: str) -> None:
    """Raise BenchError for what is neither `auto` nor in PRECISIONS."""
    if precision not in ("auto", *PRECISIONS):
        raise BenchError(f"unknown precision '{precision}'", error_remedy(precision, ["auto", *PRECISIONS]))


def device_precision(precision: str) -> str:
    """Fabric's name of a precision -> the value of `--precision`."""
    return next((typed for typed, name in PRECISIONS.items() if name == precision), precision)


def _count_text(device: str, devices: int) -> str:
    return device if devices == 1 else f"{devices} x {device}"


def _threads(image_size: int, devices: int) -> int:
    """torch's CPU threads: $OMP_NUM_THREADS, else 1 for small images, the device's share of the cores for large.

    At 32 px a second thread gains 4 to 20 % on a quiet machine and loses a factor of 10 on a busy one; a second cell
    on the second core gains 100 %. A rule and not a measurement, because the number decides the order of sums.
    """
    return omp_num_threads() or (1 if image_size <= SMALL_IMAGE else max(1, available_cores() // devices))


def _available() -> list[str]:
    kinds = ["cpu"]
    if torch.cuda.is_available():
        kinds.append("cuda")
    if torch.backends.mps.is_available():
        kinds.append("mps")
    return kinds


def _best_device() -> str:
    return "cuda" if "cuda" in _available() else "mps" if "mps" in _available() else "cpu"
