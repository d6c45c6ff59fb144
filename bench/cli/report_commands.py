"""The commands that show what is stored: table, report, claims, compare, figure. Heavy imports are in their bodies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import (
    DEFAULT_RESULTS,
    TASKS,
    DataOption,
    DeviceOption,
    DomainsOption,
    PresetOption,
    ResultsOption,
    TaskOption,
)
from bench.core.errors import BenchError


def table(
    task: Annotated[str, typer.Option("--task", help="The leaderboard of this task.", autocompletion=TASKS)] = "",
    paper: Annotated[str, typer.Option("--paper", help="Table 1, 2, 3a, 3b or 4 of the paper, or its text.")] = "",
    form: Annotated[str, typer.Option("--format", help="md, latex, csv or html; default: as --out ends.")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="Write this file instead of printing.")] = None,
    preset: Annotated[str, typer.Option(help="Only what was trained with this preset.")] = "",
    data: Annotated[str, typer.Option(help="Only what was trained on embedded, mnist-drawn or real data.")] = "",
    budget: Annotated[str, typer.Option(help="Only what was trained for images=N or seconds=S.")] = "",
    full: Annotated[bool, typer.Option("--full", help="Everything on a terminal, too, as in a file.")] = False,
    tidy: Annotated[
        Path | None, typer.Option("--tidy", help="Write every single value to this file instead: .csv or .parquet.")
    ] = None,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Print what was measured on a task, or a table of the paper.

    The paper's have our values beside the published ones. Every setting has a table of its own.
    """
    from bench.reporting.table_command import TableRequest, run_table_command

    request = TableRequest(
        task=task, paper=paper, form=form, out=out, preset=preset, data=data, budget=budget, full=full, tidy=tidy,
        results=results,
    )  # fmt: skip
    raise typer.Exit(run_table_command(request))


def report(
    task: TaskOption = "",
    results: ResultsOption = DEFAULT_RESULTS,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the page; default: report in the results.")
    ] = None,
) -> None:
    """Make one static page of everything measured; print its path.

    Tables, samples, curves, costs, and the commands that made them.
    """
    from bench.reporting.page.page import write_report_page

    print(write_report_page(results, out or results / "report", task))


def claims(
    task: Annotated[
        str,
        typer.Option("--task", help="Claims about this task; default: both tasks of the paper.", autocompletion=TASKS),
    ] = "",
    form: Annotated[str, typer.Option("--format", help="md, latex, csv or html; default: as --out ends.")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="Write this file instead of printing.")] = None,
    details: Annotated[bool, typer.Option("--details", help="A second table with every single comparison.")] = False,
    preset: Annotated[str, typer.Option(help="Only what was trained with this preset.")] = "",
    data: Annotated[str, typer.Option(help="Only what was trained on embedded, mnist-drawn or real data.")] = "",
    budget: Annotated[str, typer.Option(help="Only what was trained for images=N or seconds=S.")] = "",
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Say of each claim of the paper whether it holds here.

    It holds, fails or cannot be decided. Every setting has a table of its own.
    """
    from bench.reporting.claims.command import ClaimsRequest, claims_command

    request = ClaimsRequest(
        task=task, form=form, out=out, details=details, preset=preset, data=data, budget=budget, results=results
    )
    raise typer.Exit(claims_command(request))


def compare(
    first: Annotated[str, typer.Argument(help="A method that was run.")],
    second: Annotated[str, typer.Argument(help="Another one.")],
    task: TaskOption,
    preset: PresetOption = "quick",
    data: DataOption = "auto",
    domains: DomainsOption = "",
    device: DeviceOption = "auto",
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Print how far two methods differ, with paired intervals.

    In every metric that can be paired over images, and over the seeds that both have.
    """
    from bench.reporting.compare import CompareRequest, compare_methods

    request = CompareRequest(
        task=task, first=first, second=second, preset=preset, data=data, domains=domains, device=device, results=results
    )
    raise typer.Exit(compare_methods(request))


def figure(
    name: Annotated[str, typer.Argument(help="1a, 3a, 3b, ..., 12; see --list.")] = "",
    task: Annotated[str, typer.Option(help="Another task than the paper's.", autocompletion=TASKS)] = "",
    preset: PresetOption = "quick",
    data: DataOption = "auto",
    domains: DomainsOption = "",
    budget: Annotated[str, typer.Option(help="Cells of this budget: images=N or seconds=S.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for the files; default: figures/ in the results.")] = None,
    results: ResultsOption = DEFAULT_RESULTS,
    listing: Annotated[bool, typer.Option("--list", help="List the figures and what makes their cells.")] = False,
) -> None:
    """Draw a figure of the paper from stored results.

    As PNG, PDF and SVG, in figures/ of the results.
    """
    from bench.core.terminal import show_on_terminal
    from bench.reporting.figures.figures import figure_list, make_figure

    if listing:
        show_on_terminal(figure_list())
    elif not name:
        raise BenchError("no figure is named", "name one: figure 3a; see figure --list")
    else:
        for path in make_figure(name, results, task, preset, data, domains, budget, out):
            print(path)
