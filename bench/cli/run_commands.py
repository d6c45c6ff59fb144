"""The commands that train or score: run, evaluate, semantics, sweep. Heavy imports are in their bodies."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli import completion
from bench.cli.options import (
    DEFAULT_RESULTS,
    AddressOption,
    DataOption,
    DeviceOption,
    DevicesOption,
    DomainsOption,
    DryRunOption,
    LaunchOption,
    MethodsOption,
    PrecisionOption,
    PresetOption,
    ProtocolsOption,
    RateOption,
    RehearseOption,
    ResultsOption,
    SetOption,
    TaskOption,
    TensorboardOption,
    ValOption,
    one_of_options,
    seeds_option,
    split_option,
)
from bench.core.errors import BenchError


def run(
    task: TaskOption,
    methods: MethodsOption = "",
    preset: PresetOption = "quick",
    data: DataOption = "auto",
    domains: DomainsOption = "",
    val: ValOption = "",
    seeds: Annotated[str, typer.Option(help="Such as 0 or 0,1,2 or 0-19: one cell per method and seed.")] = "0",
    overrides: SetOption = None,
    budget: Annotated[str, typer.Option(help="images=N per domain, or seconds=S; default: the preset's.")] = "",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    devices: DevicesOption = 1,
    jobs: Annotated[int, typer.Option(min=0, help="Cells at once; 0: as many as fill the machine.")] = 0,
    protocols: ProtocolsOption = "",
    profile: Annotated[bool, typer.Option("--profile", help="Also say where a training step's time goes.")] = False,
    tensorboard: TensorboardOption = False,
    launch: LaunchOption = "local",
    address: AddressOption = "",
    results: ResultsOption = DEFAULT_RESULTS,
    dry_run: DryRunOption = False,
    rate: RateOption = 0.0,
    rehearse: RehearseOption = False,
) -> None:
    """Train and score methods on a task, and print the leaderboard. Finished cells are skipped, others resume."""
    from bench.cli.outcome import show_broken_methods, show_outcome
    from bench.runs.request import Request
    from bench.runs.run import run

    request = Request(
        task=task, methods=split_option(methods), preset=preset, data=data, domains=domains, val=val,
        seeds=seeds_option(seeds),
        overrides=overrides or [], budget=budget, device=device, precision=precision, devices=devices, jobs=jobs,
        protocols=split_option(protocols), profile=profile, tensorboard=tensorboard,
        launch=one_of_options("--launch", launch, ("local", "ray")), address=address, results=results,
    )  # fmt: skip
    if dry_run:
        from bench.core.terminal import show_on_terminal
        from bench.runs.plan import plan_run

        text, broken = plan_run(request, rate)
        show_on_terminal(text)
        raise typer.Exit(show_broken_methods(broken))
    if rehearse:
        from bench.cli.rehearsal import show_rehearsal
        from bench.runs.rehearse import rehearse_run

        raise typer.Exit(show_rehearsal(lambda scratch: (task, rehearse_run(request, scratch))))
    raise typer.Exit(show_outcome(results, run(request), lambda setting: setting.preset == preset))


def evaluate(
    task: TaskOption,
    methods: MethodsOption = "",
    style: Annotated[str, typer.Option(help="noise or exemplar; default: each method's own.")] = "",
    preset: PresetOption = "quick",
    data: DataOption = "auto",
    domains: DomainsOption = "",
    val: ValOption = "",
    weights: Annotated[
        list[str] | None,
        typer.Option(help="[NETWORK=]FILE: score this published checkpoint of the method; may be repeated."),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="With --weights: what the row is called.")] = "",
    overrides: SetOption = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Translations held on the device at once.")] = 256,
    protocols: ProtocolsOption = "",
    device: DeviceOption = "auto",
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Score without training: stored cells anew, or a checkpoint.

    Cells: after weights were fetched, by further protocols, with another style. Checkpoint: --weights.
    """
    from bench.cli.outcome import show_outcome_leaderboards
    from bench.runs.rescore import RescoreRequest, rescore

    request = RescoreRequest(
        task=task, methods=split_option(methods), style=style, preset=preset, data=data, domains=domains, val=val,
        weights=weights or [], name=name, overrides=overrides or [], batch_size=batch_size,
        protocols=split_option(protocols),
        device=device, results=results,
    )  # fmt: skip
    rescore(request)
    show_outcome_leaderboards(results, task, lambda setting: setting.preset == preset)


def semantics(
    task: TaskOption,
    stage: Annotated[str, typer.Option(help="Last stage: imsat, moco, features, spectral, adaptation.")] = "",
    method: Annotated[str, typer.Option("--method", help="Whose chain: cats_udt or a variant of it.")] = "cats_udt",
    preset: PresetOption = "quick",
    data: DataOption = "auto",
    domains: DomainsOption = "",
    val: ValOption = "",
    seeds: Annotated[str, typer.Option(help="Such as 0 or 0,1,2 or 0-19: one chain each.")] = "0",
    overrides: SetOption = None,
    map_from: Annotated[str, typer.Option(help="Label the clusters by: clusterer or adapted; default: original.")] = "",
    map_split: Annotated[str, typer.Option(help="train or test images; default: as the original.")] = "",
    assignment: Annotated[str, typer.Option(help="majority (eq. 14) or hungarian.")] = "majority",
    device: DeviceOption = "auto",
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Learn categories without labels, and print their accuracy.

    Stage by stage; the accuracy is how well the categories align with the classes (eq. 14).
    """
    from bench.core.terminal import show_on_terminal
    from bench.runs.semantics import SemanticsRequest, run_semantics, semantics_alignment_table

    request = SemanticsRequest(
        task=task, stage=stage, method=method, preset=preset, data=data, domains=domains, val=val,
        seeds=seeds_option(seeds),
        overrides=overrides or [],
        map_from=one_of_options("--map-from", map_from, ("", "clusterer", "adapted")),
        map_split=one_of_options("--map-split", map_split, ("", "train", "test")),
        assignment=one_of_options("--assignment", assignment, ("majority", "hungarian")),
        device=device, results=results,
    )  # fmt: skip
    rows, good = run_semantics(request)
    show_on_terminal(semantics_alignment_table(rows))
    raise typer.Exit(0 if good else 1)


def sweep(
    name: Annotated[
        str,
        typer.Argument(
            help="A shipped sweep (3a is table3a; see --list), or a .yaml file.",
            autocompletion=completion.complete_one(completion.complete_sweeps),
        ),
    ] = "",
    preset: Annotated[str, typer.Option(help="quick, small or paper, instead of the file's.")] = "",
    seeds: Annotated[str, typer.Option(help="Such as 0,1,2 or 0-19, instead of the file's.")] = "",
    data: Annotated[str, typer.Option(help="As for run, instead of the file's.")] = "",
    budget: Annotated[str, typer.Option(help="As for run, instead of the file's.")] = "",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    devices: DevicesOption = 1,
    jobs: Annotated[int, typer.Option(min=0, help="Cells at once; 0: as many as fill the machine.")] = 0,
    protocols: ProtocolsOption = "",
    tensorboard: TensorboardOption = False,
    launch: LaunchOption = "local",
    address: AddressOption = "",
    results: ResultsOption = DEFAULT_RESULTS,
    dry_run: DryRunOption = False,
    rate: RateOption = 0.0,
    rehearse: RehearseOption = False,
    listing: Annotated[bool, typer.Option("--list", help="List the shipped sweeps.")] = False,
) -> None:
    """Train and score all cells of a table or figure, or of a file.

    Those of the paper are shipped. Finished cells are skipped, others resume.
    """
    from bench.core.terminal import show_on_terminal

    if listing:
        from bench.cli.listing import list_sweeps

        show_on_terminal(list_sweeps())
        return
    if not name:
        raise BenchError("no sweep is named", "name a shipped one (see sweep --list) or a .yaml file: sweep 3a")
    from bench.cli.outcome import show_broken_methods, show_outcome
    from bench.runs.sweep.run import SweepRequest, plan_sweep, rehearse_sweep, run_sweep

    request = SweepRequest(
        name=name, presets=split_option(preset), seeds=seeds_option(seeds) if seeds else (), data=data, budget=budget,
        device=device, precision=precision, devices=devices, jobs=jobs, protocols=split_option(protocols),
        tensorboard=tensorboard,
        launch=one_of_options("--launch", launch, ("local", "ray")), address=address, results=results,
    )  # fmt: skip
    if dry_run:
        text, broken = plan_sweep(request, rate)
        show_on_terminal(text)
        raise typer.Exit(show_broken_methods(broken))
    if rehearse:
        from bench.cli.rehearsal import show_rehearsal

        raise typer.Exit(show_rehearsal(lambda scratch: rehearse_sweep(request, scratch)))
    raise typer.Exit(show_outcome(results, run_sweep(request)))
