"""Several cells at once on one machine, each in a process of its own: a crash, whatever its kind, costs one row."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import TypeVar

from bench.errors import BenchError, Interrupted
from bench.progress import say
from bench.signals import stop_signals

Order = TypeVar("Order")
POLL_SECONDS = 0.5


def run_in_processes(orders: Sequence[Order], work: Callable[[Order], bool], at_once: int) -> bool:
    """Call `work(order)` for every order, `at_once` of them at a time; True if every call returned True.

    `work` is a module's function, and orders can be pickled. What a child raises is printed by it and counts as False.
    SIGTERM and SIGINT are handed on: the children save their state, and then Interrupted is raised here. If this
    process dies without a word, the children notice, save and end.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's thread pools in an unknown state
    waiting, running, results = list(orders), list[SpawnProcess](), list[bool]()
    with stop_signals() as stop:
        while (waiting and not stop) or running:
            while waiting and not stop and len(running) < at_once:
                child = context.Process(target=_child, args=(work, waiting.pop(0)))
                child.start()
                running.append(child)
            wait([child.sentinel for child in running], POLL_SECONDS)
            if stop:
                for child in running:
                    child.terminate()
            for child in [child for child in running if not child.is_alive()]:
                running.remove(child)
                child.join()
                if child.exitcode is not None and child.exitcode < 0:
                    say(
                        f"a cell's process was killed by {signal.Signals(-child.exitcode).name}: run again to resume it"
                    )
                results.append(child.exitcode == 0)
    if stop:
        raise Interrupted(stop[0])
    return all(results)


def _child(work: Callable[[Order], bool], order: Order) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        sys.exit(0 if work(order) else 1)
    except BenchError as error:
        say(f"error: {error}")
        sys.exit(2)
    except Interrupted as stop:
        say(str(stop))
        sys.exit(128 + stop.number)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
