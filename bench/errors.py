"""The exceptions that end a command: one that a user can mend, and one for a user who wants to stop."""

import signal
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


class BenchError(Exception):
    """Something the user can mend: `what` went wrong and where, and the `remedy`, what to type or change next.

    The command line prints it as two lines and exits with status 2; nothing was written half.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}\n  {self.remedy}"


class Interrupted(Exception):
    """SIGTERM or SIGINT arrived in mid-training; the state was saved."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"interrupted by {signal.Signals(self.number).name}; saved: the same command resumes"


def in_turn(orders: Iterable[T], work: Callable[[T], bool]) -> bool:
    """`work` of every order; True if every call returned True.

    Goes on with the others when one raises a BenchError, and raises one at the end that names all failures.
    """
    outcomes, failures = list[bool](), list[BenchError]()
    for order in orders:
        try:
            outcomes.append(work(order))
        except BenchError as error:
            failures.append(error)
    if failures:
        raise joined(failures)
    return all(outcomes)


def joined(failures: Sequence[BenchError]) -> BenchError:
    """One error for all of `failures`, each problem and each remedy once."""
    if len(failures) == 1:
        return failures[0]
    what = dict.fromkeys(error.what for error in failures)
    return BenchError("\n".join(what), "; ".join(dict.fromkeys(error.remedy for error in failures)))


def nearest(name: str, valid: list[str]) -> str:
    """The part of an "unknown name" error that helps: the closest valid name, and all of them."""
    from difflib import get_close_matches

    close = get_close_matches(name, valid, n=1, cutoff=0.5)
    listing = ", ".join(valid) if valid else "(none)"
    return (f"did you mean '{close[0]}'? " if close else "") + f"valid: {listing}"
