"""What a rehearsal prints: what each cell showed, and whether the table and the report of its results can be made."""

from __future__ import annotations

import shutil
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.core.progress import say
from bench.core.terminal import show_on_terminal
from bench.reporting.leaderboard.leaderboards import write_leaderboards
from bench.reporting.page.page import write_report_page
from bench.runs.rehearse import Rehearsed, rehearsal_text


def show_rehearsal(rehearse: Callable[[Path], tuple[str, Sequence[Rehearsed]]]) -> int:
    """Call `rehearse` with a scratch folder and print what (task, cells) it returns. 0, or 1 if anything failed.

    The folder is removed, unless something failed in it.
    """
    scratch = Path(tempfile.mkdtemp(prefix="udt-bench-rehearsal-"))
    failed = True
    try:
        task, rehearsed = rehearse(scratch)
        problem = _reporting_problem(scratch, task)
        show_on_terminal(rehearsal_text(rehearsed))
        print(problem or "Leaderboard and report were made.")
        failed = bool(problem) or any(row.failure for row in rehearsed)
    finally:
        if failed:
            say(f"what the rehearsal left: {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)
    return 1 if failed else 0


def _reporting_problem(scratch: Path, task: str) -> str:
    """Why the leaderboard or the report cannot be made of what was rehearsed; empty if they can."""
    try:
        write_leaderboards(scratch, task)
        write_report_page(scratch, scratch / "report", task)
    except Exception as error:  # whatever it is, it would have come at the end of a long training
        (scratch / "report-crash.txt").write_text(traceback.format_exc())
        return f"Leaderboard or report would have failed: {type(error).__name__}: {error}"
    return ""
