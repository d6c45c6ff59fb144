"""`bench baseline` and `bench check` as they are typed: exit codes, reports, and a planted regression, trained."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
import tiny
import toys
from gate_cells import NEW, RECORDED, STORED, save_baseline, stand_in_code_check, train
from stored_cells import fid, store

from bench.checks.gate.baseline import load_baseline
from bench.checks.gate.report import GateReport, gate_report_json, gate_report_junit, gate_report_markdown
from bench.checks.gate.rerun import _overrides, rerun_code
from bench.checks.gate.verdict import Finding, Verdict
from bench.cli.commands import main
from bench.core.errors import Interrupted
from bench.runs.request import Request
from bench.spec.run_spec import Budget, spec_config_from
from bench.store.cell import read_cells
from methods.base import Phase
from methods.cats_udt import CatsUDT
from methods.munit import MUNIT

VERDICTS = {verdict.words: verdict for verdict in Verdict}


@pytest.fixture(autouse=True)
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_code_check(monkeypatch)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["bench", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


# ------------------------------------------------------------------------------------------------ verdicts and reports


def test_exit_codes_and_every_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path, range(STORED))
    save_baseline(tmp_path)
    train(tmp_path, NEW)
    train(tmp_path, range(30, 34), accuracy=-12.0)
    train(tmp_path, range(40, 44), distance=-9.0)
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    base = ["check", "--baseline", "main", "--results", str(tmp_path)]
    for seeds, expected in (("12,13,14,15", 0), ("30,31,32,33", 1), ("40,41,42,43", 2), ("50,51,52,53", 3)):
        files = {name: tmp_path / f"{seeds}.{name}" for name in ("md", "xml", "json")}
        options = ["--out", str(files["md"]), "--junit", str(files["xml"]), "--json", str(files["json"])]
        capsys.readouterr()
        assert call(monkeypatch, *base, "--seeds", seeds, *options) == expected
        printed = capsys.readouterr().out
        assert files["md"].read_text() == printed
        assert printed.startswith(f"# main: {Verdict(expected).words}\n")
        assert summary.read_text().endswith(printed)
        record = json.loads(files["json"].read_text())
        assert (record["exit_code"], record["verdict"]) == (expected, Verdict(expected).words)
        found = [VERDICTS[of["verdict"]] for of in record["findings"]]
        suites = ElementTree.fromstring(files["xml"].read_text()).findall("testsuite")
        assert [suite.get("name") for suite in suites] == ["code check", "training check"]
        wrong = sum(int(suite.get("failures", "")) for suite in suites)
        undecided = sum(int(suite.get("errors", "")) for suite in suites)
        assert wrong == len([case for case in suites[1] if case.find("failure") is not None])
        assert wrong == sum(of in (Verdict.REGRESSED, Verdict.IMPLAUSIBLE) for of in found)
        assert undecided == found.count(Verdict.CANNOT_DECIDE)
    assert summary.read_text().startswith("before\n")
    assert summary.read_text().count("# main: ") == 4


def test_without_seeds_every_new_training_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The trainings of the user's own `run`, and not those of a rerun, which there was not."""
    train(tmp_path, range(STORED))
    save_baseline(tmp_path)
    base = ["check", "--baseline", "main", "--results", str(tmp_path)]
    assert call(monkeypatch, *base) == Verdict.CANNOT_DECIDE
    assert "no new training in the baseline's setting |" in capsys.readouterr().out
    train(tmp_path, NEW)
    assert call(monkeypatch, *base) == Verdict.PASS
    train(tmp_path, range(30, 50), accuracy=-30.0)
    assert call(monkeypatch, *base) == Verdict.REGRESSED


def test_the_code_check_alone_and_its_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path, range(STORED))
    save_baseline(tmp_path)
    base = ["check", "--baseline", "main", "--results", str(tmp_path)]
    assert call(monkeypatch, *base, "--code-only") == 0
    assert call(monkeypatch, *base) == 3  # nothing was trained
    stand_in_code_check(monkeypatch, Verdict.REGRESSED)
    assert call(monkeypatch, *base, "--code-only") == 1
    assert call(monkeypatch, *base) == 1


@pytest.mark.parametrize(
    "words",
    [
        [], ["--baseline", "none"], ["--baseline", "main", "--no-such-option"], ["--baseline", "main", "--seeds", "a"],
        ["--baseline", "main", "--seeds", "0,1,2"], ["--baseline", "main", "--code-only", "--rerun"],
        ["--baseline", "main", "--jobs", "x"],
    ],
)  # fmt: skip
def test_a_mistake_is_not_taken_for_a_verdict(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path, range(2), ("munit",))
    save_baseline(tmp_path)
    assert call(monkeypatch, "check", *words, "--results", str(tmp_path)) == 3
    assert "rror" in capsys.readouterr().err


def test_a_crash_is_not_taken_for_a_regression(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(request: object) -> int:
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr("bench.checks.gate.command.gate_command", broken)
    assert call(monkeypatch, "check", "--baseline", "main") == 3
    assert "a bug of ours" in capsys.readouterr().err

    def stopped(request: object) -> int:
        raise Interrupted(15)

    monkeypatch.setattr("bench.checks.gate.command.gate_command", stopped)
    assert call(monkeypatch, "check", "--baseline", "main") == 143


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['bench', 'check', '--help']\n"
        "from bench.cli.commands import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert not {'torch', 'numpy', 'pandas', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=Path(__file__).parents[2])


def test_reports_hold_what_a_reason_may_hold() -> None:
    odd = Finding("training", "a|b `x`", "<q>", Verdict.REGRESSED, "1 & 2", "\x00\n3", 'crash: "x" <y> | ]]>')
    report = GateReport("main", [odd, Finding("training", "c", "d", Verdict.PASS, "", "", "")], ["a note"])
    text = gate_report_markdown(report)
    (row,) = [line for line in text.splitlines() if "crash" in line]
    assert row.count("|") - row.count("\\|") == 7
    assert text.index("crash") < text.index("| c ")
    failure = ElementTree.fromstring(gate_report_junit(report)).find(".//failure")
    assert failure is not None
    assert failure.get("message") == 'regressed: crash: "x" <y> | ]]>'
    assert gate_report_json(report)["findings"][0]["found"] == "\x00\n3"
    empty = GateReport("main", [])
    assert empty.verdict is Verdict.CANNOT_DECIDE
    assert len(ElementTree.fromstring(gate_report_junit(empty)).findall(".//error")) == 1


# ------------------------------------------------------------------------------------------------------ real trainings


@pytest.fixture
def three_seeds_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings of a second in place of statistics: three seeds decide, and only failures are large enough effects."""
    for module in ("metrics.statistics.permutation", "bench.checks.gate.training"):
        monkeypatch.setattr(f"{module}.LEVEL", 0.2)
    for name, value in (("FEWEST", 3), ("MOST", 3), ("MINIMUM", 1000.0)):
        monkeypatch.setattr(f"metrics.statistics.permutation.{name}", value)


@pytest.mark.usefixtures("tiny_preset", "no_real_files", "three_seeds_suffice")
def test_a_planted_regression_is_found_by_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two methods are stored; a rerun of the same code passes, and one in which a method now diverges does not."""
    shapes = tiny.make_folder(tmp_path / "shapes", per_class=8)
    root = tmp_path / "results"
    common = ["--jobs", "1", "--device", "cpu"]
    what = ["--task", "folder", "--data", str(shapes), "--budget", "images=8", "--methods", "toys:Toy,cyclegan"]
    assert call(monkeypatch, "run", *what, "--seeds", "0,1,2", "--results", str(root), *common) == 0
    assert call(monkeypatch, "baseline", "save", "small", *what, "--results", str(root)) == 0
    clone = tmp_path / "clone"  # the baseline alone, with its judges, as it is in a repository
    shutil.copytree(root / "baselines", clone / "baselines")
    check = ["check", "--baseline", "small", "--results", str(clone), *common]
    capsys.readouterr()
    assert call(monkeypatch, *check, "--rerun") == 0, capsys.readouterr().out
    assert seeds_of(clone) == {3, 4, 5}
    assert call(monkeypatch, *check) == 0  # those of the rerun, without training

    def diverges(self: toys.Toy, batch: toys.ToyBatch) -> Iterator[Phase]:
        yield Phase(("generator",), {"adv": self.generator(batch.x).mean() * float("nan")})

    monkeypatch.setattr(toys.Toy, "training_step", diverges)
    monkeypatch.setattr("bench.checks.gate.rerun.rerun_harness_code", lambda: "of other code")
    capsys.readouterr()
    assert call(monkeypatch, *check, "--rerun") == 1
    assert seeds_of(clone) == {3, 4, 5, 6, 7, 8}  # finished cells prove nothing of other code: the next seeds
    rows = [line for line in capsys.readouterr().out.splitlines() if "| regressed" in line]
    assert len(rows) == 2  # both directions
    assert all("toys:Toy" in line and "3 failed" in line and "not finite" in line for line in rows)

    other = tiny.make_folder(tmp_path / "other", per_class=9)
    assert call(monkeypatch, *check, "--rerun", "--data", str(other)) == 3
    assert "nothing was trained: data version" in capsys.readouterr().out
    assert seeds_of(clone) == {3, 4, 5, 6, 7, 8}


def test_an_interrupted_rerun_goes_on_with_its_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path, range(STORED), ("munit",))
    save_baseline(tmp_path)
    asked: list[Request] = []

    def interrupted(requests: Sequence[Request]) -> int:
        (request,) = requests
        asked.append(request)
        train(tmp_path, request.seeds[:1], ("munit",))
        if len(asked) < 3:
            raise Interrupted(15)
        return 0

    trains_nothing(monkeypatch, interrupted)
    check = ["check", "--baseline", "main", "--results", str(tmp_path), "--rerun"]
    assert call(monkeypatch, *check) == 143
    assert call(monkeypatch, *check) == 143
    assert call(monkeypatch, *check) == 3  # the others are not there
    assert [list(of.seeds) for of in asked] == [[12, 13, 14]] * 3
    assert asked[0].budget == "images=3500"
    call(monkeypatch, *check)
    assert list(asked[-1].seeds) == [13, 14, 15]  # that one is finished, and 12 was used
    asked.clear()
    monkeypatch.setattr("bench.checks.gate.rerun.rerun_harness_code", lambda: "of other code")
    assert call(monkeypatch, *check) == 143
    assert asked[0].seeds[0] == 14


def test_more_seeds_are_trained_of_what_is_in_doubt_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fall that the first seeds cannot prove is proved by the others; a stop between the two steps loses nothing."""
    train(tmp_path, range(STORED), ("munit",))
    train(tmp_path, range(STORED), ("cyclegan",), budget=Budget("images", 7))
    save_baseline(tmp_path)
    asked: list[list[tuple[list[str], list[int], str]]] = []

    def trained(requests: Sequence[Request]) -> int:
        asked.append([(list(of.methods), list(of.seeds), of.budget) for of in requests])
        for of in requests:
            fall = {"accuracy": -6.0} if "cyclegan" in of.methods else {}
            train(tmp_path, of.seeds, of.methods, budget=Budget.parse(of.budget), **fall)
        if len(asked) == 2:
            raise Interrupted(15)
        return 0

    trains_nothing(monkeypatch, trained)
    check = ["check", "--baseline", "main", "--results", str(tmp_path)]
    assert call(monkeypatch, *check, "--rerun") == 143
    assert call(monkeypatch, *check, "--rerun") == 1
    first = [(["cyclegan"], [12, 13, 14], "images=7"), (["munit"], [12, 13, 14], "images=3500")]
    assert asked == [first, [(["cyclegan"], list(range(12, 18)), "images=7")]] * 2
    printed = capsys.readouterr()
    assert "in doubt after 3 seeds, so more are trained: cyclegan" in printed.err
    (row,) = [line for line in printed.out.splitlines() if "| regressed" in line]
    assert "(6 seeds)" in row
    assert call(monkeypatch, *check) == 1  # of each method the seeds of that rerun


def trains_nothing(monkeypatch: pytest.MonkeyPatch, instead: Callable[[Sequence[Request]], int]) -> None:
    monkeypatch.setattr("bench.runs.request.open_request", lambda request: SimpleNamespace(jobs=[]))
    monkeypatch.setattr("bench.runs.run.run_together", instead)


def test_a_default_that_changed_since_is_set_back_for_the_rerun(tmp_path: Path) -> None:
    train(tmp_path, range(2), ("munit",))
    save_baseline(tmp_path)
    baseline = load_baseline(tmp_path, "main")
    config = spec_config_from(MUNIT.Config, baseline.methods["munit"].config)
    assert _overrides(baseline, {"munit": config}) == []
    changed = replace(config, betas=(0.1, 0.2), batch_size=77)
    assert set(_overrides(baseline, {"munit": changed})) == {
        f"munit.betas={json.dumps(list(config.betas))}", f"munit.batch_size={config.batch_size}"
    }  # fmt: skip


def test_a_setting_that_came_since_has_its_default_in_the_rerun(tmp_path: Path) -> None:
    """The preset's new value of it is not what the baseline was trained with."""
    for seed in range(2):
        store(tmp_path, "cats_udt", [fid(1.0 + seed)], seed=seed)
    save_baseline(tmp_path, methods=("cats_udt",))
    baseline = load_baseline(tmp_path, "main")
    config = spec_config_from(CatsUDT.Config, baseline.methods["cats_udt"].config)
    assert _overrides(baseline, {"cats_udt": config}) == []
    semantics = replace(config.semantics, spectral=replace(config.semantics.spectral, sample=9))
    now = replace(config, semantics=semantics)
    assert _overrides(baseline, {"cats_udt": now}) == ["cats_udt.semantics.spectral.sample=0"]


def test_the_code_of_a_method_from_outside_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or else a check without --rerun would take the seeds of the method as it was before, and pass."""
    train(tmp_path, range(2), ("munit",))
    save_baseline(tmp_path)
    baseline = load_baseline(tmp_path, "main")
    (ours,) = baseline.methods.values()
    theirs = replace(baseline, methods={"own_package.method:Own": ours})
    package = tmp_path / "own_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "method.py").write_text("rate = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = rerun_code(theirs), rerun_code(baseline)
    assert (rerun_code(theirs), rerun_code(baseline)) == before
    (package / "method.py").write_text("rate = 2")
    assert rerun_code(theirs) != before[0]
    assert rerun_code(baseline) == before[1]


def test_a_rerun_of_a_folder_that_is_not_named_fails_before_the_code_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline = SimpleNamespace(task="folder", data="auto")
    monkeypatch.setattr("bench.checks.gate.command.load_baseline", lambda results, name: baseline)
    monkeypatch.setattr("bench.checks.gate.command.baseline_folder", lambda results, name: results)
    assert call(monkeypatch, "check", "--baseline", "main", "--rerun", "--results", str(tmp_path)) == 3
    printed = capsys.readouterr()
    assert "does not say where it lies\n  add --data ROOT" in printed.err
    assert printed.out == ""


def seeds_of(root: Path) -> set[int]:
    return {int(cell["spec"]["seed"]) for cell in read_cells(root, "folder")}


def test_a_baseline_without_trainings_decides_the_code_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = tmp_path / "baselines" / "code_alone" / "code"
    stored.mkdir(parents=True)
    (stored / RECORDED).write_text("1.5")
    base = ["check", "--baseline", "code_alone", "--results", str(tmp_path)]
    assert call(monkeypatch, *base, "--code-only") == Verdict.PASS
    assert call(monkeypatch, *base) == Verdict.CANNOT_DECIDE  # no training was compared: never a pass
    assert "has no trainings" in capsys.readouterr().err
