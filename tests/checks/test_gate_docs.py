"""What docs/gate.md says: its worked example and its numbers, from the code; and the workflow that it offers."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from bench.checks.gate import family
from bench.checks.gate.verdict import Verdict
from bench.cli.commands import app
from metrics.statistics import permutation as statistics
from metrics.statistics.permutation import (
    permutation_bound,
    permutation_detects,
    permutation_fewest,
    permutation_least_fall,
    permutation_test,
    permutation_worsening,
)

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "gate.md").read_text()
FLAT = " ".join(TEXT.split())


def row(name: str) -> list[list[float]]:
    """Numbers in the cells of a row of a table."""
    (line,) = [line for line in TEXT.splitlines() if line.startswith(f"| {name} |")]
    return [[float(word) for word in cell.split()] for cell in line.split("|")[2:-1]]


def test_the_worked_example_is_what_the_code_computes() -> None:
    (stored_accuracy, accuracy), (stored_distance, distance) = row("accuracy %"), row("distance")
    stored = np.column_stack([-np.array(stored_accuracy), stored_distance])
    new = np.column_stack([-np.array(accuracy), distance])
    tested = permutation_test(stored, new)
    assert tested.corrected[0] <= statistics.LEVEL < tested.corrected[1]
    scatter, (fall, rise) = statistics.scatter(stored[:, 0]), map(permutation_worsening, stored.T, new.T)
    least, early = statistics.MINIMUM * scatter, permutation_worsening(stored[:, 0], new[: statistics.FIRST, 0])
    assert fall > least
    assert early > statistics.DOUBT * least
    reach = permutation_least_fall(stored[:, 0], 6, 2)
    for sentence in (
        f"scatters by {scatter:.3g} points; what counts is a fall of {statistics.MINIMUM:g} times that, {least:.3g}",
        f"are lower by {early:g} (the median of their {statistics.FIRST * len(stored)} differences): more than two",
        f"There are {tested.arrangements} ways to choose 6 of 18 seeds",
        f"in {tested.p[0] * tested.arrangements:.0f} of them it ranks as badly as with the new ones: "
        f"p = {tested.p[0]:.2g}. In {tested.corrected[0] * tested.arrangements:.0f} of them",
        f"corrected p = {tested.corrected[0]:.2g}, below {statistics.LEVEL:g}. All six are lower by {fall:g}",
        f"higher by {rise:.2g}; the six new seeds rank so or worse in {100 * tested.p[1]:.0f} % of the ways: "
        f"corrected p = {tested.corrected[1]:.2g}",
        f"a fall of {reach:.3g} points would be found",
    ):
        assert sentence in FLAT, sentence


def test_the_numbers_are_those_of_the_code() -> None:
    (seeds, falls) = ([of[0] for of in row(name)] for name in ("new seeds", "fall"))
    assert falls == [permutation_detects(20, int(k), 17) for k in seeds]
    for sentence in (
        f"at most {100 * statistics.LEVEL:g} %",
        f"at least {family.ABOVE_CHANCE:g} points above chance",
        f"more than {statistics.ENUMERATED:,}",
        f"worse by {statistics.MINIMUM:g} times the scatter",
        f"chance (above {100 * statistics.FAILURES_LEVEL:g} %)",
        f"by {family.LEAST_POINTS:g} point of accuracy or alignment, or {100 * family.LEAST_SHARE:g} % of a distance",
        f"at {100 * statistics.IMPLAUSIBLE_LEVEL:g} %, with at least {statistics.IMPLAUSIBLE_MINIMUM:g} times",
        f"trains {statistics.FIRST} new seeds of each method first",
        f"worse by {'two thirds' if statistics.DOUBT == 2 / 3 else statistics.DOUBT} of the minimum effect",
        f"in {100 * statistics.PLANNED:g} of 100 checks, between {statistics.FEWEST} and {statistics.MOST}, if new",
        f"moved at random by {'half' if statistics.SMOOTHING == 0.5 else statistics.SMOOTHING} of the scatter",
        f"give 1/286, and with 18 series {100 * permutation_bound(10, 3, 18):.1f} %",
        f"{permutation_fewest(10, 18)} are enough",
    ):
        assert sentence in FLAT, sentence
    for verdict in Verdict:
        assert f"| {int(verdict)} | {verdict.words} |" in TEXT


def commands(text: str) -> list[list[str]]:
    """Words after `python -m bench` in every line that has it."""
    found = re.findall(r"python -m bench ([^#\n]+)", text)
    return [shlex.split(words) for words in found]


def test_the_workflow_is_yaml_and_its_commands_exist() -> None:
    text = (ROOT / "examples" / "gate_workflow" / "udt-bench-gate.yml").read_text()
    jobs = yaml.safe_load(text)["jobs"]
    assert set(jobs) == {"code", "training"}
    runs = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert sum("bench check" in line for line in runs) == 2
    assert not any("|| true" in line or "continue-on-error" in text for line in runs)  # the verdict must count
    for job in jobs.values():
        assert all("uses" in step or "run" in step for step in job["steps"])


@pytest.mark.parametrize("words", commands(TEXT + (ROOT / "examples/gate_workflow/udt-bench-gate.yml").read_text()))
def test_every_command_is_understood(words: list[str]) -> None:
    parsed = CliRunner().invoke(app, [*words, "--help"])
    assert parsed.exit_code == 0, parsed.output
    command = get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words[0]]
        words = words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
