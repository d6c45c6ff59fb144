"""What a claim is made of: who is compared, by which measure, and how single comparisons make up a sentence.

Every sentence is a formula of one kind of comparison, `FormulaPair`: one side is better than the other by more than a
margin. "About as good" is two of them with a negative margin, a U-shape is a choice of lowest points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, pairwise, permutations
from typing import Generic, TypeAlias, TypeVar

from bench.reporting.paper.shapes import STAGES
from bench.spec.protocols import ALL

Leaf = TypeVar("Leaf")
Other = TypeVar("Other")


@dataclass(frozen=True)
class ClaimCandidate:
    """A method as the preset trains it, but for `settings`."""

    method: str
    """`name[:variant]`, or a semantic stage (`paper.shapes.STAGES`)."""
    settings: tuple[tuple[str, object], ...] = ()
    """(dotted key, value) over the preset's, as by `--set`."""

    @property
    def label(self) -> str:
        """`cats_udt [lambda_sem=10]`."""
        changed = ", ".join(self.changes)
        return f"{self.method} [{changed}]" if changed else self.method

    @property
    def changes(self) -> list[str]:
        """`lambda_sem=10` of each setting."""
        return [f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in self.settings]

    @property
    def is_stage(self) -> bool:
        """Whether it is a semantic stage: its values are cluster-alignment accuracies."""
        return self.method in STAGES.values()


@dataclass(frozen=True)
class ClaimSubject:
    """One side of a comparison."""

    candidates: tuple[ClaimCandidate, ...]
    """What the paper's authors ran; then what may stand in for it."""

    @property
    def first(self) -> ClaimCandidate:
        """What the paper's authors ran."""
        return self.candidates[0]


@dataclass(frozen=True)
class FormulaPair:
    """`better` is better than `than` by more than `by`."""

    better: ClaimSubject
    than: ClaimSubject | float
    """Another subject, or a fixed value."""
    by: float = 0.0
    """Margin in the unit of the measure. Negative: `better` may be worse, by less than that."""

    @property
    def learn_the_same(self) -> bool:
        """Whether both are one method or variants of it, which share what a seed decides: see `verdict.py`."""
        if not isinstance(self.than, ClaimSubject):
            return False
        return self.better.first.method.partition(":")[0] == self.than.first.method.partition(":")[0]


@dataclass(frozen=True)
class FormulaEvery(Generic[Leaf]):
    """True if every part is."""

    parts: tuple[Formula[Leaf], ...]


@dataclass(frozen=True)
class FormulaSome(Generic[Leaf]):
    """True if one part is."""

    parts: tuple[Formula[Leaf], ...]


Formula: TypeAlias = Leaf | FormulaEvery[Leaf] | FormulaSome[Leaf]


def formula_leaves(formula: Formula[Leaf]) -> Iterator[Leaf]:
    """Every leaf, from left to right."""
    if isinstance(formula, FormulaEvery | FormulaSome):
        for part in formula.parts:
            yield from formula_leaves(part)
    else:
        yield formula


def formula_with_leaves(formula: Formula[Leaf], change: Callable[[Leaf], Other]) -> Formula[Other]:
    """The same formula of other leaves."""
    if isinstance(formula, FormulaEvery):
        return FormulaEvery(tuple(formula_with_leaves(part, change) for part in formula.parts))
    if isinstance(formula, FormulaSome):
        return FormulaSome(tuple(formula_with_leaves(part, change) for part in formula.parts))
    return change(formula)


# ------------------------------------------------------------------------------------------------ kinds of sentences


def better(one: ClaimSubject, others: Sequence[ClaimSubject], by: float = 0.0) -> FormulaEvery[FormulaPair]:
    """`one` is better than each of the `others`."""
    return FormulaEvery(tuple(FormulaPair(one, other, by) for other in others))


def worst(one: ClaimSubject, others: Sequence[ClaimSubject]) -> FormulaEvery[FormulaPair]:
    """Each of the `others` is better than `one`: of several losses, that of `one` is missed most."""
    return FormulaEvery(tuple(FormulaPair(other, one) for other in others))


def chain(*steps: Sequence[ClaimSubject], first_by: float = 0.0) -> FormulaEvery[FormulaPair]:
    """Each of a step is better than each of the next; those of the first by more than `first_by`."""
    return FormulaEvery(
        tuple(
            FormulaPair(one, other, 0.0 if number else first_by)
            for number, (above, below) in enumerate(pairwise(steps))
            for one in above
            for other in below
        )
    )


def about_equal(subjects: Sequence[ClaimSubject], margin: float) -> FormulaEvery[FormulaPair]:
    """Any two differ by less than `margin`: two one-sided comparisons each (TOST, Schuirmann 1987)."""
    return FormulaEvery(tuple(FormulaPair(one, other, -margin) for one, other in permutations(subjects, 2)))


def differ(subjects: Sequence[ClaimSubject]) -> FormulaEvery[FormulaPair] | FormulaSome[FormulaPair]:
    """One of them is better than another. Nothing refutes it: no two methods are exactly alike."""
    return FormulaSome(tuple(FormulaPair(*pair) for both in combinations(subjects, 2) for pair in (both, both[::-1])))


def u_shape(sweep: Sequence[ClaimSubject]) -> FormulaSome[FormulaPair]:
    """One between the ends is better than both ends.

    As in the test of Lind & Mehlum (2010), a fall and a rise must both be shown; but for means of separate trainings
    and not for the slopes of a parabola, which a sweep from 0 to 10 need not follow.
    """
    return FormulaSome(
        tuple(FormulaEvery((FormulaPair(inner, sweep[0]), FormulaPair(inner, sweep[-1]))) for inner in sweep[1:-1])
    )


def reaches(one: ClaimSubject, level: float, margin: float) -> FormulaEvery[FormulaPair]:
    """`one` is not worse than `level` by `margin` or more."""
    return FormulaEvery((FormulaPair(one, level, -margin),))


# ------------------------------------------------------------------------------------------------------------- claims


@dataclass(frozen=True)
class ClaimMeasure:
    """What is measured."""

    metric: str
    """Metric as in `Published.metric`."""
    protocols: tuple[str, ...]
    """The one nearest to the paper's, then what may stand in for it."""
    higher_is_better: bool


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper as a formula."""

    name: str
    text: str
    """The sentence, in our words; `{0}` and `{1}` are the domains."""
    where: str
    """Place in the paper."""
    task: str
    """The paper's."""
    measure: ClaimMeasure
    formula: Formula[FormulaPair] | None
    """To hold at each of the places and labels; None: no number decides it, and `remark` says why."""
    places: tuple[tuple[int, ...], ...]
    """Directions (domains source, target); of a semantic stage (domain,)."""
    per_class: bool = False
    """To hold of each class; else of all images together."""
    printed: tuple[str, ...] = ()
    """The paper's tables that have its numbers, as in `Published.table`: the first one that has a number decides."""
    remark: str = ""
    """A reservation that belongs beside the verdict."""
    of_published_value: bool = False
    """It is about a number that was published of one data set, and says nothing of others."""


@dataclass(frozen=True)
class Comparison:
    """A pair in one direction (or domain), of one class or of all."""

    pair: FormulaPair
    place: str
    label: str
    higher_is_better: bool

    @property
    def at(self) -> str:
        """`sketch->real, bird`."""
        return self.place if self.label == ALL else f"{self.place}, {self.label}"

    def sentence(self, better: str = "", than: str = "") -> str:
        """`mnist->svhn: cats_udt > egsc_it + 20`: the values as the claim has them. Names: of what stands in."""
        pair = self.pair
        margin = pair.by if self.higher_is_better else -pair.by
        one = better or pair.better.first.label
        other = than or (pair.than.first.label if isinstance(pair.than, ClaimSubject) else f"{pair.than:g}")
        shift = f" {'+' if margin > 0 else '-'} {abs(margin):g}" if margin else ""
        return f"{self.at}: {one} {'>' if self.higher_is_better else '<'} {other}{shift}"


def formulas_of_claim(claim: Claim, domains: Sequence[str], classes: Sequence[str]) -> Formula[Comparison] | None:
    """The formula of `claim` at each of its places on a task with these domains, of these classes."""
    formula, up = claim.formula, claim.measure.higher_is_better
    if formula is None:
        return None
    labels = tuple(classes) if claim.per_class else (ALL,)
    parts = []
    for place in claim.places:
        at = "->".join(domains[domain] for domain in place)
        parts += [
            formula_with_leaves(formula, partial(Comparison, place=at, label=label, higher_is_better=up))
            for label in labels
        ]
    return FormulaEvery(tuple(parts))
