"""Claims judged on stored results: each comparison by what is stored of both sides, each claim by one protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.core.errors import BenchError, nearest
from bench.reporting.claims.claims import CLAIMS
from bench.reporting.claims.evidence import Evidence, Stored, read_evidence
from bench.reporting.claims.formula import Claim, Comparison, Formula, Subject, comparisons, leaves
from bench.reporting.claims.published_check import Printed, printed
from bench.reporting.claims.verdict import FEWEST, Finding, Sample, Verdict, compare, exceeds, judge
from bench.reporting.paper.shapes import ACCURACY
from bench.reporting.setting import PUBLISHED_SOURCES, unlike_paper
from bench.reporting.tables.table import images
from bench.spec.tasks import TASKS, Task, get_task
from bench.store.query import Setting

OF_PAPER = tuple(dict.fromkeys(claim.task for claim in CLAIMS))
"""The tasks that the claims are about."""


@dataclass(frozen=True)
class Side:
    """The evidence of both sides of a comparison."""

    better: Evidence
    than: Evidence | None
    """None: a fixed value."""

    @property
    def both(self) -> tuple[Evidence, ...]:
        """One or two."""
        return (self.better,) if self.than is None else (self.better, self.than)


@dataclass(frozen=True)
class Judged:
    """One claim in one setting."""

    claim: Claim
    printed: Printed
    protocol: str
    """Which measured it."""
    verdict: Verdict[Comparison] | None
    """None: no number decides it."""
    sides: Mapping[Comparison, Side] = field(default_factory=dict)


@dataclass(frozen=True)
class Judgement:
    """The claims about one task in one setting."""

    task: Task
    setting: Setting | None
    """None: nothing was measured."""
    judged: tuple[Judged, ...]
    stored: Stored | None

    @property
    def unlike_paper(self) -> list[str]:
        """What is not as in the paper; empty if it is the paper's setting. Not to be asked if nothing was measured."""
        assert self.setting is not None
        paper_task = next(judged.claim.task for judged in self.judged)
        reasons = unlike_paper(self.setting, self.task, paper_task)
        return reasons or list(dict.fromkeys(self._other_sources()))

    def _other_sources(self) -> Iterator[str]:
        """Numbers of translated images that are not the published data's: a folder of others under the task's name."""
        for judged in self.judged:
            for leaf, side in judged.sides.items():
                wanted = PUBLISHED_SOURCES.get(leaf.place)
                if judged.protocol == ACCURACY[0].protocols[0] and wanted is not None:
                    others = sorted({n for n, _ in side.better.images} - {wanted})
                    yield from (f"{n} translated images, not {wanted}" for n in others)


def run_claims(root: Path, task: Task, wanted: Callable[[Setting], bool] = lambda setting: True) -> list[Judgement]:
    """The claims about `task`, judged on each setting in the results folder `root` that is `wanted`.

    On a task that is not the paper's: its claims about the paper's task of the same kind, carried over. Without any
    setting: one judgement without evidence. BenchError for a task that no claim can be carried to.
    """
    claims = claims_about(task)
    pairs = [pair for claim in claims if claim.formula is not None for pair in leaves(claim.formula)]
    sides = [side for pair in pairs for side in (pair.better, pair.than) if isinstance(side, Subject)]
    candidates = [candidate for side in sides for candidate in side.candidates]
    found = [
        Judgement(task, stored.setting, tuple(_judged(claim, task, stored) for claim in claims), stored)
        for stored in read_evidence(root, task, wanted, candidates)
    ]
    return found or [Judgement(task, None, tuple(_judged(claim, task, None) for claim in claims), None)]


def claims_about(task: Task) -> list[Claim]:
    """Those of the paper's task of the same kind; on another task than the paper's none about a published value."""
    own = [claim for claim in CLAIMS if get_task(claim.task).kind == task.kind]
    if not all(task.domains):
        known = [name for name, of in TASKS.items() if all(of.domains)]
        raise BenchError(f"no claim is about the task '{task.name}'", nearest(task.name, known))
    return [claim for claim in own if claim.task == task.name or not claim.of_published_value]


def _judged(claim: Claim, task: Task, stored: Stored | None) -> Judged:
    """By the protocol with which most comparisons can be tested, whatever they say; of equal ones the first."""
    formula = comparisons(claim, task.domains, stored.classes if stored else task.classes)
    if formula is None or not any(leaves(formula)):
        return Judged(claim, printed(claim), claim.measure.protocols[0], None)
    tried = [_by(protocol, claim, formula, stored) for protocol in claim.measure.protocols]
    known = [_known(judged) for judged in tried]
    return tried[known.index(max(known))]


def _known(judged: Judged) -> tuple[int, int, int]:
    """How many comparisons were tested, how many have values on both sides, how many values there are."""
    parts = judged.verdict.parts.values() if judged.verdict else ()
    values = sum(len(of.sample.values) for side in judged.sides.values() for of in side.both)
    return sum(bool(part.test) for part in parts), sum(part.advantage is not None for part in parts), values


def _by(protocol: str, claim: Claim, formula: Formula[Comparison], stored: Stored | None) -> Judged:
    sides = {leaf: _side(leaf, protocol, stored) for leaf in leaves(formula)}
    parts = {leaf: _tested(leaf, side) for leaf, side in sides.items()}
    return Judged(claim, printed(claim), protocol, judge(formula, parts), sides)


def _side(leaf: Comparison, protocol: str, stored: Stored | None) -> Side:
    def of(subject: Subject) -> Evidence:
        if stored is None:
            return Evidence(subject.own, Sample({}))
        return stored.evidence(subject, leaf.place, leaf.label, protocol)

    than = leaf.pair.than
    return Side(of(leaf.pair.better), of(than) if isinstance(than, Subject) else None)


def _tested(leaf: Comparison, side: Side) -> Finding:
    """Values of different numbers of images are not compared: most of a distribution metric at small n is bias."""
    pair, up = leaf.pair, leaf.higher_is_better
    counts = sorted(set().union(*(of.images for of in side.both)))
    if len(counts) > 1:
        return Finding(why=f"other numbers of images ({' and '.join(map(images, counts))})")
    if side.than is not None:
        found = compare(side.better.sample, side.than.sample, up, pair.by, pair.learn_the_same)
    else:
        assert not isinstance(pair.than, Subject)
        found = exceeds(side.better.sample, pair.than, up, pair.by)
    short = [f"{of.candidate.told}: {lacks(of)}" for of in side.both if lacks(of)]
    return replace(found, why="; ".join(short)) if short and not found.test else found


def lacks(side: Evidence) -> str:
    """`1/3 trainings have a value (needs: bench fetch inception)`, if too few have one or failed; else empty."""
    if side.sample.trainings >= FEWEST:
        return ""
    if not side.begun:
        return "not measured"
    if side.sample.trainings == side.begun:
        return "one training"
    return f"{side.counts} trainings have a value ({side.missing[0]})"
