"""Exceptions that end a command: a problem that the user can solve, and a signal to stop."""

import re
import signal
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
MOST_SHOWN = 20
"""Problems that are printed at most: more would push the remedy off the screen."""


class BenchError(Exception):
    """A problem that the user can solve: `what` went wrong and where, and the `remedy`, what to type or change next.

    The command line prints it as two lines (more for several problems of one kind) and exits with status 2. No file is
    left half written. Names of files may hold bytes that are not UTF-8, which nothing could print: both texts have
    replacement characters for them.
    """

    def __init__(self, what: str, remedy: str) -> None:
        self.what = _without_surrogates(what)
        self.remedy = _without_surrogates(remedy)
        super().__init__(self.what, self.remedy)

    def __str__(self) -> str:
        return "\n".join([*_first(self.what.split("\n")), *(f"  {line}" for line in _first(self.remedy.split("\n")))])


class Interrupted(Exception):
    """A SIGTERM or SIGINT during training, raised once the state is saved."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"interrupted by {signal.Signals(self.number).name}; saved: the same command resumes"


def _without_surrogates(text: str) -> str:
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def all_true_or_errors(orders: Iterable[T], work: Callable[[T], bool]) -> bool:
    """Call `work` on every order; True if every call returned True. Raises as `results_or_errors` does."""
    return all(results_or_errors(orders, work))


def results_or_errors(orders: Iterable[T], work: Callable[[T], R]) -> list[R]:
    """Results of `work` on every order.

    Goes on with the others when one raises a BenchError, and raises one at the end that names all failures.
    """
    outcomes, failures = list[R](), list[BenchError]()
    for order in orders:
        try:
            outcomes.append(work(order))
        except BenchError as error:
            failures.append(error)
    if failures:
        raise merged_errors(failures)
    return outcomes


def merged_errors(failures: Sequence[BenchError]) -> BenchError:
    """One error for all of `failures`: a line for each problem, and one for each remedy, each once."""
    if len(failures) == 1:
        return failures[0]
    what = dict.fromkeys(line for error in failures for line in error.what.split("\n"))
    remedies = dict.fromkeys(line for error in failures for line in error.remedy.split("\n"))
    return BenchError("\n".join(what), "\n".join(remedies))


def _first(lines: Sequence[str]) -> Sequence[str]:
    return lines if len(lines) <= MOST_SHOWN else [*lines[:MOST_SHOWN], f"... and {len(lines) - MOST_SHOWN} more"]


def error_remedy(name: str, valid: list[str]) -> str:
    """Remedy of an "unknown name" error: the closest valid name, and all valid names."""
    from difflib import get_close_matches

    close = get_close_matches(name, valid, n=1, cutoff=0.5)
    listing = ", ".join(valid) if valid else "(none)"
    return (f"did you mean '{close[0]}'? " if close else "") + f"valid: {listing}"
