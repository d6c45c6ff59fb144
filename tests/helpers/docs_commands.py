"""The commands that the documentation shows, and whether each could be typed: its options, and the names in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer.main

from bench.cli.commands import app
from bench.cli.listing import LISTINGS
from bench.core.errors import BenchError
from bench.data.fetch.fetch import list_fetchable
from bench.reporting.figures import figures
from bench.reporting.paper.shapes import SHAPES
from bench.reporting.tables.output import KINDS
from bench.runs.request import Request, request_settings
from bench.runs.sweep.file import find_sweep_file
from bench.spec.protocols import select_protocols
from bench.spec.run_spec import Budget
from bench.spec.tasks import get_task

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", flags=re.MULTILINE | re.DOTALL)
OURS = (("python", "-m", "bench"), ("udt-bench",))
OTHERS = (
    "python3 -m venv", ". .venv", "pip ", "tox", "pytest", "git ", "cd ", "export ", "python docs/generate.py",
    "cosmic-ray ", "cr-report ",
)  # fmt: skip
"""Beginnings of lines that are no command of ours. They are not tested here."""
THEIRS = ("my_package.", "my_sweep.yaml", "my_images", "pacs_folder")
"""What a reader puts in place of their own."""


@dataclass(frozen=True)
class Shown:
    """A command in a page."""

    page: str
    arguments: tuple[str, ...]
    """What follows `python -m bench`."""

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.arguments)}"


def pages() -> list[Path]:
    """Everything that tells a reader what to type."""
    return [
        *sorted(DOCS.rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md",
        ROOT / "examples" / "outside_method" / "README.md",
    ]  # fmt: skip


def shown(text: str, page: str) -> Iterator[Shown]:
    """The commands of ours in the fenced blocks of `text`; raises ValueError for a line that is no known program's.

    Blocks of another language than the shell's are passed over; one without a language if it does not begin with a
    known program.
    """
    for _, language, body in FENCE.findall(text):
        if language not in ("", "sh", "console"):
            continue
        lines = [line.strip().removeprefix("$ ") for line in body.replace("\\\n", " ").split("\n") if line.strip()]
        if language == "" and not lines[0].startswith((*OTHERS, *(" ".join(own) for own in OURS))):
            continue
        for part in (part for line in lines for part in line.split("&&")):
            words = tuple(shlex.split(part, comments=True))
            own = next((own for own in OURS if words[: len(own)] == own), None)
            if own is not None:
                yield Shown(page, words[len(own) :])
            elif words and not " ".join(words).startswith(OTHERS):
                raise ValueError(f"{page}: what is this? {part}")


def commands() -> list[Shown]:
    """All commands of all pages, each once."""
    found: dict[tuple[str, ...], Shown] = {}
    for page in pages():
        for command in shown(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT))):
            found.setdefault(command.arguments, command)
    return list(found.values())


def check(arguments: tuple[str, ...]) -> None:
    """Parse `arguments` as the command line does, run nothing, and look up the names in them.

    Raises a usage error of the parser, BenchError or AssertionError for what could not be typed.
    """
    group: Any = typer.main.get_command(app)
    own = [word for word in arguments if word not in ("--help", "--version")]
    own = own[:-2] if own[:1] == ["--show-completion"] else [word for word in own if word != "--install-completion"]
    if not own:
        return
    context = group.make_context("udt-bench", own)
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    while hasattr(command, "commands") and rest:  # a group in the group
        context = command.make_context(name, list(rest), parent=context)
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    if "--help" not in arguments:
        _check_names(name, command.make_context(name, list(rest), parent=context).params)


def _check_names(command: str, values: Mapping[str, Any]) -> None:
    """Every name in a command's options is one that there is."""
    task, preset = values.get("task") or "", values.get("preset") or ""
    methods = values.get("methods") or values.get("method") or ""
    if command == "compare":
        methods = f"{values['first']},{values['second']}"
    names = tuple(name for name in methods.split(",") if name and not name.startswith(THEIRS))
    names = tuple(name for name in names if not name.startswith("colour_transfer"))  # test_outside_method.py runs it
    if task.startswith(THEIRS):
        task = ""
    elif task:
        get_task(task)
    if values.get("budget"):
        Budget.parse(values["budget"])
    asked = (values.get("protocols") or "").split(",")
    select_protocols(tuple(name for name in asked if name and not name.startswith(THEIRS)))
    request = Request(
        task=task or "sketch2real", methods=names or ("cyclegan",), preset=preset or "quick", data="embedded",
        seeds=(0,), overrides=tuple(values.get("overrides") or ()), device="cpu", results=Path("results"),
    )  # fmt: skip
    if command not in ("report", "list", "fetch", "doctor"):
        assert not request_settings(request)[1], "a method cannot be imported"
    _check_own(command, values)


def _check_own(command: str, values: Mapping[str, Any]) -> None:
    """What only this command has."""
    if command == "sweep" and values["name"] and values["name"] not in THEIRS:
        find_sweep_file(values["name"])
    elif command == "figure" and values["name"]:
        assert values["name"] in figures.FIGURES, values["name"]
    elif command == "table" and values["paper"]:
        assert values["paper"] in SHAPES, values["paper"]
    elif command == "list":
        assert values["what"] in LISTINGS, values["what"]
    elif command == "fetch":
        list_fetchable(values["names"] or [])
    elif command == "semantics":
        assert values["stage"] in ("", "imsat", "moco", "features", "spectral", "adaptation"), values["stage"]
    if command in ("table", "claims") and values["data"] and values["data"] not in KINDS:
        raise BenchError(f"no such data: {values['data']}", "see table --help")
