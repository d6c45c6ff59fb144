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

from bench.cli import app
from bench.gate import family, statistics
from bench.gate.statistics import attainable, detectable, deviation, fewest_new, permutation_test
from bench.gate.verdict import Verdict

ROOT = Path(__file__).parent.parent
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
    scatter, falls = deviation(stored[:, 0]), new.mean(0) - stored.mean(0)
    assert tested.corrected[0] <= statistics.LEVEL
    assert falls[0] > statistics.MINIMUM * scatter
    assert tested.corrected[1] > statistics.LEVEL
    reach = detectable(12, 4, 2)
    for sentence in (
        f"There are {tested.arrangements} ways to choose 4 of 16 seeds",
        f"in {tested.p[0] * tested.arrangements:.0f} of the {tested.arrangements} ways: p = {tested.p[0]:.2g}. "
        f"In {tested.corrected[0] * tested.arrangements:.0f} of them",
        f"corrected p = {tested.corrected[0]:.2g}, below {statistics.LEVEL:g}",
        f"The mean fell from {-stored[:, 0].mean():g} to {-new[:, 0].mean():g}, by {falls[0]:g}; "
        f"{statistics.MINIMUM:g} standard deviations ({scatter:.3g}) are {statistics.MINIMUM * scatter:.3g}",
        f"{stored[:, 1].mean():.2f} rose to {new[:, 1].mean():.2f}; four new seeds rank so or worse in "
        f"{100 * tested.p[1]:.0f} % of the ways: corrected p = {tested.corrected[1]:.2g}",
        f"a fall of {reach * scatter:.3g} points ({reach:g} standard deviations)",
    ):
        assert sentence in FLAT, sentence


def test_the_numbers_are_those_of_the_code() -> None:
    (seeds, falls) = ([of[0] for of in row(name)] for name in ("new seeds", "fall"))
    assert falls == [detectable(20, int(k), 17) for k in seeds]
    for sentence in (
        f"at most {100 * statistics.LEVEL:g} %",
        f"at least {family.ABOVE_CHANCE:g} points above chance",
        f"more than {statistics.ENUMERATED:,}",
        f"worse by {statistics.MINIMUM:g} standard deviations",
        f"by {family.LEAST_POINTS:g} point of accuracy, or {100 * family.LEAST_SHARE:g} % of a distance",
        f"at {100 * statistics.IMPLAUSIBLE_LEVEL:g} %, with at least {statistics.IMPLAUSIBLE_MINIMUM:g} standard",
        f"between {statistics.FEWEST} and {statistics.MOST}, by the scatter",
        f"(times {statistics.CAUTION:g}, ",
        f"give 1/286, and with 18 series {100 * attainable(10, 3, 18):.1f} %",
        f"{fewest_new(10, 18)} are enough",
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
