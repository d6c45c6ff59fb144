"""The exceptions that end a command: one that a user can mend, and one for a user who wants to stop."""

import signal
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
MOST_SHOWN = 20
"""Problems that are printed: more would push the remedy off the screen."""


class BenchError(Exception):
    """Something the user can mend: `what` went wrong and where, and the `remedy`, what to type or change next.

    The command line prints it as two lines (several faults of one kind: as several) and exits with status 2; nothing
    was written half.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return "\n".join([*_first(self.what.split("\n")), *(f"  {line}" for line in _first(self.remedy.split("\n")))])


class Interrupted(Exception):
    """SIGTERM or SIGINT arrived in mid-training; the state was saved."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"interrupted by {signal.Signals(self.number).name}; saved: the same command resumes"


def in_turn(orders: Iterable[T], work: Callable[[T], bool]) -> bool:
    """`work` of every order; True if every call returned True. Fails as `each` does."""
    return all(each(orders, work))


def each(orders: Iterable[T], work: Callable[[T], R]) -> list[R]:
    """`work` of every order.

    Goes on with the others when one raises a BenchError, and raises one at the end that names all failures.
    """
    outcomes, failures = list[R](), list[BenchError]()
    for order in orders:
        try:
            outcomes.append(work(order))
        except BenchError as error:
            failures.append(error)
    if failures:
        raise joined(failures)
    return outcomes


def joined(failures: Sequence[BenchError]) -> BenchError:
    """One error for all of `failures`: a line for each problem, and one for each remedy, each once."""
    if len(failures) == 1:
        return failures[0]
    what = dict.fromkeys(line for error in failures for line in error.what.split("\n"))
    remedies = dict.fromkeys(line for error in failures for line in error.remedy.split("\n"))
    return BenchError("\n".join(what), "\n".join(remedies))


def _first(lines: Sequence[str]) -> Sequence[str]:
    return lines if len(lines) <= MOST_SHOWN else [*lines[:MOST_SHOWN], f"... and {len(lines) - MOST_SHOWN} more"]


def nearest(name: str, valid: list[str]) -> str:
    """The part of an "unknown name" error that helps: the closest valid name, and all of them."""
    from difflib import get_close_matches

    close = get_close_matches(name, valid, n=1, cutoff=0.5)
    listing = ", ".join(valid) if valid else "(none)"
    return (f"did you mean '{close[0]}'? " if close else "") + f"valid: {listing}"
