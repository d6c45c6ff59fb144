"""The exit codes of `bench check`: 0 to 3 are its verdicts, so nothing else may use 1 or 2."""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.core import TyperCommand

from bench.checks.gate.verdict import Verdict
from bench.core.errors import Interrupted
from bench.core.exit_status import describe_error


class DecidingCommand(TyperCommand):
    """A command that ends with `cannot decide` when a mistake in its options, or an error, keeps it from a verdict."""

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
            print(describe_error(error)[1], file=sys.stderr)
        raise typer.Exit(int(Verdict.CANNOT_DECIDE))
