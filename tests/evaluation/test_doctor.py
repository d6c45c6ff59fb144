"""The self-test: right here, and wrong in the right place once something is broken on purpose."""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from inspect import getmembers, isfunction
from pathlib import Path
from types import SimpleNamespace

import lpips
import numpy as np
import pytest
import torch
from as_typed import cells, request, rescore, rescore_request, run
from PIL import Image
from scipy.stats import norm
from torch.nn import functional as F

from bench.cli.commands import main
from bench.evaluation.self_test import doctor
from bench.evaluation.self_test.case import Case, CaseRefused, CaseResult, run_case
from metrics import accuracy, frechet, kernel, manifold, ndb
from metrics.encoders import judge, lpips_alexnet
from metrics.statistics import intervals

TF1_RESIZE = "torch_fidelity.interpolate_compat_tensorflow.interpolate_bilinear_2d_like_tensorflow1x"
GROUP_OF = {
    "frechet": "frechet", "kernel": "kid", "manifold": "prdc", "ndb": "ndb", "lpips_diversity": "diversity",
    "accuracy": "accuracy", "alignment": "alignment", "statistics.intervals": "intervals",
}  # fmt: skip
"""Module of `metrics` -> the group of cases that tests it."""
CACHED = doctor._checks
WRONG = CaseResult("kid: counted by hand", "kid", 13.0, "nan", 1e-9, False)
RIGHT = CaseResult("kid: subsets", "kid", 13.0, 13.0, 1e-9, True)


@pytest.fixture(autouse=True)
def computed_anew() -> Iterator[None]:
    """What one test breaks does not stay in the process."""
    CACHED.cache_clear()
    yield
    CACHED.cache_clear()


def only(monkeypatch: pytest.MonkeyPatch, *groups: str) -> None:
    """The doctor has no other cases than those of `groups`."""
    kept = {module: tuple(name for name in names if name in groups) for module, names in doctor.GROUPS.items()}
    monkeypatch.setattr(doctor, "GROUPS", kept)


def failures() -> set[str]:
    return {outcome.name.partition(": ")[2] for outcome in doctor.run_self_test() if not outcome.passed}


# --------------------------------------------------------------------------------------------------- nothing broken


def test_every_check_passes_with_what_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("the doctor must not open a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    outcomes = doctor.run_self_test()
    assert [outcome for outcome in outcomes if not outcome.passed] == []
    assert len({outcome.name for outcome in outcomes}) == len(outcomes) >= 80
    assert list(tmp_path.iterdir()) == []


def test_it_is_deterministic_and_leaves_the_process_as_it_was() -> None:
    torch.set_num_threads(2)
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002  # the global generator is what must not move
    before = torch.random.get_rng_state(), np.random.get_state()[1].tobytes()  # noqa: NPY002
    first, second = doctor.run_self_test(), doctor.run_self_test()
    assert first == second
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.random.get_state()[1].tobytes() == before[1]  # noqa: NPY002
    assert torch.get_num_threads() == 2


@pytest.mark.benchmark
def test_it_takes_less_than_a_second_and_a_half() -> None:
    seconds = []
    for _ in range(3):
        start = time.monotonic()
        doctor.run_self_test()
        seconds.append(time.monotonic() - start)
    assert min(seconds) < 1.5


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (module, name)
        for module in GROUP_OF
        for name, function in getmembers(import_module(f"metrics.{module}"), isfunction)
        if function.__module__ == f"metrics.{module}" and not name.startswith("_")
    ],
)
def test_every_public_function_of_a_metric_is_in_a_case(
    module: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*arguments: object, **options: object) -> None:
        raise TypeError("gone in this version")

    only(monkeypatch, GROUP_OF[module])
    monkeypatch.setattr(import_module(f"metrics.{module}"), name, lost)
    assert failures(), f"no case of bench/evaluation/self_test computes metrics.{module}.{name}: add one"


# --------------------------------------------------------------------------------------------------- planted errors


def divisor_n(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = features.mean(axis=0)
    return mean, (features - mean) / np.sqrt(len(features))


def biased(x: np.ndarray, y: np.ndarray, block: int) -> float:
    return kernel._kernel(x, x).mean() + kernel._kernel(y, y).mean() - 2 * kernel._kernel(x, y).mean()


def doubled_head() -> lpips.LPIPS:
    model = untrained()
    model.lins[2].model[-1].weight.data *= 2
    return model


untrained, share, scores, half_samples = (
    lpips_alexnet._untrained_lpips, accuracy.accuracy, manifold.manifold_scores, intervals.half_sample_deviation,
)  # fmt: skip
interpolate, pil_resize = F.interpolate, Image.Image.resize
COVARIANCES = {
    "two known covariances", "two known covariances, exchanged", "two known covariances, n below the width",
    "far from the origin", "scaled by 3: (3 - 1)² tr S", "rows in another order",
    "per class, one with a single row", "lopsided, unequal n",
}  # fmt: skip
KERNELS = {
    "counted by hand", "below 0, unequal n", "rows in another order", "identical sets: not 0 but -14/n",
    "in blocks that do not fit", "subsets", "per class, one with a single row",
}  # fmt: skip


@pytest.mark.parametrize(
    ("group", "target", "broken", "expected"),
    [
        (
            "frechet",
            (frechet, "_centred"),
            divisor_n,
            COVARIANCES | {"reference by its moments", "both by their moments"},
        ),
        ("kid", (kernel, "_mmd2"), biased, KERNELS),
        (
            "prdc",
            (manifold, "manifold_scores"),
            lambda x, y, **k: scores(y, x, **k),
            {"counted by hand", "fewer rows than neighbours"},
        ),
        ("ndb", (ndb, "norm"), SimpleNamespace(sf=lambda z: norm.sf(z) / 2), {"50 and 63 of 100: z = 1.85"}),
        ("ndb", (ndb, "jensen_shannon"), lambda p, q: ndb._kl(p, q), {"all in one of four bins", "disjoint: ln 2"}),
        (
            "accuracy",
            (accuracy, "accuracy"),
            lambda predicted, labels: share(np.asarray(predicted) + 1, labels),
            {"three of five", "all and none"},
        ),
        (
            "intervals",
            (intervals, "half_sample_deviation"),
            lambda *arguments: half_samples(*arguments) / np.sqrt(2),
            {"half-samples: of a mean"},
        ),
        (
            "resize",
            TF1_RESIZE,
            lambda image, size, align_corners: F.interpolate(image, size, mode="bilinear", align_corners=align_corners),
            {"TensorFlow 1 bilinear (FID)"},
        ),
        (
            "resize",
            (F, "interpolate"),
            lambda *arguments, **options: interpolate(*arguments, **{**options, "antialias": True}),
            {"torch bilinear, no antialias"},
        ),
        (
            "resize",
            (Image.Image, "resize"),
            lambda image, size, resample: pil_resize(image, size, Image.Resampling.BILINEAR),
            {"Pillow bicubic, enlarged", "Pillow bicubic, shrunk with antialias"},
        ),
        ("lpips", (lpips.lpips.ScalingLayer, "forward"), lambda layer, x: x, {"two sides of red 123.7"}),
        ("lpips", (lpips_alexnet, "_untrained_lpips"), doubled_head, {"two sides of red 123.7"}),
        ("judge", (judge, "check_encoder_images"), lambda images: None, {"float images"}),
    ],
    ids=lambda value: value if isinstance(value, str) and "." not in value else "",
)
def test_a_planted_error_fails_the_right_checks(
    group: str, target: object, broken: object, expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, group)
    if isinstance(target, str):
        monkeypatch.setattr(target, broken)
    else:
        monkeypatch.setattr(*target, broken)  # type: ignore[misc]
    assert failures() == expected


def test_nan_is_a_failure_and_still_json(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "kid")
    monkeypatch.setattr(kernel, "kernel_distance", lambda x, y, **options: float("nan"))
    record = doctor.doctor_record()
    assert {"name": "kid: counted by hand", "expected": 13.0, "got": "nan"} in record["failed"]
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_a_broken_library_hides_no_other_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(*arguments: object, **options: object) -> None:
        raise TypeError("__init__() got an unexpected keyword argument 'n_init'")

    monkeypatch.setattr(ndb, "KMeans", changed)
    monkeypatch.setitem(sys.modules, "metrics.kernel", None)  # importing it raises
    monkeypatch.setattr(lpips_alexnet, "LPIPS", changed)
    whole = doctor.run_self_test()
    failed = {outcome.name: outcome.got for outcome in whole if not outcome.passed}
    assert failed["ndb: reference with itself"] == "TypeError: __init__() got an unexpected keyword argument 'n_init'"
    assert failed["kid: set-up"].startswith("ModuleNotFoundError")
    assert failed["lpips: set-up"].startswith("TypeError")
    assert {name.partition(":")[0] for name in failed} == {"ndb", "kid", "lpips"}
    assert {outcome.metric for outcome in whole} == {name for names in doctor.GROUPS.values() for name in names}


@pytest.mark.parametrize(
    ("compute", "expected", "passed"),
    [
        (lambda: 1.05, 1, True),
        (lambda: 1.15, 1, False),
        (lambda: np.array([[1, 2], [3, 4]]), [1, 2, 3, 4], True),
        (lambda: [1, 2, 3], [1, 2], False),
        (lambda: 1, [1, 1], False),
        (lambda: float("inf"), 1, False),
        (lambda: None, 0, False),
        (lambda: "a", "a", True),
        (lambda: "1", 1, False),
        (lambda: 1, CaseRefused("width"), False),
        (lambda: int("width"), CaseRefused("width"), True),
        (lambda: int("width"), CaseRefused("NaN"), False),
        (lambda: [][0], CaseRefused("range"), False),
        (lambda: np.linalg.svd(np.array([[np.nan]])), CaseRefused("NaN"), False),  # its LinAlgError is a ValueError
    ],
)
def test_what_passes(compute: Callable[[], object], expected: float, passed: bool) -> None:
    outcome = run_case(Case("metric", "name", compute, expected, 0.1))
    assert outcome.passed is passed
    json.dumps(outcome.got, allow_nan=False)


# ------------------------------------------------------------------------------------------------ command and record


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["bench", "doctor", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


def test_the_command_prints_a_table_and_succeeds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    count = len(doctor.doctor_record()["failed"]) + doctor.doctor_record()["passed"]
    assert lines[-1] == f"{count} of {count} checks passed"
    assert f"torch {doctor.doctor_record()['versions']['torch']}" in lines[-2]
    (row,) = [line.split() for line in lines if line.startswith("kid: counted by hand ")]
    assert row[-3:] == ["13", "13", "ok"]


def test_the_command_fails_with_a_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "_checks", lambda: (WRONG, RIGHT))
    assert command(monkeypatch, "--json", str(tmp_path / "doctor.json")) == 1
    printed = capsys.readouterr().out
    assert "nan    FAILED" in printed
    assert printed.endswith("1 of 2 checks passed\n")
    record = json.loads((tmp_path / "doctor.json").read_text())
    assert command(monkeypatch, "--json", "-") == 1
    assert json.loads(capsys.readouterr().out) == record
    assert record.keys() == {"passed", "checks", "failed", "versions", "cases"}
    assert (record["passed"], record["checks"]) == (1, 2)
    assert record["failed"] == [{"name": "kid: counted by hand", "expected": 13, "got": "nan"}]
    assert record["cases"][1] == {
        "name": "kid: subsets", "metric": "kid", "expected": 13, "got": 13, "tolerance": 1e-9, "passed": True,
    }  # fmt: skip
    assert command(monkeypatch, "--json", str(tmp_path / "doctor.json" / "below")) == 2
    assert "could not write" in capsys.readouterr().err


def test_the_record_is_computed_once_and_is_nobodys_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(doctor, "run_self_test", lambda: calls.append(1) or [WRONG, RIGHT])  # type: ignore[func-returns-value]
    doctor.doctor_record()["failed"].clear()
    assert doctor.doctor_record()["failed"]
    assert len(calls) == 1


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
def test_a_failing_doctor_is_said_and_recorded_and_ends_nothing(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    warning = "doctor: 1 of 2 checks failed: kid: counted by hand; python -m bench doctor\n"
    monkeypatch.setattr(doctor, "_checks", lambda: (WRONG, RIGHT))
    assert run(request(shapes, tmp_path)) == 0
    assert capsys.readouterr().err.count(warning) == 1
    (cell,) = cells(tmp_path).values()
    environment = json.loads((Path(str(cell["folder"])) / "environment.json").read_text())
    assert environment["doctor"] == doctor.doctor_record()
    assert rescore(rescore_request(shapes, tmp_path)) == 0
    assert capsys.readouterr().err.count(warning) == 1
    monkeypatch.setattr(doctor, "_checks", lambda: (RIGHT,))
    doctor.warn_if_doctor_fails()
    assert capsys.readouterr().err == ""
