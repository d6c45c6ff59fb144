"""What to type for the trainings that a verdict lacks."""

from __future__ import annotations

from collections.abc import Iterator

from bench.reporting.claims.evidence import NOT_SCORED, Evidence
from bench.reporting.claims.formula import Candidate
from bench.reporting.claims.run import Judgement
from bench.reporting.claims.verdict import FEWEST
from bench.reporting.paper.notes import Options
from bench.reporting.paper.shapes import STAGES
from bench.reporting.tables.table import Footnote

SEEDS = "0,1,2"


def commands(judgement: Judgement, options: Options) -> Iterator[Footnote]:
    """One command for all methods as the preset trains them, one for each with other settings, one for each stage; and
    one for trainings that ended and were not scored so."""
    sides = list(_sides(judgement))
    found = list(dict.fromkeys(of.candidate for of in sides if of.begun < FEWEST))
    common = f"--task {judgement.task.name} {options.all}".strip()
    run = f"python -m bench run {common}" + (f" {options.run}" if options.run else "")
    plain = [of.method for of in found if not of.settings and not of.is_stage]
    if plain:
        text = f"{FEWEST} trainings of each side are the fewest for a verdict; missing ones"
        yield Footnote(text, command=f"{run} --methods {','.join(plain)} --seeds {SEEDS}")
    for candidate in (of for of in found if of.settings):
        yield Footnote("missing", command=f"{run} --methods {candidate.method}{_set(candidate)} --seeds {SEEDS}")
    for stage, key in STAGES.items():
        if any(of.method == key for of in found):
            command = f"python -m bench semantics {common} --stage {stage} --seeds {SEEDS}"
            yield Footnote("clusters not measured", command=command)
    unscored = dict.fromkeys(of.candidate.method for of in sides if any(map(_is_unscored, of.missing)))
    if old := [name for name in unscored if name not in plain]:
        command = f"python -m bench evaluate {common} --methods {','.join(old)}"
        yield Footnote("trained, but not scored so", command=command)


def _sides(judgement: Judgement) -> Iterator[Evidence]:
    """All evidence."""
    for judged in judgement.judged:
        for side in judged.sides.values():
            yield from side.both


def _is_unscored(why: str) -> bool:
    return why.startswith(NOT_SCORED)


def _set(candidate: Candidate) -> str:
    return "".join(f" --set {candidate.method}.{change}" for change in candidate.changes)
