"""Claims decided on stored results: each comparison by what is stored of both sides, each claim by one protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.core.errors import BenchError, error_remedy
from bench.reporting.claims.claims import CLAIMS
from bench.reporting.claims.evidence import Evidence, StoredEvidence, read_evidence
from bench.reporting.claims.formula import Claim, ClaimSubject, Comparison, Formula, formula_leaves, formulas_of_claim
from bench.reporting.claims.published_check import PublishedCheck, check_published
from bench.reporting.claims.verdict import (
    FEWEST,
    ClaimVerdict,
    ComparisonResult,
    Sample,
    verdict_on_claim,
    verdict_on_level,
    verdict_on_samples,
)
from bench.reporting.paper.shapes import ACCURACY
from bench.reporting.setting import PUBLISHED_SOURCES, setting_unlike_paper
from bench.reporting.tables.table import images
from bench.spec.tasks import TASKS, Task, get_task
from bench.store.query import Setting

OF_PAPER = tuple(dict.fromkeys(claim.task for claim in CLAIMS))
"""The tasks that the claims are about."""


@dataclass(frozen=True)
class ComparedSide:
    """The evidence of both sides of a comparison."""

    better: Evidence
    than: Evidence | None
    """None: a fixed value."""

    @property
    def both(self) -> tuple[Evidence, ...]:
        """One or two."""
        return (self.better,) if self.than is None else (self.better, self.than)


@dataclass(frozen=True)
class DecidedClaim:
    """One claim in one setting."""

    claim: Claim
    printed: PublishedCheck
    protocol: str
    """Which measured it."""
    verdict: ClaimVerdict[Comparison] | None
    """None: no number decides it."""
    sides: Mapping[Comparison, ComparedSide] = field(default_factory=dict)


@dataclass(frozen=True)
class Decisions:
    """The claims about one task in one setting."""

    task: Task
    setting: Setting | None
    """None: nothing was measured."""
    decided: tuple[DecidedClaim, ...]
    stored: StoredEvidence | None

    @property
    def unlike_paper(self) -> list[str]:
        """What is not as in the paper; empty if it is the paper's setting. Not to be asked if nothing was measured."""
        assert self.setting is not None
        paper_task = next(decided.claim.task for decided in self.decided)
        reasons = setting_unlike_paper(self.setting, self.task, paper_task)
        return reasons or list(dict.fromkeys(self._other_sources()))

    def _other_sources(self) -> Iterator[str]:
        """Numbers of translated images that are not the published data's: a folder of others under the task's name."""
        for decided in self.decided:
            for leaf, side in decided.sides.items():
                wanted = PUBLISHED_SOURCES.get(leaf.place)
                if decided.protocol == ACCURACY[0].protocols[0] and wanted is not None:
                    others = sorted({n for n, _ in side.better.images} - {wanted})
                    yield from (f"{n} translated images, not {wanted}" for n in others)


def run_claims(root: Path, task: Task, wanted: Callable[[Setting], bool] = lambda setting: True) -> list[Decisions]:
    """The claims about `task`, decided on each setting in the results folder `root` that is `wanted`.

    On a task that is not the paper's: its claims about the paper's task of the same kind, carried over. Without any
    setting: one decisions without evidence. BenchError for a task that no claim can be carried to.
    """
    claims = claims_to_run(task)
    pairs = [pair for claim in claims if claim.formula is not None for pair in formula_leaves(claim.formula)]
    sides = [side for pair in pairs for side in (pair.better, pair.than) if isinstance(side, ClaimSubject)]
    candidates = [candidate for side in sides for candidate in side.candidates]
    decisions = [
        Decisions(task, stored.setting, tuple(_decided(claim, task, stored) for claim in claims), stored)
        for stored in read_evidence(root, task, wanted, candidates)
    ]
    return decisions or [Decisions(task, None, tuple(_decided(claim, task, None) for claim in claims), None)]


def claims_to_run(task: Task) -> list[Claim]:
    """Claims about the paper's task of the same kind; on another task none about a published value."""
    claims = [claim for claim in CLAIMS if get_task(claim.task).kind == task.kind]
    if not all(task.domains):
        known = [name for name, other in TASKS.items() if all(other.domains)]
        raise BenchError(f"no claim is about the task '{task.name}'", error_remedy(task.name, known))
    return [claim for claim in claims if claim.task == task.name or not claim.of_published_value]


def _decided(claim: Claim, task: Task, stored: StoredEvidence | None) -> DecidedClaim:
    """Decide by the protocol with which most comparisons can be tested, whatever they say; of equal ones the first."""
    formula = formulas_of_claim(claim, task.domains, stored.classes if stored else task.classes)
    if formula is None or not any(formula_leaves(formula)):
        return DecidedClaim(claim, check_published(claim), claim.measure.protocols[0], None)
    tried = [_by(protocol, claim, formula, stored) for protocol in claim.measure.protocols]
    known = [_known(decided) for decided in tried]
    return tried[known.index(max(known))]


def _known(decided: DecidedClaim) -> tuple[int, int, int]:
    """How many comparisons were tested, how many have values on both sides, how many values there are."""
    parts = decided.verdict.parts.values() if decided.verdict else ()
    values = sum(len(evidence.sample.values) for side in decided.sides.values() for evidence in side.both)
    return sum(bool(part.test) for part in parts), sum(part.advantage is not None for part in parts), values


def _by(protocol: str, claim: Claim, formula: Formula[Comparison], stored: StoredEvidence | None) -> DecidedClaim:
    sides = {leaf: _side(leaf, protocol, stored) for leaf in formula_leaves(formula)}
    parts = {leaf: _tested(leaf, side) for leaf, side in sides.items()}
    return DecidedClaim(claim, check_published(claim), protocol, verdict_on_claim(formula, parts), sides)


def _side(leaf: Comparison, protocol: str, stored: StoredEvidence | None) -> ComparedSide:
    def evidence(subject: ClaimSubject) -> Evidence:
        if stored is None:
            return Evidence(subject.first, Sample({}))
        return stored.evidence(subject, leaf.place, leaf.label, protocol)

    than = leaf.pair.than
    return ComparedSide(evidence(leaf.pair.better), evidence(than) if isinstance(than, ClaimSubject) else None)


def _tested(leaf: Comparison, side: ComparedSide) -> ComparisonResult:
    """Values of different numbers of images are not compared: most of a distribution metric at small n is bias."""
    pair, up = leaf.pair, leaf.higher_is_better
    counts = sorted(set().union(*(evidence.images for evidence in side.both)))
    if len(counts) > 1:
        return ComparisonResult(why=f"other numbers of images ({' and '.join(map(images, counts))})")
    if weak := [evidence.weak_judge for evidence in side.both if evidence.weak_judge]:
        return ComparisonResult(why=weak[0])
    if side.than is not None:
        result = verdict_on_samples(side.better.sample, side.than.sample, up, pair.by, pair.learn_the_same)
    else:
        assert not isinstance(pair.than, ClaimSubject)
        result = verdict_on_level(side.better.sample, pair.than, up, pair.by)
    short = [
        f"{evidence.candidate.label}: {lacks_evidence(evidence)}" for evidence in side.both if lacks_evidence(evidence)
    ]
    return replace(result, why="; ".join(short)) if short and not result.test else result


def lacks_evidence(side: Evidence) -> str:
    """`1/3 trainings have a value (needs: bench fetch inception)`, if too few have one or failed; else empty."""
    if side.sample.trainings >= FEWEST:
        return ""
    if not side.begun:
        return "not measured"
    if side.sample.trainings == side.begun:
        return "one training"
    return f"{side.counts} trainings have a value ({side.missing[0]})"
