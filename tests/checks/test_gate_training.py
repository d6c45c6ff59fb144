"""Baselines and the training check on stored cells: what is kept, what is compared, and each verdict."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from gate_cells import METHODS, NEW, RECORDED, STORED, save_baseline, stand_in_code_check, store_judge, train, values
from stored_cells import JUDGE, fid, judged, store

from bench.checks.gate.baseline import Baseline, baseline_folder, find_baselines, load_baseline
from bench.checks.gate.family import plan_family, watched_series
from bench.checks.gate.save import list_saved_baselines
from bench.checks.gate.training import compare_training, methods_in_doubt
from bench.checks.gate.trainings import TrainingMeasure
from bench.checks.gate.verdict import Finding, Verdict, decide_verdict
from bench.core.errors import BenchError
from bench.spec import protocols as protocol
from bench.spec.protocols import NO_CATEGORIES
from bench.spec.run_spec import Budget
from metrics.statistics.permutation import MINIMUM

ACCURACY = TrainingMeasure("sketch->real", "accuracy-judge-v1")


@pytest.fixture(autouse=True)
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_code_check(monkeypatch)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a baseline of twelve seeds."""
    root = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        stand_in_code_check(patch)
        train(root, range(STORED))
        store_judge(root)
        save_baseline(root)
    return root


@pytest.fixture
def root(kept: Path, tmp_path: Path) -> Path:
    """The baseline alone, as it is in a repository."""
    shutil.copytree(kept / "baselines", tmp_path / "baselines")
    return tmp_path


@pytest.fixture
def baseline(root: Path) -> Baseline:
    return load_baseline(root, "main")


def verdicts(baseline: Baseline, root: Path, **options: object) -> dict[str, Finding]:
    findings = compare_training(baseline, root, **options).findings  # type: ignore[arg-type]
    return {f"{of.subject.split()[0]} {of.quantity.split('-')[0]}": of for of in findings}


# ---------------------------------------------------------------------------------------------------------- baselines


def test_a_baseline_keeps_raw_values_and_all_that_they_depend_on(root: Path, baseline: Baseline) -> None:
    folder = baseline_folder(root, "main")
    assert (folder / "code" / RECORDED).exists()
    assert (folder / "judges" / "real-0123456789ab" / "weights.safetensors").read_bytes() == b"weights"
    assert baseline.seeds == tuple(range(STORED))
    assert set(baseline.methods) == set(METHODS)
    assert (baseline.classes, baseline.data, baseline.shared.preset) == (5, "embedded", "quick")
    for method in METHODS:
        made = baseline.methods[method].made[ACCURACY]
        assert made == (JUDGE, 500, 0)
        assert baseline.methods[method].config
        for seed, of in baseline.of(method).items():
            assert of.values[ACCURACY] == values(method, seed)[0]["value"]  # not a digit is lost
            assert len(of.identity) == 12
    assert baseline.protocols["fid-judge-v1"]["formula"].startswith("|m1-m2|²")
    assert ("main", folder) in find_baselines(root)
    assert "main  sketch2real, quick, 2 methods x 12 seeds" in list_saved_baselines(root)


def test_accuracy_is_watched_only_where_there_is_something_to_lose(baseline: Baseline) -> None:
    family = [(of.method, of.measure.protocol) for of in watched_series(baseline)]
    assert family == [
        ("cyclegan", "accuracy-judge-v1"), ("cyclegan", "fid-judge-v1"), ("munit", "fid-judge-v1"),
    ]  # fmt: skip
    of = plan_family(baseline)
    assert (of.first, set(of.new)) == (3, set(METHODS))
    assert all(count >= 6 for count in of.new.values())


def test_without_classes_the_distance_of_patches_is_compared(tmp_path: Path) -> None:
    def run_seeds(seeds: range, worse: float = 0.0) -> None:
        for seed in seeds:
            value = 0.2 + 0.01 * np.random.default_rng(seed).normal() + worse
            store(
                tmp_path, "cyclegan", [fid(value, protocol=protocol.WEIGHTLESS, metric="swd", encoder="pixels")], seed
            )

    run_seeds(range(STORED))
    save_baseline(tmp_path, val="train")
    baseline = load_baseline(tmp_path, "main")
    assert baseline.val == "train"
    assert [(of.method, of.measure.protocol) for of in watched_series(baseline)] == [("cyclegan", protocol.WEIGHTLESS)]
    run_seeds(NEW, worse=0.2)
    assert verdicts(baseline, tmp_path)["cyclegan swd"].verdict is Verdict.REGRESSED


def test_a_shipped_baseline_is_found_after_the_results_folders(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, shipped = root / "other", root / "shipped"
    shutil.copytree(root / "baselines", shipped)
    monkeypatch.setattr("bench.checks.gate.baseline._places", lambda of: (of / "baselines", shipped))
    assert baseline_folder(other, "main") == shipped / "main"
    assert baseline_folder(root, "main") == root / "baselines" / "main"


def test_what_cannot_be_a_baseline_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    train(tmp_path, range(3))
    store(tmp_path, "munit", [fid(1.0, n=7)], seed=3)
    store(tmp_path, "cyclegan", [fid(1.0)], seed=3, budget=images(7))
    for options, expected in (
        ({"methods": ("munit",)}, "not all scored alike: seed 3 differs in"),
        ({"budget": "images=7"}, "1 seeds of which every method"),
        ({"seeds": (0, 1, 9), "methods": ("munit",)}, "munit has no finished training of seed 9"),
        ({"methods": ("drit",)}, "there are no trainings of drit"),
        ({"task": "mnist2svhn"}, "no trainings of mnist2svhn"),
        ({"data": "real"}, "no trainings of sketch2real"),
        ({}, "trainings of several settings: embedded data v1, images=3500; embedded data v1, images=7"),
        ({"name": "../x", "methods": ("munit",), "seeds": (0, 1)}, "cannot be a baseline's name"),
    ):
        with pytest.raises(BenchError, match=expected):
            save_baseline(tmp_path, **options)
        assert not list(tmp_path.glob("baselines/*"))
    save_baseline(tmp_path, methods=("munit",), seeds=(0, 1, 2))
    with pytest.raises(BenchError, match="is there already"):
        save_baseline(tmp_path, methods=("munit",), seeds=(0, 1, 2))


def images(count: int) -> Budget:
    return Budget("images", count)


def test_a_damaged_baseline_is_named(root: Path) -> None:
    path = root / "baselines" / "main" / "baseline.json"
    stored = json.loads(path.read_text())
    del stored["trainings"][3]
    path.write_text(json.dumps(stored))
    with pytest.raises(BenchError, match="does not have the trainings of every seed"):
        load_baseline(root, "main")
    path.write_text(json.dumps({"schema": 99}))
    with pytest.raises(BenchError, match="schema 99"):
        load_baseline(root, "main")
    with pytest.raises(BenchError, match="did you mean 'main'"):
        load_baseline(root, "mian")


def test_each_method_has_its_own_length(tmp_path: Path) -> None:
    train(tmp_path, range(STORED), ("munit",))
    train(tmp_path, range(STORED), ("cyclegan",), budget=images(7))
    save_baseline(tmp_path)
    baseline = load_baseline(tmp_path, "main")
    assert {name: of.budget for name, of in baseline.methods.items()} == {
        "cyclegan": "images=7",
        "munit": "images=3500",
    }
    train(tmp_path, NEW)  # both as long as MUNIT's
    found = verdicts(baseline, tmp_path)
    assert found["munit fid"].verdict is Verdict.PASS
    assert found["cyclegan fid"].verdict is Verdict.CANNOT_DECIDE
    assert "budget images=3500 (the baseline: images=7)" in found["cyclegan fid"].reason
    train(tmp_path, NEW, ("cyclegan",), budget=images(7))
    assert decide_verdict(compare_training(baseline, tmp_path).findings) is Verdict.PASS


# ----------------------------------------------------------------------------------------------------------- verdicts


def test_unchanged_code_passes(root: Path, baseline: Baseline) -> None:
    train(root, NEW)
    found = verdicts(baseline, root)
    assert {name: of.verdict for name, of in found.items()} == dict.fromkeys(
        ("cyclegan accuracy", "cyclegan fid", "munit fid"), Verdict.PASS
    )
    of = found["cyclegan accuracy"]
    assert "(12 seeds)" in of.stored
    assert "(4 seeds)" in of.found
    assert "a fall of" in of.reason


def test_a_fall_of_ten_points_is_found_where_it_is(root: Path, baseline: Baseline) -> None:
    train(root, NEW, ("cyclegan",), accuracy=-10.0)
    train(root, NEW, ("munit",))
    found = verdicts(baseline, root)
    assert [name for name, of in found.items() if of.verdict is Verdict.REGRESSED] == ["cyclegan accuracy"]
    assert "worse by" in found["cyclegan accuracy"].reason
    assert found["cyclegan fid"].verdict is Verdict.PASS


def test_a_rise_of_a_distance_is_found_and_a_fall_is_implausible(root: Path, baseline: Baseline) -> None:
    train(root, NEW, ("cyclegan",), distance=8.0)
    train(root, NEW, ("munit",), distance=-8.0)
    found = verdicts(baseline, root)
    assert found["cyclegan fid"].verdict is Verdict.REGRESSED
    assert found["munit fid"].verdict is Verdict.IMPLAUSIBLE
    assert found["cyclegan accuracy"].verdict is Verdict.PASS


def test_a_change_below_the_minimum_effect_passes_and_says_so(root: Path, baseline: Baseline) -> None:
    series = watched_series(baseline)[0]
    assert series.minimum == MINIMUM * series.scatter
    best = min(of.values[ACCURACY] for of in baseline.of("cyclegan").values())
    middle = -float(np.median(series.stored))
    low = max(best - 0.01, middle - series.minimum + 0.01)  # below all but a few of the baseline's, yet near them
    for seed in range(STORED, STORED + 10):
        store(root, "cyclegan", [judged(low), values("cyclegan", seed)[1]], seed=seed)
    train(root, range(STORED, STORED + 10), ("munit",))
    of = verdicts(baseline, root)["cyclegan accuracy"]
    assert of.verdict is Verdict.PASS
    assert "less than the smallest change that counts" in of.reason


def test_without_any_scatter_a_point_is_still_no_regression_and_two_are(tmp_path: Path) -> None:
    for seed in range(STORED):
        store(tmp_path, "cyclegan", [judged(100.0), fid(2.0)], seed=seed)
    save_baseline(tmp_path)
    baseline = load_baseline(tmp_path, "main")
    for first, accuracy, expected in (
        (20, 100.0, Verdict.PASS),
        (30, 99.2, Verdict.PASS),
        (40, 98.0, Verdict.REGRESSED),
    ):
        for seed in range(first, first + 4):
            store(tmp_path, "cyclegan", [judged(accuracy), fid(2.0)], seed=seed)
        found = verdicts(baseline, tmp_path, seeds=range(first, first + 4))
        assert found["cyclegan accuracy"].verdict is expected
        assert found["cyclegan fid"].verdict is Verdict.PASS


def test_categories_that_no_longer_name_the_classes_are_found(tmp_path: Path) -> None:
    """The alignment of a method that has categories is watched; that of the other, a dash, is not."""

    def train_both(seeds: range, alignment: float) -> None:
        for seed in seeds:
            rng = np.random.default_rng(seed)
            for method, share in (("cats_udt", alignment + rng.normal()), ("cyclegan", None)):
                aligned = fid(
                    share, metric="alignment", protocol="alignment-v1", n_reference=0, encoder="categories",
                    missing="" if share is not None else NO_CATEGORIES,
                )  # fmt: skip
                store(tmp_path, method, [judged(90 + rng.normal()), fid(10 + rng.normal()), aligned], seed=seed)

    train_both(range(STORED), 90.0)
    save_baseline(tmp_path)
    baseline = load_baseline(tmp_path, "main")
    watched = [(of.method, of.measure.protocol) for of in watched_series(baseline)]
    assert watched.count(("cats_udt", "alignment-v1")) == 1
    assert ("cyclegan", "alignment-v1") not in watched
    for first, alignment, expected in ((20, 90.0, Verdict.PASS), (30, 80.0, Verdict.REGRESSED)):
        train_both(range(first, first + 4), alignment)
        found = verdicts(baseline, tmp_path, seeds=range(first, first + 4))
        assert found["cats_udt alignment"].verdict is expected
        assert found["cats_udt accuracy"].verdict is found["cyclegan fid"].verdict is Verdict.PASS


def test_few_seeds_pass_where_they_look_well_and_are_in_doubt_where_not(root: Path, baseline: Baseline) -> None:
    """Methods have their own numbers of seeds, and what is said of one does not follow from the other's."""
    good = range(30, 34)
    train(root, good)
    assert methods_in_doubt(baseline, root, good[:3]) == []
    found = verdicts(baseline, root, seeds={"cyclegan": good, "munit": good[:3]})
    assert found["munit fid"].verdict is Verdict.PASS
    assert "(3 seeds)" in found["munit fid"].found
    assert "a rise of 2.22 is found in 9 of 10 checks" in found["munit fid"].reason  # as the other 3 would be trained
    train(root, NEW, ("cyclegan",), accuracy=-2.5)
    train(root, NEW, ("munit",))
    assert methods_in_doubt(baseline, root, NEW[:3]) == ["cyclegan"]
    train(root, range(40, 43), distance=-3.0)
    assert methods_in_doubt(baseline, root, range(40, 43)) == list(METHODS)  # far better is looked at, too
    comparison = compare_training(baseline, root, {"cyclegan": NEW[:3], "munit": NEW})
    assert decide_verdict(comparison.findings) is Verdict.PASS
    assert comparison.notes[0].endswith("new seeds: 12, 13, 14 (cyclegan); 12, 13, 14, 15 (munit)")
    assert "cyclegan looks worse or far better after 3 seeds: more is found with 6" in comparison.notes


def test_a_failure_among_the_first_seeds_calls_for_more_of_them(root: Path, baseline: Baseline) -> None:
    train(root, range(30, 33), ("munit",))
    train(root, range(30, 32), ("cyclegan",))
    store(root, "cyclegan", [], seed=32, failed="loss is not finite")
    assert methods_in_doubt(baseline, root, range(30, 33)) == ["cyclegan"]
    assert methods_in_doubt(baseline, root, range(30, 34)) == []  # what is not there is no reason to train more


# ------------------------------------------------------------------------------------------------------ cannot decide


def test_too_few_seeds_decide_nothing_and_the_number_needed_is_told(root: Path, baseline: Baseline) -> None:
    train(root, NEW[:1], accuracy=-60.0, distance=100.0)
    for of in verdicts(baseline, root).values():
        assert of.verdict is Verdict.CANNOT_DECIDE
        assert "at least 3 new seeds are needed" in of.reason  # 3 series: 3 / 91 > 2.5 % >= 3 / 455


def test_nothing_new_is_no_pass(root: Path, baseline: Baseline) -> None:
    found = compare_training(baseline, root).findings
    assert decide_verdict(found) is Verdict.CANNOT_DECIDE
    assert all("no new training" in of.reason for of in found)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data_version": "v2"}, "data version v2 (the baseline: v1)"),
        ({"preset": "paper"}, "preset paper (the baseline: quick)"),
        ({"kind": "real"}, "data real (the baseline: embedded)"),
        ({"changed": {"pool_size": 3}}, "pool_size=3 (the baseline: 50)"),
    ],
)
def test_another_setting_is_no_pass_and_is_named(
    changes: dict[str, object], told: str, root: Path, baseline: Baseline
) -> None:
    train(root, NEW, ("munit",))
    train(root, NEW, ("cyclegan",), **changes)
    found = verdicts(baseline, root)
    assert found["munit fid"].verdict is Verdict.PASS
    for name in ("cyclegan accuracy", "cyclegan fid"):
        assert found[name].verdict is Verdict.CANNOT_DECIDE
        assert told in found[name].reason


def test_a_new_setting_of_a_method_does_not_end_its_baseline(root: Path, baseline: Baseline) -> None:
    train(root, NEW, ("munit",))
    train(root, NEW, ("cyclegan",), changed={"added_since": 1})
    assert decide_verdict(compare_training(baseline, root).findings) is Verdict.PASS
    store(root, "cyclegan", values("cyclegan", 12), seed=12, changed={"added_since": 2})
    with pytest.raises(BenchError, match="two trainings of cyclegan with seed 12"):
        compare_training(baseline, root)


def test_another_judge_or_number_of_images_or_definition_is_no_pass(
    root: Path, baseline: Baseline, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(root, NEW, ("munit",))
    for seed in NEW:
        accuracy, distance = values("cyclegan", seed)
        store(root, "cyclegan", [{**accuracy, "encoder": "b" * 12}, {**distance, "n": 99}], seed=seed)
    found = verdicts(baseline, root)
    assert "scored by other weights (bbbbbbbbbbbb; the baseline: aaaaaaaaaaaa)" in found["cyclegan accuracy"].reason
    assert "scored with 99 and 200 images (the baseline: 100 and 200)" in found["cyclegan fid"].reason
    assert found["munit fid"].verdict is Verdict.PASS
    changed = dataclasses.replace(protocol.PROTOCOLS["fid-judge-v1"], formula="another")
    monkeypatch.setitem(protocol.PROTOCOLS, "fid-judge-v1", changed)
    found = verdicts(baseline, root)
    assert found["munit fid"].verdict is Verdict.CANNOT_DECIDE
    assert "defined otherwise" in found["munit fid"].reason


def test_a_missing_seed_of_one_method_leaves_the_others_compared(root: Path, baseline: Baseline) -> None:
    train(root, NEW, ("cyclegan",), distance=30.0)
    train(root, NEW[:-1], ("munit",))
    store(root, "munit", [], seed=NEW[-1], state="running")
    found = verdicts(baseline, root)
    assert found["munit fid"].verdict is Verdict.CANNOT_DECIDE
    assert "seed 15: not finished (interrupted)" in found["munit fid"].reason
    assert found["cyclegan fid"].verdict is Verdict.REGRESSED


def test_the_baselines_own_seeds_are_no_new_ones(root: Path, baseline: Baseline) -> None:
    with pytest.raises(BenchError, match="seed 3 is the baseline's own"):
        compare_training(baseline, root, [3, 12])


# ---------------------------------------------------------------------------------------------------- failed trainings


def test_one_failed_training_is_neither_a_pass_nor_proof_and_all_of_them_are(root: Path, baseline: Baseline) -> None:
    train(root, NEW, ("munit",))
    train(root, NEW[:-1], ("cyclegan",))
    store(root, "cyclegan", [], seed=NEW[-1], failed="loss is not finite")
    of = verdicts(baseline, root)["cyclegan accuracy"]
    assert of.verdict is Verdict.CANNOT_DECIDE
    assert "1 of 4 trainings failed, of the baseline's 0 of 12" in of.reason
    assert "loss is not finite" in of.reason
    for seed in range(30, 34):
        store(root, "cyclegan", [], seed=seed, failed="loss is not finite")
    train(root, range(30, 34), ("munit",))
    found = verdicts(baseline, root, seeds=range(30, 34))
    for name in ("cyclegan accuracy", "cyclegan fid"):
        assert found[name].verdict is Verdict.REGRESSED
        assert found[name].found == "4 failed"
    assert found["munit fid"].verdict is Verdict.PASS


def test_failures_that_the_baseline_knows_are_not_held_against_the_code(tmp_path: Path) -> None:
    for first in (0, 100):
        for seed in range(first, first + (STORED if first == 0 else 4)):
            failed = "diverged" if seed % 2 else ""
            store(tmp_path, "munit", [] if failed else values("munit", seed), seed=seed, failed=failed)
        if first == 0:
            save_baseline(tmp_path)
    (of,) = compare_training(load_baseline(tmp_path, "main"), tmp_path).findings
    assert of.verdict is Verdict.PASS
    assert "(6 seeds, 6 failed)" in of.stored
    assert "diverged" in of.reason


def test_one_more_failure_than_in_twelve_is_chance_and_many_more_are_not(tmp_path: Path) -> None:
    for seed in range(STORED):
        failed = "diverged" if seed == 5 else ""
        store(tmp_path, "munit", [] if failed else values("munit", seed), seed=seed, failed=failed)
    save_baseline(tmp_path)
    baseline = load_baseline(tmp_path, "main")
    for first, failures, expected in (
        (20, 1, Verdict.PASS),
        (30, 3, Verdict.CANNOT_DECIDE),
        (40, 6, Verdict.REGRESSED),
    ):
        for seed in range(first, first + 6):
            failed = "diverged" if seed < first + failures else ""
            store(tmp_path, "munit", [] if failed else values("munit", 5), seed=seed, failed=failed)
        (of,) = compare_training(baseline, tmp_path, range(first, first + 6)).findings
        assert of.verdict is expected, (failures, of.reason)
        assert f"seed {first}: diverged" in of.reason
