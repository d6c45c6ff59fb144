"""`bench claims`: judge the claims of the paper on stored results; printed, or written to a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.reporting.claims.report import details, verdicts
from bench.reporting.claims.run import OF_PAPER, run_claims
from bench.reporting.setting import distinct_texts, setting_text
from bench.reporting.tables.output import deliver, form_of, joined, unmeasured, wants
from bench.reporting.tables.table import Table
from bench.spec.tasks import Task, get_task
from bench.store.query import Setting

STAGES_ALONE = ", semantic stages alone"


@dataclass(frozen=True)
class ClaimsRequest:
    """What the user asked for, as typed."""

    task: str
    """Task name; empty: those of the paper."""
    form: str
    """`md`, `latex`, `csv` or `html`; empty: as the suffix of `out` says, else `md`."""
    out: Path | None
    """File to write instead of printing."""
    details: bool
    """Whether a second table has every comparison."""
    preset: str
    """Only cells of this preset; empty: any."""
    data: str
    """Only cells of this kind of data (`embedded`, `mnist-drawn`, `real`); empty: any."""
    budget: str
    """Only cells of this training length (`images=N`); empty: any."""
    results: Path
    """The results folder."""

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
    judgements = run_claims(request.results, task, request.wants)
    judgements.sort(key=lambda judgement: bool(judgement.setting and judgement.unlike_paper))
    settings = [judgement.setting for judgement in judgements if judgement.setting]
    texts = [setting_text(setting, task) + ("" if setting.budget else STAGES_ALONE) for setting in settings]
    texts = distinct_texts(texts, [setting.data_version for setting in settings]) or [""]
    tables = []
    for judgement, text in zip(judgements, texts, strict=True):
        tables.append(verdicts(judgement, unmeasured(request), text))
        if request.details:
            tables.append(details(judgement, text))
    return tables
