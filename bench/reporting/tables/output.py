"""What the commands that print tables share: which settings, in which form, on the terminal or into a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from bench.core.errors import BenchError, error_remedy
from bench.core.files import write_text
from bench.core.progress import say
from bench.core.terminal import show_on_terminal
from bench.reporting.setting import DRAWN, Commands
from bench.reporting.tables.render import FORMATS, render_tables
from bench.reporting.tables.table import Table
from bench.spec.data_kinds import REAL, is_real_data_kind
from bench.spec.presets import PRESETS
from bench.store.query import Setting

SHORT = {"md": "markdown", "tex": "latex"}
KINDS = (*DRAWN, REAL)
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


class OutputRequest(Protocol):
    """What such a command was asked for, as typed."""

    @property
    def form(self) -> str:
        """`md`, `latex`, `csv` or `html`; empty: as the suffix of `out` says, else `md`."""

    @property
    def out(self) -> Path | None:
        """File to write instead of printing."""

    @property
    def preset(self) -> str:
        """Only cells of this preset; empty: any."""

    @property
    def data(self) -> str:
        """Only cells of this kind of data (`embedded`, `mnist-drawn`, `real`); empty: any."""

    @property
    def budget(self) -> str:
        """Only cells of this training length (`images=N`); empty: any."""


def wants_output(asked: OutputRequest, setting: Setting) -> bool:
    """Whether cells of `setting` are asked for."""
    pairs = ((asked.preset, setting.preset), (asked.data, _kind(asked, setting)), (asked.budget, setting.budget))
    return all(wanted in ("", has) for wanted, has in pairs)


def _kind(asked: OutputRequest, setting: Setting) -> str:
    """The kind of data as `--data` names it: `real` stands for other real files, too."""
    return REAL if is_real_data_kind(setting.data_kind) else setting.data_kind


def output_form(asked: OutputRequest) -> str:
    """The name in FORMATS. BenchError for an unknown form, ending, preset or kind of data."""
    for option, value, valid in (("--preset", asked.preset, PRESETS), ("--data", asked.data, KINDS)):
        if value and value not in valid:
            raise BenchError(f"{option} {value!r} is not understood", error_remedy(value, list(valid)))
    if not asked.form:
        return "markdown" if asked.out is None else _form_of_file(asked.out)
    form = SHORT.get(asked.form, asked.form)
    if form not in FORMATS:
        raise BenchError(f"--format {asked.form!r} is not understood", error_remedy(asked.form, ["md", *FORMATS]))
    return form


def _form_of_file(path: Path) -> str:
    by_suffix = {suffix: name for name, (suffix, _) in FORMATS.items()}
    if path.suffix.lower() not in by_suffix:
        raise BenchError(
            f"--out {path}: what form is that?",
            error_remedy(path.suffix, list(by_suffix)) + "; or say it with --format",
        )
    return by_suffix[path.suffix.lower()]


def unmeasured_in_output(asked: OutputRequest) -> Commands:
    """The commands that would measure what a table of the paper lacks."""
    return Commands(asked.preset or "paper", asked.data if asked.data in DRAWN else "", asked.budget)


def joined_output(tables: Sequence[Table], form: str) -> str:
    """All of `tables` as one text; CSV has its header once."""
    texts = [render_tables(table, form) for table in tables]
    if form == "csv":
        return texts[0] + "".join(text.partition("\n")[2] for text in texts[1:])
    return "\n".join(texts)


def deliver_output(asked: OutputRequest, text: str, form: str, what: str, title: str) -> None:
    """Print `text`, an HTML one as a page with `title`, or write it and say where the `what` is."""
    text = PAGE.format(title=title, body=text) if form == "html" else text
    if asked.out is None and form == "markdown":
        show_on_terminal(text.removesuffix("\n"))
    elif asked.out is None:
        print(text, end="")
    else:
        write_text(asked.out, text)
        say(f"{what}: {asked.out}")
