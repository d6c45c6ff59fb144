"""`bench claims`: decide the claims of the paper on stored results; printed, or written to a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.reporting.claims.report import report_claim_details, report_claim_verdicts
from bench.reporting.claims.run import OF_PAPER, run_claims
from bench.reporting.setting import distinct_setting_texts, setting_text
from bench.reporting.tables.output import deliver_output, joined_output, output_form, unmeasured_in_output, wants_output
from bench.reporting.tables.table import Table
from bench.spec.tasks import Task, get_task
from bench.spec.where import Where
from bench.store.query import Setting

STAGES_ALONE = ", semantic stages alone"


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
        """Whether a setting is decided. Semantic stages alone have no budget."""
        return wants_output(self, setting)


def claims_command(request: ClaimsRequest) -> int:
    """Print or write the verdicts; returns 0 whatever they are. BenchError if the request cannot be met."""
    form = output_form(request)
    tasks = [get_task(name) for name in ([request.task] if request.task else OF_PAPER)]
    text = joined_output([table for task in tasks for table in _tables(request, task)], form)
    deliver_output(request, text, form, "claims", "claims of the paper")
    return 0


def _tables(request: ClaimsRequest, task: Task) -> list[Table]:
    """One for each setting, or two; the paper's setting first."""
    every = run_claims(request.results, task, request.wants)
    every.sort(key=lambda decisions: bool(decisions.setting and decisions.unlike_paper))
    settings = [decisions.setting for decisions in every if decisions.setting]
    texts = [setting_text(setting, task) + ("" if setting.budget else STAGES_ALONE) for setting in settings]
    texts = distinct_setting_texts(texts, [setting.data_version for setting in settings]) or [""]
    tables = []
    for decisions, text in zip(every, texts, strict=True):
        tables.append(report_claim_verdicts(decisions, unmeasured_in_output(request), text))
        if request.details:
            tables.append(report_claim_details(decisions, text))
    return tables
