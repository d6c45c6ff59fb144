"""Cost of a training: seconds, memory, energy, FLOPs. What the machine does not report is None, never a guess."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bench.core.memory import release_free_blocks

_RAPL = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Cost:
    """The cost of one cell's training (evaluation and judges not included)."""

    seconds: float
    """Wall clock of the training loop, summed over resumed runs."""
    stage_seconds: dict[str, float]
    """Semantic stage -> wall clock of its training, whichever cell paid it; not part of `seconds`."""
    peak_memory_bytes: int | None
    """Peak of this process (CPU) or of the device's allocations (CUDA) while training, in the last run of the cell; on
    several devices, of the first."""
    parameters: int
    """Trained parameters, EMA copies not counted."""
    flops: int | None
    """Floating-point operations of the whole training: those of the first step, times the steps."""
    energy_joules: float | None
    """Energy of the processor packages while training (other processes included), where the machine reports it."""
    steps: int
    """Iterations."""
    images_per_domain: int
    """Source images per domain that were consumed."""
    precision: str
    """Precision of the arithmetic, as `--precision` takes it: `float32` or `bf16`."""
    devices: int
    """Number of devices that the training was divided over."""


class Meter:
    """Measures seconds, peak memory and energy from its construction on."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.start = time.monotonic()
        self.energy_start = _package_joules()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            _reset_peak_rss()

    def seconds(self) -> float:
        """Seconds since construction."""
        return time.monotonic() - self.start

    def peak_memory(self) -> int | None:
        """Peak memory in bytes, see `Cost.peak_memory_bytes`."""
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else _peak_rss()

    def energy(self) -> float | None:
        """Joules since construction; None where unreadable or where a counter has wrapped around."""
        now = _package_joules()
        if now is None or self.energy_start is None or now < self.energy_start:
            return None
        return now - self.energy_start


def cost_in_flops(step: Callable[[], Any]) -> tuple[int, Any]:
    """(floating-point operations, result) of calling `step` once."""
    counter = _FlopCounter()
    with counter:
        result = step()
    return counter.total, result


class _FlopCounter(TorchDispatchMode):
    """Sums torch's own formulas over every operation, backward ones included.

    Not torch's FlopCounterMode: its hooks on modules refuse `autograd.grad`, which gradient penalties need.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


def _reset_peak_rss() -> None:
    release_free_blocks()
    try:
        Path("/proc/self/clear_refs").write_text("5")  # "5": reset the peak resident set size (Linux)
    except OSError:  # elsewhere, or a sealed /proc: the peak is then that of the process's whole life
        return


def _peak_rss() -> int | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def _package_joules() -> float | None:
    try:
        return sum(int(path.read_text()) for path in _RAPL.glob("intel-rapl:?/energy_uj")) / 1e6 or None
    except OSError:  # only root may read it on many machines
        return None
