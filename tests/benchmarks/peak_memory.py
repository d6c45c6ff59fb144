"""Peak memory of one training step: `PYTHONPATH=. python tests/benchmarks/peak_memory.py cats_udt --batches 1 2 4`.

Every method that is named (all, if none is) is built with the published settings, each time in a process of its own
with random images, and makes one step as the harness does, from optimisers that have their state. On a CPU the peak is
of resident memory, over what the process held before the method was built (Linux; the images are counted apart); on a
GPU it is what PyTorch allocated. Batches that would pass `--limit` by the line through those measured are not run: they
are shown as fitted.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from made_up_training import make
from torch import Tensor

from bench.core.memory import release_free_blocks
from bench.training.step_cost import fill_optimizers
from methods.base import run_step
from methods.registry import BUILT_IN

GIB = 2**30
IMAGES = 16
"""Of each domain. What a step takes does not depend on it."""


@dataclass(frozen=True)
class Found:
    """Bytes of one method at one batch size."""

    method: str
    side: int
    batch: int
    peak: int
    """While a step is made, over what was there before the method was built; the images are not counted."""
    held: dict[str, int]
    """What stays from step to step: trained weights, averages, frozen networks, gradients, optimiser state."""
    seconds: float
    """Of the step."""


def measure(name: str, side: int, batch: int, device: str, settings: dict[str, Any]) -> Found:
    """In this process, which should have done nothing else."""
    gpu = device == "cuda"
    load_libraries()
    before = 0 if gpu else resident("VmRSS")
    training = make(name, "paper", "pictures", side, device, images=IMAGES, **{**settings, "batch_size": batch})
    fill_optimizers(training.method)
    gc.collect()
    images = sum(stack.nbytes for stack in training.domains.images)
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    else:
        release_free_blocks()  # of what was built and given away
        forget_peak()
    autocast = torch.autocast("cuda", dtype=torch.bfloat16) if gpu and torch.cuda.is_bf16_supported() else nullcontext()
    start = time.perf_counter()
    run_step(training.method, training.batch(), lambda: autocast)
    if gpu:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated() if gpu else resident("VmHWM")
    return Found(name, side, batch, peak - before - images, held(training.method), seconds)


def load_libraries() -> None:
    """Make a small step, so that what the libraries themselves hold is there before anything is measured."""
    small = make("cyclegan", "quick", "digits", 16, images=4, batch_size=1)
    run_step(small.method, small.batch())


def held(method: Any) -> dict[str, int]:
    """Kind -> bytes of what a method keeps between steps, every tensor once."""
    seen: set[int] = set()

    def fresh(tensors: Iterable[Tensor | None]) -> int:
        total = 0
        for tensor in tensors:
            if tensor is not None and tensor.data_ptr() not in seen:
                seen.add(tensor.data_ptr())
                total += tensor.nbytes
        return total

    trained = [p for name in method.optimizers for p in getattr(method, name).parameters()]
    states = [
        value
        for optimizer in method.optimizers.values()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor)
    ]
    return {
        "weights": fresh(trained),
        "averages": fresh([*method.ema.parameters(), *method.ema.buffers()]),
        "frozen and buffers": fresh([*method.parameters(), *method.buffers()]),
        "gradients": fresh(p.grad for p in trained),
        "optimisers": fresh(states),
    }


def resident(key: str) -> int:
    """Bytes of this process: `VmRSS` now, `VmHWM` at its peak. (getrusage's peak may be that of the parent.)"""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {key}: peaks on a CPU are measured on Linux alone")


def forget_peak() -> None:
    """Let `VmHWM` begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def line_through(batches: Sequence[int], peaks: Sequence[int]) -> tuple[float, float]:
    """(bytes at batch 0, bytes an image) of the least squares line."""
    slope, start = np.polyfit(batches, peaks, 1)
    return float(start), float(slope)


def in_own_process(name: str, side: int, batch: int, device: str, settings: dict[str, Any]) -> Found:
    """`measure` in a fresh process of Python."""
    code = "import sys, json, peak_memory as p; print(json.dumps(p.measure(*json.loads(sys.argv[1])).__dict__))"
    folder = Path(__file__).parent
    paths = f"import sys; sys.path[:0] = [{str(folder)!r}, {str(folder.parents[1])!r}]; "
    words = json.dumps([name, side, batch, device, settings])
    done = subprocess.run([sys.executable, "-c", paths + code, words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}, batch {batch}: ended with {done.returncode}: {done.stderr[-500:]}")
    return Found(**json.loads(done.stdout))


def measure_batches(
    name: str, side: int, batches: Sequence[int], limit: float, device: str, settings: dict[str, Any] | None = None
) -> tuple[list[Found], dict[int, float]]:
    """What was measured, and for the batches that are left out the bytes by the line through it."""
    found: list[Found] = []
    fitted: dict[int, float] = {}
    for batch in sorted(batches):
        if len(found) >= 2:
            start, slope = line_through([f.batch for f in found], [f.peak for f in found])
            if start + slope * batch > limit:
                fitted[batch] = start + slope * batch
                continue
        found.append(in_own_process(name, side, batch, device, settings or {}))
    return found, fitted


def table(name: str, found: Sequence[Found], fitted: dict[int, float]) -> str:
    """The numbers for people."""
    kept = found[-1].held
    shares = ", ".join(f"{kind} {size / GIB:.2f}" for kind, size in kept.items())
    lines = [f"{name}, {found[0].side} px: {sum(kept.values()) / GIB:.2f} GiB stay from step to step ({shares})"]
    lines += [f"  batch {f.batch}: {f.peak / GIB:.2f} GiB, {f.seconds:.0f} s" for f in found]
    lines += [f"  batch {batch}: {size / GIB:.2f} GiB by the line (not run)" for batch, size in fitted.items()]
    if len(found) > 1:
        start, slope = line_through([f.batch for f in found], [f.peak for f in found])
        lines.append(f"  line: {start / GIB:.2f} GiB and {slope / GIB:.2f} GiB an image")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=list(BUILT_IN))
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--limit", type=float, default=12.0, help="GiB that no process may need")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    chosen = parser.parse_args()
    for name in chosen.methods:
        found, fitted = measure_batches(name, chosen.side, chosen.batches, chosen.limit * GIB, chosen.device)
        print(table(name, found, fitted), flush=True)


if __name__ == "__main__":
    main()
