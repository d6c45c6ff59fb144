"""The commands for images that other programs make: export the sources, score what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import (
    DEFAULT_RESULTS,
    DataOption,
    DeviceOption,
    DomainsOption,
    PresetOption,
    ProtocolsOption,
    ResultsOption,
    TaskOption,
    split_option,
)


def export(
    task: TaskOption,
    out: Annotated[Path, typer.Option("--out", help="A new or empty folder.")],
    preset: PresetOption = "quick",
    data: DataOption = "auto",
    domains: DomainsOption = "",
) -> None:
    """Write the test images that every method translates as PNG files, for other programs to translate."""
    from bench.runs.export import export_sources

    export_sources(task, preset, data, domains, out)


def score(
    task: TaskOption,
    name: Annotated[str, typer.Option("--name", help="What the row is called.")],
    images: Annotated[
        Path | None, typer.Argument(help="Translations of what export wrote: a folder, a .npy or a .npz file.")
    ] = None,
    direction: Annotated[str, typer.Option(help="Such as sketch->real; default: those that there are images of.")] = "",
    identity: Annotated[bool, typer.Option("--identity", help="Score the sources themselves.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="In place of other images of this name.")] = False,
    preset: PresetOption = "quick",
    data: DataOption = "auto",
    domains: DomainsOption = "",
    protocols: ProtocolsOption = "",
    device: DeviceOption = "auto",
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Score images that another program made: a row of the leaderboard, with every metric of the task."""
    from bench.cli.outcome import show_leaderboards
    from bench.runs.given_images import ScoreRequest, score_images

    request = ScoreRequest(
        task=task, images=images, name=name, direction=direction, identity=identity, replace=replace, preset=preset,
        data=data, domains=domains, protocols=split_option(protocols), device=device, results=results,
    )  # fmt: skip
    score_images(request)
    show_leaderboards(results, task)
