"""The four answers of the gate, and their combination into one."""

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
        """The text that is shown."""
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
    """Subject of the comparison: a method, a metric, the data."""
    quantity: str
    """Which of its values, as it is shown: `loss generator.adv, step 2`, `accuracy %`."""
    verdict: Verdict
    """The answer from this comparison alone."""
    stored: str
    """The baseline's value, as it is shown; empty if there is none."""
    found: str
    """The value now, as it is shown; empty if there is none."""
    reason: str
    """Reason for the verdict, in a sentence: the limit that was kept or broken, or what was missing."""


def decide_verdict(findings: Sequence[Finding]) -> Verdict:
    """The verdict of all: nothing compared is nothing decided, never a pass.

    What got worse weighs most: one regression is a regression whatever else could not be decided. Then an implausible
    gain (a fault of the measurement more often than a success), then what could not be compared.
    """
    verdicts = {finding.verdict for finding in findings}
    for verdict in (Verdict.REGRESSED, Verdict.IMPLAUSIBLE, Verdict.CANNOT_DECIDE):
        if verdict in verdicts:
            return verdict
    return Verdict.PASS if verdicts else Verdict.CANNOT_DECIDE
