"""The four answers of the gate, and how single findings make one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal


class Verdict(IntEnum):
    """The value is the exit code of `bench check`."""

    PASS = 0
    REGRESSED = 1
    IMPLAUSIBLE = 2
    CANNOT_DECIDE = 3

    @property
    def words(self) -> str:
        """As it is shown."""
        return {
            Verdict.PASS: "pass",
            Verdict.REGRESSED: "regressed",
            Verdict.IMPLAUSIBLE: "implausibly better",
            Verdict.CANNOT_DECIDE: "cannot decide",
        }[self]


@dataclass(frozen=True)
class Finding:
    """One comparison with the baseline."""

    check: Literal["code", "training"]
    """Which of the two checks made it."""
    subject: str
    """What was looked at: a method, a metric, the data."""
    quantity: str
    """Which of its values, as it is shown: `loss generator.adv, step 2`, `accuracy %`."""
    verdict: Verdict
    """What follows from it alone."""
    stored: str
    """The baseline's value, as it is shown; empty if there is none."""
    found: str
    """The value now, as it is shown; empty if there is none."""
    reason: str
    """Why this verdict, in a sentence: the limit that was kept or broken, or what was missing."""


def overall(findings: Sequence[Finding]) -> Verdict:
    """The verdict of all: nothing compared is nothing decided, never a pass.

    What got worse weighs most: one regression is a regression whatever else could not be decided. Then an implausible
    gain (a fault of the measurement more often than a success), then what could not be compared.
    """
    found = {finding.verdict for finding in findings}
    for verdict in (Verdict.REGRESSED, Verdict.IMPLAUSIBLE, Verdict.CANNOT_DECIDE):
        if verdict in found:
            return verdict
    return Verdict.PASS if found else Verdict.CANNOT_DECIDE
