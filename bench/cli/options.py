"""Options that several commands have, and what they hold: names, whole numbers and ranges. No heavy imports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import completion
from bench.core.errors import BenchError, error_remedy

TASKS = completion.complete_one(completion.complete_tasks)
TaskOption = Annotated[str, typer.Option("--task", help="Task name; see: list tasks.", autocompletion=TASKS)]
ResultsOption = Annotated[Path, typer.Option("--results", help="Folder of all results.")]
MethodsOption = Annotated[
    str,
    typer.Option(
        "--methods", "--method",
        help="Names joined by commas, or package.module:Class; default: the six built-in ones.",
        autocompletion=completion.complete_joined(completion.complete_methods),
    ),
]  # fmt: skip
PresetOption = Annotated[
    str,
    typer.Option(
        "--preset",
        help="quick, small or paper; see: list presets.",
        autocompletion=completion.complete_one(completion.complete_presets),
    ),
]
DataOption = Annotated[
    str, typer.Option("--data", help="auto (real if complete, else embedded), embedded, mnist-drawn, or a folder.")
]
DomainsOption = Annotated[str, typer.Option("--domains", help="source,target: two of a folder's domains.")]
ValOption = Annotated[
    str,
    typer.Option("--val", help="train or out: a folder's validation images join training, or are left out (usual)."),
]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="method.key=value; may be repeated.")]
ProtocolsOption = Annotated[
    str,
    typer.Option(
        help="Joined by commas: measured beside the usual ones; see: list protocols.",
        autocompletion=completion.complete_joined(completion.complete_protocols),
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
PrecisionOption = Annotated[
    str, typer.Option("--precision", help="Of training: float32, bf16, or auto (bf16 on CUDA cards that have it).")
]
DevicesOption = Annotated[
    int, typer.Option("--devices", min=1, help="How many one training is divided over; on the CPU: processes.")
]
LaunchOption = Annotated[str, typer.Option("--launch", help="local, or ray: cells are tasks of a Ray cluster.")]
AddressOption = Annotated[
    str, typer.Option("--address", help="HOST:PORT of the Ray cluster; default: one that is here.")
]
TensorboardOption = Annotated[
    bool,
    typer.Option("--tensorboard", help="Also write losses and samples for TensorBoard, in each cell's folder."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="List the cells and their cost; train nothing.")]
RateOption = Annotated[
    float, typer.Option("--rate", min=0, help="With --dry-run: TFLOP/s of another card; default: measured here.")
]
RehearseOption = Annotated[
    bool, typer.Option("--rehearse", help="Try every step of it with two steps a training, in a scratch folder.")
]

DEFAULT_RESULTS = Path("results")
MOST_SEEDS = 10_000
"""In a range: a slip such as 0-200000000 is not to fill the memory."""


def one_of_options(option: str, value: str, valid: tuple[str, ...]) -> str:
    """`value`, if it is valid; BenchError otherwise."""
    if value not in valid:
        raise BenchError(f"{option} {value!r} is not understood", error_remedy(value, [name for name in valid if name]))
    return value


def split_option(names: str) -> tuple[str, ...]:
    """The names in `a, b`, without empty ones."""
    return tuple(name.strip() for name in names.split(",") if name.strip())


def seeds_option(text: str) -> tuple[int, ...]:
    """The seeds in `0,1,2`, `0-19` or `0-3,7`. Raises BenchError for anything else."""
    spelt = list[str]()
    for part in text.split(","):
        first, dash, last = (end.strip() for end in part.partition("-"))
        if dash and first.isdecimal() and last.isdecimal() and int(last) - int(first) in range(MOST_SEEDS):
            spelt += map(str, range(int(first), int(last) + 1))
        else:
            spelt.append(part)
    return numbers_option("--seeds", ",".join(spelt), "0,1,2", f"--seeds {text!r}")


def numbers_option(option: str, text: str, example: str, typed: str = "") -> tuple[int, ...]:
    """The numbers in `32,64`. Raises BenchError, with `typed` as what was typed, for anything else."""
    parts = split_option(text)
    typed = typed or f"{option} {text!r}"
    if not parts or not all(part.isdecimal() for part in parts):
        raise BenchError(f"{typed} is not understood", f"write whole numbers joined by commas: {option} {example}")
    if len({int(part) for part in parts}) < len(parts):
        what = option.removeprefix("--").removesuffix("s")
        raise BenchError(f"{typed} names a {what} twice", "each is taken once: name it once")
    return tuple(int(part) for part in parts)
