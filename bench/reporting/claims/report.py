"""Verdicts as tables: one row per claim and, in a second table, one per comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.reporting.claims.evidence import Evidence
from bench.reporting.claims.formula import Comparison
from bench.reporting.claims.missing import missing
from bench.reporting.claims.run import Judged, Judgement, Side, lacks
from bench.reporting.claims.verdict import LEVEL, Finding
from bench.reporting.paper.shapes import WEAK
from bench.reporting.setting import Commands, commands_in
from bench.reporting.tables.marks import Marks
from bench.reporting.tables.table import Cell, Column, Footnote, Group, Table
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


def verdicts(judgement: Judgement, unmeasured: Commands, text: str) -> Table:
    """One row per claim. `unmeasured`: the commands where nothing was measured; `text`: the setting."""
    notes = Marks()
    rows = tuple(_verdict(judgement, judged, notes) for judged in judgement.judged)
    columns = _columns(
        "claim", "the paper says", "published", "here", "deciding comparison", "protocol", "advantage", "p",
        "trainings", "test", "reason",
    )  # fmt: skip
    title = f"Claims of the paper on {judgement.task.name}" + (f": {text}" if text else "")
    footnotes = (*notes.footnotes, *_footnotes(judgement, unmeasured))
    return Table(title, columns, (Group(rows),), _header(judgement, text), footnotes, stub=2)


def details(judgement: Judgement, text: str) -> Table:
    """One row per comparison."""
    notes = Marks()
    groups = tuple(
        Group(tuple(_detail(judged, leaf, part, notes) for leaf, part in judged.verdict.parts.items()))
        for judged in judgement.judged
        if judged.verdict
    )
    columns = _columns(
        "claim", "comparison", "protocol", "advantage", "p", "p, opposite", "trainings", "test", "reason"
    )
    title = f"Comparisons behind the claims on {judgement.task.name}" + (f": {text}" if text else "")
    return Table(title, columns, groups, _header(judgement, text), tuple(notes.footnotes), stub=2)


def _columns(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, align="right" if name in NUMBERS else "left") for name in names)


# --------------------------------------------------------------------------------------------------------------- rows


def _verdict(judgement: Judgement, judged: Judged, notes: Marks) -> tuple[Cell, ...]:
    claim, verdict = judged.claim, judged.verdict
    sentence = f"{claim.text.format(*judgement.task.domains)} ({claim.where})"
    remarks = (notes.letter(claim.remark),) if claim.remark else ()
    against = "; ".join(judged.printed.against)
    speaks = (notes.letter(f"published against it: {against}"),) if against else ()
    published = Cell(judged.printed.answer, marks=speaks)
    names = (Cell(claim.name), Cell(sentence, marks=remarks), published)
    if verdict is None:
        return (*names, Cell("cannot decide"), *[Cell()] * 6, Cell("no number decides it"))
    outcome = Cell(verdict.outcome, bold=verdict.outcome != "cannot decide")
    leaf = verdict.deciding
    if leaf is None:
        return (*names, outcome, Cell(), Cell(judged.protocol), *[Cell()] * 4, Cell(_reason(judged)))
    part = verdict.parts[leaf]
    test = part.test + (", opposite, corrected" if verdict.outcome == "fails" else "")
    return (
        *names, outcome, _compared(leaf, judged.sides[leaf], notes), Cell(judged.protocol), _advantage(part),
        Cell(value=verdict.p), _trainings(judged.sides[leaf], notes), Cell(test), Cell(_reason(judged)),
    )  # fmt: skip


def _detail(judged: Judged, leaf: Comparison, part: Finding, notes: Marks) -> tuple[Cell, ...]:
    side = judged.sides[leaf]
    p = (Cell(value=part.p), Cell(value=part.opposite)) if part.test else (Cell(), Cell())
    return (
        Cell(judged.claim.name), _compared(leaf, side, notes), Cell(judged.protocol), _advantage(part), *p,
        _trainings(side, notes), Cell(part.test), Cell(part.why),
    )  # fmt: skip


def _compared(leaf: Comparison, side: Side, notes: Marks) -> Cell:
    weak = any(of.weak for of in side.both)
    marks = (notes.sign(WEAK, "weak supervision: uses a network trained on labels"),) if weak else ()
    return Cell(leaf.told(*(of.candidate.told for of in side.both)), marks=marks)


def _advantage(part: Finding) -> Cell:
    if part.advantage is None:
        return Cell()
    return Cell(value=part.advantage, low=part.low, high=part.high, role="difference")


def _trainings(side: Side, notes: Marks) -> Cell:
    """`3/3, 2/3`: with a value, of those begun, on both sides."""
    failures = [f"{of.candidate.told}: failed: {why}" for of in side.both for why in of.failures]
    return Cell(", ".join(of.counts for of in side.both), marks=tuple(dict.fromkeys(map(notes.letter, failures))))


def _reason(judged: Judged) -> str:
    """Why nothing is decided."""
    assert judged.verdict is not None
    if judged.verdict.outcome != "cannot decide":
        return ""
    untested = [(leaf, part) for leaf, part in judged.verdict.parts.items() if not part.test]
    if not untested:
        return "not significant"
    names: dict[str, dict[str, None]] = {}
    for leaf, part in untested:
        short = [(of.candidate.told, lacks(of)) for of in judged.sides[leaf].both if lacks(of)]
        for name, why in short or [("", part.why)]:
            names.setdefault(why, {})[name] = None
    reasons = [f"{why}: {', '.join(of)}" if any(of) else why for why, of in names.items()]
    more = f"; and {len(reasons) - TOLD} more" if len(reasons) > TOLD else ""
    count = f"{len(untested)} of {len(judged.sides)} not tested: " if len(untested) < len(judged.sides) else ""
    return count + "; ".join(reasons[:TOLD]) + more


# ---------------------------------------------------------------------------------------------------- above and below


def _header(judgement: Judgement, text: str) -> tuple[str, ...]:
    paper = next(of.claim.task for of in judgement.judged)
    lines = ["the paper: Lavoie et al., ICLR 2021, arXiv 2010.01262; its sentences are in our words"]
    if judgement.task.name != paper:
        first, second = get_task(paper).domains
        lines.append(f"carried over from {first} and {second}: of this task the paper claims nothing")
    lines.append(_where(judgement, text))
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


def _where(judgement: Judgement, text: str) -> str:
    if judgement.setting is None:
        return "here: nothing measured yet"
    if unlike := judgement.unlike_paper:
        return f"here: {text}: not the paper's setting ({', '.join(unlike)}): a verdict is about this setting alone"
    return f"here: {text}: the paper's setting"


def _footnotes(judgement: Judgement, unmeasured: Commands) -> Iterator[Footnote]:
    yield Footnote(
        "published: whether the paper's own values stand as claimed: yes, no, or not printed; it prints no deviations, "
        "so that no test is possible"
    )
    used = {part.test.partition(",")[0] for of in judgement.judged if of.verdict for part in of.verdict.parts.values()}
    yield from (Footnote(line) for name, line in EXPLAINED.items() if name in used)
    yield from (Footnote(line) for line in dict.fromkeys(_stand_ins(judgement.judged)))
    given = dict.fromkeys(of.candidate.told for judged in judgement.judged for of in _both(judged) if of.stand_in)
    if given:
        yield Footnote(f"with a small network of our own in VGG-19's place: {', '.join(given)}")
    yield from missing(judgement, commands_in(judgement.setting, judgement.task) if judgement.setting else unmeasured)
    yield from (Footnote(line) for line in (judgement.stored.left_out() if judgement.stored else ()))


def _both(judged: Judged) -> Iterator[Evidence]:
    return (of for side in judged.sides.values() for of in side.both)


def _stand_ins(judged: Sequence[Judged]) -> Iterator[str]:
    for of in judged:
        for leaf, side in of.sides.items():
            for subject, evidence in ((leaf.pair.better, side.better), (leaf.pair.than, side.than)):
                if evidence and not isinstance(subject, float) and evidence.candidate != subject.own:
                    yield f"{evidence.candidate.told} stands in for {subject.own.told}, which the paper's authors ran"
