"""`bench conform`: every method of ours keeps the contract, and each way of breaking it is found by its own check."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest
import tiny
import torch

from bench.checks.conform.check import ConformOutcome
from bench.checks.conform.conform import CHECKS, SIZES, conform, count_conform_checks
from bench.checks.conform.report import conformance_text
from bench.checks.conform.subject import ConformSubject
from bench.checks.tiny_run import CandidateMethod
from bench.cli.commands import main
from bench.training.train import output_spread
from methods.registry import BUILT_IN, VARIANTS


def wrong(outcomes: list[ConformOutcome]) -> list[str]:
    return [f"{o.name} at {o.size}: {o.seen} ({o.look})" for o in outcomes if o.status != "passed"]


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_every_method_conforms(name: str, no_real_files: None) -> None:
    outcomes = conform(name, tiny.settings(name))
    assert not wrong(outcomes)
    assert len(outcomes) == count_conform_checks(SIZES)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(VARIANTS))
def test_every_variant_conforms(name: str, no_real_files: None) -> None:
    assert not wrong(conform(name, tiny.settings(name), sizes=(32,)))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(BUILT_IN))
def test_every_method_conforms_at_its_quick_settings_within_a_minute(name: str, no_real_files: None) -> None:
    outcomes = conform(name)
    assert not wrong(outcomes)
    assert sum(outcome.seconds for outcome in outcomes) < 60


FAULTS = [
    ("Thawed", "config", "not frozen: write @dataclass(frozen=True)"),
    ("Misquoted", "quick_settings", "no setting 'batchsize';  did you mean 'batch_size'"),
    ("Sideways", "declarations", "directions is ((0, 0),)"),
    ("Stubborn", "directions", "told 1 -> 0 alone: different images become one and the same"),
    ("Halved", "images_per_step", "8 such images, 16 wanted"),
    ("GlobalDraw", "draw_follows_its_generator", "two generators of one seed: 1 of 3 values differ, the first is z"),
    ("NumpyStep", "global_random_numbers", "with other global seeds"),
    ("Vandal", "draw_changes_nothing", "the images before and after prepare and draw"),
    ("Unnamed", "phases", "no phase trains mapping, which has an optimiser"),
    ("Detached", "gradients", "none in 4 steps for mapping"),
    ("Unrated", "learning_rates", "`optimizers` has ['discriminator', 'generator', 'mapping']"),
    ("OwnOptimizer", "optimizers_in_the_state", "second is an optimiser of its own"),
    ("Meddler", "weights_change_in_phases", "weights of discriminator changed before phase 0, by training_step itself"),
    ("Counter", "resume", "changed while training and in no state: steps_done"),
    ("Stumbler", "training", "ZeroDivisionError: a bug in somebody's method"),
    ("Exploding", "training", "step 0: 0:discriminator.fake = nan"),
    ("Thief", "labels", "with other labels in the harness's memory"),
    ("Hoarder", "labels", "kept.notes.0 has the labels of the training images"),
    ("BatchStatistics", "rows_alone", "are rows mixed, with statistics over the batch"),
    ("Loud", "output_range", "values from -2"),
    ("Deaf", "style_varies", "two styles, one and the same translation: is the style used?"),
    ("Dropping", "translations_repeat", "twice"),
    ("Remembering", "translate_changes_nothing", "state.module.calls: by up to 1"),
    ("OneWay", "directions_differ", "is `target` used?"),
    ("Lenient", "undeclared_styles", "style of the kind 'exemplar' was accepted"),
    ("Forgetful", "stored_weights", "trained and read again"),
]


@pytest.mark.parametrize("name", ["Fit", "Normalised"])
def test_a_method_without_a_fault_conforms(name: str) -> None:
    assert not wrong(conform(f"misfits:{name}"))


def test_the_probe_of_a_training_leaves_running_statistics_alone(tmp_path: Path) -> None:
    """The loop looks at outputs in mid-training: in eval mode, and back in the mode that each part had."""
    subject = ConformSubject(CandidateMethod("misfits:Normalised", "misfits:Normalised", {}), 32, tmp_path)
    method = subject.trained.method
    method.discriminator.eval()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    assert output_spread(method, subject.domains(), 0, 1) > 0
    assert all(torch.equal(before[name], value) for name, value in method.state_dict().items())
    assert (method.generator.training, method.discriminator.training) == (True, False)


def test_the_labels_are_gone_when_it_is_over_without_a_garbage_collection() -> None:
    """A method that looks for them in memory would find those of an earlier run, and not those that are exchanged."""
    gc.collect()
    gc.disable()
    try:
        conform("misfits:Fit", sizes=(32,))
        assert not [thing for thing in gc.get_objects() if type(thing).__name__ == "Split"]
    finally:
        gc.enable()


@pytest.mark.parametrize(("name", "check", "seen"), FAULTS)
def test_a_planted_fault_is_found_by_its_own_check(name: str, check: str, seen: str) -> None:
    outcomes = conform(f"misfits:{name}", sizes=(32,))
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    assert [outcome.name for outcome in failed] == [check], failed
    assert seen in failed[0].seen
    assert failed[0].alone.startswith(f"python -m bench conform misfits:{name} --only {check}")
    assert "misfits.py:" in failed[0].look or check in ("style_varies",)


def test_what_is_no_part_of_the_contract_is_a_note_and_keeps_no_check_from_running() -> None:
    for name, noted, seen in (
        ("Silent", "documentation", "without a line of documentation: batch_size"),
        ("Looking", "constructor_on_meta", "meta"),
    ):
        outcomes = conform(f"misfits:{name}", sizes=(32,))
        assert [(o.name, o.status) for o in outcomes if o.status != "passed"] == [(noted, "noted")], wrong(outcomes)
        (note,) = (outcome for outcome in outcomes if outcome.status == "noted")
        assert seen in note.seen
        assert "misfits.py:" in note.look
        assert "1 noted (no part of the contract)" in conformance_text(name, outcomes, 1.0, 120)


@pytest.mark.parametrize("name", ["Bridged", "Clipped", "OneDirection", "Forth"])
def test_what_existing_code_does_conforms(name: str) -> None:
    """Dropout and numpy inside a step, under `global_draws`; clipped weights; networks for the directions that the task
    scores alone."""
    assert not wrong(conform(f"misfits:{name}", sizes=(32,)))


def test_rows_that_depend_on_their_position_are_found() -> None:
    failed = {outcome.name for outcome in conform("misfits:Positional", sizes=(32,)) if outcome.status == "failed"}
    assert failed == {"rows_alone", "order_of_rows"}


def test_rounding_is_told_from_a_leak_of_the_same_size() -> None:
    """Both change a row by 1e-4 with the size of the batch; in float64 only the leak still does."""
    (coarse,) = conform("misfits:Coarse", sizes=(32,), only=("rows_alone",))
    assert coarse.status == "passed"
    assert "in float64" in coarse.seen
    (leaky,) = conform("misfits:Leaky", sizes=(32,), only=("rows_alone",))
    assert leaky.status == "failed"


def test_only_runs_what_is_needed_and_tells_of_it_if_it_fails() -> None:
    (alone,) = conform("misfits:Fit", sizes=(64,), only=("resume",))
    assert (alone.name, alone.size, alone.status) == ("resume", 64, "passed")
    needed, asked = conform("misfits:Unnamed", sizes=(32,), only=("resume",))
    assert (needed.name, needed.status) == ("phases", "failed")
    assert (asked.name, asked.status) == ("resume", "skipped")


def test_a_class_that_cannot_be_imported_is_a_failed_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "crooked.py").write_text("import torch\n\nraise RuntimeError('no licence found')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name, seen, look in (
        ("no.such.module:Method", "ModuleNotFoundError", "no.such.module:Method"),
        ("misfits:FitConfig", "is not a subclass of methods.base.Translator", "misfits:FitConfig"),
        ("crooked:Method", "no licence found", "crooked.py:3"),
    ):
        outcomes = conform(name)
        failed = [outcome for outcome in outcomes if outcome.status == "failed"]
        assert [outcome.name for outcome in failed] == ["importable"]
        assert seen in failed[0].seen
        assert look in failed[0].look
        assert all(outcome.status == "skipped" for outcome in outcomes[1:])


def test_a_method_that_imports_the_harness_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "from misfits import Fit\n\nclass Method(Fit):\n    def peek(self):\n        from bench.data import select\n"
    )
    (tmp_path / "peeping.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    (failed,) = conform("peeping:Method", sizes=(32,), only=("no_harness",))
    assert failed.status == "failed"
    assert "peeping.py:5 imports bench.data" in failed.seen


def test_an_image_size_that_the_networks_refuse_is_told_in_their_words() -> None:
    outcomes = conform("cyclegan", {"discriminator_layers": 5}, sizes=(32,), only=("constructor",))
    assert [outcome.status for outcome in outcomes] == ["failed"]
    assert "an image size of at least 96" in outcomes[0].seen
    assert "cyclegan.py:" in outcomes[0].look
    assert outcomes[0].alone.endswith("--size 32 --set cyclegan.discriminator_layers=5")


def test_weights_that_are_not_there_are_named_with_the_remedy(no_real_files: None) -> None:
    values = {**tiny.settings("egsc_it"), "perceptual": "vgg19_caffe"}
    (failed,) = conform("egsc_it", values, sizes=(32,), only=("prepare",))
    assert failed.status == "failed"
    assert "bench fetch vgg19_caffe" in failed.seen


def test_labelled_weights_make_the_supervision_weak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("methods.egsc_it.EGSCIT.supervision", "none")
    (failed,) = conform("egsc_it", tiny.settings("egsc_it"), sizes=(32,), only=("prepare",))
    assert failed.status == "failed"
    assert "it takes stand_in, trained with labels" in failed.seen
    assert "supervision" in failed.look


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    conform("misfits:NumpyStep", sizes=(32,))
    assert torch.equal(torch.rand(3), expected)
    assert list(tmp_path.iterdir()) == []


def test_checks_have_names_of_their_own_and_come_after_what_they_need() -> None:
    seen: set[str] = set()
    for check in CHECKS:
        assert check.name not in seen
        assert set(check.needs) <= seen
        seen.add(check.name)


# ------------------------------------------------------------------------------------------------------- the command


def bench(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["bench", "conform", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_the_command_reports_and_exits_with_1_if_a_check_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "record.json"
    assert bench(monkeypatch, "misfits:Fit", "--size", "32", "--set", "misfits:Fit.batch_size=2") == 0
    assert "images_per_step             4 images for 2 x 2" in capsys.readouterr().out
    assert bench(monkeypatch, "misfits:Loud", "--size", "32", "--json", str(record)) == 1
    printed = capsys.readouterr().out
    assert "FAILED  output_range\n          expected  translations are in [-1, 1]" in printed
    assert "alone     python -m bench conform misfits:Loud --only output_range --size 32\n" in printed
    assert "1 failed" in printed.splitlines()[-1]
    stored = json.loads(record.read_text())
    assert (stored["failed"], stored["passed"]) == (1, len(CHECKS) - 1)
    assert [check["name"] for check in stored["checks"] if check["status"] == "failed"] == ["output_range"]
    assert bench(monkeypatch, "misfits:Loud", "--only", "output_range", "--size", "32", "--json", "-") == 1
    assert json.loads(capsys.readouterr().out)["checks"][0]["look"].startswith("Loud.translate (")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cyclegam",), "unknown method 'cyclegam'\n  did you mean 'cyclegan'"),
        (("cyclegan", "--only", "resum"), "there is no check 'resum'\n  did you mean 'resume'"),
        (("cyclegan", "--set", "cyclegan.widht=3"), "no setting 'widht'\n  did you mean 'width'"),
        (("cyclegan", "--set", "munit.width=3"), "'munit' is not among this run's methods"),
        (("cyclegan", "--size", "32,x"), "--size '32,x' is not understood"),
        (("cyclegan", "--size", "32,32"), "names a size twice"),
    ],
)
def test_a_request_that_cannot_be_met_is_an_error(
    arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(monkeypatch, *arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("width", [40, 80])
def test_the_report_fits_the_terminal(width: int) -> None:
    outcomes = [
        ConformOutcome("draw_follows_its_generator", 32, "passed", "a " * 60, "some words " * 9, "", "", 0.1),
        ConformOutcome("resume", 32, "failed", "a " * 60, "b " * 60, "Class.method (file.py:3)", "type this", 0.1),
        ConformOutcome("labels", 64, "skipped", "a " * 60, "needs resume", "", "", 0.0),
    ]
    printed = conformance_text("m", outcomes, 1.0, width)
    assert max(map(len, printed.splitlines())) <= width
    for word in ("ok", "FAILED", "skipped", "m at 32 px", "m at 64 px", "1 of 3 checks passed"):
        assert word in printed
