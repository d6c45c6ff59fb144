"""The leaderboards of a task from what is stored of it. Nothing in them was typed by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.files import write_text
from bench.reporting.leaderboard.board import Board, render_boards
from bench.reporting.leaderboard.build import build_board
from bench.store.index import read_index
from bench.store.query import Setting, query_settings

__all__ = ["Board", "all_leaderboards", "leaderboards", "render_boards", "write_leaderboards"]


def all_leaderboards(root: Path, task: str, wanted: Callable[[Setting], bool] = lambda setting: True) -> list[Board]:
    """One board per setting (data, size, preset, budget) that `task` was run in and that is `wanted`.

    Raises BenchError if there is none, and cells that cannot be read.
    """
    records = read_index(root, task)
    boards = [build_board(task, group) for group in query_settings(records, wanted)]
    if records.complaints and not boards:
        raise BenchError(
            f"nothing of {task} in {root} can be shown; left out: {'; '.join(records.complaints)}",
            "restore these files, or remove their cells' folders and run again",
        )
    return boards


def leaderboards(root: Path, task: str) -> list[str]:
    """The boards of every setting as Markdown; empty if `task` was never run."""
    return [render_boards([board], "markdown") for board in all_leaderboards(root, task)]


def write_leaderboards(root: Path, task: str) -> Path:
    """`root/leaderboards/<task>.md` with every leaderboard of `task`; returns its path."""
    path = root / "leaderboards" / f"{task}.md"
    write_text(path, "\n".join(leaderboards(root, task)))
    return path
