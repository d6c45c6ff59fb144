"""Claims decided on a results folder: whose trainings count, by which protocol, in which setting, and the text."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from claim_cells import record, store, store_stage
from fixed_tables import check_golden
from table_checks import check_latex, compile_latex, parse_html

from bench.core.errors import BenchError
from bench.reporting.claims.claims import SWEEP
from bench.reporting.claims.command import ClaimsRequest, claims_command
from bench.reporting.claims.run import DecidedClaim, run_claims
from bench.reporting.tables.as_csv import HEADER
from bench.reporting.tables.render import FORMATS
from bench.spec.run_spec import Budget
from bench.spec.tasks import get_task
from bench.store.query import Setting

BASELINES = ("cyclegan", "munit", "drit", "stargan_v2:cats", "egsc_it")
M, S = "mnist->svhn", "svhn->mnist"
REQUEST = {
    "task": "", "form": "", "out": None, "details": False, "preset": "", "data": "", "budget": "",
}  # fmt: skip


def decided(root: Path, task: str = "mnist2svhn") -> dict[str, DecidedClaim]:
    """Of the one setting that there is."""
    (decisions,) = run_claims(root, get_task(task))
    return {of.claim.name: of for of in decisions.decided}


def outcome(of: DecidedClaim) -> str:
    assert of.verdict is not None
    return of.verdict.outcome


def whys(of: DecidedClaim) -> set[str]:
    assert of.verdict is not None
    return {part.why for part in of.verdict.parts.values()}


def accuracies(seed: int, forward: float, back: float, fid: float | None = None) -> dict[str, float]:
    """Values that scatter with the seed."""
    values = {f"accuracy-judge-v1 {M}": forward + seed, f"accuracy-judge-v1 {S}": back - seed}
    return values if fid is None else {**values, f"fid-judge-v1 {M}": fid + seed, f"fid-judge-v1 {S}": fid - seed / 2}


def shown(capsys: pytest.CaptureFixture[str], root: Path, **changes: Any) -> str:
    assert claims_command(ClaimsRequest(**{**REQUEST, "results": root, **changes})) == 0
    return capsys.readouterr().out


def rows(text: str) -> dict[str, list[str]]:
    """Claim -> its cells, of the first table."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("| "):
            name, *cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            found.setdefault(name, cells)
    return found


# --------------------------------------------------------------------------------------------------- what is counted


def test_the_methods_as_the_preset_trains_them_are_judged(tmp_path: Path) -> None:
    for seed in range(3):
        store(tmp_path, "cats_udt", accuracies(seed, 90, 80), seed)
        for i, name in enumerate(BASELINES):
            store(tmp_path, name, accuracies(seed, 10 + 12 * i, 20), seed)
        # a setting of somebody's own is another method
        store(tmp_path, "cats_udt", accuracies(seed, 5, 5), seed, changed={"lambda_cyc": 3.0})
    found = decided(tmp_path)
    assert outcome(found["accuracy"]) == "holds"
    # 12 points between each two of the chain, but 32 and not 20 to the last, and deviations of 1
    assert outcome(found["accuracy-order"]) == "holds"
    assert outcome(found["adapted-accuracy"]) == "cannot decide"
    assert whys(found["adapted-accuracy"]) == {"cats_udt:not_adapted: not measured"}
    (decisions,) = run_claims(tmp_path, get_task("mnist2svhn"))
    assert decisions.stored is not None
    assert decisions.stored.left_out() == ["left out: cats_udt, 3 cells: not the preset's settings: lambda_cyc=3.0"]


def test_another_version_or_a_given_checkpoint_is_no_training_of_it(tmp_path: Path) -> None:
    for seed in range(3):
        store(tmp_path, "cats_udt", accuracies(seed, 90, 80), seed)
        store(tmp_path, "cats_udt:not_adapted", accuracies(seed, 5, 5), seed, method_version=99)
        given = {"weights": f"abc{seed}", "budget": Budget("images", 0)}
        store(tmp_path, "cats_udt:not_adapted", accuracies(seed, 5, 5), seed, **given)
    assert outcome(decided(tmp_path)["adapted-accuracy"]) == "cannot decide"


def test_variants_are_paired_and_methods_are_not(tmp_path: Path) -> None:
    for seed in range(3):
        store(tmp_path, "cats_udt", accuracies(10 * seed, 70, 60), seed)
        store(tmp_path, "cats_udt:not_adapted", accuracies(10 * seed + seed, 64, 57), seed)
        store(tmp_path, "cyclegan", accuracies(10 * seed + seed, 64, 57), seed)
    found = decided(tmp_path)
    assert outcome(found["adapted-accuracy"]) == "holds"
    assert {part.test for part in found["adapted-accuracy"].verdict.parts.values()} == {"paired t"}  # type: ignore[union-attr]
    tests = {part.test for part in found["accuracy"].verdict.parts.values()}  # type: ignore[union-attr]
    assert tests == {"Welch's t", ""}


def test_failures_count_crashes_and_running_cells_are_missing(tmp_path: Path) -> None:
    for seed in range(3):
        store(tmp_path, "cats_udt", accuracies(seed, 90, 80), seed)
    store(tmp_path, "cats_udt:not_adapted", seed=0, failed="loss is not finite")
    store(tmp_path, "cats_udt:not_adapted", seed=1, failed="KeyError: 'x'", step=None)
    store(tmp_path, "cats_udt:not_adapted", seed=2, state="running")
    of = decided(tmp_path)["adapted-accuracy"]
    assert outcome(of) == "cannot decide"
    assert whys(of) == {"cats_udt:not_adapted: 0/3 trainings have a value (crashed: KeyError: 'x')"}
    for seed in (3, 4):
        store(tmp_path, "cats_udt:not_adapted", seed=seed, failed="collapsed")
    of = decided(tmp_path)["adapted-accuracy"]
    assert outcome(of) == "holds"  # 3 of 3 above 3 failures: 1 of 20
    (side, _) = of.sides.values()
    assert side.than is not None
    assert side.than.counts == "0/5"
    assert side.than.failures == ("loss is not finite (step 7)", "collapsed (step 7)", "collapsed (step 7)")


def test_styles_are_those_that_the_method_has_by_default(tmp_path: Path) -> None:
    for seed in range(3):
        store(tmp_path, "cats_udt", accuracies(seed, 90, 80), seed)
        cell = store(tmp_path, "cats_udt:not_adapted", accuracies(3 * seed, 50, 40), seed)
        rescored = [record(f"accuracy-judge-v1 {at}", 99.0 + seed) for at in (M, S)]
        cell.metrics("exemplar").write_text(json.dumps({"schema": 2, "records": rescored}))
        both = [record(f"accuracy-judge-v1 {at}", 99.0, encoder="0" * 12) for at in (M, S)]
        kept = json.loads(cell.metrics("noise").read_text())["records"]
        cell.metrics("noise").write_text(json.dumps({"schema": 2, "records": [*both, *kept]}))
    assert outcome(decided(tmp_path)["adapted-accuracy"]) == "holds"


def test_a_value_of_another_judge_does_not_count(tmp_path: Path) -> None:
    for seed in range(3):
        store(tmp_path, "cats_udt", accuracies(seed, 90, 80), seed)
        values = [record(f"accuracy-judge-v1 {at}", 50.0 + seed, encoder="b" * 12) for at in (M, S)]
        store(tmp_path, "cats_udt:not_adapted", values[: 2 if seed else 0], seed)
    of = decided(tmp_path)["adapted-accuracy"]
    assert outcome(of) == "cannot decide"
    assert any("0/3 trainings have a value" in why for why in whys(of))
    (decisions,) = run_claims(tmp_path, get_task("mnist2svhn"))
    assert decisions.stored is not None
    assert any("by other weights" in line for line in decisions.stored.left_out())


# ------------------------------------------------------------------------------------------------------ protocols


def test_one_protocol_judges_a_claim_that_with_most_comparisons(tmp_path: Path) -> None:
    for seed in range(3):
        for i, name in enumerate(("cats_udt", *BASELINES)):
            values = {f"{protocol} {at}": 10.0 * (i + 1) + seed for protocol in ("fid-judge-v1",) for at in (M, S)}
            if name in ("cats_udt", "cyclegan"):  # here CatS-UDT is worse, by the protocol nearest to the paper's
                values |= {f"fid-pytorch-test-v1 {at}": 90.0 - 80 * i + seed for at in (M, S)}
            store(tmp_path, name, values, seed)
    of = decided(tmp_path)["fid"]
    assert (of.protocol, outcome(of)) == ("fid-judge-v1", "holds")
    assert decided(tmp_path)["loss-fid"].protocol == "fid-pytorch-test-v1"  # of equal ones the nearest


def test_other_numbers_of_images_are_not_compared(tmp_path: Path) -> None:
    for seed in range(3):
        store(tmp_path, "cats_udt", accuracies(seed, 90, 80, 10), seed)
        values = [record(f"fid-judge-v1 {at}", 40.0 + seed, n=100) for at in (M, S)]
        store(tmp_path, "cats_udt:not_adapted", values, seed)
    of = decided(tmp_path)["adapted-fid"]
    assert outcome(of) == "cannot decide"
    assert whys(of) == {"other numbers of images (n = 50/200 and n = 100/200)"}


def test_missing_weights_are_the_reason(tmp_path: Path) -> None:
    for seed in range(2):
        for name in ("cats_udt", "cats_udt:none"):
            values = [
                record("lpips-alexnet-v1 sketch->real", None, encoder="", missing="needs: bench fetch alexnet"),
                record("diversity-judge-v1 sketch->real", 0.2 + 0.01 * seed + 0.1 * (name == "cats_udt") * (1 + seed)),
            ]
            store(tmp_path, name, values, seed, "sketch2real")
    of = decided(tmp_path, "sketch2real")["one-style"]
    assert (of.protocol, outcome(of)) == ("diversity-judge-v1", "cannot decide")
    less = decided(tmp_path, "sketch2real")["less-diverse-lpips"]
    assert "cats_udt: 0/2 trainings have a value (not scored by lpips-across-v1)" in {
        reason for why in whys(less) for reason in why.split("; ")
    }


# ------------------------------------------------------------------------------------------------- single claims


def test_the_sweep_is_of_cells_with_other_weights_of_the_loss(tmp_path: Path) -> None:
    for seed in range(3):
        for value in SWEEP:
            values = {f"fid-judge-v1 {M}": 20 + 5 * abs(value - 2) + seed + 0.1 * value * seed}
            values[f"accuracy-judge-v1 {S}"] = 80 - 5 * value + seed * value
            name = {0.0: "cats_udt:no_sem"}.get(value, "cats_udt")
            # 2 as from a file: the same as 2.0
            changed = {} if value in (0, 1) else {"lambda_sem": int(value) if value == 2 else value}
            store(tmp_path, name, values, seed, changed=changed)
    found = decided(tmp_path)
    assert outcome(found["weight-fid"]) == "holds"
    assert outcome(found["weight-accuracy"]) == "holds"
    assert len(found["weight-fid"].sides) == 10


def test_stages_are_judged_against_the_published_level(tmp_path: Path) -> None:
    for seed, off in enumerate((0.0, 0.001, -0.001)):
        store_stage(tmp_path, "imsat", {("mnist", "test"): 0.981 + off, ("mnist", "train"): 0.5}, seed)
        store_stage(tmp_path, "adaptation", {("mnist", "test"): 0.981 + off, ("svhn", "test"): 0.4 + off}, seed)
        store_stage(tmp_path, "imsat", {("mnist", "test"): 0.2 + off}, seed, changed={"space": "images"})
    found = decided(tmp_path)
    assert [outcome(found[name]) for name in ("clusters-mnist", "adapted-mnist", "adapted-svhn")] == [
        "holds", "holds", "fails",
    ]  # fmt: skip
    (finding,) = found["adapted-svhn"].verdict.parts.values()  # type: ignore[union-attr]
    assert finding.advantage == pytest.approx(40 - 88)


def test_stages_belong_to_each_budget_of_their_setting(tmp_path: Path) -> None:
    store_stage(tmp_path, "imsat", {("mnist", "test"): 0.98}, 0)
    store_stage(tmp_path, "imsat", {("mnist", "test"): 0.981}, 1)
    (alone,) = run_claims(tmp_path, get_task("mnist2svhn"))
    assert alone.setting == Setting("embedded", "v1", 16, "quick", "")
    store(tmp_path, "cats_udt", accuracies(0, 90, 80))
    store(tmp_path, "cats_udt", accuracies(0, 90, 80), budget=Budget("images", 100))
    both = run_claims(tmp_path, get_task("mnist2svhn"))
    assert {of.setting.budget for of in both if of.setting} == {"images=9600", "images=100"}
    for decisions in both:
        clusters = next(of for of in decisions.decided if of.claim.name == "clusters-mnist")
        assert outcome(clusters) == "holds"


def test_each_class_must_be_so(tmp_path: Path) -> None:
    def of_tiger(tiger: float) -> DecidedClaim:
        root = tmp_path / str(tiger)
        for seed in range(3):
            for i, name in enumerate(("cats_udt", "cyclegan", "drit", "egsc_it", "stargan_v2:cats")):
                labels = ("all", *get_task("sketch2real").classes)
                fids = {f"fid-judge-v1 sketch->real {label}": 10.0 * (i + 1) + seed for label in labels}
                if name == "cyclegan":
                    fids["fid-judge-v1 sketch->real tiger"] = tiger + seed
                store(root, name, fids, seed, "sketch2real")
        found = decided(root, "sketch2real")
        assert outcome(found["fid"]) == "holds"
        return found["fid-classes"]

    assert outcome(of_tiger(20.0)) == "holds"
    # CycleGAN's are 3 lower, p = 0.01 for 1 comparison of 20; and 5 lower, p = 0.002
    for tiger, expected in ((7.0, "cannot decide"), (5.0, "fails")):
        found = of_tiger(tiger)
        assert outcome(found) == expected
        assert found.verdict is not None
        assert found.verdict.deciding is not None
        assert found.verdict.deciding.sentence() == "sketch->real, tiger: cats_udt < cyclegan"


def test_the_form_that_the_authors_compared_with_comes_first(tmp_path: Path) -> None:
    for seed in range(2):
        store(tmp_path, "cats_udt", accuracies(seed, 90, 80), seed)
        store(tmp_path, "stargan_v2", accuracies(seed, 30, 20), seed)

    def name() -> str:
        of = decided(tmp_path)["accuracy"]
        return next(
            side.than.candidate.label
            for side in of.sides.values()
            if side.than and "stargan" in side.than.candidate.label
        )

    assert name() == "stargan_v2"
    store(tmp_path, "stargan_v2:cats", seed=0, state="running")
    assert name() == "stargan_v2"
    store(tmp_path, "stargan_v2:cats", accuracies(0, 30, 20), 1)
    assert name() == "stargan_v2:cats"


def test_a_task_whose_classes_the_data_decides(tmp_path: Path) -> None:
    for seed in range(3):
        for i, name in enumerate(("cats_udt", "cats_udt:none", "cats_udt:content", "cats_udt:content_vgg")):
            fids = {
                f"fid-judge-v1 sketch->photo {label}": 10.0 * (i + 1) + seed * (i + 1)
                for label in ("all", "dog", "horse")
            }
            store(tmp_path, name, fids, seed, "pacs", kind="real", changed={"clusters": 2}, supervision="weak")
    found = decided(tmp_path, "pacs")
    assert outcome(found["conditioning"]) == "holds"
    assert outcome(found["conditioning-classes"]) == "holds"
    assert {leaf.label for leaf in found["conditioning-classes"].sides} == {"dog", "horse"}
    assert "clusters-reals" not in found


# ------------------------------------------------------------------------------------------------------- settings


def test_settings_are_judged_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(2):
        store(tmp_path, "cats_udt", accuracies(seed, 90, 80), seed)
        store(tmp_path, "cats_udt:not_adapted", accuracies(3 * seed, 50, 40), seed, data_version="v2")
        store(tmp_path, "cats_udt:not_adapted", accuracies(3 * seed, 50, 40), seed, preset="paper")
    text = shown(capsys, tmp_path, task="mnist2svhn")
    titles = [line for line in text.splitlines() if line.startswith("# ")]
    assert titles == [
        "# Claims of the paper on mnist2svhn: quick, embedded data, 16 px, data v1",
        "# Claims of the paper on mnist2svhn: paper, embedded data, 32 px",
        "# Claims of the paper on mnist2svhn: quick, embedded data, 16 px, data v2",
    ]
    assert "holds" not in {cells[2].strip("*") for cells in rows(text).values()}
    text = shown(capsys, tmp_path, task="mnist2svhn", preset="paper")
    assert [line for line in text.splitlines() if line.startswith("# ")] == titles[1:2]


def test_only_the_papers_setting_is_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def here(**changes: Any) -> str:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        n = changes.pop("n", 10_000)
        task = changes.pop("task", "mnist2svhn")
        forward = get_task(task).direction_name((0, 1))
        setting = {"preset": "paper", "kind": "real", **changes}
        store(root, "cats_udt", [record(f"accuracy-judge-v1 {forward}", 90.0, n=n)], task=task, **setting)
        text = shown(capsys, root, task=task)
        return next(line for line in text.splitlines() if line.startswith("- here: "))

    assert here() == "- here: paper, real data, 32 px: the paper's setting"
    for changes, reason in (
        ({"preset": "quick"}, "preset quick, 16 px"),
        ({"kind": "embedded"}, "drawn data"),
        ({"image_size": 16}, "16 px"),
        ({"budget": Budget("images", 7)}, "budget images=7"),
        ({"n": 500}, "500 translated images, not 10000"),
        ({"task": "mnist2usps"}, "task mnist2usps"),
    ):
        assert f"not the paper's setting ({reason}): a verdict is about this setting alone" in here(**changes)


def test_the_papers_setting_comes_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(tmp_path, "cats_udt", accuracies(0, 90, 80))
    store(tmp_path, "cats_udt", [record(f"accuracy-judge-v1 {M}", 90.0, n=10_000)], preset="paper", kind="real")
    text = shown(capsys, tmp_path, task="mnist2svhn")
    assert [line.partition(": ")[2] for line in text.splitlines() if line.startswith("# ")] == [
        "paper, real data, 32 px", "quick, embedded data, 16 px",
    ]  # fmt: skip


def test_without_results_the_published_values_and_commands_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(capsys, tmp_path / "nowhere")
    assert "# Claims of the paper on mnist2svhn\n" in text
    assert "# Claims of the paper on sketch2real\n" in text
    assert text.count("here: nothing measured yet") == 2
    assert {cells[2] for name, cells in rows(text).items() if name != "claim" and "---" not in name} == {
        "cannot decide"
    }
    common = "python -m bench run --task mnist2svhn --preset paper --methods"
    assert f"{common} cats_udt,cyclegan,munit,drit,stargan_v2:cats,egsc_it,cats_udt:no_sem" in text
    assert f"{common} cats_udt --set cats_udt.lambda_sem=10 --seeds 0,1,2" in text
    assert f"{common} cats_udt:moco --set cats_udt:moco.semantics.encoder=moco_v2 --seeds 0,1,2" in text
    assert "python -m bench semantics --task sketch2real --preset paper --stage spectral --seeds 0,1,2" in text
    text = shown(capsys, tmp_path, task="mnist2usps", preset="quick")
    assert "carried over from mnist and svhn: of this task the paper claims nothing" in text
    assert "from mnist to usps, FID falls and then rises" in text


def test_bad_requests_are_refused(tmp_path: Path) -> None:
    for changes, message in (
        ({"task": "mnist2svnh"}, "unknown task"),
        ({"task": "folder"}, "no claim is about"),
        ({"form": "pdf"}, "--format 'pdf'"),
        ({"preset": "quik"}, "--preset 'quik'"),
        ({"data": "drawn"}, "--data 'drawn'"),
    ):
        with pytest.raises(BenchError, match=message):
            claims_command(ClaimsRequest(**{**REQUEST, "results": tmp_path, **changes}))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------ renderings


def everything(root: Path) -> None:
    """Each verdict, and each reason to have none."""
    for seed in range(3):
        store(root, "cats_udt", accuracies(seed, 90, 70, 10), seed)
        for i, name in enumerate(("cyclegan", "munit", "stargan_v2", "egsc_it")):
            weak = "weak" if name == "egsc_it" else "none"
            cell = store(root, name, accuracies(seed, 10 + 15 * i, 20, 9.5 + 8 * i), seed, supervision=weak)
            if name == "egsc_it":
                cell.pretrained.write_text('["stand_in"]')
        store(root, "cats_udt:not_adapted", accuracies(3 * seed, 95, 90, 40), seed)
        store(root, "cats_udt:none", accuracies(2 * seed, 90, 68, 30), seed)
        store(root, "cats_udt", {f"fid-judge-v1 {M}": 30.0 + seed}, seed, changed={"lambda_sem": 10.0})
        store_stage(root, "imsat", {("mnist", "test"): 0.98 + 0.001 * seed}, seed)
    store(root, "drit", accuracies(0, 11, 12, 50), 0)
    store(root, "drit", seed=1, failed="loss is not finite")
    store(root, "cats_udt:content", accuracies(0, 90, 70, 11), 0)
    store(root, "cats_udt:no_sem", accuracies(0, 30, 20, 60), 0)
    store(root, "cats_udt:no_sem", seed=1, state="running")
    store(root, "cats_udt", accuracies(0, 1, 1), changed={"lambda_cyc": 2.0})


@pytest.mark.parametrize("form", FORMATS)
def test_golden(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    everything(tmp_path)
    text = shown(capsys, tmp_path, task="mnist2svhn", form=form, details=form != "html")
    check_golden(f"claims{FORMATS[form][0]}", text)
    if form == "html":
        parse_html(text.partition("<body>")[2].partition("</body>")[0])
    if form == "latex":
        tables = [f"% in the{part}" for part in text.split("% in the")[1:]]
        for table, columns in zip(tables, (11, 9), strict=True):
            check_latex(table, columns)
    if form == "csv":
        lines = list(csv.DictReader(io.StringIO(text)))
        assert {len(line) for line in lines} == {len(HEADER)}
        assert {line["text"] for line in lines if line["column"] == "here"} == {"holds", "fails", "cannot decide"}
        assert len({line["table"] for line in lines}) == 2


def test_the_tables_compile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    everything(tmp_path)
    text = shown(capsys, tmp_path, form="latex", details=True)
    compile_latex([f"% in the{part}" for part in text.split("% in the")[1:]], tmp_path)


def test_a_file_takes_its_form_from_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "claims.html"
    assert shown(capsys, tmp_path, task="sketch2real", out=out) == ""
    assert out.read_text().startswith("<!DOCTYPE html>")
    parse_html(out.read_text().partition("<body>")[2].partition("</body>")[0])
