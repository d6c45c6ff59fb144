"""`bench check`: both checks, the reports, and the verdict as exit code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.checks.gate.baseline import CODE, baseline_folder, load_baseline
from bench.checks.gate.report import GateReport, gate_report_json, gate_report_junit, gate_report_markdown
from bench.core.errors import BenchError
from bench.core.files import write_json, write_text
from bench.core.progress import say

SUMMARY = "GITHUB_STEP_SUMMARY"
"""Names the file to which GitHub's runner takes Markdown from a step."""


@dataclass(frozen=True)
class CheckRequest:
    """The user's request, as typed."""

    baseline: str
    rerun: bool
    """Whether to train new seeds first."""
    code_only: bool
    """Whether to leave the training check out."""
    seeds: Sequence[int]
    """New seeds that are compared (and with `rerun` trained); empty: see `training.compare` and `rerun.rerun`."""
    data: str
    """Data source, as for `run`; empty: the baseline's."""
    device: str
    jobs: int
    results: Path
    out: Path | None
    """Markdown file, beside what is printed."""
    junit: Path | None
    json_file: Path | None


def gate_command(request: CheckRequest) -> int:
    """Make both checks, print and write the reports. Returns the verdict, which is the exit code.

    Raises BenchError if the request cannot be met, and Interrupted on a signal while cells are trained.
    """
    report = gate_command_findings(request)
    _deliver(request, report)
    return int(report.verdict)


def gate_command_findings(request: CheckRequest) -> GateReport:
    """The findings of both checks."""
    from bench.checks.gate.code.code_check import run_code_check as check_code

    if request.code_only and (request.rerun or request.seeds):
        raise BenchError("--code-only trains and compares no seeds", "leave out --rerun and --seeds, or --code-only")
    code = baseline_folder(request.results, request.baseline) / CODE
    if request.code_only:
        return GateReport(request.baseline, check_code(code))
    baseline = load_baseline(request.results, request.baseline)
    if request.rerun and baseline.task == "folder" and (request.data or baseline.data) == "auto":
        raise BenchError(  # now, and not after the code check
            f"the baseline '{request.baseline}' is of a folder of images, and does not say where it lies",
            "add --data ROOT, the folder with ROOT/<domain>/<class>/<image>",
        )
    findings = list(check_code(code))
    from bench.checks.gate.rerun import last_rerun_seeds, rerun_baseline
    from bench.checks.gate.training import compare_training, undecided_findings

    if request.rerun:
        trained = rerun_baseline(baseline, request.results, request.seeds, request.data, request.device, request.jobs)
        if trained.obstacle:
            nothing = undecided_findings(baseline, trained.obstacle)
            return GateReport(request.baseline, [*findings, *nothing.findings], nothing.notes)
        compared = compare_training(baseline, request.results, trained.seeds)
    else:
        compared = compare_training(
            baseline, request.results, request.seeds or last_rerun_seeds(baseline, request.results)
        )
    return GateReport(request.baseline, [*findings, *compared.findings], compared.notes)


def _deliver(request: CheckRequest, report: GateReport) -> None:
    text = gate_report_markdown(report)
    print(text, end="", flush=True)
    if request.out:
        write_text(request.out, text)
    if request.junit:
        write_text(request.junit, gate_report_junit(report))
    if request.json_file:
        write_json(request.json_file, gate_report_json(report))
    for path in (request.out, request.junit, request.json_file):
        if path:
            say(f"check: {path}")
    if summary := os.environ.get(SUMMARY):
        with open(summary, "a", encoding="utf-8") as file:  # other steps have written to it, too
            file.write(text)
