"""Progress: bars with rate and time left on a terminal, plain lines otherwise. Rich is imported only for a bar.

Work in a process of its own hands its progress to the process that shows it (`hand_progress_to`, `shown_progress`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

T = TypeVar("T")
Message = (
    tuple[Literal["say"], str]
    | tuple[Literal["begin"], str, int, str, int]
    | tuple[Literal["advance"], str, int]
    | tuple[Literal["note"], str, str]
)
"""`say` text; `begin` label, total, unit, done; `advance` label, count; `note` label, text."""
Listener = Callable[[Message], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)

WIDE = 90
"""Columns of a terminal that have room for a bar."""
BESIDE_NAME = 62
"""Columns of a bar, counts, a rate and a time, with the gaps between them."""
BESIDE_NAME_NARROW = 16
"""Columns of a percentage and a time, with the gaps."""
SECONDS_BETWEEN_LINES = 15.0
LONGEST_NOTE = 60
"""Characters of a note beside a bar."""
SHORTEST_REPORTED = 2.0
"""Seconds since the previous line below which no last line is printed."""


class Advance:
    """What the work calls: with the number of things that are done since the last call."""

    def __init__(self, advance: Callable[[int], None], note: Callable[[str], None] = lambda text: None) -> None:
        """`note`: takes a few words on how the work stands, which are shown beside its progress."""
        self._advance, self.note = advance, note

    def __call__(self, count: int) -> None:
        self._advance(count)


def say(text: str) -> None:
    """One plain line to standard error, at once. Standard output is kept for results."""
    listener = _listener.get()
    if listener is not None:
        listener(("say", text))
    else:
        print(text, file=sys.stderr, flush=True)


@contextmanager
def progress(label: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
    """Show the progress of some work; yields `advance(count)`. `done` of `total` were finished by an earlier run."""
    listener = _listener.get()
    if listener is not None:
        listener(("begin", label, total, unit, done))
        yield Advance(lambda count: listener(("advance", label, count)), lambda text: listener(("note", label, text)))
    elif sys.stderr.isatty():
        with shown_progress() as show:
            show(("begin", label, total, unit, done))
            yield Advance(lambda count: show(("advance", label, count)), lambda text: show(("note", label, text)))
    else:
        yield _lines(label, total, unit, done)


def track_progress(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    """Yield `items` and show the progress over them."""
    with progress(label, total, "images") as advance:
        for item in items:
            yield item
            advance(1)


def hand_progress_to(listener: Listener) -> None:
    """Send the progress and lines of this context to `listener` instead of standard error."""
    _listener.set(listener)


@contextmanager
def shown_progress() -> Iterator[Listener]:
    """Show bars on the terminal, one per label; yields the listener that they follow."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    console = Console(stderr=True)  # heeds NO_COLOR and TERM=dumb
    tasks: dict[str, TaskID] = {}
    units: dict[str, str] = {}
    with Progress(*_columns(console.width), console=console) as bars:

        def show(message: Message) -> None:
            if message[0] == "say":
                console.print(message[1], markup=False, highlight=False)
            elif message[0] == "begin":
                _, label, total, unit, done = message
                if label in tasks:
                    bars.remove_task(tasks[label])
                tasks[label], units[label] = bars.add_task(label, total=total, completed=done, rate="", note=""), unit
            elif message[0] == "note":
                _, label, text = message
                bars.update(tasks[label], note=text[:LONGEST_NOTE])
            else:
                _, label, count = message
                speed = bars.tasks[bars.task_ids.index(tasks[label])].speed
                bars.update(tasks[label], advance=count, rate=f"{speed:.1f} {units[label]}/s" if speed else "")

        yield show


def _columns(width: int) -> list[ProgressColumn]:
    """Columns of a bar on a terminal of that `width`: all, or name, percentage and time left on a narrow one."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.table import Column

    if width >= WIDE:
        name = Column(no_wrap=True, overflow="ellipsis", max_width=width - BESIDE_NAME)
        texts = (MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), *_note_column(width))
        return [TextColumn("{task.description}", table_column=name), BarColumn(bar_width=20), *texts]
    name = Column(no_wrap=True, overflow="ellipsis", max_width=max(width - BESIDE_NAME_NARROW, 1))
    share = TextColumn("{task.percentage:3.0f} %")
    return [TextColumn("{task.description}", table_column=name), share, TimeRemainingColumn(compact=True)]


def _note_column(width: int) -> list[ProgressColumn]:
    """The notes, where there is room for them beside a name and all else."""
    from rich.progress import TextColumn
    from rich.table import Column

    column = Column(no_wrap=True, overflow="ellipsis")
    return [TextColumn("{task.fields[note]}", table_column=column)] if width >= WIDE + LONGEST_NOTE else []


def _lines(label: str, total: int, unit: str, done: int) -> Advance:
    noted = ""
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
        say(f"{label}: {current}/{total} {unit}, {rate:.1f} {unit}/s, {left:.0f} s left{noted}")

    def note(text: str) -> None:
        nonlocal noted
        noted = f"; {text}" if text else ""

    return Advance(advance, note)
