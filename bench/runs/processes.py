"""Several cells at once on one machine, each in a process of its own: a crash, whatever its kind, costs one row."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import TypeVar

from bench.core.errors import Interrupted
from bench.core.exit_status import error_exit_status
from bench.core.progress import Listener, Message, hand_progress_to, say, shown_progress
from bench.core.signals import stop_signals

Order = TypeVar("Order")
POLL_SECONDS = 0.5


def run_in_processes(orders: Sequence[Order], work: Callable[[Order], bool], at_once: int) -> bool:
    """Call `work(order)` for every order, `at_once` of them at a time; True if every call returned True.

    `work` is a module's function, and orders can be pickled. What a child raises is printed by it and counts as False.
    SIGTERM and SIGINT are handed on: the children save their state, and then Interrupted is raised here. If this
    process dies without a word, the children notice, save and end.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's thread pools in an unknown state
    waiting, running, results = list(orders), list[_Child](), list[bool]()
    # Bars of several processes would overwrite each other: on a terminal this process draws them all.
    with stop_signals() as stop, shown_progress() if sys.stderr.isatty() else nullcontext() as show:
        while (waiting and not stop) or running:
            while waiting and not stop and len(running) < at_once:
                running.append(_Child(context, work, waiting.pop(0), show))
            wait([handle for child in running for handle in child.handles()], POLL_SECONDS)
            for child in list(running):
                child.relay()
                if stop:
                    child.stop()
                if child.ended():
                    running.remove(child)
                    results.append(child.succeeded())
    if stop:
        raise Interrupted(stop[0])
    return all(results)


class _Child:
    """A running process, and the pipe that brings its progress if this process shows it."""

    def __init__(
        self, context: SpawnContext, work: Callable[[Order], bool], order: Order, show: Listener | None
    ) -> None:
        self.show = show
        self.receiver: Connection | None = None
        self.stopped = False
        sender: Connection | None = None
        if show is not None:
            self.receiver, sender = context.Pipe(duplex=False)
        self.process: SpawnProcess = context.Process(target=_child, args=(work, order, sender))
        self.process.start()
        if sender is not None:
            sender.close()  # the child has its own; ours would hide the end of its messages

    def handles(self) -> list[Connection | int]:
        """Handles that are ready when the process has ended or sent a message."""
        return [self.process.sentinel, *([self.receiver] if self.receiver is not None else [])]

    def relay(self) -> None:
        """Show the messages that have arrived."""
        while self.receiver is not None and self.show is not None and self.receiver.poll():
            try:
                self.show(self.receiver.recv())
            except (EOFError, OSError):  # the second: killed in the middle of a message
                self.receiver.close()
                self.receiver = None

    def stop(self) -> None:
        """Ask it to save and end; once, because a second request would end it at once."""
        if not self.stopped:
            self.process.terminate()
            self.stopped = True

    def ended(self) -> bool:
        """Whether it is over."""
        return not self.process.is_alive()

    def succeeded(self) -> bool:
        """Whether its work returned True. A death by signal is reported here, because it could not report it."""
        self.process.join()
        code = self.process.exitcode
        if code is not None and code < 0:
            text = f"a cell's process was killed by {signal.Signals(-code).name}: run again to resume it"
            if self.show is not None:
                self.show(("say", text))
            else:
                say(text)
        return code == 0


def _child(work: Callable[[Order], bool], order: Order, sender: Connection | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to every process; the parent hands it on
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if sender is not None:
        hand_progress_to(_through(sender))
    try:
        sys.exit(0 if work(order) else 1)
    except Exception as error:
        status, text = error_exit_status(error)
        say(text)
        sys.exit(status)


def _through(sender: Connection) -> Listener:
    """A listener that sends messages until nobody reads them: the parent is gone, and SIGTERM is on its way."""
    gone = False

    def send(message: Message) -> None:
        nonlocal gone
        if not gone:
            try:
                sender.send(message)
            except OSError:
                gone = True

    return send


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
