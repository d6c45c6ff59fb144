"""The commands for images that other programs make: export the sources, score what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import completion
from bench.cli.options import (
    DEFAULT_RESULTS,
    DataOption,
    DeviceOption,
    DomainsOption,
    PresetOption,
    ProtocolsOption,
    ResultsOption,
    TaskOption,
    ValOption,
    one_of_options,
    split_option,
)
from bench.core.errors import BenchError
from bench.core.files import check_folder_name


def export(
    task: TaskOption,
    out: Annotated[Path, typer.Option("--out", help="A new or empty folder.")],
    preset: PresetOption = "quick",
    data: DataOption = "auto",
    domains: DomainsOption = "",
    val: ValOption = "",
) -> None:
    """Write the test images for other programs to translate, as PNG."""
    from bench.runs.export import export_sources

    check_folder_name("--out", out)
    export_sources(task, preset, data, domains, val, out)


def score(
    images: Annotated[
        Path | None, typer.Argument(help="Translations of what export wrote: a folder, a .npy or a .npz file.")
    ] = None,
    task: TaskOption = "",
    name: Annotated[str, typer.Option("--name", help="What the row is called; default: as IMAGES.")] = "",
    against: Annotated[
        Path | None,
        typer.Option("--against", help="A folder of real images: no task, FID and the like of two folders."),
    ] = None,
    sources: Annotated[
        Path | None, typer.Option("--sources", help="With --against: the folder of what IMAGES were made of.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="With --against: md, json or csv.")] = "md",
    direction: Annotated[str, typer.Option(help="Such as sketch->real; default: those that there are images of.")] = "",
    identity: Annotated[bool, typer.Option("--identity", help="Score the sources themselves.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="In place of other images of this name.")] = False,
    preset: PresetOption = "quick",
    data: DataOption = "auto",
    domains: DomainsOption = "",
    val: ValOption = "",
    protocols: ProtocolsOption = "",
    only: Annotated[
        str,
        typer.Option(
            help="With --against, joined by commas: these protocols and no others.",
            autocompletion=completion.complete_joined(completion.complete_protocols),
        ),
    ] = "",
    device: DeviceOption = "auto",
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Score images that another program made.

    With --task: a row of its leaderboard, with all its metrics. With --against: FID, KID, precision, recall, density,
    coverage and LPIPS of two folders.
    """
    if against is not None:
        of_task = bool(task or name or direction or identity or replace)
        _score_against(images, against, sources, form, of_task, protocols, only, device, results)
        return
    if sources is not None or only:
        raise BenchError("--sources and --only go with --against", "score IMAGES --against REAL --sources SOURCES")
    if not task:
        raise BenchError("--task is needed", "score IMAGES --task TASK, or: score IMAGES --against REAL")
    from bench.cli.outcome import show_outcome_leaderboards
    from bench.runs.given_images import ScoreRequest, given_name, score_images

    request = ScoreRequest(
        task=task, images=images, name=name or given_name(images), direction=direction, identity=identity,
        replace=replace, preset=preset, data=data, domains=domains, val=val, protocols=split_option(protocols),
        device=device, results=results,
    )  # fmt: skip
    score_images(request)
    show_outcome_leaderboards(results, task)


def _score_against(
    images: Path | None,
    real: Path,
    sources: Path | None,
    form: str,
    of_task: bool,
    protocols: str,
    only: str,
    device: str,
    results: Path,
) -> None:
    from bench.core.terminal import show_on_terminal
    from bench.reporting.two_folders import FORMS, folders_text
    from bench.runs.folders_request import FoldersRequest
    from bench.runs.two_folders import score_against

    if of_task:
        raise BenchError(
            "--task, --name, --direction, --identity and --replace do not go with --against",
            "score IMAGES --against REAL, or: score IMAGES --task TASK --name NAME",
        )
    if images is None:
        raise BenchError("which images are compared?", "name their folder: score IMAGES --against REAL")
    if protocols and only:
        raise BenchError("--protocols adds to the usual ones, and --only replaces them", "give one of the two")
    one_of_options("--format", form, FORMS)
    request = FoldersRequest(
        images=images, real=real, sources=sources, protocols=split_option(protocols), only=split_option(only),
        device=device, results=results,
    )  # fmt: skip
    records, by_class = score_against(request)
    text = folders_text(records, form, f"{images} against {real}", by_class)
    show_on_terminal(text) if form == "md" else print(text, end="")
