"""The code check passes with today's code, and finds each of the faults that it is there for."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import bench.checks.gate.code.code_check as gate
from bench.checks.gate.code import comparing, stored
from bench.checks.gate.code.code_check import SHIPPED, record_code_check, run_code_check
from bench.checks.gate.code.smallest import METHODS
from bench.checks.gate.code.values import Value, Values
from bench.checks.gate.verdict import Finding, Verdict, decide_verdict
from bench.cli.commands import main
from bench.core.errors import BenchError
from methods.base import Translator
from methods.parts.global_draws import global_draws
from methods.registry import BUILT_IN

installed_libraries = gate._libraries
SUBJECTS = [
    "metrics", "data of sketch2real", "data of mnist2svhn", "image ranges", "lpips", "judge", "scoring",
    *BUILT_IN, *(f"{name}: translations" for name in BUILT_IN),
]  # fmt: skip


@pytest.fixture(autouse=True)
def libraries_of_the_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted faults are told from the libraries' whatever is installed: its versions pass for the recorded ones."""
    monkeypatch.setattr(gate, "_libraries", shipped_libraries)


def shipped_libraries() -> dict[str, str]:
    """Name -> version that the shipped baseline was recorded with."""
    recorded: dict[str, str] = json.loads((SHIPPED / "expected.json").read_text())["recorded_with"]
    return recorded


def regressed(*subjects: str) -> list[Finding]:
    """The findings against the shipped baseline, every one of which is a regression."""
    found = run_code_check(SHIPPED, subjects)
    assert {finding.verdict for finding in found} == {Verdict.REGRESSED}, found
    assert {finding.subject for finding in found} == set(subjects)
    assert all(finding.reason for finding in found)
    return found


def planted(monkeypatch: pytest.MonkeyPatch, target: str, change: Callable[[Any], Any]) -> None:
    """Put `change(original)` in the place of `package.module.name`."""
    module, _, name = target.rpartition(".")
    monkeypatch.setattr(target, change(getattr(import_module(module), name)))


# ------------------------------------------------------------------------------------------------- unchanged code


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_shipped_baseline_passes_under_other_global_seeds(subject: str) -> None:
    with global_draws(len(subject)):
        found = run_code_check(SHIPPED, [subject])
    assert [(finding.subject, finding.verdict) for finding in found] == [(subject, Verdict.PASS)], found


@pytest.mark.slow
def test_a_check_of_everything_passes_twice_and_in_any_order_of_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_code_check(SHIPPED)
    assert decide_verdict(first) == Verdict.PASS, first
    assert sorted(finding.subject for finding in first) == sorted(SUBJECTS)
    monkeypatch.setattr(gate, "METHODS", dict(reversed(METHODS.items())))
    with global_draws(7):
        again = run_code_check(SHIPPED)
    assert sorted(map(repr, again)) == sorted(map(repr, first))


@pytest.mark.slow
def test_what_is_recorded_anew_passes_and_is_small(tmp_path: Path) -> None:
    record_code_check(tmp_path)
    assert decide_verdict(run_code_check(tmp_path)) == Verdict.PASS
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1.3e6
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in SHIPPED.iterdir()}


# --------------------------------------------------------------------------------------------------- planted faults


@pytest.mark.parametrize(
    ("method", "function", "loss"),
    [
        ("cyclegan", "least_squares_loss", "loss gan_ab"),
        ("munit", "l1_loss", "loss "),
        ("drit", "logistic_loss", "loss "),
        ("stargan_v2", "logistic_loss", "loss "),
        ("egsc_it", "least_squares_loss", "loss "),
        ("cats_udt", "logistic_loss", "loss "),
    ],
)
def test_a_wrong_sign_in_one_loss(method: str, function: str, loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(
        monkeypatch, f"methods.{method}.{function}", lambda original: lambda *given, **named: -original(*given, **named)
    )
    first = regressed(method)[0]
    assert first.quantity.startswith(loss)
    assert ", step 0, phase " in first.quantity
    assert float(first.stored) == pytest.approx(-float(first.found), rel=0.1)


def test_a_gradient_that_is_lost_while_every_loss_of_its_phase_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(
        monkeypatch, "methods.cyclegan.l1_loss", lambda original: lambda a, b: original(a.detach(), b) + 0 * a.mean()
    )
    first = regressed("cyclegan")[0]
    assert first.quantity.startswith("gradient norm of generator_")
    assert ", step 0, phase 0" in first.quantity


def test_images_in_0_to_1_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, "methods.base.to_model_range", lambda original: lambda images: images.float().div(255))
    found = regressed("image ranges", "stargan_v2")
    assert "of black, to a model" in [finding.quantity for finding in found]
    first = next(finding for finding in found if finding.subject == "stargan_v2")
    assert first.quantity.startswith("batch ")
    assert ", step 0: mean" in first.quantity


def test_images_in_0_to_1_in_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(
        monkeypatch,
        "bench.evaluation.translate.to_model_range",
        lambda original: lambda images: images.float().div(255),
    )
    assert regressed("cyclegan: translations")[0].quantity.startswith("sketch->real, none: grey levels")


def test_a_judge_that_sees_images_in_another_range(monkeypatch: pytest.MonkeyPatch) -> None:
    features = "metrics.encoders.wide_resnet.WideResNet.features"
    original = import_module("metrics.encoders.wide_resnet").WideResNet.features
    monkeypatch.setattr(features, lambda network, x: original(network, 2 * x - 1))
    assert "features of stored images: mean" in [finding.quantity for finding in regressed("judge", "scoring")]


@pytest.mark.parametrize("used", [Image.Resampling.BICUBIC, Image.Resampling.HAMMING])
def test_a_wrong_resize_of_the_data(used: Image.Resampling, monkeypatch: pytest.MonkeyPatch) -> None:
    def resized(pixels: np.ndarray, size: int, resample: str) -> np.ndarray:
        return np.asarray(Image.fromarray(pixels).resize((size, size), used)).transpose(2, 0, 1)

    monkeypatch.setattr("bench.data.prepare.resize_image", resized)
    quantities = [finding.quantity for finding in regressed("data of sketch2real", "data of mnist2svhn")]
    assert "sketch train: mean difference from the stored image, worst image" in quantities
    assert "svhn train: mean difference from the stored image, worst image" in quantities


def test_a_wrong_resize_before_inception(monkeypatch: pytest.MonkeyPatch) -> None:
    def like_pytorch(original: Any) -> Any:
        return lambda images, size, align_corners: torch.nn.functional.interpolate(images, size, mode="bilinear")

    planted(monkeypatch, "metrics.encoders.inception.interpolate_bilinear_2d_like_tensorflow1x", like_pytorch)
    assert {finding.quantity.partition(":")[0] for finding in regressed("image ranges")} == {
        "Inception's input, tf1-299"
    }


def test_a_wrong_resize_before_alexnet(monkeypatch: pytest.MonkeyPatch) -> None:
    original = torch.nn.functional.interpolate
    monkeypatch.setattr(
        "metrics.encoders.lpips_alexnet.F.interpolate",
        lambda x, size, mode, align_corners, antialias: original(x, size, mode=mode, align_corners=True),
    )
    regressed("lpips")


def test_a_dropped_last_batch_of_translations(monkeypatch: pytest.MonkeyPatch) -> None:
    def whole_batches(original: Any) -> Any:
        def translate(*given: Any, **named: Any) -> Any:
            made = original(*given, **named)
            kept = len(made.images) * made.images.shape[1] // 32 * 32 // made.images.shape[1]
            return replace(made, index=made.index[:kept], labels=made.labels[:kept], images=made.images[:kept])

        return translate

    planted(monkeypatch, "bench.evaluation.evaluate.translate_test_images", whole_batches)
    first = regressed("stargan_v2: translations")[0]
    assert (first.quantity, first.stored) == ("sketch->real, noise: images", "15 sources in 5 styles")
    assert first.found == "12 sources in 5 styles"


def test_a_dropped_last_batch_before_the_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_the_last(original: Any) -> Any:
        def encode(run: Any, images: Any, width: int, batch_size: int, *rest: Any) -> np.ndarray:
            found = original(run, images, width, batch_size, *rest)
            return found[: max(batch_size, len(found) // batch_size * batch_size)]

        return encode

    planted(monkeypatch, "metrics.encoders.judge.encode_in_batches", without_the_last)
    assert regressed("stargan_v2: translations")


@pytest.mark.parametrize("method", ["stargan_v2", "cats_udt"])
def test_an_average_that_is_switched_off(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Translator, "update_ema", lambda self: None)
    found = regressed(method)
    assert all(finding.quantity.startswith("distance that the average of ") for finding in found)
    assert {finding.found for finding in found} == {"0"}


def test_a_metric_that_ignores_one_class(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(
        monkeypatch, "metrics.frechet.per_class",
        lambda original: lambda distance, x, xl, y, yl, classes: original(distance, x, xl, y, yl, list(classes)[:-1]),
    )  # fmt: skip
    quantities = [finding.quantity for finding in regressed("metrics")]
    assert quantities[0] == "fid per class: classes (narrow features)"
    assert "fid of class 2 (narrow features)" in quantities
    assert not any(quantity.startswith("kid") for quantity in quantities)


def test_scores_that_pool_all_classes_but_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_the_first(original: Any) -> Any:
        def classes(data: Any, labels: np.ndarray) -> Any:
            return ((name, rows & (labels != 0)) for name, rows in original(data, labels))

        return classes

    planted(monkeypatch, "bench.evaluation.score._classes", without_the_first)
    found = regressed("scoring")
    assert found[0].quantity == "accuracy-judge-v1, stored, all: images"
    assert (found[0].stored, found[0].found) == ("15 and 0 real ones", "12 and 0 real ones")


def test_a_metric_that_moves_by_two_parts_in_a_million(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, "metrics.frechet.frechet_sum", lambda original: lambda *given: original(*given) * (1 + 2e-6))
    assert all(finding.quantity.startswith("fid") for finding in regressed("metrics")[:-1])


def test_a_learning_rate_that_is_changed_by_a_thousandth(monkeypatch: pytest.MonkeyPatch) -> None:
    original = import_module("methods.munit").MUNIT.learning_rates
    monkeypatch.setattr(
        "methods.munit.MUNIT.learning_rates",
        lambda self, progress: {name: 1.001 * rate for name, rate in original(self, progress).items()},
    )
    assert regressed("munit")[0].quantity.startswith("learning rate of ")


def test_code_that_fails_is_a_regression_and_the_other_parts_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any) -> float:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("metrics.kernel.kernel_distance", broken)
    found = {finding.subject: finding for finding in run_code_check(SHIPPED, ["metrics", "image ranges"])}
    assert found["metrics"].verdict == Verdict.REGRESSED
    assert "ZeroDivisionError: a bug" in found["metrics"].found
    assert found["image ranges"].verdict == Verdict.PASS


# -------------------------------------------------------------------------------------------------- what is stored


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "code"))


def undecided(folder: Path, *subjects: str) -> str:
    """The reason of the only finding."""
    (finding,) = run_code_check(folder, subjects or None)
    assert finding.verdict == Verdict.CANNOT_DECIDE
    return finding.reason


@pytest.mark.parametrize("name", ["inputs.npz", "weights-munit.safetensors", "weights-judge.safetensors"])
def test_a_missing_or_damaged_file_is_no_pass(name: str, copied: Path) -> None:
    content = (copied / name).read_bytes()
    (copied / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert f"{name} is damaged" in undecided(copied)
    (copied / name).unlink()
    assert f"{name} cannot be read" in undecided(copied)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda expected: {**expected, "format": stored.FORMAT + 1}, "has format"),
        (lambda expected: {**expected, "values": []}, "has no values"),
        (lambda expected: {**expected, "values": [["metrics", "fid", "guess", 1.0]]}, "has kinds guess"),
        (lambda expected: {**expected, "values": [["metrics"]]}, "is damaged"),
        (lambda expected: [], "is no code baseline"),
    ],
)
def test_expected_values_that_cannot_be_used_are_no_pass(
    change: Callable[[Any], Any], reason: str, copied: Path
) -> None:
    path = copied / "expected.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    assert reason in undecided(copied)


def test_no_baseline_at_all_or_a_torn_one_is_no_pass(copied: Path, tmp_path: Path) -> None:
    assert "cannot be read" in undecided(tmp_path / "nothing")
    path = copied / "expected.json"
    path.write_text(path.read_text()[:-40])
    assert "cannot be read" in undecided(copied)


def test_a_subject_that_only_one_side_knows_is_no_pass(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = copied / "expected.json"
    expected = json.loads(path.read_text())
    expected["values"] = [row for row in expected["values"] if row[0] != "lpips"]
    path.write_text(json.dumps(expected))
    assert "the baseline has nothing of it" in undecided(copied, "lpips")
    monkeypatch.setattr(gate, "METHODS", {"munit": METHODS["munit"]})
    assert "does not measure it any more" in undecided(copied, "drit")


# ------------------------------------------------------------------------------------------------------- comparing


def compared(old: list[Value], new: list[Value], **here: str) -> list[Finding]:
    return comparing.compare_values(old, new, {"torch": "1"}, here)


@pytest.mark.parametrize(
    ("here", "verdict", "reason"),
    [
        ({"torch": "2.14.1"}, Verdict.REGRESSED, ""),
        ({"torch": "2.14.1+cpu"}, Verdict.REGRESSED, ""),  # the same code, built without a GPU
        ({"torch": "2.14.1", "Python": "3.13.0", "unheard of": "1"}, Verdict.REGRESSED, ""),
        ({"torch": "2.11.0"}, Verdict.CANNOT_DECIDE, "recorded with torch 2.14.1, here 2.11.0: "),
        (
            {"torch": "2.11.0", "numpy": "2.0.0"}, Verdict.CANNOT_DECIDE,
            "recorded with torch 2.14.1, here 2.11.0; recorded with numpy 2.4.6, here 2.0.0: ",
        ),
    ],
)  # fmt: skip
def test_a_difference_under_other_libraries_decides_nothing(
    here: dict[str, str], verdict: Verdict, reason: str
) -> None:
    recorded = {"Python": "3.11.7", "torch": "2.14.1+cu130", "numpy": "2.4.6"}
    old = [Value("m", f"loss {number}", "step 0", 1.0) for number in range(9)]
    found = comparing.compare_values(old, [replace(value, value=2.0) for value in old], recorded, here)
    assert [finding.verdict for finding in found] == [verdict] * 6
    assert all(finding.reason.startswith(f"{reason}differs by 1") for finding in found[:-1])
    assert comparing.compare_values(old, old, recorded, here)[0].verdict == Verdict.PASS


def test_a_value_that_another_version_of_a_library_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, "metrics.frechet.frechet_sum", lambda original: lambda *given: original(*given) * (1 + 2e-6))
    regressed("metrics")
    recorded = gate._libraries()["numpy"]
    monkeypatch.setattr(gate, "_libraries", lambda: {"numpy": "1.0"})
    found = run_code_check(SHIPPED, ["metrics"])
    assert decide_verdict(found) == Verdict.CANNOT_DECIDE
    assert all(f"recorded with numpy {recorded}, here 1.0" in finding.reason for finding in found)


def test_the_installed_libraries_are_those_that_the_shipped_baseline_names() -> None:
    recorded = json.loads((SHIPPED / "expected.json").read_text())["recorded_with"]
    here = installed_libraries()
    assert list(here) == list(recorded)
    assert here["torch"] == torch.__version__.partition("+")[0] or here["torch"] == torch.__version__
    assert here["numpy"] == np.__version__


def test_a_value_at_its_limit_agrees_and_one_beyond_it_does_not() -> None:
    value = Value("metrics", "fid", "metric", 10.0, scale=100.0, slack=0.5)
    limit = 1e-9 + 1e-6 * 100 + 0.5
    for factor, verdict in ((0.999, Verdict.PASS), (1.001, Verdict.REGRESSED)):
        for sign in (-1, 1):
            (finding,) = compared([value], [replace(value, value=10.0 + sign * factor * limit)])
            assert finding.verdict == verdict
    assert compared([value], [])[0].verdict == Verdict.REGRESSED
    assert compared([value], [replace(value, value="nan")])[0].verdict == Verdict.REGRESSED
    assert compared([value], [value, replace(value, quantity="new")])[0].verdict == Verdict.CANNOT_DECIDE


def test_the_first_differences_are_shown_and_the_others_counted() -> None:
    old = [Value("m", f"loss {number}", "step 0", 1.0) for number in range(9)]
    found = compared(old, [replace(value, value=2.0) for value in old])
    assert [finding.quantity for finding in found] == [*(f"loss {number}" for number in range(5)), "4 more values"]
    assert "9 of 9 values differ" in found[-1].reason


def test_any_changed_part_of_an_array_moves_one_of_its_values() -> None:
    rng = np.random.default_rng(0)
    array = rng.normal(size=(4, 50))
    for _ in range(20):
        other = array.copy()
        row, column = rng.integers(4), rng.integers(50)
        other[row, column], other[row, column - 1] = other[row, column - 1], other[row, column]
        other[row, column] += 0.01
        old, new = Values("m"), Values("m")
        old.add_array("x", "input", array)
        new.add_array("x", "input", other)
        assert compared(old.measured, new.measured)[0].verdict == Verdict.REGRESSED


# -------------------------------------------------------------------------------------------- methods from outside


@pytest.fixture(scope="module")
def with_outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline that has one method in float64, and one that can only be measured in float32."""
    folder = tmp_path_factory.mktemp("outside")
    patch = pytest.MonkeyPatch()
    patch.setattr(gate, "METHODS", {})  # ours are recorded elsewhere
    patch.setattr(gate, "_libraries", shipped_libraries)  # as in each test
    try:
        record_code_check(folder, ["misfits:Fit", "misfits:Bridged", "misfits:OneDirection", "misfits:Single"])
    finally:
        patch.undo()
    return folder


@pytest.fixture
def only_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "METHODS", {})


@pytest.mark.usefixtures("only_outside")
def test_a_method_from_outside_passes_and_its_precision_is_kept(with_outside: Path) -> None:
    known = json.loads((with_outside / "expected.json").read_text())["outside"]
    assert known == {
        "misfits:Fit": "float64", "misfits:Bridged": "float64", "misfits:OneDirection": "float64",
        "misfits:Single": "float32",
    }  # fmt: skip
    subjects = [subject for name in known for subject in (name, f"{name}: translations")]
    with global_draws(9):
        found = run_code_check(with_outside, subjects)
    assert [(one.subject, one.verdict) for one in found] == [(name, Verdict.PASS) for name in subjects], found
    assert sum(path.stat().st_size for path in with_outside.iterdir()) < 1.5e6


@pytest.mark.usefixtures("only_outside")
def test_a_changed_method_from_outside_is_found(with_outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import misfits

    monkeypatch.setattr(misfits.Fit, "ema_decay", 0.99)
    original = misfits.Fit.render
    monkeypatch.setattr(misfits.Fit, "render", lambda self, *given: 0.999 * original(self, *given))
    for name in ("misfits:Fit", "misfits:Single"):
        found = run_code_check(with_outside, [name, f"{name}: translations"])
        assert {(finding.subject, finding.verdict) for finding in found} == {
            (name, Verdict.REGRESSED), (f"{name}: translations", Verdict.REGRESSED)
        }, found  # fmt: skip


@pytest.mark.usefixtures("only_outside")
def test_one_that_is_not_installed_here_cannot_be_decided(with_outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "misfits", None)
    (found,) = run_code_check(with_outside, ["misfits:Fit"])
    assert found.verdict == Verdict.CANNOT_DECIDE
    assert "misfits:Fit cannot be imported here" in found.reason


@pytest.mark.usefixtures("only_outside")
def test_one_that_does_not_run_is_not_recorded(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="misfits:Exploding does not run in the code check: TrainingFailed"):
        record_code_check(tmp_path, ["misfits:Exploding"])
    assert not (tmp_path / "expected.json").exists()


@pytest.mark.usefixtures("only_outside")
def test_the_command_stores_the_code_alone_and_checks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["bench", *words, "--results", str(tmp_path)])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0)

    save = ("baseline", "save", "mine")
    assert call(*save) == 2
    assert "--task is needed" in capsys.readouterr().err
    assert call(*save, "--code-only", "--methods", "misfit") == 2
    assert "unknown method 'misfit'" in capsys.readouterr().err
    assert call(*save, "--code-only", "--seeds", "0") == 2
    assert not (tmp_path / "baselines" / "mine").exists()
    capsys.readouterr()
    assert call(*save, "--code-only", "--methods", "misfits:Fit,cyclegan") == 0
    assert capsys.readouterr().out == "the code's values, of our methods, misfits:Fit\n"
    assert call("check", "--baseline", "mine", "--code-only") == 0
    assert "misfits:Fit: translations" in capsys.readouterr().out
