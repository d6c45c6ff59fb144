"""`bench claims`: judge the claims of the paper on stored results; printed, or written to a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.reporting.claims.report import details, verdicts
from bench.reporting.claims.run import OF_PAPER, run_claims
from bench.reporting.claims.setting import setting_text, unlike_paper
from bench.reporting.tables.output import deliver, form_of, joined, unmeasured, wants
from bench.reporting.tables.table import Table
from bench.spec.tasks import Task, get_task
from bench.spec.where import Where
from bench.store.query import Setting


@dataclass(frozen=True, kw_only=True)
class ClaimsRequest(Where):
    """What the user asked for, as typed."""

    form: str
    """`md`, `latex`, `csv` or `html`; empty: as the suffix of `out` says, else `md`."""
    out: Path | None
    """File to write instead of printing."""
    details: bool
    """Whether a second table has every comparison."""

    def wants(self, setting: Setting) -> bool:
        """Whether a setting is judged. Semantic stages alone have no budget."""
        return wants(self, setting)


def judge_claims(request: ClaimsRequest) -> int:
    """Print or write the verdicts; returns 0 whatever they are. BenchError if the request cannot be met."""
    form = form_of(request)
    tasks = [get_task(name) for name in ([request.task] if request.task else OF_PAPER)]
    text = joined([table for task in tasks for table in _tables(request, task)], form)
    deliver(request, text, form, "claims", "claims of the paper")
    return 0


def _tables(request: ClaimsRequest, task: Task) -> list[Table]:
    """One for each setting, or two; the paper's setting first."""
    found = run_claims(request.results, task, request.wants)
    found.sort(key=lambda judgement: bool(judgement.setting and unlike_paper(judgement)))
    settings = [of.setting for of in found if of.setting]
    tables = []
    for judgement in found:
        told = setting_text(judgement.setting, task, settings) if judgement.setting else ""
        tables.append(verdicts(judgement, unmeasured(request), told))
        if request.details:
            tables.append(details(judgement, told))
    return tables
