"""Whether the paper's own numbers bear its claims out: the same formulas on its printed values, without a test.

The paper prints no deviations, so that "yes" says that the values are in that order, and no more. Its bar charts have
no printed values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from bench.reporting.claims.formula import (
    Claim,
    ClaimSubject,
    Comparison,
    Formula,
    FormulaEvery,
    FormulaSome,
    formulas_of_claim,
)
from bench.reporting.paper.published import Published
from bench.reporting.paper.shapes import SHAPES
from bench.reporting.paper.values import places_of_values
from bench.spec.tasks import get_task

Value = tuple[float, str]
"""A number, and as it is printed."""
Answer = Literal["yes", "no", "not printed"]


@dataclass(frozen=True)
class PublishedCheck:
    """What the published values say of a claim."""

    answer: Answer
    against: tuple[str, ...] = ()
    """The values that speak against it."""


@cache
def check_published(claim: Claim) -> PublishedCheck:
    """Check a claim: `no` if a printed value is against it, `yes` if all that it needs are printed."""
    task = get_task(claim.task)
    formula = formulas_of_claim(claim, task.domains, task.classes)
    if formula is None:
        return PublishedCheck("not printed")
    holds = _holds(claim, formula)
    if holds is not False:
        return PublishedCheck("not printed" if holds is None else "yes")
    return PublishedCheck("no", tuple(_told(claim, leaf) for leaf in _against(claim, formula)))


def _holds(claim: Claim, formula: Formula[Comparison]) -> bool | None:
    """None: it depends on what is not printed."""
    if isinstance(formula, FormulaEvery | FormulaSome):
        decisive = isinstance(formula, FormulaSome)
        parts = [_holds(claim, part) for part in formula.parts]
        return decisive if decisive in parts else None if None in parts else not decisive
    one, other = _values(claim, formula)
    if one is None or other is None:
        return None
    difference = one[0] - other[0] if claim.measure.higher_is_better else other[0] - one[0]
    return difference > formula.pair.by


def _against(claim: Claim, formula: Formula[Comparison]) -> Iterator[Comparison]:
    if isinstance(formula, FormulaEvery | FormulaSome):
        for part in formula.parts:
            if _holds(claim, part) is False:
                yield from _against(claim, part)
    else:
        yield formula


def _told(claim: Claim, leaf: Comparison) -> str:
    """`sketch->real: cats_udt 58.69, cats_udt:no_sty 53.43`."""
    sides = zip((leaf.pair.better, leaf.pair.than), _values(claim, leaf), strict=True)
    texts = [f"{side.first.label} {value[1]}" for side, value in sides if isinstance(side, ClaimSubject) and value]
    return f"{leaf.at}: {', '.join(texts)}"


def _values(claim: Claim, leaf: Comparison) -> tuple[Value | None, Value | None]:
    """The printed values of both sides."""
    than = leaf.pair.than
    other = _value(claim, than, leaf) if isinstance(than, ClaimSubject) else (than, f"{than:g}")
    return _value(claim, leaf.pair.better, leaf), other


def _value(claim: Claim, subject: ClaimSubject, leaf: Comparison) -> Value | None:
    """The printed value in the first of the claim's tables that has it."""
    if subject.first.settings:
        return None
    key = (subject.first.method, claim.task, leaf.place, leaf.label, claim.measure.metric)
    for table in claim.printed:
        if number := _by_key().get((key, table)):
            return number.value, f"{number.value:.{number.decimals}f}"
    return None


@cache
def _by_key() -> dict[tuple[tuple[str, str, str, str, str], str], Published]:
    """((method, task, direction, label, metric), table) -> the number."""
    every = [place for shape in SHAPES.values() for place in places_of_values(shape().lines)]
    return {
        (
            (one.candidates[0], one.task, one.direction, one.label, one.published.metric),
            one.published.table,
        ): one.published
        for one in every
    }
