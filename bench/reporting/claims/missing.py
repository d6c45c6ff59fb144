"""What to type for the trainings that a verdict lacks."""

from __future__ import annotations

from collections.abc import Iterator

from bench.reporting.claims.evidence import NOT_SCORED, Evidence
from bench.reporting.claims.run import Decisions
from bench.reporting.claims.verdict import FEWEST
from bench.reporting.paper.shapes import STAGES
from bench.reporting.setting import Commands
from bench.reporting.tables.table import Footnote


def missing_evidence(decisions: Decisions, commands: Commands) -> Iterator[Footnote]:
    """The command for all methods as the preset trains them, those for each method with other settings and for each
    stage, and the one for trainings that ended and were not scored so."""
    task, sides = decisions.task.name, list(_sides(decisions))
    candidates = list(dict.fromkeys(side.candidate for side in sides if side.begun < FEWEST))
    plain = [candidate.method for candidate in candidates if not candidate.settings and not candidate.is_stage]
    if plain:
        text = f"{FEWEST} trainings of each side are the fewest for a verdict; missing ones"
        yield Footnote(text, command=commands.run(task, plain))
    for candidate in (candidate for candidate in candidates if candidate.settings):
        settings = [f"{candidate.method}.{change}" for change in candidate.changes]
        yield Footnote("missing", command=commands.run(task, [candidate.method], settings))
    for stage, key in STAGES.items():
        if any(candidate.method == key for candidate in candidates):
            yield Footnote("clusters not measured", command=commands.semantics(task, stage))
    unscored = dict.fromkeys(
        side.candidate.method for side in sides if any(why.startswith(NOT_SCORED) for why in side.missing)
    )
    if old := [name for name in unscored if name not in plain]:
        yield Footnote("trained, but not scored so", command=commands.evaluate(task, old))


def _sides(decisions: Decisions) -> Iterator[Evidence]:
    """All evidence."""
    for decided in decisions.decided:
        for side in decided.sides.values():
            yield from side.both
