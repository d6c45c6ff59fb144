"""The commands. Nothing heavy is imported before a command runs, so that every --help answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import completion
from bench.cli.check_command import DecidingCommand
from bench.cli.options import one_of, seed_list, split, whole_numbers
from bench.core.errors import BenchError, nearest
from bench.core.exit_status import EXIT_STATUS, Wish, ended
from bench.core.installation import prefer_own_packages

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

TASKS = completion.one(completion.tasks)
TaskOption = Annotated[str, typer.Option("--task", help="Task name; see: list tasks.", autocompletion=TASKS)]
ResultsOption = Annotated[Path, typer.Option("--results", help="Folder of all results.")]
MethodsOption = Annotated[
    str,
    typer.Option(
        "--methods", "--method",
        help="Names joined by commas, or package.module:Class; default: the six built-in ones.",
        autocompletion=completion.joined(completion.methods),
    ),
]  # fmt: skip
PresetOption = Annotated[
    str,
    typer.Option(
        "--preset", help="quick or paper; see: list presets.", autocompletion=completion.one(completion.presets)
    ),
]
DataOption = Annotated[
    str, typer.Option("--data", help="auto (real if complete, else embedded), embedded, mnist-drawn, or a folder.")
]
DomainsOption = Annotated[str, typer.Option("--domains", help="source,target: two of a folder's domains.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="method.key=value; may be repeated.")]
ProtocolsOption = Annotated[
    str,
    typer.Option(
        help="Joined by commas: measured beside the usual ones; see: list protocols.",
        autocompletion=completion.joined(completion.protocols),
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

DEFAULT_RESULTS = Path("results")


def _version(wanted: bool) -> None:
    if wanted:
        from bench.core.environment import version_text

        print(version_text())
        raise typer.Exit


@app.callback(epilog=EXIT_STATUS)
def options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print version and environment, and end.", is_eager=True, callback=_version),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """udt-bench: train, measure and compare unsupervised image domain translation methods."""
    context.ensure_object(Wish).debug = debug


@app.command()
def run(
    task: TaskOption,
    methods: MethodsOption = "",
    preset: PresetOption = "quick",
    data: DataOption = "auto",
    domains: DomainsOption = "",
    seeds: Annotated[str, typer.Option(help="Such as 0 or 0,1,2 or 0-19: one cell per method and seed.")] = "0",
    overrides: SetOption = None,
    budget: Annotated[str, typer.Option(help="images=N per domain, or seconds=S; default: the preset's.")] = "",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    devices: DevicesOption = 1,
    jobs: Annotated[int, typer.Option(min=0, help="Cells at once; 0: as many as fill the machine.")] = 0,
    protocols: ProtocolsOption = "",
    profile: Annotated[bool, typer.Option("--profile", help="Also say where a training step's time goes.")] = False,
    launch: LaunchOption = "local",
    address: AddressOption = "",
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Train and score methods on a task, and print the leaderboard. Finished cells are skipped, others resume."""
    from bench.cli.outcome import show_outcome
    from bench.runs.request import Request
    from bench.runs.run import run

    request = Request(
        task, split(methods), preset, data, domains, seed_list(seeds), overrides or [], budget, device, results, jobs,
        split(protocols), one_of("--launch", launch, ("local", "ray")), address, profile, precision, devices,
    )  # fmt: skip
    raise typer.Exit(show_outcome(results, run(request)))


@app.command()
def evaluate(
    task: TaskOption,
    methods: MethodsOption = "",
    style: Annotated[str, typer.Option(help="noise or exemplar; default: each method's own.")] = "",
    preset: PresetOption = "quick",
    data: DataOption = "auto",
    domains: DomainsOption = "",
    weights: Annotated[
        list[str] | None,
        typer.Option(help="[NETWORK=]FILE: score this published checkpoint of the method; may be repeated."),
    ] = None,
    overrides: SetOption = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Translations held on the device at once.")] = 256,
    protocols: ProtocolsOption = "",
    device: DeviceOption = "auto",
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Score without training: stored cells anew, or a checkpoint.

    Cells: after weights were fetched, by further protocols, with another style. Checkpoint: --weights.
    """
    from bench.cli.outcome import show_leaderboards
    from bench.runs.rescore import RescoreRequest, rescore

    request = RescoreRequest(
        task, split(methods), style, preset, data, domains, batch_size, device, results, weights or [],
        overrides or [], split(protocols),
    )  # fmt: skip
    rescore(request)
    show_leaderboards(results, task)


@app.command()
def semantics(
    task: TaskOption,
    stage: Annotated[str, typer.Option(help="Last stage: imsat, moco, features, spectral, adaptation.")] = "",
    method: Annotated[str, typer.Option("--method", help="Whose chain: cats_udt or a variant of it.")] = "cats_udt",
    preset: PresetOption = "quick",
    data: DataOption = "auto",
    domains: DomainsOption = "",
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
    from bench.core.terminal import show
    from bench.runs.semantics import SemanticsRequest, alignment_table, run_semantics

    request = SemanticsRequest(
        task, stage, method, preset, data, domains, seed_list(seeds), overrides or [],
        one_of("--map-from", map_from, ("", "clusterer", "adapted")),
        one_of("--map-split", map_split, ("", "train", "test")),
        one_of("--assignment", assignment, ("majority", "hungarian")),
        device, results,
    )  # fmt: skip
    rows, good = run_semantics(request)
    show(alignment_table(rows))
    raise typer.Exit(0 if good else 1)


@app.command()
def sweep(
    name: Annotated[
        str,
        typer.Argument(
            help="A shipped sweep (3a is table3a; see --list), or a .yaml file.",
            autocompletion=completion.one(completion.sweeps),
        ),
    ] = "",
    preset: Annotated[str, typer.Option(help="quick or paper, instead of the file's.")] = "",
    seeds: Annotated[str, typer.Option(help="Such as 0,1,2 or 0-19, instead of the file's.")] = "",
    data: Annotated[str, typer.Option(help="As for run, instead of the file's.")] = "",
    budget: Annotated[str, typer.Option(help="As for run, instead of the file's.")] = "",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    devices: DevicesOption = 1,
    jobs: Annotated[int, typer.Option(min=0, help="Cells at once; 0: as many as fill the machine.")] = 0,
    protocols: ProtocolsOption = "",
    launch: LaunchOption = "local",
    address: AddressOption = "",
    results: ResultsOption = DEFAULT_RESULTS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells and their cost; train nothing.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="List the shipped sweeps.")] = False,
) -> None:
    """Train and score all cells of a table or figure, or of a file.

    Those of the paper are shipped. Finished cells are skipped, others resume.
    """
    if listing:
        list_names("sweeps")
        return
    if not name:
        raise BenchError("no sweep is named", "name a shipped one (see sweep --list) or a .yaml file: sweep 3a")
    from bench.cli.outcome import show_broken, show_outcome
    from bench.core.terminal import show
    from bench.runs.sweep.run import SweepRequest, plan_sweep, run_sweep

    request = SweepRequest(
        name, split(preset), seed_list(seeds) if seeds else (), data, budget, device, results, jobs, split(protocols),
        one_of("--launch", launch, ("local", "ray")), address, precision, devices,
    )  # fmt: skip
    if dry_run:
        text, broken = plan_sweep(request)
        show(text)
        raise typer.Exit(show_broken(broken))
    raise typer.Exit(show_outcome(results, run_sweep(request)))


@app.command()
def table(
    task: Annotated[str, typer.Option("--task", help="The leaderboard of this task.", autocompletion=TASKS)] = "",
    paper: Annotated[str, typer.Option("--paper", help="Table 1, 2, 3a, 3b or 4 of the paper, or its text.")] = "",
    form: Annotated[str, typer.Option("--format", help="md, latex, csv or html; default: as --out ends.")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="Write this file instead of printing.")] = None,
    preset: Annotated[str, typer.Option(help="Only what was trained with this preset.")] = "",
    data: Annotated[str, typer.Option(help="Only what was trained on embedded, mnist-drawn or real data.")] = "",
    budget: Annotated[str, typer.Option(help="Only what was trained for images=N or seconds=S.")] = "",
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Print what was measured on a task, or a table of the paper.

    The paper's have our values beside the published ones. Every setting has a table of its own.
    """
    from bench.reporting.table_command import TableRequest, make_table

    raise typer.Exit(make_table(TableRequest(task, paper, form, out, preset, data, budget, results)))


@app.command()
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
    from bench.reporting.page.page import write_report

    print(write_report(results, out or results / "report", task))


@app.command()
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
    from bench.reporting.claims.command import ClaimsRequest, decide_claims

    raise typer.Exit(decide_claims(ClaimsRequest(task, form, out, details, preset, data, budget, results)))


@app.command()
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
    from bench.reporting.compare import CompareRequest, compare

    raise typer.Exit(compare(CompareRequest(task, first, second, preset, data, domains, device, results)))


@app.command()
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
    from bench.core.terminal import show
    from bench.reporting.figures.figures import figure_list, make_figure

    if listing:
        show(figure_list())
    elif not name:
        raise BenchError("no figure is named", "name one: figure 3a; see figure --list")
    else:
        for path in make_figure(name, results, task, preset, data, domains, budget, out):
            print(path)


@app.command("list")
def list_names(
    what: Annotated[
        str,
        typer.Argument(
            help="tasks, methods, metrics, presets, protocols or sweeps.",
            autocompletion=completion.one(completion.listings),
        ),
    ] = "",
) -> None:
    """List what there is."""
    from bench.cli.listing import LISTINGS
    from bench.core.terminal import show

    if not what:
        raise BenchError("nothing named to list", f"name one: {', '.join(LISTINGS)}")
    if what not in LISTINGS:
        raise BenchError(f"cannot list '{what}'", nearest(what, list(LISTINGS)))
    show(LISTINGS[what]())


@app.command()
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Groups, tasks or files; see --list.")] = None,
    from_dir: Annotated[Path | None, typer.Option("--from", help="Take the files from this folder instead.")] = None,
    listing: Annotated[bool, typer.Option("--list", help="List every file with size, state and licence.")] = False,
    missing: Annotated[bool, typer.Option("--missing", help="List only the files that are not there.")] = False,
) -> None:
    """Get data and weights: the only command that uses the network."""
    from bench.cli.listing import file_table
    from bench.core.terminal import show
    from bench.data.fetch import fetch as fetching

    if listing or missing:
        show(file_table(fetching.missing(names or []) if missing else fetching.listing(names or [])))
    elif not names:
        raise BenchError("nothing named to fetch", "name groups, tasks or files: fetch inception; see fetch --list")
    else:
        fetching.fetch(names, from_dir)


@app.command()
def doctor(
    json_file: Annotated[
        str, typer.Option("--json", help="Write the record to this file, too; -: print it instead of the table.")
    ] = "",
) -> None:
    """Compute every metric on cases whose answers are known.

    With the libraries that are installed here.
    """
    from bench.evaluation.self_test.doctor import report

    raise typer.Exit(report(json_file))


@app.command()
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
    from bench.checks.conform.report import report

    raise typer.Exit(report(method, overrides or [], whole_numbers("--size", sizes, "32,64"), split(only), json_file))


baseline = typer.Typer(
    help="Store trainings that later ones are compared with.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(baseline, name="baseline")


@baseline.command("save")
def save_baseline(
    name: Annotated[str, typer.Argument(help="Name of the new baseline.")],
    task: TaskOption,
    methods: MethodsOption = "",
    seeds: Annotated[str, typer.Option(help="Such as 0,1,2 or 0-19; default: all that every method has.")] = "",
    preset: PresetOption = "quick",
    data: Annotated[str, typer.Option(help="As for run; default: what the results are of.")] = "",
    domains: DomainsOption = "",
    budget: Annotated[str, typer.Option(help="As for run; default: what the results are of.")] = "",
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Store the values of finished trainings. Trains nothing.

    Seed by seed, in baselines/NAME of the results.
    """
    from bench.checks.gate.save import SaveRequest, save

    chosen = seed_list(seeds) if seeds else ()
    raise typer.Exit(save(SaveRequest(name, task, split(methods), chosen, preset, data, domains, budget, results)))


@baseline.command("list")
def list_baselines(results: ResultsOption = DEFAULT_RESULTS) -> None:
    """List the baselines: in the results, and in the package."""
    from bench.checks.gate.save import list_baselines

    print(list_baselines(results))


@app.command(cls=DecidingCommand)
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
    from bench.checks.gate.command import CheckRequest, check

    chosen = seed_list(seeds) if seeds else ()
    request = CheckRequest(baseline, rerun, code_only, chosen, data, device, jobs, results, out, junit, json_file)
    raise typer.Exit(check(request))


def main() -> None:
    """Entry point; bench.core.exit_status says what becomes of an error."""
    wish = Wish()

    def command() -> None:
        prefer_own_packages()
        app(prog_name=completion.program_name(), obj=wish)

    ended(command, wish)
