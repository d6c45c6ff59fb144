"""Timings that other work on the machine moves little: contestants take turns, and ratios are taken turn by turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timings:
    """Seconds of each contestant in each round."""

    seconds: Mapping[str, list[float]]

    def median(self, name: str) -> float:
        """Seconds of one call, the median over rounds."""
        return statistics.median(self.seconds[name])

    def ratio(self, slow: str, fast: str) -> float:
        """How many times as long `slow` took as `fast`: the median of the rounds' ratios."""
        return statistics.median(a / b for a, b in zip(self.seconds[slow], self.seconds[fast], strict=True))

    def ratios(self, slow: str, fast: str) -> tuple[float, float]:
        """The lowest and the highest of the rounds' ratios."""
        found = [a / b for a, b in zip(self.seconds[slow], self.seconds[fast], strict=True)]
        return min(found), max(found)


def take_turns(
    contestants: Mapping[str, Callable[[], object]],
    rounds: int,
    calls: int = 1,
    clock: Callable[[], float] = time.process_time,
) -> Timings:
    """Each contestant `calls` times a round, after one call that does not count; every other round in reverse order.

    The clock is the processor time of this process: with one thread, that of the work itself.
    """
    for call in contestants.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name in list(contestants)[:: -1 if number % 2 else 1]:
            start = clock()
            for _ in range(calls):
                contestants[name]()
            seconds[name].append((clock() - start) / calls)
    return Timings(seconds)
