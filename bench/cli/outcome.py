"""What a finished command prints: the leaderboards of its task, and the methods that could not be trained."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.progress import say
from bench.reporting.leaderboard.first_screen import first_screen
from bench.reporting.leaderboard.leaderboards import leaderboards, write_leaderboards
from bench.store.query import Setting

if TYPE_CHECKING:
    from bench.runs.run import RunOutcome


def show_outcome(results: Path, outcome: RunOutcome, wanted: Callable[[Setting], bool] = lambda setting: True) -> int:
    """Print the leaderboards and what failed. Returns the exit status: 0, or 1 if anything failed."""
    show_outcome_leaderboards(results, outcome.task, wanted)
    return max(show_broken_methods(outcome.broken), 0 if outcome.good else 1)


def show_outcome_leaderboards(
    results: Path, task: str, wanted: Callable[[Setting], bool] = lambda setting: True
) -> None:
    """Write and print the leaderboards of `task`; on a terminal the first screen of the newest `wanted` setting."""
    path = write_leaderboards(results, task)
    if sys.stdout.isatty():
        print(first_screen(results, task, shutil.get_terminal_size().columns, wanted))
    else:
        print("\n".join(leaderboards(results, task)))
    say(f"leaderboard: {path}")


def show_broken_methods(broken: Mapping[str, str]) -> int:
    """Print the methods that cannot be imported, and why. Returns the exit status: 0, or 1 if there are any."""
    for name, reason in broken.items():
        print(f"\nfailed: {name}: {reason}")
    return 1 if broken else 0
