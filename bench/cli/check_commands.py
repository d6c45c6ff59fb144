"""The commands that check: doctor, conform, baseline, check. Heavy imports are in their bodies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from bench.checks.gate.verdict import Verdict
from bench.cli.options import (
    DEFAULT_RESULTS,
    DeviceOption,
    DomainsOption,
    MethodsOption,
    PresetOption,
    ResultsOption,
    SetOption,
    TaskOption,
    ValOption,
    numbers_option,
    seeds_option,
    split_option,
)
from bench.core.errors import BenchError, Interrupted
from bench.core.exit_status import error_exit_status
from bench.core.files import check_file_ending


def doctor(
    json_file: Annotated[
        str, typer.Option("--json", help="Write the record to this file, too; -: print it instead of the table.")
    ] = "",
) -> None:
    """Compute every metric on cases whose answers are known.

    With the libraries that are installed here.
    """
    from bench.evaluation.self_test.doctor import report_doctor

    raise typer.Exit(report_doctor(json_file))


def conform(
    method: Annotated[str, typer.Argument(help="package.module:Class, or a registered name; see: list methods.")],
    overrides: SetOption = None,
    sizes: Annotated[str, typer.Option("--size", help="Sides of the images in pixels, joined by commas.")] = "32,64",
    only: Annotated[str, typer.Option(help="Names of checks, joined by commas, with what they need.")] = "",
    json_file: Annotated[
        str, typer.Option("--json", help="Write every outcome to this file, too; -: print it instead of the text.")
    ] = "",
) -> None:
    """Check that a method, yours too, keeps the contract.

    On a few drawn images, in less than a minute. Exit status 1 if a check fails.
    """
    from bench.checks.conform.report import report_conformance

    raise typer.Exit(
        report_conformance(
            method, overrides or [], numbers_option("--size", sizes, "32,64"), split_option(only), json_file
        )
    )


def save_baseline(
    name: Annotated[str, typer.Argument(help="Name of the new baseline.")],
    task: TaskOption = "",
    methods: MethodsOption = "",
    seeds: Annotated[str, typer.Option(help="Such as 0,1,2 or 0-19; default: all that every method has.")] = "",
    preset: PresetOption = "quick",
    data: Annotated[str, typer.Option(help="As for run; default: what the results are of.")] = "",
    domains: DomainsOption = "",
    val: ValOption = "",
    budget: Annotated[str, typer.Option(help="As for run; default: what the results are of.")] = "",
    code_only: Annotated[
        bool, typer.Option("--code-only", help="Only what check --code-only compares; --methods: yours, beside ours.")
    ] = False,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Store the values of finished trainings. Trains nothing.

    Seed by seed, in baselines/NAME of the results.
    """
    from bench.checks.gate.save import SaveBaselineRequest, save_gate_baseline

    if not task and not code_only:
        raise BenchError("--task is needed", "baseline save NAME --task TASK, or: baseline save NAME --code-only")
    chosen = seeds_option(seeds) if seeds else ()
    request = SaveBaselineRequest(
        name=name, task=task, methods=split_option(methods), seeds=chosen, preset=preset, data=data, domains=domains,
        val=val, budget=budget, code_only=code_only, results=results,
    )  # fmt: skip
    raise typer.Exit(save_gate_baseline(request))


def list_baselines(results: ResultsOption = DEFAULT_RESULTS) -> None:
    """List the baselines: in the results, and in the package."""
    from bench.checks.gate.save import list_saved_baselines

    print(list_saved_baselines(results))


def check(
    baseline: Annotated[str, typer.Option("--baseline", help="Name of a baseline; see: baseline list.")],
    rerun: Annotated[bool, typer.Option("--rerun", help="Train new seeds with the code as it is, first.")] = False,
    code_only: Annotated[bool, typer.Option("--code-only", help="Stored inputs and metrics only: seconds.")] = False,
    seeds: Annotated[str, typer.Option(help="New seeds, such as 20-24; default: as many as are needed.")] = "",
    data: Annotated[str, typer.Option(help="As for run, where the baseline's folder lies elsewhere.")] = "",
    device: DeviceOption = "auto",
    jobs: Annotated[int, typer.Option(min=0, help="Cells at once; 0: as many as fill the machine.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Write the Markdown to this file, too.")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML to this file.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write every finding to this file.")] = None,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Has anything got worse since a baseline was stored?

    Exit status 0: pass, 1: regressed, 2: implausibly better, 3: cannot decide (and any error).
    """
    from bench.checks.gate.command import CheckRequest, gate_command

    for option, path, ending in (("--out", out, ".md"), ("--junit", junit, ".xml"), ("--json", json_file, ".json")):
        check_file_ending(option, path, [ending])
    chosen = seeds_option(seeds) if seeds else ()
    request = CheckRequest(
        baseline=baseline, rerun=rerun, code_only=code_only, seeds=chosen, data=data, device=device, jobs=jobs,
        results=results, out=out, junit=junit, json_file=json_file,
    )  # fmt: skip
    raise typer.Exit(gate_command(request))


class DecidingCommand(TyperCommand):
    """`check`, whose exit codes 0 to 3 are verdicts.

    It ends with `cannot decide` when a mistake in its options, or an error, keeps it from a verdict.
    """

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """As by TyperCommand; a usage error, which would end with 2, ends with `cannot decide`."""
        try:
            return super().make_context(*arguments, **options)
        except Exception as error:
            if getattr(error, "exit_code", None) == 2:
                error.exit_code = int(Verdict.CANNOT_DECIDE)  # type: ignore[attr-defined]  # of click's UsageError
            raise

    def invoke(self, ctx: Any) -> Any:
        """As by TyperCommand; an error is printed. Interrupted, and what ends a command on purpose, go through."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, Interrupted):
            raise
        except Exception as error:
            print(error_exit_status(error)[1], file=sys.stderr)
        raise typer.Exit(int(Verdict.CANNOT_DECIDE))
