"""Progress: a bar with rate and time left on a terminal, plain lines otherwise. Rich is imported only for a bar."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from typing import TypeVar

T = TypeVar("T")
Advance = Callable[[int], None]

SECONDS_BETWEEN_LINES = 15.0
SHORTEST_REPORTED = 2.0
"""A last line for work that took less since the previous one would be noise."""


def say(text: str) -> None:
    """One plain line to standard error, at once. Standard output is kept for results."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def progress(label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
    """Yields `advance(count)`; `done` of `total` were finished by an earlier run."""
    if sys.stderr.isatty() and parent_process() is None:  # bars of several processes would overwrite each other
        with _bar(label, total, unit, done) as advance:
            yield advance
    else:
        yield _lines(label, total, unit, done)


def track(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    """`items`, showing the advance over them."""
    with progress(label, total, "images") as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def _bar(label: str, total: int, unit: str, done: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Task as RichTask
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: RichTask) -> Text:
            return Text(f"{task.speed:.1f} {unit}/s" if task.speed else f"- {unit}/s")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(label, total=total, completed=done)
        yield lambda count: shown.advance(task, count)


def _lines(label: str, total: int, unit: str, done: int) -> Advance:
    start = last = time.monotonic()
    first, current = done, done

    def advance(count: int) -> None:
        nonlocal last, current
        current += count
        now = time.monotonic()
        if now - last < (SECONDS_BETWEEN_LINES if current < total else SHORTEST_REPORTED):
            return
        last = now
        rate = (current - first) / max(now - start, 1e-9)
        left = (total - current) / rate if rate else float("inf")
        say(f"{label}: {current}/{total} {unit}, {rate:.1f} {unit}/s, {left:.0f} s left")

    return advance
