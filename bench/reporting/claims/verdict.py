"""The statistics of a verdict, as functions of the values of trainings.

**The unit is a whole training** (a seed): only other trainings say whether a method would win again.

**One comparison** ("A is better than B by more than m") is a difference of means with one-sided t-tests at `LEVEL`:
p-value of no larger difference than m, and `opposite`, that of no smaller one.

- Welch's test, where A and B are different methods: trainings of the same seed share the order of images there, and
  hardly more, and a pairing would cost half of the few degrees of freedom.
- The t-test of differences seed by seed, where both are variants of one method: a seed then decides the clusters that
  both learn, and their first weights, so that values of one seed are not independent, as Welch's test takes them to be.
  This is fixed by the names, before any value is seen. Without two common seeds it is Welch's.
- **A failed training counts as worse than any that ended.** No mean can hold that: if a training of either side
  diverged or collapsed, the test is the exact one of rank sums (Wilcoxon, Mann & Whitney; ties share their rank), in
  which failed ones have the lowest rank (Lachin 1999) and tie with one another. The difference that is shown is that
  of the trainings that ended. Crashes and trainings that still run are no failures of the method: they are missing.
- Below two trainings on a side there is no test. Nor is there where all values agree to the last digit, on both sides:
  they have no scale to measure a difference by.

**A sentence** is a formula of comparisons.

- Every part must hold: an intersection-union test. It holds if each part does at `LEVEL`, and needs no correction,
  for it is wrong only if a certain part of it is. It fails if one part is significantly opposite, by Holm's correction
  over all parts, of which the smallest p-value alone decides: times the number of parts.
- One part must hold: the other way about. It holds by the smallest p-value times the number of parts; it fails if
  each part does.
- What was not tested has the p-value 1 on both sides.

So a true sentence is said to fail, or a false one to hold, in at most 5 of 100 cases each, if values are normally
distributed (ranks: if the two sides are distributed alike). It is not corrected for the number of sentences, and not
for trainings that were added until a verdict was reached.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from bench.reporting.claims.formula import Formula, FormulaEvery, FormulaSome, Leaf, formula_leaves
from metrics.statistics.two_samples import rank_sum, sample_moments, welch

LEVEL = 0.05
FEWEST = 2
"""Trainings of a side."""
NO_SCALE = 1e-12
"""A deviation below this share of the values is rounding."""

Outcome = Literal["holds", "fails", "cannot decide"]


@dataclass(frozen=True)
class Sample:
    """The trainings of one side."""

    values: Mapping[int, float]
    """Seed -> value, of those that ended."""
    failed: frozenset[int] = frozenset()
    """Seeds of those that diverged or collapsed."""

    @property
    def trainings(self) -> int:
        """How many there are."""
        return len(self.values) + len(self.failed)


@dataclass(frozen=True)
class ComparisonResult:
    """What the trainings say of one comparison."""

    p: float = 1.0
    """p-value of a difference that is not above the margin."""
    opposite: float = 1.0
    """p-value of a difference that is not below the margin."""
    advantage: float | None = None
    """Mean of the better side less that of the other, positive where it is as claimed."""
    low: float | None = None
    """Lower end of the interval at 1 - 2 `LEVEL`: above the margin where p is below LEVEL."""
    high: float | None = None
    """Upper end: below the margin where `opposite` is below LEVEL."""
    test: str = ""
    """Empty: not tested."""
    why: str = ""
    """Why not."""


def verdict_on_samples(
    better: Sample, than: Sample, higher_is_better: bool, by: float = 0.0, paired: bool = False
) -> ComparisonResult:
    """Whether `better` is better than `than` by more than `by`. `paired`: both are variants of one method."""
    sign = 1 if higher_is_better else -1
    a = {seed: sign * value for seed, value in better.values.items()}
    b = {seed: sign * value for seed, value in than.values.items()}
    shared = sorted(set(a) & set(b))
    advantage = _mean(list(a.values())) - _mean(list(b.values())) if a and b else None
    if min(better.trainings, than.trainings) < FEWEST:
        return ComparisonResult(advantage=advantage, why=f"fewer than {FEWEST} trainings")
    if better.failed or than.failed:
        values = np.array(list(a.values())), np.array(list(b.values())) + by
        p, opposite = rank_sum(*values, len(better.failed), len(than.failed))
        return ComparisonResult(p, opposite, advantage, test="rank sums, failed trainings lowest")
    if paired and len(shared) >= FEWEST:
        differences = [a[seed] - b[seed] for seed in shared]
        return _t_test(differences, by, max(map(abs, [*a.values(), *b.values()])), "paired t")
    return _welch(list(a.values()), list(b.values()), by)


def verdict_on_level(sample: Sample, level: float, higher_is_better: bool, by: float = 0.0) -> ComparisonResult:
    """Whether the mean is better than the fixed `level` by more than `by`. No training may have failed."""
    sign = 1 if higher_is_better else -1
    over = [sign * (value - level) for value in sample.values.values()]
    if sample.failed or len(over) < FEWEST:
        why = "a failed training has no distance to a level" if sample.failed else f"fewer than {FEWEST} trainings"
        return ComparisonResult(advantage=_mean(over) if over else None, why=why)
    return _t_test(over, by, max(map(abs, [*sample.values.values(), level])), "t")


def _t_test(values: list[float], by: float, scale: float, name: str) -> ComparisonResult:
    """t-test of one sample. `scale`: the size of the numbers that `values` are differences of."""
    held = np.array(values)
    deviation = float(held.std(ddof=1))
    return _by_t(_mean(values), deviation / math.sqrt(len(held)), len(held) - 1, by, scale, name)


def _welch(a: list[float], b: list[float], by: float) -> ComparisonResult:
    """Welch's test."""
    tested = welch(sample_moments(a), sample_moments(b))
    scale = max(map(abs, [*a, *b]))
    return _by_t(float(tested.value), float(tested.error), float(tested.freedom), by, scale, "Welch's t")


def _by_t(difference: float, error: float, freedom: float, by: float, scale: float, name: str) -> ComparisonResult:
    if error <= NO_SCALE * scale:
        return ComparisonResult(advantage=difference, why="no scatter to measure a difference by")
    t = (difference - by) / error
    reach = float(stdtrit(freedom, 1 - LEVEL)) * error
    p, opposite = float(stdtr(freedom, -t)), float(stdtr(freedom, t))
    return ComparisonResult(p, opposite, difference, difference - reach, difference + reach, name)


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


# ------------------------------------------------------------------------------------------------------------ verdicts


@dataclass(frozen=True)
class ClaimVerdict(Generic[Leaf]):
    """What the trainings say of a sentence."""

    outcome: Outcome
    p: float
    """That it does not hold; where it fails, that it does; where nothing is decided, that what was tested of it does
    not hold. Corrected as said above; 1 if nothing was tested."""
    deciding: Leaf | None
    """The comparison that p is of; None if nothing was tested."""
    parts: Mapping[Leaf, ComparisonResult] = field(default_factory=dict)


def verdict_on_claim(formula: Formula[Leaf], parts: Mapping[Leaf, ComparisonResult]) -> ClaimVerdict[Leaf]:
    """The verdict on `formula` from the tests of its leaves."""
    p, least_certain = _holds(formula, parts)
    if p <= LEVEL:
        return ClaimVerdict("holds", p, least_certain, parts)
    opposite, most_opposite = _fails(formula, parts)
    if opposite <= LEVEL:
        return ClaimVerdict("fails", opposite, most_opposite, parts)
    rest = _tested(formula, parts)
    known = None if rest is None else _holds(rest, parts)
    return ClaimVerdict("cannot decide", known[0] if known else 1.0, known[1] if known else None, parts)


def _holds(formula: Formula[Leaf], parts: Mapping[Leaf, ComparisonResult]) -> tuple[float, Leaf]:
    """p-value of a formula that is not true, and the leaf it is of."""
    if isinstance(formula, FormulaEvery):
        return max((_holds(part, parts) for part in formula.parts), key=lambda pair: pair[0])
    if isinstance(formula, FormulaSome):
        p, leaf = min((_holds(part, parts) for part in formula.parts), key=lambda pair: pair[0])
        return min(1.0, len(formula.parts) * p), leaf
    return parts[formula].p, formula


def _fails(formula: Formula[Leaf], parts: Mapping[Leaf, ComparisonResult]) -> tuple[float, Leaf]:
    """p-value of a formula that is true, and the leaf it is of."""
    if isinstance(formula, FormulaEvery):
        p, leaf = min((_fails(part, parts) for part in formula.parts), key=lambda pair: pair[0])
        return min(1.0, len(formula.parts) * p), leaf
    if isinstance(formula, FormulaSome):
        return max((_fails(part, parts) for part in formula.parts), key=lambda pair: pair[0])
    return parts[formula].opposite, formula


def _tested(formula: Formula[Leaf], parts: Mapping[Leaf, ComparisonResult]) -> Formula[Leaf] | None:
    """`formula` without what could not be tested; None if nothing is left."""
    if isinstance(formula, FormulaEvery):
        kept = tuple(rest for part in formula.parts if (rest := _tested(part, parts)) is not None)
        return FormulaEvery(kept) if kept else None
    if isinstance(formula, FormulaSome):
        whole = tuple(part for part in formula.parts if all(parts[leaf].test for leaf in formula_leaves(part)))
        return FormulaSome(whole) if whole else None
    return formula if parts[formula].test else None
