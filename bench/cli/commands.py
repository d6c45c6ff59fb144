"""The command line. Nothing heavy is imported before a command runs, so that every --help answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import check_commands, completion, image_commands, report_commands, run_commands
from bench.core.errors import BenchError, error_remedy
from bench.core.exit_status import EXIT_STATUS, Wish, run_and_exit
from bench.core.installation import prefer_installed_packages
from bench.core.terminal import speak_any_encoding

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        from bench.core.environment import version_text

        print(version_text())
        raise typer.Exit


@app.callback(epilog=EXIT_STATUS)
def options_of_all_commands(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print version and environment, and end.", is_eager=True, callback=_version),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """udt-bench: train, measure and compare unsupervised image domain translation methods."""
    context.ensure_object(Wish).debug = debug


def list_names(
    what: Annotated[
        str,
        typer.Argument(
            help="tasks, methods, metrics, presets, protocols or sweeps.",
            autocompletion=completion.complete_one(completion.complete_listings),
        ),
    ] = "",
) -> None:
    """List what there is."""
    from bench.cli.listing import LISTINGS
    from bench.core.terminal import show_on_terminal

    if not what:
        raise BenchError("nothing named to list", f"name one: {', '.join(LISTINGS)}")
    if what not in LISTINGS:
        raise BenchError(f"cannot list '{what}'", error_remedy(what, list(LISTINGS)))
    show_on_terminal(LISTINGS[what]())


def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Groups, tasks or files; see --list.")] = None,
    from_dir: Annotated[Path | None, typer.Option("--from", help="Take the files from this folder instead.")] = None,
    listing: Annotated[bool, typer.Option("--list", help="List every file with size, state and licence.")] = False,
    missing: Annotated[bool, typer.Option("--missing", help="List only the files that are not there.")] = False,
) -> None:
    """Get data and weights: the only command that uses the network."""
    from bench.cli.listing import list_files
    from bench.core.terminal import show_on_terminal
    from bench.data.fetch import fetch as fetching

    if listing or missing:
        show_on_terminal(
            list_files(fetching.list_missing_files(names or []) if missing else fetching.list_fetchable(names or []))
        )
    elif not names:
        raise BenchError("nothing named to fetch", "name groups, tasks or files: fetch inception; see fetch --list")
    else:
        fetching.fetch(names, from_dir)


for command in (
    run_commands.run, run_commands.evaluate, run_commands.semantics, run_commands.sweep,
    image_commands.export, image_commands.score,
    report_commands.table, report_commands.report, report_commands.claims, report_commands.compare,
    report_commands.figure,
):  # fmt: skip
    app.command()(command)
app.command("list")(list_names)
app.command()(fetch)
app.command()(check_commands.doctor)
app.command()(check_commands.conform)
app.command(cls=check_commands.DecidingCommand)(check_commands.check)

baseline = typer.Typer(
    help="Store trainings that later ones are compared with.", no_args_is_help=True, rich_markup_mode=None
)
baseline.command("save")(check_commands.save_baseline)
baseline.command("list")(check_commands.list_baselines)
app.add_typer(baseline, name="baseline")


def main() -> None:
    """Entry point; bench.core.exit_status says what becomes of an error."""
    speak_any_encoding()
    wish = Wish()

    def command() -> None:
        prefer_installed_packages()
        app(prog_name=completion.completion_program_name(), obj=wish)

    run_and_exit(command, wish)
