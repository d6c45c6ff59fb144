"""Tries and measures training on a GPU in 10 minutes: `PYTHONPATH=. python tests/benchmarks/gpu_steps.py FILE.json`.

First whether everything works there (gpu_checks.py): each method's steps in both precisions, and what they wait for,
translations, a resumed training, the semantic stages, the judge. Each result is written to the file as soon as it is
known; the same command goes on where an earlier one ended, and tries again what failed. The last line is the verdict.

Then a table and JSON: CatS-UDT and StarGAN-v2 at 32 px in the published settings (batch 8, full width), ours against
the plain reference step, which runs with `torch.backends.cudnn.allow_tf32 = False` and with PyTorch's defaults; the
arithmetic that ours achieves against a measured matrix product; and each method at 256 px and batch 8: seconds a step,
peak memory with the one that was predicted, and what 100,000 iterations would take. Needs torch and numpy alone, no
file and no network. Runs on a CPU too, with `--small`, to see that it works.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gpu_checks
import torch
from made_up_training import Training, make
from paired import Timings, take_turns
from plain_reference import plain_trainer

from bench.core.files import write_atomically
from bench.training.cost import cost_in_flops
from bench.training.step_cost import count_step
from methods.base import run_step
from methods.registry import BUILT_IN

LENGTH = 100_000
"""Iterations of a published training."""
READ_EVERY = 10
"""As in bench/training/loop.py: losses are read back once per this many steps."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    """Rounds in which the contestants take turns."""
    steps: int
    """Steps a turn."""
    small_side: int
    """Side of the images where steps are compared."""
    large_side: int
    """Side of the images where memory is measured."""
    matrix: int
    """Side of the matrices whose product is timed."""
    minutes: float
    """No further measurement is begun after this time."""
    settings: dict[str, dict[str, Any]]
    """Method -> settings over the published ones."""
    check_sides: tuple[int, ...] = (32, 256)
    """Sides of the images with which it is tried whether everything works."""
    is_small: bool = False
    """Whether stages and the judge are narrow, too."""


FULL = Size(7, 20, 32, 256, 8192, minutes=8.0, settings={name: {"batch_size": 8} for name in BUILT_IN})


def small() -> Size:
    """Settings that take seconds on a CPU; the same code."""
    star = {"base_width": 4, "max_width": 8, "mapping_width": 8, "style_dim": 8, "batch_size": 2}
    settings: dict[str, dict[str, Any]] = {
        "cats_udt": {**star, "bottleneck_blocks": 1},
        "stargan_v2": star,
        "cyclegan": {"width": 4, "blocks": 1, "discriminator_width": 4, "discriminator_layers": 1, "batch_size": 1},
        "munit": {
            "width": 4, "blocks": 1, "mlp_width": 8, "discriminator_width": 4, "discriminator_layers": 2,
            "discriminator_scales": 2, "batch_size": 1,
        },
        "drit": {"width": 4, "discriminator_scales": 2, "content_discriminator": "small", "batch_size": 1},
        "egsc_it": {
            "width": 4, "discriminator_width": 4, "discriminator_layers": 3, "perceptual": "stand_in", "stages": 2,
            "generator_updates": 1, "batch_size": 1,
        },
    }  # fmt: skip
    return Size(1, 1, 16, 32, 64, minutes=5.0, settings=settings, check_sides=(32,), is_small=True)


class Device:
    """The device, its clock, and the precisions in which the harness and the reference train on it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_gpu = name == "cuda"

    def clock(self) -> float:
        """Seconds, after everything has run."""
        if self.is_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def autocast(self) -> AbstractContextManager[Any]:
        """As bench/core/device.py: bfloat16 on cards that have it."""
        bf16 = self.is_gpu and torch.cuda.is_bf16_supported()
        return torch.autocast("cuda", dtype=torch.bfloat16) if bf16 else nullcontext()

    def peak_memory(self) -> int | None:
        """Bytes since `forget`; None on a CPU."""
        return torch.cuda.max_memory_allocated() if self.is_gpu else None

    def forget(self) -> None:
        """Free what is free, and start the peak anew."""
        gc.collect()
        if self.is_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def describe(self) -> dict[str, Any]:
        """What the numbers were measured on."""
        card = torch.cuda.get_device_name() if self.is_gpu else "cpu"
        return {"device": card, "torch": torch.__version__, "cuda": torch.version.cuda if self.is_gpu else None}


@contextmanager
def tf32_off() -> Iterator[None]:
    """Convolutions in full float32 inside. (PyTorch's default allows TF32 in convolutions, not in matrix products.)"""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def our_steps(training: Training, autocast: Callable[[], AbstractContextManager[Any]], steps: int) -> None:
    """`steps` steps of the harness: a draw for each, losses read back as the loop does."""
    pending = []
    for step in range(steps):
        pending.append(run_step(training.method, training.batch(step), autocast))
        if len(pending) == READ_EVERY or step + 1 == steps:
            torch.stack([torch.stack([loss.float() for loss in losses.values()]) for losses in pending]).cpu()
            pending = []


def compare(name: str, size: Size, device: Device) -> dict[str, Any]:
    """Ours as the harness trains, and in float32, against the reference in both TF32 modes. Every step draws."""
    training = make(name, "paper", "digits", size.small_side, device.name, images=1_000, **size.settings.get(name, {}))
    reference = plain_trainer(training.method)

    def plain() -> None:
        for step in range(size.steps):
            reference.step(training.batch(step))

    def without_tf32(call: Callable[[], None]) -> Callable[[], None]:
        def called() -> None:
            with tf32_off():
                call()

        return called

    full = lambda: our_steps(training, nullcontext, size.steps)  # noqa: E731
    contestants: dict[str, Callable[[], None]] = {
        "ours": lambda: our_steps(training, device.autocast, size.steps),
        "reference": plain,
        "ours, float32": full,
        "reference, no TF32": without_tf32(plain),
        "ours, float32, no TF32": without_tf32(full),
    }
    timings = take_turns(contestants, size.rounds, clock=device.clock)
    flops, _ = cost_in_flops(lambda: our_steps(training, nullcontext, 1))
    reference_flops, _ = cost_in_flops(lambda: reference.step(training.batch()))
    return {
        "side": size.small_side,
        "parameters": sum(training.method.parameter_counts().values()),
        "ms": {contestant: 1e3 * timings.median(contestant) / size.steps for contestant in contestants},
        "ratio": _ratio(timings, "reference", "ours"),
        "ratio, no TF32": _ratio(timings, "reference, no TF32", "ours"),
        "ratio, float32 both": _ratio(timings, "reference", "ours, float32"),
        "ratio, float32 both, no TF32": _ratio(timings, "reference, no TF32", "ours, float32, no TF32"),
        "gflop": flops / 1e9,
        "reference gflop": reference_flops / 1e9,
        "tflop/s": flops * size.steps / timings.median("ours") / 1e12,
        "hours of 100,000 iterations": timings.median("ours") / size.steps * LENGTH / 3600,
    }


def _ratio(timings: Timings, slow: str, fast: str) -> dict[str, float]:
    low, high = timings.ratios(slow, fast)
    return {"median": timings.ratio(slow, fast), "lowest": low, "highest": high}


def matrix_rate(side: int, device: Device, dtype: torch.dtype, calls: int = 10) -> float:
    """TFLOP/s of a square matrix product, the best of five turns."""
    a, b = (torch.randn(side, side, device=device.name, dtype=dtype) for _ in range(2))
    timings = take_turns({"product": lambda: a @ b}, 1, clock=device.clock)
    for _ in range(4):
        again = take_turns({"product": lambda: a @ b}, 1, calls, clock=device.clock)
        timings.seconds["product"].extend(again.seconds["product"])
    return 2 * side**3 / min(timings.seconds["product"]) / 1e12


def large(name: str, size: Size, device: Device) -> dict[str, Any]:
    """A method at the large side as the harness trains it: seconds a step, peak memory, hours of a training."""
    device.forget()
    training = make(name, "paper", "pictures", size.large_side, device.name, images=64, **size.settings.get(name, {}))
    timings = take_turns(
        {"ours": lambda: our_steps(training, device.autocast, 1)}, max(1, size.rounds), clock=device.clock
    )
    peak, seconds = device.peak_memory(), timings.median("ours")
    flops, _ = cost_in_flops(lambda: our_steps(training, nullcontext, 1))
    cls, config = type(training.method), training.method.config
    bf16 = not isinstance(device.autocast(), nullcontext)
    predicted = count_step(lambda: cls(config, size.large_side), size.large_side, bf16)
    return {
        "side": size.large_side,
        "batch": size.settings[name]["batch_size"],
        "images_per_step": training.method.images_per_step,
        "ms": 1e3 * seconds,
        "peak_memory_gib": None if peak is None else peak / 2**30,
        "predicted_memory_gib": predicted.peak_bytes / 2**30,
        "tflop/s": flops / seconds / 1e12,
        "hours of 100,000 iterations": seconds * LENGTH / 3600,
    }


Task = tuple[str, str, Callable[[], Any]]
"""Group, name, and what gives the figures."""


def check_tasks(size: Size, device: Device) -> list[Task]:
    """Whether everything works, see gpu_checks.py."""
    tasks: list[Task] = []
    for name in BUILT_IN:
        own = size.settings.get(name, {})
        for side in size.check_sides:
            tasks.append(("step", f"{name} {side}", lambda name=name, side=side, own=own: gpu_checks.check_step(
                name, side, device.name, device.autocast, own)))  # fmt: skip
        tasks.append(("resume", name, lambda name=name, own=own: gpu_checks.check_resume(
            name, size.check_sides[0], device.name, device.autocast, own)))  # fmt: skip
    for stage in gpu_checks.STAGES:
        tasks.append(("stage", stage, lambda stage=stage: gpu_checks.check_stage(
            stage, 32, device.name, device.autocast, size.is_small)))  # fmt: skip
    return [*tasks, ("scoring", "judge", lambda: gpu_checks.check_scoring(device.name, size.is_small))]


def measuring_tasks(size: Size, device: Device) -> list[Task]:
    """Rates and memory, in the order of their importance."""
    return [
        ("steps", "cats_udt", lambda: compare("cats_udt", size, device)),
        *(
            ("matrix tflop/s", str(dtype).removeprefix("torch."), lambda of=dtype: matrix_rate(size.matrix, device, of))
            for dtype in (torch.bfloat16, torch.float32)
        ),
        *(("large", name, lambda of=name: large(of, size, device)) for name in ("cats_udt", "stargan_v2")),
        ("steps", "stargan_v2", lambda: compare("stargan_v2", size, device)),
        *(
            ("large", name, lambda of=name: large(of, size, device))
            for name in ("munit", "cyclegan", "drit", "egsc_it")
        ),
    ]


def measure(tasks: list[Task], size: Size, device: Device, file: Path | None = None) -> dict[str, Any]:
    """Every task that `file` has no figures of; what there was no time for, or what failed, is named."""
    start = time.perf_counter()
    found: dict[str, Any] = json.loads(file.read_text()) if file and file.exists() else {}
    if found and found["device"] != device.describe()["device"]:
        raise SystemExit(f"{file} is of {found['device']}: name another file")
    before = found.get("seconds", 0.0)
    found |= {**device.describe(), "skipped": []}
    for group, name, task in tasks:
        if name in found.get(group, {}):
            continue
        if time.perf_counter() - start > 60 * size.minutes:
            found["skipped"].append(f"{group} {name}: no time left")
            continue
        try:
            found.setdefault(group, {})[name] = task()
        except Exception as error:  # minutes on a GPU are few: what fails costs its own row
            found["skipped"].append(f"{group} {name}: {type(error).__name__}: {error}")
        device.forget()
        found["seconds"] = before + time.perf_counter() - start
        if file:
            text = json.dumps(found, indent=2) + "\n"
            write_atomically(file, lambda out, text=text: out.write(text.encode()))
    return found


def verdict(found: dict[str, Any], tasks: list[Task]) -> str:
    """One line: whether all was done, and nothing failed."""
    done = sum(name in found.get(group, {}) for group, name, _ in tasks)
    failed = [text for text in found["skipped"] if not text.endswith(": no time left")]
    if failed:
        return (
            f"verdict: FAILED: {len(failed)} of {len(tasks)}: {'; '.join(text.partition(': ')[0] for text in failed)}"
        )
    if done < len(tasks):
        return f"verdict: not finished: {done} of {len(tasks)} done, none failed; the same command goes on"
    return f"verdict: passed: all {len(tasks)}"


def table(found: dict[str, Any]) -> str:
    """The numbers for people."""
    lines = [f"{found['device']}, torch {found['torch']}, {found['seconds']:.0f} s"]
    for name, rate in found.get("matrix tflop/s", {}).items():
        lines.append(f"matrix product {name}: {rate:.1f} TFLOP/s")
    for name, row in found.get("steps", {}).items():
        work = f"{row['gflop']:.0f} GFLOP a step (plain {row['reference gflop']:.0f})"
        hours = f"{row['hours of 100,000 iterations']:.1f} h for 100,000"
        lines.append(f"{name} {row['side']} px: {row['tflop/s']:.2f} TFLOP/s, {work}, {hours}")
        lines += [f"  {contestant}: {ms:.2f} ms" for contestant, ms in row["ms"].items()]
        for key, ratio in row.items():
            if key.startswith("ratio"):
                lines.append(f"  {key}: {ratio['median']:.2f} ({ratio['lowest']:.2f} to {ratio['highest']:.2f})")
    for name, row in found.get("large", {}).items():
        predicted = f"{row['predicted_memory_gib']:.1f} GiB predicted"
        memory = f", {predicted}" if row["peak_memory_gib"] is None else f", {row['peak_memory_gib']:.1f} ({predicted})"
        lines.append(f"{name} {row['side']} px batch {row['batch']}: {row['ms']:.0f} ms{memory}, {row['tflop/s']:.2f} "
                     f"TFLOP/s, 100,000 in {row['hours of 100,000 iterations']:.1f} h")  # fmt: skip
    return "\n".join([*lines, *found["skipped"]])


def main() -> None:
    """Measure, print, and write the JSON to the file that was named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "file", nargs="?", type=Path, help="where the JSON goes, and what it has of an earlier call; it is printed, too"
    )
    parser.add_argument("--small", action="store_true", help="tiny settings: does it work?")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    chosen = parser.parse_args()
    size, device = small() if chosen.small else FULL, Device(chosen.device)
    tasks = [*check_tasks(size, device), *measuring_tasks(size, device)]
    found = measure(tasks, size, device, chosen.file)
    print(json.dumps(found, indent=2), table(found), verdict(found, tasks), sep="\n\n")


if __name__ == "__main__":
    main()
