"""Verdicts as tables: one row per claim and, in a second table, one per comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.reporting.claims.evidence import Evidence
from bench.reporting.claims.formula import Comparison
from bench.reporting.claims.missing import missing_evidence
from bench.reporting.claims.run import ComparedSide, DecidedClaim, Decisions, lacks_evidence
from bench.reporting.claims.verdict import LEVEL, ComparisonResult
from bench.reporting.paper.shapes import WEAK
from bench.reporting.ranges import metric_range
from bench.reporting.setting import Commands, commands_in_setting
from bench.reporting.tables.marks import Marks
from bench.reporting.tables.table import Column, Footnote, RowGroup, Table, TableCell
from bench.spec.tasks import get_task

TOLD = 3
"""Reasons that stand in a row; the second table has all."""
NUMBERS = ("advantage", "p", "p, opposite", "trainings")
EXPLAINED = {
    "Welch's t": "Welch's t: of two methods, whose trainings are taken to be independent",
    "paired t": "paired t: of variants of one method, seed by seed: a seed decides the clusters that both learn",
    "rank sums": "rank sums: exact, where a training diverged or collapsed: it counts as worse than any that ended",
    "t": "t: against a fixed value",
}


def report_claim_verdicts(decisions: Decisions, unmeasured: Commands, text: str) -> Table:
    """One row per claim. `unmeasured`: the commands where nothing was measured; `text`: the setting."""
    notes = Marks()
    rows = tuple(_verdict(decisions, decided, notes) for decided in decisions.decided)
    columns = _columns(
        "claim", "the paper says", "published", "here", "deciding comparison", "protocol", "advantage", "p",
        "trainings", "test", "reason",
    )  # fmt: skip
    title = f"Claims of the paper on {decisions.task.name}" + (f": {text}" if text else "")
    footnotes = (*notes.footnotes, *_footnotes(decisions, unmeasured))
    return Table(title, columns, (RowGroup(rows),), _header(decisions, text), footnotes, stub=2)


def report_claim_details(decisions: Decisions, text: str) -> Table:
    """One row per comparison."""
    notes = Marks()
    groups = tuple(
        RowGroup(tuple(_detail(decided, leaf, part, notes) for leaf, part in decided.verdict.parts.items()))
        for decided in decisions.decided
        if decided.verdict
    )
    columns = _columns(
        "claim", "comparison", "protocol", "advantage", "p", "p, opposite", "trainings", "test", "reason"
    )
    title = f"Comparisons behind the claims on {decisions.task.name}" + (f": {text}" if text else "")
    return Table(title, columns, groups, _header(decisions, text), tuple(notes.footnotes), stub=2)


def _columns(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, align="right" if name in NUMBERS else "left") for name in names)


# --------------------------------------------------------------------------------------------------------------- rows


def _verdict(decisions: Decisions, decided: DecidedClaim, notes: Marks) -> tuple[TableCell, ...]:
    claim, verdict = decided.claim, decided.verdict
    sentence = f"{claim.text.format(*decisions.task.domains)} ({claim.where})"
    remarks = (notes.letter(claim.remark),) if claim.remark else ()
    against = "; ".join(decided.printed.against)
    speaks = (notes.letter(f"published against it: {against}"),) if against else ()
    published = TableCell(decided.printed.answer, marks=speaks)
    names = (TableCell(claim.name), TableCell(sentence, marks=remarks), published)
    if verdict is None:
        return (*names, TableCell("cannot decide"), *[TableCell()] * 6, TableCell("no number decides it"))
    outcome = TableCell(verdict.outcome, bold=verdict.outcome != "cannot decide")
    leaf = verdict.deciding
    if leaf is None:
        return (
            *names,
            outcome,
            TableCell(),
            TableCell(decided.protocol),
            *[TableCell()] * 4,
            TableCell(_reason(decided)),
        )
    part = verdict.parts[leaf]
    test = part.test + (", opposite, corrected" if verdict.outcome == "fails" else "")
    return (
        *names, outcome, _compared(leaf, decided.sides[leaf], notes), TableCell(decided.protocol),
        _advantage(part, decided.protocol),
        TableCell(value=verdict.p), _trainings(decided.sides[leaf], notes), TableCell(test),
        TableCell(_reason(decided)),
    )  # fmt: skip


def _detail(decided: DecidedClaim, leaf: Comparison, part: ComparisonResult, notes: Marks) -> tuple[TableCell, ...]:
    side = decided.sides[leaf]
    p = (TableCell(value=part.p), TableCell(value=part.opposite)) if part.test else (TableCell(), TableCell())
    return (
        TableCell(decided.claim.name), _compared(leaf, side, notes), TableCell(decided.protocol),
        _advantage(part, decided.protocol), *p,
        _trainings(side, notes), TableCell(part.test), TableCell(part.why),
    )  # fmt: skip


def _compared(leaf: Comparison, side: ComparedSide, notes: Marks) -> TableCell:
    weak = any(evidence.weak for evidence in side.both)
    marks = (notes.sign(WEAK, "weak supervision: uses a network trained on labels"),) if weak else ()
    return TableCell(leaf.sentence(*(evidence.candidate.label for evidence in side.both)), marks=marks)


def _advantage(part: ComparisonResult, protocol: str) -> TableCell:
    if part.advantage is None:
        return TableCell()
    low, high = part.low, part.high
    if low is not None and high is not None:
        low, high = metric_range(protocol).of_differences.clipped(low, high)
    return TableCell(value=part.advantage, low=low, high=high, role="difference")


def _trainings(side: ComparedSide, notes: Marks) -> TableCell:
    """`3/3, 2/3`: with a value, of those begun, on both sides."""
    failures = [f"{evidence.candidate.label}: failed: {why}" for evidence in side.both for why in evidence.failures]
    return TableCell(
        ", ".join(evidence.counts for evidence in side.both), marks=tuple(dict.fromkeys(map(notes.letter, failures)))
    )


def _reason(decided: DecidedClaim) -> str:
    """Why nothing is decided."""
    assert decided.verdict is not None
    if decided.verdict.outcome != "cannot decide":
        return ""
    untested = [(leaf, part) for leaf, part in decided.verdict.parts.items() if not part.test]
    if not untested:
        return "not significant"
    names: dict[str, dict[str, None]] = {}
    for leaf, part in untested:
        short = [
            (evidence.candidate.label, lacks_evidence(evidence))
            for evidence in decided.sides[leaf].both
            if lacks_evidence(evidence)
        ]
        for name, why in short or [("", part.why)]:
            names.setdefault(why, {})[name] = None
    reasons = [f"{why}: {', '.join(evidence)}" if any(evidence) else why for why, evidence in names.items()]
    more = f"; and {len(reasons) - TOLD} more" if len(reasons) > TOLD else ""
    count = f"{len(untested)} of {len(decided.sides)} not tested: " if len(untested) < len(decided.sides) else ""
    return count + "; ".join(reasons[:TOLD]) + more


# ---------------------------------------------------------------------------------------------------- above and below


def _header(decisions: Decisions, text: str) -> tuple[str, ...]:
    paper = next(decided.claim.task for decided in decisions.decided)
    lines = ["the paper: Lavoie et al., ICLR 2021, arXiv 2010.01262; its sentences are in our words"]
    if decisions.task.name != paper:
        first, second = get_task(paper).domains
        lines.append(f"carried over from {first} and {second}: of this task the paper claims nothing")
    lines.append(_where(decisions, text))
    percent = f"{100 * LEVEL:g} %"
    lines.append(
        f"unit: a whole training (seed). holds: each comparison is significant, one-sided at {percent}; fails: one is "
        f"significantly the other way, at {percent} by Holm's correction over all of the claim; else it cannot be "
        "decided. Not corrected for the number of claims"
    )
    lines.append(
        "advantage: difference of means, positive as claimed, "
        f"({100 - 200 * LEVEL:g} % interval); trainings: with a value, of those begun"
    )
    return tuple(lines)


def _where(decisions: Decisions, text: str) -> str:
    if decisions.setting is None:
        return "here: nothing measured yet"
    if unlike := decisions.unlike_paper:
        return f"here: {text}: not the paper's setting ({', '.join(unlike)}): a verdict is about this setting alone"
    return f"here: {text}: the paper's setting"


def _footnotes(decisions: Decisions, unmeasured: Commands) -> Iterator[Footnote]:
    yield Footnote(
        "published: whether the paper's own values stand as claimed: yes, no, or not printed; it prints no deviations, "
        "so that no test is possible"
    )
    used = {
        part.test.partition(",")[0]
        for evidence in decisions.decided
        if evidence.verdict
        for part in evidence.verdict.parts.values()
    }
    yield from (Footnote(line) for name, line in EXPLAINED.items() if name in used)
    yield from (Footnote(line) for line in dict.fromkeys(_stand_ins(decisions.decided)))
    given = dict.fromkeys(
        evidence.candidate.label for decided in decisions.decided for evidence in _both(decided) if evidence.stand_in
    )
    if given:
        yield Footnote(f"with a small network of our own in VGG-19's place: {', '.join(given)}")
    yield from missing_evidence(
        decisions, commands_in_setting(decisions.setting, decisions.task) if decisions.setting else unmeasured
    )
    yield from (Footnote(line) for line in (decisions.stored.left_out() if decisions.stored else ()))


def _both(decided: DecidedClaim) -> Iterator[Evidence]:
    return (evidence for side in decided.sides.values() for evidence in side.both)


def _stand_ins(decided: Sequence[DecidedClaim]) -> Iterator[str]:
    for claim in decided:
        for leaf, side in claim.sides.items():
            for subject, evidence in ((leaf.pair.better, side.better), (leaf.pair.than, side.than)):
                if evidence and not isinstance(subject, float) and evidence.candidate != subject.first:
                    names = f"{evidence.candidate.label} stands in for {subject.first.label}"
                    yield f"{names}, which the paper's authors ran"
