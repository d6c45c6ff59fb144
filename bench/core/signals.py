"""Graceful stop: SIGTERM and SIGINT are noted, and the running work decides when to end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that holds the number of a SIGTERM or SIGINT once one has arrived; a second one acts at once.

    A signal that is ignored stays ignored.
    """
    received: list[int] = []
    previous: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for noted, handler in previous.items():
            signal.signal(noted, handler)

    try:
        for number in (int(signal.SIGTERM), int(signal.SIGINT)):
            if signal.getsignal(number) != signal.SIG_IGN:
                previous[number] = signal.signal(number, note)
    except ValueError:  # not in the main thread: whoever runs us there handles signals
        yield received
        return
    try:
        yield received
    finally:
        for restored, handler in previous.items():
            signal.signal(restored, handler)
