"""The findings of a check as Markdown, JUnit XML and JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from xml.etree import ElementTree

from bench.checks.gate.verdict import Finding, Verdict, decide_verdict

TITLES = {"code": "Code check", "training": "Training check"}
MEANING = {
    Verdict.PASS: "nothing is worse than chance explains",
    Verdict.REGRESSED: "something is worse than chance explains",
    Verdict.IMPLAUSIBLE: "something is better than a change of the code should make it: look at the measurement",
    Verdict.CANNOT_DECIDE: "something could not be compared, which is no pass",
}
_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class GateReport:
    """A whole check."""

    baseline: str
    """Name."""
    findings: Sequence[Finding]
    notes: Sequence[str] = ()
    """Remarks on the tests as a whole."""

    @property
    def verdict(self) -> Verdict:
        """The verdict of all findings."""
        return decide_verdict(self.findings)


def gate_report_markdown(report: GateReport) -> str:
    """A heading with the verdict, then a table for each check: what is not a pass comes first."""
    lines = [f"# {report.baseline}: {report.verdict.words}", "", f"{MEANING[report.verdict]}."]
    for check, title in TITLES.items():
        listed = [finding for finding in report.findings if finding.check == check]
        if not listed:
            continue
        counts = {verdict: sum(finding.verdict is verdict for finding in listed) for verdict in Verdict}
        summary = ", ".join(f"{count} {verdict.words}" for verdict, count in counts.items() if count)
        lines += ["", f"## {title}: {decide_verdict(listed).words}", "", f"{summary}.", ""]
        rows = [("of", "what", "verdict", "baseline", "now", "why")]
        ordered = sorted(listed, key=lambda finding: finding.verdict is Verdict.PASS)
        rows += [(f.subject, f.quantity, f.verdict.words, f.stored, f.found, f.reason) for f in ordered]
        lines += _table(rows)
    if report.notes:
        lines += ["", *(f"- {note}" for note in report.notes)]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[_escaped(cell) for cell in row] for row in rows]
    widths = [max(3, *(len(row[i]) for row in cells[:-1] or cells)) for i in range(len(cells[0]) - 1)]
    lines = [
        "| " + " | ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)), row[-1]]) + " |"
        for row in cells
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in [*widths, 3]) + "|", *lines[1:]]


def _escaped(text: str) -> str:
    """Escape a text for one cell of a table of GitHub's Markdown."""
    return re.sub(r"([\\|`*<])", r"\\\1", " ".join(text.split()))


def gate_report_junit(report: GateReport) -> str:
    """JUnit XML: a test case for each finding. What is no pass is a failure, or an error if nothing was decided.

    Never `skipped`, which CI servers show as harmless. Without findings there is one error.
    """
    root = ElementTree.Element("testsuites", name=_clean(f"bench check {report.baseline}"))
    findings = list(report.findings)
    for check in TITLES:
        listed = [finding for finding in findings if finding.check == check]
        if listed:
            _suite(root, f"{check} check", report.baseline, listed)
    if not findings:
        nothing = Finding("training", "nothing", "", Verdict.CANNOT_DECIDE, "", "", "nothing was compared")
        _suite(root, "check", report.baseline, [nothing])
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: ElementTree.Element, name: str, baseline: str, findings: Sequence[Finding]) -> None:
    wrong = [finding for finding in findings if finding.verdict in (Verdict.REGRESSED, Verdict.IMPLAUSIBLE)]
    undecided = [finding for finding in findings if finding.verdict is Verdict.CANNOT_DECIDE]
    counts = {"tests": len(findings), "failures": len(wrong), "errors": len(undecided), "skipped": 0}
    suite = ElementTree.SubElement(root, "testsuite", {"name": name, **{key: str(n) for key, n in counts.items()}})
    for finding in findings:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=_clean(f"{baseline}.{finding.check}.{finding.subject}"),
            name=_clean(finding.quantity),
        )
        if finding.verdict is not Verdict.PASS:
            kind = "error" if finding.verdict is Verdict.CANNOT_DECIDE else "failure"
            wrong_with = ElementTree.SubElement(
                case, kind, type=finding.verdict.words, message=_clean(f"{finding.verdict.words}: {finding.reason}")
            )
            wrong_with.text = _clean(f"baseline: {finding.stored}\nnow: {finding.found}\n{finding.reason}")


def _clean(text: str) -> str:
    """Remove the characters that XML cannot hold."""
    return _NOT_IN_XML.sub("?", text)


def gate_report_json(report: GateReport) -> dict[str, Any]:
    """All of the report as JSON values; verdicts by their words, with the exit code of the whole."""
    return {
        "schema": 1,
        "baseline": report.baseline,
        "verdict": report.verdict.words,
        "exit_code": int(report.verdict),
        "notes": list(report.notes),
        "findings": [{**asdict(finding), "verdict": finding.verdict.words} for finding in report.findings],
    }
