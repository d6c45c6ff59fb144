"""`bench table`: a leaderboard or a table of the paper, in one of four forms, printed or written to a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.atomic import write_text
from bench.errors import BenchError, nearest
from bench.pools import Setting
from bench.presets import PRESETS
from bench.progress import say
from bench.tables.paper_notes import Options
from bench.tables.render import FORMATS, render
from bench.tasks import get_task

SHORT = {"md": "markdown", "tex": "latex"}
KINDS = ("embedded", "mnist-drawn", "real")
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>udt-bench: {title}</title>
</head>
<body>
{body}</body>
</html>
"""


@dataclass(frozen=True)
class TableRequest:
    """What the user asked for, as typed."""

    task: str
    """Task name, or empty."""
    paper: str
    """Table of the paper, or empty: one of both."""
    form: str
    """`md`, `latex`, `csv` or `html`; empty: as the suffix of `out` says, else `md`."""
    out: Path | None
    """File to write instead of printing."""
    preset: str
    """Only cells of this preset; empty: any."""
    data: str
    """Only cells of this kind of data (`embedded`, `mnist-drawn`, `real`); empty: any."""
    budget: str
    """Only cells of this training length (`images=N`); empty: any."""
    results: Path
    """The results folder."""

    def wants(self, setting: Setting) -> bool:
        """Whether a setting may stand in the table."""
        wanted = ((self.preset, setting.preset), (self.data, setting.data_kind), (self.budget, setting.budget))
        return all(asked in ("", has) for asked, has in wanted)


def make_table(request: TableRequest) -> int:
    """Print or write it; returns 0. Raises BenchError if the request cannot be met: nothing is written then."""
    if bool(request.task) == bool(request.paper):
        raise BenchError(
            "a leaderboard or a table of the paper: name one of them",
            "--task T for the leaderboard of a task (see: list tasks), or --paper 1, 2, 3a, 3b, 4 or text",
        )
    form = _form(request)
    for option, value, valid in (("--preset", request.preset, PRESETS), ("--data", request.data, KINDS)):
        if value and value not in valid:
            raise BenchError(f"{option} {value!r} is not understood", nearest(value, list(valid)))
    text = _leaderboard(request, form) if request.task else _paper(request, form)
    if form == "html":
        text = PAGE.format(title=request.task or f"table {request.paper} of the paper", body=text)
    if request.out is None:
        print(text, end="")
    else:
        write_text(request.out, text)
        say(f"table: {request.out}")
    return 0


def _form(request: TableRequest) -> str:
    by_suffix = {suffix: name for name, (suffix, _) in FORMATS.items()}
    if not request.form:
        return by_suffix.get(request.out.suffix if request.out else "", "markdown")
    form = SHORT.get(request.form, request.form)
    if form not in FORMATS:
        raise BenchError(f"--format {request.form!r} is not understood", nearest(request.form, ["md", *FORMATS]))
    return form


def _leaderboard(request: TableRequest, form: str) -> str:
    from bench.leaderboard import boards, render_boards

    task = get_task(request.task).name
    found = boards(request.results, task, request.wants)
    if not found:
        asked = [f"--{name} {value}" for name in ("preset", "data", "budget") if (value := getattr(request, name))]
        data = f" --data {request.data}" if request.data in ("embedded", "mnist-drawn") else ""
        preset = f" --preset {request.preset}" if request.preset else ""
        raise BenchError(
            f"no results of {task} in {request.results}" + (f" with {' '.join(asked)}" if asked else ""),
            f"python -m bench run --task {task}{preset}{data}",
        )
    return render_boards(found, form)


def _paper(request: TableRequest, form: str) -> str:
    from bench.tables.stored import stored_tables

    data = f" --data {request.data}" if request.data in ("embedded", "mnist-drawn") else ""
    unmeasured = Options(f"--preset {request.preset or 'paper'}{data}", request.budget and f"--budget {request.budget}")
    tables = stored_tables(request.results, request.paper, request.wants, unmeasured)
    texts = [render(table, form) for table in tables]
    if form == "csv":
        return texts[0] + "".join(text.partition("\n")[2] for text in texts[1:])
    return "\n".join(texts)
