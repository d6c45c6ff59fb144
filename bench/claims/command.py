"""`bench claims`: judge the claims of the paper on stored results; printed, or written to a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.atomic import write_text
from bench.claims.report import details, verdicts
from bench.claims.run import OF_PAPER, run_claims
from bench.claims.setting import setting_text, unlike_paper
from bench.errors import BenchError, nearest
from bench.pools import Setting
from bench.presets import PRESETS
from bench.progress import say
from bench.tables.command import KINDS, PAGE, SHORT
from bench.tables.paper_notes import Options
from bench.tables.render import FORMATS, render
from bench.tables.table import Table
from bench.tasks import Task, get_task


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
        wanted = ((self.preset, setting.preset), (self.data, setting.data_kind), (self.budget, setting.budget))
        return all(asked in ("", has) for asked, has in wanted)


def judge_claims(request: ClaimsRequest) -> int:
    """Print or write the verdicts; returns 0 whatever they are. BenchError if the request cannot be met."""
    form = _form(request)
    for option, value, valid in (("--preset", request.preset, PRESETS), ("--data", request.data, KINDS)):
        if value and value not in valid:
            raise BenchError(f"{option} {value!r} is not understood", nearest(value, list(valid)))
    tasks = [get_task(name) for name in ([request.task] if request.task else OF_PAPER)]
    text = _text([table for task in tasks for table in _tables(request, task)], form)
    if request.out is None:
        print(text, end="")
    else:
        write_text(request.out, text)
        say(f"claims: {request.out}")
    return 0


def _form(request: ClaimsRequest) -> str:
    by_suffix = {suffix: name for name, (suffix, _) in FORMATS.items()}
    if not request.form:
        return by_suffix.get(request.out.suffix if request.out else "", "markdown")
    form = SHORT.get(request.form, request.form)
    if form not in FORMATS:
        raise BenchError(f"--format {request.form!r} is not understood", nearest(request.form, ["md", *FORMATS]))
    return form


def _tables(request: ClaimsRequest, task: Task) -> list[Table]:
    """One for each setting, or two; the paper's setting first."""
    data = f" --data {request.data}" if request.data in ("embedded", "mnist-drawn") else ""
    unmeasured = Options(f"--preset {request.preset or 'paper'}{data}", request.budget and f"--budget {request.budget}")
    found = run_claims(request.results, task, request.wants)
    found.sort(key=lambda judgement: bool(judgement.setting and unlike_paper(judgement)))
    settings = [of.setting for of in found if of.setting]
    tables = []
    for judgement in found:
        told = setting_text(judgement.setting, task, settings) if judgement.setting else ""
        tables.append(verdicts(judgement, unmeasured, told))
        if request.details:
            tables.append(details(judgement, told))
    return tables


def _text(tables: list[Table], form: str) -> str:
    texts = [render(table, form) for table in tables]
    if form == "csv":
        return texts[0] + "".join(text.partition("\n")[2] for text in texts[1:])
    text = "\n".join(texts)
    return PAGE.format(title="claims of the paper", body=text) if form == "html" else text
