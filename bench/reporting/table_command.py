"""`bench table`: a leaderboard or a table of the paper, in one of four forms, printed or written to a file."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.progress import say
from bench.reporting.setting import DRAWN, setting_command
from bench.reporting.tables.output import deliver_output, joined_output, output_form, unmeasured_in_output, wants_output
from bench.spec.tasks import get_task
from bench.spec.where import Where
from bench.store.query import Setting


@dataclass(frozen=True, kw_only=True)
class TableRequest(Where):
    """What the user asked for, as typed."""

    paper: str
    """Table of the paper, or empty: one of both."""
    form: str
    """`md`, `latex`, `csv` or `html`; empty: as the suffix of `out` says, else `md`."""
    out: Path | None
    """File to write instead of printing."""
    full: bool = False
    """Everything on a terminal, too."""
    tidy: Path | None = None
    """File that gets every single value instead, see bench/reporting/tidy.py."""

    def wants(self, setting: Setting) -> bool:
        """Whether a setting may stand in the table."""
        return wants_output(self, setting)


def run_table_command(request: TableRequest) -> int:
    """Print or write it; returns 0. Raises BenchError if the request cannot be met: nothing is written then."""
    if request.tidy is not None:
        _write_tidy(request, request.tidy)
        return 0
    if bool(request.task) == bool(request.paper):
        raise BenchError(
            "a leaderboard or a table of the paper: name one of them",
            "--task T for the leaderboard of a task (see: list tasks), or --paper 1, 2, 3a, 3b, 4 or text; "
            "--tidy FILE has the values of every task",
        )
    form = output_form(request)
    text = _leaderboard(request, form) if request.task else _paper(request, form)
    if request.task and form == "markdown" and not (request.out or request.full) and sys.stdout.isatty():
        from bench.reporting.leaderboard.first_screen import first_screen

        width = shutil.get_terminal_size().columns
        print(first_screen(request.results, get_task(request.task).name, width, request.wants))
        return 0
    deliver_output(request, text, form, "table", request.task or f"table {request.paper} of the paper")
    return 0


def _leaderboard(request: TableRequest, form: str) -> str:
    from bench.reporting.leaderboard.leaderboards import all_leaderboards, render_boards

    task = get_task(request.task).name
    shown = all_leaderboards(request.results, task, request.wants)
    if not shown:
        raise _nothing(request, task)
    return render_boards(shown, form)


def _nothing(request: TableRequest, task: str) -> BenchError:
    """The error for a request that no result meets; `task`: empty for any."""
    asked = [f"--{name} {value}" for name in ("preset", "data", "budget") if (value := getattr(request, name))]
    data = request.data if request.data in DRAWN else ""
    what = f"no results of {task}" if task else "no results"
    return BenchError(
        f"{what} in {request.results}" + (f" with {' '.join(asked)}" if asked else ""),
        setting_command("run", task=task or "TASK", preset=request.preset, data=data),
    )


def _write_tidy(request: TableRequest, path: Path) -> None:
    """Write every single value. Raises BenchError before anything is read if the request cannot be met."""
    from bench.reporting.tidy import check_tidy_file, tidy_results, write_tidy

    if request.paper or request.out or request.form:
        raise BenchError("--tidy does not go with --paper, --out or --format", "table --tidy FILE.csv [--task TASK]")
    output_form(request)  # an unknown preset or kind of data
    check_tidy_file(path)
    task = get_task(request.task).name if request.task else ""
    frame = tidy_results(request.results, task, request.wants)
    if frame.empty:
        raise _nothing(request, task)
    write_tidy(path, frame)
    say(f"values: {path}")


def _paper(request: TableRequest, form: str) -> str:
    from bench.reporting.paper.from_results import tables_from_results

    return joined_output(
        tables_from_results(request.results, request.paper, request.wants, unmeasured_in_output(request)), form
    )
